// A clock that a test advances explicitly, and timers for it.
#pragma once

#include "tern/testing/detail/clock_state.hpp"
#include "tern/testing/detail/waiting.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::testing {

/// A clock whose time changes only by `advance` and `advance_to`. A copy is another handle to the same clock.
///
/// It replaces `std::chrono::steady_clock`, so it uses that clock's time points. Its first time is arbitrary. It is not
/// thread-safe: the clock, its timers and their executors belong to one thread.
///
///     tern::testing::virtual_clock clock;
///     tern::testing::virtual_timer timer{io.get_executor(), clock};
///     timer.expires_after(1h);
///     timer.async_wait(handler);
///     clock.advance(1h); // the handler is posted
class virtual_clock {
public:
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;

    time_point now() const noexcept { return state_->now; }

    /// The earliest deadline, if there is one.
    std::optional<time_point> next() const { return state_->next(); }

    /// Advances the time. The handlers of expired timers are posted to their executors, in the order of their deadlines
    /// and, for the same deadline, in the order in which they began to wait.
    ///
    /// The handlers run later, when the clock shows the new time. To run each handler at its own deadline, advance to
    /// `next()` repeatedly, as `network::run_until` does.
    void advance(duration by) { advance_to(now() + by); }

    /// Advances the time as `advance` does. An earlier time has no effect.
    void advance_to(time_point to) { state_->advance_to(to); }

private:
    friend const std::shared_ptr<detail::clock_state>& state_of(const virtual_clock& clock) { return clock.state_; }

    std::shared_ptr<detail::clock_state> state_ = std::make_shared<detail::clock_state>();
};

/// A timer on a virtual clock, with the most important functions of Asio's timers.
///
/// Outstanding waits complete with `asio::error::operation_aborted` when the timer is cancelled, restarted or
/// destroyed.
template <class Executor = asio::any_io_executor>
class basic_virtual_timer {
public:
    using executor_type = Executor;
    using duration = virtual_clock::duration;
    using time_point = virtual_clock::time_point;

    basic_virtual_timer(const executor_type& executor, const virtual_clock& clock)
        : executor_(executor)
        , clock_(state_of(clock)) {
        detail::waiting_service::adopt(executor, clock_);
    }
    basic_virtual_timer(basic_virtual_timer&&) noexcept = default;
    basic_virtual_timer& operator=(basic_virtual_timer&& other) noexcept {
        if (this != &other) {
            cancel();
            executor_ = other.executor_;
            clock_ = std::move(other.clock_);
            expiry_ = other.expiry_;
            waits_ = std::move(other.waits_);
        }
        return *this;
    }
    ~basic_virtual_timer() { cancel(); }

    executor_type get_executor() const noexcept { return executor_; }
    time_point expiry() const noexcept { return expiry_; }

    void expires_at(time_point time) {
        cancel();
        expiry_ = time;
    }
    void expires_after(duration time) { expires_at(clock_->now + time); }

    void cancel() {
        for (const auto& each : std::exchange(waits_, {}))
            clock_->cancel(each);
    }

    /// Completes with `void(std::error_code)` when the clock reaches the expiry time, or immediately if it has passed.
    template <class CompletionToken>
    auto async_wait(CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code)>(
            [this](auto handler) {
                const auto key = clock_->make_key(expiry_);
                detail::connect_slot(handler, clock_, [key](auto& clock) { clock.cancel(key); });
                auto operation = detail::make_waiting<false>(std::move(handler), executor_);
                if (expiry_ <= clock_->now) return detail::complete(operation, {});
                std::erase_if(waits_, [&](const auto& each) { return !clock_->waits(each); });
                waits_.push_back(key);
                clock_->add(key, std::move(operation), detail::waiting_service::context_of(executor_));
            },
            token);
    }

private:
    executor_type executor_;
    std::shared_ptr<detail::clock_state> clock_;
    time_point expiry_ = {};
    std::vector<detail::clock_state::key> waits_;
};

using virtual_timer = basic_virtual_timer<>;

} // namespace tern::testing
