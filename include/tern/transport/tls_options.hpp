// The options of TLS connections. They are secure by default: the system's authorities are trusted, and the certificate
// and the name of the server are verified.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct ssl_ctx_st; // SSL_CTX of OpenSSL

namespace tern {

/// Which servers are accepted.
enum class tls_verification : std::uint8_t {
    peer_and_name, ///< A trusted authority must have issued the server's certificate, and for the name of the host.
    none_insecure, ///< Any server. An attacker on the path can read and change all messages, and sees the password.
};

/// The oldest version of TLS that is accepted. A stricter minimum of the system's configuration still applies.
enum class tls_version : std::uint8_t {
    v1_2, ///< TLS 1.2 and 1.3
    v1_3, ///< TLS 1.3 alone
};

/// Whether a later connection to the same host continues the TLS session of an earlier one. That saves a round trip
/// with TLS 1.2, and the verification of certificates with both versions.
enum class tls_resumption : std::uint8_t {
    enabled,  ///< A session that was verified under the same options is resumed, until its certificate expires.
    disabled, ///< Each connection verifies certificates.
};

/// A key that both sides know (RFC 4279, RFC 8446 §2.2). The server then needs no certificate.
struct tls_psk {
    std::string identity = {};
    std::string key = {}; ///< bytes, not hexadecimal digits
};

/// The options of TLS connections. Certificates, keys and lists are in PEM format. A file is read again at the first
/// attempt to connect after it has changed. Where a file and a `_pem` member are both set, both are used for trust, and
/// the member takes precedence for the certificate and the key.
struct tls_options {
    tls_verification verification = tls_verification::peer_and_name;

    /// The host name or IP address that the server's certificate must be for. Empty: the host of the endpoint. To
    /// connect by address, give the server's name here. The server also receives the name (SNI). A name is in ASCII:
    /// "xn--bcher-kva.example".
    std::string verify_name = {};

    /// The trusted authorities. If all three are empty: those of the system.
    std::filesystem::path ca_file = {};
    std::filesystem::path ca_directory = {}; ///< files named by the hashes of their subjects, see `openssl rehash`
    std::string ca_pem = {};

    /// Revocation lists. If one is set, a valid list must exist for each certificate of the chain.
    std::filesystem::path crl_file = {};
    std::string crl_pem = {};

    /// The client certificate, followed by its intermediate certificates.
    std::filesystem::path certificate_file = {};
    std::string certificate_pem = {};
    std::filesystem::path key_file = {};
    std::string key_pem = {};
    std::string key_password = {}; ///< of an encrypted key

    std::optional<tls_psk> psk = {};

    tls_version minimum_version = tls_version::v1_2;
    /// The application protocols to offer (ALPN), the preferred one first. A server may ignore them.
    std::vector<std::string> alpn = {};
    tls_resumption resumption = tls_resumption::enabled;

    /// Receives each line of an NSS key log, with which a recorded connection can be decrypted. For debugging only. It
    /// may be called in any thread that runs a transport.
    std::function<void(std::string_view line)> key_log = {};

    /// An SSL_CTX of your own, for keys on a PKCS #11 token, providers, or settings that are not above. Transports
    /// share it and do not change it. `verification`, `verify_name`, `minimum_version`, `psk`, `alpn` and `resumption`
    /// apply to each connection nevertheless. Authorities, lists, certificates, keys and the key log must be set in it
    /// instead.
    ///
    ///     options.own_context = std::shared_ptr<SSL_CTX>(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
    std::shared_ptr<ssl_ctx_st> own_context = {};
};

} // namespace tern
