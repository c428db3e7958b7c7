// All 256 reason codes in every packet that has one, from the broker and to it.
#include "../catch.hpp"
#include "probe.hpp"
#include "tern/codec/any_packet.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace {

using standard::outcome;
using tern::protocol_version;

outcome of_reason(const standard::reason_codes& packet, unsigned code) {
    if (std::count(packet.codes.begin(), packet.codes.end(), code) == 0) return outcome::either;
    if (packet.name == "DISCONNECT") return outcome::ended;              // [v5:MQTT-4.13.2-1]
    if (packet.name == "CONNACK" && code >= 0x80) return outcome::ended; // [v5:MQTT-3.2.2-7]
    return outcome::accepted;
}

// Whether the operation of the client ends with this code, and with an error if that is a failure.
bool ends_with(const probe& p, const standard::reason_codes& packet, unsigned code) {
    if (packet.name == "DISCONNECT" || packet.name == "PUBREL") return true;
    if (packet.name == "CONNACK") return p.error().value() == static_cast<int>(code);
    if (packet.name == "PUBREC" && code < 0x80) return p.operations() == 0 && p.sent() == std::string{"\x62\2\0\1", 4};
    if (p.operations() != 1) return false;
    // PUBCOMP says that the message has arrived, whatever its code.
    return code < 0x80 || packet.name == "PUBCOMP" ? !p.error() : p.error().value() == static_cast<int>(code);
}

} // namespace

TEST_CASE("each of 256 reason codes of each packet is accepted or refused as the standard demands [v5:MQTT-3.2.2-7, "
          "v5:MQTT-3.2.2-8, v5:MQTT-3.4.2-1, v5:MQTT-3.5.2-1, v5:MQTT-3.6.2-1, v5:MQTT-3.7.2-1, v5:MQTT-3.9.3-2, "
          "v5:MQTT-3.11.3-2, v5:MQTT-3.14.2-1, v5:MQTT-4.3.3-4, v5:MQTT-4.13.2-1]") {
    for (const standard::reason_codes& packet : standard::reason_codes_of_servers())
        for (unsigned code = 0; code != 256; ++code) {
            probe p = fresh_probe(protocol_version::v5, state_answered_by(packet.first_byte));
            const std::string body = packet.before + static_cast<char>(code) + packet.after;
            p.receive(standard::packet(packet.first_byte, body));
            INFO(packet.name << ", reason code " << code << ": " << p.did() << ", " << p.error().message());
            const outcome expected = of_reason(packet, code);
            CHECK(p.matches(expected));
            if (expected != outcome::either) CHECK(ends_with(p, packet, code));
        }
}

TEST_CASE("AUTH with each of 256 reason codes is a protocol error without a method in CONNECT [v5:MQTT-4.12.0-6]") {
    for (const standing s : {standing::awaiting_connack, standing::connected})
        for (unsigned code = 0; code != 256; ++code) {
            probe p = fresh_probe(protocol_version::v5, s);
            p.receive(standard::packet(0xF0, static_cast<char>(code) + std::string{"\4\x15\0\1m", 5}));
            INFO(name_of(s) << ", reason code " << code << ": " << p.did());
            CHECK(p.matches(outcome::either));
        }
}

TEST_CASE("AUTH with each of 256 reason codes is accepted where the standard permits it [v5:MQTT-3.15.2-1, "
          "v5:MQTT-4.12.0-2, v5:§3.15.2.1-a]") {
    for (const standing s : {standing::authenticating, standing::authenticated, standing::reauthenticating})
        for (unsigned code = 0; code != 256; ++code) {
            probe p = fresh_probe(protocol_version::v5, s);
            p.receive(standard::packet(0xF0, static_cast<char>(code) + std::string{"\4\x15\0\1m", 5}));
            INFO(name_of(s) << ", reason code " << code << ": " << p.did());
            const bool is_more = code == 0x18 && s != standing::authenticated;
            const bool is_end = code == 0x00 && s == standing::reauthenticating;
            CHECK(p.matches(is_more || is_end ? outcome::accepted : outcome::either));
        }
}

TEST_CASE("each of 256 return codes of 3.1.1 is accepted or refused as the standard demands [v311:MQTT-3.2.2-5, "
          "v311:MQTT-3.9.3-2, v311:MQTT-3.8.4-5]") {
    for (unsigned code = 0; code != 256; ++code) {
        const char byte = static_cast<char>(code);
        probe connecting = fresh_probe(protocol_version::v3_1_1, standing::awaiting_connack);
        connecting.receive(standard::packet(0x20, std::string(1, '\0') + byte));
        INFO("code " << code << ": " << connecting.did());
        CHECK(connecting.matches(code == 0 ? outcome::accepted : outcome::ended));

        probe subscribing = fresh_probe(protocol_version::v3_1_1, standing::subscribing);
        subscribing.receive(standard::packet(0x90, std::string{"\0\1", 2} + byte));
        const bool is_code = code <= 2 || code == 0x80;
        CHECK(subscribing.matches(is_code ? outcome::accepted : outcome::either));
        if (is_code) CHECK((subscribing.operations() == 1 && static_cast<bool>(subscribing.error()) == (code == 0x80)));
    }
}

namespace {

template <class Packet>
unsigned codes_that_are_encoded(Packet packet, std::vector<unsigned> codes) {
    unsigned wrong = 0;
    for (unsigned code = 0; code != 256; ++code) {
        packet.reason_code = static_cast<tern::reason_code>(code);
        const bool is_listed = std::count(codes.begin(), codes.end(), code) != 0;
        wrong += static_cast<bool>(tern::encoded_size(packet, protocol_version::v5)) != is_listed;
    }
    return wrong;
}

} // namespace

TEST_CASE("of 256 reason codes only those of the packet are sent [v5:MQTT-3.4.2-1, v5:MQTT-3.5.2-1, v5:MQTT-3.6.2-1, "
          "v5:MQTT-3.7.2-1, v5:MQTT-3.14.2-1, v5:MQTT-3.15.2-1]") {
    const auto of = [](std::string_view name) {
        for (const standard::reason_codes& packet : standard::reason_codes_of_servers())
            if (packet.name == name) return packet.codes;
        return std::vector<unsigned>{};
    };
    CHECK(codes_that_are_encoded(tern::puback{1}, of("PUBACK")) == 0);
    CHECK(codes_that_are_encoded(tern::pubrec{1}, of("PUBREC")) == 0);
    CHECK(codes_that_are_encoded(tern::pubrel{1}, of("PUBREL")) == 0);
    CHECK(codes_that_are_encoded(tern::pubcomp{1}, of("PUBCOMP")) == 0);
    CHECK(codes_that_are_encoded(tern::auth{{}, {.authentication_method = "m"}}, {0x00, 0x18, 0x19}) == 0);
    std::vector<unsigned> farewells = of("DISCONNECT");
    farewells.push_back(0x04); // only a client sends it
    CHECK(codes_that_are_encoded(tern::disconnect{}, farewells) == 0);
}
