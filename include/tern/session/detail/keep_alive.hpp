// Keep alive: PINGREQ often enough, and a dead link noticed [§3.1.2.10].
//
// A PINGREQ is due three quarters of the interval after the last packet was sent, or after the last bytes
// were received: the first keeps the broker content [MQTT-3.1.2-20], the second notices a link that is dead
// in the other direction although writes succeed. While an answer is due only the first counts. The link is
// dead when, since PINGREQ, nothing at all has been received and nothing more of what lies before PINGREQ could
// be written for min(keep alive / 2, 10 s). That is at the latest keep alive + min(keep alive / 2, 10 s) after
// the last sign of life. While the owner does not read, only what cannot be written counts. With keep alive off, who asks for a ping gives it 10 s.
#pragma once

#include "tern/session/event.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace tern::detail {

class keep_alive {
public:
    using seconds = std::chrono::duration<std::uint16_t>; // as the standard has them

    void start(seconds interval, time_point now) noexcept {
        interval_ = interval;
        sent_ = received_ = now;
        waiting_ = 0;
        ping_written_ = true;
    }

    /// Bytes were written. As long as PINGREQ is not among them the link is slow, not dead.
    void on_sent(bool ping_written, time_point now) noexcept {
        sent_ = now;
        if (!ping_written_) asked_ = now;
        ping_written_ = ping_written;
    }
    void on_received(time_point now) noexcept { received_ = now; }
    void on_pingreq(time_point now) noexcept {
        if (waiting_++ == 0 || (!reading_ && ping_written_)) asked_ = now;
        ping_written_ = false;
        sent_ = now; // or will be: it is queued
    }
    /// A PINGRESP has come; false if nobody asked.
    bool on_pingresp(time_point now) noexcept {
        if (waiting_ == 0) return false;
        --waiting_;
        asked_ = now;
        return true;
    }
    /// Silence does not count while the owner does not read.
    void set_reading(bool reading, time_point now) noexcept {
        if (reading_ == reading) return;
        reading_ = reading;
        received_ = now;
    }

    /// When PINGREQ was written for which PINGRESP is due.
    time_point asked() const noexcept { return asked_; }

    time_point ping_due() const noexcept {
        if (interval_.count() == 0) return time_point::max();
        const auto quiet = interval_ * 3 / 4.0;
        const time_point since = waiting_ != 0 || !reading_ ? sent_ : std::min(sent_, received_);
        return since + std::chrono::duration_cast<time_point::duration>(quiet);
    }

    time_point dead_at() const noexcept {
        if (waiting_ == 0 || (!reading_ && ping_written_)) return time_point::max();
        constexpr std::chrono::milliseconds longest = std::chrono::seconds(10);
        const bool off = interval_.count() == 0; // the owner has asked
        return (reading_ ? std::max(asked_, received_) : asked_) +
               (off ? longest : std::min(longest, std::chrono::milliseconds(interval_) / 2));
    }

private:
    time_point sent_;
    time_point received_;
    time_point asked_;
    seconds interval_{};
    unsigned waiting_ = 0;     // for so many PINGRESP
    bool ping_written_ = true; // the last PINGREQ
    bool reading_ = true;
};

} // namespace tern::detail
