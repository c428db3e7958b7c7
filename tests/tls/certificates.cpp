#include "certificates.hpp"

#include "tern/transport/detail/tls_openssl.hpp"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tls_test {
namespace {

using tern::detail::bio_ptr;
using tern::detail::x509_ptr;

void succeed(bool success, const char* what) {
    if (success) return;
    std::fprintf(stderr, "certificates: %s failed\n", what);
    ERR_print_errors_fp(stderr);
    std::abort();
}

std::shared_ptr<EVP_PKEY> make_key(key_kind kind) {
    const std::unique_ptr<EVP_PKEY_CTX, tern::detail::openssl_deleter<&EVP_PKEY_CTX_free>> context(
        EVP_PKEY_CTX_new_id(kind == key_kind::elliptic ? EVP_PKEY_EC : EVP_PKEY_RSA, nullptr));
    succeed(EVP_PKEY_keygen_init(context.get()) == 1, "keygen_init");
    if (kind == key_kind::elliptic)
        succeed(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context.get(), NID_X9_62_prime256v1) == 1, "curve");
    else
        succeed(EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), kind == key_kind::rsa_1024 ? 1024 : 2048) == 1, "bits");
    EVP_PKEY* key = nullptr;
    succeed(EVP_PKEY_keygen(context.get(), &key) == 1, "keygen");
    return {key, &EVP_PKEY_free};
}

// Making RSA keys takes long, so all identities with one share it.
std::shared_ptr<EVP_PKEY> key_of(key_kind kind) {
    static std::map<key_kind, std::shared_ptr<EVP_PKEY>> rsa_keys;
    if (kind == key_kind::elliptic) return make_key(kind);
    auto& key = rsa_keys[kind];
    if (!key) key = make_key(kind);
    return key;
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
    if (value.empty()) return;
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    succeed(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, value.c_str());
    X509_EXTENSION_free(extension);
}

void add_alternative_names(X509* certificate, const certificate_spec& spec) {
    if (spec.dns_names.empty() && spec.addresses.empty()) return;
    const std::unique_ptr<GENERAL_NAMES, tern::detail::openssl_deleter<&GENERAL_NAMES_free>> names(GENERAL_NAMES_new());
    const auto add = [&](int type, ASN1_STRING* value) {
        GENERAL_NAME* name = GENERAL_NAME_new();
        GENERAL_NAME_set0_value(name, type, value);
        sk_GENERAL_NAME_push(names.get(), name);
    };
    for (const std::string& each : spec.dns_names) {
        ASN1_STRING* text = ASN1_STRING_type_new(V_ASN1_IA5STRING);
        ASN1_STRING_set(text, each.data(), static_cast<int>(each.size()));
        add(GEN_DNS, text);
    }
    for (const std::string& each : spec.addresses)
        add(GEN_IPADD, a2i_IPADDRESS(each.c_str()));
    succeed(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, 0) == 1, "subjectAltName");
}

void set_name(X509_NAME* name, const std::string& common_name) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(common_name.data());
    succeed(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, const_cast<unsigned char*>(bytes),
                                       static_cast<int>(common_name.size()), -1, 0) == 1,
            "name");
}

identity make_certificate(const certificate_spec& spec, const identity* issuer) {
    static long serial = 1000;
    const std::shared_ptr<EVP_PKEY> key = key_of(spec.key);
    x509_ptr certificate(X509_new());
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), long{spec.first_day} * 86'400);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), long{spec.last_day} * 86'400);
    X509_set_pubkey(certificate.get(), key.get());
    set_name(X509_get_subject_name(certificate.get()), spec.common_name);
    X509* by = issuer == nullptr ? certificate.get() : issuer->certificate();
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(by));
    add_extension(certificate.get(), by, NID_basic_constraints, spec.basic_constraints);
    add_extension(certificate.get(), by, NID_key_usage, spec.key_usage);
    add_extension(certificate.get(), by, NID_ext_key_usage, spec.extended_key_usage);
    add_extension(certificate.get(), by, NID_name_constraints, spec.name_constraints);
    add_extension(certificate.get(), by, NID_subject_key_identifier, "hash");
    add_alternative_names(certificate.get(), spec);
    succeed(X509_sign(certificate.get(), issuer == nullptr ? key.get() : issuer->key(), EVP_sha256()) != 0, "sign");
    return {std::move(certificate), key};
}

template <class Write>
std::string to_pem(Write write) {
    const bio_ptr bio(BIO_new(BIO_s_mem()));
    succeed(write(bio.get()) == 1, "PEM");
    char* data = nullptr;
    const long size = BIO_ctrl(bio.get(), BIO_CTRL_INFO, 0, &data);
    return {data, static_cast<std::size_t>(size)};
}

} // namespace

std::string identity::certificate_pem() const {
    return to_pem([this](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
}

std::string identity::key_pem(std::string_view password) const {
    return to_pem([&](BIO* bio) {
        return PEM_write_bio_PKCS8PrivateKey(bio, key_.get(), password.empty() ? nullptr : EVP_aes_128_cbc(),
                                             const_cast<char*>(password.data()), static_cast<int>(password.size()),
                                             nullptr, nullptr);
    });
}

certificate_spec authority_spec(std::string name) {
    certificate_spec spec;
    spec.common_name = std::move(name);
    spec.basic_constraints = "critical,CA:TRUE";
    spec.key_usage = "critical,keyCertSign,cRLSign";
    return spec;
}

certificate_spec server_spec(std::vector<std::string> dns_names) {
    certificate_spec spec;
    spec.common_name = "a server";
    spec.dns_names = std::move(dns_names);
    spec.extended_key_usage = "serverAuth";
    return spec;
}

identity make_self_signed(const certificate_spec& spec) {
    return make_certificate(spec, nullptr);
}

identity issue(const identity& issuer, const certificate_spec& spec) {
    return make_certificate(spec, &issuer);
}

std::string make_crl(const identity& issuer, const std::vector<const identity*>& revoked, int last_day) {
    const tern::detail::x509_crl_ptr crl(X509_CRL_new());
    X509_CRL_set_version(crl.get(), 1);
    X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.certificate()));
    const std::unique_ptr<ASN1_TIME, tern::detail::openssl_deleter<&ASN1_TIME_free>> time(
        X509_gmtime_adj(nullptr, -3600L - 86'400L * 30));
    X509_CRL_set1_lastUpdate(crl.get(), time.get());
    X509_gmtime_adj(time.get(), long{last_day} * 86'400);
    X509_CRL_set1_nextUpdate(crl.get(), time.get());
    X509_gmtime_adj(time.get(), -3600);
    for (const identity* each : revoked) {
        X509_REVOKED* entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(each->certificate()));
        X509_REVOKED_set_revocationDate(entry, time.get());
        X509_CRL_add0_revoked(crl.get(), entry);
    }
    succeed(X509_CRL_sign(crl.get(), issuer.key(), EVP_sha256()) != 0, "sign");
    return to_pem([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, crl.get()); });
}

const common_identities& common() {
    static const common_identities all = [] {
        identity root = make_self_signed(authority_spec("the root"));
        identity other = make_self_signed(authority_spec("another root"));
        identity intermediate = issue(root, authority_spec("the intermediate"));
        identity server = issue(root, server_spec({"broker.example"}));
        certificate_spec client;
        client.common_name = "a client";
        client.extended_key_usage = "clientAuth";
        identity of_client = issue(root, client);
        return common_identities{std::move(root), std::move(other), std::move(intermediate), std::move(server),
                                 std::move(of_client)};
    }();
    return all;
}

} // namespace tls_test
