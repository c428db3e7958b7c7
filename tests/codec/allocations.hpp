// Counts the allocations of this program since its start.
#pragma once

#include <cstddef>

std::size_t allocations() noexcept;
