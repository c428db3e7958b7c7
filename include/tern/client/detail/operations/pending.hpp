// The operations of a client: those that wait for an event, and completed ones whose handlers have not been called yet.
//
// The session identifies some of them by an op id. Each of these has a slot, whose index is the id minus one. A
// cancelled operation leaves its slot empty but occupied until the session has ended the request. Then the id is free
// for reuse.
#pragma once

#include "tern/client/detail/operations/operation.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/property.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/event.hpp"

#include <cstddef>
#include <cstdint>
#include <new>
#include <system_error>
#include <utility>

namespace tern::detail {

/// The part of an answer that needs no memory.
template <class View>
View without_strings(const View& view) noexcept {
    View copy;
    copy.reason_code = view.reason_code;
    return copy;
}
inline connection_event_view without_strings(connection_event_view view) noexcept {
    view.host = view.reason_string = view.server_reference = view.filter = {};
    view.user_properties = {};
    return view;
}

/// Copies the broker's answer into an operation's result. If allocation fails, the copy has no strings.
template <class Owner, class View>
Owner copy_or_strip(const View& view) noexcept {
    try {
        return Owner(view);
    } catch (const std::bad_alloc&) {
        return Owner(without_strings(view));
    }
}

class pending {
public:
    pending() = default;
    pending(const pending&) = delete;
    pending& operator=(const pending&) = delete;
    ~pending() = default;

    // ---- with an op id

    /// Returns the id of the next operation.
    TERN_INLINE op_id next_id() {
        if (free_ == none) [[unlikely]]
            add_slot();
        return static_cast<op_id>(std::uint64_t{free_} + 1);
    }
    /// Adds an operation with the id `next_id()`.
    void add(operation* op) noexcept {
        slot& s = slots_[free_];
        op->slot = std::exchange(free_, s.next);
        s.op = op;
        move_to(location::slot, op);
    }
    /// Frees the id. Returns its operation, or null if the operation was cancelled.
    operation* take(op_id id) noexcept {
        const auto index = static_cast<std::uint32_t>(static_cast<std::uint64_t>(id) - 1);
        operation* const op = slots_[index].op;
        slots_[index] = {.next = std::exchange(free_, index)};
        return op;
    }

    /// Marks an operation that has a slot with a number from 2^31 on. Its id is free for reuse without the mark.
    void mark(const operation* op, std::uint32_t number) noexcept { slots_[op->slot].next = number; }
    /// Returns the operation in this slot if it has this mark, otherwise null.
    operation* find_marked(std::uint32_t index, std::uint32_t number) const noexcept {
        return index < slots_.size() && slots_[index].next == number ? slots_[index].op : nullptr;
    }

    /// Completes the operation that the session has ended.
    void complete(const completed& e) noexcept {
        operation* const op = take(e.op);
        if (!op) return; // cancelled
        if (op->takes_acknowledgement && has_details(e.answer))
            static_cast<operation_of<acknowledgement>*>(op)->result() = copy_or_strip<acknowledgement>(e.answer);
        complete(op, e.error);
    }

    /// Returns the id of an operation, or `none` if it has no slot.
    static op_id id_of(const operation* op) noexcept {
        return op->where == location::slot ? static_cast<op_id>(std::uint64_t{op->slot} + 1) : op_id::none;
    }

    // ---- without an op id

    /// Returns the number of operations whose handlers have not been called.
    std::size_t size() const noexcept { return size_; }

    bool is_receiving() const noexcept { return !receives_.empty(); }
    bool is_disconnecting() const noexcept { return !disconnects_.empty(); }
    bool awaits_event() const noexcept { return !next_events_.empty(); }

    void add_connect(operation* op) noexcept {
        move_to(location::connect, op);
        connect_ = op;
    }
    void add_next_connect(operation* op) noexcept {
        move_to(location::next_connect, op);
        next_connect_ = op;
    }
    void add_receive(operation* op) noexcept {
        move_to(location::receive, op);
        receives_.push_back(op);
    }
    void add_disconnect(operation* op) noexcept {
        move_to(location::disconnect, op);
        disconnects_.push_back(op);
    }
    void add_next_event(operation* op) noexcept {
        move_to(location::next_event, op);
        next_events_.push_back(op);
    }
    void add_stopped(operation* op) noexcept {
        move_to(location::stopped, op);
        stopped_.push_back(op);
    }
    operation* connect() noexcept { return connect_; }
    operation* take_connect() noexcept { return std::exchange(connect_, nullptr); }
    operation* next_connect() noexcept { return next_connect_; }
    operation* take_next_connect() noexcept { return std::exchange(next_connect_, nullptr); }
    operation* receive() noexcept { return receives_.front(); }
    operation* take_receive() noexcept { return receives_.pop_front(); }
    operation* take_disconnect() noexcept { return disconnects_.pop_front(); }
    operation* take_next_event() noexcept { return next_events_.pop_front(); }
    operation* take_next_event(operation* op) noexcept {
        next_events_.remove(op);
        return op;
    }
    /// Calls `f` with each operation that waits for an event. `f` may take it.
    template <class F>
    void for_each_next_event(F f) {
        next_events_.for_each(f);
    }
    bool awaits_stopped() const noexcept { return !stopped_.empty(); }
    operation* take_stopped() noexcept { return stopped_.pop_front(); }

    /// Frees the slots if none is occupied.
    TERN_NOINLINE void trim() noexcept {
        std::size_t free = 0;
        for (std::uint32_t i = free_; i != none; i = slots_[i].next)
            ++free;
        if (free != slots_.size()) return;
        slots_.clear();
        free_ = none;
        searched_ = 0;
    }

    // ---- the end

    /// Removes a cancelled operation. Returns false if it has already completed.
    bool remove(operation* op) noexcept {
        switch (op->where) {
        case location::none:
        case location::initiating:
        case location::received:
        case location::event:
        case location::done: return false;
        case location::slot: slots_[op->slot].op = nullptr; break;
        case location::connect: connect_ = nullptr; break;
        case location::next_connect: next_connect_ = nullptr; break;
        case location::disconnect: disconnects_.remove(op); break;
        case location::receive: receives_.remove(op); break;
        case location::next_event: next_events_.remove(op); break;
        case location::stopped: stopped_.remove(op); break;
        }
        return true;
    }

    /// Removes and returns any operation that has not completed, or null if there is none.
    TERN_COLD operation* take_any() noexcept {
        if (connect_) return take_connect();
        if (next_connect_) return take_next_connect();
        if (!receives_.empty()) return receives_.pop_front();
        if (!disconnects_.empty()) return disconnects_.pop_front();
        if (!next_events_.empty()) return next_events_.pop_front();
        if (!stopped_.empty()) return stopped_.pop_front();
        for (; searched_ != slots_.size(); ++searched_)
            if (operation* const op = std::exchange(slots_[searched_].op, nullptr)) return op;
        searched_ = 0;
        return nullptr;
    }

    /// Marks an operation as completed. The caller has removed it before, or has never added it. Its handler is called
    /// later.
    void complete(operation* op, std::error_code error) noexcept {
        move_to(location::done, op);
        op->error = error;
        ready_.push_back(op);
    }
    /// Marks a new operation as completed, like `complete`. Its initiation may call the handler.
    void complete_new(operation* op, std::error_code error, location where = location::done) noexcept {
        if (op->where != location::initiating) complete(op, error);
        op->error = error;
        op->where = where;
    }
    /// Marks an operation as completed with messages, like `complete`.
    void complete_with_messages(operation* op) noexcept {
        complete(op, {});
        op->where = location::received;
    }
    /// Marks an operation as completed with an event that is reserved for it, like `complete`.
    void complete_with_event(operation* op) noexcept {
        complete(op, {});
        op->where = location::event;
    }
    /// Removes and returns the next operation whose handler has to be called, or null if there is none.
    operation* take_ready() noexcept {
        if (ready_.empty()) return nullptr;
        --size_;
        return ready_.pop_front();
    }
    bool has_ready() const noexcept { return !ready_.empty(); }
    /// Calls `f` with each operation whose handler has to be called.
    template <class F>
    void for_each_ready(F f) {
        ready_.for_each(f);
    }

    /// Destroys all operations. The destructor of a handler may end other operations or start new ones.
    TERN_COLD void destroy_all() noexcept {
        for (;;) {
            if (operation* const op = take_any()) complete(op, {});
            operation* const op = take_ready();
            if (!op) return;
            op->destroy();
        }
    }

private:
    static constexpr std::uint32_t none = 0xFFFF'FFFF;

    struct slot {
        operation* op = nullptr;
        std::uint32_t next = none; // of a free slot: the next one; otherwise the mark, if there is one
    };

    static bool has_details(const acknowledgement_view& answer) noexcept {
        return answer.reason_code != reason_code::success || is_set(answer.reason_codes) ||
               !is_unset(answer.properties);
    }

    TERN_NOINLINE void add_slot() {
        slots_.push_back({.next = none});
        free_ = static_cast<std::uint32_t>(slots_.size() - 1);
    }

    void move_to(location l, operation* op) noexcept {
        if (op->where <= location::initiating) ++size_;
        op->where = l;
    }

    operation* connect_ = nullptr;
    operation* next_connect_ = nullptr;
    waiting_list receives_;
    waiting_list disconnects_;
    waiting_list next_events_;
    waiting_list stopped_;
    operation_list ready_;
    growing_array<slot> slots_;
    std::uint32_t free_ = none;  // the first free slot
    std::uint32_t searched_ = 0; // the number of slots that `take_any` has searched
    std::uint32_t size_ = 0;
};

} // namespace tern::detail
