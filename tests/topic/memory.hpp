// Memory under observation: operator new counts, and fails when it is told to.
#pragma once

#include <cstddef>
#include <limits>

namespace topic_tests {

inline constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

inline std::size_t allocations = 0;   // since the beginning
inline std::size_t blocks_in_use = 0; // now
inline std::size_t fail_at = never;   // the allocation that fails, counted like `allocations`

} // namespace topic_tests
