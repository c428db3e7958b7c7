// The properties of connections in a network in memory: latency, pieces, capacity and faults.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

namespace tern::testing {

/// The size of the pieces that bytes travel in: how many bytes one write accepts and one read returns.
enum class pieces {
    whole, ///< as many bytes as fit
    single_bytes,
    random, ///< from 1 to 128 bytes
};

/// How a connection ends.
enum class ending {
    close, ///< reads give `asio::error::eof`, writes `asio::error::broken_pipe`
    reset, ///< both give `asio::error::connection_reset`
    stall, ///< nothing arrives any more in either direction, without an error
};

/// Ends a connection when the first `after` bytes of one direction have arrived.
///
/// These bytes can still be read, and so can bytes that have arrived at the other side by then. Later bytes are
/// lost although their write succeeds, as in a real network. 0: the connection ends as soon as it is established.
struct cut {
    std::size_t after = 0;
    ending how = ending::reset;
};

/// One direction of a connection.
struct direction_options {
    std::chrono::nanoseconds latency{0}; ///< how long bytes are in transit
    std::chrono::nanoseconds jitter{0};  ///< the upper bound of a random addition to it; the order is kept
    testing::pieces pieces = pieces::whole;
    std::optional<testing::cut> cut = {};
    std::size_t capacity = 64 * 1024; ///< how many bytes can be in transit or unread before a write waits
};

/// A connection. Establishing it takes the sum of both latencies.
struct link_options {
    direction_options to_server = {};
    direction_options to_client = {};
};

/// An operation of a client on its link. `any` stands for all of them.
enum class step { any, resolve, connect, read, write };

} // namespace tern::testing
