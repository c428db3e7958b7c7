// Opens sockets and sets their options.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/transport/detail/native_socket.hpp"
#include "tern/transport/tcp_options.hpp"

#include <asio/error.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <system_error>

#if defined(_WIN32)
#include <asio/detail/socket_types.hpp> // Windows' own headers, in the order that they need
#else
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

namespace tern::detail {

inline std::error_code last_socket_error() noexcept {
#if defined(_WIN32)
    return {::WSAGetLastError(), asio::error::get_system_category()};
#else
    return {errno, asio::error::get_system_category()};
#endif
}

TERN_COLD TERN_DECLARE native_socket open_native_socket(int family, int protocol, std::error_code& error) noexcept {
#if defined(_WIN32)
    const DWORD flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    const native_socket fresh = ::WSASocketW(family, SOCK_STREAM, protocol, nullptr, 0, flags);
    if (fresh == INVALID_SOCKET) error = last_socket_error();
#elif defined(SOCK_CLOEXEC)
    const native_socket fresh = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol);
    if (fresh < 0) error = last_socket_error();
#else
    const native_socket fresh = ::socket(family, SOCK_STREAM, protocol);
    if (fresh < 0 || ::fcntl(fresh, F_SETFD, FD_CLOEXEC) != 0) error = last_socket_error();
#if defined(SO_NOSIGPIPE)
    const int on = 1; // as Asio does
    ::setsockopt(fresh, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
#endif
    return fresh;
}

TERN_DECLARE std::error_code connect_native_socket(native_socket socket, const void* address,
                                                   std::size_t size) noexcept {
    for (;;) {
        const int result = ::connect(socket, static_cast<const sockaddr*>(address), static_cast<socklen_t>(size));
        if (result == 0) return {};
        const std::error_code error = last_socket_error();
        if (error != asio::error::interrupted) return error;
    }
}

TERN_DECLARE void close_native_socket(native_socket socket) noexcept {
#if defined(_WIN32)
    ::closesocket(socket);
#else
    ::close(socket);
#endif
}

TERN_DECLARE long process_id() noexcept {
#if defined(_WIN32)
    return 0; // no process inherits a socket
#else
    return ::getpid();
#endif
}

struct socket_option {
    int level;
    int name; ///< -1: the system does not have this option
};

struct socket_options {
    static constexpr socket_option unknown{0, -1};
#if defined(TCP_KEEPIDLE)
    static constexpr socket_option keep_alive_idle{IPPROTO_TCP, TCP_KEEPIDLE};
#elif defined(TCP_KEEPALIVE)
    static constexpr socket_option keep_alive_idle{IPPROTO_TCP, TCP_KEEPALIVE};
#else
    static constexpr socket_option keep_alive_idle = unknown;
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
    static constexpr socket_option keep_alive_interval{IPPROTO_TCP, TCP_KEEPINTVL};
    static constexpr socket_option keep_alive_probes{IPPROTO_TCP, TCP_KEEPCNT};
#else
    static constexpr socket_option keep_alive_interval = unknown;
    static constexpr socket_option keep_alive_probes = unknown;
#endif
#if defined(TCP_USER_TIMEOUT)
    static constexpr socket_option user_timeout{IPPROTO_TCP, TCP_USER_TIMEOUT};
#else
    static constexpr socket_option user_timeout = unknown;
#endif
#if defined(SO_BINDTODEVICE)
    static constexpr socket_option device{SOL_SOCKET, SO_BINDTODEVICE};
#else
    static constexpr socket_option device = unknown;
#endif
#if defined(SO_MARK)
    static constexpr socket_option mark{SOL_SOCKET, SO_MARK};
#else
    static constexpr socket_option mark = unknown;
#endif
};

// Sets options of one socket, until there is an error.
class option_setter {
public:
    explicit option_setter(native_socket socket) noexcept : socket_(socket) {}

    const std::error_code& error() const noexcept { return error_; }

    TERN_COLD void set(socket_option which, const void* value, std::size_t size) noexcept {
        if (error_) return;
        if (which.name == socket_options::unknown.name)
            error_ = asio::error::operation_not_supported;
        else if (::setsockopt(socket_, which.level, which.name, static_cast<const char*>(value),
                              static_cast<socklen_t>(size)) != 0)
            error_ = last_socket_error();
    }
    TERN_COLD void set(socket_option which, int value) noexcept { set(which, &value, sizeof value); }
    TERN_COLD void set(socket_option which, const std::optional<int>& value) noexcept {
        if (value) set(which, *value);
    }
    // The system refuses a negative time.
    template <class Rep, class Period>
    TERN_COLD void set(socket_option which, const std::optional<std::chrono::duration<Rep, Period>>& time) noexcept {
        if (time) set(which, static_cast<int>(std::clamp<Rep>(time->count(), -1, (std::numeric_limits<int>::max)())));
    }

    TERN_COLD void bind(const asio::ip::address& local, const asio::ip::tcp::endpoint& remote) noexcept {
        const asio::ip::tcp::endpoint from(local, 0);
        if (error_) return;
        if (from.protocol() != remote.protocol())
            error_ = asio::error::address_family_not_supported;
        else if (::bind(socket_, from.data(), static_cast<socklen_t>(from.size())) != 0)
            error_ = last_socket_error();
    }

private:
    native_socket socket_;
    std::error_code error_;
};

TERN_COLD TERN_DECLARE std::error_code set_options(native_socket socket, const asio::ip::tcp::endpoint& remote,
                                                   const tcp_options& options) noexcept {
    option_setter(socket).set({IPPROTO_TCP, TCP_NODELAY}, options.no_delay ? 1 : 0);
    option_setter setter(socket);
    if (options.keep_alive) {
        setter.set({SOL_SOCKET, SO_KEEPALIVE}, 1);
        setter.set(socket_options::keep_alive_idle, options.keep_alive->idle);
        setter.set(socket_options::keep_alive_interval, options.keep_alive->interval);
        setter.set(socket_options::keep_alive_probes, options.keep_alive->probes);
    }
    setter.set(socket_options::user_timeout, options.user_timeout);
    setter.set({SOL_SOCKET, SO_RCVBUF}, options.receive_buffer_bytes);
    setter.set({SOL_SOCKET, SO_SNDBUF}, options.send_buffer_bytes);
    if (!options.device.empty()) setter.set(socket_options::device, options.device.data(), options.device.size());
    if (options.mark) setter.set(socket_options::mark, &*options.mark, sizeof *options.mark);
    if (options.ipv6_only && remote.address().is_v6())
        setter.set({IPPROTO_IPV6, IPV6_V6ONLY}, *options.ipv6_only ? 1 : 0);
    if (options.local_address) setter.bind(*options.local_address, remote);
    return setter.error();
}

} // namespace tern::detail
