// Copies the broker's answer into an operation's result; if memory runs out, without its strings.
#pragma once

#include "tern/session/event.hpp"

#include <new>

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
    return view;
}

template <class Owner, class View>
Owner copy_or_strip(const View& view) noexcept {
    try {
        return Owner(view);
    } catch (const std::bad_alloc&) {
        return Owner(without_strings(view));
    }
}

} // namespace tern::detail
