// The negotiation with a proxy of either protocol, and which brokers need it.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/transport/detail/http_connect.hpp"
#include "tern/transport/detail/no_proxy.hpp"
#include "tern/transport/detail/socks5.hpp"
#include "tern/transport/proxy_options.hpp"

#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

namespace tern::detail {

/// Whether this broker is reached through the proxy.
TERN_COLD inline bool needs_proxy(const proxy_options& proxy, const endpoint& target) {
    return proxy.protocol != proxy_protocol::none && !is_unix_socket(target) &&
           !is_in_no_proxy(proxy.no_proxy, target.host, target.port);
}

class proxy_negotiation {
public:
    /// Throws `std::system_error` if no request can be made for this target.
    TERN_COLD proxy_negotiation(const proxy_options& proxy, const endpoint& target)
        : machine_(proxy.protocol == proxy_protocol::socks5 ? make<socks5>(proxy, target)
                                                            : make<http_connect>(proxy, target)) {}

    std::string_view output() const noexcept {
        return std::visit([](const auto& m) { return m.output(); }, machine_);
    }
    std::size_t commit_output(std::size_t count) noexcept {
        return std::visit([&](auto& m) { return m.commit_output(count); }, machine_);
    }
    bool is_ready() const noexcept {
        return std::visit([](const auto& m) { return m.is_ready(); }, machine_);
    }
    std::size_t read(std::string_view raw, std::span<char> plain, std::error_code& error) {
        return std::visit([&](auto& m) { return m.read(raw, plain, error); }, machine_);
    }
    /// The bytes of the broker that arrived together with the proxy's answer.
    std::string_view leftover() const noexcept {
        return std::visit([](const auto& m) { return m.leftover(); }, machine_);
    }

private:
    using any_machine = std::variant<http_connect, socks5>;

    template <class Machine>
    static any_machine make(const proxy_options& proxy, const endpoint& target) {
        if (const errc error = Machine::validate(proxy, target); error != errc::none)
            throw std::system_error(misuse(error));
        return any_machine(std::in_place_type<Machine>, proxy, target);
    }

    any_machine machine_;
};

} // namespace tern::detail
