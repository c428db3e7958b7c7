// Quotes text from untrusted sources for display: shortened, and with the characters escaped that a terminal
// would interpret.
#pragma once

#include "tern/detail/utf8.hpp"

#include <cstddef>
#include <string_view>

namespace tern::detail {

// Control characters of both ranges (U+009B alone begins an escape sequence), invisible characters, and those
// that change the direction of the text.
constexpr bool is_dangerous(char32_t c) noexcept {
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0xAD || c == 0x61C || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
           (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE0FFF);
}

// The code point of a well-formed sequence.
constexpr char32_t code_point(std::string_view sequence) noexcept {
    if (sequence.size() == 1) return static_cast<unsigned char>(sequence[0]);
    char32_t value = static_cast<unsigned char>(sequence[0]) & (0xFFU >> (sequence.size() + 1));
    for (const char c : sequence.substr(1))
        value = value << 6 | (static_cast<unsigned char>(c) & 0x3FU);
    return value;
}

constexpr void append_hex(auto& out, char32_t value, unsigned least_digits) {
    unsigned digits = least_digits;
    while (digits < 6 && value >> (4 * digits) != 0)
        ++digits;
    while (digits-- != 0)
        out.push_back("0123456789ABCDEF"[value >> (4 * digits) & 0xF]);
}

constexpr void append_all(auto& out, std::string_view text) {
    for (const char c : text)
        out.push_back(c);
}

/// Text from elsewhere is shown up to this number of bytes.
inline constexpr std::size_t shown_text_limit = 256;

// Appends the character at `p` to `out`, and returns the position after it. Bytes that are not UTF-8 appear as `\xE9`,
// dangerous characters as `\u{202E}`.
constexpr const char* append_character(auto& out, const char* p, const char* end) {
    const std::size_t length = utf8_sequence(p, end);
    if (length == 0) {
        append_all(out, "\\x");
        append_hex(out, static_cast<unsigned char>(*p), 2);
        return p + 1;
    }
    const std::string_view character(p, length);
    const char32_t c = code_point(character);
    if (is_dangerous(c)) {
        append_all(out, "\\u{");
        append_hex(out, c, 1);
        out.push_back('}');
    } else {
        append_all(out, character);
    }
    return p + length;
}

// Appends `text` in quotes to `out`, anything with push_back(char), up to the character with which the text
// reaches `limit` bytes.
constexpr void append_quoted(auto& out, std::string_view text, std::size_t limit) {
    const char* p = text.data();
    const char* const end = p + text.size();
    const char* const stop = p + (text.size() < limit ? text.size() : limit);
    out.push_back('"');
    while (p < stop) {
        if (*p == '"' || *p == '\\') out.push_back('\\');
        p = append_character(out, p, end);
    }
    append_all(out, p == end ? "\"" : "\"...");
}

// Appends `text` without quotes.
constexpr void append_escaped(auto& out, std::string_view text) {
    const char* p = text.data();
    const char* const end = p + text.size();
    while (p != end)
        p = append_character(out, p, end);
}

} // namespace tern::detail
