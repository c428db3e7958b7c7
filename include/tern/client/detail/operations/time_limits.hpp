// The time limits of operations that the application has limited.
//
// An operation that ends in time leaves its entry here: to remove it would cost each message. An entry counts if the
// slot of its operation still has the mark that the entry has. Entries that do not count are removed when they are in
// the majority.
//
// A limit is believed when everything received before it has been processed, and the session's events have been taken.
// A request that is not sent is then withdrawn. A request that was sent continues without its operation, as after a
// cancellation.
#pragma once

#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/pending.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/session.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

/// Withdraws the request of an operation that ends before its answer. The caller completes the operation.
enum class withdrawal : std::uint8_t {
    done,    ///< nothing was sent
    late,    ///< the request continues without its operation
    refused, ///< the operation has already ended
};
TERN_COLD inline withdrawal withdraw(operation* op, session& s, pending& operations, time_point now) {
    const op_id id = pending::id_of(op);
    if (id == op_id::none || !s.cancel(id, now)) return operations.remove(op) ? withdrawal::late : withdrawal::refused;
    operations.take(id);
    return withdrawal::done;
}

/// Allocated with the first limit.
class time_limits {
public:
    time_limits(session& s, pending& operations) noexcept : session_(s), pending_(operations) {}
    time_limits(const time_limits&) = delete;
    time_limits& operator=(const time_limits&) = delete;
    ~time_limits() = default;

    /// When the next limit is over, or earlier. The driver refers to this.
    const time_point& next() const noexcept { return next_; }

    /// Makes room for one limit, before the request is made. Returns false, and completes the operation, if an
    /// operation cannot have this limit.
    template <class Operation>
    TERN_COLD bool prepare(Operation& op, std::chrono::milliseconds limit) {
        if (!is_valid_duration(limit)) {
            pending_.complete_new(op.release(), misuse(errc::invalid_operation_timeout));
            return false;
        }
        reserve();
        return true;
    }
    /// Limits an operation whose request was made, unless it has already ended.
    TERN_COLD void add(operation* op, time_point deadline) noexcept {
        if (op->where != location::slot) return;
        limits& l = *limits_;
        l.next_mark = l.next_mark == last_mark ? first_mark : l.next_mark + 1;
        pending_.mark(op, l.next_mark);
        l.entries.push_back({deadline, op->slot, l.next_mark});
        std::push_heap(l.entries.begin(), l.entries.end(), is_after);
        next_ = l.entries[0].deadline;
    }

    /// A deadline of the session or a limit is reached, and everything received before was processed.
    TERN_COLD void on_deadline(time_point now) {
        session_.on_deadline(now);
        reached_ = now;
    }
    /// Ends the operations whose limit is over. Returns whether the session may have events about that.
    TERN_INLINE bool end_late() {
        if (reached_ < next_) [[likely]]
            return false;
        end_all_late();
        return true;
    }

    /// Frees the memory that is not in use.
    TERN_COLD void trim() noexcept {
        if (!limits_) return;
        drop_stale();
        if (limits_->entries.empty()) limits_.reset();
    }

private:
    // Marks differ from what a slot without a limit has. Until the marks repeat, a stale entry has been removed.
    static constexpr std::uint32_t first_mark = 0x8000'0000;
    static constexpr std::uint32_t last_mark = 0xFFFF'FFFE;
    static constexpr std::size_t few = 64; // entries, which may all be stale

    struct entry {
        time_point deadline;
        std::uint32_t slot = 0;
        std::uint32_t mark = 0;
    };
    struct limits {
        growing_array<entry> entries; // a heap
        std::uint32_t next_mark = last_mark;
        std::size_t most = few; // entries, until stale ones are removed
    };

    // Operations with the same limit end in the order of their calls.
    static bool is_after(const entry& a, const entry& b) noexcept {
        return a.deadline != b.deadline ? a.deadline > b.deadline : a.mark > b.mark;
    }

    TERN_COLD void reserve() {
        if (!limits_) limits_.emplace();
        if (limits_->entries.size() >= limits_->most) drop_stale();
        limits_->entries.reserve(limits_->entries.size() + 1);
    }

    TERN_COLD void drop_stale() noexcept {
        growing_array<entry>& entries = limits_->entries;
        entries.erase_if([&](const entry& e) { return !pending_.find_marked(e.slot, e.mark); });
        std::make_heap(entries.begin(), entries.end(), is_after);
        limits_->most = (std::max)(few, 2 * entries.size());
        update_next();
    }

    TERN_COLD void end_all_late() {
        growing_array<entry>& entries = limits_->entries;
        while (!entries.empty() && entries[0].deadline <= reached_) {
            std::pop_heap(entries.begin(), entries.end(), is_after);
            const entry e = entries.back();
            entries.pop_back();
            operation* const op = pending_.find_marked(e.slot, e.mark);
            if (!op) continue;
            const bool is_unsent = withdraw(op, session_, pending_, reached_) == withdrawal::done;
            pending_.complete(op,
                              is_unsent ? misuse(errc::operation_timeout) : outcome_unknown(errc::operation_timeout));
        }
        update_next();
    }

    void update_next() noexcept {
        next_ = limits_->entries.empty() ? (time_point::max)() : limits_->entries[0].deadline;
    }

    session& session_;
    pending& pending_;
    heap_optional<limits> limits_;
    time_point next_ = (time_point::max)();
    time_point reached_ = (time_point::min)();
};

} // namespace tern::detail
