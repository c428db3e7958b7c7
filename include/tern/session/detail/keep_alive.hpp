// Signs of life on one connection: PINGREQ often enough, the answers to it, and a dead link noticed [§3.1.2.10].
//
//     clock            runs                                          restarted by
//     PINGREQ is due   ¾ of the keep alive; off if that is 0         bytes that are sent, and bytes that are received
//     the link is dead `ack_timeout` after PINGREQ, plus       bytes that are received
//                      the time for the bytes before it
//     the peer is      1.5 times the keep alive, at most 10 min,     bytes that the transport takes
//     stalled          while bytes wait to be written
//
// PINGREQ satisfies the broker [MQTT-3.1.2-20], and notices a link that is dead in the other direction although writes
// succeed. While an answer is due, only what is sent counts. While the session does not read, silence says nothing:
// then only the last clock runs, and PINGREQ follows what was sent.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/send/packet_log.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace tern::detail {

class keep_alive {
public:
    using seconds = std::chrono::duration<std::uint16_t>; // as in the standard

    void start(seconds interval, time_point now) noexcept {
        interval_ = interval;
        sent_ = received_ = now;
    }

    /// Bytes were written up to this position.
    TERN_INLINE void on_sent(const packet_log& log, time_point now) noexcept {
        sent_ = now;
        stalled_since_ = log.empty() ? (time_point::max)() : now;
        if (ping_ == ping_state::queued && log.written() >= ping_end_) {
            ping_ = ping_state::written;
            asked_ = now;
        }
    }
    void on_received(time_point now) noexcept { received_ = now; }

    /// Makes room: the next ping is recorded without allocating.
    void reserve_ping() { pings_.reserve(1); }
    /// A PINGREQ was queued that ends at this position.
    void on_pingreq(op_id op, packet_log::position end, time_point now) noexcept {
        if (pings_.empty()) ping_ = ping_state::queued;
        pings_.next_reserved() = op;
        ping_end_ = end;
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
    /// Frees the memory if it is not in use.
    void trim() noexcept {
        if (pings_.empty()) pings_.clear();
    }
    /// Whether an operation waits for PINGRESP.
    bool has_operations() const noexcept {
        for (std::size_t i = 0; i != pings_.size(); ++i)
            if (pings_[i] != op_id::none) return true;
        return false;
    }
    /// Ends the operations: the answers are still due. `end(op)` is called for each.
    template <class End>
    TERN_COLD void end_operations(End end) {
        for (std::size_t i = 0; i != pings_.size(); ++i)
            if (pings_[i] != op_id::none) end(std::exchange(pings_[i], op_id::none));
    }
    /// The end of the last PINGREQ among the bytes to be written.
    packet_log::position ping_end() const noexcept { return ping_end_; }
    /// When the PINGREQ whose PINGRESP is due next was written.
    time_point asked() const noexcept { return asked_; }

    /// Whether the session reads what the broker sends.
    bool is_reading() const noexcept { return reading_; }
    void set_reading(bool reading, time_point now) noexcept {
        if (reading_ == reading) return;
        reading_ = reading;
        received_ = now;
    }
    /// The client did not run for some time: nothing of that time counts.
    void restart(time_point now) noexcept {
        received_ = now;
        if (stalled_since_ != (time_point::max)()) stalled_since_ = now;
    }

    time_point ping_due() const noexcept {
        if (interval_.count() == 0) return (time_point::max)();
        const time_point since = !pings_.empty() || !reading_ ? sent_ : (std::min)(sent_, received_);
        return since + std::chrono::milliseconds(interval_) * 3 / 4;
    }

    /// When PINGRESP is late. It may take as long as `answer_time`; 0: a default. The broker has processed the bytes
    /// before
    /// `processed`.
    time_point dead_at(packet_log::position processed, std::chrono::milliseconds answer_time) const noexcept {
        if (pings_.empty() || !reading_ || ping_ == ping_state::queued) return (time_point::max)();
        if (answer_time.count() == 0) answer_time = std::chrono::seconds(20);
        return (std::max)(asked_, received_) + answer_time + time_to_pass(processed, ping_end_);
    }

    /// When a peer that takes no byte is stalled. If it is not known since when bytes wait, this is the time to find
    /// out:
    /// `on_stall_deadline` starts the clock.
    time_point stalled_at(bool bytes_wait) const noexcept {
        if (!bytes_wait) return (time_point::max)();
        return stalled_since_ == (time_point::max)() ? sent_ + std::chrono::seconds(1) : stalled_since_ + stall_limit();
    }
    /// Returns whether the peer is stalled.
    bool on_stall_deadline(time_point now) noexcept {
        if (stalled_since_ == (time_point::max)()) stalled_since_ = now;
        return now >= stalled_since_ + stall_limit();
    }

private:
    friend struct session_inspector;

    enum class ping_state : std::uint8_t { queued, written }; // the oldest PINGREQ without an answer

    std::chrono::milliseconds stall_limit() const noexcept {
        const auto limit = std::chrono::milliseconds(interval_) * 3 / 2;
        return limit.count() == 0 ? longest_answer_time : (std::min)(limit, longest_answer_time);
    }

    time_point sent_;
    time_point received_;
    time_point asked_;
    time_point stalled_since_ =
        (time_point::max)();            // when the peer last took bytes and left others; the maximum: unknown
    packet_log::position ping_end_ = 0; // where the last PINGREQ ends
    ring<op_id> pings_;                 // whose PINGRESP is due, in order
    seconds interval_{};
    ping_state ping_ = ping_state::written;
    bool reading_ = true;
};

} // namespace tern::detail
