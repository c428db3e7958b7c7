// SHA-1 (FIPS 180-4 §6.1), with which a server confirms a WebSocket upgrade (RFC 6455 §4.2.2). Nothing secret depends
// on it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern::detail {

using sha1_digest = std::array<char, 20>;

namespace sha1_steps {

using state = std::array<std::uint32_t, 5>;
using block = std::array<unsigned char, 64>;

constexpr std::uint32_t big_endian_word(const block& bytes, std::size_t at) noexcept {
    std::uint32_t word = 0;
    for (std::size_t i = 0; i != 4; ++i)
        word = word << 8U | bytes[at + i];
    return word;
}

constexpr void add_block(state& h, const block& bytes) noexcept {
    std::array<std::uint32_t, 80> w{};
    for (std::size_t t = 0; t != 80; ++t)
        w[t] = t < 16 ? big_endian_word(bytes, 4 * t) : std::rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    auto [a, b, c, d, e] = h;
    for (std::size_t t = 0; t != 80; ++t) {
        const std::uint32_t mixed = t < 20   ? ((b & c) | (~b & d)) + 0x5A82'7999U
                                    : t < 40 ? (b ^ c ^ d) + 0x6ED9'EBA1U
                                    : t < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1B'BCDCU
                                             : (b ^ c ^ d) + 0xCA62'C1D6U;
        const std::uint32_t next = std::rotl(a, 5) + mixed + e + w[t];
        e = d;
        d = c;
        c = std::rotl(b, 30);
        b = a;
        a = next;
    }
    h = {h[0] + a, h[1] + b, h[2] + c, h[3] + d, h[4] + e};
}

} // namespace sha1_steps

constexpr sha1_digest sha1(std::string_view message) noexcept {
    sha1_steps::state h = {0x6745'2301U, 0xEFCD'AB89U, 0x98BA'DCFEU, 0x1032'5476U, 0xC3D2'E1F0U};
    sha1_steps::block bytes{};
    std::size_t used = 0;
    auto add = [&](unsigned byte) {
        bytes[used++] = static_cast<unsigned char>(byte);
        if (used != bytes.size()) return;
        sha1_steps::add_block(h, bytes);
        used = 0;
    };
    for (const char c : message)
        add(static_cast<unsigned char>(c));
    add(0x80);
    while (used != 56)
        add(0);
    const std::uint64_t bits = std::uint64_t{message.size()} * 8;
    for (unsigned shift = 64; shift != 0; shift -= 8)
        add(static_cast<unsigned>(bits >> (shift - 8) & 0xFFU));

    sha1_digest digest{};
    for (std::size_t i = 0; i != digest.size(); ++i)
        digest[i] = static_cast<char>(h[i / 4] >> (24 - 8 * (i % 4)) & 0xFFU);
    return digest;
}

} // namespace tern::detail
