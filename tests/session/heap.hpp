// What this program has asked of the heap.
#pragma once

#include <cstddef>

namespace heap {

/// The number of allocations so far.
std::size_t allocations() noexcept;

/// The bytes in use, and the most that have ever been in use since `forget_peak`.
std::size_t live() noexcept;
std::size_t peak() noexcept;
void forget_peak() noexcept;

/// After so many more allocations there is no memory; `refill` brings it back.
void allow(std::size_t count) noexcept;
void refill() noexcept;

} // namespace heap
