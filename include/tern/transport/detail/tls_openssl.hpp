// What Tern needs of OpenSSL (1.1.1 and newer) in general: owners of its objects, and its queue of errors.
#pragma once

#if defined(_WIN32)
#include <asio/ip/tcp.hpp> // includes the headers of Windows in the way that Asio needs

#include <wincrypt.h> // defines macros that collide with names of OpenSSL, whose headers remove them
#endif

#include <memory>
#include <new>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string>
#include <string_view>
#include <utility>

#if OPENSSL_VERSION_NUMBER < 0x10101000L
#error "Tern needs OpenSSL 1.1.1 or newer"
#endif

namespace tern::detail {

template <auto Free>
struct openssl_deleter {
    template <class T>
    void operator()(T* object) const noexcept {
        Free(object);
    }
};

using bio_ptr = std::unique_ptr<BIO, openssl_deleter<&BIO_free>>;
using bio_method_ptr = std::unique_ptr<BIO_METHOD, openssl_deleter<&BIO_meth_free>>;
using pkey_ptr = std::unique_ptr<EVP_PKEY, openssl_deleter<&EVP_PKEY_free>>;
using ssl_ctx_ptr = std::unique_ptr<SSL_CTX, openssl_deleter<&SSL_CTX_free>>;
using ssl_ptr = std::unique_ptr<SSL, openssl_deleter<&SSL_free>>;
using ssl_session_ptr = std::unique_ptr<SSL_SESSION, openssl_deleter<&SSL_SESSION_free>>;
using x509_ptr = std::unique_ptr<X509, openssl_deleter<&X509_free>>;
using x509_crl_ptr = std::unique_ptr<X509_CRL, openssl_deleter<&X509_CRL_free>>;

/// Empties the thread's queue of errors at the beginning and at the end of a call. SSL_get_error looks at the queue,
/// and another user of OpenSSL may have left an error in it.
class error_queue_scope {
public:
    error_queue_scope() noexcept { empty(); }
    ~error_queue_scope() { empty(); }
    error_queue_scope(const error_queue_scope&) = delete;
    error_queue_scope& operator=(const error_queue_scope&) = delete;

private:
    static void empty() noexcept {
        if (ERR_peek_error() != 0) ERR_clear_error();
    }
};

/// Throws if the pointer is null. OpenSSL's functions that create an object fail when memory runs out.
template <class Pointer>
Pointer require_memory(Pointer object) {
    if (!object) throw std::bad_alloc();
    return object;
}

/// Whether a call failed because memory ran out.
inline bool is_out_of_memory() noexcept {
    return ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
}

/// The reason for a failed call of OpenSSL: `error`, or an exception if memory ran out.
template <class Error>
Error reason_of_failure(Error error) {
    if (is_out_of_memory()) throw std::bad_alloc();
    return error;
}

/// A BIO that reads the text. It borrows.
inline bio_ptr make_bio(std::string_view text) {
    const char* begin = text.empty() ? "" : text.data();
    return require_memory(bio_ptr(BIO_new_mem_buf(begin, static_cast<int>(text.size()))));
}

/// Text that is overwritten before its memory is freed.
class secret_text {
public:
    secret_text() = default;
    explicit secret_text(std::string text) noexcept : text_(std::move(text)) {}
    ~secret_text() { OPENSSL_cleanse(text_.data(), text_.size()); }
    secret_text(const secret_text&) = delete;
    secret_text& operator=(const secret_text&) = delete;

    std::string_view view() const noexcept { return text_; }

private:
    std::string text_;
};

} // namespace tern::detail
