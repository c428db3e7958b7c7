// A timer that is set again only if it would be late: most deadlines move on before they are reached.
#pragma once

#include "tern/session/event.hpp"

#include <system_error>
#include <utility>

namespace tern::detail {

template <class Timer>
class alarm {
public:
    explicit alarm(Timer timer) : timer_(std::move(timer)) {}

    /// Calls `ring` at the deadline or before, and at most once. It must keep the alarm alive.
    template <class Ring>
    void set(time_point deadline, Ring ring) {
        if (deadline >= set_for_) return;
        timer_.expires_at(deadline);
        timer_.async_wait(wait<Ring>{*this, deadline, std::move(ring)});
        set_for_ = deadline;
    }
    /// Whether that would do nothing.
    bool is_set_for(time_point deadline) const noexcept { return deadline >= set_for_; }

    /// Rings early, if it is set; needs no memory.
    void ring_now() { timer_.cancel(); }

    void clear() {
        set_for_ = time_point::max();
        timer_.cancel();
    }

private:
    template <class Ring>
    struct wait {
        alarm& self;
        time_point deadline;
        Ring ring;

        void operator()(std::error_code) {
            if (deadline != self.set_for_) return; // it was set anew or cleared meanwhile
            self.set_for_ = time_point::max();
            ring();
        }
    };

    Timer timer_;
    time_point set_for_ = time_point::max();
};

} // namespace tern::detail
