// Copies of what the caller of a request passes by view.
#pragma once

#include "tern/detail/fields.hpp"
#include "tern/message.hpp"

namespace tern::detail {

/// Properties as an owner of their strings.
template <class Properties>
struct visited_properties : Properties {
    template <class F>
    static void visit(visited_properties& view, F&& f) {
        visit_borrowed(static_cast<Properties&>(view), f, typename Properties::fields{});
    }
};
template <class Properties>
using stored_properties = owned<visited_properties<Properties>>;

template <class Properties>
stored_properties<Properties> store_properties(const Properties& properties) {
    return stored_properties<Properties>(visited_properties<Properties>{properties});
}

} // namespace tern::detail
