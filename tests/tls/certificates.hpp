// Authorities, certificates, keys and revocation lists, made while a test runs.
#pragma once

#include "tern/transport/detail/tls_openssl.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tls_test {

enum class key_kind {
    elliptic, // P-256
    rsa_1024, // too weak for security level 2
    rsa_2048, // for a cipher suite of TLS 1.2 with RSA
};

/// What is in a certificate.
struct certificate_spec {
    std::string common_name = "test";
    std::vector<std::string> dns_names = {}; // any bytes
    std::vector<std::string> addresses = {}; // "192.0.2.1", "2001:db8::1"
    int first_day = -1;                      // relative to today
    int last_day = 30;
    std::string basic_constraints = {};  // such as "critical,CA:TRUE"
    std::string key_usage = {};          // such as "critical,keyCertSign,cRLSign"
    std::string extended_key_usage = {}; // such as "clientAuth"
    std::string name_constraints = {};   // such as "permitted;DNS:example.com"
    key_kind key = key_kind::elliptic;
};

/// A certificate and its private key.
class identity {
public:
    identity(tern::detail::x509_ptr certificate, std::shared_ptr<EVP_PKEY> key)
        : certificate_(std::move(certificate))
        , key_(std::move(key)) {}

    X509* certificate() const { return certificate_.get(); }
    EVP_PKEY* key() const { return key_.get(); }
    std::string certificate_pem() const;
    /// Encrypted if there is a password.
    std::string key_pem(std::string_view password = {}) const;

private:
    tern::detail::x509_ptr certificate_;
    std::shared_ptr<EVP_PKEY> key_;
};

/// A specification of an authority, and of a server for DNS names.
certificate_spec authority_spec(std::string name);
certificate_spec server_spec(std::vector<std::string> dns_names);

identity make_self_signed(const certificate_spec& spec);
identity issue(const identity& issuer, const certificate_spec& spec);

/// A revocation list of the issuer in PEM format, valid until `last_day`.
std::string make_crl(const identity& issuer, const std::vector<const identity*>& revoked, int last_day = 7);

/// Identities that many tests share: a root, an intermediate authority, a server "broker.example" that the root has
/// issued, and a client.
struct common_identities {
    identity root;
    identity other_root;
    identity intermediate;
    identity server;
    identity client;
};
const common_identities& common();

} // namespace tls_test
