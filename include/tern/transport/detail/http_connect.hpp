// The negotiation with an HTTP proxy: CONNECT [RFC 9110 §9.3.6], with basic authentication [RFC 7617].
//
//     request is written -> head of the answer -> ready (2xx), or an error: the status, or what is wrong with the head
//
// A successful answer has no content, whatever its fields say. All bytes after its head come from the broker.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/detail/url_parts.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/transport/detail/base64.hpp"
#include "tern/transport/detail/http_response.hpp"
#include "tern/transport/detail/proxy_dialog.hpp"
#include "tern/transport/http_error.hpp"
#include "tern/transport/proxy_options.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace tern::detail {

class http_connect {
public:
    /// Why no request can be made for this target.
    TERN_COLD static errc validate(const proxy_options& proxy, const endpoint& target) noexcept {
        if (target.host.empty()) return errc::empty_host;
        for (const char c : target.host)
            if (static_cast<unsigned char>(c) <= ' ' || c == '\x7F' || c == '/' || c == '[') return errc::invalid_host;
        // The first colon ends the user name [RFC 7617 §2].
        const bool has_colon = proxy.user_name && proxy.user_name->find(':') != std::string::npos;
        return has_colon ? errc::invalid_argument : errc::none;
    }

    /// Requires that `check` has found nothing.
    TERN_COLD http_connect(const proxy_options& proxy, const endpoint& target) {
        const std::string place = authority(target);
        std::string request = "CONNECT " + place + " HTTP/1.1\r\nHost: " + place + "\r\n";
        if (proxy.user_name || proxy.password)
            request += "Proxy-Authorization: Basic " +
                       to_base64(proxy.user_name.value_or("") + ':' + proxy.password.value_or("")) + "\r\n";
        dialog_.send(request + "\r\n");
    }

    std::string_view output() const noexcept { return dialog_.output(); }
    std::size_t commit_output(std::size_t count) noexcept { return dialog_.commit_output(count); }

    bool is_ready() const noexcept { return response_.progress() == http_progress::complete && is_success(); }

    TERN_COLD std::size_t read(std::string_view raw, std::span<char>, std::error_code& error) {
        if (response_.progress() == http_progress::reading) raw.remove_prefix(response_.read(raw));
        error = result();
        if (is_ready()) {
            response_.clear_fields();
            dialog_.keep(raw);
        }
        return 0;
    }

    std::string_view leftover() const noexcept { return dialog_.leftover(); }

private:
    bool is_success() const noexcept { return response_.status() / 100 == 2; }

    std::error_code result() const noexcept {
        switch (response_.progress()) {
        case http_progress::reading: return {};
        case http_progress::malformed: return http_errc::malformed_response;
        case http_progress::too_large: return http_errc::response_too_large;
        case http_progress::complete: break;
        }
        return is_success() ? std::error_code() : http_status_error(response_.status());
    }

    // host:port, with an IPv6 address in brackets. The zone of an address has a meaning only here.
    static std::string authority(const endpoint& target) {
        const bool is_ipv6 = target.host.find(':') != std::string_view::npos;
        std::string text(is_ipv6 ? "[" : "");
        text += target.host.substr(0, is_ipv6 ? index_of_any(target.host, "%") : target.host.size());
        text += is_ipv6 ? "]:" : ":";
        return text += std::to_string(target.port);
    }

    proxy_dialog dialog_;
    http_response response_;
};

} // namespace tern::detail
