// All strings of up to three bytes, through framer and decoder, in both versions.
#include "catch.hpp"
#include "codec_test.hpp"

#include <memory>
#include <string_view>

namespace {

using namespace codec_test;

struct counts {
    std::size_t tried = 0, packets = 0, unstable = 0;
};

void try_bytes(std::string_view bytes, protocol_version version, counts& c) {
    ++c.tried;
    const auto found = next_frame(bytes);
    if (!found || !found->complete) return;
    const auto decoded = decode(found->frame, version);
    if (!decoded) return;
    if (found->size == bytes.size()) ++c.packets;
    if (!is_stable(*decoded, version)) ++c.unstable;
}

counts try_all(protocol_version version) {
    counts c;
    try_bytes({}, version, c);
    const std::unique_ptr<char[]> one{new char[1]}, two{new char[2]}, three{new char[3]};
    for (unsigned a = 0; a != 256; ++a) {
        one[0] = two[0] = three[0] = static_cast<char>(a);
        try_bytes({one.get(), 1}, version, c);
        for (unsigned b = 0; b != 256; ++b) {
            two[1] = three[1] = static_cast<char>(b);
            try_bytes({two.get(), 2}, version, c);
            for (unsigned last = 0; last != 256; ++last) {
                three[2] = static_cast<char>(last);
                try_bytes({three.get(), 3}, version, c);
            }
        }
    }
    return c;
}

constexpr std::size_t all = 1 + 256 + 256 * 256 + 256 * 256 * 256;

} // namespace

TEST_CASE("three strings of up to three bytes are 3.1.1 packets: PINGREQ, PINGRESP and DISCONNECT") {
    const counts c = try_all(protocol_version::v3_1_1);
    CHECK(c.tried == all);
    CHECK(c.packets == 3);
    CHECK(c.unstable == 0);
}

TEST_CASE("34 strings of up to three bytes are 5.0 packets: those of 3.1.1, AUTH, DISCONNECT with 30 codes") {
    const counts c = try_all(protocol_version::v5);
    CHECK(c.tried == all);
    CHECK(c.packets == 4 + 30);
    CHECK(c.unstable == 0);
}
