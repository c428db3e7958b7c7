// The number of allocations that this program has made so far.
#pragma once

#include <cstddef>

std::size_t allocations() noexcept;
