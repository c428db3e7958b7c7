// The opening handshake of a client (RFC 6455 §4.1): its request, and the check of the answer.
#pragma once

#include "tern/transport/detail/base64.hpp"
#include "tern/transport/detail/http_response.hpp"
#include "tern/transport/detail/mask_keys.hpp"
#include "tern/transport/detail/sha1.hpp"
#include "tern/transport/http_error.hpp"
#include "tern/transport/websocket_error.hpp"
#include "tern/transport/websocket_options.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace tern::detail {

/// The parts of an upgrade request. Borrows.
struct websocket_request {
    std::string_view host = {};
    std::uint16_t port = 0;
    std::uint16_t default_port = 80; ///< Host does not contain this port.
    std::string_view path = {};      ///< with the query. Empty: /mqtt, as in brokers and other clients
    std::span<const http_header> headers = {};
};

// Characters that a path may contain (RFC 3986 §3.3, §3.4). Servers also accept some that should be percent-encoded.
constexpr bool is_path_character(char c) noexcept {
    return c > ' ' && c < '\x7F' && c != '#';
}

constexpr bool is_host_character(char c) noexcept {
    return c > ' ' && c < '\x7F' && std::string_view("\"#/<>?@[\\]^`{|}").find(c) == std::string_view::npos;
}

template <class Predicate>
constexpr bool consists_of(std::string_view text, Predicate is_allowed) noexcept {
    for (const char c : text)
        if (!is_allowed(c)) return false;
    return true;
}

// The headers that the upgrade sets itself, and those that announce a body.
inline bool is_reserved_header(std::string_view name) noexcept {
    constexpr std::string_view prefix = "sec-websocket-";
    return equal_ignoring_case(name, "Upgrade") || equal_ignoring_case(name, "Connection") ||
           equal_ignoring_case(name, "Content-Length") || equal_ignoring_case(name, "Transfer-Encoding") ||
           equal_ignoring_case(name.substr(0, prefix.size()), prefix);
}

inline bool replaces_host(const websocket_request& request) noexcept {
    for (const http_header& h : request.headers)
        if (equal_ignoring_case(h.name, "Host")) return true;
    return false;
}

// Unix sockets have a path in place of a name, '@' means an abstract one.
constexpr bool is_file(std::string_view host) noexcept {
    return host.starts_with('/') || host.starts_with('@');
}

/// Whether a request can be sent. Text of the application must not become further headers or another request.
inline websocket_errc validate(const websocket_request& request) noexcept {
    std::size_t hosts = 0;
    for (const http_header& h : request.headers) {
        if (h.name.empty() || !consists_of(h.name, is_token_character) || !consists_of(h.value, is_field_character))
            return websocket_errc::invalid_header;
        if (is_reserved_header(h.name)) return websocket_errc::reserved_header;
        if (equal_ignoring_case(h.name, "Host") && ++hosts == 2) return websocket_errc::reserved_header;
    }
    if (hosts == 0 && !is_file(request.host) && !consists_of(request.host, is_host_character))
        return websocket_errc::invalid_host;
    if (!consists_of(request.path, is_path_character)) return websocket_errc::invalid_path;
    return websocket_errc::none;
}

/// The value of Host. The zone of an IPv6 address means something only to this system (RFC 6874 §1), as does the path
/// of a Unix socket.
inline std::string host_header(const websocket_request& request) {
    if (is_file(request.host)) return "localhost";
    const bool is_ipv6 = request.host.find(':') != std::string_view::npos;
    std::string text = is_ipv6 ? "[" : "";
    text += is_ipv6 ? request.host.substr(0, request.host.find('%')) : request.host;
    if (is_ipv6) text += ']';
    if (request.port != request.default_port) text += ':' + std::to_string(request.port);
    return text;
}

/// The target of the request: never without a path, because a query alone is none.
inline std::string request_target(std::string_view path) {
    if (path.empty() || path.front() == '?') return "/mqtt" + std::string(path);
    return path.front() == '/' ? std::string(path) : '/' + std::string(path);
}

/// One upgrade. The request must have passed `check`.
class websocket_upgrade {
public:
    explicit websocket_upgrade(mask_keys& random) noexcept {
        std::array<char, 16> nonce{}; // §4.1: selected at random
        for (std::size_t i = 0; i != nonce.size(); i += sizeof(mask_key))
            std::memcpy(nonce.data() + i, random.next().data(), sizeof(mask_key));
        put_base64({nonce.data(), nonce.size()}, key_.data());
    }

    std::string request(const websocket_request& request) const {
        std::string text = "GET " + request_target(request.path) + " HTTP/1.1\r\n";
        auto add = [&](std::string_view name, std::string_view value) {
            text.append(name).append(": ").append(value).append("\r\n");
        };
        if (!replaces_host(request)) add("Host", host_header(request));
        add("Upgrade", "websocket");
        add("Connection", "Upgrade");
        add("Sec-WebSocket-Key", {key_.data(), key_.size()});
        add("Sec-WebSocket-Version", "13");
        add("Sec-WebSocket-Protocol", "mqtt"); // [MQTT-6.0.0-3]
        for (const http_header& h : request.headers)
            add(h.name, h.value);
        return text += "\r\n";
    }

    /// Reads the answer. Returns how many bytes belong to it.
    std::size_t read(std::string_view bytes) { return response_.read(bytes); }

    bool is_complete() const noexcept { return response_.progress() != http_progress::reading; }

    /// The answer, once it is complete.
    const http_response& response() const noexcept { return response_; }

    /// The reason why the complete answer is not an upgrade, if it is not.
    std::error_code error() const noexcept {
        if (response_.progress() == http_progress::malformed) return http_errc::malformed_response;
        if (response_.progress() == http_progress::too_large) return http_errc::response_too_large;
        if (response_.status() != 101) return http_status_error(response_.status());
        if (!response_.has_token("Upgrade", "websocket") || !response_.has_token("Connection", "Upgrade"))
            return websocket_errc::not_upgraded;
        const encoded_digest expected = accept();
        if (!has_only("Sec-WebSocket-Accept", {expected.data(), expected.size()})) return websocket_errc::wrong_accept;
        if (!response_.field("Sec-WebSocket-Extensions").empty()) return websocket_errc::unrequested_extension;
        if (!has_only("Sec-WebSocket-Protocol", "mqtt")) return websocket_errc::subprotocol_refused; // [MQTT-6.0.0-4]
        return {};
    }

private:
    using encoded_digest = std::array<char, base64_size(sizeof(sha1_digest))>;

    bool has_only(std::string_view name, std::string_view value) const noexcept {
        return response_.count(name) == 1 && response_.field(name) == value;
    }

    // The value of Sec-WebSocket-Accept that belongs to the key (§4.2.2).
    encoded_digest accept() const noexcept {
        constexpr std::string_view guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        std::array<char, base64_size(16) + guid.size()> text{};
        std::memcpy(text.data(), key_.data(), key_.size());
        std::memcpy(text.data() + key_.size(), guid.data(), guid.size());
        const sha1_digest digest = sha1({text.data(), text.size()});
        encoded_digest encoded{};
        put_base64({digest.data(), digest.size()}, encoded.data());
        return encoded;
    }

    std::array<char, base64_size(16)> key_{};
    http_response response_;
};

} // namespace tern::detail
