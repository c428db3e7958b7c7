// The session: MQTT's client side as a value. Bytes, requests and the time go in; bytes and events come out.
// There is no socket, clock, thread or callback in it, and it can be copied at any moment.
//
//     idle --connect--> connecting --on_connected--> handshake --CONNACK 0--> connected
//     handshake, connected --disconnect, refusal, violation, deadline--> closing
//     any but idle --on_disconnected--> closed --(events taken)--> idle
//
// The owner moves bytes and watches the time. After each call of a request, transport or time function:
// take events until there is none, write what is pending, close the transport if `wants_close`, and set a
// timer for `next_deadline`. When the transport is gone, for whatever reason, call `on_disconnected`.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/inbuf.hpp"
#include "tern/session/detail/keep_alive.hpp"
#include "tern/session/detail/outbox.hpp"
#include "tern/session/detail/receiver.hpp"
#include "tern/session/detail/ring.hpp"
#include "tern/session/detail/sender.hpp"
#include "tern/session/detail/topic_aliases.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
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

/// The client's side of an MQTT session, without any I/O.
///
/// Requests return `errc::none` if they were accepted, otherwise why not, and then nothing has changed. Each
/// accepted request with an `op_id` other than `none` ends with exactly one `completed` event that carries
/// it; an op id may be used again after that. Nothing throws but `std::bad_alloc`. Not thread-safe.
class session {
public:
    // ---- requests

    /// Prepares a connection [§3.1]. The owner then opens the transport and calls `on_connected`, or
    /// `on_disconnected` if that fails. Ends with a `connected` event, or `closed`.
    [[nodiscard]] errc connect(const connect_options& options, time_point now);

    /// Publishes a message [§3.3]. The op completes: QoS 0 when the bytes were written (`commit_write`), QoS
    /// 1 with PUBACK, QoS 2 with PUBCOMP.
    [[nodiscard]] errc publish(const message_view& message, op_id op, time_point now);

    /// Subscribes [§3.8]. The op completes with SUBACK; its error is the first refusal, if there is one.
    [[nodiscard]] errc subscribe(const subscriptions_view& subscriptions,
                                 const subscribe_properties& properties, op_id op, time_point now);

    /// Unsubscribes [§3.10]. The op completes with UNSUBACK.
    [[nodiscard]] errc unsubscribe(const filters_view& filters, const unsubscribe_properties& properties,
                                   op_id op, time_point now);

    /// Sends PINGREQ [§3.12]. The op completes with PINGRESP.
    [[nodiscard]] errc ping(op_id op, time_point now);

    /// Sends DISCONNECT [§3.14], after everything that was sent before, and closes; messages that wait for the
    /// window or for an acknowledgement fail. Before CONNACK it just closes. Ends with `closed`.
    [[nodiscard]] errc disconnect(const tern::disconnect& packet, time_point now);

    /// The application is done with a received message: it is acknowledged as soon as all that came before it
    /// are. A token of an earlier connection does nothing.
    void release(message_token token, time_point now);

    // ---- transport

    /// The transport is open.
    void on_connected(time_point now);

    /// Where received bytes go; valid until `commit_read` or `on_disconnected`. Never empty.
    std::span<char> prepare_read() { return in_.prepare(); }

    /// So many bytes were received into the prepared space. Call `poll_event` until it gives none.
    void commit_read(std::size_t count, time_point now);

    /// What is to be written; empty: nothing. Call again after every other call. The bytes stay where they
    /// are until `commit_write` or `on_disconnected`.
    std::span<const std::string_view> pending_write() noexcept { return out_.pending(); }

    /// The first `count` bytes of what was pending were handed to the operating system.
    void commit_write(std::size_t count, time_point now);

    /// Whether the owner reads at the moment. While it does not, because it has no room, `poll_event` gives
    /// nothing of what was received, silence says nothing about the link, and no acknowledgement is late.
    void set_reading(bool reading, time_point now) noexcept {
        reading_ = reading;
        keep_alive_.set_reading(reading, now);
        sender_.set_reading(reading, now);
    }

    /// Whether the owner should close the transport now. Call after every other call.
    bool wants_close() const noexcept { return state_ == state::closing && (give_up_ || out_.empty()); }

    /// Whether DISCONNECT was the last that was written. Then a transport that is closed while something of
    /// the broker's is still unread may take it back: TCP answers with a reset. The owner rather shuts down
    /// the sending side and reads on, for a bounded time, until the broker closes.
    bool has_said_disconnect() const noexcept {
        return state_ == state::closing && !give_up_ && out_.empty();
    }

    /// The transport is closed, or could not be opened. Everything unfinished completes with the reason why
    /// the session closed, or with `cause` if it did not.
    void on_disconnected(std::error_code cause, time_point now);

    // ---- time

    /// When `on_deadline` must be called at the latest. Ask again after every other call.
    time_point next_deadline() const noexcept;

    /// To be called at the deadline; too early is harmless.
    void on_deadline(time_point now);

    // ---- results

    /// The next event, if there is one. What the event borrows is valid until the session is called again.
    std::optional<event> poll_event();

    /// Whether requests are accepted.
    bool is_connected() const noexcept { return state_ == state::connected; }
    bool is_idle() const noexcept { return state_ == state::idle; }

private:
    enum class state : std::uint8_t { idle, connecting, handshake, connected, closing, closed };

    /// What the broker said in CONNACK that it can do.
    struct server_limits {
        qos maximum_qos = qos::exactly_once;
        bool retain = true;
        bool wildcards = true;
        bool subscription_identifiers = true;
        bool shared_subscriptions = true;
        std::size_t maximum_packet_size = variable_byte_integer_max + 5;
    };

    // The longest time that a DISCONNECT may take to be written before the connection is closed without it.
    static constexpr std::chrono::seconds closing_time{3};

    // What every 3.1.1 broker can be trusted to take before it has acknowledged something.
    static constexpr std::uint16_t safe_in_flight = 20;

    template <packet Packet>
    void send(const Packet& packet);
    void send_acks();
    bool may_say(const ack_properties& properties);
    void close(std::error_code cause, bool give_up);
    void fail(errc error);
    errc check_limits(const message_view& message) const noexcept;
    void apply_limits(const connack_properties& properties);

    std::optional<event> next_packet();
    std::optional<event> on_packet(const frame& frame);
    std::optional<event> on_connack(const frame& frame);
    std::optional<event> on_publish(const frame& frame);
    std::optional<event> on_pingresp(const frame& frame);
    std::optional<event> on_disconnect(const frame& frame);
    template <class Packet>
    std::optional<event> on_publish_ack(const frame& frame);
    template <class Packet>
    std::optional<event> on_filter_ack(const frame& frame);
    std::optional<event> next_failed();

    state state_ = state::idle;
    bool reading_ = true;
    bool give_up_ = false; // closing without waiting for what is still to be written
    protocol_version version_ = protocol_version::v5;
    time_point now_;
    time_point connect_deadline_ = time_point::max();
    time_point closing_deadline_ = time_point::max();
    std::error_code cause_; // why the session closes

    std::string connect_packet_; // encoded
    std::string client_id_;      // to which the kept state belongs
    bool has_state_ = false;     // of a session that the broker may have too
    bool clean_start_ = true;
    bool assume_session_ = false;
    bool resend_ = true;
    bool wants_problem_information_ = true;
    bool established_ = false;   // CONNACK 0 has come on this connection
    bool keeps_session_ = false; // after this connection
    std::chrono::seconds keep_alive_interval_{};
    std::chrono::milliseconds ack_timeout_{};
    std::uint16_t max_in_flight_ = 0;
    std::uint16_t receive_maximum_ = 0;
    std::uint16_t topic_alias_maximum_ = 0;
    std::size_t maximum_packet_size_ = 0;
    std::uint32_t session_expiry_interval_ = 0;

    server_limits limits_;
    detail::inbuf in_;
    detail::outbox out_;
    detail::sender sender_;
    detail::receiver receiver_;
    detail::topic_aliases aliases_; // of outgoing messages
    detail::keep_alive keep_alive_;
    detail::ring<op_id> pings_;             // for which PINGRESP is due, in order
    detail::outbox::position ping_end_ = 0; // where the last PINGREQ ends
    std::size_t consumed_ = 0;              // bytes of the packet from which the last event borrows
};

} // namespace tern

#include "tern/session/detail/handshake.hpp"
#include "tern/session/detail/incoming.hpp"
#include "tern/session/detail/requests.hpp"
