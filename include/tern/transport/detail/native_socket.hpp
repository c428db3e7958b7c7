// Sockets as the system makes them, before Asio has them.
//
// Asio itself opens sockets that child processes inherit. A child that executes another program would hold the
// connection open, and the broker would not notice that the client is gone.
#pragma once

#include "tern/detail/declare.hpp"
#include "tern/transport/tcp_options.hpp"

#include <asio/ip/tcp.hpp>

#include <cstddef>
#include <system_error>

namespace tern::detail {

#if defined(_WIN32)
using native_socket = SOCKET; // Asio's handles are objects that have one
#else
using native_socket = int;
#endif

/// Opens a stream socket. Programs that this process executes do not inherit it.
TERN_DECLARE native_socket open_native_socket(int family, int protocol, std::error_code& error) noexcept;

/// Sets all options. Returns the first error.
TERN_DECLARE std::error_code set_options(native_socket socket, const asio::ip::tcp::endpoint& remote,
                                         const tcp_options& options) noexcept;

/// Connects a socket in one step. If it does not block, the error may be `would_block`.
TERN_DECLARE std::error_code connect_native_socket(native_socket socket, const void* address,
                                                   std::size_t size) noexcept;

TERN_DECLARE void close_native_socket(native_socket socket) noexcept;

/// Returns a number that differs in a child process that `fork` has made.
TERN_DECLARE long process_id() noexcept;

} // namespace tern::detail
