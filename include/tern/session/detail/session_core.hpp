// The parts of a session: lasting state, connection, connector, and the events that no packet causes. And the actions
// that all conversations share: to send a small packet, to send the acknowledgements that are due, to close the
// connection.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/codec/publish.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/connection.hpp"
#include "tern/session/detail/connector.hpp"
#include "tern/session/detail/drain_list.hpp"
#include "tern/session/detail/send/closing_requests.hpp"
#include "tern/session/detail/send/patch.hpp"
#include "tern/session/detail/settings.hpp"
#include "tern/session/detail/state.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace tern::detail {

/// The connection events that the owner has not polled yet. The owner borrows the first one until it polls again.
class connection_events {
public:
    TERN_COLD void push(const connection_event_view& e) { events_.push_back(connection_event(e)); }
    bool empty() const noexcept { return events_.empty(); }
    std::size_t size() const noexcept { return events_.size(); }

    /// Fills in the next event. False if there is none.
    TERN_COLD bool next(polled_event& next) {
        if (front_ == front_state::borrowed) {
            events_.drop_front();
            front_ = front_state::unreported;
        }
        if (events_.empty()) {
            events_.clear(); // frees the memory: connection events are rare
            return false;
        }
        front_ = front_state::borrowed;
        next.emplace<connection_event_view>(events_.front().view());
        return true;
    }

private:
    friend struct session_inspector;

    enum class front_state : std::uint8_t { unreported, borrowed };

    ring<connection_event> events_;
    front_state front_ = front_state::unreported;
};

/// A message that violates a rule, and comes again on each connection.
struct repeated_violation {
    static constexpr unsigned most = 3; // connections in a row

    std::string topic;
    unsigned count = 0;
    errc error = errc::none;
    std::uint64_t refused = 0; // messages, in all
};

/// What the session has to look after. A call of its owner makes this `any`, unless it moves bytes, polls events, or
/// releases or publishes a plain message. So does every packet but a message and an acknowledgement of success.
/// `poll_event` makes it `messages` when nothing is left of what `has_only_messages` asks for. Until then each turn
/// asks for all that may be pending.
enum class activity : std::uint8_t {
    any,
    messages, ///< only messages and their acknowledgements, which have room
};

struct session_core {
    TERN_COLD explicit session_core(std::uint64_t seed) noexcept : connector(seed) {}

    lasting_state lasting;
    std::optional<detail::connection> link; ///< from `on_opened` to `on_disconnected`
    detail::connector connector;
    session_settings settings;
    connection_events events;
    heap_optional<std::string> connack_body; ///< of the present or last connection in this run
    drain_list drains;
    tern::delivery delivery = tern::delivery::open;
    tern::detail::activity activity = activity::any;
    bool has_due_acks = false; ///< a message was released, or came again, since acknowledgements were sent last
    /// 5.0: the broker does not keep to the client's Maximum Packet Size.
    bool skips_large_messages = false;
    bool is_missing_id_reported = false; ///< in this run
    std::uint8_t ends_by_peer = 0;       ///< connections in a row that the peer ended soon, with requests unanswered
    std::uint8_t unanswered_connections = 0; ///< in a row that ended because no request was answered
    std::uint8_t pubacks_for_qos_2 = 0;      ///< in this run
    packet_id fail_cursor = 0;               ///< in step `ending`: the next exchange that fails
    heap_optional<repeated_violation> repeated;
    heap_optional<closing_requests> closing; ///< once the peer has ended a connection because of one request
    time_point now;
    time_point trimmed_at = (time_point::min)(); ///< when memory was freed last

    std::uint64_t messages_received = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t connections = 0;
    std::chrono::nanoseconds round_trip_time{0};

    /// Beyond this number of unwritten bytes of acknowledgements nothing is read: a peer that reads nothing must not
    /// make the client grow.
    static constexpr std::size_t most_ack_bytes = std::size_t{1} << 20U;

    static constexpr std::uint8_t most_pubacks_for_qos_2 = 2;

    /// The owner calls.
    void enter(time_point t) noexcept {
        now = t;
        activity = activity::any;
    }

    protocol_version version() const noexcept { return lasting.out.version(); }
    packet_log& log() noexcept { return lasting.out.log(); }
    const packet_log& log() const noexcept { return lasting.out.log(); }

    /// Whether the broker has accepted the connection, and it has not ended.
    bool is_connected() const noexcept { return link && is_accepted(link->sending.state); }
    /// Whether the owner must close the transport.
    bool awaits_close() const noexcept {
        return connector.is(connector_step::closing) || (connector.is(connector_step::flushing) && log().empty());
    }

    transport_action pending_action() const noexcept {
        if (is_connected()) return transport_action::none;
        switch (connector.step()) {
        case connector_step::preparing: return transport_action::prepare;
        case connector_step::opening: return transport_action::open;
        default: return awaits_close() ? transport_action::close : transport_action::none;
        }
    }

    /// A broker that answers QoS 2 with PUBACK twice does not support it.
    void count_puback_for_qos_2() noexcept {
        if (pubacks_for_qos_2 != most_pubacks_for_qos_2) ++pubacks_for_qos_2;
    }
    bool has_qos_2() const noexcept { return pubacks_for_qos_2 != most_pubacks_for_qos_2; }

    /// Whether nothing but messages and their acknowledgements is going on, as far as it can be found in the parts.
    TERN_NOINLINE bool has_only_messages() const noexcept {
        const outgoing& out = lasting.out;
        if (!out.queue().empty() || out.queue().completions() != 0 || !drains.empty() || !events.empty()) return false;
        if (!link || link->sending.state != send_state::open || link->sending.resend_cursor != 0) return false;
        if (delivery != tern::delivery::open || !link->alive.is_reading()) return false;
        if (link->authentication && !link->authentication->is_idle()) return false;
        return !link->careful && !link->sending.late && !link->is_blocked && link->alive.unanswered() == 0 &&
               !link->receiving.may_change_window() && !lasting.subscriptions.has_due() && !needs_careful_release() &&
               out.queue().deadline() == (time_point::max)();
    }
    /// Whether a message that is released may be one of an earlier connection, or a refused one.
    bool needs_careful_release() const noexcept {
        return lasting.in.has_unreleased() || (link && link->receiving.has_rejections());
    }
    /// When something is due while that is so: PINGREQ, an answer, memory to be freed, a peer that takes no bytes.
    time_point next_message_deadline() const noexcept {
        const time_point ping = link->alive.ping_due();
        const time_point quiet = ping == (time_point::max)() ? trim_due() : ping;
        const time_point answer = is_reading() ? link->sending.answer_due() : (time_point::max)();
        return (std::min)((std::min)(quiet, answer), link->alive.stalled_at(!log().empty()));
    }
    /// The connection is quiet when PINGREQ is due, and without PINGREQ a minute after the last call.
    time_point trim_due() const noexcept {
        const bool is_due = trimmed_at < now && link->alive.ping_due() == (time_point::max)();
        return is_due ? now + std::chrono::minutes(1) : (time_point::max)();
    }

    /// Whether an operation, a renewal, or the exchange of a cancelled operation waits for an answer of the broker.
    bool awaits_answers() const noexcept {
        return lasting.out.awaits_answers() || link->alive.has_operations() ||
               (link->careful && link->careful->awaits_pingresp) ||
               (link->authentication && link->authentication->awaits_broker());
    }

    /// Whether received packets are read now. There must be a link.
    ///
    ///     the owner    something waits for an answer   nothing waits
    ///     open         read                            read
    ///     limited      read                            not read
    ///     full         read, but stops in front of     not read
    ///                  a QoS 1 or 2 message
    ///
    /// Until CONNACK, and once the connection is being closed, everything is read. With too many acknowledgements to be
    /// written, nothing is.
    TERN_INLINE bool is_reading() const noexcept {
        const bool is_free = delivery == tern::delivery::open && link->ack_bytes <= most_ack_bytes;
        return is_free || is_reading_within_limits();
    }

    /// Follows whatever may begin or end reading. Timers that wait for the broker start again with it.
    void update_reading() noexcept {
        const bool reading = is_reading();
        if (link->alive.is_reading() == reading) return;
        link->alive.set_reading(reading, now);
        if (reading) link->sending.restart_clock(now);
    }

    /// The next message is one that the owner cannot take.
    void block() {
        if (link->is_blocked) return;
        if (!link->blocked) link->blocked.emplace();
        const auto patience = settings.ack_timeout;
        *link->blocked = {now, patience.count() == 0 ? (time_point::max)() : now + patience,
                          lasting.out.queue().next_number()};
        link->is_blocked = true;
        link->alive.set_reading(false, now);
    }

    /// Frees the memory that is not in use: with PINGREQ, because the connection is quiet, and when a connection begins
    /// or ends, or the run.
    TERN_COLD void trim() noexcept {
        trimmed_at = now;
        lasting.in.trim();
        drains.trim();
        if (link) link->trim();
        lasting.out.trim(!link || link->sending.unwritten_packets.empty() ? trim_exchanges::yes : trim_exchanges::no);
    }

    /// Sends a small packet, valid by construction. If it exceeds the broker's Maximum Packet Size, closes
    /// [MQTT-3.2.2-15].
    template <packet Packet>
    TERN_COLD void send(const Packet& packet) {
        const auto length = *measure_as<false>(packet, version());
        if (accepts(with_header(length))) queue_small(log().encode(packet, version(), length));
    }
    /// The same for PUBACK, PUBREC, PUBREL or PUBCOMP. They differ in the first byte only. The reason code is for 5.0.
    TERN_COLD void send_ack(packet_type type, packet_id id, reason_code code) {
        const bool has_code = code != reason_code::success;
        const std::array<char, 5> bytes{static_cast<char>(first_byte_of(type, find_packet_row(type).flags)),
                                        has_code ? '\3' : '\2', static_cast<char>(id >> 8), static_cast<char>(id),
                                        static_cast<char>(code)};
        send_copy({bytes.data(), has_code ? std::size_t{5} : std::size_t{4}});
    }

    /// Sends PINGREQ for an operation, or for the client itself.
    TERN_COLD void send_ping(op_id op) {
        link->alive.reserve_ping(); // the answer must find its operation
        send(pingreq{});
        link->alive.on_pingreq(op, log().queued(), now);
    }

    /// Sends an acknowledgement of success; otherwise as `send`.
    template <class Packet>
    TERN_INLINE void send_success(packet_id id) {
        if (!accepts_acks()) [[unlikely]]
            return close_now(violation(errc::packet_too_large));
        queue_ack<Packet>(id);
    }

    /// Sends the acknowledgements whose turn it is, all at once.
    TERN_INLINE void send_acks() {
        if (has_due_acks) send_due_acks();
    }

    /// Counts a DISCONNECT of the application that was written, when its connection ends.
    void count_disconnect() noexcept {
        if (connector.is(connector_step::flushing) && !connector.cause() && log().empty()) connector.count_disconnect();
    }
    /// Ends the connection, without waiting for packets to be written.
    TERN_COLD void close_now(std::error_code cause) noexcept {
        count_disconnect();
        close_sending();
        connector.close(cause);
    }
    /// Ends the connection after the queued packets have been written.
    TERN_COLD void close_after_flush(std::error_code cause) noexcept {
        close_sending();
        connector.flush(cause, now + std::chrono::seconds(3));
    }
    /// Ends the connection because the broker has broken a rule, and says so where that is possible [§4.13].
    TERN_COLD void close_for_violation(errc error) {
        const bool has_reason = version() == protocol_version::v5 && error != errc::unexpected_protocol_version;
        send_acks();
        if (!has_reason) return close_now(violation(error));
        send(tern::disconnect{.reason_code = answer_to(error)});
        close_after_flush(violation(error));
    }

    TERN_COLD tern::counters counters() const noexcept {
        const detail::outgoing& out = lasting.out;
        return {.messages_sent = out.messages_sent(),
                .messages_resent = out.messages_resent(),
                .messages_received = messages_received,
                .messages_dropped = out.queue().dropped(),
                .messages_unsent = out.messages_unsent(),
                .received_refused = repeated ? repeated->refused : 0,
                .bytes_sent = bytes_sent,
                .bytes_received = bytes_received,
                .connections = connections,
                .disconnects_sent = connector.disconnects_sent(),
                .in_flight = link ? link->sending.in_flight : 0,
                .queued = out.queue().size(),
                .queued_bytes = out.queue().bytes(),
                .round_trip_time = round_trip_time};
    }

private:
    TERN_NOINLINE bool is_reading_within_limits() const noexcept {
        if (!is_accepted(link->sending.state)) return true;
        if (log().unwritten() > most_ack_bytes && link->ack_bytes > most_ack_bytes) return false;
        return delivery == tern::delivery::open || (!link->is_blocked && awaits_answers());
    }
    TERN_NOINLINE void send_due_acks() {
        receiver::ack next;
        if (is_connected() && link->receiving.next_ack(next)) {
            if (!accepts_acks()) return close_now(violation(errc::packet_too_large));
            receiver& receiving = link->receiving;
            do {
                if (next.exactly_once)
                    queue_ack<pubrec>(next.packet_id);
                else
                    queue_ack<puback>(next.packet_id);
                receiving.take_ack(lasting.in, next); // after the packet: if that throws, it is still due
            } while (receiving.next_ack(next));
            if (receiving.may_change_window()) [[unlikely]]
                activity = activity::any;
        }
        has_due_acks = false;
        if (link && link->receiving.is_refusal_next()) [[unlikely]]
            send_refusals();
    }
    // Also sends the acknowledgements behind refusals. A broker has few invalid messages, so these need not be fast.
    TERN_COLD TERN_NOINLINE void send_refusals() {
        receiver& receiving = link->receiving;
        while (is_connected() && receiving.is_refusal_next()) {
            const receiver::ack refused = receiving.refusal();
            if (const std::string_view packet = receiving.rejection_packet(); !packet.empty())
                send_copy(packet);
            else if (refused.exactly_once)
                send_ack(packet_type::pubrec, refused.packet_id, reason_code::unspecified_error);
            else
                send_ack(packet_type::puback, refused.packet_id, reason_code::unspecified_error);
            receiving.take_refusal(lasting.in);
            for (receiver::ack next; is_connected() && receiving.next_ack(next);) {
                if (next.exactly_once)
                    send_success<pubrec>(next.packet_id);
                else
                    send_success<puback>(next.packet_id);
                receiving.take_ack(lasting.in, next);
            }
        }
    }

    // Whether the broker accepts a packet of this size. Closes otherwise.
    TERN_COLD bool accepts(std::size_t packet_bytes) noexcept {
        if (link->sending.limits.check_size(packet_bytes) == errc::none) return true;
        close_now(violation(errc::packet_too_large));
        return false;
    }
    TERN_COLD void send_copy(std::string_view packet) {
        if (accepts(packet.size())) queue_small(log().copy(packet));
    }
    TERN_COLD void queue_small(const packet_slice& packet) {
        log().queue(packet);
        link->ack_bytes += packet.size;
    }

    // All acknowledgements of success have the same size.
    bool accepts_acks() const noexcept {
        return link->sending.limits.check_size(with_header(shortest_ack)) == errc::none;
    }
    template <class Packet>
    TERN_INLINE void queue_ack(packet_id id) {
        log().queue(log().encode_as<true>(Packet{.packet_id = id}, version(), shortest_ack));
        link->ack_bytes += shortest_ack_bytes;
    }

    void close_sending() noexcept {
        activity = activity::any;
        if (link) link->sending.state = send_state::closed;
    }
};

} // namespace tern::detail
