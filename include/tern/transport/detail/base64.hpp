// Base64 with padding (RFC 4648 §4), as HTTP uses it for credentials and for the keys of WebSocket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern::detail {

/// Returns the number of characters that encode this number of bytes.
constexpr std::size_t base64_size(std::size_t bytes) noexcept {
    return (bytes + 2) / 3 * 4;
}

/// Writes `base64_size(bytes.size())` characters and returns the position after them.
constexpr char* put_base64(std::string_view bytes, char* out) noexcept {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    while (!bytes.empty()) {
        const std::size_t count = bytes.size() < 3 ? bytes.size() : 3;
        std::uint32_t group = 0;
        for (std::size_t i = 0; i != 3; ++i)
            group = group << 8U | (i < count ? static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) : 0U);
        for (std::size_t i = 0; i != 4; ++i)
            *out++ = i > count ? '=' : digits[group >> (18 - 6 * i) & 0x3FU];
        bytes.remove_prefix(count);
    }
    return out;
}

inline std::string to_base64(std::string_view bytes) {
    std::string text(base64_size(bytes.size()), '\0');
    put_base64(bytes, text.data());
    return text;
}

} // namespace tern::detail
