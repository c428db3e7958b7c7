// What the compiler can do with tern::core: check topics, match them, and encode and decode packets. Nothing
// of this is left to do when the program runs; what is wrong here does not compile.
#include "tern/core.hpp"

#include <cstdio>
#include <string_view>

using namespace tern::literals;

// ---- Topics are checked where they are written. "home/+/light"_topic would not compile: a message goes to
// one topic, so that a topic name has no wildcards.
constexpr auto kitchen_light = "home/kitchen/light"_topic;
constexpr auto all_lights = "home/+/light"_filter;

static_assert(all_lights.matches(kitchen_light));
static_assert(tern::matches("home/#", "home"), "'#' stands for the parent level too");
static_assert(!tern::matches("home/+", "home/kitchen/light"), "'+' stands for one level");
static_assert(!tern::matches("#", "$SYS/broker/uptime"), "a wildcard does not match a leading '$'");
static_assert(tern::matches("$share/workers/jobs/#", "jobs/print"), "a shared subscription");
static_assert(tern::check_topic_filter("home/#/light") == tern::errc::invalid_topic_filter);

// ---- A packet as an array of exactly its size, ready to be sent from read-only memory.
constexpr auto switch_on = tern::encode_to_array<[] {
    return tern::publish{.message = {.topic = kitchen_light, .payload = "on", .retain = true}};
}>();

static_assert(switch_on.size() == 25); // 2 fixed header, 2 + 18 topic, 1 no properties, 2 payload
static_assert(switch_on[0] == 0x31);   // PUBLISH, QoS 0, retain

// ---- And back. A packet borrows from the bytes that it was decoded from.
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
static_assert(!decode(wire.substr(0, 10)), "the rest is missing");

// ---- What the standard forbids has a name, and a clause.
constexpr tern::publish wrong{.message = {.topic = "home/+"}};
static_assert(tern::encoded_size(wrong, tern::protocol_version::v5).error() ==
              tern::errc::invalid_topic_name);
static_assert(tern::clause(tern::errc::invalid_topic_name) == "MQTT-3.3.2-2");

int main() {
    std::printf("The compiler made this PUBLISH of %zu bytes:\n", switch_on.size());
    for (const char c : switch_on)
        std::printf(" %02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    std::printf("\nIt says: %.*s = %.*s\n", static_cast<int>(decode(wire)->message.topic.size()),
                decode(wire)->message.topic.data(), static_cast<int>(decode(wire)->message.payload.size()),
                decode(wire)->message.payload.data());
}
