// The address of a broker as one argument: mqtt://user:password@host:port
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace example {

struct broker_url {
    std::string host;
    std::uint16_t port = 1883;
    std::optional<std::string> user_name;
    std::optional<std::string> password;
};

/// Decodes percent-encoding, so that a password can contain '@' as %40.
inline std::string percent_decoded(std::string_view text) {
    std::string decoded;
    while (!text.empty()) {
        unsigned byte = 0;
        const bool encoded = text.size() > 2 && text[0] == '%' &&
                             std::from_chars(text.data() + 1, text.data() + 3, byte, 16).ptr == text.data() + 3;
        decoded += encoded ? static_cast<char>(byte) : text[0];
        text.remove_prefix(encoded ? 3 : 1);
    }
    return decoded;
}

/// Splits the URL into its parts, or returns none if it is not valid. The scheme is optional. IPv6 addresses are in
/// brackets.
inline std::optional<broker_url> parse_broker_url(std::string_view text) {
    broker_url url;
    if (text.starts_with("mqtt://")) text.remove_prefix(7);
    if (text.ends_with('/')) text.remove_suffix(1);

    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        const std::string_view user = text.substr(0, at);
        const auto colon = user.find(':');
        url.user_name = percent_decoded(user.substr(0, colon));
        if (colon != std::string_view::npos) url.password = percent_decoded(user.substr(colon + 1));
        text.remove_prefix(at + 1);
    }

    std::size_t end = text.find(':');
    if (text.starts_with('[')) {
        end = text.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        url.host = text.substr(1, end - 1);
        ++end;
    } else {
        url.host = text.substr(0, end);
    }
    if (url.host.empty() || url.host.find('/') != std::string::npos) return std::nullopt;
    if (end >= text.size()) return url;
    const char* const last = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + end + 1, last, url.port);
    if (text[end] != ':' || error != std::errc() || stop != last || url.port == 0) return std::nullopt;
    return url;
}

} // namespace example
