// Unpredictable bytes of the system.
//
// `getentropy` is used where it exists, because including `<random>` takes a fifth of a second.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <system_error>

#if __has_include(<sys/random.h>)
#include <sys/random.h>
#if defined(__APPLE__) || defined(__FreeBSD__) || (defined(__linux__) && !defined(__ANDROID__))
#include <unistd.h>
#define TERN_HAS_GETENTROPY 1
#endif
#endif
#if !defined(TERN_HAS_GETENTROPY)
#include <algorithm>
#include <exception>
#include <random>
#endif

namespace tern::detail {

/// Fills at most 256 bytes.
inline std::error_code fill_with_entropy(std::span<char> bytes) noexcept {
#if defined(TERN_HAS_GETENTROPY)
    if (getentropy(bytes.data(), bytes.size()) == 0) return {};
    return {errno, std::generic_category()};
#else
    try {
        std::random_device random;
        while (!bytes.empty()) {
            const std::uint32_t word = random();
            const std::size_t count = (std::min)(bytes.size(), sizeof word);
            std::memcpy(bytes.data(), &word, count);
            bytes = bytes.subspan(count);
        }
        return {};
    } catch (const std::exception&) {
        return std::make_error_code(std::errc::no_such_device);
    }
#endif
}

} // namespace tern::detail

#undef TERN_HAS_GETENTROPY
