// The bytes that have been received and not yet understood. Packets are decoded where they lie; the buffer
// grows with the bytes that really come, never to a size that a packet merely claims.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace tern::detail {

class inbuf {
public:
    inbuf() = default;
    inbuf(inbuf&&) noexcept = default;
    inbuf& operator=(inbuf&&) noexcept = default;
    inbuf(const inbuf& other) : capacity_(other.capacity_), begin_(other.begin_), end_(other.end_) {
        if (capacity_ == 0) return;
        data_ = std::make_unique_for_overwrite<char[]>(capacity_);
        std::memcpy(data_.get() + begin_, other.data_.get() + begin_, end_ - begin_);
    }
    inbuf& operator=(const inbuf& other) { return *this = inbuf(other); }
    ~inbuf() = default;

    std::string_view bytes() const noexcept { return {data_.get() + begin_, end_ - begin_}; }

    /// Room for more.
    std::span<char> prepare() {
        if (begin_ == end_ && capacity_ > largest_when_empty) *this = {};
        if (capacity_ - end_ < std::max(capacity_ / 4, smallest_room)) make_room();
        return {data_.get() + end_, capacity_ - end_};
    }

    void commit(std::size_t count) noexcept { end_ += count; }
    void consume(std::size_t count) noexcept {
        begin_ += count;
        if (begin_ == end_) begin_ = end_ = 0;
    }
    void clear() noexcept { begin_ = end_ = 0; }

private:
    static constexpr std::size_t smallest_room = 512;
    static constexpr std::size_t first_capacity = 4096;
    static constexpr std::size_t largest_when_empty = 64 * 1024;

    void make_room() {
        const std::size_t size = end_ - begin_;
        if (size * 2 > capacity_ || capacity_ == 0) {
            const std::size_t capacity = std::max(capacity_ * 2, first_capacity);
            auto larger = std::make_unique_for_overwrite<char[]>(capacity);
            if (size != 0) std::memcpy(larger.get(), data_.get() + begin_, size);
            data_ = std::move(larger);
            capacity_ = capacity;
        } else if (size != 0) {
            std::memmove(data_.get(), data_.get() + begin_, size);
        }
        begin_ = 0;
        end_ = size;
    }

    std::unique_ptr<char[]> data_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

} // namespace tern::detail
