// The operations that wait until no publish is unfinished, or until their deadline.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/send/op_index.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

enum class drain_result : std::uint8_t { none, drained, timed_out };

/// Allocated with the first operation.
class drain_list {
public:
    bool empty() const noexcept { return !list_ || size() == 0; }
    std::size_t size() const noexcept {
        return list_ ? list_->waiting.size() - list_->gaps + list_->expired.size() : 0;
    }

    TERN_COLD void add(op_id op, time_point deadline) {
        if (!list_) list_.emplace();
        list_->expired.reserve(list_->waiting.size() + 1); // it must be able to end without allocating
        list_->waiting.push_back({op, deadline, list_->next_number++});
        list_->next_check = (std::min)(list_->next_check, deadline);
    }

    /// False if the operation does not wait here, or has ended already.
    TERN_COLD bool cancel(op_id op) noexcept {
        if (!list_) return false;
        waiting* const w = list_->index.find(list_->waiting, op, [](const waiting& each) { return each.number; });
        if (!w) return false;
        w->op = op_id::none;
        if (++list_->gaps * 2 > list_->waiting.size()) check_drains((time_point::min)());
        return true;
    }

    /// Removes any operation. There must be one.
    TERN_COLD op_id pop() noexcept {
        if (!list_->expired.empty()) return list_->expired.pop_front();
        for (;; --list_->gaps)
            if (const waiting w = list_->waiting.pop_front(); w.op != op_id::none) return w.op;
    }

    /// Removes the next operation that has ended.
    drain_result next(bool is_drained, time_point now, op_id& op) noexcept {
        if (empty()) return drain_result::none;
        if (now >= list_->next_check) check_drains(now);
        if (list_->expired.empty() && !is_drained) return drain_result::none;
        const auto result = list_->expired.empty() ? drain_result::drained : drain_result::timed_out;
        op = pop();
        return result;
    }

    /// When the next deadline is over, or shortly after: a check for each of many would be too frequent.
    time_point next_deadline() const noexcept { return empty() ? (time_point::max)() : list_->next_check; }

    /// Frees the memory if it is not in use.
    void trim() noexcept {
        if (empty()) list_.reset();
    }

private:
    friend struct session_inspector;

    static constexpr std::chrono::milliseconds granularity{100};

    struct waiting {
        op_id op = op_id::none; // `none`: it was cancelled
        time_point deadline;
        std::uint64_t number = 0;
    };
    struct lists {
        ring<detail::drain_list::waiting> waiting;
        ring<op_id> expired; // has room for all that wait
        op_index index;
        std::size_t gaps = 0;
        std::uint64_t next_number = 0;
        time_point next_check = (time_point::max)();
    };

    // Ends the operations whose deadline is over, and closes the gaps.
    TERN_COLD void check_drains(time_point now) noexcept {
        time_point next = (time_point::max)();
        for (std::size_t n = list_->waiting.size(); n != 0; --n) {
            const waiting w = list_->waiting.pop_front();
            if (w.op == op_id::none) continue;
            if (w.deadline <= now) {
                list_->expired.push_back(w.op);
            } else {
                list_->waiting.push_back(w);
                next = (std::min)(next, w.deadline);
            }
        }
        list_->gaps = 0;
        const bool is_bounded = next != (time_point::max)() && now != (time_point::min)();
        list_->next_check = is_bounded ? (std::max)(next, now + granularity) : next;
    }

    heap_optional<lists> list_;
};

} // namespace tern::detail
