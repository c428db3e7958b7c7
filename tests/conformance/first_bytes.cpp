// 256 first bytes in every state of a session, also in exchanges of AUTH, with the rest of a valid packet behind each.
#include "../catch.hpp"
#include "probe.hpp"

#include <array>
#include <string>

namespace {

using standard::outcome;

// The rest of a packet of each type, with identifier 1.
std::string rest_of_packet(unsigned first, tern::protocol_version v) {
    const bool v5 = v == tern::protocol_version::v5;
    const std::string none = v5 ? std::string(1, '\0') : "";
    const std::string id{"\0\1", 2};
    switch (first / 16) {
    case 1:
        return std::string{"\0\4MQTT", 6} + (v5 ? "\5" : "\4") + std::string{"\2\0\0", 3} + none +
               std::string{"\0\1c", 3};
    case 2: return std::string(2, '\0') + none;
    case 3: return std::string{"\0\1t", 3} + (first / 2 % 4 != 0 ? id : "") + none + "x";
    case 8: return id + none + std::string{"\0\1f\0", 4};
    case 9: return id + none + '\0';
    case 10: return id + none + std::string{"\0\1f", 3};
    case 11: return id + none + none;
    case 4:
    case 5:
    case 6:
    case 7: return id;
    default: return "";
    }
}

// The reaction of a client to a packet whose flags are right. One row for each state, one column for each type:
// CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ,
// PINGRESP.
//
//   +  accepted: a message, an answer to a request, or to none
//   P  a protocol error: a packet of clients, an answer of the wrong kind, a PUBREL before PUBREC [§4.13]
std::string_view by_type(standing s) {
    using enum standing;
    switch (s) {
    case awaiting_connack: return "P+PPPPPPPPPPP"; // [v311:MQTT-3.2.0-1, v5:MQTT-3.2.0-1]
    case authenticating: return "PPPPPPPPPPPPP";   // CONNACK without the method [v5:MQTT-4.12.0-5]
    case publishing_1:
    case draining:
    case resumed: return "PP++P+PPPPPP+";
    case publishing_2: return "PP+P++PPPPPP+";
    case releasing_2: return "PP+P+++PPPPP+";
    case subscribing: return "PP+PP+PP+PPP+";
    case unsubscribing: return "PP+PP+PPPP+P+";
    case holding_2: return "PP+++P+P+P+P+";
    default: return "PP+++++P+P+P+";
    }
}

// Tables 2-1 to 2-3 (3.1.1: 2.1 and 2.2): the types and flags that exist.
outcome of_first_byte(unsigned first, standing s, bool v5) {
    const unsigned type = first / 16, flags = first % 16;
    if (s == standing::leaving || s == standing::left) return outcome::ignored; // [v5:MQTT-3.14.4-1]
    if (type == 0 || (type == 15 && !v5)) return outcome::malformed;
    if (type == 3) {
        if (flags / 2 % 4 == 3) return outcome::malformed;            // [v311:MQTT-3.3.1-4, v5:MQTT-3.3.1-4]
        if (flags >= 8 && flags / 2 % 4 == 0) return outcome::either; // [v311:MQTT-3.3.1-2, v5:MQTT-3.3.1-2]
    } else if (flags != (type == 6 || type == 8 || type == 10 ? 2U : 0U)) {
        return outcome::malformed; // [v311:MQTT-2.2.2-2, v5:MQTT-2.1.3-1]
    }
    if (type == 15) // without content it says that an exchange on a connection has succeeded [§3.15.2.1]
        return s == standing::reauthenticating ? outcome::clients_choice : outcome::protocol; // [v5:MQTT-4.12.0-6]
    const bool has_connack = s != standing::awaiting_connack && s != standing::authenticating;
    if (type == 14) return v5 && has_connack ? outcome::ended : outcome::protocol; // [v5:MQTT-3.14.0-1]
    return by_type(s)[type - 1] == '+' ? outcome::accepted : outcome::protocol;
}

} // namespace

TEST_CASE("each of 256 first bytes has in each state the effect that the standard demands [v311:MQTT-2.2.2-1, "
          "v311:MQTT-2.2.2-2, v311:MQTT-3.2.0-1, v311:MQTT-3.3.1-2, v311:MQTT-3.3.1-4, v311:MQTT-3.6.1-1, "
          "v311:MQTT-4.8.0-1, v5:MQTT-2.1.3-1, v5:MQTT-3.2.0-1, v5:MQTT-3.2.0-2, v5:MQTT-3.3.1-2, v5:MQTT-3.3.1-4, "
          "v5:MQTT-3.6.1-1, v5:MQTT-3.14.0-1, v5:MQTT-3.14.1-1, v5:MQTT-3.14.4-1, v5:MQTT-3.15.1-1, "
          "v5:MQTT-4.12.0-6, v5:MQTT-4.13.1-1]") {
    unsigned cases = 0;
    for (const auto v : {tern::protocol_version::v3_1_1, tern::protocol_version::v5})
        for (const standing s : all_standings)
            for (unsigned first = 0; first != 256 && exists(v, s); ++first, ++cases) {
                probe p = fresh_probe(v, s);
                p.receive(standard::packet(first, rest_of_packet(first, v)));
                const bool v5 = v == tern::protocol_version::v5;
                INFO((v5 ? "5.0, " : "3.1.1, ") << name_of(s) << ", first byte " << first << ": " << p.did());
                CHECK(p.matches(of_first_byte(first, s, v5)));
            }
    CHECK(cases == 8'448);
}
