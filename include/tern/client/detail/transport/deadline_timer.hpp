// A timer that is set again only if it would expire too late: most deadlines move on before they are reached.
#pragma once

#include "tern/session/event.hpp"

#include <system_error>
#include <utility>

namespace tern::detail {

template <class Timer>
class deadline_timer {
public:
    explicit deadline_timer(Timer timer) : timer_(std::move(timer)) {}

    /// Calls `handler` at the deadline or before, and at most once. The handler must keep this object alive.
    template <class Handler>
    void set(time_point deadline, Handler handler) {
        if (deadline >= set_for_) return;
        timer_.expires_at(deadline);
        timer_.async_wait(wait<Handler>{*this, deadline, std::move(handler)});
        set_for_ = deadline;
    }
    /// Whether it expires early enough for this deadline.
    bool is_set_for(time_point deadline) const noexcept { return deadline >= set_for_; }

    /// Makes a timer that is set expire at once; allocates nothing.
    void expire_now() { timer_.cancel(); }

    void clear() {
        set_for_ = time_point::max();
        timer_.cancel();
    }

private:
    template <class Handler>
    struct wait {
        deadline_timer& self;
        time_point deadline;
        Handler handler;

        void operator()(std::error_code) {
            if (deadline != self.set_for_) return; // it was set again, or cleared
            self.set_for_ = time_point::max();
            handler();
        }
    };

    Timer timer_;
    time_point set_for_ = time_point::max();
};

} // namespace tern::detail
