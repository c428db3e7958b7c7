// The broker's timer: a system timer, or one on a virtual clock.
#pragma once

#include "tern/testing/virtual_clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <optional>
#include <utility>
#include <variant>

namespace tern::testing::detail {

class broker_timer {
public:
    broker_timer(const asio::any_io_executor& executor, const std::optional<virtual_clock>& clock) {
        if (clock)
            timer_.emplace<virtual_timer>(executor, *clock);
        else
            timer_.emplace<asio::steady_timer>(executor);
    }

    // Calls the function at the given time, or with an error if the timer is cancelled or restarted before.
    template <class Function>
    void start(std::chrono::steady_clock::time_point at, Function function) {
        visit([&](auto& timer) {
            timer.expires_at(at);
            timer.async_wait(std::move(function));
        });
    }
    void cancel() {
        visit([](auto& timer) { timer.cancel(); });
    }

private:
    template <class Function>
    void visit(Function function) {
        if (auto* const on_virtual_clock = std::get_if<virtual_timer>(&timer_)) function(*on_virtual_clock);
        if (auto* const on_system_clock = std::get_if<asio::steady_timer>(&timer_)) function(*on_system_clock);
    }

    std::variant<std::monostate, asio::steady_timer, virtual_timer> timer_;
};

} // namespace tern::testing::detail
