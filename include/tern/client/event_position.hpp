// A listener's position among the events of a client.
#pragma once

#include <cstdint>
#include <memory>

namespace tern {
namespace detail {

/// The position of a listener among numbered events.
struct event_cursor {
    static constexpr std::uint64_t unset = 0;

    std::uint64_t next = unset; ///< the number of the next event; `unset`: the oldest that is kept
    std::uint64_t missed = 0;
    std::uint32_t reserved = 0; ///< events for operations that have completed, but whose handlers were not called yet
};

} // namespace detail

/// The position of one listener among the events of a client, for `async_next_event`. Each listener has its own
/// position, and so each sees every event.
///
/// A new position begins at the oldest event that the client keeps. A copy continues independently where the original
/// is. With another client, a position begins again, at the oldest event of that client.
class event_position {
public:
    event_position() = default;
    /// Copies the position. Operations that wait at `other` are not copied.
    event_position(const event_position& other) noexcept
        : client_(other.client_)
        , cursor_{other.cursor_.next, other.cursor_.missed} {}
    event_position& operator=(const event_position& other) noexcept {
        if (this == &other) return *this;
        client_ = other.client_;
        cursor_ = {other.cursor_.next, other.cursor_.missed};
        return *this;
    }
    ~event_position() = default;

    /// Returns how many events this listener has missed, because the client had dropped them before the listener asked
    /// for them.
    std::uint64_t missed() const noexcept { return cursor_.missed; }

    /// For the client, which `identity` stands for: returns the position among its events.
    detail::event_cursor& among_events_of(const std::shared_ptr<const void>& identity) noexcept {
        if (client_.owner_before(identity) || identity.owner_before(client_)) {
            client_ = identity;
            cursor_ = {};
        }
        return cursor_;
    }

private:
    std::weak_ptr<const void> client_; // identifies it, also when another one has its address
    detail::event_cursor cursor_;
};

} // namespace tern
