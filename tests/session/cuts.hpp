// Scripts whose connections are cut after every byte. A script is a list of steps: requests of the user and events at
// the broker. It contains no packets, because a model broker (cuts_broker.hpp) answers and checks them. Whatever
// happens to the connection, each run must reach the final state that MQTT guarantees (cuts_simulation.hpp).
#pragma once

#include "tern/session/session.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace cuts {

using namespace std::chrono_literals;
using tern::protocol_version;

enum class act : std::uint8_t {
    connect, // the implicit first step of each script that is not `offline`
    publish, // by the client
    cancel,  // the last publish, subscribe or unsubscribe
    subscribe,
    unsubscribe,
    ping,
    drain,
    reauthenticate,
    disconnect,
    message,     // the broker publishes
    drop,        // the connection is lost
    forget,      // the broker loses the session, and the connection is lost
    kick,        // the broker disconnects the client, in 3.1.1 without a reason
    wait,        // time passes
    pause,       // the owner stops reading
    read,        // the owner reads again
    hold,        // the user stops releasing received messages
    release,     // the user releases all held messages in order
    release_last // the user releases the last held message
};

struct step {
    act what = act::connect;
    unsigned qos = 0;
    std::string_view topic = {};
    std::string_view more = {};       // a second filter
    std::chrono::milliseconds time{}; // the time to wait, or the time to live
    std::size_t size = 0;             // the minimum size of the payload
    std::uint16_t alias = 0;
    bool retain = false;
    bool at_once = false; // immediately after the step before, whereas others wait until no bytes are in flight

    constexpr step operator+() const {
        step s = *this;
        s.at_once = true;
        return s;
    }
    constexpr step to(std::string_view name) const {
        step s = *this;
        s.topic = name;
        return s;
    }
    constexpr step retained() const {
        step s = *this;
        s.retain = true;
        return s;
    }
    constexpr step for_time(std::chrono::milliseconds t) const {
        step s = *this;
        s.time = t;
        return s;
    }
    constexpr step as(std::uint16_t number, std::string_view name) const {
        step s = *this;
        s.alias = number;
        s.topic = name;
        return s;
    }
    constexpr step of_size(std::size_t bytes) const {
        step s = *this;
        s.size = bytes;
        return s;
    }
};

constexpr step publish(unsigned qos) {
    return {.what = act::publish, .qos = qos, .topic = "o"};
}
constexpr step message(unsigned qos) {
    return {.what = act::message, .qos = qos, .topic = "i"};
}
constexpr step subscribe(unsigned qos, std::string_view filter = "i", std::string_view more = {}) {
    return {.what = act::subscribe, .qos = qos, .topic = filter, .more = more};
}
constexpr step unsubscribe(std::string_view filter = "i", std::string_view more = {}) {
    return {.what = act::unsubscribe, .topic = filter, .more = more};
}
constexpr step wait(std::chrono::milliseconds time) {
    return {.what = act::wait, .time = time};
}
constexpr step drain(std::chrono::milliseconds time) {
    return {.what = act::drain, .time = time};
}
inline constexpr step connect{.what = act::connect};
inline constexpr step cancel{.what = act::cancel};
inline constexpr step ping{.what = act::ping};
inline constexpr step reauthenticate{.what = act::reauthenticate};
inline constexpr step disconnect{.what = act::disconnect};
inline constexpr step drop{.what = act::drop};
inline constexpr step forget{.what = act::forget};
inline constexpr step kick{.what = act::kick};
inline constexpr step pause{.what = act::pause};
inline constexpr step read{.what = act::read};
inline constexpr step hold{.what = act::hold};
inline constexpr step release{.what = act::release};
inline constexpr step release_last{.what = act::release_last};

/// The data of an exchange of enhanced authentication: the client's, the broker's, the client's. It has no others.
inline constexpr std::string_view first_data = "first", challenge_data = "challenge", last_data = "last";

enum class versions : std::uint8_t { both, v5, v3_1_1 };

struct script {
    std::string_view name;
    std::vector<step> steps;
    versions on = versions::both;
    /// Changes the options of the client and the properties of a 5.0 CONNACK.
    void (*change)(tern::connect_options& options, tern::connack_properties& limits) = nullptr;
    bool offline = false;
    /// From the second connection on, the broker's Receive Maximum is 1.
    bool narrows = false;
};

/// The client's options and the broker's limits. By default the session outlives connections, the window is small, and
/// the first connect is retried until it succeeds.
struct terms {
    tern::connect_options options;
    tern::connack_properties limits;
    bool narrows = false;

    terms(const script& s, protocol_version version) : narrows(s.narrows) {
        options.version = version;
        options.client_id = "c";
        options.maximum_packet_size = tern::packet_size_max; // CONNECT has no property of its own
        options.clean_start = false;
        options.max_in_flight = 4;
        options.reconnect.retry_first = true;
        options.inbox_limit = 65'535; // nor this
        options.refusal_limit = 0;    // everything is sent again on each connection
        if (version == protocol_version::v5) options.properties.session_expiry_interval = 3600s;
        if (s.change) s.change(options, limits);
        if (version == protocol_version::v3_1_1) limits = {};
    }

    bool is_kept() const {
        return options.version == protocol_version::v5 ? options.properties.session_expiry_interval.value_or(0s) != 0s
                                                       : !options.clean_start;
    }
    std::chrono::seconds keep_alive() const { return limits.server_keep_alive.value_or(options.keep_alive); }
    tern::connack_properties limits_on(unsigned connection) const {
        tern::connack_properties here = limits;
        if (narrows && connection > 1) here.receive_maximum = 1;
        return here;
    }
    std::size_t window_on(unsigned connection) const {
        return std::min(*options.max_in_flight, limits_on(connection).receive_maximum.value_or(65'535));
    }
};

/// Runs each script in all ways and with all cuts, and prints the number of runs and their duration. Requires that no
/// run fails and that there are at least `least_runs`.
void run(std::string_view about, const std::vector<script>& scripts, std::size_t least_runs);

} // namespace cuts
