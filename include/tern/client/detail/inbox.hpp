// The messages that have come and that nobody has taken yet.
#pragma once

#include "tern/client/received_message.hpp"
#include "tern/session/session.hpp"

#include <cstddef>
#include <utility>

namespace tern::detail {

class inbox {
public:
    /// How many messages, or bytes of them, make it full. It takes more if it must: the last message may be large,
    /// and what was received when a connection ends is not lost.
    void set_limits(std::size_t messages, std::size_t bytes) noexcept {
        limit_ = messages;
        byte_limit_ = bytes;
    }

    bool empty() const noexcept { return messages_.empty(); }
    bool full() const noexcept { return messages_.size() >= limit_ || bytes_ >= byte_limit_; }

    void push(received_message m) {
        bytes_ += m.owned_bytes();
        messages_.push_back(std::move(m));
    }
    received_message pop() noexcept {
        bytes_ -= messages_.front().owned_bytes();
        return messages_.pop_front();
    }

private:
    ring<received_message> messages_;
    std::size_t bytes_ = 0;
    std::size_t limit_ = 0;
    std::size_t byte_limit_ = 0;
};

} // namespace tern::detail
