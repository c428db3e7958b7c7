// Masking of frames from a client (RFC 6455 §5.3): byte i of the payload is combined with byte i mod 4 of the key.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tern::detail {

using mask_key = std::array<char, 4>;

/// The bytes of the key, repeated, in the order in which they lie in memory.
inline std::uint64_t mask_word(const mask_key& key, std::size_t offset) noexcept {
    static_assert(std::endian::native == std::endian::little || std::endian::native == std::endian::big);
    std::uint32_t word = 0;
    std::memcpy(&word, key.data(), sizeof word);
    const int shift = static_cast<int>(8 * (offset % 4));
    word = std::endian::native == std::endian::little ? std::rotr(word, shift) : std::rotl(word, shift);
    return std::uint64_t{word} << 32U | word;
}

/// Copies bytes and masks or unmasks them, with any alignment. `offset` is the position of the first byte in the
/// payload. The two ranges must not overlap.
inline void copy_masked(const char* from, std::size_t size, char* to, const mask_key& key,
                        std::size_t offset) noexcept {
    struct words {
        std::uint64_t at[4];
    };
    const std::uint64_t mask = mask_word(key, offset);

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
        to[i] = static_cast<char>(from[i] ^ key[(offset + i) % 4]);
}

} // namespace tern::detail
