// A random number from the operating system, as the seed for the random waits between attempts.
//
// It comes from `getentropy` where that exists, because including `<random>` takes a fifth of a second.
#pragma once

#include <cstdint>

#if __has_include(<sys/random.h>)
#include <sys/random.h>
#if defined(__APPLE__) || defined(__GLIBC__)
#include <unistd.h>
#define TERN_HAS_GETENTROPY 1
#endif
#endif
#if !defined(TERN_HAS_GETENTROPY)
#include <random>
#endif

namespace tern::detail {

inline std::uint64_t random_seed() {
#if defined(TERN_HAS_GETENTROPY)
    std::uint64_t seed = 0;
    if (getentropy(&seed, sizeof seed) == 0) return seed;
    return static_cast<std::uint64_t>(::getpid()) * 0x9E37'79B9'7F4A'7C15U; // the system has no entropy source
#else
    std::random_device random;
    return std::uint64_t{random()} << 32U ^ random();
#endif
}

} // namespace tern::detail

#undef TERN_HAS_GETENTROPY
