// The QoS 2 messages of earlier connections that the application has but has not released. There may be one for each
// packet identifier, so they are found by binary search, both by identifier and by token.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/event.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

struct unreleased_message {
    tern::packet_id packet_id = 0;
    bool removed = false;
    message_token token = message_token::none;
    message_token due_as = message_token::none; // its acknowledgement, if the PUBLISH came again on this connection
};

class unreleased_messages {
public:
    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }

    /// Makes room: the next `count` messages are added without allocating.
    TERN_COLD void reserve(std::size_t count) {
        messages_.reserve(messages_.size() + count);
        by_id_.reserve(messages_.size() + count);
    }
    /// Adds a message, whose token is larger than those of all others. It is found after `sort`.
    void add(packet_id id, message_token token) noexcept {
        messages_.push_back({.packet_id = id, .token = token});
        ++size_;
    }
    /// Sorts the messages that were added, and forgets those that were removed.
    TERN_COLD void sort() noexcept {
        messages_.erase_if([](const unreleased_message& m) { return m.removed; });
        by_id_.resize(messages_.size());
        for (std::size_t i = 0; i != by_id_.size(); ++i)
            by_id_[i] = static_cast<std::uint16_t>(i);
        const auto is_before = [&](std::uint16_t a, std::uint16_t b) {
            return messages_[a].packet_id < messages_[b].packet_id;
        };
        std::make_heap(by_id_.begin(), by_id_.end(), is_before); // compiles to a fifth of the code of `std::sort`
        std::sort_heap(by_id_.begin(), by_id_.end(), is_before);
    }

    /// The message with this identifier or token, or null.
    TERN_COLD unreleased_message* find(packet_id id) noexcept {
        const auto found = std::lower_bound(by_id_.begin(), by_id_.end(), id, [&](std::uint16_t i, packet_id wanted) {
            return messages_[i].packet_id < wanted;
        });
        if (found == by_id_.end()) return nullptr;
        unreleased_message& m = messages_[*found];
        return m.packet_id == id && !m.removed ? &m : nullptr;
    }
    TERN_COLD unreleased_message* find(message_token token) noexcept {
        const auto found =
            std::lower_bound(messages_.begin(), messages_.end(), token,
                             [](const unreleased_message& m, message_token wanted) { return m.token < wanted; });
        return found != messages_.end() && found->token == token && !found->removed ? found : nullptr;
    }
    void remove(unreleased_message& m) noexcept {
        m.removed = true;
        if (--size_ == 0) *this = {};
    }
    /// Messages that came again on the connection before may come again on the next one.
    TERN_COLD void clear_due() noexcept {
        for (unreleased_message& m : messages_)
            m.due_as = message_token::none;
    }

private:
    friend struct session_inspector;

    growing_array<unreleased_message> messages_; // in the order of their tokens
    growing_array<std::uint16_t> by_id_;         // their indexes, in the order of the identifiers
    std::size_t size_ = 0;                       // without those that were removed
};

} // namespace tern::detail
