// SHA-1, masking and the keys that mask.
#include "catch.hpp"
#include "tern/detail/entropy.hpp"
#include "tern/transport/detail/mask.hpp"
#include "tern/transport/detail/mask_keys.hpp"
#include "tern/transport/detail/sha1.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace masking_test {

using namespace tern::detail;

constexpr bool has_digest(std::string_view message, std::string_view hex) {
    const sha1_digest digest = sha1(message);
    constexpr std::string_view digits = "0123456789abcdef";
    for (std::size_t i = 0; i != digest.size(); ++i) {
        const auto byte = static_cast<unsigned char>(digest[i]);
        if (digits[byte >> 4U] != hex[2 * i] || digits[byte & 0x0FU] != hex[2 * i + 1]) return false;
    }
    return true;
}

// The examples of FIPS 180, and messages around the lengths at which the padding needs another block.
static_assert(has_digest("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"));
static_assert(has_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"));
static_assert(has_digest("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"));
static_assert(has_digest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", // 55
                         "c1c8bbdc22796e28c0e15163d20899b65621d65a"));
static_assert(has_digest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", // 64
                         "0098ba824b5c16427bd7a1122a5a442a25ec644d"));

TEST_CASE("SHA-1 of a million characters is that of the standard [FIPS 180-2 A.3]") {
    CHECK(has_digest(std::string(1'000'000, 'a'), "34aa973cd4c4daa4f61eeb2bdbad27316534016f"));
}

// RFC 8439 §2.3.2
constexpr chacha_state chacha_example = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, 0x03020100, 0x07060504,
                                         0x0b0a0908, 0x0f0e0d0c, 0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c,
                                         0x00000001, 0x09000000, 0x4a000000, 0x00000000};
static_assert(chacha20_block(chacha_example) == chacha_state{0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7,
                                                             0x0368c033, 0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07,
                                                             0x05d7c214, 0xa2028bd9, 0xd19c12b5, 0xb94e16de, 0xe883d0cb,
                                                             0x4e3c50a2});

TEST_CASE("masking is that of the standard for every size, alignment and position [RFC 6455 §5.3]") {
    const mask_key key = {'\x37', '\xFA', '\x21', '\x3D'};
    std::string text;
    for (std::size_t i = 0; i != 120; ++i)
        text += static_cast<char>(i * 7 + 1);
    for (std::size_t begin = 0; begin != 9; ++begin)
        for (std::size_t size = 0; size != 100; ++size)
            for (std::size_t offset = 0; offset != 5; ++offset)
                for (const std::size_t shift : {0U, 1U, 5U}) {
                    const auto out = std::make_unique<char[]>(size + shift); // exact, for sanitizers
                    copy_masked(text.data() + begin, size, out.get() + shift, key, offset);
                    bool is_right = true;
                    for (std::size_t i = 0; i != size; ++i)
                        is_right &= out[shift + i] == static_cast<char>(text[begin + i] ^ key[(i + offset) % 4]);
                    if (!is_right) FAIL(begin << " " << size << " " << offset << " " << shift);
                }
}

TEST_CASE("the example of the standard is masked [RFC 6455 §5.7]") {
    std::string masked(5, '\0');
    copy_masked("Hello", 5, masked.data(), {'\x37', '\xFA', '\x21', '\x3D'}, 0);
    CHECK(masked == "\x7F\x9F\x4D\x51\x58");
}

std::string keys_of(const mask_seed& seed, std::size_t count) {
    mask_keys keys(seed);
    std::string all;
    while (count-- != 0) {
        const mask_key key = keys.next();
        all.append(key.data(), key.size());
    }
    return all;
}

TEST_CASE("equal seeds give equal keys, other seeds give others, and none repeats [RFC 6455 §10.3]") {
    const mask_seed seed = {1, 2, 3, 4, 5, 6, 7, 8};
    const std::string keys = keys_of(seed, 1'000);
    CHECK(keys == keys_of(seed, 1'000));
    for (std::size_t i = 0; i != seed.size(); ++i) {
        mask_seed other = seed;
        ++other[i];
        CHECK(keys_of(other, 1'000) != keys);
    }
    std::set<std::string> different;
    for (std::size_t i = 0; i != keys.size(); i += 4)
        different.insert(keys.substr(i, 4));
    CHECK(different.size() == 1'000); // two equal ones are a matter of 1 in 8,600, and fixed by the seed
}

TEST_CASE("the system provides different seeds") {
    std::set<std::string> seeds;
    for (int i = 0; i != 20; ++i) {
        std::array<char, 32> bytes{};
        CHECK_FALSE(fill_with_entropy(bytes));
        seeds.insert(std::string(bytes.data(), bytes.size()));
    }
    CHECK(seeds.size() == 20);
}

} // namespace masking_test
