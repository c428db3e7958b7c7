// Time as the session sees it: an argument. The session has no clock.
#pragma once

#include "tern/detail/compiler.hpp"

#include <chrono>

namespace tern {

/// A point in time that the owner of a session passes to it. The session only compares and adds, so the owner may use
/// any clock that does not go back.
using time_point = std::chrono::steady_clock::time_point;

namespace detail {

// Whether an option may have this duration.
constexpr bool is_valid_duration(std::chrono::milliseconds time) noexcept {
    return time.count() >= 0 && time <= std::chrono::years(1);
}

} // namespace detail
} // namespace tern
