// The events of a session, and the words in which it speaks with its owner.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/control.hpp"
#include "tern/codec/publish.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/authentication.hpp"
#include "tern/session/time.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

namespace tern {

/// The number by which the owner of a session recognises its requests, at most 2^64 - 2: the largest value stands for a
/// request of the session itself, and is refused with `errc::invalid_argument`. `none`: no completion is reported.
enum class op_id : std::uint64_t { none = 0 };

/// Stands for a received message until it is acknowledged. `none`: QoS 0, there is nothing to acknowledge.
enum class message_token : std::uint64_t { none = 0 };

/// How the broker answered PUBLISH, SUBSCRIBE, UNSUBSCRIBE or PINGREQ. Borrows from the packet.
struct acknowledgement_view {
    /// PUBLISH: of PUBACK, PUBREC or PUBCOMP. SUBSCRIBE and UNSUBSCRIBE: of the first filter that was refused,
    /// otherwise of the first filter.
    tern::reason_code reason_code = tern::reason_code::success;
    /// SUBSCRIBE: one code per filter, the granted QoS or a failure. UNSUBSCRIBE: the same in 5.0, empty
    /// in 3.1.1.
    reason_codes_view reason_codes = {};
    ack_properties properties = {}; ///< 5.0 only

    friend constexpr bool operator==(const acknowledgement_view&, const acknowledgement_view&) = default;

    /// For `owned`: calls `f` on all that the view borrows.
    template <class F>
    static void visit(acknowledgement_view& view, F&& f) {
        f(view.reason_codes);
        detail::visit_borrowed(view.properties, f, ack_properties::fields{});
    }
};

/// The same, as an owner of its strings.
struct acknowledgement : owned<acknowledgement_view> {
    using acknowledgement_view::properties;
    using acknowledgement_view::reason_code;
    using acknowledgement_view::reason_codes;
    using owned::owned;
    /// Success. Not defaulted, because GCC would first fill it with zeros.
    acknowledgement() noexcept {} // NOLINT(modernize-use-equals-default)
};

/// CONNACK was received: the connection is open, or the broker has refused it and it is going to be closed.
struct connected {
    std::error_code error = {}; ///< the refusal, or none
    connack packet = {};
};

/// A message was received. Borrows from the packet. Release its token when the application is done with it.
struct received : message_view {
    /// The broker sent this message before. The earlier copy may not have arrived [MQTT-3.3.1-1].
    bool dup = false;
    tern::packet_id packet_id = 0; ///< 0: QoS 0
    message_token token = message_token::none;
};

/// An operation has ended.
struct completed {
    op_id op = op_id::none;
    std::error_code error = {};
    acknowledgement_view answer = {};
};

/// The changes of a connection that a session reports.
enum class connection_change : std::uint8_t {
    connecting,           ///< an attempt begins
    connected,            ///< the broker has accepted the connection
    disconnected,         ///< the connection, or the attempt, has ended
    retrying,             ///< the next attempt follows after `delay`
    stopped,              ///< no further attempt follows, and everything unfinished has completed
    subscription_refused, ///< the broker has lost the session, or may have, and did not renew a subscription
    answer_late,          ///< the broker answers, but has not acknowledged a message in time
    message_skipped, ///< a received message was larger than `maximum_packet_size`: it is acknowledged, not delivered
    /// A message with this topic violates a rule, on the third connection in a row or later. It ends the connection, or
    /// is refused (`connect_options::on_invalid_message`).
    message_invalid,
    /// 5.0: the application has received, and not acknowledged, as many QoS 1 and 2 messages as the Receive Maximum
    /// allows, so the broker sends no more of them. Reported again after the application has acknowledged half of them.
    window_exhausted,
    /// 5.0: the client has no identifier, and CONNACK does not assign one [MQTT-3.2.2-16]. The client goes on, but the
    /// broker cannot resume its session. Reported once in a run.
    client_id_not_assigned,
    /// A Server Reference is ill-formed, or the client is not to go there (`reconnect_policy::follow_redirect`).
    redirect_ignored,
};

/// The cause of the end of a connection.
enum class connection_end : std::uint8_t {
    user,      ///< the application ended it
    broker,    ///< the broker ended or refused it
    violation, ///< the broker broke a rule
    timeout,   ///< an answer did not come in time
    transport, ///< the transport failed
};

namespace detail {

// The category that older versions of Asio have for errors of the system does not know `std::errc`.
inline bool is_cancelled(const std::error_code& error) noexcept {
    const bool is_old_asio = std::string_view(error.category().name()) == "asio.system";
    const std::error_code plain = is_old_asio ? std::error_code(error.value(), std::system_category()) : error;
    return plain == std::errc::operation_canceled;
}

} // namespace detail

/// The cause of the end that an error stands for.
TERN_COLD inline connection_end end_of(const std::error_code& error) noexcept {
    if (!error || error.category() == usage_category() || detail::is_cancelled(error)) return connection_end::user;
    if (error.category() == refusal_category() || error == errc::closed_by_peer) return connection_end::broker;
    for (const errc timeout :
         {errc::resolve_timeout, errc::connect_timeout, errc::tls_timeout, errc::upgrade_timeout, errc::connack_timeout,
          errc::authentication_timeout, errc::acknowledgement_timeout, errc::ping_timeout})
        if (error == timeout) return connection_end::timeout;
    return error.category() == protocol_category() ? connection_end::violation : connection_end::transport;
}

/// A change of the connection. `change` determines which other members are set.
struct connection_event_view {
    connection_change change = connection_change::connecting;
    connection_phase phase = connection_phase::preparing; ///< disconnected: the phase that had been reached
    bool session_present = false;                         ///< connected
    std::uint16_t port = 0;                               ///< of the endpoint, with `host`; 0: a Unix socket
    unsigned attempt = 0;                                 ///< connecting: since the last connection, from 1
    std::chrono::milliseconds delay{0};                   ///< retrying: until the next attempt
    /// connecting, connected, disconnected: of the endpoint, or the path of a Unix socket
    std::string_view host = {};
    std::error_code error = {};                ///< disconnected, stopped: the cause; none: the application wanted it
    std::string_view reason_string = {};       ///< disconnected: from the broker
    std::string_view server_reference = {};    ///< disconnected: other servers; redirect_ignored: one
    user_properties_view user_properties = {}; ///< disconnected: from the broker
    std::string_view filter = {};              ///< subscription_refused; of a message: its topic
    std::size_t packet_bytes = 0;              ///< message_skipped

    friend bool operator==(const connection_event_view&, const connection_event_view&) = default;

    /// For `owned`: calls `f` on all that the view borrows.
    template <class F>
    static void visit(connection_event_view& view, F&& f) {
        f(view.host);
        f(view.reason_string);
        f(view.server_reference);
        f(view.user_properties);
        f(view.filter);
    }
};

/// The same, as an owner of its strings.
struct connection_event : owned<connection_event_view> {
    using connection_event_view::attempt;
    using connection_event_view::change;
    using connection_event_view::delay;
    using connection_event_view::error;
    using connection_event_view::filter;
    using connection_event_view::host;
    using connection_event_view::packet_bytes;
    using connection_event_view::phase;
    using connection_event_view::port;
    using connection_event_view::reason_string;
    using connection_event_view::server_reference;
    using connection_event_view::session_present;
    using connection_event_view::user_properties;
    using owned::owned;
};

/// An event of a session.
using event = std::variant<connected, received, completed, connection_event_view, authentication_request>;

/// An optional event. Used like a `std::optional<event>`, which in some libraries clears all of its memory when it is
/// empty.
class polled_event {
public:
    polled_event() noexcept : none_(0) {}

    bool has_value() const noexcept { return has_value_; }
    explicit operator bool() const noexcept { return has_value_; }
    event& operator*() noexcept { return value_; }
    const event& operator*() const noexcept { return value_; }
    event* operator->() noexcept { return &value_; }
    const event* operator->() const noexcept { return &value_; }

    /// Sets an event of this kind from its first members. Without any member, its memory would be filled with zeros
    /// first.
    template <class Event, class... Member>
    TERN_INLINE Event& emplace(const Member&... member) noexcept {
        if constexpr (std::is_constructible_v<Event, const Member&...>)
            ::new (static_cast<void*>(&value_)) event(std::in_place_type<Event>, member...);
        else // Clang before version 16 does not initialise aggregates with parentheses
            ::new (static_cast<void*>(&value_)) event(std::in_place_type<Event>, Event{member...});
        has_value_ = true;
        return *std::get_if<Event>(&value_);
    }
    void reset() noexcept { has_value_ = false; }

private:
    static_assert(std::is_trivially_copyable_v<event>, "it is copied as bytes and never destroyed");

    union {
        char none_;
        event value_;
    };
    bool has_value_ = false;
};

/// The action with the transport that a session waits for.
enum class transport_action : std::uint8_t {
    none,
    prepare, ///< prepare for an attempt, then call `on_prepared`
    open,    ///< open the transport to `target()` within `open_timeouts()`, then call `on_opened`
    close,   ///< close the transport, then call `on_disconnected`
};

/// Whether the owner of a session has room for received messages.
enum class delivery : std::uint8_t {
    open, ///< it takes all
    /// It should get no more, but can take some. The session reads only while something waits for an answer, because
    /// the answer may be behind messages.
    limited,
    /// It can take no more. The session goes on reading while something waits for an answer, gives the owner QoS 0
    /// messages, which it may drop, and stops in front of a QoS 1 or 2 message.
    full,
};

/// Counts since the session was made, and the present state of its queue.
struct counters {
    std::uint64_t messages_sent = 0;     ///< PUBLISH, each message once
    std::uint64_t messages_resent = 0;   ///< PUBLISH with DUP
    std::uint64_t messages_received = 0; ///< delivered
    std::uint64_t messages_dropped = 0;  ///< not sent: the queue was full, or they had expired
    std::uint64_t messages_unsent = 0;   ///< accepted, but not sent: the run ended before
    std::uint64_t received_dropped = 0;  ///< QoS 0, not delivered: the client's inbox was at its hard limit
    std::uint64_t received_refused = 0;  ///< not delivered, because they were invalid: `invalid_message_action::refuse`
    std::uint64_t bytes_sent = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t connections = 0;      ///< accepted by a broker
    std::uint64_t disconnects_sent = 0; ///< connections that ended with the application's DISCONNECT
    std::size_t in_flight = 0;          ///< QoS 1 and 2 messages that were sent and are not acknowledged
    std::size_t queued = 0;             ///< messages that wait to be sent
    std::size_t queued_bytes = 0;       ///< of their packets
    /// From the last packet that was answered to its answer. Zero before the first answer.
    std::chrono::nanoseconds round_trip_time{0};
};

} // namespace tern
