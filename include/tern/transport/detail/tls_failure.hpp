// Which `tls_errc` an error of OpenSSL is: the result of verifying a certificate, an alert of the server, or a reason
// of the library.
#pragma once

#include "tern/transport/detail/tls_openssl.hpp"
#include "tern/transport/tls_error.hpp"

#include <new>

namespace tern::detail {

/// What went wrong with the server's certificate, of a result of X509_verify_cert.
inline tls_errc tls_verification_error(long result) {
    switch (result) {
    case X509_V_OK: return tls_errc::none;
    case X509_V_ERR_CERT_HAS_EXPIRED: return tls_errc::certificate_expired;
    case X509_V_ERR_CERT_NOT_YET_VALID: return tls_errc::certificate_not_yet_valid;
    case X509_V_ERR_HOSTNAME_MISMATCH: return tls_errc::wrong_host;
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return tls_errc::wrong_address;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return tls_errc::self_signed_certificate;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED: return tls_errc::unknown_authority;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: return tls_errc::missing_issuer;
    case X509_V_ERR_CERT_REVOKED: return tls_errc::certificate_revoked;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR: return tls_errc::revocation_unknown;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK: return tls_errc::key_too_weak;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_INVALID_NON_CA:
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    case X509_V_ERR_INVALID_CA:
#endif
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    case X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE: return tls_errc::wrong_key_usage;
    case X509_V_ERR_OUT_OF_MEM: throw std::bad_alloc();
    default: return tls_errc::invalid_certificate;
    }
}

/// What a fatal alert of the server means (RFC 8446 §6.2).
inline tls_errc tls_alert_error(int alert) noexcept {
    switch (alert) {
    case SSL_AD_BAD_RECORD_MAC:
    case SSL_AD_RECORD_OVERFLOW: return tls_errc::corrupted_record;
    case SSL_AD_HANDSHAKE_FAILURE: return tls_errc::handshake_failed;
    case SSL_AD_INSUFFICIENT_SECURITY: return tls_errc::no_common_algorithm;
    case SSL_AD_PROTOCOL_VERSION: return tls_errc::unsupported_version;
    case SSL_AD_NO_APPLICATION_PROTOCOL: return tls_errc::no_common_application_protocol;
    case SSL_AD_UNRECOGNIZED_NAME: return tls_errc::unknown_server_name;
    case SSL_AD_UNKNOWN_PSK_IDENTITY: return tls_errc::psk_refused;
    case SSL_AD_CERTIFICATE_REQUIRED: return tls_errc::client_certificate_required;
    case SSL_AD_CERTIFICATE_EXPIRED: return tls_errc::client_certificate_expired;
    case SSL_AD_CERTIFICATE_REVOKED: return tls_errc::client_certificate_revoked;
    case SSL_AD_UNKNOWN_CA: return tls_errc::client_certificate_unknown_authority;
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN: return tls_errc::client_certificate_refused;
    case SSL_AD_ACCESS_DENIED: return tls_errc::access_denied;
    case SSL_AD_INTERNAL_ERROR:
    case SSL_AD_USER_CANCELLED: return tls_errc::server_error;
    default: return tls_errc::protocol_error;
    }
}

// The meaning of an error that this side has found.
inline tls_errc tls_local_error(int reason) noexcept {
    switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE: return tls_errc::unsupported_version;
    case SSL_R_NO_CIPHERS_AVAILABLE:
    case SSL_R_WRONG_CIPHER_RETURNED:
    case SSL_R_UNKNOWN_CIPHER_RETURNED:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED: return tls_errc::no_common_algorithm;
    case SSL_R_DH_KEY_TOO_SMALL:
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
    case SSL_R_CA_MD_TOO_WEAK: return tls_errc::key_too_weak;
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC: return tls_errc::corrupted_record;
    default: return tls_errc::protocol_error;
    }
}

/// Why a call has failed.
struct tls_failure {
    tls_errc error = tls_errc::none;
    int alert = -1; ///< that the server has sent; -1 without one
};

/// The reason for a failed call, of the connection and the thread's queue of errors, which it empties.
inline tls_failure tls_failure_of(const SSL* ssl) {
    // Other libraries of OpenSSL report details of an error before the first error of the SSL library.
    int reason = 0;
    while (const unsigned long error = ERR_get_error()) {
        if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE) throw std::bad_alloc();
        if (reason == 0 && ERR_GET_LIB(error) == ERR_LIB_SSL) reason = ERR_GET_REASON(error);
    }
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) return {tls_verification_error(SSL_get_verify_result(ssl))};
    if (reason < SSL_AD_REASON_OFFSET) return {tls_local_error(reason)};
    const int alert = reason - SSL_AD_REASON_OFFSET;
    return {tls_alert_error(alert), alert};
}

} // namespace tern::detail
