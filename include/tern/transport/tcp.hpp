// Plain TCP.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/fwd.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/open_operation.hpp"
#include "tern/transport/detail/tcp_opening.hpp"
#include "tern/transport/detail/tcp_socket.hpp"
#include "tern/transport/name_lookup.hpp"
#include "tern/transport/tcp_options.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/compose.hpp>
#include <asio/ip/tcp.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

namespace tern {

/// A TCP connection.
///
/// The transport looks up host names in threads that its context owns, up to four at once. An address needs no look-up.
/// An abandoned look-up does not keep the context running, but the destructor of the context waits for it.
///
/// The addresses of a host race (RFC 8305). They are tried in the order that the system returns, IPv6 and IPv4 in turn,
/// each 250 ms after the previous one or as soon as that has failed, and the first connection is used. The address on
/// which a broker answered last is tried first. An address that accepted a connection on which nothing was ever read is
/// tried last, until something is read on any connection. An address without a responding broker thus does not hide the
/// others.
///
/// Each attempt uses a new socket. The options and functions that are set here apply to all of them, from the next
/// opening on. The functions run on the transport's executor, never inside a call of the transport. An exception that
/// they throw propagates out of the executor's `run` and ends the opening, except `std::system_error`, whose code is
/// the error of the attempt. They must not own the client.
///
/// **Processes.** Programs that the process executes do not inherit sockets. After `fork`, with `notify_fork` of the
/// context called before and after it, one of the two processes may use the transport, and the other may only destroy
/// it. `notify_fork` waits for look-ups.
template <class Executor>
class basic_tcp {
public:
    using executor_type = Executor;
    using socket_type = typename detail::tcp_socket<Executor>::socket_type;

    /// The same transport on another executor.
    template <class Other>
    struct rebind_executor {
        using other = basic_tcp<Other>;
    };

    explicit basic_tcp(const Executor& executor) : connection_(executor) {}
    basic_tcp(basic_tcp&&) = default;
    basic_tcp& operator=(basic_tcp&&) = default;
    ~basic_tcp() { abandon_opening(); }

    executor_type get_executor() noexcept { return connection_.socket.socket.get_executor(); }

    /// Returns the present socket. Options that are set here are lost with the connection.
    socket_type& socket() noexcept { return connection_.socket.socket; }

    /// Sets the options of all later sockets.
    TERN_COLD void set_options(tcp_options options) { change().options = std::move(options); }

    /// Sets a function that receives each new socket before it connects, to set further options. The address to connect
    /// to is the second argument. An empty function removes it.
    TERN_COLD void set_on_socket_opened(std::function<void(socket_type&, const asio::ip::tcp::endpoint&)> function) {
        change().on_socket_opened = std::move(function);
    }

    /// Sets a function that looks up host names in place of the system. An empty function removes it.
    ///
    ///     client.transport().set_resolver([](tern::name_lookup lookup) {
    ///         lookup.complete({{asio::ip::make_address("192.0.2.1"), lookup.port()}});
    ///     });
    TERN_COLD void set_resolver(std::function<void(name_lookup)> resolver) { change().resolver = std::move(resolver); }

    template <class Token>
    auto async_open(const endpoint& where, const open_timeouts& timeouts, Token&& token) {
        return asio::async_compose<Token, void(std::error_code)>(
            detail::open_operation<opening>{opening_,
                                            std::make_shared<opening>(connection_, settings_, where, timeouts)},
            token, socket());
    }

    connection_phase opening_phase() const noexcept { return connection_.phase; }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return asio::async_compose<Token, void(std::error_code, std::size_t)>(read_op{*this, buffer}, token, socket());
    }

    template <class Token>
    auto async_wait_read(Token&& token) {
        return socket().async_wait(socket_type::wait_read, std::forward<Token>(token));
    }

    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept {
        const std::size_t count = socket().read_some(buffer, error);
        on_read(count);
        return count;
    }

    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, std::error_code& error) noexcept {
        return socket().write_some(buffers, error);
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return socket().async_write_some(buffers, std::forward<Token>(token));
    }

    TERN_COLD void shutdown_send() noexcept {
        std::error_code ignored; // an error means that the connection is already lost
        socket().shutdown(socket_type::shutdown_send, ignored);
    }

    TERN_COLD void close() noexcept {
        abandon_opening();
        connection_.socket.close();
    }

private:
    using opening = detail::tcp_opening<Executor>;
    using settings = detail::tcp_settings<socket_type>;

    struct read_op {
        basic_tcp& tcp;
        asio::mutable_buffer buffer;

        template <class Self>
        void operator()(Self& self) {
            tcp.socket().async_read_some(buffer, std::move(self));
        }
        template <class Self>
        void operator()(Self& self, std::error_code error, std::size_t count) {
            tcp.on_read(count);
            self.complete(error, count);
        }
    };

    TERN_COLD void abandon_opening() noexcept {
        if (const auto present = opening_.lock()) present->abandon();
    }

    // Openings that have begun use the previous settings.
    settings& change() {
        auto changed = settings_ ? std::make_shared<settings>(*settings_) : std::make_shared<settings>();
        settings_ = changed;
        return *changed;
    }

    void on_read(std::size_t count) noexcept {
        if (count != 0) connection_.order.on_read();
    }

    detail::tcp_connection<Executor> connection_;
    std::weak_ptr<opening> opening_;
    std::shared_ptr<const settings> settings_; // null: all defaults
};

} // namespace tern

#if !defined(TERN_SEPARATE_COMPILATION)
#include "tern/transport/detail/lookup_pool.hpp"
#include "tern/transport/detail/native_socket_options.hpp"
#endif
