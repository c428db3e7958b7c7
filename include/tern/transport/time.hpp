// The time by which the client of a transport lives: the transport's own, or else that of the steady clock.
#pragma once

#include "tern/transport/concept.hpp"

#include <asio/basic_waitable_timer.hpp>

#include <chrono>
#include <concepts>
#include <system_error>
#include <utility>

namespace tern {

/// A transport that brings its own time, so that a test can decide how late it is.
///
/// - `now()` never throws and gives a point of time; it never goes back.
/// - `make_timer()` gives a timer that can be moved while nobody waits for it: `expires_at(time)` ends what
///   waits and sets when to end the next wait; `async_wait(handler)` calls `handler(std::error_code)` then,
///   on the transport's executor; `cancel()` ends what waits, and so does the destructor. What is ended
///   before its time gets `asio::error::operation_aborted`. Nothing completes inside the call that began it.
template <class T>
concept timed_transport =
    transport<T> && requires(T& t, const T& constant, std::chrono::steady_clock::time_point time,
                             decltype(std::declval<T&>().make_timer())& timer, void (*handler)(std::error_code)) {
        { constant.now() } noexcept -> std::same_as<std::chrono::steady_clock::time_point>;
        { t.make_timer() } -> std::move_constructible;
        timer.expires_at(time);
        timer.async_wait(handler);
        timer.cancel();
    };

namespace detail {

template <transport Transport>
std::chrono::steady_clock::time_point now_of(const Transport& t) noexcept {
    if constexpr (timed_transport<Transport>)
        return t.now();
    else
        return std::chrono::steady_clock::now();
}

template <transport Transport>
auto make_timer_of(Transport& t) {
    using clock = std::chrono::steady_clock;
    using executor = typename Transport::executor_type;
    if constexpr (timed_transport<Transport>)
        return t.make_timer();
    else
        return asio::basic_waitable_timer<clock, asio::wait_traits<clock>, executor>(t.get_executor());
}

template <transport Transport>
using timer_of = decltype(make_timer_of(std::declval<Transport&>()));

} // namespace detail
} // namespace tern
