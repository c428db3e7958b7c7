// Scripts whose conversations are cut after every byte. A script is a list of steps: what the user asks of the
// session, and what happens at the broker. It says nothing of packets: a model broker (cuts_broker.hpp) answers and
// checks, and whatever becomes of the connection, each run must come to the end that MQTT promises (cuts_simulation.hpp).
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
    connect,     // which each script begins with, unless it is `offline`
    publish,     // of the client
    cancel,      // the last publish
    subscribe,   //
    unsubscribe, //
    ping,        //
    drain,       //
    disconnect,  //
    message,     // the broker publishes
    drop,        // the link breaks
    forget,      // the broker loses the session, and the link breaks
    kick,        // the broker disconnects; 3.1.1 cannot say why
    wait,        // time passes
    pause,       // the owner does not read
    read,        // it reads again
    hold,        // the user does not release what it receives
    release,     // it releases all that it holds, in order
    release_last // it releases what came last
};

struct step {
    act what = act::connect;
    unsigned qos = 0;
    std::string_view topic = {};
    std::string_view more = {};       // a second filter
    std::chrono::milliseconds time{}; // to wait, or to live
    std::size_t size = 0;             // of the payload, at least
    std::uint16_t alias = 0;
    bool retain = false;
    bool at_once = false; // on top of the step before; others wait until nothing moves any more

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
inline constexpr step disconnect{.what = act::disconnect};
inline constexpr step drop{.what = act::drop};
inline constexpr step forget{.what = act::forget};
inline constexpr step kick{.what = act::kick};
inline constexpr step pause{.what = act::pause};
inline constexpr step read{.what = act::read};
inline constexpr step hold{.what = act::hold};
inline constexpr step release{.what = act::release};
inline constexpr step release_last{.what = act::release_last};

enum class versions : std::uint8_t { both, v5, v3_1_1 };

struct script {
    std::string_view name;
    std::vector<step> steps;
    versions on = versions::both;
    /// Changes the options of the client, and what the broker says in a 5.0 CONNACK.
    void (*change)(tern::connect_options& options, tern::connack_properties& limits) = nullptr;
    bool offline = false;
    /// From the second connection on, the broker's Receive Maximum is 1.
    bool narrows = false;
};

/// The client's options, and the broker's limits: a session that outlives connections, a small window, a first
/// connect that is tried until it succeeds.
struct terms {
    tern::connect_options options;
    tern::connack_properties limits;
    bool narrows = false;

    terms(const script& s, protocol_version version) : narrows(s.narrows) {
        options.version = version;
        options.client_id = "c";
        options.clean_start = false;
        options.max_in_flight = 4;
        options.reconnect.retry_first = true;
        if (version == protocol_version::v5) options.properties.session_expiry_interval = 3600;
        if (s.change) s.change(options, limits);
        if (version == protocol_version::v3_1_1) limits = {};
    }

    bool is_kept() const {
        return options.version == protocol_version::v5
                   ? options.properties.session_expiry_interval.value_or(0) != 0
                   : !options.clean_start;
    }
    std::chrono::seconds keep_alive() const {
        return limits.server_keep_alive ? std::chrono::seconds(*limits.server_keep_alive)
                                        : options.keep_alive;
    }
    tern::connack_properties limits_on(unsigned connection) const {
        tern::connack_properties here = limits;
        if (narrows && connection > 1) here.receive_maximum = 1;
        return here;
    }
    std::size_t window_on(unsigned connection) const {
        return std::min(*options.max_in_flight, limits_on(connection).receive_maximum.value_or(65'535));
    }
};

/// Runs every script in all ways and with all cuts, tells how many runs those were and how long they took, and
/// checks that none has failed and that they were at least so many.
void run(std::string_view about, const std::vector<script>& scripts, std::size_t least_runs);

} // namespace cuts
