// Resumption: what a transport remembers of its last connection, so that the next one need not verify certificates.
#pragma once

#include "tern/transport/detail/tls_context.hpp"
#include "tern/transport/detail/tls_openssl.hpp"
#include "tern/transport/tls_options.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

/// The last resumable session of a transport. It is used once, since tickets of TLS 1.3 should not be used twice
/// (RFC 8446 appendix C.4), and only for the same host, port and options.
class tls_session_store {
public:
    /// Stores the session for later connections with this setup, if it can be resumed. One without certificates belongs
    /// to a shared key: a handshake with the key costs as little, and OpenSSL reports a resumed one as unverified.
    void put(ssl_session_ptr session, const std::shared_ptr<const tls_setup>& setup, std::string_view host,
             std::uint16_t port) {
        if (!session || SSL_SESSION_is_resumable(session.get()) == 0) return;
        if (SSL_SESSION_get0_peer(session.get()) == nullptr) return;
        host_ = host;
        port_ = port;
        setup_ = setup;
        session_ = std::move(session);
    }

    /// Returns the session for a connection, or null.
    ssl_session_ptr take(const std::shared_ptr<const tls_setup>& setup, std::string_view host, std::uint16_t port) {
        ssl_session_ptr session = std::move(session_);
        const bool is_same = setup_ == setup && host_ == host && port_ == port;
        setup_.reset();
        if (session && is_same && has_valid_certificate(session.get())) return session;
        return nullptr;
    }

private:
    // A certificate is verified only in a full handshake, which shall report that it has expired.
    static bool has_valid_certificate(SSL_SESSION* session) noexcept {
        const X509* certificate = SSL_SESSION_get0_peer(session);
        return X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
    }

    ssl_session_ptr session_;
    std::shared_ptr<const tls_setup> setup_;
    std::string host_;
    std::uint16_t port_ = 0;
};

} // namespace tern::detail
