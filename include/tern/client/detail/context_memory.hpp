// The memory that the clients of an execution context use for a moment and then leave to the next one: what a read goes
// to, and the operations of transports. So a client that waits has next to none.
#pragma once

#include "tern/client/detail/op_memory.hpp"
#include "tern/session/read_buffer.hpp"

#include <asio/execution_context.hpp>

#include <array>
#include <cstddef>
#include <mutex>
#include <utility>

namespace tern::detail {

class context_memory final : public asio::execution_context::service {
public:
    using key_type = context_memory;
    static inline asio::execution_context::id id;

    explicit context_memory(asio::execution_context& context) : asio::execution_context::service(context) {}

    read_buffer take_buffer() {
        {
            const std::lock_guard lock(mutex_);
            if (buffer_count_ != 0) return std::exchange(buffers_[--buffer_count_], {});
        }
        return read_buffer::of(buffer_size);
    }
    void give_back(read_buffer b) noexcept {
        if (!b || b.size < buffer_size || b.size > largest_buffer) return;
        const std::lock_guard lock(mutex_);
        if (buffer_count_ != buffers_.size()) buffers_[buffer_count_++] = std::move(b);
    }

    void* allocate(std::size_t size) {
        const std::lock_guard lock(mutex_);
        return operations_.allocate(size);
    }
    void deallocate(void* p, std::size_t size) noexcept {
        const std::lock_guard lock(mutex_);
        operations_.deallocate(p, size);
    }

private:
    static constexpr std::size_t buffer_size = std::size_t{64} * 1024;
    static constexpr std::size_t largest_buffer = std::size_t{4}
                                                  << 20U; // one that was needed for a large packet

    void shutdown() override {}

    std::mutex mutex_; // clients of one context may live in several threads
    std::array<read_buffer, 4> buffers_;
    std::size_t buffer_count_ = 0;
    op_memory operations_;
};

} // namespace tern::detail
