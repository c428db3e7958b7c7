// Every string that a broker may send, with every class of ill-formed UTF-8 at its beginning, middle and end.
#include "../catch.hpp"
#include "probe.hpp"
#include "tern/codec/any_packet.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::string_literals;
using standard::outcome;

// The classes of Table 3-7 of Unicode, and U+0000, which MQTT forbids [v5:MQTT-1.5.4-2].
const std::vector<std::string> ill_formed = {
    "\0"s, // U+0000
    "\x80",
    "\x9F",
    "\xBF",
    "\x80\x80", // continuations alone
    "\xC0\x80",
    "\xC1\xBF",
    "\xC0",
    "\xC1", // two bytes for one
    "\xE0\x80\x80",
    "\xE0\x9F\xBF", // three bytes for less
    "\xF0\x80\x80\x80",
    "\xF0\x8F\xBF\xBF", // four bytes for less
    "\xED\xA0\x80",
    "\xED\xAF\xBF",
    "\xED\xB0\x80",
    "\xED\xBF\xBF",
    "\xED\xA0\x80\xED\xB0\x80", // surrogates, and a pair of them
    "\xF4\x90\x80\x80",
    "\xF5\x80\x80\x80",
    "\xF7\xBF\xBF\xBF", // beyond U+10FFFF
    "\xF8\x88\x80\x80\x80",
    "\xFC\x84\x80\x80\x80\x80",
    "\xFE",
    "\xFF", // no lead bytes
    "\xC2",
    "\xE2",
    "\xE2\x82",
    "\xF0",
    "\xF0\x9F",
    "\xF0\x9F\x90", // cut
    "\xC2\x41",
    "\xE2\x41\x82",
    "\xE2\x82\x41",
    "\xF0\x41\x90\x80",
    "\xF0\x9F\x41\x80",
    "\xF0\x9F\x90\x41",
    "\xC2\xC2\x80",
    "\xE2\xE2\x82\xAC", // interrupted
};

// The edges of what is well-formed. U+FEFF is a character like any other [v5:MQTT-1.5.4-3].
const std::vector<std::string> well_formed = {
    "\x01",         "\x1F",         "\x7F",         "\xC2\x80",     "\xDF\xBF",         "\xE0\xA0\x80",
    "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBB\xBF", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
};

// A packet with a string in it.
struct string_field {
    std::string name;
    standing state;
    outcome when_right;
    std::function<std::string(const std::string&)> packet;
};

std::string with_property(std::string_view carrier_name, const std::string& block) {
    for (const standard::carrier& c : standard::carriers())
        if (c.name == carrier_name) return standard::with_properties(c, block);
    return {};
}

standing answered_by(std::string_view carrier_name) {
    using enum standing;
    static const std::pair<std::string_view, standing> rows[] = {
        {"CONNACK", awaiting_connack}, {"PUBACK", publishing_1}, {"PUBREC", publishing_2},    {"PUBREL", received_2},
        {"PUBCOMP", releasing_2},      {"SUBACK", subscribing},  {"UNSUBACK", unsubscribing}, {"AUTH", authenticating},
    };
    for (const auto& [name, state] : rows)
        if (name == carrier_name) return state;
    return connected;
}

std::vector<string_field> fields_of_properties() {
    static constexpr unsigned strings[] = {0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F};
    std::vector<string_field> fields;
    for (const standard::carrier& c : standard::carriers()) {
        const std::string_view name = c.name;
        const std::string method = name == "AUTH" ? std::string{"\x15\0\1m", 4} : "";
        const outcome right = name == "DISCONNECT" ? outcome::ended : outcome::accepted;
        const auto add = [&](const std::string& what, std::function<std::string(const std::string&)> block) {
            fields.push_back({std::string{name} + " " + what, answered_by(name), right,
                              [=](const std::string& s) { return with_property(name, method + block(s)); }});
        };
        for (const unsigned id : strings)
            if (standard::find(c, id) && id != 0x15)
                add("property " + std::to_string(id),
                    [=](const std::string& s) { return static_cast<char>(id) + standard::text(s); });
        add("user property's name",
            [](const std::string& s) { return "\x26" + standard::text(s) + standard::text("v"); });
        add("user property's value",
            [](const std::string& s) { return "\x26" + standard::text("k") + standard::text(s); });
    }
    return fields;
}

void check_field(const string_field& field, tern::protocol_version v) {
    const auto reacts = [&](const std::string& text, outcome expected) {
        probe p = fresh_probe(v, field.state);
        p.receive(field.packet(text));
        INFO(field.name << ", " << text.size() << " bytes, first " << static_cast<unsigned>(text[0] & 0xFF) << ": "
                        << p.did());
        CHECK(p.matches(expected));
    };
    for (const std::string& s : ill_formed)
        for (const std::string& text : {s, s + "z", "a" + s, "a" + s + "z", "abcdefgh" + s + "ijklmnop"})
            reacts(text, outcome::malformed);
    for (const std::string& s : well_formed)
        for (const std::string& text : {s, "a" + s + "z"})
            reacts(text, field.when_right);
}

} // namespace

TEST_CASE("ill-formed UTF-8 of each class ends the connection in each string of a broker [v311:MQTT-1.5.3-1, "
          "v311:MQTT-1.5.3-2, v311:MQTT-1.5.3-3, v311:MQTT-3.3.2-1, v5:MQTT-1.5.4-1, v5:MQTT-1.5.4-2, "
          "v5:MQTT-1.5.4-3, v5:MQTT-1.5.7-1, v5:MQTT-3.3.2-1, v5:MQTT-3.3.2-13, v5:MQTT-3.3.2-19]") {
    const auto topic = [](bool v5) {
        return [=](const std::string& s) {
            return standard::packet(0x30, standard::text(s) + (v5 ? std::string(1, '\0') : "") + "x");
        };
    };
    std::vector<string_field> fields = fields_of_properties();
    CHECK(fields.size() == 35);
    fields.push_back({"topic", standing::connected, outcome::accepted, topic(true)});
    for (const string_field& field : fields)
        check_field(field, tern::protocol_version::v5);
    check_field({"topic", standing::connected, outcome::accepted, topic(false)}, tern::protocol_version::v3_1_1);
}

namespace {

// A string that the client sends: whether a packet with it can be encoded.
struct own_string {
    std::string_view name;
    bool (*encodes)(std::string_view text);
};

template <class Packet>
bool can_encode(const Packet& packet) {
    return static_cast<bool>(tern::encoded_size(packet, tern::protocol_version::v5));
}
tern::connect connect_with(std::string_view id) {
    return {.version = tern::protocol_version::v5, .client_id = id};
}
bool encodes_will(const tern::message_view& will) {
    tern::connect c = connect_with("c");
    c.will = will;
    return can_encode(c);
}
template <class Packet>
bool encodes_with(Packet packet, std::span<const tern::user_property> own) {
    packet.properties.user_properties = own;
    return can_encode(packet);
}
// In every packet of a client, or in none: otherwise the answer is that of no test.
bool encodes_user_property(std::string_view name, std::string_view value) {
    const tern::user_property own[] = {{name, value}};
    const tern::subscription s{.filter = "f"};
    const std::string_view filter = "f";
    const bool all[] = {
        encodes_with(connect_with("c"), own),
        encodes_will({.topic = "w", .properties = {.user_properties = own}}),
        can_encode(tern::publish{{.topic = "t", .properties = {.user_properties = own}}}),
        encodes_with(tern::puback{1}, own),
        encodes_with(tern::pubrec{1}, own),
        encodes_with(tern::pubrel{1}, own),
        encodes_with(tern::pubcomp{1}, own),
        encodes_with(tern::subscribe{1, std::span(&s, 1)}, own),
        encodes_with(tern::unsubscribe{1, std::span(&filter, 1)}, own),
        encodes_with(tern::disconnect{}, own),
        encodes_with(tern::auth{{}, {.authentication_method = "m"}}, own),
    };
    const auto count = std::count(std::begin(all), std::end(all), true);
    CHECK((count == 0 || count == std::ssize(all)));
    return count != 0;
}

const own_string own_strings[] = {
    {"client identifier", [](std::string_view t) { return can_encode(connect_with(t)); }},
    {"user name",
     [](std::string_view t) {
         tern::connect c = connect_with("c");
         c.user_name = t;
         return can_encode(c);
     }},
    {"will topic", [](std::string_view t) { return encodes_will({.topic = t}); }},
    {"content type of the will",
     [](std::string_view t) { return encodes_will({.topic = "w", .properties = {.content_type = t}}); }},
    {"response topic of the will",
     [](std::string_view t) { return encodes_will({.topic = "w", .properties = {.response_topic = t}}); }},
    {"method of AUTH", [](std::string_view t) { return can_encode(tern::auth{{}, {.authentication_method = t}}); }},
    {"reason string of AUTH",
     [](std::string_view t) { return can_encode(tern::auth{{}, {.authentication_method = "m", .reason_string = t}}); }},
    {"authentication method",
     [](std::string_view t) {
         tern::connect c = connect_with("c");
         c.properties.authentication_method = t;
         return can_encode(c);
     }},
    {"topic", [](std::string_view t) { return can_encode(tern::publish{{.topic = t}}); }},
    {"content type",
     [](std::string_view t) { return can_encode(tern::publish{{.topic = "t", .properties = {.content_type = t}}}); }},
    {"response topic",
     [](std::string_view t) { return can_encode(tern::publish{{.topic = "t", .properties = {.response_topic = t}}}); }},
    {"filter to subscribe",
     [](std::string_view t) {
         const tern::subscription s{.filter = t};
         return can_encode(tern::subscribe{1, std::span(&s, 1)});
     }},
    {"filter to unsubscribe", [](std::string_view t) { return can_encode(tern::unsubscribe{1, std::span(&t, 1)}); }},
    {"reason string of DISCONNECT",
     [](std::string_view t) {
         return can_encode(tern::disconnect{tern::reason_code::normal_disconnection, {.reason_string = t}});
     }},
    {"reason string of PUBACK",
     [](std::string_view t) { return can_encode(tern::puback{1, {}, {.reason_string = t}}); }},
    {"reason string of PUBREC",
     [](std::string_view t) { return can_encode(tern::pubrec{1, {}, {.reason_string = t}}); }},
    {"reason string of PUBREL",
     [](std::string_view t) { return can_encode(tern::pubrel{1, {}, {.reason_string = t}}); }},
    {"reason string of PUBCOMP",
     [](std::string_view t) { return can_encode(tern::pubcomp{1, {}, {.reason_string = t}}); }},
    {"name of a user property", [](std::string_view t) { return encodes_user_property(t, "v"); }},
    {"value of a user property", [](std::string_view t) { return encodes_user_property("k", t); }},
};

} // namespace

TEST_CASE("ill-formed UTF-8 of each class is refused in each string of the client [v311:MQTT-1.5.3-1, "
          "v311:MQTT-3.1.3-4, v311:MQTT-3.1.3-11, v311:MQTT-3.8.3-1, v311:MQTT-3.10.3-1, v5:MQTT-1.5.4-1, "
          "v5:MQTT-1.5.7-1, v5:MQTT-3.1.3-4, v5:MQTT-3.1.3-12, v5:MQTT-3.3.2-13, v5:MQTT-3.3.2-19, "
          "v5:MQTT-3.8.3-1, v5:MQTT-3.10.3-1]") {
    for (const own_string& each : own_strings) {
        for (const std::string& s : ill_formed)
            for (const std::string& text : {s, s + "z", "a" + s, "a" + s + "z", "abcdefgh" + s + "ijklmnop"}) {
                INFO(each.name << ", " << text.size() << " bytes");
                CHECK_FALSE(each.encodes(text));
            }
        for (const std::string& s : well_formed) {
            INFO(each.name << ", " << s.size() << " bytes");
            CHECK(each.encodes("a" + s + "z"));
        }
    }
}
