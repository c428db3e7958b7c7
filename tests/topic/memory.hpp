// Counts allocations, and makes a chosen one fail.
#pragma once

#include <cstddef>
#include <limits>

namespace topic_tests {

inline constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

inline std::size_t allocations = 0;   // since the start of the program
inline std::size_t blocks_in_use = 0; // now
inline std::size_t fail_at = never;   // the index of the allocation that fails, counted like `allocations`

} // namespace topic_tests
