// A TCP proxy that simulates an unreliable network: it cuts connections after any byte and at any time.
//
// A client's connections are reset or closed in the middle of a packet, stall for a moment, or are closed as soon as
// they are accepted. The broker's connections are only half-closed and then read to their end, because Mosquitto 2.0.11
// needs that: if a write fails while it answers CONNECT, it forgets the QoS 2 messages for which it had sent PUBREL,
// and sends them again on the next connection but one. The client cannot detect these duplicates.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

namespace interop {

/// The proxy runs in the given io_context and must outlive the last handler of it.
class proxy {
public:
    struct counters {
        std::size_t connections = 0;
        std::size_t rejected = 0; ///< of these, while the broker was not running
        std::size_t resets = 0;
        std::size_t closes = 0;
        std::size_t stalls = 0;

        std::size_t cuts() const { return resets + closes; }
    };

    /// Determines which faults a connection gets.
    enum class faults {
        none,     ///< connections forward all bytes
        injected, ///< connections stall, and are cut after a random time or number of bytes
    };

    /// `seed` determines the random choices. The timing of the broker and the clients still varies.
    proxy(asio::io_context& context, std::uint16_t broker_port, std::uint32_t seed);
    ~proxy();
    proxy(const proxy&) = delete;
    proxy& operator=(const proxy&) = delete;

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    const counters& totals() const { return counters_; }

    /// Existing connections keep the limits that they have got. Initially there are no faults.
    void set_faults(faults value) { faults_ = value; }

    /// How long connections with faults live at most, 100 ms if it is not set.
    void set_longest_life(std::chrono::milliseconds value) { longest_life_ = value; }

    /// Cuts all connections, so that no byte that the broker has sent reaches a client afterwards.
    void on_broker_killed();
    void on_broker_restarted() { has_broker_ = true; }

private:
    class connection;

    asio::awaitable<void> accept();
    bool draw_one_in(unsigned count) { return draw_between(1, count) == 1; }
    std::size_t draw_between(std::size_t minimum, std::size_t maximum);
    std::size_t draw_byte_limit();

    asio::ip::tcp::acceptor acceptor_;
    std::uint16_t broker_port_;
    std::mt19937 random_;
    counters counters_;
    std::vector<std::weak_ptr<connection>> connections_;
    faults faults_ = faults::none;
    std::chrono::milliseconds longest_life_{100};
    bool has_broker_ = true;
};

} // namespace interop
