// What a client says when it connects, and what it does when the connection is lost.
#pragma once

#include "tern/codec/connect.hpp"
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

/// What to do with a message whose acknowledgement does not come within `ack_timeout` after it was written. 5.0
/// forbids to send again on a live connection [MQTT-4.4.0-1]: there the connection is always closed. So it is
/// for SUBSCRIBE and UNSUBSCRIBE in both versions. Once the client is connected again, all of them are sent again.
enum class ack_timeout_action : std::uint8_t {
    resend, ///< send PUBLISH (with DUP) or PUBREL again; 3.1.1 only
    close,  ///< close the connection with `errc::acknowledgement_timeout`
};

/// What to do with a message that finds the queue full.
enum class full_queue_action : std::uint8_t {
    refuse, ///< it is refused with `errc::queue_full`
    wait,   ///< it is taken all the same, if somebody waits for its end; otherwise refused. Who waits
            ///< before publishing more is held back; who does not has no bound
    drop_oldest_qos_0, ///< the oldest queued QoS 0 message completes with `errc::message_dropped`, if there is one;
                       ///< otherwise refused
    drop_newest,       ///< it is taken, and completes with `errc::message_dropped`
};

/// The queue of the messages that cannot be sent yet: because there is no connection, because so many others are
/// unacknowledged, or because the connection is slow.
struct queue_options {
    std::size_t messages = 100'000;             ///< so many at most
    std::size_t bytes = std::size_t{64} << 20U; ///< of their packets together, at most
    full_queue_action when_full = full_queue_action::refuse;
};

/// Who acknowledges a received QoS 1 or 2 message.
enum class acknowledgement_mode : std::uint8_t {
    automatic, ///< the client, when the application takes the message
    manual, ///< the application, with `received_message::acknowledge`. A message that is never acknowledged holds
            ///< back the acknowledgements of all that came after it, and in the end the broker
};

/// How a message is published.
struct publish_options {
    /// How long the message may wait to be sent, in both versions; 0: as long as it takes. When the time is over it
    /// completes with `errc::message_expired`. A message that has been sent cannot be taken back.
    std::chrono::milliseconds time_to_live{0};
};

/// Everything about a connection. Only borrows: what it points to must live until the connect operation has
/// been started.
///
///     tern::connect_options options{.host = "broker.example", .client_id = "sensor-1", .keep_alive = 30s};
struct connect_options {
    std::string_view host = "localhost";
    std::uint16_t port = 1883;
    /// Further places where the broker is to be found, tried in turn after `host` and `port`.
    std::span<const endpoint> more_endpoints = {};

    protocol_version version = protocol_version::v5;
    /// Empty: the broker assigns one; 3.1.1 then demands `clean_start` [MQTT-3.1.3-7].
    std::string_view client_id = {};
    /// Begin a new session (3.1.1: clean session). If false, the broker goes on with the session it has. 5.0
    /// with a session expiry interval: a lost connection is resumed in either case.
    bool clean_start = true;
    /// 5.0: accept that the broker has a session of which this client has no state, because an earlier
    /// process began it. Otherwise that is an error, as the standard demands [MQTT-3.2.2-4]. A QoS 2 message that the
    /// earlier process did not finish leaves its packet identifier in use at the broker; identifiers begin anywhere, so
    /// that a new message seldom meets it.
    bool assume_session = false;
    /// The longest time without a packet from the client; 0 turns keep alive off [§3.1.2.10].
    std::chrono::seconds keep_alive{60};
    std::optional<std::string_view> user_name = {};
    std::optional<std::string_view> password = {};
    /// What the broker publishes if the connection ends without a DISCONNECT.
    std::optional<message_view> will = {};
    /// 5.0: how long the broker waits before it publishes the will, in seconds.
    std::optional<std::uint32_t> will_delay_interval = {};
    /// 5.0 only.
    connect_properties properties = {};

    reconnect_policy reconnect = {};

    /// How long it may take to resolve the host's name, to connect to one of its addresses, and until CONNACK
    /// comes; 0: as long as it takes. At most a year, like all times here.
    std::chrono::milliseconds resolve_timeout{5'000};
    std::chrono::milliseconds connect_timeout{10'000};
    std::chrono::milliseconds connack_timeout{10'000};
    /// How long an acknowledgement may take; 0: as long as it takes.
    std::chrono::milliseconds ack_timeout{20'000};
    ack_timeout_action on_ack_timeout = ack_timeout_action::resend;

    /// How many QoS 1 and 2 messages may be unacknowledged; further ones wait. In 5.0 the broker's Receive
    /// Maximum counts if it is lower [MQTT-3.3.4-7], and alone if this is not set. A 3.1.1 broker cannot say
    /// how many it takes, and common ones drop what is more without a word: not set, it is 20 there.
    std::optional<std::uint16_t> max_in_flight = {};
    /// The messages that wait to be sent.
    queue_options queue = {};

    /// If the broker has lost the session: subscribe again to all that was subscribed to.
    bool resubscribe = true;
    /// If the broker has lost the session: publish a QoS 2 message anew that it may have had already. Otherwise it
    /// completes with `errc::session_lost`, as in any case one for which PUBREC had come: it is not kept any more.
    bool republish_qos_2 = false;

    acknowledgement_mode acknowledge = acknowledgement_mode::automatic;
    /// How many received messages, and how many bytes of them, a client keeps until the application takes them.
    /// When one is reached it stops reading, which holds the broker back. A session by itself keeps none.
    std::size_t inbox_limit = 1'000;
    std::size_t inbox_bytes = std::size_t{16} << 20U;
};

} // namespace tern
