// PUBLISH at each QoS, from the request to its last acknowledgement.
//
//     QoS 0   PUBLISH -> written: over
//     QoS 1   PUBLISH -> PUBACK: over
//     QoS 2   PUBLISH -> PUBREC: PUBREL -> PUBCOMP: over; PUBREC >= 0x80: over
//
// A message that may not be sent yet waits in the queue. Most messages are simple (no properties, no time to live) and
// are sent at once: these go through one function each, in which the compiler knows the QoS.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/codec/publish.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/send/outgoing.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

class publishing {
public:
    publishing(outgoing& out, transmission& link) noexcept : out_(out), link_(link) {}
    /// For a message to which the application has given a topic alias.
    publishing(outgoing& out, transmission& link, std::uint16_t alias) noexcept
        : out_(out)
        , link_(link)
        , alias_(alias) {}

    /// Whether a message would be sent at once, and not be queued.
    TERN_INLINE bool sends_at_once(bool acknowledged) const noexcept {
        return link_.state == send_state::open && has_room(acknowledged) && out_.queue().can_overtake(acknowledged);
    }
    /// The same if its topic is known not to be refused.
    bool sends_checked_at_once(bool acknowledged) const noexcept {
        return link_.state <= send_state::open && has_room(acknowledged) && out_.queue().can_overtake(acknowledged);
    }
    /// The same for a connection with nothing else to do, and without a queue.
    TERN_INLINE bool has_room(bool acknowledged) const noexcept {
        if (out_.log().unwritten() >= transmission::largest_backlog) return false;
        return !acknowledged || (link_.has_window(out_) && link_.resend_cursor == 0);
    }

    /// Sends a message that `is_simple`, never expires, and is sent at once.
    TERN_INLINE errc publish_simple(const message_view& message, op_id op, time_point now) {
        return message.qos == qos::at_most_once ? publish_simple<false>(message, op, now)
                                                : publish_simple<true>(message, op, now);
    }

    /// Sends a message, or queues it until it may be sent.
    TERN_NOINLINE errc publish_any(const message_view& message, time_point expires, op_id op, time_point now) {
        if (!is_accepted(link_.state)) return queue_message(out_, message, expires, op, now);
        publish packet = to_packet<false>(message);
        const bool acknowledged = message.qos != qos::at_most_once;
        const auto length = measure(packet, out_.version());
        if (!length) return length.error();
        const errc limit = link_.limits.check_publish(message.qos, message.retain, with_header(*length));
        if (limit != errc::none) return limit;
        if (!sends_checked_at_once(acknowledged)) return queue_packet(out_, packet, *length, expires, op, now);
        if (acknowledged)
            send_first<false, true>(packet, *length, expires, op, now);
        else
            send_first<false, false>(packet, *length, expires, op, now);
        return errc::none;
    }

    /// Queues a message while there is no connection.
    static errc queue_message(outgoing& out, const message_view& message, time_point expires, op_id op,
                              time_point now) {
        const publish packet = to_packet<false>(message);
        const auto length = measure(packet, out.version());
        if (!length) return length.error();
        return queue_packet(out, packet, *length, expires, op, now);
    }

    /// Sends or queues a message. `link` is null while there is no connection.
    static errc send_or_queue(outgoing& out, transmission* link, const message_view& message, time_point expires,
                              op_id op, time_point now) {
        return link ? publishing(out, *link).publish_any(message, expires, op, now)
                    : queue_message(out, message, expires, op, now);
    }

    /// Sends the next queued message, which the caller has removed from the queue after `reserve`.
    void send_queued(queued_message m, bool acknowledged, time_point now) {
        if (m.expiry_counted_from != (time_point::max)())
            age_expiry_interval(out_.log().bytes(m.packet), m.expiry_counted_from, now);
        if (acknowledged) {
            char* const packet = out_.log().bytes(m.packet);
            const packet_id id = out_.exchanges().next_id();
            set_packet_id(packet, id);
            const exchange& e = send_acknowledged(m.packet, aliased(m.packet), id, qos_of(packet), m.op, now);
            out_.set_times(e, m.expires, m.expiry_counted_from);
        } else {
            auto& u = send_at_most_once(aliased(m.packet), m.op);
            u.expires = m.expires;
            u.expiry_counted_from = m.expiry_counted_from;
        }
        out_.log().release(m.packet); // an exchange retains it, too
    }

    /// Makes room: the next message is sent without allocating, so that it cannot be lost between the queue and the
    /// exchanges.
    TERN_INLINE void reserve(bool acknowledged) {
        out_.log().reserve();
        if (!acknowledged) return link_.unwritten_messages.reserve(1);
        out_.reserve_exchange();
        link_.unwritten_packets.reserve(1);
    }

    /// PUBACK.
    TERN_INLINE ack_outcome on_puback(packet_id id, time_point now) {
        return finish_exchange(out_, link_, exchange_state::publish_1, id, now);
    }

    /// PUBREC: answered by PUBREL, unless it refuses the message [MQTT-4.3.3-4].
    ack_outcome on_pubrec(const pubrec& packet, time_point now) {
        const exchange* const e = out_.exchanges().find(packet.packet_id);
        const bool refused = is_failure(packet.reason_code);
        if (!e) return {.effect = refused ? ack_effect::none : ack_effect::unknown_identifier};
        if (e->state == exchange_state::publish_2) {
            if (refused) [[unlikely]]
                return finish_exchange(out_, link_, exchange_state::publish_2, packet.packet_id, now);
            link_.skip_in_resend(*e);
            link_.on_answer(*e, now);
            if (!e->is_sent()) ++link_.in_flight; // sent on an earlier connection only: the broker is late
            out_.release_message(*e);
        } else if (!e->awaits_pubcomp()) {
            return {.effect = ack_effect::violation};
        } else if (refused || (e->is_sent() && e->end > out_.log().written())) {
            return {}; // the broker has accepted the message before, or PUBREL is still to be written: one is enough
        }
        send_pubrel(*e, now); // after the PUBRELs for earlier PUBRECs [MQTT-4.6.0-4]
        return {};
    }

    /// PUBCOMP.
    TERN_INLINE ack_outcome on_pubcomp(packet_id id, time_point now) {
        return finish_exchange(out_, link_, exchange_state::pubrel, id, now);
    }

    /// PUBCOMP for an exchange in the state `pubrel_in_doubt`.
    TERN_COLD ack_outcome on_pubcomp_in_doubt(packet_id id, time_point now) {
        return finish_exchange(out_, link_, exchange_state::pubrel_in_doubt, id, now);
    }

    void send_pubrel(const exchange& e, time_point now) {
        link_.unwritten_packets.reserve(1);
        const packet_slice packet = out_.log().encode_as<true>(pubrel{.packet_id = e.id}, out_.version(), shortest_ack);
        link_.send(out_, packet, e, transmission_state::resent, now);
    }

private:
    // Copies no properties of a message that has none.
    template <bool Simple>
    TERN_INLINE static publish to_packet(const message_view& message) noexcept {
        const packet_id any = message.qos == qos::at_most_once ? 0 : 1; // the true one is known when it is sent
        if constexpr (!Simple) return {.message = message, .packet_id = any};
        return {.message = {.topic = message.topic,
                            .payload = message.payload,
                            .qos = message.qos,
                            .retain = message.retain},
                .packet_id = any};
    }

    struct expiry {
        time_point at = (time_point::max)();
        time_point counted_from = (time_point::max)();
    };
    // When the message expires: after its time to live, or its message expiry interval.
    static expiry expiry_of(const message_view& message, time_point expires, time_point now) noexcept {
        if (!message.properties.message_expiry_interval) return {.at = expires};
        return {(std::min)(expires, now + *message.properties.message_expiry_interval), now};
    }

    static errc queue_packet(outgoing& out, const publish& packet, measured length, time_point expires, op_id op,
                             time_point now) {
        const std::size_t size = with_header(length);
        switch (out.queue().admit(size, op)) {
        case admission::refuse: return errc::queue_full;
        case admission::drop: return errc::none;
        case admission::accept: break;
        }
        out.bound_log();
        out.queue().reserve_for(size);
        const expiry times = expiry_of(packet.message, expires, now);
        const queued_message m{.packet = out.log().encode(packet, out.version(), length),
                               .version = out.version(),
                               .op = op,
                               .expires = times.at,
                               .expiry_counted_from = times.counted_from};
        out.log().retain(m.packet);
        out.queue().make_room(out.log(), size);
        out.queue().push(m, packet.message.qos != qos::at_most_once);
        return errc::none;
    }

    template <bool Acknowledged>
    TERN_INLINE errc publish_simple(const message_view& message, op_id op, time_point now) {
        publish packet = to_packet<true>(message);
        if constexpr (!Acknowledged) packet.message.qos = qos::at_most_once; // which the compiler knows now
        const auto length = measure_as<true>(packet, out_.version());
        if (!length) return length.error();
        const errc limit = link_.limits.check_publish(packet.message.qos, message.retain, with_header(*length));
        if (limit != errc::none) return limit;
        send_first<true, Acknowledged>(packet, *length, (time_point::max)(), op, now);
        return errc::none;
    }

    // Sends a message that may be sent at once. `Simple`: it has no properties and never expires.
    template <bool Simple, bool Acknowledged>
    TERN_INLINE void send_first(publish& packet, measured length, time_point expires, op_id op, time_point now) {
        reserve(Acknowledged);
        packet.packet_id = Acknowledged ? out_.exchanges().next_id() : packet_id{0};
        const packet_slice slice = out_.log().encode_as<Simple>(packet, out_.version(), length);
        if constexpr (!Simple) {
            if (link_.aliases) [[unlikely]] { // the packet is sent as if it came from the queue
                out_.log().retain(slice);
                const expiry times = expiry_of(packet.message, expires, now);
                const queued_message m{
                    .packet = slice, .op = op, .expires = times.at, .expiry_counted_from = times.counted_from};
                return send_queued(m, Acknowledged, now);
            }
        }
        if constexpr (Acknowledged) {
            const exchange& e = send_acknowledged(slice, slice, packet.packet_id, packet.message.qos, op, now);
            if constexpr (!Simple) {
                const expiry times = expiry_of(packet.message, expires, now);
                out_.set_times(e, times.at, times.counted_from);
            }
        } else {
            auto& u = send_at_most_once(slice, op);
            if constexpr (!Simple) {
                const expiry times = expiry_of(packet.message, expires, now);
                u.expires = times.at;
                u.expiry_counted_from = times.counted_from;
            }
        }
    }

    TERN_INLINE transmission::unwritten_message& send_at_most_once(const packet_slice& packet, op_id op) {
        out_.count_sent();
        transmission::unwritten_message& u = link_.unwritten_messages.next_reserved();
        u.end = out_.log().queue(packet);
        u.op = op;
        u.packet = packet;
        u.expires = u.expiry_counted_from = (time_point::max)();
        return u;
    }

    // `sent`: the same packet, perhaps with an alias.
    TERN_INLINE const exchange& send_acknowledged(const packet_slice& packet, const packet_slice& sent, packet_id id,
                                                  qos level, op_id op, time_point now) {
        const exchange& e = out_.begin_publish(packet, id, level, op);
        ++link_.in_flight;
        link_.send(out_, sent, e, transmission_state::first, now);
        return e;
    }

    // What is queued for a PUBLISH that is retained and was never sent.
    packet_slice aliased(const packet_slice& packet) noexcept {
        return link_.aliases ? link_.aliases->replace(out_.log(), packet, alias_) : packet;
    }

    outgoing& out_;
    transmission& link_;
    std::uint16_t alias_ = 0; // of the application
};

} // namespace tern::detail
