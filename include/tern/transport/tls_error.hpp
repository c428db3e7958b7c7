// What can be wrong with a TLS connection: the certificates, the options, and the negotiation. The messages contain no
// host name, password or key.
#pragma once

#include "tern/error.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

namespace tern {

/// The reason why a TLS connection was not established, or why it ended.
enum class tls_errc : std::uint8_t {
    none,

    // the server's certificate
    certificate_expired,
    certificate_not_yet_valid,
    wrong_host,
    wrong_address,
    self_signed_certificate,
    unknown_authority,
    missing_issuer,
    certificate_revoked,
    revocation_unknown,
    key_too_weak,
    wrong_key_usage,
    invalid_certificate,
    no_certificate,

    // the options
    invalid_host_name,
    unreadable_ca_file,
    empty_ca_file,
    invalid_ca_file,
    unreadable_crl_file,
    invalid_crl_file,
    unreadable_certificate_file,
    invalid_certificate_file,
    unreadable_key_file,
    invalid_key_file,
    wrong_key_password,
    key_mismatch,
    invalid_psk,
    invalid_alpn,
    unsupported_options,
    conflicting_options,

    // the negotiation
    not_tls,
    unsupported_version,
    no_common_algorithm,
    no_common_application_protocol,
    client_certificate_required,
    client_certificate_refused,
    client_certificate_expired,
    client_certificate_revoked,
    client_certificate_unknown_authority,
    access_denied,
    psk_refused,
    unknown_server_name,
    closed_in_handshake,
    handshake_failed,
    server_error,

    // after the negotiation
    corrupted_record,
    protocol_error,
};

namespace detail {

struct tls_error_row {
    tls_errc code;
    failure_class kind;
    std::string_view text;
};

struct tls_error_table {
    using enum tls_errc;
    using enum failure_class;
    static constexpr tls_error_row rows[] = {
        {none, transient, "no error"},

        {certificate_expired, permanent, "the server's certificate, or one of its issuers', has expired"},
        // A machine without a battery for its clock starts with a wrong time. Waiting helps.
        {certificate_not_yet_valid, lasting,
         "the server's certificate is not yet valid, or the clock of this machine is wrong"},
        {wrong_host, permanent, "the server's certificate is for another host name"},
        {wrong_address, permanent, "the server's certificate is for another IP address"},
        {self_signed_certificate, permanent, "the server's certificate is self-signed and not trusted"},
        {unknown_authority, permanent, "the authority that issued the server's certificate is not trusted"},
        {missing_issuer, permanent,
         "the issuer of the server's certificate is neither trusted nor sent by the server: "
         "the authority is unknown, or an intermediate certificate is missing"},
        {certificate_revoked, permanent, "the server's certificate, or one of its issuers', is revoked"},
        // The files of revocation lists are renewed from outside, and are read again at an attempt.
        {revocation_unknown, lasting,
         "no valid revocation list covers the server's certificate: a list is missing or out of date"},
        {key_too_weak, permanent, "a key or signature is too weak for the security level"},
        {wrong_key_usage, permanent, "a certificate of the server may not be used for this purpose"},
        {invalid_certificate, permanent, "the server's certificate is invalid"},
        {no_certificate, permanent, "the server has not sent a certificate"},

        {invalid_host_name, permanent, "the name to verify is not a host name or an IP address"},
        {unreadable_ca_file, permanent, "the file or directory of trusted authorities cannot be read"},
        {empty_ca_file, permanent, "the trusted authorities contain no certificate in PEM format"},
        {invalid_ca_file, permanent, "a certificate of a trusted authority is malformed"},
        {unreadable_crl_file, permanent, "the file of revocation lists cannot be read"},
        {invalid_crl_file, permanent, "the revocation lists contain none, or a malformed one"},
        {unreadable_certificate_file, permanent, "the file of the client certificate cannot be read"},
        {invalid_certificate_file, permanent, "the client certificate is missing or malformed"},
        {unreadable_key_file, permanent, "the file of the private key cannot be read"},
        {invalid_key_file, permanent, "the private key is missing or malformed"},
        {wrong_key_password, permanent, "the private key cannot be decrypted: its password is missing or wrong"},
        {key_mismatch, permanent, "the private key does not belong to the client certificate"},
        {invalid_psk, permanent, "the identity or the key to share is empty or too long"},
        {invalid_alpn, permanent, "a name of the application protocols is empty or too long"},
        {unsupported_options, permanent, "the TLS library does not support the options"},
        {conflicting_options, permanent, "an option belongs in the SSL_CTX that is also given"},

        // A port that is sometimes intercepted, as by the sign-in page of a network, answers correctly later.
        {not_tls, lasting, "the server does not speak TLS on this port"},
        {unsupported_version, permanent, "the server supports no TLS version that is allowed here"},
        {no_common_algorithm, permanent, "there is no algorithm that both sides allow"},
        {no_common_application_protocol, permanent, "the server supports none of the application protocols"},
        {client_certificate_required, permanent, "the server requires a client certificate"},
        {client_certificate_refused, permanent, "the server refused the client certificate"},
        {client_certificate_expired, permanent, "the server refused the client certificate as expired"},
        {client_certificate_revoked, permanent, "the server refused the client certificate as revoked"},
        {client_certificate_unknown_authority, permanent,
         "the server does not trust the authority that issued the client certificate"},
        {access_denied, permanent, "the server accepted the client certificate but denied access"},
        {psk_refused, permanent, "the server does not accept the shared key: the identity or the key is wrong"},
        {unknown_server_name, permanent, "the server does not know the host name"},
        {closed_in_handshake, transient,
         "the server closed the connection during the TLS handshake; the port may not use TLS"},
        {handshake_failed, lasting, "the server ended the TLS handshake without a reason"},
        {server_error, transient, "the server reported an internal error"},

        {corrupted_record, transient, "a TLS record was corrupted on its way"},
        {protocol_error, transient, "the server violated the TLS protocol"},
    };
};

inline constexpr tls_error_row unknown_tls_error = {tls_errc::none, failure_class::transient, "unknown error"};

// Accepts any value: a `std::error_code` can hold any number.
constexpr const tls_error_row& tls_row(int value) noexcept {
    const auto row = static_cast<std::size_t>(value);
    return row < std::size(tls_error_table::rows) ? tls_error_table::rows[row] : unknown_tls_error;
}

static_assert(
    [] {
        for (std::size_t i = 0; i != std::size(tls_error_table::rows); ++i)
            if (static_cast<std::size_t>(tls_error_table::rows[i].code) != i) return false;
        return std::size(tls_error_table::rows) == static_cast<std::size_t>(tls_errc::protocol_error) + 1;
    }(),
    "one row per tls_errc, in the same order");

} // namespace detail

/// Describes the error, such as "the server's certificate is for another host name".
constexpr std::string_view to_string(tls_errc error) noexcept {
    return detail::tls_row(static_cast<int>(error)).text;
}

/// The category of errors of TLS; the value is a `tls_errc`. `error == failure_class::permanent` says whether another
/// attempt can succeed.
inline const std::error_category& tls_category() noexcept {
    static const struct : std::error_category {
        const char* name() const noexcept override { return "tern.tls"; }
        std::string message(int value) const override { return std::string{detail::tls_row(value).text}; }
        std::error_condition default_error_condition(int value) const noexcept override {
            return make_error_condition(detail::tls_row(value).kind);
        }
    } category;
    return category;
}

/// Enables `error == tls_errc::wrong_host`.
inline std::error_code make_error_code(tls_errc error) noexcept {
    return {static_cast<int>(error), tls_category()};
}

} // namespace tern

template <>
struct std::is_error_code_enum<tern::tls_errc> : std::true_type {};
