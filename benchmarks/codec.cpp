// How long it takes to encode and to decode a PUBLISH: QoS 1, 16 bytes of topic, 64 bytes of payload.
//
// Without arguments: nanoseconds per packet. Under callgrind the functions below, which are never inlined, show the
// instructions per packet: `valgrind --tool=callgrind bench_codec 1000`, then divide by 1000.
#include "tern/codec/packet.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#if defined(_MSC_VER)
#define NOINLINE __declspec(noinline)
#else
#define NOINLINE __attribute__((noinline))
#endif

namespace {

using namespace tern;

constexpr user_property unit[] = {{"unit", "celsius"}};
constexpr std::string_view topic = "home/kitchen/tmp";
constexpr std::string_view payload = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static_assert(topic.size() == 16 && payload.size() == 64);

constexpr publish plain{.message = {.topic = topic, .payload = payload, .qos = qos::at_least_once},
                        .packet_id = 7};
constexpr publish with_properties{.message = {.topic = topic,
                                              .payload = payload,
                                              .qos = qos::at_least_once,
                                              .properties = {.message_expiry_interval = 60,
                                                             .content_type = "text/plain",
                                                             .user_properties = unit}},
                                  .packet_id = 7};

using buffer = std::array<char, 256>;

NOINLINE std::size_t encode_plain(const publish& p, buffer& out) {
    return encode(p, protocol_version::v5, out).value();
}
NOINLINE std::size_t encode_properties(const publish& p, buffer& out) {
    return encode(p, protocol_version::v5, out).value();
}
NOINLINE std::size_t decode_plain(std::string_view bytes) {
    const auto found = next_frame(bytes);
    const auto p = decode<publish>(found->frame, protocol_version::v5);
    return p->packet_id + p->message.payload.size();
}
NOINLINE std::size_t decode_properties(std::string_view bytes) {
    const auto found = next_frame(bytes);
    const auto p = decode<publish>(found->frame, protocol_version::v5);
    return p->packet_id + p->message.payload.size();
}

template <class F>
void measure(const char* what, std::size_t count, F f) {
    const auto before = std::chrono::steady_clock::now();
    std::size_t sum = 0;
    for (std::size_t i = 0; i != count; ++i)
        sum += f();
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - before;
    std::printf("%-28s %8.1f ns   (%zu)\n", what, time.count() / static_cast<double>(count), sum / count);
}

} // namespace

int main(int argc, char** argv) {
    const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 5'000'000;
    buffer one{}, other{};
    publish first = plain, second = with_properties;
    const std::string_view short_packet{one.data(), encode_plain(first, one)};
    const std::string_view long_packet{other.data(), encode_properties(second, other)};

    measure("encode", count, [&] { return encode_plain(first, one); });
    measure("encode, 3 properties", count, [&] { return encode_properties(second, other); });
    measure("decode", count, [&] { return decode_plain(short_packet); });
    measure("decode, 3 properties", count, [&] { return decode_properties(long_packet); });
}
