// A readable notation of bytes: hexadecimal digits, with texts in single quotes between them.
//
//     "40 02 0007"_hex       "30 06 0003 'a/b' '!'"_hex
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace hex {

template <std::size_t Size>
struct literal {
    consteval literal(const char (&text)[Size]) { // NOLINT(google-explicit-constructor)
        for (std::size_t i = 0; i != Size; ++i)
            characters[i] = text[i];
    }
    char characters[Size] = {};
};

constexpr unsigned digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
    throw "not a hexadecimal digit"; // a compile-time error: this runs at compile time only
}

template <class Put>
constexpr void parse(std::string_view text, Put put) {
    for (std::size_t i = 0; i != text.size(); ++i) {
        if (text[i] == ' ') continue;
        if (text[i] == '\'') {
            while (text[++i] != '\'')
                put(text[i]);
        } else {
            const unsigned high = digit(text[i]);
            put(static_cast<char>(high << 4 | digit(text[++i])));
        }
    }
}

template <literal Text>
consteval auto to_bytes() {
    constexpr std::string_view text{Text.characters, sizeof Text.characters - 1};
    constexpr std::size_t size = [&] {
        std::size_t count = 0;
        parse(text, [&](char) { ++count; });
        return count;
    }();
    std::array<char, size> bytes{};
    std::size_t at = 0;
    parse(text, [&](char c) { bytes[at++] = c; });
    return bytes;
}

template <literal Text>
inline constexpr auto bytes = to_bytes<Text>();

} // namespace hex

template <hex::literal Text>
consteval std::string_view operator""_hex() {
    return {hex::bytes<Text>.data(), hex::bytes<Text>.size()};
}
