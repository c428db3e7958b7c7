// How a message is published: checked, encoded, and sent or queued. All that most messages pass becomes one function.
#pragma once

#include "tern/session/detail/sender.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace tern::detail {

TERN_INLINE inline sender::unwritten_message& sender::send_at_most_once(outbox& out, const outbox::place& at,
                                                                        op_id op) {
    ++sent_;
    unwritten_message& u = unwritten_messages_.next_reserved();
    u.end = out.queue(at);
    u.op = op;
    u.packet = at;
    u.expires = u.counts_from = time_point::max();
    return u;
}

TERN_INLINE inline exchange& sender::send_acknowledged(outbox& out, const outbox::place& at, packet_id id,
                                                       qos level, op_id op, time_point now) {
    ++sent_;
    exchange& e = begin(at, id, op);
    e.state = level == qos::exactly_once ? exchange_state::publish_2 : exchange_state::publish_1;
    e.fresh = true;
    ++publishes_;
    ++in_flight_;
    send(out, at, e, now);
    return e;
}

// The properties of a message that has none are not copied.
template <bool Simple>
TERN_INLINE inline publish sender::to_packet(const message_view& message) noexcept {
    const packet_id any = message.qos == qos::at_most_once ? 0 : 1; // the true one is known when it is sent
    if constexpr (!Simple) return {.message = message, .packet_id = any};
    return {.message = {.topic = message.topic,
                        .payload = message.payload,
                        .qos = message.qos,
                        .retain = message.retain},
            .packet_id = any};
}

// When the message will be of no use any more.
template <bool Simple, class Message>
TERN_INLINE inline void sender::set_times(Message& m, const message_view& message, time_point expires,
                                          time_point now) noexcept {
    m.expires = expires;
    if (Simple || !message.properties.message_expiry_interval) return;
    m.counts_from = now;
    m.expires = std::min(expires, now + std::chrono::seconds(*message.properties.message_expiry_interval));
}

// Sends a message that may be sent at once.
template <bool Simple, bool Acknowledged>
TERN_INLINE inline void sender::publish_now(outbox& out, tern::publish& packet, measured length,
                                            time_point expires, op_id op, time_point now) {
    reserve(out, Acknowledged);
    packet.packet_id = Acknowledged ? exchanges_.next_id() : packet_id{0};
    const outbox::place at = out.encode_as<Simple>(packet, version_, length);
    if constexpr (Acknowledged) {
        out.retain(at);
        exchange& e = send_acknowledged(out, at, packet.packet_id, packet.message.qos, op, now);
        set_times<Simple>(e, packet.message, expires, now);
    } else {
        set_times<Simple>(send_at_most_once(out, at, op), packet.message, expires, now);
    }
}

template <bool Acknowledged>
TERN_INLINE inline errc sender::publish_simple(outbox& out, const message_view& message, op_id op,
                                               time_point now) {
    tern::publish packet = to_packet<true>(message);
    if constexpr (!Acknowledged) packet.message.qos = qos::at_most_once; // as the compiler knows now
    const auto length = measure_as<true>(packet, version_);
    if (!length) return length.error();
    const errc limit = terms_.limits.check(packet.message.qos, message.retain, with_header(*length));
    if (limit != errc::none) return limit;
    publish_now<true, Acknowledged>(out, packet, *length, time_point::max(), op, now);
    return errc::none;
}

TERN_INLINE inline errc sender::publish_simple(outbox& out, const message_view& message, op_id op,
                                               time_point now) {
    return message.qos == qos::at_most_once ? publish_simple<false>(out, message, op, now)
                                            : publish_simple<true>(out, message, op, now);
}

TERN_NOINLINE inline errc sender::publish_any(outbox& out, const message_view& message, time_point expires,
                                              op_id op, time_point now) {
    tern::publish packet = to_packet<false>(message);
    const bool acknowledged = message.qos != qos::at_most_once;
    const auto length = measure(packet, version_);
    if (!length) return length.error();
    if (connected_) {
        const errc limit = terms_.limits.check(message.qos, message.retain, with_header(*length));
        if (limit != errc::none) return limit;
    }
    if (!sends_at_once(out, acknowledged)) return enqueue(out, packet, *length, expires, op, now);
    if (acknowledged)
        publish_now<false, true>(out, packet, *length, expires, op, now);
    else
        publish_now<false, false>(out, packet, *length, expires, op, now);
    return errc::none;
}

inline errc sender::enqueue(outbox& out, const tern::publish& packet, measured length, time_point expires,
                            op_id op, time_point now) {
    const bool acknowledged = packet.message.qos != qos::at_most_once;
    bool drop = false;
    const errc full = queue_.admit(out, with_header(length), op, drop);
    if (full != errc::none || drop) return full;
    save_memory(out);
    queue_.reserve();
    queued_message m{.packet = out.encode(packet, version_, length), .version = version_, .op = op};
    set_times<false>(m, packet.message, expires, now);
    out.retain(m.packet);
    queue_.push(m, acknowledged);
    return errc::none;
}

} // namespace tern::detail
