// The keys that mask frames (RFC 6455 §5.3). An application that chooses the payload must not be able to predict them
// (§10.3), even if it has seen all earlier ones: they are the key stream of ChaCha20 (RFC 8439), seeded by the system.
#pragma once

#include "tern/transport/detail/mask.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>

namespace tern::detail {

using chacha_state = std::array<std::uint32_t, 16>;

constexpr void chacha_quarter_round(std::uint32_t& a, std::uint32_t& b, std::uint32_t& c, std::uint32_t& d) noexcept {
    d = std::rotl(d ^ (a += b), 16);
    b = std::rotl(b ^ (c += d), 12);
    d = std::rotl(d ^ (a += b), 8);
    b = std::rotl(b ^ (c += d), 7);
}

/// The block function (RFC 8439 §2.3).
constexpr chacha_state chacha20_block(const chacha_state& input) noexcept {
    chacha_state x = input;
    for (int i = 0; i != 10; ++i) {
        chacha_quarter_round(x[0], x[4], x[8], x[12]);
        chacha_quarter_round(x[1], x[5], x[9], x[13]);
        chacha_quarter_round(x[2], x[6], x[10], x[14]);
        chacha_quarter_round(x[3], x[7], x[11], x[15]);
        chacha_quarter_round(x[0], x[5], x[10], x[15]);
        chacha_quarter_round(x[1], x[6], x[11], x[12]);
        chacha_quarter_round(x[2], x[7], x[8], x[13]);
        chacha_quarter_round(x[3], x[4], x[9], x[14]);
    }
    for (std::size_t i = 0; i != x.size(); ++i)
        x[i] += input[i];
    return x;
}

/// A secret from which all keys follow.
using mask_seed = std::array<std::uint32_t, 8>;

class mask_keys {
public:
    explicit mask_keys(const mask_seed& seed) noexcept
        : input_{0x6170'7865U, 0x3320'646EU, 0x7962'2D32U, 0x6B20'6574U, seed[0], seed[1],
                 seed[2],      seed[3],      seed[4],      seed[5],      seed[6], seed[7]} {}

    mask_key next() noexcept {
        if (used_ == keys_.size()) refill();
        mask_key key;
        std::memcpy(key.data(), &keys_[used_++], key.size());
        return key;
    }

private:
    void refill() noexcept {
        keys_ = chacha20_block(input_);
        if (++input_[12] == 0) ++input_[13];
        used_ = 0;
    }

    chacha_state input_; // constants, seed, counter
    chacha_state keys_{};
    std::size_t used_ = std::tuple_size_v<chacha_state>; // words of `keys_`
};

} // namespace tern::detail
