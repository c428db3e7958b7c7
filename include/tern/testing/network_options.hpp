// How a network in memory treats what passes through it.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

namespace tern::testing {

/// Into which pieces bytes are cut on their way: how much one write takes, and one read gives.
enum class pieces {
    whole, ///< as much as there is room for
    single_bytes,
    random, ///< of 1 to 128 bytes
};

/// How a connection ends.
enum class ending {
    close, ///< reads give `asio::error::eof`, writes `asio::error::broken_pipe`
    reset, ///< both give `asio::error::connection_reset`
    stall, ///< nothing arrives any more in either direction; nobody is told
};

/// Ends a connection when the first so many bytes of one direction have arrived.
///
/// They can still be read, and so can what has arrived at the other side by then. What is written behind them
/// is lost, though its write succeeds, as with a real network. 0: the connection ends as soon as it is made.
struct cut {
    std::size_t after = 0;
    ending how = ending::reset;
};

/// One direction of a connection.
struct direction_options {
    std::chrono::nanoseconds latency{0}; ///< how long bytes are under way
    std::chrono::nanoseconds jitter{0};  ///< at most so much is added to it, at random; nothing is overtaken
    testing::pieces pieces = pieces::whole;
    std::optional<testing::cut> cut = {};
    std::size_t capacity = 64 * 1024; ///< bytes that are under way or unread before a write has to wait
};

/// A connection. To make it takes the latencies of both directions.
struct link_options {
    direction_options to_server = {};
    direction_options to_client = {};
};

/// What a client asks of its link. `any` stands for all of these.
enum class step { any, resolve, connect, read, write };

} // namespace tern::testing
