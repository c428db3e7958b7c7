// Makes the SSL_CTX that connections with the same options share.
#pragma once

#include "tern/transport/detail/tls_identity.hpp"
#include "tern/transport/detail/tls_openssl.hpp"
#include "tern/transport/detail/tls_trust.hpp"
#include "tern/transport/tls_error.hpp"
#include "tern/transport/tls_options.hpp"

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

/// The options of connections, and the SSL_CTX made from them. It does not change, so threads may share it.
struct tls_setup {
    std::shared_ptr<const tls_options> options;
    std::shared_ptr<SSL_CTX> context;
};

// The SSL_CTX of Tern stores a pointer to its options here.
inline int options_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

// Passes a line on. OpenSSL is C, so no exception may leave.
inline void log_keys(const SSL* ssl, const char* line) {
    const auto* options = static_cast<tls_options*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), options_index()));
    try {
        options->key_log(line);
    } catch (...) { // NOLINT(bugprone-empty-catch): the log is incomplete then
    }
}

// Which options are settings of the SSL_CTX. They cannot be combined with an SSL_CTX of the application.
inline bool has_context_options(const tls_options& o) {
    return !o.ca_file.empty() || !o.ca_directory.empty() || !o.ca_pem.empty() || !o.crl_file.empty() ||
           !o.crl_pem.empty() || !o.certificate_file.empty() || !o.certificate_pem.empty() || !o.key_file.empty() ||
           !o.key_pem.empty() || o.key_log;
}

inline tls_errc configure(SSL_CTX* context, const tls_options& options) {
    // Files are not checked in insecure mode either, where authorities have no effect.
    tls_errc error = tls_errc::none;
    if (options.verification != tls_verification::none_insecure) {
        error = load_authorities(context, options);
        if (error == tls_errc::none) error = load_revocation_lists(context, options);
    }
    if (error == tls_errc::none) error = load_identity(context, options);
    // The session of a connection is stored with its transport, see tls_session.hpp.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (options.key_log) {
        if (SSL_CTX_set_ex_data(context, options_index(), const_cast<tls_options*>(&options)) != 1)
            throw std::bad_alloc();
        SSL_CTX_set_keylog_callback(context, &log_keys);
    }
    return error;
}

/// Makes the SSL_CTX, or sets the error.
inline std::shared_ptr<const tls_setup> make_tls_setup(const std::shared_ptr<const tls_options>& options,
                                                       std::error_code& error) {
    const error_queue_scope errors;
    auto setup = std::make_shared<tls_setup>();
    setup->options = options;
    if (options->own_context) {
        if (has_context_options(*options)) error = tls_errc::conflicting_options;
        setup->context = options->own_context;
    } else {
        setup->context = std::shared_ptr<SSL_CTX>(require_memory(ssl_ctx_ptr(SSL_CTX_new(TLS_client_method()))));
        const tls_errc reason = configure(setup->context.get(), *options);
        if (reason != tls_errc::none) error = reason;
    }
    return error ? nullptr : setup;
}

/// The state of the files of options, to notice that they have changed.
class tls_file_stamps {
public:
    tls_file_stamps() = default;
    explicit tls_file_stamps(const tls_options& o)
        : stamps_{stamp(o.ca_file), stamp(o.crl_file), stamp(o.certificate_file), stamp(o.key_file)} {}

    friend bool operator==(const tls_file_stamps&, const tls_file_stamps&) = default;

private:
    struct file_stamp {
        std::filesystem::file_time_type modified = {};
        std::uintmax_t size = 0;

        friend bool operator==(const file_stamp&, const file_stamp&) = default;
    };

    static file_stamp stamp(const std::filesystem::path& file) {
        if (file.empty()) return {};
        std::error_code is_missing;
        return {std::filesystem::last_write_time(file, is_missing), std::filesystem::file_size(file, is_missing)};
    }

    std::array<file_stamp, 4> stamps_;
};

} // namespace tern::detail
