// Outgoing exchanges: PUBLISH at each QoS, SUBSCRIBE and UNSUBSCRIBE, from request to last acknowledgement.
//
// At most `window` QoS 1 and 2 messages are unacknowledged [MQTT-3.3.4-7]; further ones wait, encoded, in the
// order of their coming. QoS 0 and everything else never waits for the window [MQTT-4.9.0-3].
//
// An acknowledgement is late when it has not come `ack_timeout` after the packet was written: not after it was
// queued, because a slow link is no fault of the broker, nor while a message waits for the window.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/session/detail/exchanges.hpp"
#include "tern/session/detail/outbox.hpp"
#include "tern/session/detail/ring.hpp"
#include "tern/session/event.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

class sender {
public:
    /// What an acknowledgement did.
    struct outcome {
        errc error = errc::none;   // the broker broke a rule
        bool unknown = false;      // there is no exchange of this identifier
        bool finished = false;     // the exchange is over
        op_id op = op_id::none;    // and this is whose it was
        std::uint32_t filters = 0; // and so many reason codes belong to it
    };

    /// A new connection: what may be sent on it, and how long an acknowledgement may take.
    void start(protocol_version version, std::uint32_t window, std::size_t maximum_packet_size,
               std::chrono::milliseconds ack_timeout, bool resend) {
        version_ = version;
        window_ = window;
        maximum_packet_size_ = maximum_packet_size;
        ack_timeout_ = ack_timeout;
        resend_ = resend && version == protocol_version::v3_1_1; // [MQTT-4.4.0-1]
        deadline_ = time_point::max();
        read_since_ = time_point::min();
    }

    /// Acknowledgements cannot come while the owner does not read, and have all their time afterwards.
    void set_reading(bool reading, time_point now) noexcept {
        if (reading && !reading_) {
            read_since_ = now;
            if (deadline_ != time_point::max()) deadline_ = now + ack_timeout_;
        }
        reading_ = reading;
    }

    /// Nothing is unfinished.
    bool empty() const noexcept { return exchanges_.empty() && waiting_.empty() && unwritten_.empty(); }

    errc publish(outbox& out, const message_view& message, op_id op, time_point now) {
        tern::publish packet{.message = message};
        const bool acknowledged = message.qos != qos::at_most_once;
        if (acknowledged) packet.packet_id = 1; // any: the true one is known when it is sent
        const auto length = measure_within_limit(packet);
        if (!length) return length.error();
        const outbox::place at = out.encode(packet, version_, *length);
        if (!acknowledged) {
            const outbox::position end = out.queue(at);
            if (op != op_id::none) unwritten_.push_back({end, op, 0});
            return errc::none;
        }
        out.retain(at);
        waiting_.push_back({at, op});
        send_waiting(out, now);
        return errc::none;
    }

    /// SUBSCRIBE or UNSUBSCRIBE.
    template <class Packet>
    errc request(outbox& out, Packet packet, std::size_t filters, op_id op, time_point now) {
        if (exchanges_.full()) return errc::packet_ids_exhausted;
        packet.packet_id = 1;
        const auto length = measure_within_limit(packet);
        if (!length) return length.error();
        const outbox::place at = out.encode(packet, version_, *length);
        out.retain(at);
        exchange& e = begin(out, at, op, now);
        e.state =
            Packet::type == packet_type::subscribe ? exchange_state::subscribe : exchange_state::unsubscribe;
        e.filters = static_cast<std::uint32_t>(filters);
        return errc::none;
    }

    /// PUBACK, SUBACK or UNSUBACK; an unknown identifier is nobody's and ignored.
    outcome on_ack(outbox& out, exchange_state expected, packet_id id, time_point now) {
        exchange* e = exchanges_.find(id);
        if (!e) return {.unknown = true};
        if (e->state != expected) return {.error = errc::unexpected_acknowledgement};
        return finish(out, *e, now);
    }

    /// PUBREC: answered by PUBREL, unless it refuses the message.
    outcome on_pubrec(outbox& out, const pubrec& packet, time_point now) {
        exchange* e = exchanges_.find(packet.packet_id);
        if (!e) return {.unknown = true};
        if (e->state == exchange_state::publish_2) {
            if (is_failure(packet.reason_code)) return finish(out, *e, now);
            out.release(e->packet);
            e->state = exchange_state::pubrel;
        } else if (e->state != exchange_state::pubrel) {
            return {.error = errc::unexpected_acknowledgement};
        }
        send_pubrel(out, *e, now); // after those of the PUBRECs before [MQTT-4.6.0-4]
        return {};
    }

    /// PUBCOMP.
    outcome on_pubcomp(outbox& out, packet_id id, time_point now) {
        return on_ack(out, exchange_state::pubrel, id, now);
    }

    /// Bytes were written: acknowledgements can be expected from now on; and gives the QoS 0 messages that
    /// are with the operating system, one by one.
    bool next_written(const outbox& out, op_id& op, time_point now) noexcept {
        while (!unwritten_.empty() && unwritten_.front().end <= out.written()) {
            const unwritten w = unwritten_.pop_front();
            op = w.op;
            if (w.packet_id == 0) return true;
            if (exchange* e = exchanges_.find(w.packet_id); e && e->sent_at_position == w.end)
                e->sent_at = now;
        }
        return false;
    }

    /// The connection is gone: gives up what is unfinished, one by one: what has been sent, what waits, and
    /// then what is not acknowledged, each in the order of its coming.
    bool next_failed(outbox& out, op_id& op) noexcept {
        if (exchange* e = exchanges_.first()) {
            op = e->op;
            forget(out, *e);
        } else if (!waiting_.empty()) {
            const waiting w = waiting_.pop_front();
            op = w.op;
            out.release(w.packet);
        } else if (!unwritten_.empty()) {
            op = unwritten_.pop_front().op; // none, if it was an exchange
        } else {
            return false;
        }
        return true;
    }

    /// When `on_deadline` must be called; changes with every call of the others.
    time_point deadline() const noexcept { return reading_ ? deadline_ : time_point::max(); }

    /// Sends again what was not acknowledged in time. False if the connection must be closed instead.
    /// This looks at all exchanges, so it is not done more often than 16 times in `ack_timeout`.
    bool on_deadline(outbox& out, time_point now) {
        time_point oldest = time_point::max();
        for (exchange* e = exchanges_.first(); e; e = exchanges_.next(*e)) {
            if (e->sent_at_position > out.written()) e->sent_at = now; // it has not even been written
            if (std::max(e->sent_at, read_since_) + ack_timeout_ <= now) {
                if (!resend_ || !is_resendable(*e)) return false;
                resend(out, *e, now);
            }
            oldest = std::min(oldest, std::max(e->sent_at, read_since_));
        }
        const time_point soonest = now + ack_timeout_ / 16;
        deadline_ = oldest == time_point::max() ? oldest : std::max(oldest + ack_timeout_, soonest);
        return true;
    }

private:
    struct waiting {
        outbox::place packet;
        op_id op = op_id::none;
    };
    struct unwritten {
        outbox::position end = 0;
        op_id op = op_id::none;        // of a QoS 0 message
        tern::packet_id packet_id = 0; // or the exchange that waits for an acknowledgement from then on
    };

    template <packet Packet>
    result<std::size_t> measure_within_limit(const Packet& packet) const noexcept {
        const auto length = measure(packet, version_);
        if (length && with_header(*length) > maximum_packet_size_) return errc::packet_too_large;
        return length;
    }

    void send_waiting(outbox& out, time_point now) {
        while (!waiting_.empty() && in_flight_ < window_ && !exchanges_.full()) {
            const waiting w = waiting_.pop_front();
            const bool twice = (*out.bytes(w.packet) & 0x04) != 0; // the upper bit of its QoS
            exchange& e = begin(out, w.packet, w.op, now);
            e.state = twice ? exchange_state::publish_2 : exchange_state::publish_1;
            ++in_flight_;
        }
    }

    // Gives the packet its identifier and sends it.
    exchange& begin(outbox& out, const outbox::place& at, op_id op, time_point now) {
        exchange& e = exchanges_.add();
        char* const id = packet_id_in(out.bytes(at));
        id[0] = static_cast<char>(e.id >> 8);
        id[1] = static_cast<char>(e.id);
        e.op = op;
        e.packet = at;
        send(out, at, e, now);
        if (deadline_ == time_point::max() && ack_timeout_.count() != 0) deadline_ = now + ack_timeout_;
        return e;
    }

    void send(outbox& out, const outbox::place& at, exchange& e, time_point now) {
        e.sent_at = now; // or later, when it has been written
        e.sent_at_position = out.queue(at);
        unwritten_.push_back({e.sent_at_position, op_id::none, e.id});
    }
    void send_pubrel(outbox& out, exchange& e, time_point now) {
        const pubrel packet{.packet_id = e.id};
        send(out, out.encode(packet, version_, *measure(packet, version_)), e, now);
    }

    // The place of the identifier in an encoded PUBLISH, SUBSCRIBE or UNSUBSCRIBE.
    static char* packet_id_in(char* packet) noexcept {
        const char first_byte = *packet;
        const char* p = packet + 1;
        take_checked_variable(p);
        if (static_cast<unsigned char>(first_byte) >> 4 == static_cast<int>(packet_type::publish))
            take_checked_string(p);
        return packet + (p - packet);
    }

    static bool is_resendable(const exchange& e) noexcept {
        return e.state != exchange_state::subscribe && e.state != exchange_state::unsubscribe;
    }

    void resend(outbox& out, exchange& e, time_point now) {
        if (e.state == exchange_state::pubrel) return send_pubrel(out, e, now);
        *out.bytes(e.packet) |= static_cast<char>(dup_bit); // [MQTT-3.3.1-1]
        send(out, e.packet, e, now);
    }

    outcome finish(outbox& out, exchange& e, time_point now) {
        const outcome done{.finished = true, .op = e.op, .filters = e.filters};
        forget(out, e);
        if (exchanges_.empty()) deadline_ = time_point::max();
        send_waiting(out, now);
        return done;
    }

    void forget(outbox& out, exchange& e) noexcept {
        if (e.state != exchange_state::pubrel) out.release(e.packet);
        if (is_resendable(e)) --in_flight_;
        exchanges_.remove(e);
    }

    exchange_table exchanges_;
    ring<waiting> waiting_;
    ring<unwritten> unwritten_; // whose end of writing matters, in that order
    std::uint32_t in_flight_ = 0;
    std::uint32_t window_ = 0;
    std::size_t maximum_packet_size_ = 0;
    protocol_version version_ = protocol_version::v5;
    std::chrono::milliseconds ack_timeout_{};
    bool resend_ = false;
    bool reading_ = true;
    time_point read_since_ = time_point::min();
    time_point deadline_ = time_point::max();
};

} // namespace tern::detail
