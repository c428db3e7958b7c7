// The options of a connection: the contents of CONNECT, timeouts, limits, and the behaviour when the connection is
// lost.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/endpoint.hpp"
#include "tern/message.hpp"
#include "tern/session/reconnect.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tern {

/// The reaction of a 3.1.1 client to a message whose acknowledgement is late although the broker has answered a later
/// PINGREQ. 5.0 forbids to send it again on a live connection [MQTT-4.4.0-1]: there the client always waits.
enum class ack_timeout_action : std::uint8_t {
    resend, ///< send PUBLISH (with DUP) or PUBREL again, each time after twice the time
    wait,   ///< wait, as in 5.0
};

/// The reaction of a 5.0 client to a received message that violates a rule, and has ended two connections in a row when
/// it comes for the third time. 3.1.1 has no reason codes with which a client could refuse a message: there it always
/// disconnects.
enum class invalid_message_action : std::uint8_t {
    disconnect, ///< end the connection, and wait for the longest delay
    /// Acknowledge it with `reason_code::unspecified_error`, drop it, and count it in `counters::received_refused`: the
    /// broker does not send it again. A message with an invalid packet identifier ends the connection nevertheless. A
    /// client that has announced topic aliases disconnects once more, and announces none from then on, because the
    /// message may set an alias.
    refuse,
};

/// The treatment of a message that finds the queue full.
enum class full_queue_action : std::uint8_t {
    refuse, ///< it is refused with `errc::queue_full`
    /// It is queued beyond the limit if an operation waits for it, otherwise refused. Awaiting each publish is the
    /// back-pressure. Without awaiting there is none.
    wait,
    /// The oldest queued QoS 0 message completes with `errc::message_dropped`. If there is none, the new one is
    /// refused.
    drop_oldest_qos_0,
    drop_newest, ///< it is accepted, and completes with `errc::message_dropped`
};

/// The queue of messages that cannot be sent yet: there is no connection, too many others are unacknowledged, or the
/// connection is slow.
struct queue_options {
    std::size_t messages = 100'000;             ///< the most that are queued
    std::size_t bytes = std::size_t{64} << 20U; ///< the most that their packets take together
    full_queue_action when_full = full_queue_action::refuse;
};

/// The acknowledgement of received QoS 1 and 2 messages.
enum class acknowledgement_mode : std::uint8_t {
    automatic, ///< by the client, when the application takes the message
    /// By the application, with `received_message::acknowledge`. A message that is never acknowledged holds back the
    /// acknowledgements of all later ones, and in the end the broker.
    manual,
};

/// Options for one message.
struct publish_options {
    /// How long the message may wait to be sent, in both versions. 0: without limit. After this time it completes with
    /// `errc::message_expired`. A message that has been sent cannot be taken back.
    std::chrono::milliseconds time_to_live{0};
    /// The longest time until the operation of a client completes. 0: without limit. At most a year. After this time
    /// the operation completes with `errc::operation_timeout`: in `usage_category()` if the message was not sent, and
    /// then it is not sent later; otherwise in `outcome_unknown_category()`, and the client goes on with the exchange,
    /// as if the operation was cancelled. `try_publish` has no operation, and ignores this.
    std::chrono::milliseconds timeout{0};
};

/// Options for one SUBSCRIBE.
struct subscribe_options {
    subscribe_properties properties = {};
    /// The longest time until the operation completes, as in `publish_options`. A request that was sent is then not
    /// sent on another connection.
    std::chrono::milliseconds timeout{0};
};

/// Options for one UNSUBSCRIBE.
struct unsubscribe_options {
    unsubscribe_properties properties = {};
    std::chrono::milliseconds timeout{0}; ///< as in `subscribe_options`
};

/// All options of a connection. Borrows: what it points to must live until the connect operation has been started.
///
///     tern::connect_options options{.host = "broker.example", .client_id = "sensor-1", .keep_alive = 30s};
struct connect_options {
    std::string_view host = "localhost";
    std::uint16_t port = 1883;
    /// The other members of the first `endpoint`, for transports that use them.
    std::string_view path = {};
    std::string_view scheme = {};
    /// Further endpoints of the broker, tried in turn after the first.
    std::span<const endpoint> more_endpoints = {};

    protocol_version version = protocol_version::v5;
    /// Empty: the broker assigns one; 3.1.1 then demands `clean_start` [MQTT-3.1.3-7].
    std::string_view client_id = {};
    /// Begin a new session (3.1.1: clean session). If false, the broker goes on with the session it has. 5.0
    /// with a session expiry interval: a lost connection is resumed in either case.
    bool clean_start = true;
    /// 5.0: accept that the broker has a session that this client does not know, because an earlier process began it.
    /// Set this together with `clean_start = false` and a session expiry interval. Otherwise such a session is an error
    /// [MQTT-3.2.2-4], `errc::unexpected_session_present`: the client does not discard what the broker has queued for
    /// it. With `retry_first` the client tries again after the longest delay, until the session has expired. A QoS 2
    /// message that the earlier process did not finish leaves its packet identifier in use at the broker. Identifiers
    /// begin at a random value, so that a new message seldom has the same one.
    bool assume_session = false;
    /// The longest time without a packet from the client; 0 turns keep alive off [§3.1.2.10].
    std::chrono::seconds keep_alive{60};
    std::optional<std::string_view> user_name = {};
    std::optional<std::string_view> password = {};
    /// The message that the broker publishes if the connection ends without DISCONNECT.
    std::optional<message_view> will = {};
    /// 5.0: how long the broker waits before it publishes the will.
    std::optional<std::chrono::seconds> will_delay_interval = {};
    /// 5.0 only.
    connect_properties properties = {};

    reconnect_policy reconnect = {};

    /// The longest time to resolve the host, to connect to one of its addresses, to negotiate TLS and the upgrade to
    /// WebSocket if the transport does, and to wait for CONNACK. 0: without limit. At most a year, like all durations
    /// here.
    std::chrono::milliseconds resolve_timeout{5'000};
    std::chrono::milliseconds connect_timeout{10'000};
    std::chrono::milliseconds tls_timeout{10'000};
    std::chrono::milliseconds upgrade_timeout{10'000};
    std::chrono::milliseconds connack_timeout{10'000};
    /// 5.0: the longest time of each step of an authentication, whether the authenticator or the broker has to answer,
    /// if `properties` have an Authentication Method. Then the connection ends with `errc::authentication_timeout`. 0:
    /// without limit. The first answer to CONNECT has `connack_timeout`.
    std::chrono::milliseconds authentication_timeout{10'000};
    /// The longest time to wait for an answer to a request after it was written. 0: without limit. Then PINGREQ
    /// follows. If that has no answer in this time, the connection ends with `errc::ping_timeout`. If the broker
    /// answers it, but no request at all, the connection ends with `errc::acknowledgement_timeout` after as much time
    /// again, and the next one waits twice as long. If it answers other requests: SUBSCRIBE and UNSUBSCRIBE complete
    /// with
    /// `errc::acknowledgement_timeout` (the outcome is unknown), and for a message there is
    /// `connection_change::answer_late`, and this error after ten minutes.
    std::chrono::milliseconds ack_timeout{20'000};
    /// The longest time in which a client that disconnects sends the messages that it has accepted, and DISCONNECT. In
    /// the second half no further packet begins. Then the connection is closed without DISCONNECT. 0: without limit.
    std::chrono::milliseconds disconnect_timeout{10'000};
    ack_timeout_action on_ack_timeout = ack_timeout_action::resend;
    invalid_message_action on_invalid_message = invalid_message_action::disconnect;

    /// How many QoS 1 and 2 messages may be unacknowledged. Further messages wait. In 5.0 the broker's Receive Maximum
    /// applies if it is lower [MQTT-3.3.4-7], or if this is not set. A 3.1.1 broker cannot announce a limit, and common
    /// ones silently drop what exceeds theirs: there the default is 20.
    std::optional<std::uint16_t> max_in_flight = {};
    /// The messages that wait to be sent.
    queue_options queue = {};
    /// 5.0: how many topic aliases the client assigns by itself, from 1, as far as the broker accepts them. The topics
    /// that are published most often are then sent as numbers. This costs some work for each message. The application
    /// may give larger numbers to topics itself, with `message_properties::topic_alias`. 0: the client assigns none.
    std::uint16_t automatic_topic_aliases = 0;

    /// If the broker has lost the session: subscribe again to all that was subscribed to. If false, these subscriptions
    /// are forgotten. A subscription that the broker does not renew is reported by
    /// `connection_change::subscription_refused`, and tried again in the next new session. A SUBSCRIBE of the client
    /// itself that has no answer for ten minutes is repeated.
    bool resubscribe = true;
    /// How many topic filters one SUBSCRIBE has at most when the client renews subscriptions. Some brokers close the
    /// connection if there are more.
    std::uint16_t max_renewal_filters = 8;
    /// If the broker has lost the session: publish a QoS 2 message again although the broker may have received it.
    /// Otherwise the message completes with `errc::session_lost`, unless the broker cannot have received all of it. A
    /// message whose PUBREC was received always completes so, because the client no longer has it.
    bool republish_qos_2 = false;

    /// Some brokers refuse a request by closing the connection. After two such connections in a row the client sends
    /// its requests in small batches, and finds the one that is at fault. After this number of connections, at least 2,
    /// that end with it as the only unanswered request, it completes with `errc::refused_by_closing`, and further
    /// messages to its topic are refused for ten minutes. 0: requests are sent again on each connection, as
    /// [MQTT-4.4.0-1] demands.
    std::uint8_t refusal_limit = 3;

    /// The largest packet that the client accepts, in bytes. 5.0: announced to the broker, unless `properties` have a
    /// Maximum Packet Size, which then applies; a larger packet ends the connection. If that repeats itself, and always
    /// in 3.1.1, a larger message is skipped: acknowledged, not delivered, and reported with
    /// `connection_change::message_skipped`. `packet_size_max`: any packet of the standard, nothing is announced.
    std::uint32_t maximum_packet_size = std::uint32_t{16} << 20U;

    acknowledgement_mode acknowledge = acknowledgement_mode::automatic;
    /// How many received messages, and how many bytes of them, a client stores until the application takes them. At one
    /// of these limits it stops reading, which throttles the broker, unless an operation waits for an answer: the
    /// answer may be behind messages. A session by itself stores none.
    ///
    /// 5.0: the limit on messages, at most 65,535, is announced as Receive Maximum, also if a message callback takes
    /// the messages, unless `properties` have a Receive Maximum. A broker that sends more QoS 1 and 2 messages than
    /// announced is tolerated up to `inbox_hard_limit`. A Receive Maximum in `properties` is enforced: more messages
    /// end the connection with `errc::receive_maximum_exceeded`.
    std::size_t inbox_limit = 1'000;
    std::size_t inbox_bytes = std::size_t{16} << 20U;
    /// How far the inbox may grow while an operation waits for an answer. By default 16 times the messages, and 4 times
    /// the bytes. At one of these limits QoS 0 messages are dropped, and counted in `counters::received_dropped`. QoS 1
    /// and 2 messages stay with the broker: then the operation completes with `errc::inbox_full` after `ack_timeout`.
    std::optional<std::size_t> inbox_hard_limit = {};
    std::optional<std::size_t> inbox_hard_bytes = {};
};

namespace detail {

/// The hard limit of the inbox: an option, or a multiple of the limit.
constexpr std::size_t hard_limit(std::optional<std::size_t> option, std::size_t limit, std::size_t factor) noexcept {
    return option.value_or(limit > SIZE_MAX / factor ? SIZE_MAX : limit * factor);
}
constexpr std::size_t inbox_hard_limit(const connect_options& o) noexcept {
    return hard_limit(o.inbox_hard_limit, o.inbox_limit, 16);
}
constexpr std::size_t inbox_hard_bytes(const connect_options& o) noexcept {
    return hard_limit(o.inbox_hard_bytes, o.inbox_bytes, 4);
}

} // namespace detail

} // namespace tern
