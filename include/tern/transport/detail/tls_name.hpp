// The name or IP address that a server's certificate must be for.
#pragma once

#include "tern/transport/detail/tls_openssl.hpp"

#include <asio/ip/address.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

namespace tern::detail {

/// A name, sorted into its kind. Only these characters occur in host names, so that no text has another meaning to
/// OpenSSL than to the resolver: a leading dot would stand for all subdomains, a NUL would end the name.
class tls_name {
public:
    enum class kind : std::uint8_t {
        invalid, ///< neither of the two below
        host,    ///< a host name in ASCII, without a trailing dot
        address, ///< an IPv4 or IPv6 address
    };

    explicit tls_name(std::string_view text) {
        std::error_code is_name;
        address_ = asio::ip::make_address(std::string(without_scope(text)), is_name);
        if (!is_name && is_address_alone(text)) {
            kind_ = kind::address;
        } else if (is_host_name(without_trailing_dot(text))) {
            kind_ = kind::host;
            host_ = without_trailing_dot(text);
        }
    }

    kind type() const noexcept { return kind_; }
    const std::string& host() const noexcept { return host_; }

    /// Makes the verification of a certificate require this name or address. Returns whether that succeeded.
    bool require(X509_VERIFY_PARAM* parameters) const {
        if (kind_ == kind::host) return X509_VERIFY_PARAM_set1_host(parameters, host_.data(), host_.size()) == 1;
        if (kind_ != kind::address) return false;
        if (address_.is_v4()) {
            const auto bytes = address_.to_v4().to_bytes();
            return X509_VERIFY_PARAM_set1_ip(parameters, bytes.data(), bytes.size()) == 1;
        }
        const auto bytes = address_.to_v6().to_bytes();
        return X509_VERIFY_PARAM_set1_ip(parameters, bytes.data(), bytes.size()) == 1;
    }

private:
    static constexpr std::size_t longest_name = 253;
    static constexpr std::size_t longest_label = 63;

    // The functions of Windows also accept a shorter IPv4 address, a port and brackets.
    bool is_address_alone(std::string_view text) const {
        if (address_.is_v4()) return address_.to_string() == text;
        return text.find('[') == std::string_view::npos && text.find('\0') == std::string_view::npos;
    }

    // The dot says that the name is complete. Certificates and SNI are without it (RFC 6066 §3).
    static std::string_view without_trailing_dot(std::string_view name) noexcept {
        return name.ends_with('.') ? name.substr(0, name.size() - 1) : name;
    }

    // The scope of a link-local address, as in fe80::1%eth0, is not part of a certificate.
    static std::string_view without_scope(std::string_view address) noexcept {
        return address.find(':') == std::string_view::npos ? address : address.substr(0, address.find('%'));
    }

    static bool is_host_name(std::string_view name) noexcept {
        if (name.size() > longest_name) return false;
        while (name.find('.') != std::string_view::npos) {
            if (!is_label(name.substr(0, name.find('.')))) return false;
            name.remove_prefix(name.find('.') + 1);
        }
        return is_label(name);
    }

    static bool is_label(std::string_view label) noexcept {
        return !label.empty() && label.size() <= longest_label && std::all_of(label.begin(), label.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        });
    }

    kind kind_ = kind::invalid;
    std::string host_;
    asio::ip::address address_;
};

} // namespace tern::detail
