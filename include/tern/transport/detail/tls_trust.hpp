// Loads what verification of servers is based on: trusted authorities and revocation lists.
#pragma once

#include "tern/transport/detail/tls_openssl.hpp"
#include "tern/transport/detail/tls_pem.hpp"
#include "tern/transport/tls_error.hpp"
#include "tern/transport/tls_options.hpp"

#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

namespace tern::detail {

inline tls_errc add_authorities(X509_STORE* store, std::string_view pem) {
    const pem_count count =
        read_pem_objects<x509_ptr>(pem, &PEM_read_bio_X509_AUX, tls_errc::invalid_ca_file, [store](x509_ptr each) {
            return X509_STORE_add_cert(store, each.get()) == 1 ? tls_errc::none
                                                               : reason_of_failure(tls_errc::invalid_ca_file);
        });
    if (count.error != tls_errc::none) return count.error;
    return count.objects == 0 ? tls_errc::empty_ca_file : tls_errc::none;
}

inline tls_errc add_revocation_lists(X509_STORE* store, std::string_view pem) {
    const pem_count count =
        read_pem_objects<x509_crl_ptr>(pem, &PEM_read_bio_X509_CRL, tls_errc::invalid_crl_file, [store](auto each) {
            return X509_STORE_add_crl(store, each.get()) == 1 ? tls_errc::none
                                                              : reason_of_failure(tls_errc::invalid_crl_file);
        });
    if (count.error != tls_errc::none) return count.error;
    return count.objects == 0 ? tls_errc::invalid_crl_file : tls_errc::none;
}

#if defined(_WIN32)
// OpenSSL has no access to the certificate store of Windows.
inline void add_windows_authorities(X509_STORE* store) {
    const HCERTSTORE system = ::CertOpenSystemStoreW(0, L"ROOT");
    if (system == nullptr) return;
    const CERT_CONTEXT* each = nullptr;
    while ((each = ::CertEnumCertificatesInStore(system, each)) != nullptr) {
        const error_queue_scope errors;
        const unsigned char* der = each->pbCertEncoded;
        const x509_ptr certificate(::d2i_X509(nullptr, &der, static_cast<long>(each->cbCertEncoded)));
        if (certificate) X509_STORE_add_cert(store, certificate.get());
    }
    ::CertCloseStore(system, 0);
}
#endif

inline tls_errc trust_system(SSL_CTX* context) {
    const error_queue_scope errors;
#if defined(_WIN32)
    add_windows_authorities(SSL_CTX_get_cert_store(context));
#endif
    if (SSL_CTX_set_default_verify_paths(context) != 1) return reason_of_failure(tls_errc::unreadable_ca_file);
    return tls_errc::none;
}

inline tls_errc trust_directory(SSL_CTX* context, const std::filesystem::path& directory) {
    const error_queue_scope errors;
    std::error_code failure;
    if (std::filesystem::directory_iterator(directory, failure) == std::filesystem::directory_iterator())
        return failure ? tls_errc::unreadable_ca_file : tls_errc::empty_ca_file;
    if (SSL_CTX_load_verify_locations(context, nullptr, directory.string().c_str()) != 1)
        return reason_of_failure(tls_errc::unreadable_ca_file);
    return tls_errc::none;
}

/// Adds the authorities of the options. Those of the system are trusted only if there are none.
inline tls_errc load_authorities(SSL_CTX* context, const tls_options& options) {
    if (options.ca_file.empty() && options.ca_directory.empty() && options.ca_pem.empty()) return trust_system(context);
    X509_STORE* store = SSL_CTX_get_cert_store(context);
    tls_errc error = tls_errc::none;
    if (!options.ca_pem.empty()) error = add_authorities(store, options.ca_pem);
    if (error == tls_errc::none && !options.ca_file.empty()) {
        std::string pem;
        error = read_whole_file(options.ca_file, pem) ? add_authorities(store, pem) : tls_errc::unreadable_ca_file;
    }
    if (error == tls_errc::none && !options.ca_directory.empty())
        error = trust_directory(context, options.ca_directory);
    return error;
}

/// Adds the revocation lists of the options, and requires one for each certificate of a chain.
inline tls_errc load_revocation_lists(SSL_CTX* context, const tls_options& options) {
    if (options.crl_file.empty() && options.crl_pem.empty()) return tls_errc::none;
    X509_STORE* store = SSL_CTX_get_cert_store(context);
    tls_errc error = tls_errc::none;
    if (!options.crl_pem.empty()) error = add_revocation_lists(store, options.crl_pem);
    if (error == tls_errc::none && !options.crl_file.empty()) {
        std::string pem;
        error =
            read_whole_file(options.crl_file, pem) ? add_revocation_lists(store, pem) : tls_errc::unreadable_crl_file;
    }
    if (X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1) throw std::bad_alloc();
    return error;
}

} // namespace tern::detail
