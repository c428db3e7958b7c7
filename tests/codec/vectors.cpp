// Each vector is a static_assert: the compiler decodes and encodes it and rejects undefined behaviour. The
// tests use the same tables at run time, where they check memory accesses and allocations.
#include "bad_vectors.hpp"
#include "catch.hpp"
#include "codec_test.hpp"
#include "good_vectors.hpp"
#include "support/heap.hpp"

#include <iostream>
#include <type_traits>
#include <utility>

namespace {

using namespace codec_test;
using vectors::bad_vectors;
using vectors::good_vectors;

constexpr bool decodes_as_expected(const vectors::good& vector) {
    const auto decoded = read(vector.bytes, vector.version);
    return decoded && *decoded == vector.packet;
}

constexpr bool encodes_as_expected(const vectors::good& vector) {
    std::array<char, 64> buffer{};
    const auto size = write(vector.packet, vector.version, buffer);
    const std::string_view written{buffer.data(), size.value()};
    if (vector.ways == vectors::both_ways) return size && written == vector.bytes;
    const auto again = read(written, vector.version);
    return size && again && *again == vector.packet;
}

constexpr bool is_refused_as_expected(const vectors::bad& vector) {
    const auto decoded = read(vector.bytes, vector.version);
    return !decoded && decoded.error() == vector.error;
}

template <std::size_t I>
struct check_good {
    static_assert(decodes_as_expected(good_vectors[I]), "good_vectors[I] is decoded to another packet, or refused");
    static_assert(encodes_as_expected(good_vectors[I]), "good_vectors[I] is encoded to other bytes, or refused");
};
template <std::size_t I>
struct check_bad {
    static_assert(is_refused_as_expected(bad_vectors[I]), "bad_vectors[I] is accepted, or refused with another error");
};

template <std::size_t... I>
constexpr std::size_t count_good(std::index_sequence<I...>) {
    return (sizeof(check_good<I>) + ...);
}
template <std::size_t... I>
constexpr std::size_t count_bad(std::index_sequence<I...>) {
    return (sizeof(check_bad<I>) + ...);
}

constexpr std::size_t good_count = count_good(std::make_index_sequence<std::size(good_vectors)>{});
constexpr std::size_t bad_count = count_bad(std::make_index_sequence<std::size(bad_vectors)>{});
static_assert(good_count >= 140 && bad_count >= 160, "the tables have fewer vectors than before");

// Every packet is a view without a destructor.
template <class T>
constexpr bool is_plain = std::is_trivially_destructible_v<T> && std::is_trivially_copyable_v<T>;
template <class... Packet>
constexpr bool all_plain(std::type_identity<std::variant<Packet...>>) {
    return (is_plain<Packet> && ...) && (is_plain<result<Packet>> && ...);
}
static_assert(all_plain(std::type_identity<any_packet>{}));
static_assert(std::is_trivially_destructible_v<any_packet> && is_plain<frame> && is_plain<framing>);
static_assert(std::variant_size_v<any_packet> == 15);

// encode_to_array returns an array of exactly the packet's size.
constexpr auto ping = encode_to_array<[] { return pingreq{}; }>();
static_assert(std::is_same_v<decltype(ping), const std::array<char, 2>>);
static_assert(ping[0] == '\xC0' && ping[1] == 0);
constexpr auto connect_v5 = encode_to_array<[] { return connect{.client_id = "tern"}; }>();
static_assert(std::string_view(connect_v5.data(), connect_v5.size()) ==
              "10 11 0004 'MQTT' 05 02 0000 00 0004 'tern'"_hex);
constexpr auto publish_v3 = encode_to_array<[] { return publish{.message = {.topic = "t"}}; }, vectors::v3>();
static_assert(publish_v3.size() == 5);

} // namespace

TEST_CASE("the vectors are decoded, encoded and refused at run time as at compile time") {
    for (const auto& vector : good_vectors) {
        INFO(vector.name);
        const exact_copy bytes{vector.bytes};
        const auto decoded = read(bytes.view(), vector.version);
        REQUIRE(decoded);
        CHECK(*decoded == vector.packet);
        const std::string written = codec_test::write(*decoded, vector.version);
        if (vector.ways == vectors::both_ways) CHECK(written == vector.bytes);
        const auto again = read(written, vector.version);
        REQUIRE(again);
        CHECK(*again == vector.packet);
    }
    for (const auto& vector : bad_vectors) {
        INFO(vector.name);
        const exact_copy bytes{vector.bytes};
        CHECK(read(bytes.view(), vector.version).error() == vector.error);
    }
    std::cout << good_count << " good and " << bad_count << " bad vectors are static_asserts\n";
}

TEST_CASE("the vectors contain valid and invalid packets of all fifteen types") {
    bool has_good[2][16] = {};
    bool has_bad[16] = {};
    for (const auto& vector : good_vectors)
        has_good[vector.version == vectors::v5][vector.packet.index() + 1] = true;
    for (const auto& vector : bad_vectors)
        has_bad[static_cast<unsigned char>(vector.bytes[0]) >> 4] = true;
    for (unsigned type = 1; type != 16; ++type) {
        CAPTURE(type);
        CHECK(has_good[0][type] == (type != 15)); // AUTH is new in 5.0
        CHECK(has_good[1][type]);
        CHECK(has_bad[type]);
    }
}

TEST_CASE("encoding and decoding allocate nothing") {
    std::array<char, 64> buffer{};
    bool refused = false;
    const std::size_t before = heap::allocations();
    for (const auto& vector : good_vectors) {
        const auto decoded = read(vector.bytes, vector.version);
        refused |= !decoded || !codec_test::write(*decoded, vector.version, buffer);
    }
    for (const auto& vector : bad_vectors)
        refused |= read(vector.bytes, vector.version).has_value();
    const std::size_t after = heap::allocations();
    CHECK_FALSE(refused);
    CHECK(after == before);

    heap::touch(); // checks the counter itself
    CHECK(heap::allocations() > after);
}

TEST_CASE("decoding copies nothing: every view points into the frame") {
    const std::string bytes{"30 1A 0001 't' 15 08 0001 'r' 09 0001 'd' 03 0001 'c' 26 0001 'k' 0001 'v' 0B 05 '!'"_hex};
    const auto found = next_frame(bytes);
    REQUIRE(found);
    const auto decoded = decode<publish>(found->frame, vectors::v5);
    REQUIRE(decoded);
    const auto is_inside = [&](std::string_view view) {
        return view.data() >= bytes.data() && view.data() + view.size() <= bytes.data() + bytes.size();
    };
    const message_view& message = decoded->message;
    CHECK(is_inside(message.topic));
    CHECK(is_inside(message.payload));
    CHECK(is_inside(*message.properties.response_topic));
    CHECK(is_inside(*message.properties.correlation_data));
    CHECK(is_inside(*message.properties.content_type));
    CHECK(is_inside(message.properties.user_properties.front().key));
    CHECK(is_inside(message.properties.user_properties.front().value));
    CHECK(message.properties.subscription_identifiers.front() == 5);
}
