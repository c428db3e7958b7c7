// The only source of random numbers of the in-memory network.
#pragma once

#include <cstdint>
#include <random>

namespace tern::testing::detail {

class random_source {
public:
    explicit random_source(std::uint64_t seed) : engine_(seed) {}

    // Returns a number from 0 to limit - 1, or any if limit is 0. Standard distributions would differ between
    // implementations of the library.
    std::uint64_t below(std::uint64_t limit) { return limit == 0 ? engine_() : engine_() % limit; }

private:
    std::mt19937_64 engine_;
};

} // namespace tern::testing::detail
