// The address of a broker as one text: a URL.
//
//     mqtt://user:password@host:1883   MQTT over TCP; also tcp://
//     mqtts://host                     over TLS, port 8883; also ssl:// and tls://
//     ws://host/path?query             over WebSocket, port 80
//     wss://host/path?query            over WebSocket and TLS, port 443
//     unix:/run/mosquitto.sock         over a Unix socket; also mqtt+unix://user:password@/run/mosquitto.sock
//     unix:@name                       over a socket in the abstract namespace of Linux
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/detail/schemes.hpp"
#include "tern/detail/url_parts.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/fwd.hpp"
#include "tern/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tern {
/// A URL of a broker. Owns its text; what its functions return borrows from it.
///
///     const auto url = tern::broker_url::parse("mqtts://user:secret@broker.example");
///     if (!url) return report(url.error());
///     client.async_connect(url->options({.client_id = "sensor-1"}), token);
///
/// User names, passwords and the paths of Unix sockets are decoded: `%40` means `@`. A WebSocket URL without a path
/// leaves it to the transport. The schemes `mqtts`, `ws`, `wss` and `unix` need a transport that has them, such as that
/// of `tern::any_client`. A client on another transport refuses them.
class broker_url {
public:
    /// A URL without a host, which no client accepts.
    broker_url() = default;

    /// Parses a URL. The error never contains a part of it.
    TERN_COLD static result<broker_url> parse(std::string_view text) {
        const auto parts = detail::split_url(text);
        if (!parts) return parts.error();
        const detail::broker_scheme* const scheme = detail::find_broker_scheme(parts->scheme);
        if (!scheme) return errc::unknown_scheme;
        broker_url url;
        url.scheme_ = scheme->canonical;
        url.port_ = parts->port != 0 ? parts->port : scheme->port;
        errc error = detail::decode_credentials(*parts, url.user_name_, url.password_);
        if (error == errc::none)
            error = scheme->kind == detail::scheme_kind::unix_socket ? url.set_file(*parts)
                                                                     : url.set_host(*parts, scheme->kind);
        if (error != errc::none) return error;
        return url;
    }

    /// Returns these options with the endpoint of the URL. Its user name and its password are set if the options have
    /// none. Other members of the endpoint can be changed afterwards.
    template <class Options = connect_options>
    Options options(Options base = {}) const& {
        base.host = host_;
        base.port = port_;
        base.path = path_;
        base.scheme = scheme_;
        if (!base.user_name) base.user_name = user_name();
        if (!base.password) base.password = password();
        return base;
    }
    template <class Options = connect_options>
    Options options(Options base = {}) const&& = delete;

    tern::endpoint endpoint() const& noexcept {
        return {.host = host_, .port = port_, .path = path_, .scheme = scheme_};
    }
    tern::endpoint endpoint() const&& = delete;

    /// Returns `mqtt`, `mqtts`, `ws`, `wss` or `unix`.
    constexpr std::string_view scheme() const noexcept { return scheme_; }

    std::optional<std::string_view> user_name() const& noexcept { return view(user_name_); }
    std::optional<std::string_view> user_name() const&& = delete;

    std::optional<std::string_view> password() const& noexcept { return view(password_); }
    std::optional<std::string_view> password() const&& = delete;

    /// Describes the broker for messages: without user name, password and query, which may be secret.
    TERN_COLD std::string description() const {
        std::string text(scheme_);
        text += ':';
        if (host_.empty()) return text += path_;
        const bool is_ipv6 = detail::index_of_any(host_, ":") != host_.size();
        text += is_ipv6 ? "//[" : "//";
        text += host_;
        text += is_ipv6 ? "]:" : ":";
        for (unsigned power = 10'000; power != 0; power /= 10)
            if (port_ >= power) text += static_cast<char>('0' + port_ / power % 10);
        return text += std::string_view(path_).substr(0, detail::index_of_any(path_, "?"));
    }

    friend bool operator==(const broker_url&, const broker_url&) = default;

private:
    static std::optional<std::string_view> view(const std::optional<std::string>& text) noexcept {
        if (!text) return std::nullopt;
        return std::string_view(*text);
    }

    TERN_COLD errc set_host(const detail::url_parts& parts, detail::scheme_kind kind) {
        if (const errc error = detail::decode_host(parts.host, host_); error != errc::none) return error;
        if (kind == detail::scheme_kind::tcp || kind == detail::scheme_kind::tls)
            return parts.path.empty() || parts.path == "/" ? errc::none : errc::url_with_path;
        for (const char c : parts.path)
            if (static_cast<unsigned char>(c) >= 0x80) return errc::invalid_url;
        if (parts.path.starts_with('?')) path_ = '/';
        path_ += parts.path;
        return errc::none;
    }

    TERN_COLD errc set_file(const detail::url_parts& parts) {
        if (!parts.host.empty() || parts.port != 0) return errc::invalid_host;
        if (detail::index_of_any(parts.path, "?") != parts.path.size()) return errc::invalid_url;
        if (parts.path.empty() || parts.path == "@") return errc::empty_path;
        return detail::decode_percent(parts.path, path_);
    }

    std::string_view scheme_; // of the table
    std::optional<std::string> user_name_;
    std::optional<std::string> password_;
    std::string host_; // empty: a Unix socket
    std::string path_;
    std::uint16_t port_ = 0;
};

} // namespace tern
