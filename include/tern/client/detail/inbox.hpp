// The messages that have come and that nobody has taken yet.
#pragma once

#include "tern/message.hpp"
#include "tern/session/event.hpp"
#include "tern/session/session.hpp"

#include <cstddef>

namespace tern::detail {

class inbox {
public:
    struct entry {
        tern::message message;
        message_token token = message_token::none;
    };

    /// How many messages make it full. It takes more if it must: what was received when a connection ends.
    void set_limit(std::size_t limit) noexcept { limit_ = limit; }

    bool empty() const noexcept { return messages_.empty(); }
    bool full() const noexcept { return messages_.size() >= limit_; }

    /// The only copy of a message that the client makes.
    void push(const received& e) { messages_.push_back({message(e.message), e.token}); }
    entry pop() noexcept { return messages_.pop_front(); }

private:
    ring<entry> messages_;
    std::size_t limit_ = 0;
};

} // namespace tern::detail
