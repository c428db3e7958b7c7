// Incoming packets, each to its conversation, and the events that the owner polls.
//
// `poll_event` gives events in this order: changes of the connection; QoS 0 messages that were written; operations that
// ended without a packet; then it decodes received packets until one gives an event. When nothing is left, the
// acknowledgements that are due are sent, all at once.
#pragma once

#include "tern/codec/control.hpp"
#include "tern/codec/packet.hpp"
#include "tern/codec/publish.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/authentication.hpp"
#include "tern/session/detail/careful.hpp"
#include "tern/session/detail/connecting.hpp"
#include "tern/session/detail/run.hpp"
#include "tern/session/detail/send/late_answers.hpp"
#include "tern/session/detail/send/publish.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/detail/subscribe/subscribe.hpp"
#include "tern/session/detail/unexpected_answers.hpp"
#include "tern/session/detail/violations.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <string_view>
#include <system_error>

namespace tern::detail {

class dispatch {
public:
    explicit dispatch(session_core& core) noexcept : s_(core) {}

    TERN_INLINE void poll(polled_event& next) {
        if (s_.activity == activity::messages) [[likely]] {
            s_.link->sending.has_room = false; // no message waits for it
            if (next_written(next)) return;
            read_packets(next);
            if (next) return;
            s_.send_acks();
        }
        if (s_.activity != activity::messages) poll_all(next);
    }

private:
    // The same, whatever is pending.
    TERN_NOINLINE void poll_all(polled_event& next) {
        if (!s_.link) return poll_without_connection(next);
        connection& link = *s_.link;
        if (link.sending.has_room) send_next();
        if (!s_.events.empty() && s_.events.next(next)) return;
        if (link.authentication && authenticating(s_).next(next)) return;
        if (next_written(next)) return;
        if (has_local_completions() && next_local_completion(next)) return;
        read_packets(next);
        if (next) return;
        s_.send_acks();
        if (link.careful) [[unlikely]] {
            careful_mode(s_).go_on();
            if (link.sending.has_room) send_next();
        }
        if (link.receiving.may_change_window()) [[unlikely]]
            update_window();
        // Received packets may have refused a subscription, or ended the last message that a drain waits for.
        if (!s_.events.empty())
            s_.events.next(next);
        else if (has_local_completions())
            next_local_completion(next);
        if (!next && s_.has_only_messages()) s_.activity = activity::messages;
    }

    // Fills in the end of a QoS 0 message that was written. False if there is none.
    TERN_INLINE bool next_written(polled_event& next) {
        op_id op{};
        const bool is_written = s_.link->sending.next_written(s_.lasting.out, op);
        if (is_written) next.emplace<completed>(op);
        return is_written;
    }

    TERN_COLD TERN_NOINLINE void update_window() {
        if (s_.link->receiving.update_window()) s_.events.push({.change = connection_change::window_exhausted});
    }

    TERN_COLD TERN_NOINLINE void poll_without_connection(polled_event& next) {
        if (s_.events.next(next)) return;
        if (has_local_completions() || s_.connector.is(connector_step::ending)) next_local_completion(next);
    }

    bool has_local_completions() const noexcept {
        return s_.lasting.out.queue().completions() != 0 || !s_.drains.empty();
    }

    // Fills in the end of an operation that ends without a packet. False if there is none.
    TERN_COLD TERN_NOINLINE bool next_local_completion(polled_event& next) {
        if (local_completion c; s_.lasting.out.queue().next_completion(c)) return complete(next, c.op, c.error);
        if (s_.connector.is(connector_step::ending)) return run(s_).next_failed(next);
        op_id op{};
        switch (s_.drains.next(is_drained(), s_.now, op)) {
        case drain_result::none: return false;
        case drain_result::drained: return complete(next, op, {});
        case drain_result::timed_out: return complete(next, op, misuse(errc::drain_timeout));
        }
        return false;
    }

    // Whether no publish is unfinished.
    bool is_drained() const noexcept {
        const outgoing& out = s_.lasting.out;
        return s_.connector.run() == run_state::ended ||
               (out.awaited_publishes() == 0 && out.queue().empty() && out.queue().completions() == 0 &&
                (!s_.link || s_.link->sending.unwritten_messages.empty()));
    }

    static bool complete(polled_event& next, op_id op, const std::error_code& error) {
        next.emplace<completed>(op, error);
        return true;
    }

    TERN_NOINLINE void read_packets(polled_event& next) {
        connection& link = *s_.link;
        if (!is_accepted(link.sending.state)) return read_first_packet(next);
        if (!begin_packet()) return;
        do {
            const auto found = next_frame(link.received.bytes(), s_.settings.maximum_packet_bytes);
            if (!found) [[unlikely]]
                return violations(s_).on_framing_error(found.error());
            if (!found->complete) return link.received.expect(found->size);
            const bool is_publish = found->frame.type() == packet_type::publish;
            const errc error = is_publish ? on_publish(found->frame, next) : on_packet(found->frame, next);
            if (error != errc::none) [[unlikely]]
                on_violation(error);
            link.received.consume(found->size); // the event borrows the bytes until they are overwritten
            if (next) return;
            if (link.sending.has_room) send_next();
        } while (is_accepted(link.sending.state) && begin_packet());
    }

    // Returns whether the next packet is read. Blocks in front of a message for which the owner has no room.
    TERN_INLINE bool begin_packet() { return s_.delivery == delivery::open || begin_packet_within_limits(); }
    TERN_NOINLINE bool begin_packet_within_limits() {
        if (!s_.is_reading()) return false;
        if (s_.delivery != delivery::full) return true;
        const auto found = next_frame(s_.link->received.bytes(), s_.settings.maximum_packet_bytes);
        const bool needs_room = found && found->complete && found->frame.type() == packet_type::publish &&
                                (found->frame.flags() & 6U) != 0; // QoS 1 or 2
        if (needs_room) s_.block();
        return !needs_room;
    }

    // The next packet violates a rule. It is found again, so that the compiler need not keep it for this.
    TERN_COLD void on_violation(errc error) {
        s_.activity = activity::any;
        const auto found = next_frame(s_.link->received.bytes(), s_.settings.maximum_packet_bytes);
        violations(s_).on_violation(error, found->frame);
    }

    // The first packet is CONNACK [MQTT-3.2.0-1]. There is always an event, or the connection is closed.
    TERN_COLD TERN_NOINLINE void read_first_packet(polled_event& next) {
        connection& link = *s_.link;
        if (link.sending.state != send_state::awaiting_connack || link.holds_connack()) return;
        const auto found = next_frame(link.received.bytes(), s_.settings.maximum_packet_bytes);
        if (!found) return violations(s_).on_invalid_answer(found.error());
        if (!found->complete) return link.received.expect(found->size);
        link.first_packet_received = true;
        const errc error = on_first_packet(found->frame, next);
        if (error != errc::none) s_.close_for_violation(error);
        if (!link.holds_connack()) link.received.consume(found->size);
    }

    // Sends what an acknowledgement has made room for, renewals first. That is not done with the acknowledgement
    // itself: first its event is reported, so that it is not lost if sending fails to allocate.
    TERN_INLINE void send_next() {
        transmission& sending = s_.link->sending;
        sending.has_room = false;
        if (s_.activity == activity::messages) return; // none waits
        if (s_.lasting.subscriptions.has_due() || sending.has_waiting(s_.lasting.out)) send_waiting();
    }
    TERN_NOINLINE void send_waiting() {
        transmission& sending = s_.link->sending;
        if (s_.lasting.subscriptions.has_due()) connecting(s_).request_due_subscriptions();
        if (sending.has_waiting(s_.lasting.out)) resending(s_.lasting.out, sending).send_waiting(s_.now);
    }

    // Each of the following handles one packet: it fills in `next` if there is an event, and returns a violation.

    TERN_COLD errc on_first_packet(frame frame, polled_event& next) {
        if (frame.type() == packet_type::connack) return connecting(s_).on_connack(frame, next);
        return frame.type() == packet_type::auth ? authenticating(s_).on_auth(frame, next) : errc::unexpected_packet;
    }

    TERN_INLINE errc on_packet(frame frame, polled_event& next) {
        switch (frame.type()) {
        case packet_type::puback: return on_publish_ack<puback>(frame, next);
        case packet_type::pubrec: return on_publish_ack<pubrec>(frame, next);
        case packet_type::pubrel: return on_pubrel(frame);
        case packet_type::pubcomp: return on_publish_ack<pubcomp>(frame, next);
        default: return on_rare_packet(frame, next);
        }
    }
    TERN_COLD TERN_NOINLINE errc on_rare_packet(frame frame, polled_event& next) {
        s_.activity = activity::any;
        switch (frame.type()) {
        case packet_type::suback: return on_filter_ack<suback>(frame, next);
        case packet_type::unsuback: return on_filter_ack<unsuback>(frame, next);
        case packet_type::pingresp: return on_pingresp(frame, next);
        case packet_type::disconnect: return connecting(s_).on_disconnect(frame);
        case packet_type::auth: return authenticating(s_).on_auth(frame, next);
        default: return errc::unexpected_packet; // a packet that only a client sends, or a second CONNACK
        }
    }

    TERN_INLINE errc on_publish(const frame& frame, polled_event& next) {
        received& message = next.emplace<received>(message_view{});
        bool deliver = false;
        errc error = decode_publish_into(message, frame, s_.version());
        if (error == errc::none) error = s_.link->receiving.on_publish(s_.lasting.in, message, deliver, message.token);
        if (deliver) {
            ++s_.messages_received;
        } else {
            s_.has_due_acks = true; // a QoS 2 message that came again
            next.reset();
        }
        if (s_.link->receiving.may_change_window()) [[unlikely]]
            s_.activity = activity::any;
        return error;
    }

    TERN_INLINE errc on_pubrel(const frame& frame) {
        pubrel packet;
        if (const errc error = decode_into(packet, frame, s_.version()); error != errc::none) return error;
        if (const errc error = check_problem_information(packet.properties); error != errc::none) return error;
        bool known = false;
        const errc error = s_.link->receiving.on_pubrel(s_.lasting.in, packet.packet_id, known);
        if (error != errc::none) return error;
        if (known || s_.version() == protocol_version::v3_1_1)
            s_.send_success<pubcomp>(packet.packet_id);
        else
            s_.send_ack(packet_type::pubcomp, packet.packet_id, reason_code::packet_identifier_not_found);
        return errc::none;
    }

    // PUBACK, PUBREC or PUBCOMP.
    template <class Packet>
    TERN_INLINE errc on_publish_ack(const frame& frame, polled_event& next) {
        Packet packet;
        if (const errc error = decode_into(packet, frame, s_.version()); error != errc::none) return error;
        if (const errc error = check_problem_information(packet.properties); error != errc::none) return error;
        publishing publisher(s_.lasting.out, s_.link->sending);
        ack_outcome outcome;
        if constexpr (Packet::type == packet_type::pubrec)
            outcome = publisher.on_pubrec(packet, s_.now);
        else if constexpr (Packet::type == packet_type::pubcomp)
            outcome = publisher.on_pubcomp(packet.packet_id, s_.now);
        else
            outcome = publisher.on_puback(packet.packet_id, s_.now);
        if (outcome.effect == ack_effect::none) return errc::none; // PUBREC
        if (outcome.effect != ack_effect::finished) [[unlikely]]
            return unexpected_answers(s_).on_answer<Packet>(outcome.effect, packet.packet_id, next);
        s_.round_trip_time = s_.now - outcome.sent_at;
        // With PUBCOMP the message has arrived, whatever its reason code.
        const bool refused = Packet::type != packet_type::pubcomp && is_failure(packet.reason_code);
        if (refused && s_.link->sending.aliases) s_.link->sending.aliases->on_refused(packet.packet_id);
        if (outcome.op == op_id::none) return errc::none;
        completed& done = next.emplace<completed>(outcome.op);
        if (refused) done.error = packet.reason_code;
        done.answer.reason_code = packet.reason_code;
        done.answer.properties = packet.properties;
        return errc::none;
    }
    // SUBACK or UNSUBACK.
    template <class Packet>
    TERN_COLD errc on_filter_ack(frame frame, polled_event& next) {
        const auto packet = decode<Packet>(frame, s_.version());
        if (!packet) return packet.error();
        const exchange_state state =
            Packet::type == packet_type::suback ? exchange_state::subscribe : exchange_state::unsubscribe;
        return on_filter_answer({state, packet->packet_id, packet->reason_codes, packet->properties}, next);
    }
    TERN_COLD errc on_filter_answer(const filter_answer& packet, polled_event& next) {
        if (const errc error = check_problem_information(packet.properties); error != errc::none) return error;
        subscribing subscriptions(s_.lasting.out, &s_.link->sending, s_.lasting.subscriptions);
        const filter_ack_outcome outcome =
            subscriptions.on_ack(packet, [&](std::string_view filter, std::error_code error) {
                s_.events.push({.change = connection_change::subscription_refused, .error = error, .filter = filter});
            });
        if (outcome.effect == ack_effect::violation) return violations(s_).on_wrong_answer(packet.packet_id);
        if (outcome.effect != ack_effect::finished) return errc::none;
        if (packet.state == exchange_state::subscribe) s_.lasting.in.on_subscribed();
        // Before the exchange ends: if it throws, the operation still completes.
        if (outcome.violation != errc::none) s_.close_for_violation(outcome.violation);
        subscriptions.end_request(packet, s_.now);
        s_.round_trip_time = s_.now - outcome.sent_at;
        const bool awaited = outcome.done.op != op_id::none && outcome.done.op != own_request;
        if (awaited) next.emplace<completed>(outcome.done);
        return errc::none;
    }

    TERN_COLD errc on_pingresp(frame frame, polled_event& next) {
        if (const auto packet = decode<pingresp>(frame, s_.version()); !packet) return packet.error();
        const time_point asked = s_.link->alive.asked();
        op_id op{};
        if (!s_.link->alive.on_pingresp(op, s_.now)) return errc::none;
        s_.round_trip_time = s_.now - asked;
        transmission& sending = s_.link->sending;
        if (s_.link->alive.unanswered() == 0)
            sending.answered_end = (std::max)(sending.answered_end, s_.link->alive.ping_end());
        late_answers(s_.lasting.out, sending).on_pingresp(s_.now);
        if (op != op_id::none) next.emplace<completed>(op);
        return errc::none;
    }

    // Acknowledgements must not explain themselves to a client that does not want it [MQTT-3.1.2-29].
    TERN_INLINE errc check_problem_information(const ack_properties& properties) const noexcept {
        if (s_.settings.wants_problem_information || is_empty(properties)) return errc::none;
        return errc::unwanted_problem_information;
    }

    session_core& s_;
};

} // namespace tern::detail
