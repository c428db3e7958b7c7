// Copies what the broker has said for who has asked. An operation ends also when there is no memory for all of it.
#pragma once

#include "tern/session/event.hpp"

#include <new>

namespace tern::detail {

/// What needs no memory.
template <class View>
View bare(const View& view) noexcept {
    View copy;
    copy.reason_code = view.reason_code;
    return copy;
}
inline connection_event_view bare(connection_event_view view) noexcept {
    view.host = view.reason_string = view.server_reference = view.filter = {};
    return view;
}

/// An owner of what the view says, or else of as much as needs no memory.
template <class Owner, class View>
Owner copy_of(const View& view) noexcept {
    try {
        return Owner(view);
    } catch (const std::bad_alloc&) {
        return Owner(bare(view));
    }
}

} // namespace tern::detail
