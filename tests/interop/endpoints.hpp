// The ways to a broker as a table: endpoints, each with the programs that it needs, and the same checks for all. An
// endpoint is one row of `mosquitto_endpoints` or `other_endpoints`.
#pragma once

#include "tern/transport/tls_options.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace interop {

/// How a broker sends a QoS 2 message again on a later connection.
enum class repetitions : std::uint8_t {
    with_dup,    ///< as [MQTT-3.3.1-1] requires
    without_dup, ///< After an unanswered CONNECT a client may take it for a new one, see docs/departures.md.
};

/// How a broker deletes a retained message.
enum class deletion_of_retained : std::uint8_t {
    as_required,             ///< [MQTT-3.3.1-10] in 3.1.1
    leaves_an_empty_message, ///< that later subscribers get
};

/// A broker that runs, and how to reach it.
struct running_endpoint {
    std::string url = {};
    std::string proxy = {}; ///< the URL of a proxy; empty: none
    tern::tls_options tls = {};
    std::uint16_t first_port = 0; ///< to which clients connect, of the broker or the proxy; 0: not TCP
    /// Mosquitto 2.0.11 sends at most 4 KiB to a WebSocket in each round of its loop, which waits up to 100 ms for
    /// other events. A client at this port keeps it busy; 0: not needed.
    std::uint16_t port_of_other_client = 0;
    std::chrono::milliseconds longest_life{100}; ///< of connections that are cut; more if some need long to open
    repetitions repeats = repetitions::with_dup;
    deletion_of_retained deletion = deletion_of_retained::as_required;
    std::vector<tern::qos> levels = {tern::qos::at_most_once, tern::qos::at_least_once, tern::qos::exactly_once};
    std::string refused_user = "refused"; ///< with any password
    std::function<void()> kill_broker = {};
    std::function<void()> restart_broker = {};
};

/// Thrown by `start` if the endpoint lacks a part that is not a program.
struct not_available : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class endpoint_check : std::uint8_t {
    small_messages, ///< 64 bytes
    large_messages, ///< 1 MiB
    retained,       ///< A later subscriber gets the retained message, until it is deleted.
    will,           ///< It is published when a client goes without DISCONNECT.
    session,        ///< Messages wait for a client that is not connected.
    order,          ///< 5,000 messages arrive in order.
    subscriptions,  ///< 200 at once
    refusal,        ///< wrong credentials
    restart,        ///< The broker is killed and started again.
    random_cuts,    ///< Connections are cut after random bytes and times.
};

/// What an endpoint cannot do.
struct endpoint_limit {
    tern::protocol_version version;
    std::string_view reason; ///< the row of the version is left out
};

struct endpoint_row {
    std::string_view name;
    std::vector<std::string_view> programs; ///< without them the endpoint is left out
    running_endpoint (*start)();
    std::vector<endpoint_limit> limits = {};
    std::string_view note = {}; ///< where the broker departs from the standard, or the checks make allowance for it
};

/// Mosquitto alone, with each kind of listener.
std::span<const endpoint_row> mosquitto_endpoints();

/// Proxies and other servers in front of Mosquitto, and other brokers.
std::span<const endpoint_row> other_endpoints();

/// The certificate of all servers here, for localhost and 127.0.0.1, and options of a client that trusts its authority.
struct server_files {
    std::string ca;
    std::string certificate;
    std::string key;
};
const server_files& endpoint_files();
tern::tls_options trusting_client();

/// Runs a check with each QoS of the endpoint. Throws `std::runtime_error` with what went wrong.
void run_check(endpoint_check check, running_endpoint& endpoint, tern::protocol_version version);

} // namespace interop
