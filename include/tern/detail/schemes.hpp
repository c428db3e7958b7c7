// The schemes of endpoints and of the URLs of brokers.
#pragma once

#include "tern/detail/ascii.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern::detail {

/// What carries MQTT.
enum class scheme_kind : std::uint8_t {
    tcp,              ///< TCP. Nothing follows the host in a URL.
    tls,              ///< TLS over TCP. Nothing follows the host in a URL.
    websocket,        ///< WebSocket. A path and a query follow the host, and stay encoded, as HTTP sends them.
    secure_websocket, ///< WebSocket over TLS, with a path and a query.
    unix_socket,      ///< A Unix socket, with a path instead of a host.
};
inline constexpr std::size_t scheme_kinds = 5;

struct broker_scheme {
    std::string_view name;
    std::string_view canonical;
    std::uint16_t port;
    scheme_kind kind;
};

inline constexpr std::array<broker_scheme, 9> broker_schemes{{
    {"mqtt", "mqtt", 1883, scheme_kind::tcp},
    {"tcp", "mqtt", 1883, scheme_kind::tcp},
    {"mqtts", "mqtts", 8883, scheme_kind::tls},
    {"ssl", "mqtts", 8883, scheme_kind::tls},
    {"tls", "mqtts", 8883, scheme_kind::tls},
    {"ws", "ws", 80, scheme_kind::websocket},
    {"wss", "wss", 443, scheme_kind::secure_websocket},
    {"unix", "unix", 0, scheme_kind::unix_socket},
    {"mqtt+unix", "unix", 0, scheme_kind::unix_socket},
}};

/// Returns the scheme with this name, or null.
constexpr const broker_scheme* find_broker_scheme(std::string_view name) noexcept {
    for (const broker_scheme& each : broker_schemes)
        if (equal_ignoring_case(each.name, name)) return &each;
    return nullptr;
}

} // namespace tern::detail
