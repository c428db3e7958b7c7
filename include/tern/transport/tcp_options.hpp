// The options of TCP sockets.
#pragma once

#include <asio/ip/address.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace tern {

/// How the system probes an idle TCP connection. Members that are not set are the system's choice. It is in addition to
/// MQTT's keep alive, which also notices a broker that hangs.
struct tcp_keep_alive {
    std::optional<std::chrono::seconds> idle = {};     ///< the time without traffic before the first probe
    std::optional<std::chrono::seconds> interval = {}; ///< the time between probes
    std::optional<int> probes = {};                    ///< how many probes may stay unanswered
};

/// The options of each new socket. Members that are not set are the system's choice.
///
/// An option that the system refuses or does not know (`asio::error::operation_not_supported`) is an error of the
/// attempt, as if the address had refused the connection.
struct tcp_options {
    /// Sends small packets at once (TCP_NODELAY). Tern itself gathers packets into few writes. A socket that cannot do
    /// this is used all the same.
    bool no_delay = true;
    std::optional<tcp_keep_alive> keep_alive = {};
    /// How long sent bytes may stay unacknowledged before the connection ends (TCP_USER_TIMEOUT; Linux).
    std::optional<std::chrono::milliseconds> user_timeout = {};
    std::optional<int> receive_buffer_bytes = {};
    std::optional<int> send_buffer_bytes = {};
    /// The local address to connect from. Addresses of the broker of the other family (IPv4, IPv6) then fail.
    std::optional<asio::ip::address> local_address = {};
    std::string device = {};                ///< the network interface to use, such as "eth0" (Linux); empty: any
    std::optional<std::uint32_t> mark = {}; ///< the mark of packets for routing (SO_MARK; Linux, privileged)
    std::optional<bool> ipv6_only = {};     ///< false: a socket for IPv6 also connects to "::ffff:192.0.2.1"
};

} // namespace tern
