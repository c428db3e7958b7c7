// Loads what the client proves its identity with: its certificate, with intermediate ones, and its private key.
#pragma once

#include "tern/transport/detail/tls_openssl.hpp"
#include "tern/transport/detail/tls_pem.hpp"
#include "tern/transport/tls_error.hpp"
#include "tern/transport/tls_options.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

/// The password of a key, and whether OpenSSL has asked for it, which shows that the key is encrypted.
struct password_request {
    std::string_view password;
    std::size_t requests = 0;
};

// A pem_password_cb of OpenSSL.
inline int provide_password(char* buffer, int size, int, void* argument) {
    auto& request = *static_cast<password_request*>(argument);
    ++request.requests;
    if (request.password.empty() || request.password.size() > static_cast<std::size_t>(size)) return -1;
    std::copy(request.password.begin(), request.password.end(), buffer);
    return static_cast<int>(request.password.size());
}

// Which error a certificate or key causes that OpenSSL does not accept.
inline tls_errc reason_of_refused_identity(tls_errc otherwise) {
    const int reason = ERR_GET_REASON(ERR_peek_last_error());
    const bool is_weak =
        reason == SSL_R_EE_KEY_TOO_SMALL || reason == SSL_R_CA_KEY_TOO_SMALL || reason == SSL_R_CA_MD_TOO_WEAK;
    return reason_of_failure(is_weak ? tls_errc::key_too_weak : otherwise);
}

inline tls_errc use_certificate_chain(SSL_CTX* context, std::string_view pem) {
    bool is_first = true;
    const auto use = [context, &is_first](x509_ptr each) {
        if (std::exchange(is_first, false)) {
            if (SSL_CTX_use_certificate(context, each.get()) == 1) return tls_errc::none;
        } else if (SSL_CTX_add0_chain_cert(context, each.get()) == 1) {
            static_cast<void>(each.release());
            return tls_errc::none;
        }
        return reason_of_refused_identity(tls_errc::invalid_certificate_file);
    };
    const pem_count count =
        read_pem_objects<x509_ptr>(pem, &PEM_read_bio_X509, tls_errc::invalid_certificate_file, use);
    if (count.error != tls_errc::none) return count.error;
    return count.objects == 0 ? tls_errc::invalid_certificate_file : tls_errc::none;
}

inline tls_errc use_private_key(SSL_CTX* context, std::string_view pem, std::string_view password) {
    const error_queue_scope errors;
    const bio_ptr bio = make_bio(pem);
    password_request request{password};
    const pkey_ptr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &provide_password, &request));
    if (!key)
        return reason_of_failure(request.requests != 0 ? tls_errc::wrong_key_password : tls_errc::invalid_key_file);
    if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
        const bool is_other = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509;
        return reason_of_refused_identity(is_other ? tls_errc::key_mismatch : tls_errc::invalid_key_file);
    }
    return SSL_CTX_check_private_key(context) == 1 ? tls_errc::none : reason_of_failure(tls_errc::key_mismatch);
}

/// Loads the certificate and the key of the options, if there are any.
inline tls_errc load_identity(SSL_CTX* context, const tls_options& options) {
    const bool has_certificate = !options.certificate_pem.empty() || !options.certificate_file.empty();
    const bool has_key = !options.key_pem.empty() || !options.key_file.empty();
    if (!has_certificate && !has_key) return tls_errc::none;
    if (!has_certificate) return tls_errc::invalid_certificate_file;

    std::string certificate = options.certificate_pem;
    if (certificate.empty() && !read_whole_file(options.certificate_file, certificate))
        return tls_errc::unreadable_certificate_file;
    const tls_errc error = use_certificate_chain(context, certificate);
    if (error != tls_errc::none) return error;

    // A file may contain both.
    if (!has_key) return use_private_key(context, certificate, options.key_password);
    if (!options.key_pem.empty()) return use_private_key(context, options.key_pem, options.key_password);
    std::string content;
    const bool is_read = read_whole_file(options.key_file, content);
    const secret_text key(std::move(content));
    if (!is_read) return tls_errc::unreadable_key_file;
    return use_private_key(context, key.view(), options.key_password);
}

} // namespace tern::detail
