// A socket of Asio with OpenSSL above it, for the limit: as few calls as possible, no handling of errors. It reads and
// writes many records with one system call.
#ifndef TERN_BENCHMARKS_SUPPORT_TLS_SOCKET_HPP
#define TERN_BENCHMARKS_SUPPORT_TLS_SOCKET_HPP

#include "support/bench.hpp"

#include <asio.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <openssl/ssl.h>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace bench {

class tls_socket {
public:
    using executor_type = asio::ip::tcp::socket::executor_type;

    explicit tls_socket(asio::io_context& io) : next_(io) {}

    executor_type get_executor() { return next_.get_executor(); }

    template <class Option>
    void set_option(const Option& option) {
        next_.set_option(option);
    }

    // Connects, and verifies the server's certificate.
    void connect(const asio::ip::tcp::endpoint& where, const std::string& ca) {
        SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
        if (SSL_CTX_load_verify_locations(context, ca.c_str(), nullptr) != 1) fail("no authority in " + ca);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
        ssl_.reset(SSL_new(context));
        SSL_CTX_free(context); // the SSL keeps it
        SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        next_.connect(where);
        for (;;) {
            const int result = SSL_connect(ssl_.get());
            asio::write(next_, take_output());
            if (result == 1) break;
            if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) fail("the TLS handshake has failed");
            take_input(next_.read_some(asio::buffer(raw_in_)));
        }
    }

    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, std::error_code& error) {
        const std::size_t count = encrypt(buffers);
        asio::write(next_, take_output(), error);
        return count;
    }

    std::size_t read_some(asio::mutable_buffer into) {
        for (;;) {
            if (const std::size_t count = decrypt(into); count != 0) return count;
            take_input(next_.read_some(asio::buffer(raw_in_)));
        }
    }

    template <class Buffers, class Handler>
    void async_write_some(const Buffers& buffers, Handler&& handler) {
        const std::size_t count = encrypt(buffers);
        asio::async_write(next_, take_output(),
                          [count, h = std::forward<Handler>(handler)](const std::error_code& e, std::size_t) mutable {
                              h(e, count);
                          });
    }

    template <class Handler>
    void async_read_some(asio::mutable_buffer into, Handler&& handler) {
        if (const std::size_t count = decrypt(into); count != 0)
            return asio::post(next_.get_executor(),
                              [count, h = std::forward<Handler>(handler)]() mutable { h(std::error_code(), count); });
        read_raw(into, std::forward<Handler>(handler));
    }

private:
    struct deleter {
        void operator()(SSL* ssl) const { SSL_free(ssl); }
    };

    template <class Handler>
    void read_raw(asio::mutable_buffer into, Handler&& handler) {
        next_.async_read_some(asio::buffer(raw_in_), [this, into, h = std::forward<Handler>(handler)](
                                                         const std::error_code& e, std::size_t bytes) mutable {
            take_input(bytes);
            const std::size_t count = e ? 0 : decrypt(into);
            if (!e && count == 0) return read_raw(into, std::move(h));
            h(e, count);
        });
    }

    void take_input(std::size_t bytes) { BIO_write(SSL_get_rbio(ssl_.get()), raw_in_.data(), static_cast<int>(bytes)); }

    // The encrypted bytes. BIO_reset would overwrite the memory of the BIO with zeros.
    asio::const_buffer take_output() {
        const std::size_t count = BIO_ctrl_pending(SSL_get_wbio(ssl_.get()));
        if (raw_out_.size() < count) raw_out_.resize(count);
        BIO_read(SSL_get_wbio(ssl_.get()), raw_out_.data(), static_cast<int>(count));
        return asio::buffer(raw_out_.data(), count);
    }

    // Several buffers become one, since each write of OpenSSL begins a record.
    template <class Buffers>
    std::size_t encrypt(const Buffers& buffers) {
        asio::const_buffer whole;
        for (auto i = asio::buffer_sequence_begin(buffers); i != asio::buffer_sequence_end(buffers); ++i) {
            const asio::const_buffer part(*i);
            if (part.size() == asio::buffer_size(buffers)) whole = part;
        }
        if (whole.size() == 0) {
            gathered_.resize(asio::buffer_size(buffers));
            asio::buffer_copy(asio::buffer(gathered_), buffers);
            whole = asio::buffer(gathered_);
        }
        std::size_t count = 0;
        if (SSL_write_ex(ssl_.get(), whole.data(), whole.size(), &count) != 1) fail("SSL_write_ex");
        return count;
    }

    std::size_t decrypt(asio::mutable_buffer into) {
        std::size_t total = 0;
        std::size_t count = 0;
        while (total != into.size() &&
               SSL_read_ex(ssl_.get(), static_cast<char*>(into.data()) + total, into.size() - total, &count) == 1)
            total += count;
        return total;
    }

    asio::ip::tcp::socket next_;
    std::unique_ptr<SSL, deleter> ssl_;
    std::vector<char> raw_in_ = std::vector<char>(80 * 1024);
    std::vector<char> raw_out_; // is being written
    std::vector<char> gathered_;
};

} // namespace bench

#endif
