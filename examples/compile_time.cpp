// tern::core at compile time: topics are checked and matched, packets are encoded and decoded. A mistake in this file
// is a compile error, and no work is left for run time.
#include "tern/core.hpp"

#include <cstdio>
#include <string_view>

using namespace tern::literals;

// ---- The literals check topics. "home/+/light"_topic does not compile, because a topic name has no wildcards
// [MQTT-3.3.2-2].
constexpr auto kitchen_light = "home/kitchen/light"_topic;
constexpr auto all_lights = "home/+/light"_filter;

static_assert(all_lights.matches(kitchen_light));
static_assert(tern::matches("home/#", "home"), "'#' stands for the parent level too");
static_assert(!tern::matches("home/+", "home/kitchen/light"), "'+' stands for one level");
static_assert(!tern::matches("#", "$SYS/broker/uptime"), "a wildcard does not match a leading '$'");
static_assert(tern::matches("$share/workers/jobs/#", "jobs/print"), "a shared subscription");
static_assert(tern::check_topic_filter("home/#/light") == tern::errc::invalid_topic_filter);

// ---- A packet is encoded into an array of exactly its size, which can be sent from read-only memory.
constexpr auto switch_on = tern::encode_to_array<[] {
    return tern::publish{.message = {.topic = kitchen_light, .payload = "on", .retain = true}};
}>();

static_assert(switch_on.size() == 25); // 2 fixed header, 2 + 18 topic, 1 no properties, 2 payload
static_assert(switch_on[0] == 0x31);   // PUBLISH, QoS 0, retain

// ---- The bytes are decoded again. A packet is a view: it points into the bytes that it was decoded from.
constexpr tern::result<tern::publish> decode(std::string_view bytes) {
    const auto found = tern::next_frame(bytes);
    if (!found) return found.error();
    if (!found->complete) return tern::errc::truncated_packet;
    return tern::decode<tern::publish>(found->frame, tern::protocol_version::v5);
}

constexpr std::string_view wire{switch_on.data(), switch_on.size()};
static_assert(decode(wire)->message.topic == "home/kitchen/light");
static_assert(decode(wire)->message.payload == "on");
static_assert(decode(wire)->message.retain);
static_assert(!decode(wire.substr(0, 10)), "a truncated packet is an error");

// ---- Each violation of the standard has an error code and a clause.
constexpr tern::publish wrong{.message = {.topic = "home/+"}};
static_assert(tern::encoded_size(wrong, tern::protocol_version::v5).error() == tern::errc::invalid_topic_name);
static_assert(tern::clause(tern::errc::invalid_topic_name) == "MQTT-3.3.2-2");

int main() {
    std::printf("The compiler encoded this PUBLISH of %zu bytes:\n", switch_on.size());
    for (const char c : switch_on)
        std::printf(" %02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    std::printf("\nDecoded: %.*s = %.*s\n", static_cast<int>(decode(wire)->message.topic.size()),
                decode(wire)->message.topic.data(), static_cast<int>(decode(wire)->message.payload.size()),
                decode(wire)->message.payload.data());
}
