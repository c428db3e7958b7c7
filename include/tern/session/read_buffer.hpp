// The memory into which a session reads, and the received bytes in it. Many sessions can share such memory: a session
// that waits for the broker needs none.
#pragma once

#include "tern/detail/compiler.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace tern {

struct read_buffer {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;

    static read_buffer of(std::size_t size) { return {std::make_unique_for_overwrite<char[]>(size), size}; }

    explicit operator bool() const noexcept { return bytes != nullptr; }
};

namespace detail {

/// The received bytes that are not yet decoded. Packets are decoded in place. The buffer grows with the bytes that
/// really come, never to a size that a packet merely claims.
class receive_buffer {
public:
    receive_buffer() = default;
    receive_buffer(receive_buffer&&) noexcept = default;
    receive_buffer& operator=(receive_buffer&&) noexcept = default;
    receive_buffer(const receive_buffer& other) : begin_(other.begin_), end_(other.end_), lent_(other.lent_) {
        if (!other.buffer_) return;
        buffer_ = read_buffer::of(other.buffer_.size);
        std::memcpy(buffer_.bytes.get() + begin_, other.buffer_.bytes.get() + begin_, end_ - begin_);
    }
    receive_buffer& operator=(const receive_buffer& other) { return *this = receive_buffer(other); }
    ~receive_buffer() = default;

    std::string_view bytes() const noexcept { return {buffer_.bytes.get() + begin_, end_ - begin_}; }

    bool has_buffer() const noexcept { return bool{buffer_}; }
    void lend(read_buffer b) noexcept {
        buffer_ = std::move(b);
        lent_ = true;
    }
    read_buffer reclaim() noexcept {
        if (begin_ != end_ || !std::exchange(lent_, false)) return {};
        clear();
        return std::exchange(buffer_, {});
    }

    /// Room for more bytes. The rest of a large packet is read alone, so that the next packet begins in an empty buffer
    /// and nothing is moved.
    std::span<char> prepare() {
        if (begin_ == end_) {
            clear();
            const std::size_t largest = std::exchange(shrinks_, false) ? first_size : largest_when_empty;
            if (buffer_.size > largest && !lent_) buffer_ = {};
        }
        if (buffer_.size - end_ < (std::max)(buffer_.size / 4, smallest_room)) make_room();
        const std::size_t there = end_ - begin_;
        const std::size_t most =
            expected_ > (std::max)(there, largest_when_empty) ? expected_ - there : largest_when_empty;
        return {buffer_.bytes.get() + end_, (std::min)(buffer_.size - end_, most)};
    }

    void commit(std::size_t count) noexcept { end_ += static_cast<std::uint32_t>(count); }
    void consume(std::size_t count) noexcept { begin_ += static_cast<std::uint32_t>(count); }
    /// The packet at the beginning has at least this size.
    void expect(std::size_t size) noexcept { expected_ = static_cast<std::uint32_t>(size); }
    /// The buffer is not kept for the next packet if it has grown. The transport may be reading into it now.
    void trim() noexcept { shrinks_ = true; }
    void clear() noexcept { begin_ = end_ = expected_ = 0; }

private:
    static constexpr std::size_t smallest_room = 512;
    static constexpr std::size_t first_size = 4096;
    static constexpr std::size_t largest_when_empty = 64 * 1024;

    void make_room() {
        const std::uint32_t count = end_ - begin_;
        if (std::size_t{count} * 2 > buffer_.size || !buffer_) {
            read_buffer larger = read_buffer::of((std::max)(buffer_.size * 2, first_size));
            if (count != 0) std::memcpy(larger.bytes.get(), buffer_.bytes.get() + begin_, count);
            buffer_ = std::move(larger);
        } else if (count != 0) {
            std::memmove(buffer_.bytes.get(), buffer_.bytes.get() + begin_, count);
        }
        begin_ = 0;
        end_ = count;
    }

    read_buffer buffer_;
    std::uint32_t begin_ = 0; // a packet has at most 256 MiB
    std::uint32_t end_ = 0;
    std::uint32_t expected_ = 0;
    bool shrinks_ = false; // when it is empty
    bool lent_ = false;    // to be reclaimed by its owner
};

} // namespace detail
} // namespace tern
