// The operations that wait for something, and those that are done and wait for their handlers to be called.
//
// What the session knows by an op id has a slot, whose index is the id less one. A cancelled operation leaves
// its slot empty but taken, until the session has ended what was asked for: then the id can be used again.
#pragma once

#include "tern/client/detail/operations/operation.hpp"
#include "tern/inline.hpp"
#include "tern/session/event.hpp"

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::detail {

class pending {
public:
    pending() = default;
    pending(const pending&) = delete;
    pending& operator=(const pending&) = delete;
    ~pending() = default;

    // ---- with an op id

    /// The id that the next operation will have.
    TERN_INLINE op_id next_id() {
        if (free_ == none) [[unlikely]]
            add_slot();
        return static_cast<op_id>(std::uint64_t{free_} + 1);
    }
    /// Keeps an operation under `next_id()`.
    void add(operation* op) noexcept {
        slot& s = slots_[free_];
        op->slot = std::exchange(free_, s.next);
        put(op, location::slot);
        s.op = op;
    }
    /// The id is free again; gives its operation, or null if that was cancelled.
    operation* take(op_id id) noexcept {
        const auto index = static_cast<std::uint32_t>(static_cast<std::uint64_t>(id) - 1);
        operation* const op = slots_[index].op;
        slots_[index] = {.next = std::exchange(free_, index)};
        return op;
    }

    /// The id under which an operation is kept; `none` if it has no id.
    static op_id id_of(const operation* op) noexcept {
        return op->where == location::slot ? static_cast<op_id>(std::uint64_t{op->slot} + 1) : op_id::none;
    }

    // ---- without

    /// So many have come, and their handlers have not been called.
    std::size_t size() const noexcept { return size_; }

    bool is_receiving() const noexcept { return !receives_.empty(); }
    bool is_disconnecting() const noexcept { return !disconnects_.empty(); }
    bool awaits_event() const noexcept { return !next_events_.empty(); }

    void add_connect(operation* op) noexcept {
        put(op, location::connect);
        connect_ = op;
    }
    void add_receive(operation* op) noexcept {
        put(op, location::receive);
        receives_.push_back(op);
    }
    void add_disconnect(operation* op) noexcept {
        put(op, location::disconnect);
        disconnects_.push_back(op);
    }
    void add_next_event(operation* op) noexcept {
        put(op, location::next_event);
        next_events_.push_back(op);
    }
    operation* connect() noexcept { return connect_; }
    operation* take_connect() noexcept { return std::exchange(connect_, nullptr); }
    operation* receive() noexcept { return receives_.front(); }
    operation* take_receive() noexcept { return receives_.pop_front(); }
    operation* take_disconnect() noexcept { return disconnects_.pop_front(); }
    operation* take_next_event() noexcept { return next_events_.pop_front(); }

    // ---- the end

    /// Takes out one that is cancelled. False if it is done already.
    bool remove(operation* op) noexcept {
        switch (op->where) {
        case location::done: return false;
        case location::connect: connect_ = nullptr; break;
        case location::disconnect: disconnects_.remove(op); break;
        case location::receive: receives_.remove(op); break;
        case location::next_event: next_events_.remove(op); break;
        case location::slot: slots_[op->slot].op = nullptr; break;
        case location::none: break;
        }
        return true;
    }

    /// Takes out any operation that is not yet done; null if there is none.
    operation* take_any() noexcept {
        if (connect_) return take_connect();
        if (!receives_.empty()) return receives_.pop_front();
        if (!disconnects_.empty()) return disconnects_.pop_front();
        if (!next_events_.empty()) return next_events_.pop_front();
        for (; searched_ != slots_.size(); ++searched_)
            if (operation* const op = std::exchange(slots_[searched_].op, nullptr)) return op;
        searched_ = 0;
        return nullptr;
    }

    /// It has been taken out: from now on it waits for its handler to be called.
    void done(operation* op, std::error_code error) noexcept {
        put(op, location::done);
        op->error = error;
        ready_.push_back(op);
    }
    /// The next whose handler is to be called; null if there is none.
    operation* take_ready() noexcept {
        if (ready_.empty()) return nullptr;
        --size_;
        return ready_.pop_front();
    }
    bool has_ready() const noexcept { return !ready_.empty(); }

    /// Destroys everything. A handler that is destroyed may own what ends other operations, or begins them.
    void destroy_all() noexcept {
        for (;;) {
            if (operation* const op = take_any()) done(op, {});
            operation* const op = take_ready();
            if (!op) return;
            op->destroy();
        }
    }

private:
    static constexpr std::uint32_t none = 0xFFFF'FFFF;

    TERN_NOINLINE void add_slot() {
        slots_.push_back({.next = none});
        free_ = static_cast<std::uint32_t>(slots_.size() - 1);
    }

    void put(operation* op, location where) noexcept {
        if (op->where == location::none) ++size_;
        op->where = where;
    }

    operation* connect_ = nullptr;
    operation_list receives_;
    operation_list disconnects_;
    operation_list next_events_;
    operation_list ready_;
    struct slot {
        operation* op = nullptr;
        std::uint32_t next = none; // that is free
    };
    std::vector<slot> slots_;
    std::uint32_t free_ = none;  // the first slot that is
    std::uint32_t searched_ = 0; // so many slots, by `take_any`
    std::uint32_t size_ = 0;
};

} // namespace tern::detail
