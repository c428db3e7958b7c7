// Says which requirement a class does not satisfy that is used as a transport: one sentence for each.
#pragma once

#include "tern/endpoint.hpp"
#include "tern/transport/concept.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>

#include <array>
#include <concepts>
#include <system_error>

namespace tern::detail {

template <class T>
consteval void check_transport() {
    using buffers = std::array<asio::const_buffer, 2>;
    using token = archetype_token;
    static_assert(std::move_constructible<T>, "A transport can be moved.");
    static_assert(requires { typename T::executor_type; }, "A transport has a type executor_type.");
    static_assert(
        requires { typename T::template rebind_executor<asio::any_io_executor>::other; },
        "A transport has a template rebind_executor<Executor> with a type other.");
    static_assert(
        requires(T& t) {
            { t.get_executor() } -> std::convertible_to<typename T::executor_type>;
        }, "A transport has a function executor_type get_executor().");
    static_assert(
        requires(T& t, const endpoint& where, const open_timeouts& timeouts) {
            t.async_open(where, timeouts, token());
        }, "A transport has a function async_open(endpoint, open_timeouts, token).");
    static_assert(
        requires(const T& t) {
            { t.opening_phase() } noexcept -> std::same_as<connection_phase>;
        }, "A transport has a function connection_phase opening_phase() const noexcept.");
    static_assert(
        requires(T& t, asio::mutable_buffer buffer) { t.async_read_some(buffer, token()); },
        "A transport has a function async_read_some(buffer, token).");
    static_assert(
        requires(T& t, const buffers& out) { t.async_write_some(out, token()); },
        "A transport has a function async_write_some(buffers, token).");
    static_assert(
        requires(T& t) {
            { t.shutdown_send() } noexcept;
        }, "A transport has a function void shutdown_send() noexcept.");
    static_assert(
        requires(T& t) {
            { t.close() } noexcept;
        }, "A transport has a function void close() noexcept.");
    static_assert(
        !requires(T& t) { t.async_wait_read(token()); } || readable_transport<T>,
        "A transport with async_wait_read also has std::size_t read_some(buffer, std::error_code&) noexcept.");
    static_assert(
        !requires(T& t, const buffers& out, std::error_code& error) { t.write_some(out, error); } || writes_at_once<T>,
        "The function write_some(buffers, std::error_code&) of a transport is noexcept and returns std::size_t.");
}

} // namespace tern::detail
