// Counts and limits the allocations of this program.
#pragma once

#include <cstddef>

namespace heap {

/// The number of allocations so far.
std::size_t allocations() noexcept;

/// The bytes in use, and their maximum since `forget_peak`.
std::size_t live() noexcept;
std::size_t peak() noexcept;
void forget_peak() noexcept;

/// Makes allocations fail after `count` more of them. `refill` ends that.
void allow(std::size_t count) noexcept;
void refill() noexcept;

} // namespace heap
