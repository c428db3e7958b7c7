// The only source of chance in a network in memory.
#pragma once

#include <cstdint>
#include <random>

namespace tern::testing::detail {

class random_source {
public:
    explicit random_source(std::uint64_t seed) : engine_(seed) {}

    // From 0 to limit - 1. The distributions of the standard library differ from one to the other.
    std::uint64_t below(std::uint64_t limit) { return limit == 0 ? engine_() : engine_() % limit; }

private:
    std::mt19937_64 engine_;
};

} // namespace tern::testing::detail
