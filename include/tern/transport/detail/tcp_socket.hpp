// The socket of a TCP transport. Each attempt to connect opens a new one, with the settings of the application.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/transport/detail/native_socket.hpp"
#include "tern/transport/name_lookup.hpp"
#include "tern/transport/tcp_options.hpp"

#include <asio/basic_stream_socket.hpp>
#include <asio/ip/tcp.hpp>

#include <functional>
#include <system_error>

namespace tern::detail {

template <class Socket>
struct tcp_settings {
    tcp_options options = {};
    std::function<void(Socket&, const asio::ip::tcp::endpoint&)> on_socket_opened = {};
    std::function<void(name_lookup)> resolver = {};
};

template <class Executor>
class tcp_socket {
public:
    using socket_type = asio::basic_stream_socket<asio::ip::tcp, Executor>;

    explicit tcp_socket(const Executor& executor) : socket_(executor) {}
    tcp_socket(tcp_socket&&) = default;
    tcp_socket& operator=(tcp_socket&&) = default;
    ~tcp_socket() { close(); }

    socket_type& get() noexcept { return socket_; }

    /// Opens a new socket to connect to this address. Asio's own `open` would let child processes inherit it. With
    /// `assign` Asio also expects that another process has a copy, and removes a closed socket from its reactor, which
    /// otherwise would go on to report about the copy. Without settings all are defaults.
    TERN_COLD std::error_code open(const asio::ip::tcp::endpoint& remote, const tcp_settings<socket_type>* settings) {
        close();
        std::error_code error;
        const native_socket fresh = open_native_socket(remote, error);
        if (error) return error;
        error = set_options(fresh, remote, settings ? settings->options : tcp_options{});
        if (!error) socket_.assign(remote.protocol(), fresh, error);
        if (error) {
            close_native_socket(fresh);
            return error;
        }
        opened_by_ = process_id();
        return settings && settings->on_socket_opened ? call(*settings, remote) : error;
    }

    /// Shuts the connection down first, because a child process may hold a copy of the socket. In a child process this
    /// object is itself the copy, and the connection belongs to the other process.
    TERN_COLD void close() noexcept {
        std::error_code ignored;
        if (socket_.is_open() && opened_by_ == process_id()) socket_.shutdown(socket_type::shutdown_both, ignored);
        socket_.close(ignored);
    }

private:
    std::error_code call(const tcp_settings<socket_type>& settings, const asio::ip::tcp::endpoint& remote) {
        try {
            settings.on_socket_opened(socket_, remote);
        } catch (const std::system_error& e) {
            return e.code();
        }
        return {};
    }

    socket_type socket_;
    long opened_by_ = 0; // the process that opened the socket
};

} // namespace tern::detail
