// The memory for a transport's operations: for reading, for gathered writes, and for waiting.
#pragma once

#include "tern/detail/reusable_allocation.hpp"
#include "tern/session/read_buffer.hpp"

#include <asio/buffer.hpp>
#include <asio/execution_context.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

/// The read buffers that the clients of an execution context share. A client has a buffer only while it processes
/// received bytes. An idle client needs none.
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
        return read_buffer::of(buffer_bytes);
    }
    void put_back(read_buffer b) noexcept {
        if (!b || b.size < buffer_bytes || b.size > largest_buffer_bytes) return;
        const std::lock_guard lock(mutex_);
        if (count_ != buffers_.size()) buffers_[count_++] = std::move(b);
    }

private:
    static constexpr std::size_t buffer_bytes = std::size_t{64} * 1024;
    static constexpr std::size_t largest_buffer_bytes = std::size_t{4} << 20U; // large packets enlarge buffers

    void shutdown() override {}

    std::mutex mutex_; // clients of one context may run in several threads
    std::array<read_buffer, 4> buffers_;
    std::size_t count_ = 0;
};

/// The buffers of one gathered write, as a buffer sequence of Asio that is copied without allocating.
class write_buffers {
public:
    using value_type = asio::const_buffer;
    using const_iterator = const asio::const_buffer*;

    template <class Pieces>
    explicit write_buffers(const Pieces& pieces) noexcept {
        for (const std::string_view piece : pieces) {
            if (size_ == buffers_.size()) break;
            buffers_[size_++] = asio::const_buffer(piece.data(), piece.size());
        }
    }
    const_iterator begin() const noexcept { return buffers_.data(); }
    const_iterator end() const noexcept { return buffers_.data() + size_; }

private:
    std::array<asio::const_buffer, 8> buffers_; // few, because Asio copies the array several times
    std::size_t size_ = 0;
};

/// A handler whose operation lies in a `reusable_allocation`. The pointer to it keeps its owner alive until Asio has
/// freed the memory.
template <class Function>
struct idle_handler {
    using allocator_type = reusable_allocation::allocator<void>;
    allocator_type get_allocator() const noexcept { return allocator_type(memory); }
    void operator()(const std::error_code& error) const { function(error); }

    std::shared_ptr<reusable_allocation> memory;
    Function function;
};
template <class Function> // Clang before version 17 does not deduce the argument of an aggregate
idle_handler(std::shared_ptr<reusable_allocation>, Function) -> idle_handler<Function>;

} // namespace tern::detail
