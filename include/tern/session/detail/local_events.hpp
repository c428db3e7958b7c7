// Events that no packet causes: changes of the connection, and drains that end.
#pragma once

#include "tern/session/detail/memory/ring.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

/// The connection events that the owner has not polled yet. The owner borrows the first one until it polls again.
class connection_events {
public:
    void push(const connection_event_view& e) { events_.push_back(connection_event(e)); }
    bool empty() const noexcept { return events_.empty(); }
    std::size_t size() const noexcept { return events_.size(); }

    /// Fills in the next event. False if there is none.
    bool next(polled_event& next) {
        if (front_ == front_state::borrowed) {
            events_.drop_front();
            front_ = front_state::unreported;
        }
        if (events_.empty()) {
            events_.clear(); // frees the memory: connection events are rare
            return false;
        }
        front_ = front_state::borrowed;
        next.emplace<connection_event_view>(events_.front().view());
        return true;
    }

private:
    friend struct session_inspector;

    enum class front_state : std::uint8_t { unreported, borrowed };

    ring<connection_event> events_;
    front_state front_ = front_state::unreported;
};

enum class drain_result : std::uint8_t { none, drained, timed_out };

/// The operations that wait until no publish is unfinished, or until their deadline.
class drain_list {
public:
    bool empty() const noexcept { return waiting_.empty(); }
    std::size_t size() const noexcept { return waiting_.size(); }

    void add(op_id op, time_point deadline) { waiting_.push_back({op, deadline}); }

    /// False if the operation does not wait here.
    bool cancel(op_id op) noexcept {
        for (std::size_t n = waiting_.size(); n != 0; --n) {
            const waiting w = waiting_.pop_front();
            if (w.op == op) return true;
            waiting_.push_back(w);
        }
        return false;
    }

    op_id pop() noexcept { return waiting_.pop_front().op; }

    /// Removes the next operation that has ended.
    drain_result next(bool is_drained, time_point now, op_id& op) noexcept {
        for (std::size_t n = waiting_.size(); n != 0; --n) {
            const waiting w = waiting_.pop_front();
            op = w.op;
            if (is_drained) return drain_result::drained;
            if (w.deadline <= now) return drain_result::timed_out;
            waiting_.push_back(w);
        }
        return drain_result::none;
    }

    time_point next_deadline() const noexcept {
        time_point next = time_point::max();
        for (std::size_t i = 0; i != waiting_.size(); ++i)
            next = std::min(next, waiting_[i].deadline);
        return next;
    }

private:
    friend struct session_inspector;

    struct waiting {
        op_id op = op_id::none;
        time_point deadline;
    };

    ring<waiting> waiting_;
};

} // namespace tern::detail
