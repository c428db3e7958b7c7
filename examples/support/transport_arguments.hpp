// How a command-line program reaches its broker: --url, --proxy, and with TLS --cafile, --cert, --key and --insecure.
// `apply` is in transport_tls.cpp, or in transport_plain.cpp if the program is built without OpenSSL.
#pragma once

#include "tern/transport/any.hpp"
#include "tern/transport/proxy_options.hpp"
#include "tern/url.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace example {

struct transport_arguments {
    enum class verification : bool { on, off };

    std::optional<tern::broker_url> url = {};
    tern::proxy_options proxy = {};
    std::string ca_file = {};
    std::string certificate_file = {};
    std::string key_file = {};
    verification verify = verification::on;

    /// Parse an argument. They return why it is not valid, or an empty text. It never contains a password.
    std::string set_url(std::string_view text) {
        // Users also write "localhost" and "localhost:1883".
        const bool has_scheme = text.find("://") != std::string_view::npos || text.starts_with("unix:");
        const auto parsed = tern::broker_url::parse(has_scheme ? std::string(text) : "mqtt://" + std::string(text));
        if (!parsed) return std::string(to_string(parsed.error()));
        url = *parsed;
        return {};
    }
    /// "environment" stands for https_proxy, all_proxy and no_proxy.
    std::string set_proxy(std::string_view text) {
        const auto parsed =
            text == "environment" ? tern::proxy_options::from_environment() : tern::proxy_options::parse(text);
        if (!parsed) return std::string(to_string(parsed.error()));
        proxy = *parsed;
        return {};
    }

    void apply(tern::any_transport& transport) const;
};

/// Whether this program has TLS.
bool has_tls();

} // namespace example
