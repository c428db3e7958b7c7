// The memory that the clients of an execution context read into, for a moment, and then leave to the next one. So a
// client that waits has none.
#pragma once

#include "tern/session/read_buffer.hpp"

#include <asio/execution_context.hpp>

#include <array>
#include <cstddef>
#include <mutex>
#include <utility>

namespace tern::detail {

class read_buffers final : public asio::execution_context::service {
public:
    using key_type = read_buffers;
    static inline asio::execution_context::id id;

    explicit read_buffers(asio::execution_context& context) : asio::execution_context::service(context) {}

    read_buffer take() {
        {
            const std::lock_guard lock(mutex_);
            if (count_ != 0) return std::exchange(buffers_[--count_], {});
        }
        return read_buffer::of(buffer_size);
    }
    void give_back(read_buffer b) noexcept {
        if (!b || b.size < buffer_size || b.size > largest_buffer) return;
        const std::lock_guard lock(mutex_);
        if (count_ != buffers_.size()) buffers_[count_++] = std::move(b);
    }

private:
    static constexpr std::size_t buffer_size = std::size_t{64} * 1024;
    static constexpr std::size_t largest_buffer = std::size_t{4} << 20U; // that a large packet has needed

    void shutdown() override {}

    std::mutex mutex_; // clients of one context may live in several threads
    std::array<read_buffer, 4> buffers_;
    std::size_t count_ = 0;
};

} // namespace tern::detail
