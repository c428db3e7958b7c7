// The socket of a TCP transport. Each attempt to connect opens a new one, with the settings of the application.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/transport/detail/native_socket.hpp"
#include "tern/transport/detail/stream_socket.hpp"
#include "tern/transport/name_lookup.hpp"
#include "tern/transport/tcp_options.hpp"

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
class tcp_socket : public stream_socket<asio::ip::tcp, Executor> {
    using base = stream_socket<asio::ip::tcp, Executor>;

public:
    using base::base;
    using typename base::socket_type;

    /// Opens a new socket to connect to this address. Without settings all are defaults.
    TERN_COLD std::error_code open(const asio::ip::tcp::endpoint& remote, const tcp_settings<socket_type>* settings) {
        const std::error_code error = base::open(remote.protocol(), [&](native_socket fresh) {
            return set_options(fresh, remote, settings ? settings->options : tcp_options{});
        });
        return error || !settings || !settings->on_socket_opened ? error : call(*settings, remote);
    }

private:
    std::error_code call(const tcp_settings<socket_type>& settings, const asio::ip::tcp::endpoint& remote) {
        try {
            settings.on_socket_opened(base::socket, remote);
        } catch (const std::system_error& e) {
            return e.code();
        }
        return {};
    }
};

} // namespace tern::detail
