// Where a broker is to be found, how far the way to it has been gone, and how long its steps may take: what a session
// and a transport have to know of each other.
#pragma once

#include "tern/detail/inline.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern {

/// A place where a broker is to be found. Borrows.
///
/// A transport ignores the members that it has no use for.
struct endpoint {
    std::string_view host = "localhost"; ///< a name or an address
    std::uint16_t port = 1883;
    std::string_view path = {};   ///< of a WebSocket's resource, or of a Unix socket: "@name" is an abstract one
    std::string_view scheme = {}; ///< which kind of transport it needs, for one that can be of several kinds

    friend constexpr bool operator==(const endpoint&, const endpoint&) = default;
};

namespace detail {

/// Whether the endpoint is a Unix socket, which has a path, but neither host nor port.
constexpr bool is_unix_socket(const endpoint& e) noexcept {
    return e.scheme == "unix" || e.scheme == "mqtt+unix";
}

} // namespace detail

/// How far an attempt to connect, or a connection, has come.
enum class connection_phase : std::uint8_t {
    preparing,  ///< The application has not yet agreed to the attempt.
    resolving,  ///< The transport looks for the addresses of the host.
    connecting, ///< The transport tries the addresses, and negotiates with a proxy.
    securing,   ///< The transport negotiates TLS.
    upgrading,  ///< The transport negotiates the upgrade to WebSocket.
    handshake,  ///< The transport is open, and the broker has not yet accepted CONNECT.
    connected,  ///< The broker has accepted CONNECT.
};

/// How long the steps may take by which a transport opens. 0: no limit.
struct open_timeouts {
    std::chrono::milliseconds resolve{0}; ///< until the addresses of the host are known
    std::chrono::milliseconds connect{0}; ///< for each of these addresses, and for the negotiation with a proxy
    std::chrono::milliseconds tls{0};     ///< for the negotiation of TLS
    std::chrono::milliseconds upgrade{0}; ///< for the upgrade to WebSocket

    friend constexpr bool operator==(const open_timeouts&, const open_timeouts&) = default;
};

namespace detail {

/// An endpoint that owns its strings, all in one.
class stored_endpoint {
public:
    stored_endpoint() = default;
    TERN_COLD explicit stored_endpoint(const endpoint& e)
        : path_at_(static_cast<std::uint32_t>(e.host.size()))
        , scheme_at_(static_cast<std::uint32_t>(e.host.size() + e.path.size()))
        , port_(e.port) {
        text_.reserve(e.host.size() + e.path.size() + e.scheme.size());
        text_.append(e.host).append(e.path).append(e.scheme);
    }

    /// Borrows from this object.
    TERN_COLD endpoint view() const noexcept {
        const std::string_view text = text_;
        return {.host = text.substr(0, path_at_),
                .port = port_,
                .path = text.substr(path_at_, scheme_at_ - path_at_),
                .scheme = text.substr(scheme_at_)};
    }

private:
    std::string text_;
    std::uint32_t path_at_ = 0;
    std::uint32_t scheme_at_ = 0;
    std::uint16_t port_ = 0;
};

} // namespace detail
} // namespace tern
