// The operations that wait for something, and those that are done and wait for their handlers to be called.
//
// What the session knows by an op id has a slot, whose index is the id less one. A cancelled operation leaves
// its slot empty but taken, until the session has ended what was asked for: then the id can be used again.
#pragma once

#include "tern/client/detail/operation.hpp"
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
    op_id next_id() {
        if (free_.empty()) {
            slots_.push_back(nullptr);
            free_.reserve(slots_.size()); // nothing can fail when an id is given back
            free_.push_back(static_cast<std::uint32_t>(slots_.size() - 1));
        }
        return static_cast<op_id>(std::uint64_t{free_.back()} + 1);
    }
    /// Keeps an operation under `next_id()`.
    void add(operation* op) noexcept {
        op->where = free_.back();
        free_.pop_back();
        slots_[op->where] = op;
    }
    /// The id is free again; gives its operation, or null if that was cancelled.
    operation* take(op_id id) noexcept {
        const auto slot = static_cast<std::uint32_t>(static_cast<std::uint64_t>(id) - 1);
        free_.push_back(slot);
        return std::exchange(slots_[slot], nullptr);
    }

    /// The id under which an operation is kept; `none` if it has no id.
    static op_id id_of(const operation* op) noexcept {
        return op->where < operation::is_next_event ? static_cast<op_id>(std::uint64_t{op->where} + 1)
                                                    : op_id::none;
    }

    // ---- without

    bool is_receiving() const noexcept { return !receives_.empty(); }
    bool is_disconnecting() const noexcept { return !disconnects_.empty(); }
    bool awaits_event() const noexcept { return !next_events_.empty(); }

    void add_connect(operation* op) noexcept {
        op->where = operation::is_connect;
        connect_ = op;
    }
    void add_receive(operation* op) noexcept {
        op->where = operation::is_receive;
        receives_.push_back(op);
    }
    void add_disconnect(operation* op) noexcept {
        op->where = operation::is_disconnect;
        disconnects_.push_back(op);
    }
    void add_next_event(operation* op) noexcept {
        op->where = operation::is_next_event;
        next_events_.push_back(op);
    }
    operation* connect() noexcept { return connect_; }
    operation* take_connect() noexcept { return std::exchange(connect_, nullptr); }
    operation* take_receive() noexcept { return receives_.pop_front(); }
    operation* take_disconnect() noexcept { return disconnects_.pop_front(); }
    operation* take_next_event() noexcept { return next_events_.pop_front(); }

    // ---- the end

    /// Takes out one that is cancelled. False if it is done already.
    bool remove(operation* op) noexcept {
        switch (op->where) {
        case operation::is_done: return false;
        case operation::is_connect: connect_ = nullptr; break;
        case operation::is_disconnect: disconnects_.remove(op); break;
        case operation::is_receive: receives_.remove(op); break;
        case operation::is_next_event: next_events_.remove(op); break;
        default: slots_[op->where] = nullptr;
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
            if (operation* const op = std::exchange(slots_[searched_], nullptr)) return op;
        searched_ = 0;
        return nullptr;
    }

    /// It has been taken out: from now on it waits for its handler to be called.
    void done(operation* op, std::error_code error) noexcept {
        op->where = operation::is_done;
        op->error = error;
        ready_.push_back(op);
    }
    /// The next whose handler is to be called; null if there is none.
    operation* take_ready() noexcept { return ready_.empty() ? nullptr : ready_.pop_front(); }
    bool has_ready() const noexcept { return !ready_.empty(); }

    /// Destroys everything. A handler that is destroyed may own what ends other operations, or begins them.
    void destroy_all() noexcept {
        for (;;) {
            operation* op = take_any();
            if (!op) op = take_ready();
            if (!op) return;
            op->destroy();
        }
    }

private:
    operation* connect_ = nullptr;
    operation_list receives_;
    operation_list disconnects_;
    operation_list next_events_;
    operation_list ready_;
    std::vector<operation*> slots_;
    std::vector<std::uint32_t> free_;
    std::size_t searched_ = 0; // so many slots, by `take_any`
};

} // namespace tern::detail
