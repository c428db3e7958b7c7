// An MQTT broker inside the process, for tests and demos. detail/ has the protocol, this file the I/O with Asio.
#pragma once

#include "tern/message.hpp"
#include "tern/testing/broker_options.hpp"
#include "tern/testing/detail/broker_conversation.hpp"
#include "tern/testing/detail/broker_core.hpp"
#include "tern/testing/detail/broker_timer.hpp"
#include "tern/testing/virtual_clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/ip/address_v4.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::testing {
namespace detail {

class broker_connection_base {
public:
    virtual ~broker_connection_base() = default;
    virtual void close() = 0;
};

inline void half_close(asio::ip::tcp::socket& socket) {
    std::error_code ignored;
    socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}
inline void full_close(asio::ip::tcp::socket& socket) {
    std::error_code ignored;
    socket.close(ignored);
}
template <class Stream>
void half_close(Stream& stream) {
    stream.shutdown_send();
}
template <class Stream>
void full_close(Stream& stream) {
    stream.close();
}

// The state that handlers share. It outlives the broker as long as a handler is outstanding.
class broker_server : public std::enable_shared_from_this<broker_server> {
public:
    broker_server(const asio::any_io_executor& executor, broker_options options, std::optional<virtual_clock> clock)
        : core(std::move(options))
        , acceptor_(executor)
        , clock_(std::move(clock))
        , timer_(executor, clock_) {}

    asio::any_io_executor get_executor() { return acceptor_.get_executor(); }
    broker_time now() const noexcept { return clock_ ? clock_->now() : std::chrono::steady_clock::now(); }
    broker_timer make_timer(const asio::any_io_executor& executor) const { return {executor, clock_}; }

    std::uint16_t listen(std::uint16_t port_number) {
        if (!acceptor_.is_open()) {
            const asio::ip::tcp::endpoint loopback(asio::ip::address_v4::loopback(), port_number);
            asio::ip::tcp::acceptor acceptor(get_executor(), loopback.protocol());
#if !defined(_WIN32) // where the option takes the port from another program
            // A given port is free again as soon as the broker that had it before is closed.
            if (port_number != 0) acceptor.set_option(asio::socket_base::reuse_address(true));
#endif
            acceptor.bind(loopback);
            acceptor.listen();
            acceptor_ = std::move(acceptor);
            accept();
        }
        return port();
    }
    std::uint16_t port() const {
        std::error_code not_open;
        return acceptor_.local_endpoint(not_open).port();
    }

    template <class Stream>
    void serve(Stream stream);

    // Starts the timer for the next event without a packet: a delayed will or an expired session.
    void update() {
        const auto next = closed_ ? std::nullopt : core.next_deadline();
        if (next == timer_deadline_) return;
        timer_deadline_ = next;
        timer_.cancel();
        if (!next) return;
        timer_.start(*next, [self = shared_from_this()](std::error_code error) {
            if (error || self->closed_) return;
            self->timer_deadline_.reset();
            self->core.on_deadline(self->now());
            self->update();
        });
    }

    void close() {
        closed_ = true;
        std::error_code ignored;
        acceptor_.close(ignored);
        timer_.cancel();
        for (const auto& each : std::exchange(connections_, {}))
            if (const auto connection = each.lock()) connection->close();
    }
    bool is_closed() const noexcept { return closed_; }

    broker_core core;

private:
    void accept() {
        acceptor_.async_accept([self = shared_from_this()](std::error_code error, asio::ip::tcp::socket socket) {
            if (self->closed_) return;
            if (!error) {
                std::error_code ignored;
                socket.set_option(asio::ip::tcp::no_delay(true), ignored);
                self->serve(std::move(socket));
            }
            if (error != asio::error::no_descriptors) // this error would repeat immediately
                self->accept();
        });
    }

    asio::ip::tcp::acceptor acceptor_;
    std::optional<virtual_clock> clock_;
    broker_timer timer_;
    std::optional<broker_time> timer_deadline_;
    std::vector<std::weak_ptr<broker_connection_base>> connections_;
    bool closed_ = false;
};

// One connection: passes received bytes to the conversation and writes the link's output.
//
// It closes in two steps, so that the last bytes arrive and bytes after the client's DISCONNECT are detected. It shuts
// down sending when all output is written. Then it reads until the client closes its side, at most `linger_time`.
template <class Stream>
class broker_connection : public broker_connection_base,
                          public std::enable_shared_from_this<broker_connection<Stream>> {
public:
    broker_connection(std::shared_ptr<broker_server> server, Stream stream)
        : server_(std::move(server))
        , stream_(std::move(stream))
        , timer_(server_->make_timer(stream_.get_executor()))
        , conversation_(server_->core, server_->now()) {}

    void start() {
        conversation_.link().on_change = [this] { post_flush(); };
        read();
        update();
    }

    void close() override {
        if (std::exchange(closed_, true)) return;
        full_close(stream_);
        timer_.cancel();
        if (!server_->is_closed()) {
            conversation_.on_lost(server_->now());
            server_->update();
        }
    }

private:
    static constexpr std::size_t output_limit = 1 << 20;
    static constexpr std::chrono::seconds linger_time{1};

    // Stops reading while a client does not read its output (back-pressure).
    void read() {
        if (reading_ || closed_ || (conversation_.link().output_size() > output_limit && writing_)) return;
        reading_ = true;
        stream_.async_read_some(
            asio::buffer(input_),
            [self = this->shared_from_this()](std::error_code error, std::size_t size) { self->on_read(error, size); });
    }
    void on_read(std::error_code error, std::size_t size) {
        reading_ = false;
        if (closed_) return;
        try {
            conversation_.on_bytes({input_.data(), size}, server_->now());
        } catch (...) { // a function of the options has thrown; the exception goes to the executor's run()
            close();
            throw;
        }
        if (error) return close();
        update();
        read();
    }

    void post_flush() {
        if (std::exchange(flush_posted_, true)) return;
        asio::post(stream_.get_executor(), [self = this->shared_from_this()] {
            self->flush_posted_ = false;
            self->flush();
        });
    }
    void flush() {
        broker_link& link = conversation_.link();
        if (link.is_cut()) return close();
        if (closed_ || writing_) return;
        if (link.is_ended() && !linger_deadline_) {
            linger_deadline_ = server_->now() + linger_time;
            update();
        }
        output_ = link.take_output();
        written_ = 0;
        if (!output_.empty())
            write();
        else if (link.is_ended())
            half_close(stream_);
    }
    void write() {
        writing_ = true;
        stream_.async_write_some(asio::buffer(output_) + written_,
                                 [self = this->shared_from_this()](std::error_code error, std::size_t size) {
                                     self->writing_ = false;
                                     self->on_written(error, size);
                                 });
    }
    void on_written(std::error_code error, std::size_t size) {
        if (closed_) return;
        if (error) return close();
        written_ += size;
        if (written_ != output_.size()) return write();
        flush();
        read();
    }

    // Starts the timer. A deadline that has become later is noticed when the timer fires.
    void update() {
        server_->update();
        const auto next = linger_deadline_ ? linger_deadline_ : conversation_.deadline();
        if (closed_ || !next || (timer_deadline_ && *timer_deadline_ <= *next)) return;
        timer_deadline_ = next;
        timer_.start(*next, [self = this->shared_from_this()](std::error_code error) {
            if (!error && !self->closed_) self->on_timer(self->server_->now());
        });
    }
    void on_timer(broker_time now) {
        timer_deadline_.reset();
        if (linger_deadline_ && *linger_deadline_ <= now) return close();
        conversation_.on_deadline(now);
        update();
    }

    std::shared_ptr<broker_server> server_;
    Stream stream_;
    broker_timer timer_;
    broker_conversation conversation_;
    std::array<char, 16 * 1024> input_;
    std::string output_;
    std::size_t written_ = 0;
    std::optional<broker_time> timer_deadline_;
    std::optional<broker_time> linger_deadline_;
    bool reading_ = false;
    bool writing_ = false;
    bool flush_posted_ = false;
    bool closed_ = false;
};

template <class Stream>
void broker_server::serve(Stream stream) {
    std::erase_if(connections_, [](const auto& each) { return each.expired(); });
    const auto connection = std::make_shared<broker_connection<Stream>>(shared_from_this(), std::move(stream));
    connections_.push_back(connection);
    connection->start();
}

// Serves any stream. A stream that arrives after the broker has closed is dropped.
struct broker_acceptor {
    template <class Stream>
    void operator()(Stream stream) const {
        const auto alive = server.lock();
        if (alive && !alive->is_closed()) alive->serve(std::move(stream));
    }
    std::weak_ptr<broker_server> server;
};

} // namespace detail

/// An MQTT broker inside the process, for tests and demos, not for production.
///
/// It implements 3.1.1 and 5.0 with sessions, retained messages, wills, QoS 0 to 2, wildcards and shared subscriptions.
/// All state is in memory and unlimited. The broker checks every received packet against the standard. It appends a
/// violation to `violations()`, with the statement of the standard, and disconnects the client. A violation is reported
/// only if it is certain. A client that sends nothing for one and a half times its keep alive is therefore disconnected
/// without a violation, because the network may have lost its packets. The broker itself conforms to the standard, and
/// answers immediately.
///
/// The broker runs on its executor, and calls the functions of its options there. Call its functions there, too. It is
/// not thread-safe: if several threads run the `asio::io_context`, use a strand. While the broker listens,
/// `asio::io_context::run()` does not return.
///
///     asio::io_context io;
///     tern::testing::broker broker{io.get_executor()};
///     const std::uint16_t port = broker.listen(); // for clients on TCP; those in memory are on a `network`
///     ...
///     REQUIRE(broker.violations().empty());
class broker {
public:
    explicit broker(const asio::any_io_executor& executor, broker_options options = {})
        : broker(executor, std::move(options), std::nullopt) {}
    /// Makes a broker that uses a virtual clock; see `network`.
    broker(const asio::any_io_executor& executor, broker_options options, std::optional<virtual_clock> clock)
        : server_(std::make_shared<detail::broker_server>(executor, std::move(options), std::move(clock))) {}
    broker(const broker&) = delete;
    broker& operator=(const broker&) = delete;

    /// Calls `close()`.
    ~broker() { close(); }

    /// Listens on a port of 127.0.0.1, or on a free one if it is 0, and returns the port. A second call returns the
    /// same port.
    ///
    /// Throws `std::system_error` if the system refuses.
    std::uint16_t listen(std::uint16_t port = 0) { return server_->listen(port); }

    /// The port on which the broker listens, or 0.
    std::uint16_t port() const { return server_->port(); }

    /// A function that serves a connected stream. The stream is one of Asio's, or any other with the same asynchronous
    /// operations and `shutdown_send()` and `close()`. After `close()` the function drops the stream.
    detail::broker_acceptor acceptor() const { return {server_}; }

    /// The violations by clients in chronological order.
    const std::vector<violation>& violations() const noexcept { return server_->core.violations(); }

    /// Publishes a message to all subscribers of its topic. Copies the message, and posts the rest of the work to the
    /// executor. The topic must be valid.
    void publish(const message_view& m) {
        post([copy = message(m)](detail::broker_core& core, detail::broker_time now) {
            core.route(detail::broker_message(copy.view(), {}, now), now);
        });
    }
    void publish(const message& m) { publish(m.view()); }

    /// Closes the connection of a client without DISCONNECT and publishes its will. Posts the work to the executor.
    void drop(std::string_view client_id) {
        post([id = std::string(client_id)](detail::broker_core& core, detail::broker_time now) { core.drop(id, now); });
    }

    /// Closes all connections without publishing wills. New connections are refused on TCP, and closed on a `network`.
    void close() { server_->close(); }

private:
    // Posts the function, so that a function of the options may call publish() and drop().
    template <class Function>
    void post(Function function) {
        asio::post(server_->get_executor(), [server = server_, function = std::move(function)] {
            if (server->is_closed()) return;
            function(server->core, server->now());
            server->update();
        });
    }

    std::shared_ptr<detail::broker_server> server_;
};

} // namespace tern::testing
