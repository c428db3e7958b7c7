// How a message is published: checked, encoded, and sent or queued. All that most messages pass becomes one function.
#pragma once

#include "tern/session/detail/sender.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace tern::detail {

// Sends a message for the first time.
TERN_INLINE inline void sender::send_new(outbox& out, const queued_message& m, bool acknowledged,
                                         time_point now) {
    ++sent_;
    if (!acknowledged) {
        unwritten_message& u = unwritten_messages_.next();
        u.end = out.queue(m.packet);
        u.message = m;
        return;
    }
    exchange& e = begin(out, m.packet, m.op);
    const bool twice = (static_cast<unsigned char>(*out.bytes(m.packet)) & 0x04U) != 0; // a bit of its QoS
    e.state = twice ? exchange_state::publish_2 : exchange_state::publish_1;
    e.expires = m.expires;
    e.counts_from = m.counts_from;
    ++publishes_;
    ++in_flight_;
    e.fresh = true;
    send(out, m.packet, e, now);
}

template <bool Simple>
TERN_INLINE inline errc sender::publish_as(outbox& out, const tern::publish& packet, time_point expires,
                                           op_id op, time_point now) {
    const message_view& message = packet.message;
    const bool acknowledged = message.qos != qos::at_most_once;
    const auto length = measure_as<Simple>(packet, version_);
    if (!length) return length.error();
    const std::size_t size = with_header(*length);
    if (connected_) {
        const errc limit = terms_.limits.check(message.qos, message.retain, size);
        if (limit != errc::none) return limit;
    }
    const bool at_once = sends_at_once(out, acknowledged);
    if (!at_once) {
        bool drop = false;
        const errc full = queue_.admit(out, size, op, drop);
        if (full != errc::none || drop) return full;
        save_memory(out);
        queue_.reserve();
    }
    reserve(out, acknowledged);
    queued_message m{.packet = out.encode_as<Simple>(packet, version_, *length),
                     .op = op,
                     .expires = expires,
                     .version = version_};
    out.retain(m.packet);
    if (!Simple && message.properties.message_expiry_interval) {
        m.counts_from = now;
        m.expires =
            std::min(m.expires, now + std::chrono::seconds(*message.properties.message_expiry_interval));
    }
    if (at_once)
        send_new(out, m, acknowledged, now);
    else
        queue_.push(m, acknowledged);
    return errc::none;
}

TERN_NOINLINE inline errc sender::publish_any(outbox& out, const tern::publish& packet, time_point expires,
                                              op_id op, time_point now) {
    return publish_as<false>(out, packet, expires, op, now);
}

TERN_INLINE inline errc sender::publish(outbox& out, const message_view& message, time_point expires,
                                        op_id op, time_point now) {
    const bool acknowledged = message.qos != qos::at_most_once;
    tern::publish packet{.message = message};
    if (acknowledged) packet.packet_id = 1; // any: the true one is known when it is sent
    if (is_simple(packet)) [[likely]]
        return publish_as<true>(out, packet, expires, op, now);
    return publish_any(out, packet, expires, op, now);
}

} // namespace tern::detail
