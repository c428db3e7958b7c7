// The clock of a transport's client: the transport's own, or otherwise the steady clock.
#pragma once

#include "tern/transport/concept.hpp"

#include <asio/basic_waitable_timer.hpp>

#include <chrono>
#include <concepts>
#include <system_error>
#include <utility>

namespace tern {

/// A transport that provides its own time, for tests that control the clock.
///
/// - `now()` never throws. It returns a point in time and never goes back.
/// - `make_timer()` returns a timer that is movable while no wait is outstanding. `expires_at(time)` ends the
///   outstanding wait and sets the expiry of the next one. `async_wait(handler)` calls `handler(std::error_code)` at
///   that time, on the transport's executor. `cancel()` and the destructor end the outstanding wait. A wait that ends
///   early completes with `asio::error::operation_aborted`. No wait completes inside the call that started it.
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
