// A server in a network in memory that speaks TLS with clients, and passes their bytes on to a plain server.
#pragma once

#include "peer.hpp"
#include "tern/testing/link.hpp"
#include "tern/testing/network.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tls_test {

/// One connection: `outer` to the client, `inner` to the plain server.
class terminated : public std::enable_shared_from_this<terminated> {
public:
    terminated(tern::testing::network& net, tern::testing::link stream, std::shared_ptr<SSL_CTX> keys)
        : outer_(std::move(stream))
        , inner_(net)
        , tls_(std::move(keys)) {}

    void start(std::string_view inner_host) {
        inner_.async_open({.host = inner_host}, {}, [self = shared_from_this()](std::error_code error) {
            if (error) return self->close();
            self->read_outer();
            self->read_inner();
        });
    }

private:
    void read_outer() {
        outer_.async_read_some(
            asio::buffer(from_outer_),
            [self = shared_from_this()](std::error_code error, std::size_t count) { self->on_outer(error, count); });
    }
    void on_outer(const std::error_code& error, std::size_t count) {
        if (error) return close();
        tls_.receive({from_outer_.data(), count});
        to_inner_ += tls_.take_received();
        write_outer();
        write_inner();
        if (tls_.has_failed() && to_outer_.empty() && !is_writing_outer_) return close();
        if (tls_.has_seen_close_notify()) return inner_.shutdown_send();
        read_outer();
    }

    void read_inner() {
        inner_.async_read_some(
            asio::buffer(from_inner_),
            [self = shared_from_this()](std::error_code error, std::size_t count) { self->on_inner(error, count); });
    }
    void on_inner(const std::error_code& error, std::size_t count) {
        if (error)
            tls_.shutdown();
        else
            tls_.send({from_inner_.data(), count});
        is_ended_ = static_cast<bool>(error);
        write_outer();
        if (!error) read_inner();
    }

    void write_outer() {
        to_outer_ += tls_.output();
        if (is_writing_outer_) return;
        if (to_outer_.empty()) {
            if (is_ended_ || tls_.has_failed()) outer_.shutdown_send();
            return;
        }
        is_writing_outer_ = true;
        writing_outer_ = std::exchange(to_outer_, {});
        asio::async_write(outer_, asio::buffer(writing_outer_),
                          [self = shared_from_this()](std::error_code error, std::size_t) {
                              self->is_writing_outer_ = false;
                              if (error) return self->close();
                              self->write_outer();
                          });
    }
    void write_inner() {
        if (is_writing_inner_ || to_inner_.empty()) return;
        is_writing_inner_ = true;
        writing_inner_ = std::exchange(to_inner_, {});
        asio::async_write(inner_, asio::buffer(writing_inner_),
                          [self = shared_from_this()](std::error_code error, std::size_t) {
                              self->is_writing_inner_ = false;
                              if (error) return self->close();
                              self->write_inner();
                          });
    }
    void close() {
        outer_.close();
        inner_.close();
    }

    tern::testing::link outer_;
    tern::testing::link inner_;
    tls_server tls_;
    std::array<char, 20'000> from_outer_{};
    std::array<char, 20'000> from_inner_{};
    std::string to_outer_;
    std::string writing_outer_;
    std::string to_inner_;
    std::string writing_inner_;
    bool is_writing_outer_ = false;
    bool is_writing_inner_ = false;
    bool is_ended_ = false; // the plain server has ended its direction
};

/// Listens at `host`, and passes connections on to `inner_host`.
inline void listen_with_tls(tern::testing::network& net, const std::string& host, const std::string& inner_host,
                            std::shared_ptr<SSL_CTX> keys) {
    net.listen(host, [&net, inner_host, keys](tern::testing::link stream) {
        std::make_shared<terminated>(net, std::move(stream), keys)->start(inner_host);
    });
}

} // namespace tls_test
