// The outgoing half of one connection: what may be sent on it, what was sent, and which acknowledgements are due.
//
// At most `window` QoS 1 and 2 messages are unacknowledged [MQTT-3.3.4-7]. Further ones wait, encoded, in the order of
// publishing. QoS 0 and all other packets never wait for the window [MQTT-4.9.0-3].
//
// One exchange is watched at a time: the oldest one whose answer the client still expects in time. Its clock begins
// when its packet has been written, and again with each answer to an older exchange. late_answers.hpp says what follows
// when the clock has run out.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/send/connection_aliases.hpp"
#include "tern/session/detail/send/late_state.hpp"
#include "tern/session/detail/send/op_index.hpp"
#include "tern/session/detail/send/outgoing.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/session/time.hpp"
#include "tern/topic.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern::detail {

/// The broker's limits on one connection. By default those of the standard, which hold where CONNACK says nothing, and
/// always in 3.1.1.
struct broker_limits {
    std::uint32_t maximum_packet_bytes = packet_size_max;
    std::uint16_t receive_maximum = 65'535;
    std::uint16_t topic_alias_maximum = 0;
    qos maximum_qos = qos::exactly_once;
    bool retain_available = true;
    bool wildcard_subscriptions_available = true;
    bool subscription_identifiers_available = true;
    bool shared_subscriptions_available = true;

    broker_limits() = default;
    explicit broker_limits(const connack_properties& p) noexcept
        : maximum_packet_bytes(p.maximum_packet_size.value_or(packet_size_max))
        , receive_maximum(p.receive_maximum.value_or(65'535))
        , topic_alias_maximum(p.topic_alias_maximum.value_or(0))
        , maximum_qos(p.maximum_qos.value_or(qos::exactly_once))
        , retain_available(p.retain_available.value_or(true))
        , wildcard_subscriptions_available(p.wildcard_subscription_available.value_or(true))
        , subscription_identifiers_available(p.subscription_identifier_available.value_or(true))
        , shared_subscriptions_available(p.shared_subscription_available.value_or(true)) {}

    void lower_maximum_qos(qos level) noexcept { maximum_qos = (std::min)(maximum_qos, level); }

    /// Checks a PUBLISH whose encoded packet has this size.
    errc check_publish(qos level, bool retain, std::size_t packet_bytes) const noexcept {
        if (level > maximum_qos) return errc::qos_not_supported;            // [MQTT-3.2.2-11]
        if (retain && !retain_available) return errc::retain_not_supported; // [MQTT-3.2.2-14]
        return check_size(packet_bytes);
    }

    /// Checks the filters and properties of a SUBSCRIBE.
    TERN_COLD errc check_subscribe(const subscriptions_view& list,
                                   const subscribe_properties& properties) const noexcept {
        if (properties.subscription_identifier && !subscription_identifiers_available)
            return errc::subscription_identifiers_not_supported;
        for (const subscription& s : list)
            if (const errc error = check_filter(s.filter); error != errc::none) return error;
        return errc::none;
    }
    TERN_COLD errc check_filter(std::string_view filter) const noexcept {
        if (!wildcard_subscriptions_available && has_wildcard(filter))
            return errc::wildcard_subscriptions_not_supported;
        return !shared_subscriptions_available && is_shared(filter) ? errc::shared_subscriptions_not_supported
                                                                    : errc::none;
    }

    errc check_size(std::size_t packet_bytes) const noexcept { // [MQTT-3.2.2-15]
        return packet_bytes > maximum_packet_bytes ? errc::packet_too_large : errc::none;
    }
};

/// Whether requests are sent on the connection.
enum class send_state : std::uint8_t {
    checked,          ///< they are sent, but some topics are refused, or get an alias
    open,             ///< they are sent
    careful,          ///< they are sent in batches (careful.hpp)
    awaiting_connack, ///< they wait
    leaving,          ///< only what was accepted before is sent; DISCONNECT follows
    closed,           ///< nothing follows DISCONNECT, or the connection is being closed [MQTT-3.14.4-1]
};
/// Whether the broker has accepted the connection, and it has not ended.
constexpr bool is_accepted(send_state s) noexcept {
    return s <= send_state::careful;
}

struct transmission {
    /// The number of bytes to be written beyond which further messages wait in the queue.
    static constexpr std::size_t largest_backlog = std::size_t{256} * 1024;
    /// The last identifiers are left for SUBSCRIBE and UNSUBSCRIBE.
    static constexpr std::size_t most_publishes = exchange_table::capacity - 16;

    struct unwritten_packet { // of an exchange, whose acknowledgement is due once this is written
        packet_log::position end = 0;
        packet_id id = 0;
    };
    struct unwritten_message { // QoS 0. Not retained: bytes to be written stay in the log anyway
        packet_log::position end = 0;
        op_id op = op_id::none;
        packet_slice packet; // empty if it was cancelled too late: it is not sent on another connection
        time_point expires;  // as in the queue
        time_point expiry_counted_from;
    };

    broker_limits limits;
    std::uint16_t window = 0;
    send_state state = send_state::awaiting_connack;
    ack_timeout_action when_late = ack_timeout_action::wait;
    bool has_room = false;       // an acknowledgement has made room for another message
    bool has_answers = false;    // the broker has answered a request on this connection
    packet_id watched = 0;       // the exchange whose answer is expected next; 0: none
    packet_id resend_cursor = 0; // the first exchange that may still have to be sent again on this connection; 0: none
    std::uint32_t in_flight = 0;
    std::chrono::milliseconds ack_timeout{0};
    ring<unwritten_packet> unwritten_packets;
    ring<unwritten_message> unwritten_messages;
    time_point ack_deadline = (time_point::max)(); // when the watched exchange is looked at, if there is one
    time_point answered_at = (time_point::min)();  // when an exchange before the watched one was answered
    packet_log::position answered_end = 0;         // the end of that exchange's packet: the broker has processed it
    heap_optional<late_state> late;
    heap_optional<connection_aliases> aliases; // once a message has one

    /// The state in which all requests are sent. A message that may get an alias is looked at first.
    send_state open_state() const noexcept {
        return aliases && aliases->own() != 0 ? send_state::checked : send_state::open;
    }
    /// Whether a byte of the exchange's packet has been written on this connection.
    TERN_COLD bool is_offered(const exchange& e, packet_log::position written) const noexcept {
        const std::size_t size = aliases ? aliases->size_of(e.end, e.packet.size) : e.packet.size;
        return e.is_sent() && e.end - size < written;
    }

    // Whether a QoS 1 or 2 message may be sent.
    TERN_INLINE bool has_window(const outgoing& out) const noexcept {
        return in_flight < window && out.exchanges().size() < most_publishes &&
               out.log().unwritten() < largest_backlog &&
               (out.log().retained() < largest_backlog ||
                out.log().retained() - out.queue().bytes() < out.queue().byte_limit());
    }

    /// Queues the packet of an exchange to be written. There must be room for another unwritten packet.
    TERN_INLINE void send(outgoing& out, const packet_slice& packet, const exchange& e, transmission_state how,
                          time_point now) {
        const packet_log::position end = out.log().queue(packet);
        out.mark_sent(e, how, end, now); // the time is set again when the packet has been written
        unwritten_packets.next_reserved() = {end, e.id};
        if (watched == 0) watch(e, now);
    }

    /// Bytes were written: from now on their acknowledgements can be expected.
    void on_written(outgoing& out, time_point now) {
        const packet_log::position written = out.log().written();
        while (!unwritten_packets.empty() && unwritten_packets.front().end <= written) {
            const unwritten_packet w = unwritten_packets.pop_front();
            const exchange& e = out.exchanges().slot_of(w.id);
            if (e.end == w.end) out.mark_written(e, now); // no other packet ends there
        }
    }

    /// The next QoS 0 message that has been written and that an operation waits for. False if there is none.
    bool next_written(const outgoing& out, op_id& op) noexcept {
        while (!unwritten_messages.empty() && unwritten_messages.front().end <= out.log().written()) {
            op = unwritten_messages.front().op;
            unwritten_messages.drop_front();
            if (op != op_id::none) return true;
        }
        return false;
    }

    /// The QoS 0 message of an operation that is not written yet, or null.
    TERN_COLD unwritten_message* find_unwritten(outgoing& out, op_id op) noexcept {
        op_index none;
        auto* const indexes = unwritten_messages.size() > op_index::few ? out.make_indexes() : nullptr;
        return (indexes ? indexes->unwritten : none).find(unwritten_messages, op, [](const unwritten_message& m) {
            return m.end;
        });
    }

    /// Frees the memory that is not in use.
    void trim() noexcept {
        if (unwritten_packets.empty()) unwritten_packets.clear();
        if (unwritten_messages.empty()) unwritten_messages.clear();
    }

    /// The exchange no longer has to be sent again.
    TERN_INLINE void skip_in_resend(const exchange& e) noexcept {
        if (resend_cursor == e.id) resend_cursor = e.next;
    }

    /// The broker has answered the packet of the exchange.
    TERN_INLINE void on_answer(const exchange& e, time_point now) noexcept {
        has_answers = true;
        if (watched != e.id) return;
        answered_at = now;
        answered_end = e.end;
        watch_next(e);
    }

    /// Ends an exchange.
    TERN_INLINE void end(outgoing& out, const exchange& e) noexcept {
        if (watched == e.id) [[unlikely]]
            watch_next(e);
        end_unwatched(out, e);
    }
    /// The same after `on_answer`.
    TERN_INLINE void end_unwatched(outgoing& out, const exchange& e) noexcept {
        skip_in_resend(e);
        if (!e.is_request() && e.is_sent()) --in_flight;
        out.end(e);
    }

    /// Whether messages wait for the window, or for room in the log.
    TERN_INLINE bool has_waiting(const outgoing& out) const noexcept {
        return !out.queue().empty() || resend_cursor != 0;
    }

    /// Answers could not be read for some time: they have all their time from now on.
    void restart_clock(time_point now) noexcept {
        answered_at = now;
        if (ack_deadline != (time_point::max)()) ack_deadline = now + ack_timeout;
    }

    /// When the watched exchange is to be looked at.
    time_point answer_due() const noexcept { return watched == 0 ? (time_point::max)() : ack_deadline; }

    /// The exchange after this one is watched instead.
    TERN_INLINE void watch_next(const exchange& e) noexcept { watched = e.next; }

private:
    TERN_INLINE void watch(const exchange& e, time_point now) noexcept {
        watched = e.id;
        if (ack_timeout.count() != 0) ack_deadline = now + ack_timeout;
    }
};

/// The effect of an acknowledgement on its exchange.
enum class ack_effect : std::uint8_t {
    none,               ///< the exchange goes on
    unknown_identifier, ///< there is no exchange with this identifier
    finished,           ///< the exchange is over
    violation,          ///< the exchange waits for another kind of packet
};

struct ack_outcome {
    ack_effect effect = ack_effect::none;
    op_id op = op_id::none;  // finished: the operation
    time_point sent_at = {}; // finished: when the last packet of the exchange was written
};

/// The effect that the acknowledgement of an exchange in this state has.
inline ack_outcome expect_ack(const outgoing& out, exchange_state expected, packet_id id) noexcept {
    const exchange* const e = out.exchanges().find(id);
    if (!e || e->is_withheld()) return {.effect = ack_effect::unknown_identifier};
    if (e->state != expected) return {.effect = ack_effect::violation};
    return {.effect = ack_effect::finished, .op = e->op, .sent_at = e->sent_at};
}

/// The same, and ends the exchange.
TERN_INLINE inline ack_outcome finish_exchange(outgoing& out, transmission& link, exchange_state expected, packet_id id,
                                               time_point now) {
    const exchange* const e = out.exchanges().find(id);
    if (!e) return {.effect = ack_effect::unknown_identifier};
    if (e->state != expected) return {.effect = ack_effect::violation};
    const ack_outcome outcome{.effect = ack_effect::finished, .op = e->op, .sent_at = e->sent_at};
    link.on_answer(*e, now);
    link.end_unwatched(out, *e);
    link.has_room = true;
    return outcome;
}

} // namespace tern::detail
