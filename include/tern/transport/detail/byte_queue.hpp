// Bytes that wait to be written or decoded.
//
// While it is busy, it allocates nothing. A large block is freed once it is empty and several small uses have followed,
// so that an idle connection has at most a small one.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace tern::detail {

class byte_queue {
public:
    static constexpr std::size_t small_block = 4 * 1024;

    std::string_view view() const noexcept { return {block_.get() + begin_, end_ - begin_}; }
    std::size_t size() const noexcept { return end_ - begin_; }
    bool empty() const noexcept { return begin_ == end_; }

    /// Returns the position after the last byte, where `count` bytes may be stored and then appended with `commit`.
    char* prepare(std::size_t count) {
        if (capacity_ - end_ < count) make_room(count);
        return block_.get() + end_;
    }
    void commit(std::size_t count) noexcept {
        end_ += count;
        largest_size_ = (std::max)(largest_size_, end_);
    }

    void append(std::string_view bytes) {
        if (bytes.empty()) return;
        std::memcpy(prepare(bytes.size()), bytes.data(), bytes.size());
        commit(bytes.size());
    }

    /// Removes the first bytes.
    void consume(std::size_t count) noexcept {
        begin_ += count;
        if (begin_ == end_) on_empty();
    }

    /// Removes all bytes and frees the memory.
    void clear() noexcept { *this = byte_queue(); }

    /// Frees a large block if it is empty.
    void trim() noexcept {
        if (empty() && capacity_ > small_block) clear();
    }

private:
    static constexpr std::size_t smallest_block = 256;
    static constexpr int most_small_uses = 8; // in a row, of a large block

    void make_room(std::size_t count) {
        const std::size_t used = size();
        if (capacity_ - used >= count) {
            std::memmove(block_.get(), block_.get() + begin_, used);
        } else {
            const std::size_t capacity = (std::max)(smallest_block, std::bit_ceil(used + count));
            std::unique_ptr<char[]> larger(new char[capacity]);
            if (used != 0) std::memcpy(larger.get(), block_.get() + begin_, used);
            block_ = std::move(larger);
            capacity_ = capacity;
        }
        begin_ = 0;
        end_ = used;
    }

    void on_empty() noexcept {
        begin_ = 0;
        end_ = 0;
        if (capacity_ <= small_block) return;
        small_uses_ = largest_size_ <= small_block ? small_uses_ + 1 : 0;
        largest_size_ = 0;
        if (small_uses_ == most_small_uses) clear();
    }

    std::unique_ptr<char[]> block_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t largest_size_ = 0; // since it was last empty
    int small_uses_ = 0;
};

} // namespace tern::detail
