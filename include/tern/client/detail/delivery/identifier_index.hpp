// Finds the stored QoS 1 message with a packet identifier, when the broker sends a message again. Of a full inbox, each
// message may come again. The index is made with the first one, and covers messages that are stored later when the next
// one comes again.
#pragma once

#include "tern/client/received_message.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/session.hpp"
#include "tern/types.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

struct stored_message {
    received_message message;
    packet_id id = 0; // 0: unknown, because it was returned by an operation
};

class identifier_index {
public:
    /// The newest stored message with this identifier. Null if there is none, or another one if it is no longer stored.
    /// The messages are in the order of arrival.
    TERN_COLD stored_message* find(ring<stored_message>& messages, packet_id id) {
        if (messages.empty()) return nullptr;
        add_new(messages);
        const std::uint32_t arrival = (*arrivals_)[id];
        std::size_t first = 0;
        for (std::size_t count = messages.size(); count != 0;) {
            const std::size_t half = count / 2;
            const bool is_before = is_earlier(message_owner::arrival_of(messages[first + half].message), arrival);
            if (is_before) first += half + 1;
            count = is_before ? count - half - 1 : half;
        }
        return first == messages.size() ? nullptr : &messages[first];
    }
    /// Frees the memory. To be called when messages were returned to places before the newest one.
    void clear() noexcept { arrivals_.reset(); }

private:
    // The numbers wrap around.
    static bool is_earlier(std::uint32_t a, std::uint32_t b) noexcept { return static_cast<std::int32_t>(a - b) < 0; }

    void add_new(const ring<stored_message>& messages) {
        if (!arrivals_) {
            arrivals_.emplace();
            newest_ = message_owner::arrival_of(messages.front().message) - 1;
        }
        std::size_t i = messages.size();
        while (i != 0 && is_earlier(newest_, message_owner::arrival_of(messages[i - 1].message)))
            --i;
        for (; i != messages.size(); ++i) {
            newest_ = message_owner::arrival_of(messages[i].message);
            if (messages[i].message.qos == qos::at_least_once) (*arrivals_)[messages[i].id] = newest_;
        }
    }

    heap_optional<std::array<std::uint32_t, 65'536>> arrivals_; // by identifier
    std::uint32_t newest_ = 0;                                  // the last message in the index
};

} // namespace tern::detail
