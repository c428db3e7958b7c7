// Splits a URL into its parts, and decodes them [RFC 3986 §3]. No error contains any text of the URL, since that may be
// a password.
#pragma once

#include "tern/detail/ascii.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/result.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tern::detail {

/// The parts of a URL as they are written in it, still encoded. Borrows.
struct url_parts {
    std::string_view scheme = {};
    std::optional<std::string_view> user_name = {};
    std::optional<std::string_view> password = {};
    std::string_view host = {}; ///< without brackets
    std::uint16_t port = 0;     ///< 0: the URL has none
    std::string_view path = {}; ///< with the query
};

// The index of the first of these characters, or the size. Not `find_first_of`: GCC cannot evaluate it at compile time
// with UBSan.
constexpr std::size_t index_of_any(std::string_view text, std::string_view characters) noexcept {
    std::size_t i = 0;
    while (i != text.size() && std::find(characters.begin(), characters.end(), text[i]) == characters.end())
        ++i;
    return i;
}

/// The value of a hexadecimal digit, or -1.
constexpr int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = ascii_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Decodes `%40` to `@`. NUL, CR and LF are refused: they would end a header or a path in the middle.
TERN_COLD inline errc decode_percent(std::string_view encoded, std::string& decoded) {
    decoded.clear();
    decoded.reserve(encoded.size());
    for (std::size_t i = 0; i != encoded.size(); ++i) {
        char c = encoded[i];
        if (c == '%') {
            const int high = encoded.size() - i > 2 ? hex_digit(encoded[i + 1]) : -1;
            const int low = high >= 0 ? hex_digit(encoded[i + 2]) : -1;
            if (low < 0) return errc::invalid_percent_encoding;
            c = static_cast<char>(static_cast<unsigned char>(high * 16 + low));
            i += 2;
        }
        if (c == '\0' || c == '\r' || c == '\n') return errc::invalid_percent_encoding;
        decoded += c;
    }
    return errc::none;
}

// Digits only, 1 to 65,535.
constexpr errc parse_port(std::string_view digits, std::uint16_t& port) noexcept {
    unsigned value = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return errc::invalid_port;
        value = value * 10 + static_cast<unsigned>(c - '0');
        if (value > 65'535) return errc::invalid_port;
    }
    port = static_cast<std::uint16_t>(value);
    return value == 0 ? errc::invalid_port : errc::none;
}

// An IPv6 address has two colons at least. The zone behind '%' can be any text.
constexpr bool looks_like_ipv6(std::string_view text) noexcept {
    text = text.substr(0, index_of_any(text, "%"));
    return std::count(text.begin(), text.end(), ':') > 1 &&
           std::all_of(text.begin(), text.end(), [](char c) { return hex_digit(c) >= 0 || c == ':' || c == '.'; });
}

// user:password@host:port. A password may contain an '@', although it should be encoded.
constexpr errc split_authority(std::string_view authority, url_parts& parts) noexcept {
    std::size_t after_user = authority.size();
    while (after_user != 0 && authority[after_user - 1] != '@')
        --after_user;
    if (after_user > 1) {
        const std::string_view user = authority.substr(0, after_user - 1);
        const std::size_t colon = index_of_any(user, ":");
        parts.user_name = user.substr(0, colon);
        if (colon != user.size()) parts.password = user.substr(colon + 1);
    }
    authority.remove_prefix(after_user);

    std::size_t end = index_of_any(authority, ":");
    if (authority.starts_with('[')) {
        end = index_of_any(authority, "]");
        if (end == authority.size()) return errc::invalid_host;
        parts.host = authority.substr(1, end - 1);
        if (!looks_like_ipv6(parts.host)) return errc::invalid_host;
        ++end;
    } else {
        parts.host = authority.substr(0, end);
    }
    if (end == authority.size()) return errc::none;
    return authority[end] == ':' ? parse_port(authority.substr(end + 1), parts.port) : errc::invalid_host;
}

constexpr bool is_url_scheme(std::string_view text) noexcept {
    const auto is_letter = [](char c) { return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z'; };
    return !text.empty() && is_letter(text.front()) && std::all_of(text.begin(), text.end(), [&](char c) {
        return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
    });
}

/// Splits `scheme://user:password@host:port/path?query` or `scheme:path`.
constexpr result<url_parts> split_url(std::string_view text) noexcept {
    for (const char c : text)
        if (static_cast<unsigned char>(c) <= ' ' || c == '\x7F') return errc::invalid_url;
    if (index_of_any(text, "#") != text.size()) return errc::url_with_fragment;
    const std::size_t colon = index_of_any(text, ":");
    url_parts parts{.scheme = text.substr(0, colon)};
    if (colon == text.size() || !is_url_scheme(parts.scheme)) return errc::invalid_url;
    text.remove_prefix(colon + 1);
    if (text.starts_with("//")) {
        text.remove_prefix(2);
        const std::size_t end = index_of_any(text, "/?");
        if (const errc error = split_authority(text.substr(0, end), parts); error != errc::none) return error;
        text.remove_prefix(end);
    }
    parts.path = text;
    return parts;
}

/// Decodes the user name and the password.
TERN_COLD inline errc decode_credentials(const url_parts& parts, std::optional<std::string>& user_name,
                                         std::optional<std::string>& password) {
    errc error = errc::none;
    if (parts.user_name) error = decode_percent(*parts.user_name, user_name.emplace());
    if (parts.password && error == errc::none) error = decode_percent(*parts.password, password.emplace());
    return error;
}

/// A host is used as it is written, except that the zone of an IPv6 address begins with `%25` [RFC 6874].
TERN_COLD inline errc decode_host(std::string_view written, std::string& host) {
    if (written.empty()) return errc::empty_host;
    const std::size_t percent = index_of_any(written, "%");
    const bool is_ipv6 = index_of_any(written, ":") != written.size();
    if (index_of_any(written, "[]@\\") != written.size() || (!is_ipv6 && percent != written.size()))
        return errc::invalid_host;
    host = written.substr(0, percent);
    if (percent == written.size()) return errc::none;
    const std::string_view zone = written.substr(percent + 1);
    host += '%';
    host += zone.starts_with("25") ? zone.substr(2) : zone;
    return errc::none;
}

} // namespace tern::detail
