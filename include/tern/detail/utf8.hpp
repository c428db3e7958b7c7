// The rules for every string of MQTT [§1.5.4]: well-formed UTF-8, no U+0000, at most 65,535 bytes.
//
// Topics are mostly ASCII, which is checked eight bytes at a time. That check only accepts: a text that it
// does not accept is checked character by character, and only that check finds errors.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>
#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif

namespace tern::detail {

constexpr std::uint64_t in_each_byte(unsigned char byte) noexcept {
    return 0x0101'0101'0101'0101U * byte;
}

// The order of the bytes does not matter: the callers only look for the presence of unusual ones.
template <class Word>
constexpr Word load(const char* p) noexcept {
    Word word = 0;
    if (std::is_constant_evaluated()) {
        for (std::size_t i = 0; i != sizeof word; ++i)
            word = static_cast<Word>(word << 8 | static_cast<unsigned char>(p[i]));
    } else {
        std::memcpy(&word, p, sizeof word);
    }
    return word;
}

// Not 0 unless the bytes of the word are all within U+0001..U+007F and, with Wildcards false, neither '+' nor
// '#'.
//
// In a word without high bits, subtracting 1 from each byte sets the high bit of a byte that is 0, and
// borrows from its neighbours only then, so the result is exact. In a word with high bits the result is not 0
// in any case. It is in the lowest bit of each byte.
template <bool Wildcards, class Word>
constexpr Word unusual_in(Word word) noexcept {
    constexpr auto each = [](unsigned char value) { return static_cast<Word>(in_each_byte(value)); };
    Word unusual = word | (word - each(1));
    if constexpr (!Wildcards) {
        static_assert(('#' | 0x08) == '+', "one bit apart, so one comparison finds both");
        unusual |= ((word | each(0x08)) ^ each('+')) - each(1);
    }
    return (unusual & each(0x80)) >> 7;
}

// The same for two words.
template <bool Wildcards, class Word>
constexpr std::uint64_t unusual_in(Word low, Word high) noexcept {
#if defined(__SSE2__) || defined(_M_X64)
    if (!std::is_constant_evaluated()) {
        constexpr bool full = sizeof(Word) == 8;
        __m128i bytes;
        if constexpr (full)
            bytes = _mm_set_epi64x(static_cast<std::int64_t>(high), static_cast<std::int64_t>(low));
        else
            bytes =
                _mm_unpacklo_epi32(_mm_cvtsi32_si128(static_cast<int>(low)), _mm_cvtsi32_si128(static_cast<int>(high)));
        // Signed and saturated: 0 becomes negative, and bytes with a high bit stay negative. Unused bytes
        // stay 0.
        __m128i unusual = _mm_adds_epi8(bytes, _mm_set_epi64x(full ? -1 : 0, -1));
        if constexpr (!Wildcards)
            unusual =
                _mm_or_si128(unusual, _mm_cmpeq_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x08)), _mm_set1_epi8('+')));
        return static_cast<unsigned>(_mm_movemask_epi8(unusual));
    }
#endif
    return unusual_in<Wildcards>(low) | unusual_in<Wildcards>(high);
}

// 0 if neither the bytes of the text nor its length need a closer check; with Wildcards false an empty text
// needs one. Lengths that are not a multiple of the word size are read in overlapping words. The result is
// not a bool: each branch would have to convert its words.
template <bool Wildcards>
TERN_INLINE constexpr std::uint64_t unusual_in_text(std::string_view text) noexcept {
    const char* p = text.data();
    if (text.size() - 8 <= 8) [[likely]] // 8 to 16
        return unusual_in<Wildcards>(load<std::uint64_t>(p), load<std::uint64_t>(p + text.size() - 8));
    if (text.size() - 4 <= 3) // 4 to 7
        return unusual_in<Wildcards>(load<std::uint32_t>(p), load<std::uint32_t>(p + text.size() - 4));
    const char* const end = p + text.size();
    if (text.size() > 16) {
        if (text.size() > string_max) return 1;
        for (; end - p > 16; p += 16)
            if (unusual_in<Wildcards>(load<std::uint64_t>(p), load<std::uint64_t>(p + 8)) != 0) return 1;
        return unusual_in<Wildcards>(load<std::uint64_t>(end - 16), load<std::uint64_t>(end - 8));
    }
    if (text.empty()) return Wildcards ? 0 : 1;
    const std::uint32_t word = 0x0100'0000U | static_cast<std::uint32_t>(load<std::uint8_t>(p)) << 16 |
                               static_cast<std::uint32_t>(load<std::uint8_t>(p + text.size() / 2)) << 8 |
                               load<std::uint8_t>(end - 1);
    return unusual_in<Wildcards>(word);
}

template <bool Wildcards>
TERN_INLINE constexpr bool is_plain(std::string_view text) noexcept {
    return unusual_in_text<Wildcards>(text) == 0;
}

// The length in bytes of the well-formed sequence at p, 0 if there is none: Table 3-7 of Unicode, which
// excludes overlong forms, surrogates and code points above U+10FFFF.
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

// Returns the first rule that a text breaks, if any, after checking each character.
template <bool Wildcards>
TERN_NOINLINE constexpr errc check_each_character(std::string_view text) noexcept {
    if (text.size() > string_max) return errc::string_too_long;
    const char* p = text.data();
    const char* const end = p + text.size();
    while (p != end) {
        if (end - p >= 8 && is_plain<Wildcards>({p, 8})) {
            p += 8;
            continue;
        }
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

// Returns the first rule that a string breaks, if any. With Wildcards false, '+' and '#' are refused as well.
template <bool Wildcards>
TERN_INLINE constexpr errc check_text(std::string_view text) noexcept {
    if (is_plain<Wildcards>(text)) [[likely]]
        return errc::none;
    return check_each_character<Wildcards>(text);
}

} // namespace tern::detail
