// Makes the SSL of one connection: whom it must verify, and what it offers. All of it is set on the connection, so it
// applies with an SSL_CTX of the application too.
#pragma once

#include "tern/transport/detail/tls_context.hpp"
#include "tern/transport/detail/tls_name.hpp"
#include "tern/transport/detail/tls_openssl.hpp"
#include "tern/transport/tls_error.hpp"
#include "tern/transport/tls_options.hpp"

#include <algorithm>
#include <cstddef>
#include <new>
#include <string>
#include <string_view>

namespace tern::detail {

inline constexpr std::size_t longest_psk_identity = 128; // PSK_MAX_IDENTITY_LEN of OpenSSL 1.1.1
inline constexpr std::size_t longest_psk = 256;

// The SSL of a connection with a shared key stores a pointer to its options here.
inline int psk_options_index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

// OpenSSL calls it for TLS 1.2 and 1.3. With 1.3 the key is used with SHA-256.
inline unsigned provide_psk(SSL* ssl, const char*, char* identity, unsigned identity_size, unsigned char* key,
                            unsigned key_size) {
    const auto* psk = static_cast<const tls_psk*>(SSL_get_ex_data(ssl, psk_options_index()));
    if (psk->identity.size() >= identity_size || psk->key.size() > key_size) return 0;
    *std::copy(psk->identity.begin(), psk->identity.end(), identity) = '\0';
    std::copy(psk->key.begin(), psk->key.end(), key);
    return static_cast<unsigned>(psk->key.size());
}

inline tls_errc offer_psk(SSL* ssl, const tls_psk& psk) {
    if (psk.identity.empty() || psk.identity.size() > longest_psk_identity || psk.key.empty() ||
        psk.key.size() > longest_psk || psk.identity.find('\0') != std::string::npos)
        return tls_errc::invalid_psk;
    if (SSL_set_ex_data(ssl, psk_options_index(), const_cast<tls_psk*>(&psk)) != 1) throw std::bad_alloc();
    SSL_set_psk_client_callback(ssl, &provide_psk);
    return tls_errc::none;
}

// A server that also has a certificate would prefer that. With TLS 1.3 the key is used with SHA-256 only.
inline tls_errc prefer_psk(SSL* ssl) {
    const bool is_done =
        SSL_set_cipher_list(ssl, "kECDHEPSK:kDHEPSK:kPSK:ALL:!COMPLEMENTOFDEFAULT:!eNULL") == 1 &&
        SSL_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384") == 1;
    return is_done ? tls_errc::none : reason_of_failure(tls_errc::unsupported_options);
}

inline tls_errc offer_application_protocols(SSL* ssl, const tls_options& options) {
    std::string list; // each name follows its length (RFC 7301 §3.1)
    for (const std::string& name : options.alpn) {
        if (name.empty() || name.size() > 255) return tls_errc::invalid_alpn;
        list.append(1, static_cast<char>(name.size())).append(name);
    }
    if (list.size() > 65'535) return tls_errc::invalid_alpn;
    if (list.empty()) return tls_errc::none;
    const auto* bytes = reinterpret_cast<const unsigned char*>(list.data());
    if (SSL_set_alpn_protos(ssl, bytes, static_cast<unsigned>(list.size())) != 0) throw std::bad_alloc();
    return tls_errc::none;
}

// A stricter minimum of the SSL_CTX or of the system's configuration stays.
inline tls_errc require_version(SSL* ssl, tls_version minimum) {
    const long wanted = minimum == tls_version::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (SSL_get_min_proto_version(ssl) >= wanted) return tls_errc::none;
    return SSL_set_min_proto_version(ssl, wanted) == 1 ? tls_errc::none : tls_errc::unsupported_options;
}

// A wildcard stands for a whole label only, and the subject's common name is not a host name (RFC 9525 §6).
inline tls_errc require_peer(SSL* ssl, const tls_name& name) {
    X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(parameters,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (!name.require(parameters)) throw std::bad_alloc();
    SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr); // a function that the SSL_CTX has stays
    return tls_errc::none;
}

// Addresses are not sent (RFC 6066 §3). The macro SSL_set_tlsext_host_name has casts that compilers warn of.
inline void send_server_name(SSL* ssl, std::string name) {
    if (SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data()) != 1)
        throw std::bad_alloc();
}

inline void set_modes(SSL* ssl) {
    SSL_set_connect_state(ssl);
    // SSL_read continues after a session ticket. An idle connection has no buffers. A write takes everything.
    SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
    SSL_clear_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_clear_options(ssl, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
    SSL_set_read_ahead(ssl, 0); // bytes that OpenSSL has read and not processed would not count as readable
}

/// Makes the SSL for a connection to a host, or returns an error.
inline tls_errc make_ssl(const tls_setup& setup, std::string_view host, ssl_ptr& result) {
    const tls_options& options = *setup.options;
    const error_queue_scope errors;
    ssl_ptr ssl = require_memory(ssl_ptr(SSL_new(setup.context.get())));
    set_modes(ssl.get());

    const tls_name name(options.verify_name.empty() ? host : std::string_view(options.verify_name));
    tls_errc error = tls_errc::none;
    if (options.verification == tls_verification::none_insecure)
        SSL_set_verify(ssl.get(), SSL_VERIFY_NONE, nullptr);
    else
        error = name.type() == tls_name::kind::invalid ? tls_errc::invalid_host_name : require_peer(ssl.get(), name);
    if (name.type() == tls_name::kind::host) send_server_name(ssl.get(), name.host());
    if (error == tls_errc::none) error = require_version(ssl.get(), options.minimum_version);
    if (error == tls_errc::none) error = offer_application_protocols(ssl.get(), options);
    if (error == tls_errc::none && options.psk) error = offer_psk(ssl.get(), *options.psk);
    if (error == tls_errc::none && options.psk && !options.own_context) error = prefer_psk(ssl.get());
    result = std::move(ssl);
    return error;
}

} // namespace tern::detail
