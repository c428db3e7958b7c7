// The bytes that have been received and not yet understood. Packets are decoded where they lie; the buffer
// grows with the bytes that really come, never to a size that a packet merely claims.
#pragma once

#include "tern/session/read_buffer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace tern::detail {

class inbuf {
public:
    inbuf() = default;
    inbuf(inbuf&&) noexcept = default;
    inbuf& operator=(inbuf&&) noexcept = default;
    inbuf(const inbuf& other) : begin_(other.begin_), end_(other.end_), lent_(other.lent_) {
        if (!other.buffer_) return;
        buffer_ = read_buffer::of(other.buffer_.size);
        std::memcpy(buffer_.bytes.get() + begin_, other.buffer_.bytes.get() + begin_, end_ - begin_);
    }
    inbuf& operator=(const inbuf& other) { return *this = inbuf(other); }
    ~inbuf() = default;

    std::string_view bytes() const noexcept { return {buffer_.bytes.get() + begin_, end_ - begin_}; }

    bool has_buffer() const noexcept { return bool{buffer_}; }
    void lend(read_buffer b) noexcept {
        buffer_ = std::move(b);
        lent_ = true;
    }
    read_buffer take_back() noexcept {
        if (begin_ != end_ || !std::exchange(lent_, false)) return {};
        clear();
        return std::exchange(buffer_, {});
    }

    /// Room for more. What a large packet still lacks is read alone: so the next one begins in an empty buffer, and
    /// nothing is ever moved.
    std::span<char> prepare() {
        if (begin_ == end_) {
            clear();
            if (buffer_.size > largest_when_empty && !lent_) buffer_ = {};
        }
        if (buffer_.size - end_ < std::max(buffer_.size / 4, smallest_room)) make_room();
        const std::size_t there = end_ - begin_;
        const std::size_t most =
            expected_ > std::max(there, largest_when_empty) ? expected_ - there : largest_when_empty;
        return {buffer_.bytes.get() + end_, std::min(buffer_.size - end_, most)};
    }

    void commit(std::size_t count) noexcept { end_ += static_cast<std::uint32_t>(count); }
    void consume(std::size_t count) noexcept { begin_ += static_cast<std::uint32_t>(count); }
    /// The packet at the beginning will have so many bytes, or more.
    void expect(std::size_t size) noexcept { expected_ = static_cast<std::uint32_t>(size); }
    void clear() noexcept { begin_ = end_ = expected_ = 0; }

private:
    static constexpr std::size_t smallest_room = 512;
    static constexpr std::size_t first_size = 4096;
    static constexpr std::size_t largest_when_empty = 64 * 1024;

    void make_room() {
        const std::uint32_t count = end_ - begin_;
        if (std::size_t{count} * 2 > buffer_.size || !buffer_) {
            read_buffer larger = read_buffer::of(std::max(buffer_.size * 2, first_size));
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
    bool lent_ = false; // to be given back
};

} // namespace tern::detail
