// Masking of frames from a client (RFC 6455 §5.3): byte i of the payload is combined with byte i mod 4 of the key.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tern::detail {

using mask_key = std::array<char, 4>;

/// Copies bytes and masks or unmasks them, with any alignment. `offset` is the position of the first byte in the
/// payload. The two ranges must not overlap.
inline void copy_masked(const char* from, std::size_t size, char* to, const mask_key& key,
                        std::size_t offset) noexcept {
    struct words {
        std::uint64_t at[4];
    };
    char pattern[8];
    for (std::size_t i = 0; i != 8; ++i)
        pattern[i] = key[(offset + i) % 4];
    std::uint64_t mask = 0;
    std::memcpy(&mask, pattern, sizeof mask);

    for (; size >= sizeof(words); from += sizeof(words), to += sizeof(words), size -= sizeof(words)) {
        words block;
        std::memcpy(&block, from, sizeof block);
        for (std::uint64_t& word : block.at)
            word ^= mask;
        std::memcpy(to, &block, sizeof block);
    }
    for (; size >= sizeof mask; from += sizeof mask, to += sizeof mask, size -= sizeof mask) {
        std::uint64_t word = 0;
        std::memcpy(&word, from, sizeof word);
        word ^= mask;
        std::memcpy(to, &word, sizeof word);
    }
    for (std::size_t i = 0; i != size; ++i)
        to[i] = static_cast<char>(from[i] ^ pattern[i]);
}

} // namespace tern::detail
