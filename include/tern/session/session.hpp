// The session: MQTT's client side as a value. Bytes, requests and the time go in; bytes and events come out.
// There is no socket, clock, thread or callback in it, and it can be copied at any moment.
//
//     idle --connect--> preparing --on_prepared--> opening --on_opened--> handshake --CONNACK 0--> connected
//     each of these --refusal, violation, deadline, disconnect, stop--> closing
//     each of these --on_disconnected--> waiting --time--> preparing, if it is of use to try again, or
//                                        ending --(events taken)--> idle
//
// What is unfinished when a connection is lost waits for the next one, and fails when the session ends.
//
// The owner moves bytes and watches the time. After each call of a request, transport or time function: take
// events until there is none, do with the transport what `pending_action` says, write what is pending, and set a timer for
// `next_deadline`. When the transport fails or is closed, at whatever moment, call `on_disconnected`.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/box.hpp"
#include "tern/session/detail/inbuf.hpp"
#include "tern/session/detail/keep_alive.hpp"
#include "tern/session/detail/outbox.hpp"
#include "tern/session/detail/receiver.hpp"
#include "tern/session/detail/ring.hpp"
#include "tern/session/detail/sender.hpp"
#include "tern/session/detail/subscriptions.hpp"
#include "tern/session/detail/topic_aliases.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/session/read_buffer.hpp"
#include "tern/session/reconnect.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace tern {

namespace detail {
struct session_inspector; // of the tests, which compare sessions
} // namespace detail

/// The client's side of an MQTT session, without any I/O.
///
/// Requests return `errc::none` if they were accepted, otherwise why not, and then nothing has changed. Each
/// accepted request with an `op_id` other than `none` ends with exactly one `completed` event that carries
/// it; an op id may be used again after that. Not thread-safe. One that was moved from can only be assigned to or
/// destroyed.
///
/// Nothing throws but `std::bad_alloc`. A request that throws was not accepted. When another function has thrown,
/// close the connection and call `on_disconnected`, again if that throws: then nothing is lost.
class session {
public:
    /// `seed` decides the random part of the waits between attempts to connect: each client needs its own.
    explicit session(std::uint64_t seed = 0) : reconnect_(seed) {}

    // ---- requests

    /// Begins to connect [§3.1], and to reconnect as `options.reconnect` says. There is a `connected` event for
    /// each CONNACK; `connection_change::stopped` says that it is over.
    [[nodiscard]] errc connect(const connect_options& options, time_point now);

    /// Publishes a message [§3.3], now or as soon as it can be sent; also before the first `connect`. The op
    /// completes: QoS 0 when the bytes were written (`commit_write`), QoS 1 with PUBACK, QoS 2 with PUBCOMP.
    [[nodiscard]] errc publish(const message_view& message, op_id op, time_point now) {
        return publish(message, publish_options{}, op, now);
    }
    [[nodiscard]] errc publish(const message_view& message, const publish_options& options, op_id op,
                               time_point now);

    /// Subscribes [§3.8]. The op completes with SUBACK; its error is the first refusal, if there is one.
    [[nodiscard]] errc subscribe(const subscriptions_view& subscriptions,
                                 const subscribe_properties& properties, op_id op, time_point now);

    /// Unsubscribes [§3.10]. The op completes with UNSUBACK.
    [[nodiscard]] errc unsubscribe(const filters_view& filters, const unsubscribe_properties& properties,
                                   op_id op, time_point now);

    /// Sends PINGREQ [§3.12]. The op completes with PINGRESP, or when this connection ends.
    [[nodiscard]] errc ping(op_id op, time_point now);

    /// Waits until no publish is unfinished. The op completes then, or with `errc::drain_timeout` at the deadline.
    void drain(op_id op, time_point deadline, time_point now);

    /// Sends DISCONNECT [§3.14], after everything that was sent before, and ends; messages that wait for the
    /// window or for an acknowledgement fail. Without a connection it just ends.
    [[nodiscard]] errc disconnect(const tern::disconnect& packet, time_point now);

    /// Ends at once, without DISCONNECT. Everything unfinished fails with the cause.
    void stop(std::error_code cause, time_point now);

    /// Takes back what has not been sent. True if it was so: then nothing more is said of this op. Otherwise it
    /// goes on, and ends with its event.
    bool cancel(op_id op, time_point now);

    /// The application is done with a received message: it is acknowledged when all that came before it are, and
    /// `poll_event` has no more events to give. What was received on an earlier connection is acknowledged only if it
    /// is QoS 2 and comes again.
    void release(message_token token) noexcept { receiver_.release(token); }

    /// The application cannot take a received message, for lack of memory. The connection must be closed then; the
    /// message comes again on the next one.
    void return_undelivered(message_token token) noexcept { receiver_.give_back(token); }

    // ---- transport

    /// The transport action that the session waits for. It stays the same until its outcome is reported, so start each
    /// action once. The value may change after every other call.
    transport_action pending_action() const noexcept;

    /// Where the present attempt goes, and how long the transport may take to get there. The session has no timer for
    /// it: the transport keeps to these limits, and fails with `errc::resolve_timeout` or `errc::connect_timeout`.
    endpoint target() const noexcept { return reconnect_.target(); }
    tern::open_timeouts open_timeouts() const noexcept { return {resolve_timeout_, connect_timeout_}; }

    /// The owner is ready for an attempt; with another password, or to another place, if it likes.
    void on_prepared(time_point now);
    [[nodiscard]] errc on_prepared(const connect_overrides& renewed, time_point now);

    /// The transport is open.
    void on_opened(time_point now);

    /// How far an opening had come, `resolving` or `connecting`, that has failed or was ended. Call it before
    /// `on_disconnected`, so that the event names the phase; at another time it does nothing.
    void set_opening_phase(connection_phase phase) noexcept;

    /// Where received bytes go; valid until `commit_read` or `on_disconnected`. Never empty.
    std::span<char> prepare_read() { return in_.prepare(); }

    /// The owner of many sessions can let them share memory: a session without a buffer is lent one before
    /// `prepare_read`, which it may exchange for a larger one. It is taken back when all events have been taken; the
    /// result is empty if there is a part of a packet in it, and then the session keeps it until that is complete.
    bool has_read_buffer() const noexcept { return in_.has_buffer(); }
    void lend_read_buffer(read_buffer b) noexcept { in_.lend(std::move(b)); }
    read_buffer reclaim_read_buffer() noexcept;

    /// So many bytes were received into the prepared space. Call `poll_event` until it gives none.
    void commit_read(std::size_t count, time_point now);

    /// What is to be written, a forward range of `std::string_view`; empty: nothing. Call again after every other call.
    /// The bytes stay where they are until `commit_write` or `on_disconnected`.
    detail::outbox::pieces pending_write() const noexcept { return out_.pending(); }

    /// The first `count` bytes of what was pending were handed to the operating system.
    void commit_write(std::size_t count, time_point now);

    /// Whether the owner takes received messages at the moment. While it does not, because it has no room, `poll_event`
    /// gives nothing of what was received, silence says nothing about the link, and no acknowledgement is late.
    void set_delivery(delivery d, time_point now) noexcept {
        const bool reading = d == delivery::open;
        reading_ = reading;
        keep_alive_.set_reading(reading, now);
        sender_.set_reading(reading, now);
    }

    /// Whether DISCONNECT was the last that was written. Then a transport that is closed while something of
    /// the broker's is still unread may take it back: TCP answers with a reset. The owner rather shuts down
    /// the sending side and reads on, for a bounded time, until the broker closes.
    bool is_disconnect_written() const noexcept {
        return state_ == state::closing && !give_up_ && out_.empty();
    }

    /// The transport is closed, or what was wanted of it has failed.
    void on_disconnected(std::error_code cause, time_point now);

    // ---- time

    /// When `on_deadline` must be called at the latest. Ask again after every other call.
    time_point next_deadline() const noexcept;

    /// To be called at the deadline; too early is harmless.
    void on_deadline(time_point now);

    // ---- results

    /// The next event, if there is one. What the event borrows is valid until this, or a function of the transport or of
    /// time, is called again; requests leave it alone.
    polled_event poll_event();

    /// Whether the broker has accepted the connection, and it has not ended.
    bool is_connected() const noexcept { return state_ == state::connected; }
    /// Whether nobody has asked to connect, or that is over.
    bool is_idle() const noexcept { return state_ == state::idle; }

    tern::counters counters() const noexcept;

private:
    friend struct detail::session_inspector;

    enum class state : std::uint8_t {
        idle,
        preparing,
        opening,
        handshake,
        connected,
        closing,
        waiting,
        ending,
    };

    /// What the broker said in CONNACK that it can do.
    struct server_limits {
        bool wildcards = true;
        bool subscription_identifiers = true;
        bool shared_subscriptions = true;
        std::uint32_t maximum_packet_size = detail::largest_packet;

        errc check(const tern::subscribe& packet) const noexcept;
    };

    // The longest time that a DISCONNECT may take to be written before the connection is closed without it.
    static constexpr std::chrono::seconds closing_time{3};

    // What every 3.1.1 broker can be trusted to take before it has acknowledged something.
    static constexpr std::uint16_t safe_in_flight = 20;

    template <packet Packet>
    void send(const Packet& packet);
    template <class Packet>
    void send_success(tern::packet_id id);
    void send_acks();
    bool may_say(const ack_properties& properties) {
        return wants_problem_information_ || may_say_little(properties);
    }
    bool may_say_little(const ack_properties& properties);
    errc set_connect_packet(const connect_options& options);
    errc rewrite_connect_packet(const connect_overrides& renewed);
    void close(std::error_code cause, bool give_up);
    void fail(errc error);
    void enter(state next, connection_phase phase, std::chrono::milliseconds timeout);
    void forget_session();
    void begin_attempt();
    void end(std::error_code cause);
    void lose_connection();
    void tell(connection_event_view view) { told_.push_back(connection_event(view)); }
    void agree(const connack& packet);
    bool agreed_to_keep() const noexcept {
        return version_ == protocol_version::v5 ? session_expiry_interval_ != 0 : !clean_start_;
    }
    errc check_request(std::string_view packet);
    void renew_subscriptions();
    errc accepts_requests() const noexcept;
    errc publish_any(const message_view& message, const publish_options& options, op_id op, time_point now);

    // Each of these fills in the next event and gives true, if there is one to be told.
    bool tell_news(polled_event& next);
    bool tell_end(polled_event& next);
    bool next_drained(polled_event& next);
    bool next_failed(polled_event& next);
    bool on_first_packet(frame frame, polled_event& next);
    bool on_packet(frame frame, polled_event& next);
    bool on_connack(const frame& frame, polled_event& next);
    bool on_publish(const frame& frame, polled_event& next);
    bool on_pingresp(const frame& frame, polled_event& next);
    bool on_disconnect(const frame& frame);
    bool on_auth() { // nobody has begun an authentication
        return reject(version_ == protocol_version::v5 ? errc::unexpected_authentication
                                                       : errc::invalid_packet_type);
    }
    template <class Packet>
    bool on_publish_ack(const frame& frame, polled_event& next);
    template <class Packet>
    bool on_filter_ack(const frame& frame, polled_event& next);
    bool reject(errc error) {
        fail(error);
        return false;
    }
    static bool complete(polled_event& next, op_id op, std::error_code error = {}) {
        next.emplace<completed>(op, error);
        return true;
    }
    bool tell_front(polled_event& next) {
        telling_ = true;
        next.emplace<connection_event_view>(told_.front().view());
        return true;
    }
    void read_packets(polled_event& next);
    bool has_ends() const noexcept {
        return (sender_.queue().ended() + drains_.size()) != 0 || state_ == state::ending;
    }
    void keep_granted(std::string_view subscribe_packet, const reason_codes_view& codes, bool renewed);
    void forget_filters(std::string_view unsubscribe_packet);

    /// What the broker said in DISCONNECT, or in a CONNACK that refuses.
    struct last_words {
        std::string reason_string;
        std::string server_reference;
    };
    template <class Properties>
    void keep_last_words(const Properties& properties) {
        if (!properties.reason_string && !properties.server_reference) return;
        last_words& words = last_words_.emplace();
        words.reason_string = properties.reason_string.value_or("");
        words.server_reference = properties.server_reference.value_or("");
    }

    struct draining {
        op_id op = op_id::none;
        time_point deadline;
    };

    state state_ = state::idle;
    bool reading_ = true;
    bool give_up_ = false;  // closing without waiting for what is still to be written
    bool stopping_ = false; // no attempt is to follow
    bool over_ = false;     // it has ended, and nobody has asked to connect since
    connection_phase phase_ = connection_phase::preparing;
    protocol_version version_ = protocol_version::v5;
    time_point now_;
    time_point state_deadline_ = time_point::max(); // of handshake, closing and waiting
    std::error_code cause_;                         // why the session closes, or has ended

    // What the application wants.
    std::string connect_packet_; // encoded
    std::string client_id_;      // to which the kept state belongs
    std::chrono::milliseconds resolve_timeout_{};
    std::chrono::milliseconds connect_timeout_{};
    std::chrono::milliseconds connack_timeout_{};
    std::chrono::milliseconds ack_timeout_{};
    std::uint32_t maximum_packet_size_ = 0;
    std::uint32_t wanted_expiry_ = 0;
    std::uint32_t session_expiry_interval_ = 0; // as the broker has it
    std::uint16_t max_in_flight_ = 0;
    std::uint16_t receive_maximum_ = 0;
    std::uint16_t topic_alias_maximum_ = 0;
    std::uint16_t keep_alive_interval_ = 0; // in seconds
    bool clean_start_ = true;               // as CONNECT says
    bool assume_session_ = false;
    bool resend_ = true;
    bool resubscribe_ = true;
    bool republish_qos_2_ = false;
    bool wants_problem_information_ = true;

    // The session, which outlives connections.
    bool has_state_ = false;     // of a session that the broker may have too
    bool lost_session_ = false;  // by the broker, and not all that follows from it has been done
    bool keeps_session_ = false; // the broker does, after this connection
    bool renewal_due_ = false;   // of the subscriptions
    bool unanswered_ = false; // a CONNECT was: the broker may have begun a session, or said that it lost one
    bool asked_ = false;      // CONNECT was sent on this connection, and nothing has come yet
    bool telling_ = false;    // the last event borrows from the first of those that are told
    bool pings_lost_ = false; // the connection of the pings has ended
    server_limits limits_;    // of one connection
    detail::reconnect reconnect_;
    detail::outbox out_;
    detail::sender sender_;
    detail::receiver receiver_;
    detail::subscriptions subscriptions_;
    detail::ring<draining> drains_;
    detail::ring<connection_event> told_;
    std::uint64_t messages_received_ = 0; // and the other counters
    std::uint64_t bytes_sent_ = 0;
    std::uint64_t bytes_received_ = 0;
    std::uint64_t connections_ = 0;
    std::chrono::nanoseconds round_trip_time_{0};

    // One connection.
    time_point connect_sent_at_;
    detail::inbuf in_;
    detail::topic_aliases aliases_; // of outgoing messages
    detail::keep_alive keep_alive_;
    detail::ring<op_id> pings_;             // for which PINGRESP is due, in order
    std::error_code lost_cause_;            // why none came for those that are lost
    detail::outbox::position ping_end_ = 0; // where the last PINGREQ ends
    detail::box<last_words> last_words_;
};

} // namespace tern

#include "tern/session/detail/handshake.hpp"
#include "tern/session/detail/incoming.hpp"
#include "tern/session/detail/requests.hpp"
