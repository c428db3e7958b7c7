// What a session tells its owner.
#pragma once

#include "tern/codec/ack.hpp"
#include "tern/codec/connect.hpp"
#include "tern/codec/control.hpp"
#include "tern/codec/publish.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/inline.hpp"
#include "tern/message.hpp"
#include "tern/owned.hpp"
#include "tern/reason_code.hpp"

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

/// A point of the time that the owner of a session passes to it. Any clock will do: a session only compares
/// and adds.
using time_point = std::chrono::steady_clock::time_point;

/// A number by which the owner of a session recognises what it asked for. `none`: nobody waits for the end.
enum class op_id : std::uint64_t { none = 0 };

/// Stands for a received message until it is acknowledged. `none`: QoS 0, there is nothing to acknowledge.
enum class message_token : std::uint64_t { none = 0 };

/// How the broker answered PUBLISH, SUBSCRIBE, UNSUBSCRIBE or PINGREQ. Borrows from the packet.
struct acknowledgement_view {
    /// PUBLISH: of PUBACK, PUBREC or PUBCOMP. SUBSCRIBE and UNSUBSCRIBE: of the first filter that was
    /// refused, or of the first filter.
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

/// How the broker answered; owns what it holds.
struct acknowledgement : owned<acknowledgement_view> {
    using owned::owned;
    /// Success. Not defaulted, as then GCC first fills it with zeros.
    acknowledgement() noexcept {} // NOLINT(modernize-use-equals-default)
};

/// CONNACK has come: the connection is open, or the broker refused it and it will be closed.
struct connected {
    std::error_code error = {}; ///< the refusal, or none
    connack packet = {};
};

/// A message has come. Release its token when the application is done with it.
struct received : publish {
    message_token token = message_token::none;
};

/// What was asked for has ended.
struct completed {
    op_id op = op_id::none;
    std::error_code error = {};
    acknowledgement_view answer = {};
};

/// What can become of a connection.
enum class connection_change : std::uint8_t {
    connecting,           ///< an attempt begins
    connected,            ///< the broker has accepted the connection
    disconnected,         ///< the connection, or the attempt, has ended
    retrying,             ///< the next attempt will be made after `delay`
    stopped,              ///< there will be no further attempt, and everything unfinished has completed
    subscription_refused, ///< the broker did not renew a subscription after it had lost the session
};

/// Who or what ended a connection.
enum class connection_end : std::uint8_t { user, broker, violation, timeout, transport };

/// Says what kind of an end an error stands for.
inline connection_end end_of(const std::error_code& error) noexcept {
    if (!error || error.category() == usage_category() || error == std::errc::operation_canceled)
        return connection_end::user;
    if (error.category() == refusal_category() || error == errc::closed_by_peer)
        return connection_end::broker;
    for (const errc timeout : {errc::resolve_timeout, errc::connect_timeout, errc::connack_timeout,
                               errc::acknowledgement_timeout, errc::ping_timeout})
        if (error == timeout) return connection_end::timeout;
    return error.category() == protocol_category() ? connection_end::violation : connection_end::transport;
}

/// Something has become of the connection. Which members have a meaning, depends on `change`.
struct connection_event_view {
    connection_change change = connection_change::connecting;
    connection_phase phase = connection_phase::preparing; ///< disconnected: how far it had come
    bool session_present = false;                         ///< connected
    std::uint16_t port = 0;                               ///< of the endpoint, with `host`
    unsigned attempt = 0;                                 ///< connecting: since the last connection, from 1
    std::chrono::milliseconds delay{0};                   ///< retrying: until the next attempt
    std::string_view host = {};
    std::error_code error = {};             ///< disconnected, stopped: why; none: the application wanted it
    std::string_view reason_string = {};    ///< disconnected: what the broker said about it
    std::string_view server_reference = {}; ///< disconnected: where the broker sends the client
    std::string_view filter = {};           ///< subscription_refused

    friend bool operator==(const connection_event_view&, const connection_event_view&) = default;

    /// For `owned`: calls `f` on all that the view borrows.
    template <class F>
    static void visit(connection_event_view& view, F&& f) {
        f(view.host);
        f(view.reason_string);
        f(view.server_reference);
        f(view.filter);
    }
};

/// The same; owns what it holds.
struct connection_event : owned<connection_event_view> {
    using owned::owned;
};

/// What a session tells.
using event = std::variant<connected, received, completed, connection_event_view>;

/// An event, if there is one. To be used as a `std::optional<event>` is, which in some libraries clears all of its
/// memory for an event that is not there.
class polled_event {
public:
    polled_event() noexcept : none_(0) {}

    bool has_value() const noexcept { return has_value_; }
    explicit operator bool() const noexcept { return has_value_; }
    event& operator*() noexcept { return value_; }
    const event& operator*() const noexcept { return value_; }
    event* operator->() noexcept { return &value_; }
    const event* operator->() const noexcept { return &value_; }

    /// Makes it an event of this kind. With the first of its members, because without any all of its memory would be
    /// filled with zeros first.
    template <class Event, class... Member>
    TERN_INLINE Event& emplace(const Member&... member) noexcept {
        ::new (static_cast<void*>(&value_)) event(std::in_place_type<Event>, member...);
        has_value_ = true;
        return *std::get_if<Event>(&value_);
    }
    void reset() noexcept { has_value_ = false; }

private:
    static_assert(std::is_trivially_copyable_v<event>, "it is copied as bytes, and nothing destroys it");

    union {
        char none_;
        event value_;
    };
    bool has_value_ = false;
};

/// What a session asks its owner to do with the transport.
enum class transport_action : std::uint8_t {
    none,    ///< There is nothing to do.
    prepare, ///< Get ready for an attempt, then call `on_prepared`.
    open,    ///< Open the transport to `target()` within `open_timeouts()`, then call `on_opened`.
    close,   ///< Close the transport, then call `on_disconnected`.
};

/// Whether the owner of a session takes received messages at the moment.
enum class delivery : std::uint8_t {
    open,   ///< `poll_event` gives all that was received.
    closed, ///< The owner does not read; what was received waits in the session.
};

/// What a session has done since it was made.
struct counters {
    std::uint64_t messages_sent = 0;     ///< PUBLISH, without those that were sent again
    std::uint64_t messages_resent = 0;   ///< PUBLISH with DUP
    std::uint64_t messages_received = 0; ///< that were delivered
    std::uint64_t messages_dropped = 0;  ///< that were not sent: the queue was full, or they had expired
    std::uint64_t bytes_sent = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t connections = 0; ///< that a broker accepted
    std::size_t in_flight = 0;     ///< QoS 1 and 2 messages that were sent and are not acknowledged
    std::size_t queued = 0;        ///< messages that wait to be sent
    std::size_t queued_bytes = 0;  ///< of their packets
    /// From the last packet that was answered to its answer; zero before the first.
    std::chrono::nanoseconds round_trip_time{0};
};

} // namespace tern
