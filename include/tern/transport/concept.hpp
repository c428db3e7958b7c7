// What the client asks of a transport: an ordered, lossless stream of bytes [MQTT-4.2.0-1].
#pragma once

#include "tern/endpoint.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/buffer.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <system_error>

namespace tern::detail {

// Stands for any completion token in the concepts. An operation that is started with it is not compiled.
struct archetype_token {
    template <class... Argument>
    void operator()(const Argument&...) const {}
};

} // namespace tern::detail

template <class Return, class... Argument>
class asio::async_result<tern::detail::archetype_token, Return(Argument...)> {
public:
    template <class Initiation, class Token, class... Initial>
    static void initiate(Initiation&&, Token&&, Initial&&...) {}
};

namespace tern {

/// A byte stream on which a client runs.
///
/// - `async_open(endpoint, timeouts, token)` completes with `void(std::error_code)` when the transport can read and
///   write. It finds the addresses of the endpoint and tries them in turn, until one of them accepts; a handshake of
///   TLS or of WebSocket is a part of it. Its error is that of the last address, or that of the search for them. The
///   transport keeps to the time limits: `violation(errc::resolve_timeout)` until the addresses are known,
///   `violation(errc::connect_timeout)` for each address. It copies what it needs of the endpoint in its initiation.
/// - `opening_phase()` never throws. It says how far the opening that is under way, or the last one, has come:
///   `connection_phase::resolving` or `connection_phase::connecting`.
/// - `async_read_some(buffer, token)` and `async_write_some(buffers, token)` complete with
///   `void(std::error_code, std::size_t)`, as Asio's streams do; the end of the stream is `asio::error::eof`.
/// - `shutdown_send()` never throws. It says that nothing more will be written: the peer reads the rest, then
///   the end of the stream. Reading goes on.
/// - `close()` never throws. It ends everything that is outstanding, soon and whatever the network does, with
///   `asio::error::operation_aborted` or with what had already become of it. After these completions
///   `async_open` can be called again.
/// - Nothing completes inside the call that started it. There is at most one opening, or one read and one write at a
///   time; while there is, the transport is neither moved nor destroyed.
///
/// A transport may also bring its own time, see `timed_transport`, and with a function `std::uint64_t seed()`
/// its own chance. So tests can decide how late it is, and repeat what happens.
template <class T>
concept transport =
    std::move_constructible<T> &&
    requires(T& t, const T& constant, const endpoint& where, const open_timeouts& timeouts, asio::mutable_buffer in,
             const std::array<asio::const_buffer, 2>& out, detail::archetype_token token) {
        typename T::executor_type;
        typename T::template rebind_executor<asio::any_io_executor>::other;
        { t.get_executor() } -> std::convertible_to<typename T::executor_type>;
        t.async_open(where, timeouts, token);
        { constant.opening_phase() } noexcept -> std::same_as<connection_phase>;
        t.async_read_some(in, token);
        t.async_write_some(out, token);
        { t.shutdown_send() } noexcept;
        { t.close() } noexcept;
    };

/// A transport that can also tell when there is something to read, so that a client that waits needs no buffer, and do
/// at once what can be done at once.
///
/// - `async_wait_read(token)` completes with `void(std::error_code)` when `read_some` will not have to wait, on the
///   same terms as `async_read_some`, in whose place it is used.
/// - `read_some(buffer, error)` and `write_some(buffers, error)` never throw, nor wait: `asio::error::would_block` if
///   there is nothing to read, or no room. They return how much was read or written, which is 0 only with an error.
template <class T>
concept waitable_transport =
    transport<T> && requires(T& t, asio::mutable_buffer in, const std::array<asio::const_buffer, 2>& out,
                             std::error_code& error, detail::archetype_token token) {
        t.async_wait_read(token);
        { t.read_some(in, error) } noexcept -> std::same_as<std::size_t>;
        { t.write_some(out, error) } noexcept -> std::same_as<std::size_t>;
    };

} // namespace tern
