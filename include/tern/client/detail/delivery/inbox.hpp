// The messages that no operation has received yet.
#pragma once

#include "tern/client/received_message.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/options.hpp"
#include "tern/session/session.hpp"
#include "tern/types.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

namespace tern::detail {

struct stored_message {
    received_message message;
    packet_id id = 0; // 0: unknown, because it was returned by an operation
};

/// Finds the stored QoS 1 message with a packet identifier, when the broker sends a message again. Of a full inbox,
/// each message may come again. The index is made with the first one, and covers messages that are stored later when
/// the next one comes again.
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

class inbox {
public:
    /// Sets the limits on messages and on their bytes. The inbox accepts more if necessary: the last message may be
    /// large, and messages received before a connection ends are not lost.
    void set_limits(const connect_options& options) noexcept {
        limit_ = options.inbox_limit;
        byte_limit_ = options.inbox_bytes;
        hard_limit_ = inbox_hard_limit(options);
        hard_byte_limit_ = inbox_hard_bytes(options);
    }

    bool is_empty() const noexcept { return messages_.empty(); }
    bool is_full() const noexcept { return messages_.size() >= limit_ || bytes_ >= byte_limit_; }
    /// It accepts nothing more, also if an operation waits for an answer behind messages.
    bool is_at_hard_limit() const noexcept { return messages_.size() >= hard_limit_ || bytes_ >= hard_byte_limit_; }

    void push(received_message m, packet_id id) {
        stored_message& s = messages_.next();
        bytes_ += m.owned_bytes();
        s.message = std::move(m);
        s.id = id;
    }
    /// Returns messages that were popped to their places in the order of arrival. If allocation fails, it changes
    /// nothing and returns false.
    TERN_COLD bool put_back(std::span<received_message> returned) noexcept {
        try {
            messages_.reserve(returned.size());
        } catch (const std::bad_alloc&) {
            return false;
        }
        for (received_message& m : returned)
            put_back(m);
        identifiers_.clear();
        return true;
    }
    /// The stored copy of a QoS 1 message that has come again, with the same identifier, topic and payload. Null if
    /// there is none.
    TERN_COLD received_message* find_copy(const received& e) {
        stored_message* const s = identifiers_.find(messages_, e.packet_id);
        if (!s || s->id != e.packet_id) return nullptr;
        received_message& m = s->message;
        const bool is_copy = m.qos == qos::at_least_once && m.topic == e.topic && m.payload == e.payload;
        return is_copy ? &m : nullptr;
    }
    received_message pop() noexcept {
        received_message m = std::move(messages_.front().message);
        messages_.drop_front();
        bytes_ -= m.owned_bytes();
        return m;
    }
    /// Frees the memory if it is not in use.
    void trim() noexcept {
        if (is_empty()) messages_.clear();
        identifiers_.clear();
    }

private:
    // There is room. Returned messages are usually older or newer than all others.
    TERN_COLD void put_back(received_message& m) noexcept {
        bytes_ += m.owned_bytes();
        if (messages_.empty() || message_owner::arrived_before(messages_.back().message, m))
            return messages_.push_back({std::exchange(m, {})});
        messages_.push_front({std::exchange(m, {})});
        for (std::size_t i = 1; message_owner::arrived_before(messages_[i].message, messages_[i - 1].message); ++i)
            std::swap(messages_[i], messages_[i - 1]);
    }

    ring<stored_message> messages_;
    identifier_index identifiers_;
    std::size_t bytes_ = 0;
    std::size_t limit_ = 0;
    std::size_t byte_limit_ = 0;
    std::size_t hard_limit_ = 0;
    std::size_t hard_byte_limit_ = 0;
};

} // namespace tern::detail
