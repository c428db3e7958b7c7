// 256 property identifiers in each of the ten packets with properties that a broker may send: with the least and the
// greatest value, cut, repeated, and with a value that is not allowed.
#include "../catch.hpp"
#include "probe.hpp"
#include "tern/codec/packet.hpp"

#include <string>
#include <utility>

namespace {

using standard::carrier;
using standard::outcome;
using standard::property;

enum class value_kind : std::uint8_t { least, greatest, cut, repeated, outside };
constexpr value_kind all_kinds[] = {value_kind::least, value_kind::greatest, value_kind::cut, value_kind::repeated,
                                    value_kind::outside};

// The value of an identifier that the packet may not have: its own type if it has one.
std::string any_value(unsigned id, value_kind kind) {
    for (const property& p : standard::properties())
        if (p.id == id) return kind == value_kind::greatest ? p.greatest : p.least;
    return kind == value_kind::greatest ? std::string(4, '\xff') : std::string(1, '\0');
}

std::string block_with(const carrier& c, unsigned id, value_kind kind) {
    const property* const p = standard::find(c, id);
    const std::string head = standard::variable(id);
    std::string block = head + any_value(id, kind);
    if (kind == value_kind::outside && p && !p->outside.empty()) block = head + p->outside;
    if (kind == value_kind::repeated) block += block;
    if (kind == value_kind::cut) block.pop_back();
    return block;
}

// What the decoder alone must do with the packet.
outcome of_packet(const carrier& c, unsigned id, value_kind kind) {
    const property* const p = standard::find(c, id);
    if (!p) return outcome::malformed; // [§2.2.2.2]
    if (kind == value_kind::cut) return outcome::malformed;
    if (kind == value_kind::repeated && !p->may_repeat) return outcome::protocol;
    if (kind == value_kind::outside && !p->outside.empty()) return p->when_outside;
    return outcome::accepted;
}

// What a session must do with it in its state: some packets are not what the client has asked for.
outcome of_session(const carrier& c, unsigned id, value_kind kind) {
    const outcome expected = of_packet(c, id, kind);
    if (c.name == "AUTH") return outcome::either;                     // [v5:MQTT-4.12.0-6]
    if (c.name == "DISCONNECT" && id == 0x11) return outcome::either; // only of a client [v5:MQTT-3.14.2-2]
    if (expected != outcome::accepted) return expected;
    if (c.name == "DISCONNECT") return outcome::ended;
    if (id == 0x15 || id == 0x16) return outcome::protocol; // CONNACK [v5:MQTT-4.12.0-6]
    // A broker that takes packets of one byte leaves nothing that the client could send.
    if (id == 0x27 && (kind == value_kind::least || kind == value_kind::outside)) return outcome::clients_choice;
    return outcome::accepted;
}

bool is_decoded(const std::string& bytes) {
    const auto found = tern::next_frame(bytes);
    return found && found->complete && tern::decode(found->frame, tern::protocol_version::v5);
}

const char* name_of_kind(value_kind kind) {
    static constexpr const char* names[] = {"least", "greatest", "cut", "repeated", "outside"};
    return names[static_cast<std::size_t>(kind)];
}

} // namespace

TEST_CASE("each of 256 property identifiers in each packet of a broker has the effect that the standard demands "
          "[v5:MQTT-3.3.2-8, v5:MQTT-3.3.2-14, v5:MQTT-3.14.2-2, v5:MQTT-4.12.0-6, v5:MQTT-4.13.1-1]") {
    unsigned cases = 0;
    for (const carrier& c : standard::carriers())
        for (unsigned id = 0; id != 256; ++id)
            for (const value_kind kind : all_kinds) {
                ++cases;
                probe p = fresh_probe(tern::protocol_version::v5, state_answered_by(c.first_byte));
                p.receive(standard::with_properties(c, block_with(c, id, kind)));
                INFO(c.name << ", property " << id << ", " << name_of_kind(kind) << ": " << p.did());
                CHECK(p.matches(of_session(c, id, kind)));
            }
    CHECK(cases == 12'800);
}

TEST_CASE("AUTH is decoded with exactly its properties") {
    for (const carrier& c : standard::carriers()) {
        if (c.name != "AUTH") continue;
        for (unsigned id = 0; id != 256; ++id)
            for (const value_kind kind : all_kinds) {
                const std::string method = id == 0x15 ? "" : std::string{"\x15\0\1m", 4};
                INFO("property " << id << ", " << name_of_kind(kind));
                CHECK(is_decoded(standard::with_properties(c, method + block_with(c, id, kind))) ==
                      (of_packet(c, id, kind) == outcome::accepted));
            }
    }
}

TEST_CASE("each of 256 property identifiers in AUTH has the effect that the standard demands, in both exchanges "
          "[v5:MQTT-4.12.0-5]") {
    for (const carrier& c : standard::carriers()) {
        if (c.name != "AUTH") continue;
        for (const standing s : {standing::authenticating, standing::reauthenticating})
            for (unsigned id = 0; id != 256; ++id)
                for (const value_kind kind : all_kinds) {
                    const std::string method = id == 0x15 ? "" : std::string{"\x15\0\1m", 4};
                    probe p = fresh_probe(tern::protocol_version::v5, s);
                    p.receive(standard::with_properties(c, method + block_with(c, id, kind)));
                    INFO(name_of(s) << ", property " << id << ", " << name_of_kind(kind) << ": " << p.did());
                    const bool is_other_method = id == 0x15 && kind == value_kind::greatest;
                    CHECK(p.matches(is_other_method ? outcome::either : of_packet(c, id, kind)));
                }
    }
}
