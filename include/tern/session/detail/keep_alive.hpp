// Keep alive on one connection: PINGREQ often enough, the answers to it, and a dead link noticed [§3.1.2.10].
//
// A PINGREQ is due three quarters of the interval after the last packet was sent, or after the last bytes were
// received. The first satisfies the broker [MQTT-3.1.2-20]. The second notices a link that is dead in the other
// direction although writes succeed. While an answer is due, only the first counts.
//
// The link is dead when, since PINGREQ, nothing has been received, and none of the bytes before PINGREQ could be
// written, for min(keep alive / 2, 10 s). That is at the latest keep alive + min(keep alive / 2, 10 s) after the last
// sign of life. While delivery is closed, only what cannot be written counts. With keep alive off, a requested ping has
// 10 s.
#pragma once

#include "tern/session/detail/memory/ring.hpp"
#include "tern/session/detail/send/packet_log.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace tern::detail {

class keep_alive {
public:
    using seconds = std::chrono::duration<std::uint16_t>; // as in the standard

    void start(seconds interval, time_point now) noexcept {
        interval_ = interval;
        sent_ = received_ = now;
    }

    /// Bytes were written up to this position. As long as PINGREQ is not among them, the link is slow, not dead.
    void on_sent(packet_log::position written, time_point now) noexcept {
        sent_ = now;
        if (ping_ == ping_state::queued) asked_ = now;
        if (written >= ping_end_) ping_ = ping_state::written;
    }
    void on_received(time_point now) noexcept { received_ = now; }

    /// Makes room: the next ping is recorded without allocating.
    void reserve_ping() { pings_.reserve(1); }
    /// A PINGREQ was queued that ends at this position.
    void on_pingreq(op_id op, packet_log::position end, time_point now) noexcept {
        if (pings_.empty() || (delivery_ == delivery::closed && ping_ == ping_state::written)) asked_ = now;
        pings_.next_reserved() = op;
        ping_end_ = end;
        ping_ = ping_state::queued;
        sent_ = now; // or soon, because it is queued
    }
    /// PINGRESP. False if no ping is unanswered.
    bool on_pingresp(op_id& op, time_point now) noexcept {
        if (pings_.empty()) return false;
        op = pings_.pop_front();
        asked_ = now;
        return true;
    }
    /// The connection is lost. The operations of unanswered pings, one by one.
    bool next_unanswered(op_id& op) noexcept {
        if (pings_.empty()) return false;
        op = pings_.pop_front();
        return true;
    }
    std::size_t unanswered() const noexcept { return pings_.size(); }

    /// Silence does not count while delivery is closed.
    void set_delivery(delivery d, time_point now) noexcept {
        if (delivery_ == d) return;
        delivery_ = d;
        received_ = now;
    }

    /// When the PINGREQ whose PINGRESP is due next was written.
    time_point asked() const noexcept { return asked_; }

    time_point ping_due() const noexcept {
        if (interval_.count() == 0) return time_point::max();
        const auto quiet = interval_ * 3 / 4.0;
        const time_point since = !pings_.empty() || delivery_ == delivery::closed ? sent_ : std::min(sent_, received_);
        return since + std::chrono::duration_cast<time_point::duration>(quiet);
    }

    time_point dead_at() const noexcept {
        const bool is_deaf = delivery_ == delivery::closed;
        if (pings_.empty() || (is_deaf && ping_ == ping_state::written)) return time_point::max();
        constexpr std::chrono::milliseconds longest = std::chrono::seconds(10);
        const bool is_off = interval_.count() == 0; // the owner has requested the ping
        return (is_deaf ? asked_ : std::max(asked_, received_)) +
               (is_off ? longest : std::min(longest, std::chrono::milliseconds(interval_) / 2));
    }

private:
    friend struct session_inspector;

    enum class ping_state : std::uint8_t { queued, written }; // the last PINGREQ

    time_point sent_;
    time_point received_;
    time_point asked_;
    packet_log::position ping_end_ = 0; // where the last PINGREQ ends
    ring<op_id> pings_;                 // whose PINGRESP is due, in order
    seconds interval_{};
    ping_state ping_ = ping_state::written;
    delivery delivery_ = delivery::open;
};

} // namespace tern::detail
