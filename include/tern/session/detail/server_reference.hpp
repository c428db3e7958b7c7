// The Server Reference of a broker that sends its clients elsewhere [§4.11]: hosts, separated by spaces, each with a
// port or without.
//
//     host    host:1883    192.0.2.1:1883    [2001:db8::1]    [2001:db8::1]:1883
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/session/detail/settings.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tern::detail {

/// The port of a reference. Nothing if these are not the digits of a port.
TERN_COLD constexpr std::optional<std::uint16_t> port_of_reference(std::string_view digits) noexcept {
    std::uint32_t port = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9' || port > 65'535) return std::nullopt;
        port = port * 10 + static_cast<std::uint32_t>(c - '0');
    }
    if (digits.empty() || port == 0 || port > 65'535) return std::nullopt;
    return static_cast<std::uint16_t>(port);
}

/// Parses one reference. The rest of the endpoint, and the port if there is none, are those of the present one. Nothing
/// if it is ill-formed, such as a URL.
TERN_COLD constexpr std::optional<endpoint> parse_reference(std::string_view text, endpoint present) noexcept {
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        const std::string_view rest = text.substr(end + 1);
        if (!rest.empty() && rest.front() != ':') return std::nullopt;
        has_port = !rest.empty();
        if (has_port) port = rest.substr(1);
        text = text.substr(1, end - 1);
        if (text.find(':') == std::string_view::npos) return std::nullopt; // not an IPv6 address
    } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
        has_port = true;
        port = text.substr(colon + 1);
        text = text.substr(0, colon);
    }
    if (text.find(']') != std::string_view::npos || check_host(text) != errc::none) return std::nullopt;
    present.host = text;
    if (!has_port) return present;
    const auto number = port_of_reference(port);
    if (!number) return std::nullopt;
    present.port = *number;
    return present;
}

/// Calls `f(text, endpoint)` with each reference of a list, at most this many. The endpoint is empty if the text is
/// ill-formed.
template <class F>
TERN_COLD constexpr void for_each_reference(std::string_view list, const endpoint& present, std::size_t most, F f) {
    for (std::size_t count = 0; count != most && !list.empty();) {
        const std::size_t end = (std::min)(list.find(' '), list.size());
        const std::string_view text = list.substr(0, end);
        list.remove_prefix((std::min)(end + 1, list.size()));
        if (text.empty()) continue;
        ++count;
        f(text, parse_reference(text, present));
    }
}

} // namespace tern::detail
