// A number that differs between clients and processes, to seed the random part of the waits between attempts.
//
// It is not secret. `std::random_device` would do, but takes a fifth of a second to include.
#pragma once

#include <chrono>
#include <cstdint>

namespace tern::detail {

/// Mixes two clocks, which differ between clients, and an address, which differs between processes.
inline std::uint64_t make_seed(const void* address) noexcept {
    const auto mix = [](std::uint64_t z) noexcept { // splitmix64
        z += 0x9E37'79B9'7F4A'7C15U;
        z = (z ^ (z >> 30U)) * 0xBF58'476D'1CE4'E5B9U;
        z = (z ^ (z >> 27U)) * 0x94D0'49BB'1331'11EBU;
        return z ^ (z >> 31U);
    };
    const auto now = static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    const auto up = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    std::uint64_t seed = mix(now);
    seed = mix(seed ^ up);
    return mix(seed ^ reinterpret_cast<std::uintptr_t>(address));
}

} // namespace tern::detail
