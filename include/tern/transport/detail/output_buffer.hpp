// The bytes that a layer has made and the transport below has not yet accepted.
//
// The bytes of `view` stay where they are until they are committed, because a write of them may be outstanding. Bytes
// that are appended meanwhile go to a second buffer, which follows.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::detail {

class output_buffer {
public:
    /// The bytes to be written next. From now on they stay where they are. The value may change after `commit`, and,
    /// while it is empty, after `append` and `extend`.
    std::string_view view() noexcept {
        is_shown_ = !front_.empty();
        return {front_.data() + begin_, front_.size() - begin_};
    }
    bool empty() const noexcept { return front_.empty(); }
    std::size_t size() const noexcept { return front_.size() - begin_ + back_.size(); }

    /// Appends uninitialized room, to be filled before the next call of another function. If it throws, nothing has
    /// changed.
    char* extend(std::size_t count) {
        std::vector<char>& to = is_shown_ ? back_ : front_;
        to.resize(to.size() + count);
        return to.data() + (to.size() - count);
    }
    void append(std::string_view bytes) {
        std::vector<char>& to = is_shown_ ? back_ : front_;
        to.insert(to.end(), bytes.begin(), bytes.end());
    }

    /// The first `count` bytes of `view` have been written.
    void commit(std::size_t count) noexcept {
        begin_ += count;
        if (begin_ != front_.size()) return;
        front_.clear();
        begin_ = 0;
        front_.swap(back_);
        is_shown_ = false;
    }

    /// Frees the memory. Nothing is to be written.
    void trim() noexcept {
        std::vector<char>().swap(front_);
        std::vector<char>().swap(back_);
    }

private:
    std::vector<char> front_;
    std::vector<char> back_;
    std::size_t begin_ = 0;
    bool is_shown_ = false; // a write of `front_` may be outstanding
};

} // namespace tern::detail
