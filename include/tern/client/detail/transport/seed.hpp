// Random numbers as the seeds for the random waits between attempts.
//
// The system is asked once per process, since a system call can cost more than all else that a new client does. It is
// asked with `getentropy` where that exists, because including `<random>` takes a fifth of a second.
#pragma once

#include "tern/detail/inline.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>

#if __has_include(<sys/random.h>)
#include <sys/random.h>
#if defined(__APPLE__) || defined(__FreeBSD__) || (defined(__linux__) && !defined(__ANDROID__))
#include <unistd.h>
#define TERN_HAS_GETENTROPY 1
#endif
#endif
#if !defined(TERN_HAS_GETENTROPY)
#include <random>
#endif

namespace tern::detail {

inline std::uint64_t system_seed() {
#if defined(TERN_HAS_GETENTROPY)
    std::uint64_t seed = 0;
    if (getentropy(&seed, sizeof seed) == 0) return seed;
    return static_cast<std::uint64_t>(::getpid()) * 0x9E37'79B9'7F4A'7C15U; // the system has no entropy source
#else
    std::random_device random;
    return std::uint64_t{random()} << 32U ^ random();
#endif
}

/// Returns a seed for one client. The counter distinguishes the clients of a process, and the clock those of processes
/// that have forked after the first client.
TERN_COLD inline std::uint64_t random_seed() {
    static const std::uint64_t of_process = system_seed();
    static std::atomic<std::uint64_t> clients = 0;
    const auto now = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    const std::uint64_t number = clients.fetch_add(1, std::memory_order_relaxed);
    return of_process ^ now * 0xD6E8'FEB8'6659'FD93U ^ number * 0xCA5A'8263'95FC'BB8BU;
}

} // namespace tern::detail

#undef TERN_HAS_GETENTROPY
