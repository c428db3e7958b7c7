// A socket of a transport. Each attempt to connect opens a new one.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/transport/detail/native_socket.hpp"

#include <asio/basic_stream_socket.hpp>

#include <system_error>

namespace tern::detail {

template <class Protocol, class Executor>
class stream_socket {
public:
    using socket_type = asio::basic_stream_socket<Protocol, Executor>;

    explicit stream_socket(const Executor& executor) : socket(executor) {}
    stream_socket(stream_socket&&) = default;
    stream_socket& operator=(stream_socket&&) = default;
    ~stream_socket() { close(); }

    socket_type socket; ///< Asio's

    /// Opens a new socket, on which `prepare(native socket)` may return an error. Asio's own `open` would let child
    /// processes inherit it. With `assign` Asio also expects that another process has a copy, and removes a closed
    /// socket from its reactor, which otherwise would go on to report about the copy.
    template <class Prepare>
    TERN_COLD std::error_code open(const Protocol& protocol, Prepare prepare) {
        close();
        std::error_code error;
        const native_socket fresh = open_native_socket(protocol.family(), protocol.protocol(), error);
        if (error) return error;
        error = prepare(fresh);
        if (!error) socket.assign(protocol, fresh, error);
        if (error) {
            close_native_socket(fresh);
            return error;
        }
        opened_by_ = process_id();
        return error;
    }

    /// Shuts the connection down first, because a child process may hold a copy of the socket. In a child process this
    /// object is itself the copy, and the connection belongs to the other process.
    TERN_COLD void close() noexcept {
        std::error_code ignored;
        if (socket.is_open() && opened_by_ == process_id()) socket.shutdown(socket_type::shutdown_both, ignored);
        socket.close(ignored);
    }

private:
    long opened_by_ = 0; // the process that opened the socket
};

} // namespace tern::detail
