// Outgoing exchanges: PUBLISH at each QoS, SUBSCRIBE and UNSUBSCRIBE, from request to last acknowledgement.
//
// At most `window` QoS 1 and 2 messages are unacknowledged on a connection [MQTT-3.3.4-7]; further ones wait,
// encoded, in the order of their coming. QoS 0 and everything else never waits for the window [MQTT-4.9.0-3].
//
// Exchanges outlive the connection. On the next one they are sent again in their order [MQTT-4.4.0-1], as far as
// the window allows, and before anything new: if the session goes on, PUBLISH with DUP if the broker may have it,
// and PUBREL; if the broker has lost the session, what can be begun anew.
//
// An acknowledgement is late when it has not come `ack_timeout` after the packet was written: not after it was
// queued, because a slow link is no fault of the broker, nor while a message waits for the window.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/encoded.hpp"
#include "tern/session/detail/exchanges.hpp"
#include "tern/session/detail/outbox.hpp"
#include "tern/session/detail/ring.hpp"
#include "tern/session/detail/send_queue.hpp"
#include "tern/session/event.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace tern::detail {

class sender {
public:
    /// Whose SUBSCRIBE it is that renews subscriptions. It does not outlive its connection.
    static constexpr op_id renewal{UINT64_MAX};

    /// What an acknowledgement did.
    struct outcome {
        errc error = errc::none;   // the broker broke a rule
        bool unknown = false;      // there is no exchange of this identifier
        bool finished = false;     // the exchange is over
        op_id op = op_id::none;    // and this is whose it was
        std::uint32_t filters = 0; // and so many reason codes belong to it
        time_point sent_at = {};   // when its last packet was written
    };

    /// What may be sent on a connection, and how long an acknowledgement may take.
    struct terms {
        publish_limits limits;
        std::uint16_t window = 0;
        bool resend = false; // without a new connection, in 3.1.1
        std::chrono::milliseconds ack_timeout{};
    };

    /// What has become of the session of the last connection.
    enum class fate : std::uint8_t {
        goes_on,
        lost,
        lost_republish, // and QoS 2 messages that the broker may have had are to be published anew
    };

    send_queue& queue() noexcept { return queue_; }
    const send_queue& queue() const noexcept { return queue_; }
    std::size_t in_flight() const noexcept { return in_flight_; }
    std::uint64_t sent() const noexcept { return sent_; }
    std::uint64_t resent() const noexcept { return resent_; }

    bool has_no_publish() const noexcept {
        return publishes_ == 0 && queue_.empty() && unwritten_messages_.empty() && queue_.ended() == 0;
    }

    /// Another protocol version than that in which the queued messages are encoded.
    void set_version(outbox& out, protocol_version version);

    /// A broker has accepted a connection; `resume` follows, after what has to go out before everything else.
    void start(outbox& out, const terms& t, fate session, time_point now);

    /// In a session that somebody else has begun.
    void begin_ids_behind(packet_id id) noexcept { exchanges_.begin_behind(id); }

    /// Sends what waits for the connection.
    void resume(outbox& out, time_point now);

    /// Ends the requests for which `check` gives an error when it sees their packet; between `start` and `resume`.
    template <class Check>
    void check_requests(outbox& out, Check check);

    /// Nothing more is to be sent on this connection.
    void close() noexcept { connected_ = false; }

    /// The connection is gone: what was not written waits for the next one.
    void stop(outbox& out);

    /// Acknowledgements cannot come while the owner does not read, and have all their time afterwards.
    void set_reading(bool reading, time_point now) noexcept {
        if (reading && !reading_) {
            read_since_ = now;
            if (deadline_ != time_point::max()) deadline_ = now + terms_.ack_timeout;
        }
        reading_ = reading;
    }

    /// Whether a message would be sent at once.
    TERN_INLINE bool sends_at_once(const outbox& out, bool acknowledged) noexcept {
        if (!connected_ || out.unwritten() >= largest_backlog || !queue_.may_pass(acknowledged)) return false;
        return !acknowledged || (may_send(out) && resend_from_ == 0);
    }

    /// Sends a message that `is_simple`, never expires, and is sent at once.
    errc publish_simple(outbox& out, const message_view& message, op_id op, time_point now);
    /// Sends a message, now or as soon as that is possible.
    errc publish_any(outbox& out, const message_view& message, time_point expires, op_id op, time_point now);

    /// SUBSCRIBE or UNSUBSCRIBE.
    template <class Packet>
    errc request(outbox& out, Packet packet, std::size_t filters, op_id op, time_point now) {
        if (exchanges_.full()) return errc::packet_ids_exhausted;
        packet.packet_id = 1; // any: it does not change the length
        const auto length = measure(packet, version_);
        if (!length) return length.error();
        if (connected_ && with_header(*length) > terms_.limits.maximum_packet_size)
            return errc::packet_too_large; // [MQTT-3.2.2-15]
        reserve(out, true);
        const packet_id id = exchanges_.next_id();
        packet.packet_id = id;
        const outbox::place at = out.encode(packet, version_, *length);
        out.retain(at);
        exchange& e = begin(at, id, op);
        e.state =
            Packet::type == packet_type::subscribe ? exchange_state::subscribe : exchange_state::unsubscribe;
        e.filters = static_cast<std::uint32_t>(filters);
        if (connected_) send(out, at, e, now);
        return errc::none;
    }

    /// The packet of an exchange; empty if there is none.
    std::string_view packet_of(const outbox& out, packet_id id) noexcept {
        const exchange* const e = exchanges_.find(id);
        return e && e->state != exchange_state::pubrel ? out.view(e->packet) : std::string_view{};
    }

    /// PUBACK, SUBACK or UNSUBACK; an unknown identifier is nobody's and ignored.
    TERN_INLINE outcome on_ack(outbox& out, exchange_state expected, packet_id id) {
        exchange* const e = exchanges_.find(id);
        if (!e) return {.unknown = true};
        if (e->state != expected) return {.error = errc::unexpected_acknowledgement};
        return finish(out, *e);
    }

    /// The same, without doing it.
    outcome expect_ack(exchange_state expected, packet_id id) noexcept {
        const exchange* const e = exchanges_.find(id);
        if (!e) return {.unknown = true};
        if (e->state != expected) return {.error = errc::unexpected_acknowledgement};
        return outcome_of(*e);
    }

    /// PUBREC: answered by PUBREL, unless it refuses the message.
    outcome on_pubrec(outbox& out, const pubrec& packet, time_point now) {
        exchange* e = exchanges_.find(packet.packet_id);
        if (!e) return {.unknown = true};
        if (e->state == exchange_state::publish_2) {
            if (is_failure(packet.reason_code)) return finish(out, *e);
            pass(*e);
            out.release(e->packet);
            e->packet = {};
            e->tried = true;
            e->state = exchange_state::pubrel;
            if (!e->sent) ++in_flight_; // on an earlier connection, and the broker is late
            exchanges_.move_to_end(*e);
        } else if (e->state != exchange_state::pubrel) {
            return {.error = errc::unexpected_acknowledgement};
        }
        send_pubrel(out, *e, now); // after those of the PUBRECs before [MQTT-4.6.0-4]
        return {};
    }

    /// PUBCOMP.
    TERN_INLINE outcome on_pubcomp(outbox& out, packet_id id) {
        return on_ack(out, exchange_state::pubrel, id);
    }

    /// Bytes were written: acknowledgements can be expected from now on, and there may be room for more.
    void on_written(outbox& out, time_point now);

    /// Sends what has got room by an acknowledgement. That is not done at once: what has ended is told first, so
    /// that it is not forgotten if there is no memory to send more.
    void send_next(outbox& out, time_point now) {
        if (std::exchange(has_room_, false) && (!queue_.empty() || resend_from_ != 0)) send_waiting(out, now);
    }

    /// Gives the QoS 0 messages that are with the operating system, one by one.
    bool next_written(outbox& out, op_id& op) noexcept;

    /// Takes back what was never sent.
    bool withdraw(outbox& out, op_id op) noexcept;

    /// The session is over, and nobody waits for anything.
    void forget_session(outbox& out) noexcept;

    /// Nothing more will be sent. `next_failed` gives up what is unfinished, one by one. What the broker may have
    /// got stays a part of the session, if that goes on, but nobody waits for it any more.
    void give_up() noexcept { resend_from_ = exchanges_.first() ? exchanges_.first()->id : packet_id{0}; }
    bool next_failed(outbox& out, op_id& op, bool session_goes_on) noexcept;

    /// When `on_deadline` must be called; changes with every call of the others.
    time_point deadline() const noexcept { return reading_ ? deadline_ : time_point::max(); }

    /// Sends again what was not acknowledged in time. False if the connection must be closed instead.
    /// This looks at all exchanges, so it is not done more often than 16 times in `ack_timeout`.
    bool on_deadline(outbox& out, time_point now);

private:
    friend struct session_inspector;

    // So much may lie in the outbox before further messages wait in the queue.
    static constexpr std::size_t largest_backlog = std::size_t{256} * 1024;
    // The last identifiers are left for SUBSCRIBE and UNSUBSCRIBE.
    static constexpr std::size_t most_publishes = exchange_table::capacity - 16;

    struct unwritten_packet { // of an exchange, whose acknowledgement is due from then on
        outbox::position end = 0;
        packet_id id = 0;
    };
    struct unwritten_message { // QoS 0; not retained: what is to be written stays anyway
        outbox::position end = 0;
        op_id op = op_id::none;
        outbox::place packet; // empty if it was taken back: too late, but it is not to be sent once more
        time_point expires;   // as in the queue
        time_point counts_from;
    };

    static bool is_resendable(const exchange& e) noexcept {
        return e.state != exchange_state::subscribe && e.state != exchange_state::unsubscribe;
    }
    static bool is_publish(const exchange& e) noexcept {
        return e.state == exchange_state::publish_1 || e.state == exchange_state::publish_2;
    }
    // A QoS 1 or 2 message.
    TERN_INLINE bool may_send(const outbox& out) const noexcept {
        return in_flight_ < terms_.window && exchanges_.size() < most_publishes &&
               out.unwritten() < largest_backlog &&
               out.retained() < queue_.bytes() + std::max(queue_.byte_limit(), largest_backlog);
    }

    // Moves what is queued together when most of the memory holds nothing any more.
    void save_memory(outbox& out);

    // Sends what waits for room in the window or in the outbox: first what is to be sent again.
    void send_waiting(outbox& out, time_point now);

    // Makes room, so that an exchange can begin and its packet be queued without memory: a message must not get lost
    // between the queue and the exchanges.
    TERN_INLINE void reserve(outbox& out, bool acknowledged) {
        out.reserve();
        if (!acknowledged) return unwritten_messages_.reserve(1);
        exchanges_.reserve();
        unwritten_packets_.reserve(1);
    }

    // `Simple`: the packet is, and what need not be asked of it is not.
    template <bool Simple, bool Acknowledged>
    void publish_now(outbox& out, tern::publish& packet, measured length, time_point expires, op_id op,
                     time_point now);
    template <bool Acknowledged>
    errc publish_simple(outbox& out, const message_view& message, op_id op, time_point now);
    errc enqueue(outbox& out, const tern::publish& packet, measured length, time_point expires, op_id op,
                 time_point now);
    template <bool Simple>
    static tern::publish to_packet(const message_view& message) noexcept;
    template <bool Simple, class Message>
    static void set_times(Message& m, const message_view& message, time_point expires,
                          time_point now) noexcept;
    template <class Message>
    static void copy_times(const queued_message& from, Message& to) noexcept {
        to.expires = from.expires;
        to.counts_from = from.counts_from;
    }

    // Sends a message for the first time. One of QoS 1 or 2 has its identifier and is retained. The caller knows
    // its times.
    unwritten_message& send_at_most_once(outbox& out, const outbox::place& at, op_id op);
    exchange& send_acknowledged(outbox& out, const outbox::place& at, packet_id id, qos level, op_id op,
                                time_point now);

    // Begins an exchange whose packet has this identifier.
    TERN_INLINE exchange& begin(const outbox::place& at, packet_id id, op_id op) {
        exchange& e = exchanges_.add(id);
        e.op = op;
        e.packet = at;
        return e;
    }

    // There must be room for another unwritten packet.
    TERN_INLINE void send(outbox& out, const outbox::place& at, exchange& e, time_point now) {
        e.sent = true;
        e.sent_at = now; // or later, when it has been written
        e.sent_at_position = out.queue(at);
        unwritten_packets_.next_reserved() = {e.sent_at_position, e.id};
        if (deadline_ == time_point::max() && terms_.ack_timeout.count() != 0)
            deadline_ = now + terms_.ack_timeout;
    }
    void send_pubrel(outbox& out, exchange& e, time_point now) {
        unwritten_packets_.reserve(1);
        send(out, out.encode_as<true>(pubrel{.packet_id = e.id}, version_, shortest_ack), e, now);
    }

    // Sends the packet of an exchange on a later connection, or once more on this one.
    void send_again(outbox& out, exchange& e, time_point now);

    // The broker has lost the session. QoS 1 and requests are begun anew. Of QoS 2, nobody knows whether the broker
    // has passed the message on.
    bool begin_anew(outbox& out, exchange& e, bool republish, time_point now);

    // What forbids to send the packet of an exchange to this broker.
    errc limit_of(const outbox& out, const exchange& e) const noexcept;

    // The packet may not be sent. A message that the broker may have got stays a part of the session.
    void refuse(outbox& out, exchange& e, errc error);

    // Nobody waits for its end any more.
    void give_up(exchange& e) noexcept {
        if (!e.given_up) --publishes_;
        e.given_up = true;
    }

    // A message of which the broker cannot have got all goes back to the queue, without its topic alias, which
    // means nothing on the next connection. Without it, one that has no topic means nothing either.
    void requeue(outbox& out, const unwritten_message& u);
    // So do the QoS 1 and 2 messages behind that position of which nothing was written.
    void requeue_behind(outbox& out, outbox::position position);

    static errc encode_again(outbox& out, queued_message& m, const tern::publish& p,
                             protocol_version version);

    // The exchange is no longer one that waits to be sent again.
    void pass(const exchange& e) noexcept {
        if (resend_from_ == e.id) resend_from_ = e.after;
    }

    static outcome outcome_of(const exchange& e) noexcept {
        return {.finished = true, .op = e.op, .filters = e.filters, .sent_at = e.sent_at};
    }

    TERN_INLINE outcome finish(outbox& out, exchange& e) {
        const outcome done = outcome_of(e);
        forget(out, e);
        if (exchanges_.empty()) deadline_ = time_point::max();
        has_room_ = true;
        return done;
    }

    TERN_INLINE void forget(outbox& out, exchange& e) noexcept {
        pass(e);
        if (e.state != exchange_state::pubrel) out.release(e.packet);
        if (is_resendable(e)) {
            give_up(e);
            if (e.sent) --in_flight_;
        }
        exchanges_.remove(e);
    }

    exchange_table exchanges_;
    send_queue queue_;
    ring<unwritten_packet> unwritten_packets_;
    ring<unwritten_message> unwritten_messages_;
    bool connected_ = false;
    bool has_room_ = false;     // for more, by an acknowledgement
    packet_id resend_from_ = 0; // the first exchange that may not have been sent again yet
    protocol_version version_ = protocol_version::v5;
    bool reading_ = true;
    std::uint32_t in_flight_ = 0;
    std::uint32_t publishes_ = 0;  // exchanges that are one, and for which somebody waits
    std::size_t saved_memory_ = 0; // what was left the last time
    std::uint64_t sent_ = 0;
    std::uint64_t resent_ = 0;
    terms terms_;
    time_point read_since_ = time_point::min();
    time_point deadline_ = time_point::max();
};

} // namespace tern::detail

#include "tern/session/detail/publishing.hpp"
#include "tern/session/detail/resume.hpp"
