// The requirements of the client on a transport: an ordered, lossless stream of bytes [MQTT-4.2.0-1].
#pragma once

#include "tern/endpoint.hpp"
#include "tern/transport/requirements.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/buffer.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <system_error>

namespace tern::detail {

// Represents any completion token in the concepts. Starting an operation with it does not instantiate the operation.
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

/// A byte stream on which a client runs. It may be a layer that runs on another transport, such as TLS on TCP.
///
/// - `async_open(endpoint, timeouts, token)` completes with `void(std::error_code)` when the transport can read and
///   write. It resolves the addresses of the endpoint and tries them until one accepts the connection. A layer opens
///   the transport below, and negotiates. Its error is that of the last address, or that of the resolver, or the reason
///   why a negotiation failed. The transport enforces the time limits, with `violation(errc::resolve_timeout)`,
///   `connect_timeout`, `tls_timeout` and `upgrade_timeout`. Its initiation copies the data of the endpoint that it
///   needs.
/// - `opening_phase()` never throws. It returns the phase that the current or the last opening has reached, from
///   `connection_phase::resolving` to `connection_phase::upgrading`.
/// - `async_read_some(buffer, token)` and `async_write_some(buffers, token)` complete with
///   `void(std::error_code, std::size_t)`, as Asio's streams do. The end of the stream is `asio::error::eof`. A byte
///   counts as written when the peer may process it. After a write that accepted only a part, the next write begins
///   with the rest, unchanged: a layer may have encrypted it already.
/// - `shutdown_send()` never throws, and no write is started after it. It ends the sending direction: the peer reads
///   the rest, then the end of the stream. Reading continues.
/// - `close()` never throws. It ends all outstanding operations soon, in any state of the network. They complete with
///   `asio::error::operation_aborted` or with the result that they already had. After these completions `async_open`
///   can be called again.
/// - No operation completes inside the call that started it. At most one opening, or one read and one write, are
///   outstanding at a time. Meanwhile the client neither moves nor destroys the transport.
///
/// A transport may also provide its own time, see `timed_transport`, and its own randomness, see `seeded_transport`.
/// Tests can thus control time and repeat a sequence of events.
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

/// A transport that can also wait for readable data, and then read synchronously. A waiting client then needs no read
/// buffer.
///
/// - `async_wait_read(token)` completes with `void(std::error_code)` when `read_some` may return something, at once if
///   the transport already has it. The client uses it in place of `async_read_some`, under the same conditions.
/// - `read_some(buffer, error)` never throws and never waits. The error is `asio::error::would_block` if there is
///   nothing to read. It returns the number of bytes read, which is 0 only with an error.
template <class T>
concept readable_transport =
    transport<T> && requires(T& t, asio::mutable_buffer in, std::error_code& error, detail::archetype_token token) {
        t.async_wait_read(token);
        { t.read_some(in, error) } noexcept -> std::same_as<std::size_t>;
    };

/// A transport that can also write synchronously.
///
/// - `write_some(buffers, error)` never throws and never waits. The error is `asio::error::would_block` if there is no
///   room. It returns the number of bytes written, which is 0 only with an error. After `would_block` the next write
///   begins with the same bytes.
template <class T>
concept writes_at_once =
    transport<T> && requires(T& t, const std::array<asio::const_buffer, 2>& out, std::error_code& error) {
        { t.write_some(out, error) } noexcept -> std::same_as<std::size_t>;
    };

/// A transport with its own source of randomness, for tests that repeat a sequence of events.
template <class T>
concept seeded_transport = transport<T> && requires(T& t) {
    { t.seed() } -> std::same_as<std::uint64_t>;
};

} // namespace tern
