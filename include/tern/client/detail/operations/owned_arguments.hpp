// Arguments of operations that own their contents. An operation that starts later keeps one that was passed as an
// rvalue. Of another one it has the view.
#pragma once

#include "tern/message.hpp"
#include "tern/session/filter_list.hpp"
#include "tern/session/owned_connect_options.hpp"
#include "tern/session/subscription_list.hpp"

#include <concepts>
#include <string_view>
#include <type_traits>

namespace tern::detail {

/// An argument whose type is `Owner`, or derived from it. The type is deduced, so that a braced list never is one.
template <class T, class Owner>
concept argument_of = std::derived_from<std::remove_cvref_t<T>, Owner>;

/// A topic filter. A braced list of two texts would be the iterators of one.
template <class T>
concept filter_text = std::is_convertible_v<const T&, std::string_view>;

template <class T>
concept owning_argument = argument_of<T, message> || argument_of<T, owned_connect_options> ||
                          argument_of<T, subscription_list> || argument_of<T, filter_list>;

/// The argument as the engine takes it: the view of one that owns its contents.
template <class T>
constexpr decltype(auto) to_start(const T& argument) noexcept {
    if constexpr (owning_argument<T>)
        return argument.view();
    else
        return (argument);
}

/// The part of an owning argument that the operation stores until it starts.
template <owning_argument T>
constexpr decltype(auto) to_keep(T&& argument) noexcept {
    if constexpr (!std::is_same_v<T, std::remove_cvref_t<T>>)
        return to_start(argument);
    else if constexpr (argument_of<T, message>)
        return static_cast<message&&>(argument); // a received message is acknowledged by its owner, not from here
    else
        return static_cast<T&&>(argument);
}

} // namespace tern::detail
