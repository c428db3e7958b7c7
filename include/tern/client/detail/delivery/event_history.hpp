// The newest events of a client. They are numbered, so that each listener knows which one it needs next.
//
// As long as only the client's own position is in use, an event is dropped when it was read. An `event_position`
// belongs to a listener that the client does not know: from its first use on, all of the newest events are kept.
#pragma once

#include "tern/client/detail/operations/pending.hpp"
#include "tern/client/event_position.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/event.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace tern::detail {

class event_history {
public:
    /// Adds an event. If allocation fails, the oldest event makes room. If there is none, the event is counted, but not
    /// kept, and the result is false.
    TERN_COLD bool push(const connection_event_view& e) noexcept {
        connection_event copy = copy_or_strip<connection_event>(e);
        ++end_;
        if (events_.size() == most_events) events_.pop_front();
        try {
            events_.reserve(1);
        } catch (const std::bad_alloc&) {
            if (events_.empty()) return false;
            events_.pop_front();
        }
        events_.push_back(std::move(copy));
        return true;
    }

    /// Returns the listener's cursor. From now on read events are kept. Throws if allocation fails.
    TERN_COLD event_cursor& cursor_of(event_position& position) {
        if (!identity_) identity_ = std::make_shared<char>();
        return position.among_events_of(identity_);
    }

    /// Begins at the oldest event, if the cursor is new.
    void begin(event_cursor& at) const noexcept {
        if (at.next == event_cursor::unset) at.next = first();
    }
    /// Returns whether there is an event for a further operation at this cursor.
    bool has_next(const event_cursor& at) const noexcept { return end_ - (std::max)(at.next, first()) > at.reserved; }

    /// Returns the event that was reserved at this cursor, and advances the cursor.
    TERN_COLD connection_event read(event_cursor& at) noexcept {
        if (at.next < first()) {
            at.missed += first() - at.next;
            at.next = first();
        }
        --at.reserved;
        const std::uint64_t number = at.next++;
        const auto index = static_cast<std::uint32_t>(number - first()); // few events are kept
        if (identity_) return copy_or_strip<connection_event>(events_[index].view());
        connection_event only = events_.pop_front(); // the client's own position reads all events in turn
        if (events_.empty()) events_.clear();        // frees the memory: events are rare
        return only;
    }
    /// Skips the last event, which was not kept, because an operation receives it directly. Returns false if another
    /// one has received it.
    bool skip_last(event_cursor& at) const noexcept { return std::exchange(at.next, end_) != end_; }

private:
    static constexpr std::size_t most_events = 64; // beyond this number the oldest are dropped

    std::uint64_t first() const noexcept { return end_ - events_.size(); }

    ring<connection_event> events_;
    std::uint64_t end_ = 1;                // the number of the next event
    std::shared_ptr<const void> identity_; // set by the first `event_position`
};

} // namespace tern::detail
