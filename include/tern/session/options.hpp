// What a client says when it connects.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/message.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

/// What to do with a message whose acknowledgement does not come within `ack_timeout` after it was written. 5.0
/// forbids to send again on a live connection [MQTT-4.4.0-1]: there the connection is always closed. So it is
/// for SUBSCRIBE and UNSUBSCRIBE in both versions.
enum class ack_timeout_action : std::uint8_t {
    resend, ///< send PUBLISH (with DUP) or PUBREL again; 3.1.1 only
    close,  ///< close the connection with `errc::acknowledgement_timeout`
};

/// Everything about a connection. Only borrows: what it points to must live until the connect operation has
/// been started.
///
///     tern::connect_options options{.host = "broker.example", .client_id = "sensor-1", .keep_alive = 30s};
struct connect_options {
    std::string_view host = "localhost";
    std::uint16_t port = 1883;

    protocol_version version = protocol_version::v5;
    /// Empty: the broker assigns one; 3.1.1 then demands `clean_start` [MQTT-3.1.3-7].
    std::string_view client_id = {};
    /// Begin a new session (3.1.1: clean session). If false, the broker goes on with the session it has.
    bool clean_start = true;
    /// 5.0: accept that the broker has a session of which this client has no state, because an earlier
    /// process began it or because messages were unfinished when the connection ended. Otherwise that is an
    /// error, as the standard demands [MQTT-3.2.2-4].
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

    /// How long connecting may take: name, connection and CONNACK together; 0: as long as it takes. At most a
    /// year, like all times here.
    std::chrono::milliseconds connect_timeout{10'000};
    /// How long an acknowledgement may take; 0: as long as it takes.
    std::chrono::milliseconds ack_timeout{20'000};
    ack_timeout_action on_ack_timeout = ack_timeout_action::resend;
    /// How many QoS 1 and 2 messages may be unacknowledged; further ones wait. In 5.0 the broker's Receive
    /// Maximum counts if it is lower [MQTT-3.3.4-7], and alone if this is not set. A 3.1.1 broker cannot say
    /// how many it takes, and common ones drop what is more without a word: not set, it is 20 there.
    std::optional<std::uint16_t> max_in_flight = {};
    /// How many received messages a client keeps until the application takes them. When they are reached it
    /// stops reading, which holds the broker back. A session by itself keeps none.
    std::size_t inbox_limit = 1'000;
};

} // namespace tern
