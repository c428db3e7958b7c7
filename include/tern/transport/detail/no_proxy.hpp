// The hosts that are reached without a proxy: the list of `no_proxy`.
#pragma once

#include "tern/detail/ascii.hpp"
#include "tern/detail/inline.hpp"
#include "tern/detail/url_parts.hpp"

#include <asio/ip/address.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace tern::detail {

inline std::optional<asio::ip::address> parse_address(std::string_view text) {
    std::error_code error;
    asio::ip::address address = asio::ip::make_address(std::string(text), error);
    if (error) return std::nullopt;
    return address;
}

// Whether the first bits of two arrays are equal.
template <class Bytes>
bool equal_bits(const Bytes& a, const Bytes& b, unsigned bits) noexcept {
    for (std::size_t i = 0; bits != 0; ++i) {
        const unsigned count = (std::min)(bits, 8U);
        if ((a[i] ^ b[i]) >> (8U - count) != 0) return false;
        bits -= count;
    }
    return true;
}

inline bool is_in_network(const asio::ip::address& host, const asio::ip::address& network,
                          std::optional<unsigned> bits) noexcept {
    if (host.is_v4() != network.is_v4()) return false;
    const unsigned all = host.is_v4() ? 32 : 128;
    if (bits.value_or(all) > all) return false;
    return host.is_v4() ? equal_bits(host.to_v4().to_bytes(), network.to_v4().to_bytes(), bits.value_or(all))
                        : equal_bits(host.to_v6().to_bytes(), network.to_v6().to_bytes(), bits.value_or(all));
}

// A host, an entry of the list, or a network, in its parts.
struct no_proxy_entry {
    std::string_view host;
    std::uint16_t port = 0; ///< 0: any
    std::optional<unsigned> bits = {};

    // An entry that is malformed matches nothing.
    static std::optional<no_proxy_entry> parse(std::string_view text) {
        no_proxy_entry entry{.host = text};
        if (text.starts_with('[')) {
            const std::size_t end = index_of_any(text, "]");
            entry.host = text.substr(1, end - 1);
            text.remove_prefix((std::min)(end + 1, text.size()));
        } else if (const std::size_t end = index_of_any(text, ":/"); end == text.size()) {
            return entry;
        } else if (text[end] == ':' && text.find(':', end + 1) != std::string_view::npos) { // an IPv6 address
            entry.host = text.substr(0, index_of_any(text, "/"));
            text.remove_prefix(entry.host.size());
        } else {
            entry.host = text.substr(0, end);
            text.remove_prefix(end);
        }
        if (text.empty()) return entry;
        std::uint16_t number = 0;
        const bool is_valid = parse_port(text.substr(1), number) == errc::none || text == "/0";
        if (!is_valid || (text[0] != ':' && text[0] != '/')) return std::nullopt;
        if (text[0] == ':')
            entry.port = number;
        else
            entry.bits = number;
        return entry;
    }
};

inline bool is_in_domain(std::string_view host, std::string_view domain) noexcept {
    if (domain.starts_with("*.")) domain.remove_prefix(1);
    if (domain.starts_with('.')) domain.remove_prefix(1);
    if (domain.ends_with('.')) domain.remove_suffix(1);
    if (host.ends_with('.')) host.remove_suffix(1);
    if (domain.empty() || host.size() < domain.size()) return false;
    const std::size_t start = host.size() - domain.size();
    return equal_ignoring_case(host.substr(start), domain) && (start == 0 || host[start - 1] == '.');
}

/// Whether the list contains this host.
TERN_COLD inline bool is_in_no_proxy(std::string_view list, std::string_view host, std::uint16_t port) {
    const std::optional<asio::ip::address> address = parse_address(host);
    while (!list.empty()) {
        const std::size_t end = index_of_any(list, ", \t");
        const std::string_view text = list.substr(0, end);
        list.remove_prefix((std::min)(end + 1, list.size()));
        if (text == "*") return true;
        const std::optional<no_proxy_entry> entry = no_proxy_entry::parse(text);
        if (!entry || (entry->port != 0 && entry->port != port)) continue;
        if (!address) {
            if (!entry->bits && is_in_domain(host, entry->host)) return true;
        } else if (const auto network = parse_address(entry->host);
                   network && is_in_network(*address, *network, entry->bits)) {
            return true;
        }
    }
    return false;
}

} // namespace tern::detail
