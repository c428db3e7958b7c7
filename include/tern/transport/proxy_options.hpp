// Which proxy a client uses: from a URL, or from the variables of the environment that other programs use.
#pragma once

#include "tern/detail/ascii.hpp"
#include "tern/detail/inline.hpp"
#include "tern/detail/url_parts.hpp"
#include "tern/error.hpp"
#include "tern/result.hpp"

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tern {

/// How the client talks to the proxy.
enum class proxy_protocol : std::uint8_t {
    none,         ///< There is no proxy.
    http_connect, ///< The method CONNECT of HTTP [RFC 9110 §9.3.6], with basic authentication.
    socks5,       ///< SOCKS version 5 [RFC 1928], with user name and password [RFC 1929].
};

/// A proxy. It resolves the broker's name.
///
///     client.transport().set_proxy(*tern::proxy_options::parse("socks5://user:secret@proxy.example"));
struct proxy_options {
    proxy_protocol protocol = proxy_protocol::none;
    std::string host = {};
    std::uint16_t port = 0;
    std::optional<std::string> user_name = {};
    std::optional<std::string> password = {};
    /// The hosts that the client reaches without the proxy: names, which include their subdomains, addresses, networks
    /// such as `10.0.0.0/8`, or `*`, separated by commas. An entry with a port, such as `broker.example:1883`, is for
    /// that port alone.
    std::string no_proxy = {};

    /// Parses `http://user:password@host:port`, `socks5://…` or `socks5h://…`. The default ports are 80 and 1080. An
    /// empty text means no proxy. The error contains no part of the text.
    TERN_COLD static result<proxy_options> parse(std::string_view url) {
        proxy_options options;
        if (url.empty()) return options;
        const auto parts = detail::split_url(url);
        if (!parts) return parts.error();
        const bool is_http = detail::equal_ignoring_case(parts->scheme, "http");
        if (!is_http && !detail::equal_ignoring_case(parts->scheme, "socks5") &&
            !detail::equal_ignoring_case(parts->scheme, "socks5h"))
            return errc::unknown_scheme;
        if (!parts->path.empty() && parts->path != "/") return errc::url_with_path;
        errc error = detail::decode_host(parts->host, options.host);
        if (error == errc::none) error = detail::decode_credentials(*parts, options.user_name, options.password);
        if (error != errc::none) return error;
        options.protocol = is_http ? proxy_protocol::http_connect : proxy_protocol::socks5;
        const std::uint16_t default_port = is_http ? 80 : 1080;
        options.port = parts->port != 0 ? parts->port : default_port;
        return options;
    }

    /// Reads `https_proxy`, or if that is not set `all_proxy`, and `no_proxy`, each in lower or upper case. A proxy
    /// without a scheme is an HTTP proxy. No other thread may change the environment meanwhile.
    TERN_COLD static result<proxy_options> from_environment() { return from_environment(&read_environment); }

    /// The same with another function that returns the value of a variable, empty if it is not set.
    template <class Read>
    static result<proxy_options> from_environment(Read read) {
        std::string url;
        for (const char* const name : {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
            if (url.empty()) url = read(name);
        if (!url.empty() && url.find("://") == std::string::npos) url.insert(0, "http://");
        result<proxy_options> options = parse(url);
        std::string direct = read("no_proxy");
        if (direct.empty()) direct = read("NO_PROXY");
        options->no_proxy = std::move(direct);
        return options;
    }

private:
    TERN_COLD static std::string read_environment(const char* name) {
#if defined(_MSC_VER)
        char* value = nullptr;
        std::size_t size = 0;
        const bool found = ::_dupenv_s(&value, &size, name) == 0 && value != nullptr;
        std::string text = found ? value : "";
        std::free(value);
        return text;
#else
        const char* const value = std::getenv(name);
        return value != nullptr ? value : "";
#endif
    }
};

} // namespace tern
