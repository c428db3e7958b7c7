// Modified packets, as a hostile or faulty peer could send them. No input may crash the decoder or make it
// read beyond the input: each lies in a block of exactly its size, where AddressSanitizer reports that. Every
// accepted packet must be equal after it has been encoded and decoded again.
#include "bad_vectors.hpp"
#include "catch.hpp"
#include "codec_test.hpp"
#include "generator.hpp"
#include "good_vectors.hpp"

#include <iostream>
#include <string>
#include <string_view>

namespace {

using namespace codec_test;
using vectors::v3;
using vectors::v5;

struct results {
    std::size_t tried = 0, accepted = 0, unstable = 0;

    void try_bytes(std::string_view bytes) {
        for (const auto version : {v3, v5}) {
            ++tried;
            const auto found = next_frame(bytes);
            if (!found || !found->complete) continue;
            const auto decoded = decode(found->frame, version);
            if (!decoded) continue;
            ++accepted;
            if (!is_stable(*decoded, version)) ++unstable;
        }
    }
};

template <class F>
void for_each_vector(F f) {
    for (const auto& vector : vectors::good_vectors)
        f(vector.bytes);
    for (const auto& vector : vectors::bad_vectors)
        f(vector.bytes);
}

void report(std::string_view inputs, const results& t) {
    std::cout << inputs << ": " << t.tried << " inputs, " << t.accepted << " accepted\n";
    CHECK(t.accepted > 0);
    CHECK(t.unstable == 0);
}

// The body with a new remaining length, so that the framer passes the modified body to the decoder.
std::string reframed(std::string_view first_byte, std::string_view body) {
    std::string bytes(first_byte.substr(0, 1));
    std::size_t size = body.size();
    for (; size >= 0x80; size >>= 7)
        bytes += static_cast<char>(size | 0x80);
    bytes += static_cast<char>(size);
    return bytes.append(body);
}

} // namespace

TEST_CASE("the framer needs more bytes for every truncation of every vector") {
    std::size_t tried = 0;
    for (const auto& vector : vectors::good_vectors) {
        INFO(vector.name);
        for (std::size_t size = 0; size != vector.bytes.size(); ++size) {
            const exact_copy part{vector.bytes.substr(0, size)};
            const auto found = next_frame(part.view());
            REQUIRE(found);
            CHECK_FALSE(found->complete);
            CHECK(found->size > size);
            CHECK(found->size <= vector.bytes.size());
            ++tried;
        }
    }
    std::cout << "truncations of the stream: " << tried << " inputs\n";
}

TEST_CASE("the decoder withstands every truncation of the body of every vector") {
    results t;
    for_each_vector([&](std::string_view bytes) {
        for (std::size_t cut = 2; cut < bytes.size(); ++cut) {
            const exact_copy part{reframed(bytes, bytes.substr(2, bytes.size() - cut))};
            t.try_bytes(part.view());
        }
    });
    report("truncations of the body", t);
}

TEST_CASE("the decoder withstands every change of one byte in every vector") {
    results t;
    for_each_vector([&](std::string_view bytes) {
        exact_copy changed{bytes};
        for (std::size_t at = 0; at != bytes.size(); ++at) {
            for (unsigned value = 0; value != 256; ++value) {
                changed.data()[at] = static_cast<char>(value);
                t.try_bytes(changed.view());
            }
            changed.data()[at] = bytes[at];
        }
    });
    report("changes of one byte", t);
}

TEST_CASE("the decoder withstands the removal or repetition of every byte in every vector") {
    results t;
    for_each_vector([&](std::string_view bytes) {
        for (std::size_t at = 2; at < bytes.size(); ++at) {
            std::string body{bytes.substr(2)};
            body.erase(at - 2, 1);
            t.try_bytes(exact_copy{reframed(bytes, body)}.view());
            body = bytes.substr(2);
            body.insert(at - 2, 1, bytes[at]);
            t.try_bytes(exact_copy{reframed(bytes, body)}.view());
        }
    });
    report("bytes removed or repeated", t);
}

TEST_CASE("the decoder withstands the body of every vector after every first byte") {
    results t;
    for_each_vector([&](std::string_view bytes) {
        for (unsigned first = 0; first != 256; ++first) {
            exact_copy changed{bytes};
            changed.data()[0] = static_cast<char>(first);
            t.try_bytes(changed.view());
        }
    });
    report("bodies after other first bytes", t);
}

TEST_CASE("generated packets are equal after encoding and decoding") {
    for (const auto version : {v3, v5}) {
        generator packets{20'211};
        std::size_t longest = 0;
        for (int i = 0; i != 20'000; ++i) {
            const any_packet packet = packets.next(version);
            const auto size = size_of(packet, version);
            INFO("packet " << i << " of type " << packet.index() + 1 << ": " << to_string(size.error()));
            REQUIRE(size);
            exact_copy buffer{std::string(*size, '\0')};
            REQUIRE(codec_test::write(packet, version, {buffer.data(), *size}).value() == *size);
            const auto again = read(buffer.view(), version);
            REQUIRE(again);
            REQUIRE(*again == packet);
            REQUIRE(is_stable(*again, version)); // here the lists are encoded in the buffer
            longest = std::max(longest, *size);
        }
        CHECK(longest > 131'072); // some had a remaining length of three bytes
    }
}

TEST_CASE("a packet with a remaining length of four bytes is equal after encoding and decoding") {
    const std::string payload(2'097'152, 'x');
    const publish packet{.message = {.topic = "t", .payload = payload}};
    std::string bytes(encoded_size(packet, v5).value(), '\0');
    REQUIRE(bytes.size() == payload.size() + 9);
    REQUIRE(encode(packet, v5, bytes));
    const auto again = read(bytes, v5);
    REQUIRE(again);
    CHECK(std::get<publish>(*again) == packet);
}

TEST_CASE("the decoder withstands random changes in generated packets") {
    results t;
    std::mt19937_64 random{7};
    generator packets{4'711};
    for (int i = 0; i != 20'000; ++i) {
        const auto version = i % 2 ? v3 : v5;
        std::string bytes = codec_test::write(packets.next(version), version);
        if (bytes.size() > 1'000) continue;
        for (std::uint64_t change = 0, count = 1 + random() % 3; change != count; ++change)
            bytes[static_cast<std::uint32_t>(random() % bytes.size())] = static_cast<char>(random());
        t.try_bytes(exact_copy{bytes}.view());
    }
    report("random changes of generated packets", t);
}
