// The states of a driver.
//
//     down ------- the before-connect hook decides ---------> preparing --proceed--> down
//     down ------- the session asks to open ----------------> opening --success--> open
//     open ------- DISCONNECT is written, or a write fails --> lingering
//     any of these - an error, or the session asks to close --> closing --nothing is outstanding--> down
//
// These operations can be outstanding: in `opening` the opening; in `open` a read, a write or both; in `lingering` a
// read; in `closing` those of the previous state. An operation counts as outstanding once it has started, because
// starting it may throw.
#pragma once

#include <asio/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <system_error>

namespace tern::detail {

enum class driver_state : std::uint8_t {
    down,      ///< There is no connection.
    preparing, ///< The before-connect hook decides whether and how the attempt continues.
    opening,   ///< The transport resolves the address and connects to the broker.
    open,      ///< Bytes flow in both directions.
    lingering, ///< Writing has ended. The driver reads until the linger deadline at the latest.
    closing,   ///< The transport is closed, and its operations are ending.
};

inline constexpr std::chrono::seconds linger_time{1};        ///< after DISCONNECT or a failed write
inline constexpr std::size_t most_bytes_in_turn = 1U << 20U; ///< written synchronously; the last write may exceed it

/// The outcome of a step of a driver.
enum class driver_progress : std::uint8_t {
    made,    ///< The session may have events: process them, and advance again.
    blocked, ///< The transport has to wait.
};

/// Whether the peer has ended the connection, in order or not.
inline bool is_stream_end(const std::error_code& error) noexcept {
    return error == asio::error::eof || error == asio::error::connection_reset;
}

} // namespace tern::detail
