// Random numbers as the seeds for the random waits between attempts.
//
// The system is asked once per process, since a system call can cost more than all else that a new client does.
#pragma once

#include "tern/detail/entropy.hpp"
#include "tern/detail/inline.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>

namespace tern::detail {

// 0 if the system has no entropy source: then the clock alone distinguishes processes.
inline std::uint64_t system_seed() noexcept {
    std::array<char, sizeof(std::uint64_t)> bytes{};
    return fill_with_entropy(bytes) ? 0 : std::bit_cast<std::uint64_t>(bytes);
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
