// A TLS client without I/O: it turns received bytes into plain ones, and plain bytes into records to be sent.
//
//     negotiating --the handshake ends, the server is verified--> ready
//     ready --close_notify, or an error--> failed
//     negotiating --an error--> failed
//
// A failed machine still has output: the alert that reports the error to the server.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/transport/detail/tls_bio.hpp"
#include "tern/transport/detail/tls_connection.hpp"
#include "tern/transport/detail/tls_context.hpp"
#include "tern/transport/detail/tls_failure.hpp"
#include "tern/transport/detail/tls_openssl.hpp"
#include "tern/transport/detail/tls_pieces.hpp"
#include "tern/transport/detail/tls_session.hpp"
#include "tern/transport/tls_context.hpp"
#include "tern/transport/tls_error.hpp"
#include "tern/transport/tls_options.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

/// The machine of one connection.
class tls_machine {
public:
    /// The options of connections, and the session of the last one. Without `sessions` there is no resumption.
    struct settings {
        tls_context context = {};
        std::shared_ptr<tls_session_store> sessions = std::make_shared<tls_session_store>();
    };

    // For the layer: the phase and the time limit of the handshake.
    static constexpr connection_phase phase = connection_phase::securing;
    static constexpr errc late = errc::tls_timeout;
    static constexpr tls_errc closed_early = tls_errc::closed_in_handshake;
    static std::chrono::milliseconds limit(const open_timeouts& timeouts) noexcept { return timeouts.tls; }

    /// Throws `std::system_error` if the options or the host do not allow a connection. A session that fits is resumed;
    /// the session of this connection is stored when it ends.
    TERN_COLD tls_machine(const settings& s, const endpoint& where)
        : setup_(load(s.context))
        , sessions_(s.sessions)
        , host_(where.host)
        , port_(where.port) {
        require(make_ssl(*setup_, host_, ssl_));
        bio_ptr bio = make_tls_bio(bytes_);
        SSL_set_bio(ssl_.get(), bio.get(), bio.get());
        static_cast<void>(bio.release()); // the SSL owns it
        offer_session();
        negotiate();
        require(failure_);
    }

    tls_machine(const tls_machine&) = delete;
    tls_machine& operator=(const tls_machine&) = delete;

    TERN_COLD ~tls_machine() {
        const error_queue_scope errors;
        if (uses_resumption()) store_session();
        // Otherwise SSL_free would mark the session as not resumable, because no close_notify was exchanged.
        SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }

    /// The bytes to be written to the next layer. They stay where they are until `commit_output`.
    std::string_view output() noexcept { return bytes_.output(); }

    /// `count` bytes of `output()` were written. Returns how many of the bytes that `write` took are now in complete
    /// records that were written.
    std::size_t commit_output(std::size_t count) noexcept {
        bytes_.commit(count);
        offered_.reset();
        std::size_t plain = 0;
        while (first_record_ != last_record_ && records_[first_record_].end <= bytes_.committed())
            plain += records_[first_record_++].plain;
        if (first_record_ == last_record_) first_record_ = last_record_ = 0;
        return plain;
    }

    /// Whether the handshake has ended and the server is verified.
    bool is_ready() const noexcept { return is_ready_; }

    /// Whether the connection continues the session of an earlier one.
    bool is_resumed() const noexcept { return is_ready_ && SSL_session_reused(ssl_.get()) == 1; }

    /// Takes all of `raw`, writes decrypted bytes to `plain` and returns their number. The error is set if there are no
    /// bytes and the stream has ended: `asio::error::eof` after close_notify, otherwise the reason.
    std::size_t read(std::string_view raw, std::span<char> plain, std::error_code& error) {
        error.clear();
        std::size_t count = 0;
        try {
            if (!failure_) count = process(raw, plain);
        } catch (const std::bad_alloc&) {
            fail_without_memory();
            throw;
        }
        if (count == 0) error = failure_;
        return count;
    }

    /// Whether `read({}, plain, error)` would return bytes or an error.
    bool has_plain() const noexcept { return failure_ || (is_ready_ && SSL_pending(ssl_.get()) > 0); }

    /// Encrypts bytes, at most `most_records` records of them, and returns their number. 0 if the connection has
    /// failed, which `read` reports, or if a message of the handshake was received in part: OpenSSL encrypts nothing
    /// before its end. It is called only when the bytes of earlier calls have been passed on.
    template <class Buffers>
    std::size_t write(const Buffers& buffers) {
        std::array<asio::const_buffer, most_pieces> pieces;
        std::size_t count = 0;
        const auto end = asio::buffer_sequence_end(buffers);
        for (auto i = asio::buffer_sequence_begin(buffers); i != end && count != most_pieces; ++i)
            pieces[count++] = *i;
        try {
            return write_pieces(std::span(pieces).first(count));
        } catch (const std::bad_alloc&) {
            fail_without_memory();
            throw;
        }
    }

    /// Appends close_notify.
    void shutdown() {
        if (!can_write()) return;
        const error_queue_scope errors;
        SSL_shutdown(ssl_.get());
        require_output();
    }

    /// Frees buffers that hold nothing.
    void trim() noexcept { bytes_.trim(); }

private:
    static constexpr std::size_t most_records = 4;
    static constexpr std::size_t most_pieces = 16;
    static constexpr std::size_t most_unsent_bytes = 128 * 1024;

    // A record that was not yet written whole.
    struct record {
        std::uint64_t end = 0; // the position of its end in the output
        std::size_t plain = 0; // how many bytes of `write` it contains
    };

    static std::shared_ptr<const tls_setup> load(const tls_context& context) {
        std::error_code error;
        auto setup = context.load(error);
        require(error);
        return setup;
    }

    static void require(const std::error_code& error) {
        if (error) throw std::system_error(error);
    }
    static void require(tls_errc error) {
        if (error != tls_errc::none) throw std::system_error(error);
    }

    bool uses_resumption() const noexcept {
        return sessions_ && setup_->options->resumption == tls_resumption::enabled;
    }

    void offer_session() {
        if (!uses_resumption()) return;
        const error_queue_scope errors;
        offered_ = sessions_->take(setup_, host_, port_);
        if (offered_) SSL_set_session(ssl_.get(), offered_.get());
    }

    // Stores the session of this connection, or the offered one, if it has not left.
    TERN_COLD void store_session() noexcept {
        ssl_session_ptr session = is_ready_ ? ssl_session_ptr(SSL_get1_session(ssl_.get())) : std::move(offered_);
        try {
            sessions_->put(std::move(session), setup_, host_, port_);
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): the next connection is not resumed
        }
    }

    std::size_t process(std::string_view raw, std::span<char> plain) {
        check_protocol(raw);
        if (failure_) return 0;
        bytes_.receive(raw);
        if (!is_ready_) negotiate();
        const std::size_t count = can_read() ? decrypt(plain) : 0;
        if (can_read()) look_ahead();
        bytes_.keep_rest();
        // A peer that asks for answers and does not read them would fill the memory.
        if (!failure_ && bytes_.unsent() > most_unsent_bytes) failure_ = tls_errc::protocol_error;
        return count;
    }

    // The state of the SSL and what was written are unknown.
    TERN_COLD void fail_without_memory() noexcept {
        failure_ = std::make_error_code(std::errc::not_enough_memory);
        bytes_.receive({});
        first_record_ = last_record_ = 0;
    }

    // The first bytes of a record are its type, alert or handshake, and the major version 3. OpenSSL reports anything
    // else as a wrong version, and only when it has read five bytes.
    void check_protocol(std::string_view raw) noexcept {
        for (const char c : raw.substr(0, 2)) {
            if (checked_bytes_ == 2) return;
            const bool is_tls = checked_bytes_ == 0 ? c == SSL3_RT_ALERT || c == SSL3_RT_HANDSHAKE : c == 3;
            if (!is_tls) failure_ = tls_errc::not_tls;
            ++checked_bytes_;
        }
    }

    void negotiate() {
        const error_queue_scope errors;
        const int result = SSL_do_handshake(ssl_.get());
        if (result != 1) return on_stopped(result);
        const tls_errc refused = verify_result();
        if (refused == tls_errc::none)
            is_ready_ = true;
        else
            failure_ = refused;
    }

    // OpenSSL has verified the certificate during the handshake. An SSL_CTX of the application may allow servers
    // without certificates, or have functions that accept any.
    tls_errc verify_result() const {
        if (setup_->options->verification == tls_verification::none_insecure) return tls_errc::none;
        const tls_errc result = tls_verification_error(SSL_get_verify_result(ssl_.get()));
        if (result != tls_errc::none) return result;
        const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl_.get());
        const bool knows_psk = SSL_CIPHER_get_auth_nid(cipher) == NID_auth_psk;
        if (knows_psk || SSL_session_reused(ssl_.get()) == 1 || has_peer_certificate()) return tls_errc::none;
        return tls_errc::no_certificate;
    }

    bool has_peer_certificate() const noexcept {
        const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl_.get());
        return chain != nullptr && sk_X509_num(chain) > 0;
    }

    bool can_read() const noexcept { return is_ready_ && !failure_; }
    // The server's close_notify ends its direction only.
    bool can_write() const noexcept { return is_ready_ && (!failure_ || failure_ == asio::error::eof); }

    std::size_t write_pieces(std::span<const asio::const_buffer> pieces) {
        assert(last_record_ == 0);
        tls_pieces reader(pieces);
        std::size_t total = 0;
        while (last_record_ != most_records && can_write()) {
            char gathered[tls_pieces::record_bytes];
            const std::string_view plain = reader.next(gathered);
            if (plain.empty()) break;
            const std::size_t done = encrypt(plain);
            if (done == 0) break;
            total += done;
        }
        return total;
    }

    std::size_t decrypt(std::span<char> plain) {
        std::size_t count = 0;
        while (!failure_ && count != plain.size() && (bytes_.has_received() || SSL_pending(ssl_.get()) > 0)) {
            const error_queue_scope errors;
            std::size_t done = 0;
            const int result = SSL_read_ex(ssl_.get(), plain.data() + count, plain.size() - count, &done);
            if (result != 1) on_stopped(result);
            count += done;
        }
        return count;
    }

    // Processes records until one with plain bytes, so that `has_plain` is exact, and sends what records ask for.
    void look_ahead() {
        if (bytes_.has_received() && SSL_pending(ssl_.get()) == 0) {
            const error_queue_scope errors;
            char first = 0;
            std::size_t done = 0;
            const int result = SSL_peek_ex(ssl_.get(), &first, 1, &done);
            if (result != 1) on_stopped(result);
        }
        if (!failure_ && SSL_get_key_update_type(ssl_.get()) != SSL_KEY_UPDATE_NONE) answer_key_update();
    }

    // The server asks for it with a KeyUpdate (RFC 8446 §4.6.3). OpenSSL would wait for the next write.
    void answer_key_update() {
        const error_queue_scope errors;
        if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1) return;
        const int result = SSL_do_handshake(ssl_.get());
        if (result != 1) on_stopped(result);
    }

    std::size_t encrypt(std::string_view plain) {
        const error_queue_scope errors;
        std::size_t done = 0;
        const int result = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &done);
        if (result != 1) on_stopped(result);
        if (done != 0) records_[last_record_++] = {bytes_.end(), done};
        return done;
    }

    // Finds out why a call of OpenSSL has not succeeded.
    void on_stopped(int result) {
        require_output();
        switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ: return;
        case SSL_ERROR_ZERO_RETURN: failure_ = asio::error::eof; return;
        default: failure_ = explain(tls_failure_of(ssl_.get()));
        }
    }

    // Makes an alert with several meanings more exact.
    tls_errc explain(const tls_failure& failure) const noexcept {
        const STACK_OF(X509_NAME)* authorities = SSL_get0_peer_CA_list(ssl_.get());
        const bool is_certificate_requested = authorities != nullptr;
        switch (is_ready_ ? -1 : failure.alert) {
        case SSL_AD_HANDSHAKE_FAILURE: // TLS 1.2 has no alert for a missing certificate
            if (is_certificate_requested && SSL_get_certificate(ssl_.get()) == nullptr)
                return tls_errc::client_certificate_required;
            [[fallthrough]];
        case SSL_AD_BAD_RECORD_MAC: // the keys of the sides differ
        case SSL_AD_DECRYPT_ERROR:
        case SSL_AD_ILLEGAL_PARAMETER:
            if (setup_->options->psk && !is_certificate_requested) return tls_errc::psk_refused;
            return failure.error;
        default: return failure.error;
        }
    }

    void require_output() const {
        if (bytes_.memory_is_exhausted()) throw std::bad_alloc();
    }

    std::shared_ptr<const tls_setup> setup_;
    std::shared_ptr<tls_session_store> sessions_; // null: no resumption
    ssl_session_ptr offered_;                     // until the first byte has left
    std::string host_;
    std::uint16_t port_;
    tls_bytes bytes_;
    ssl_ptr ssl_;
    std::error_code failure_; // the reason why the stream has ended
    std::array<record, most_records> records_ = {};
    std::size_t first_record_ = 0;
    std::size_t last_record_ = 0;
    std::size_t checked_bytes_ = 0; // of the first two of the stream
    bool is_ready_ = false;
};

} // namespace tern::detail
