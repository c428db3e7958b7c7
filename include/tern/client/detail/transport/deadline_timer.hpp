// The one timer of a driver. It is set again only if it would expire too late, because most deadlines move forward
// before they expire.
#pragma once

#include "tern/client/detail/transport/buffers.hpp"
#include "tern/session/time.hpp"
#include "tern/transport/time.hpp"

#include <memory>
#include <system_error>
#include <utility>

namespace tern::detail {

template <class Timer>
class deadline_timer {
public:
    explicit deadline_timer(Timer timer) noexcept : timer_(std::move(timer)) {}
    deadline_timer(const deadline_timer&) = delete;
    deadline_timer& operator=(const deadline_timer&) = delete;
    ~deadline_timer() = default;

    time_point deadline = (time_point::max)(); ///< the maximum if it is not set. Only the functions below change it

    /// Sets the timer to expire at the deadline or earlier. The owner keeps it alive. It calls `on_end(deadline)` when
    /// a wait has ended, which may have been replaced: see `expire`.
    template <class F>
    void set(time_point at, const std::shared_ptr<void>& owner, F on_end) {
        timer_.expires_at(at);
        timer_.async_wait(idle_handler{std::shared_ptr<reusable_allocation>(owner, &memory_),
                                       [on_end, at](const std::error_code&) { on_end(at); }});
        deadline = at;
    }
    /// Returns whether the wait that has ended is the current one. The timer is not set then.
    bool expire(time_point at) noexcept {
        if (at != deadline) return false;
        deadline = (time_point::max)();
        return true;
    }
    void clear() {
        deadline = (time_point::max)();
        timer_.cancel();
    }
    /// Ends the current wait early.
    void expire_now() { timer_.cancel(); }

private:
    reusable_allocation memory_;
    Timer timer_;
};

} // namespace tern::detail
