// A bad network: a TCP proxy that cuts connections after any byte and at any moment.
//
// What the clients see: connections that are reset or closed in the middle of a packet, that fall silent for a
// moment, that are closed as soon as they are made. What the broker sees is gentler: its connections are only ever
// half-closed, and then read to their end. Mosquitto 2.0.11 needs that. If a write fails while it answers CONNECT, it
// forgets which QoS 2 messages it had sent PUBREL for, and sends those messages again on the next connection but one:
// they then come twice, whatever the client does.
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

/// It runs in the context of its user, and must live as long as that runs.
class proxy {
public:
    struct figures {
        std::size_t connections = 0;
        std::size_t turned_away = 0; ///< of those, because there was no broker
        std::size_t resets = 0;
        std::size_t closes = 0;
        std::size_t silences = 0;

        std::size_t cuts() const { return resets + closes; }
    };

    /// Its seed decides on all cuts, as far as the timing of the others lets it.
    proxy(asio::io_context& context, std::uint16_t broker_port, std::uint32_t seed);
    ~proxy();
    proxy(const proxy&) = delete;
    proxy& operator=(const proxy&) = delete;

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    const figures& seen() const { return seen_; }

    /// Whether it cuts. It begins harmless; connections keep the fate that they were born with.
    void set_bad(bool is_bad) { is_bad_ = is_bad; }

    /// The broker is no more: no byte of what it may have said goes on to a client.
    void broker_died();
    void broker_is_back() { has_broker_ = true; }

private:
    class link;

    asio::awaitable<void> accept();
    bool is_one_in(unsigned many) { return between(1, many) == 1; }
    std::size_t between(std::size_t least, std::size_t most);
    std::size_t bytes_to_live();

    asio::ip::tcp::acceptor acceptor_;
    std::uint16_t broker_port_;
    std::mt19937 random_;
    figures seen_;
    std::vector<std::weak_ptr<link>> links_;
    bool is_bad_ = false;
    bool has_broker_ = true;
};

} // namespace interop
