// The rules for every string of MQTT [§1.5.4]: well-formed UTF-8, no U+0000, at most 65,535 bytes.
// ASCII, which is what topics are made of, is checked eight bytes at a time.
#pragma once

#include "tern/error.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace tern {
namespace detail {

inline constexpr std::uint64_t every_byte = 0x0101'0101'0101'0101;
inline constexpr std::uint64_t high_bits = every_byte * 0x80;

constexpr std::uint64_t load_8_bytes(const char* p) noexcept {
    if (std::is_constant_evaluated()) {
        std::uint64_t word = 0;
        for (std::size_t i = 0; i != 8; ++i)
            word = word << 8 | static_cast<unsigned char>(p[i]);
        return word;
    }
    std::uint64_t word = 0;
    std::memcpy(&word, p, 8);
    return word;
}

// Non-zero if a byte of the word is zero; exact as long as no byte has its high bit set.
constexpr std::uint64_t zero_bytes(std::uint64_t word) noexcept {
    return (word - every_byte) & ~word & high_bits;
}

constexpr std::uint64_t bytes_equal(std::uint64_t word, char c) noexcept {
    return zero_bytes(word ^ every_byte * static_cast<unsigned char>(c));
}

// The length in bytes of the well-formed sequence at p, 0 if there is none: Table 3-7 of Unicode,
// which leaves out overlong forms, surrogates and all above U+10FFFF.
constexpr std::size_t utf8_sequence(const char* p, const char* end) noexcept {
    auto byte = [&](std::size_t i) { return static_cast<unsigned char>(p[i]); };
    auto continues = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
    const auto left = end - p;
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4) return 0;
    if (first < 0xE0) return left >= 2 && continues(1) ? 2 : 0;
    if (first < 0xF0) {
        if (left < 3 || !continues(1) || !continues(2)) return 0;
        if (first == 0xE0 && byte(1) < 0xA0) return 0;
        if (first == 0xED && byte(1) > 0x9F) return 0;
        return 3;
    }
    if (left < 4 || !continues(1) || !continues(2) || !continues(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
}

// Checks a string; with Wildcards false, '+' and '#' are refused as well.
template <bool Wildcards>
constexpr errc check_text(std::string_view text) noexcept {
    if (text.size() > string_max) return errc::string_too_long;
    const char* p = text.data();
    const char* const end = p + text.size();
    while (p != end) {
        while (end - p >= 8) {
            const std::uint64_t word = load_8_bytes(p);
            std::uint64_t unusual = word & high_bits;
            unusual |= zero_bytes(word);
            if constexpr (!Wildcards) unusual |= bytes_equal(word, '+') | bytes_equal(word, '#');
            if (unusual != 0) break;
            p += 8;
        }
        // The rest, or a piece that is not plain ASCII, by character up to the next eight.
        const char* const stop = end - p >= 8 ? p + 8 : end;
        while (p < stop) {
            if (*p == '\0') return errc::null_character;
            if (!Wildcards && (*p == '+' || *p == '#')) return errc::invalid_topic_name;
            const std::size_t length = utf8_sequence(p, end);
            if (length == 0) return errc::malformed_utf8;
            p += length;
        }
    }
    return errc::none;
}

} // namespace detail

/// Checks a string against the rules of the standard [MQTT-1.5.4-1, MQTT-1.5.4-2].
constexpr errc check_string(std::string_view text) noexcept {
    return detail::check_text<true>(text);
}

} // namespace tern
