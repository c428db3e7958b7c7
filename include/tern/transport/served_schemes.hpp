// Which schemes a transport serves. A client refuses endpoints of another one, because what asks for TLS must not be
// sent in plain text.
#pragma once

#include "tern/detail/schemes.hpp"
#include "tern/fwd.hpp"

#include <optional>
#include <string_view>

namespace tern {
namespace detail {

// None: any scheme.
template <class Transport>
struct served_scheme {
    static constexpr std::optional<scheme_kind> kind = std::nullopt;
};
template <class Executor>
struct served_scheme<basic_tcp<Executor>> {
    static constexpr std::optional<scheme_kind> kind = scheme_kind::tcp;
};
template <class Executor>
struct served_scheme<basic_local<Executor>> {
    static constexpr std::optional<scheme_kind> kind = scheme_kind::unix_socket;
};
// TLS below a proxy protects the way to the proxy alone.
template <class Next>
struct served_scheme<basic_proxy<Next>> {
    static constexpr std::optional<scheme_kind> kind =
        served_scheme<Next>::kind == scheme_kind::tls ? std::optional(scheme_kind::tcp) : served_scheme<Next>::kind;
};
template <class Next>
struct served_scheme<basic_tls<Next>> {
    static constexpr std::optional<scheme_kind> kind = scheme_kind::tls;
};
template <class Next>
struct served_scheme<basic_websocket<Next>> {
    static constexpr std::optional<scheme_kind> kind =
        served_scheme<Next>::kind == scheme_kind::tls ? scheme_kind::secure_websocket : scheme_kind::websocket;
};

} // namespace detail

/// Whether endpoints with this scheme are for this type of transport. An empty one always is, and those of the
/// application decide themselves.
///
///     static_assert(!tern::serves_scheme<tern::tcp>("mqtts"));
template <class Transport>
constexpr bool serves_scheme(std::string_view scheme) noexcept {
    constexpr std::optional<detail::scheme_kind> kind = detail::served_scheme<Transport>::kind;
    if (!kind || scheme.empty()) return true;
    const detail::broker_scheme* const found = detail::find_broker_scheme(scheme);
    return found != nullptr && found->kind == *kind;
}

} // namespace tern
