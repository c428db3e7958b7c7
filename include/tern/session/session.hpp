// The session: the client's side of MQTT as a value. Bytes, requests and the time go in. Bytes and events come out.
// There is no socket, clock, thread or callback in it, and it can be copied at any moment.
//
// The owner moves bytes and watches the time. After each call of a request, transport or time function: poll events
// until there is none, do what `pending_action` says, write what is pending, and set a timer for `next_deadline`. When
// the transport fails or is closed, at any moment, call `on_disconnected`.
//
// This file is the interface. How connections are made: detail/connector.hpp, detail/connecting.hpp. What outlives a
// connection: detail/state.hpp. Incoming packets: detail/dispatch.hpp.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/session/connection_terms.hpp"
#include "tern/session/detail/authentication.hpp"
#include "tern/session/detail/connecting.hpp"
#include "tern/session/detail/deadlines.hpp"
#include "tern/session/detail/dispatch.hpp"
#include "tern/session/detail/leaving.hpp"
#include "tern/session/detail/rejecting.hpp"
#include "tern/session/detail/run.hpp"
#include "tern/session/detail/send/alias_publishing.hpp"
#include "tern/session/detail/send/publish.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/detail/subscribe/subscribe.hpp"
#include "tern/session/detail/terms.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/session/read_buffer.hpp"
#include "tern/session/reconnect.hpp"
#include "tern/session/subscription_state.hpp"
#include "tern/session/time.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tern {

namespace detail {
struct session_inspector; // of the tests, which compare sessions
} // namespace detail

/// The client's side of an MQTT session, without any I/O.
///
/// Requests return `errc::none` if they were accepted, otherwise why not, and then nothing has changed. Each accepted
/// request with an `op_id` other than `none` ends with exactly one `completed` event that carries the id, which may
/// then be used again. Not thread-safe. A session that was moved from can only be assigned to or destroyed.
///
/// Nothing throws but `std::bad_alloc`. A request that throws was not accepted. When another function has thrown, close
/// the connection and call `on_disconnected`, again if that throws: then nothing is lost.
class session {
public:
    /// `seed` decides the random part of the waits between attempts to connect: each client needs its own.
    TERN_COLD explicit session(std::uint64_t seed = 0) : core_(seed) {}

    // ---- requests

    /// Begins to connect [§3.1], and to reconnect as `options.reconnect` says. There is a `connected` event for each
    /// CONNACK, and `connection_change::stopped` at the end of the run.
    [[nodiscard]] errc connect(const connect_options& options, time_point now) {
        core_.enter(now);
        return detail::run(core_).connect(options);
    }

    /// Publishes a message [§3.3], now or as soon as it can be sent; also before the first `connect`. The operation
    /// completes: QoS 0 when the bytes were written (`commit_write`), QoS 1 with PUBACK, QoS 2 with PUBCOMP.
    [[nodiscard]] errc publish(const message_view& message, op_id op, time_point now) {
        return publish(message, publish_options{}, op, now);
    }
    [[nodiscard]] errc publish(const message_view& message, const publish_options& options, op_id op, time_point now) {
        return op == detail::own_request ? errc::invalid_argument : publish_checked(message, options, op, now);
    }

    /// Subscribes [§3.8]. The operation completes with SUBACK. Its error is the first refusal, if there is one.
    [[nodiscard]] errc subscribe(const subscriptions_view& subscriptions, const subscribe_properties& properties,
                                 op_id op, time_point now) {
        core_.enter(now);
        const errc error = accepts_request(op);
        return error != errc::none ? error : subscribing().subscribe(subscriptions, properties, op, now);
    }
    /// Unsubscribes [§3.10]. The operation completes with UNSUBACK.
    [[nodiscard]] errc unsubscribe(const filters_view& filters, const unsubscribe_properties& properties, op_id op,
                                   time_point now) {
        core_.enter(now);
        const errc error = accepts_request(op);
        return error != errc::none ? error : subscribing().unsubscribe(filters, properties, op, now);
    }

    /// Sends PINGREQ [§3.12]. The operation completes with PINGRESP, or when this connection ends.
    TERN_COLD [[nodiscard]] errc ping(op_id op, time_point now) {
        core_.enter(now);
        if (op == detail::own_request) return errc::invalid_argument;
        if (!is_connected()) return errc::not_connected;
        core_.send_ping(op);
        return errc::none;
    }

    /// Authenticates again on this connection [§4.12.1]. The operation completes when the owner has accepted the
    /// broker, or when this connection ends, as it does if the authentication fails.
    TERN_COLD [[nodiscard]] errc reauthenticate(op_id op, time_point now) {
        return core_.enter(now), detail::authenticating(core_).reauthenticate(op);
    }
    /// Answers the last `authentication_request`, with data or without. If there is an error, it still waits.
    TERN_COLD [[nodiscard]] errc authenticate(std::optional<std::string_view> data, time_point now) {
        return core_.enter(now), detail::authenticating(core_).answer(data);
    }
    /// Fails it instead. If the cause is a violation by the broker, DISCONNECT has its reason code.
    TERN_COLD void fail_authentication(std::error_code cause, time_point now) noexcept {
        core_.enter(now), detail::authenticating(core_).fail(cause);
    }

    /// Waits until no publish is unfinished. The operation completes then, or with `errc::drain_timeout` at the
    /// deadline. With `op_id::none` there is nothing to report, and nothing waits.
    TERN_COLD [[nodiscard]] errc drain(op_id op, time_point deadline, time_point now) {
        core_.enter(now);
        if (op == detail::own_request) return errc::invalid_argument;
        if (op != op_id::none) core_.drains.add(op, deadline);
        return errc::none;
    }

    /// Sends DISCONNECT [§3.14] after everything that was accepted and can be sent, within `disconnect_timeout`. Ends
    /// the run. Messages that wait for the window or for an acknowledgement fail. Before CONNACK it follows CONNECT if
    /// that was written, so that the broker does not publish the will. Without a connection the run ends at once.
    [[nodiscard]] errc disconnect(const tern::disconnect& packet, time_point now) {
        core_.enter(now);
        return detail::leaving(core_).begin(packet);
    }
    /// Ends the run at once, without DISCONNECT. Everything unfinished fails with the cause.
    void stop(std::error_code cause, time_point now) {
        core_.enter(now);
        detail::run(core_).stop(cause);
    }

    /// Takes back what has not been sent. True if that succeeded: then there is no event for this operation. Otherwise
    /// the operation goes on, and ends with its event. A SUBSCRIBE or UNSUBSCRIBE is then not sent on another
    /// connection.
    TERN_COLD bool cancel(op_id op, time_point now) {
        core_.enter(now);
        if (op == op_id::none || op == detail::own_request) return false;
        if (core_.drains.cancel(op) || detail::authenticating(core_).cancel(op)) return true;
        if (detail::resending::cancel(core_.lasting.out, transmission(), core_.fail_cursor, op)) return true;
        return subscribing().cancel(op, core_.fail_cursor);
    }

    /// The application is done with a received message. It is acknowledged when all that came before it are, and
    /// `poll_event` has no more events. A message of an earlier connection is acknowledged only if it is QoS 2 and
    /// comes again.
    void release(message_token token) noexcept {
        if (token == message_token::none) return;
        if (core_.activity != detail::activity::messages) [[unlikely]]
            return detail::rejecting(core_).release(token);
        if (!core_.link) return;
        core_.link->receiving.release(token);
        core_.has_due_acks = true;
    }

    /// The application refuses a received message for good: PUBACK or PUBREC has this reason code, in its turn. A
    /// message of an earlier connection comes again.
    TERN_COLD [[nodiscard]] errc reject(message_token token, reason_code code, const ack_properties& properties = {}) {
        return detail::rejecting(core_).reject(token, code, properties);
    }

    /// A QoS 1 message with DUP has come, and the owner still has an earlier copy with the same identifier, topic and
    /// payload. True if both are one message: then the token of the earlier copy is void, and that of the newer one
    /// acknowledges both. False if the broker may have lost the session in between: then the newer one is another
    /// message, and nothing has changed.
    TERN_COLD bool supersede(message_token earlier) noexcept {
        if (!core_.link || !core_.lasting.in.is_of_session(earlier)) return false;
        core_.link->receiving.supersede(earlier);
        return true;
    }

    /// The application cannot take a received message, because an allocation failed. The connection must be closed
    /// then. The message comes again on the next one.
    void return_undelivered(message_token token) noexcept {
        if (core_.link) core_.link->receiving.return_undelivered(core_.lasting.in, token);
    }

    // ---- transport

    /// The transport action that the session waits for. It stays the same until its outcome is reported: start each
    /// action once. The value may change after every other call.
    transport_action pending_action() const noexcept { return core_.pending_action(); }

    /// Where the present attempt goes.
    endpoint target() const noexcept { return core_.connector.schedule().target(); }
    /// The time limits that the transport applies while it opens.
    tern::open_timeouts open_timeouts() const noexcept {
        return core_.settings.attempt ? core_.settings.attempt->timeouts : tern::open_timeouts{};
    }
    /// The owner is ready for an attempt, if it likes with other credentials or another target.
    void on_prepared(time_point now) {
        core_.enter(now);
        detail::connecting(core_).on_prepared();
    }
    [[nodiscard]] errc on_prepared(const connect_overrides& overrides, time_point now) {
        core_.enter(now);
        return detail::connecting(core_).on_prepared(overrides);
    }

    /// The phase of the opening, `resolving` or `connecting`, for the event that reports its failure. To be called
    /// before `on_disconnected`. Other phases are ignored.
    void set_opening_phase(connection_phase phase) noexcept { core_.connector.set_opening_phase(phase); }
    /// The transport is open.
    void on_opened(time_point now) {
        core_.enter(now);
        detail::connecting(core_).on_opened();
    }

    /// Where received bytes go. The space is valid until `commit_read` or `on_disconnected`. Never empty while the
    /// transport is open.
    std::span<char> prepare_read() { return core_.link ? core_.link->received.prepare() : std::span<char>{}; }

    /// The owner of many sessions can let them share memory: it lends a buffer to a session without one before
    /// `prepare_read`, which may exchange it for a larger one. The owner reclaims the buffer when all events have been
    /// polled. The result is empty if a part of a packet is in it: the session keeps the buffer until that is complete.
    bool has_read_buffer() const noexcept { return core_.link && core_.link->received.has_buffer(); }
    void lend_read_buffer(read_buffer b) noexcept {
        if (core_.link) core_.link->received.lend(std::move(b));
    }
    read_buffer reclaim_read_buffer() noexcept { return core_.link ? core_.link->received.reclaim() : read_buffer{}; }

    /// `count` bytes were received into the space from `prepare_read`. Call `poll_event` until there is no event.
    void commit_read(std::size_t count, time_point now) {
        core_.now = now;
        if (count == 0 || !core_.link || core_.link->sending.state >= detail::send_state::leaving) return;
        core_.link->received.commit(count);
        if (core_.link->skip_bytes != 0) [[unlikely]]
            core_.link->skip_received();
        core_.bytes_received += count;
        core_.link->alive.on_received(now);
    }

    /// The bytes to be written, piece by piece. The value may change after every other call. The pieces stay where they
    /// are until `commit_write` or `on_disconnected`.
    ///
    ///     for (const std::string_view bytes : session.pending_write()) {
    ///         send(bytes);
    ///         session.commit_write(bytes.size(), now);
    ///     }
    pending_bytes pending_write() const noexcept { return pending_bytes(core_.log()); }
    /// The first `count` pending bytes were passed to the operating system.
    TERN_INLINE void commit_write(std::size_t count, time_point now);

    /// Whether the owner has room for received messages.
    void set_delivery(delivery d, time_point now) noexcept {
        core_.enter(now);
        core_.delivery = d;
        if (!core_.link) return;
        if (d != delivery::full) core_.link->is_blocked = false;
        core_.update_reading();
    }
    /// Whether the owner reads from the transport. While this is false, silence says nothing about the link, and no
    /// answer is late. The value may change after every other call.
    bool is_reading() const noexcept { return !core_.link || (core_.is_reading() && !core_.link->holds_connack()); }

    /// Whether DISCONNECT was written last. If the owner closes the transport while bytes of the broker are unread, TCP
    /// answers with a reset, and DISCONNECT may be discarded. Therefore the owner shuts down its sending side, and
    /// reads until the broker closes, for a bounded time.
    bool is_disconnect_written() const noexcept {
        return core_.connector.is(detail::connector_step::flushing) && core_.log().empty();
    }

    /// The transport is closed, or the pending action has failed.
    void on_disconnected(std::error_code cause, time_point now) {
        core_.enter(now);
        detail::connecting(core_).on_disconnected(cause);
    }

    // ---- time

    /// When `on_deadline` must be called at the latest. The value may change after every other call.
    time_point next_deadline() const noexcept {
        return core_.activity == detail::activity::messages ? core_.next_message_deadline()
                                                            : detail::deadlines::next(core_);
    }
    /// To be called at the deadline. Calling it early is harmless.
    void on_deadline(time_point now) { detail::deadlines(core_).run(now); }

    // ---- results

    /// The next event, if there is one. To be called until there is none, after each other call that may cause one.
    /// Then it may have queued bytes to be written. What it borrows is valid until this, or a function of the transport
    /// or of time, is called again. Requests do not invalidate it.
    TERN_INLINE polled_event poll_event() {
        polled_event next; // the only one that is returned, so that no event is copied
        detail::dispatch(core_).poll(next);
        return next;
    }
    /// Whether the broker has accepted the connection, and it has not ended.
    bool is_connected() const noexcept { return core_.is_connected(); }
    /// Whether the transport is open, and the broker has not answered CONNECT.
    bool awaits_connack() const noexcept {
        return core_.link && core_.link->sending.state == detail::send_state::awaiting_connack;
    }
    /// The client identifier, also if the broker has assigned it.
    std::string_view client_id() const noexcept { return core_.lasting.client_id(); }
    /// Whether no run has begun, or the last one is over.
    bool is_idle() const noexcept { return core_.connector.is(detail::connector_step::idle); }
    /// Whether a run is about to end: the application has requested it, or events of its end are left.
    bool is_ending() const noexcept { return !is_idle() && core_.connector.run() != detail::run_state::running; }

    tern::counters counters() const noexcept { return core_.counters(); }
    /// The topic filters that the program wants, and those that the broker may still have.
    std::vector<subscription_state> subscriptions() { return subscribing().list(); }

    /// The terms of the present or last connection of this run. Borrows from the session until it is changed.
    connection_terms_view terms() const { return detail::terms_of(core_); }

    /// When the session freed the memory that it did not use: the connection was quiet, or it or the run had ended. Its
    /// owner may do the same then.
    time_point trimmed_at() const noexcept { return core_.trimmed_at; }

private:
    friend struct detail::session_inspector;

    detail::transmission* transmission() noexcept { return core_.link ? &core_.link->sending : nullptr; }
    detail::subscribing subscribing() noexcept {
        return {core_.lasting.out, transmission(), core_.lasting.subscriptions};
    }
    // For requests that need a run.
    errc accepts_request(op_id op) const noexcept {
        if (op == detail::own_request) return errc::invalid_argument;
        const errc error = core_.connector.accepts_requests();
        return error == errc::none && is_idle() ? errc::not_connected : error;
    }
    errc publish_checked(const message_view& message, const publish_options& options, op_id op, time_point now) {
        core_.now = now;
        const bool simple = options.time_to_live.count() == 0 && detail::is_simple(message);
        if (simple && core_.link) [[likely]] {
            // A message that is sent at once is accepted, too: whatever stops the session closes the transmission.
            detail::publishing publisher(core_.lasting.out, core_.link->sending);
            const bool acknowledged = message.qos != qos::at_most_once;
            const bool at_once = core_.activity == detail::activity::messages ? publisher.has_room(acknowledged)
                                                                              : publisher.sends_at_once(acknowledged);
            if (at_once) [[likely]]
                return publisher.publish_simple(message, op, now);
        }
        return publish_any(message, options, op, now);
    }
    errc publish_any(const message_view& message, const publish_options& options, op_id op, time_point now);
    void send_more();

    detail::session_core core_;
};

TERN_NOINLINE inline errc session::publish_any(const message_view& message, const publish_options& options, op_id op,
                                               time_point now) {
    core_.enter(now);
    if (const errc error = core_.connector.accepts_requests(); error != errc::none) return error;
    if (!detail::is_valid_duration(options.time_to_live)) return errc::invalid_time_to_live;
    if (core_.closing)
        if (const errc error = detail::careful_mode(core_).check_topic(message.topic); error != errc::none)
            return error;
    const time_point expires = options.time_to_live.count() == 0 ? (time_point::max)() : now + options.time_to_live;
    if (!message.properties.subscription_identifiers.empty()) return errc::property_not_allowed; // [MQTT-3.3.4-6]
    detail::outgoing& out = core_.lasting.out;
    detail::transmission* const link = transmission();
    if (!message.properties.topic_alias) return detail::publishing::send_or_queue(out, link, message, expires, op, now);
    return detail::alias_publishing(out, link, core_.lasting.aliases).publish(message, expires, op, now);
}

inline void session::commit_write(std::size_t count, time_point now) {
    core_.now = now;
    if (count == 0 || core_.log().empty()) return;
    core_.log().commit(count);
    core_.bytes_sent += count;
    detail::connection& link = *core_.link;
    link.alive.on_sent(core_.log(), now);
    if (core_.log().written() >= link.ack_mark) {
        link.ack_mark = core_.log().queued();
        link.ack_bytes = 0;
    }
    link.sending.on_written(core_.lasting.out, now);
    if (core_.activity != detail::activity::messages) send_more();
    core_.lasting.out.bound_log();
}

// The transport has taken bytes: sends what has waited for that.
TERN_NOINLINE inline void session::send_more() {
    detail::connection& link = *core_.link;
    if (link.sending.has_waiting(core_.lasting.out))
        detail::resending(core_.lasting.out, link.sending).send_waiting(core_.now);
    if (link.sending.state == detail::send_state::leaving) detail::leaving(core_).go_on();
}

} // namespace tern
