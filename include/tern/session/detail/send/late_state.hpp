// What a connection knows about answers that are late. send/late_answers.hpp is the procedure.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/session/detail/send/packet_log.hpp"
#include "tern/session/time.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstdint>

namespace tern::detail {

/// The longest time in which the client waits for an answer.
inline constexpr std::chrono::milliseconds longest_answer_time = std::chrono::minutes(10);

/// The time that a slow link may take for the bytes between two positions. Bytes that were written may still be on this
/// side: TCP acknowledges only the next hop, and a proxy may hold megabytes.
inline std::chrono::milliseconds time_to_pass(packet_log::position from, packet_log::position to) noexcept {
    constexpr std::uint64_t slowest_rate = 16 * 1024; // bytes per second
    return std::chrono::milliseconds(from >= to ? 0 : (to - from) * 1'000 / slowest_rate);
}

/// A PINGREQ behind the watched exchange shows whether the broker still answers.
enum class probe_state : std::uint8_t {
    none,
    sent,     ///< its PINGRESP has not come
    answered, ///< the exchanges before it are late
};

/// An exchange whose answer has not come although the broker has answered a later PINGREQ.
struct late_exchange {
    packet_id id = 0;
    std::uint8_t resends = 0; // on this connection
    bool is_reported = false;
    packet_log::position end = 0; // of its last transmission
    time_point since;
    time_point next; // when it is looked at again
};

/// Exists once an answer was late on the connection.
struct late_state {
    ring<late_exchange> exchanges;
    time_point deadline = (time_point::max)(); // the earliest `next` of these exchanges
    packet_log::position probe_end = 0;
    std::uint32_t pings_before_probe = 0; // how many PINGRESPs come before that to the probe
    std::uint32_t abandoned = 0;          // exchanges whose operations have ended without an answer
    probe_state probe = probe_state::none;
};

} // namespace tern::detail
