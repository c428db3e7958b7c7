// What can go wrong between a client and its SOCKS5 proxy. The errors of an HTTP proxy are those of http_error.hpp.
#pragma once

#include "tern/error.hpp"

#include <cstdint>
#include <string>
#include <system_error>

namespace tern {

/// Why a SOCKS5 proxy did not connect the client to the broker. The first are its reply codes [RFC 1928 §6].
enum class proxy_errc : std::uint8_t {
    general_failure = 1,
    not_allowed = 2,
    network_unreachable = 3,
    host_unreachable = 4,
    connection_refused = 5,
    time_to_live_expired = 6,
    command_not_supported = 7,
    address_type_not_supported = 8,
    unknown_reply,
    no_acceptable_method,
    authentication_failed,
    invalid_answer,
};

namespace detail {

constexpr const char* describe(proxy_errc error) noexcept {
    switch (error) {
    case proxy_errc::general_failure: return "the proxy failed";
    case proxy_errc::not_allowed: return "the rules of the proxy do not allow the connection";
    case proxy_errc::network_unreachable: return "the proxy cannot reach the network of the broker";
    case proxy_errc::host_unreachable: return "the proxy cannot reach the host of the broker";
    case proxy_errc::connection_refused: return "the broker refused the connection of the proxy";
    case proxy_errc::time_to_live_expired: return "a packet of the proxy to the broker expired on its way";
    case proxy_errc::command_not_supported: return "the proxy does not open connections";
    case proxy_errc::address_type_not_supported: return "the proxy does not support this type of address";
    case proxy_errc::unknown_reply: return "the proxy refused with an unknown reply code";
    case proxy_errc::no_acceptable_method: return "the proxy requires another method of authentication";
    case proxy_errc::authentication_failed: return "the proxy did not accept user name and password";
    case proxy_errc::invalid_answer: return "the answer of the proxy violates SOCKS5";
    }
    return "unknown error";
}

// A failure that lasts until a person changes something is permanent. Rules and lists of a proxy change from outside.
constexpr failure_class class_of(proxy_errc error) noexcept {
    switch (error) {
    case proxy_errc::command_not_supported:
    case proxy_errc::address_type_not_supported:
    case proxy_errc::no_acceptable_method:
    case proxy_errc::authentication_failed: return failure_class::permanent;
    case proxy_errc::not_allowed:
    case proxy_errc::unknown_reply:
    case proxy_errc::invalid_answer: return failure_class::lasting;
    default: return failure_class::transient;
    }
}

} // namespace detail

/// The category of these errors; the value is a `proxy_errc`. `error == failure_class::permanent` says whether another
/// attempt can succeed.
inline const std::error_category& proxy_category() noexcept {
    static const struct : std::error_category {
        const char* name() const noexcept override { return "tern.proxy"; }
        std::string message(int value) const override {
            return detail::describe(static_cast<proxy_errc>(value & 0xFF));
        }
        std::error_condition default_error_condition(int value) const noexcept override {
            return make_error_condition(detail::class_of(static_cast<proxy_errc>(value & 0xFF)));
        }
    } category;
    return category;
}

inline std::error_code make_error_code(proxy_errc error) noexcept {
    return {static_cast<int>(error), proxy_category()};
}

} // namespace tern

template <>
struct std::is_error_code_enum<tern::proxy_errc> : std::true_type {};
