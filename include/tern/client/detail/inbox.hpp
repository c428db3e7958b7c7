// The messages that have come and that nobody has taken yet.
#pragma once

#include "tern/message.hpp"
#include "tern/session/event.hpp"
#include "tern/session/session.hpp"

#include <cstddef>
#include <utility>

namespace tern::detail {

class inbox {
public:
    struct entry {
        tern::message message;
        std::size_t size = 0;
        message_token token = message_token::none;
        bool dup = false;
    };

    /// How many messages, or bytes of them, make it full. It takes more if it must: the last message may be large,
    /// and what was received when a connection ends is not lost.
    void set_limits(std::size_t messages, std::size_t bytes) noexcept {
        limit_ = messages;
        byte_limit_ = bytes;
    }

    bool empty() const noexcept { return messages_.empty(); }
    bool full() const noexcept { return messages_.size() >= limit_ || bytes_ >= byte_limit_; }

    /// The only copy of a message that the client makes.
    void push(const received& e) {
        entry added{message(e.message), 0, e.token, e.dup};
        measure_borrowed measured;
        message_view::visit(added.message.view(), measured);
        added.size = measured.size;
        messages_.push_back(std::move(added));
        bytes_ += measured.size;
    }
    entry pop() noexcept {
        bytes_ -= messages_.front().size;
        return messages_.pop_front();
    }

private:
    ring<entry> messages_;
    std::size_t bytes_ = 0;
    std::size_t limit_ = 0;
    std::size_t byte_limit_ = 0;
};

} // namespace tern::detail
