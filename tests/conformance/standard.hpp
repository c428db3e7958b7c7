// Tables of the standard, written from its sections and not from the library: the packets that a broker sends, their
// reason codes, their properties and the values of these. The tests compare what the library does with them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace standard {

using namespace std::string_literals;

enum class version : std::uint8_t { v311, v5 };

/// The reaction of a client to a packet. A client of 3.1.1 closes without a packet where one of 5.0 gives the reason.
enum class outcome : std::uint8_t {
    accepted,      ///< The connection stays.
    ended,         ///< The client closes and sends nothing: the broker has refused, or has sent DISCONNECT.
    malformed,     ///< The client closes with 0x81.
    protocol,      ///< The client closes with 0x82.
    either,        ///< The client closes with 0x81 or 0x82: the standard names no code, or both.
    topic_alias,   ///< The client closes with 0x94.
    ignored,       ///< The client has sent DISCONNECT: it neither answers nor delivers, and closes.
    clients_choice ///< The packet is allowed, but a client may leave, with any code.
};

/// A packet of 5.0 with properties: its first byte, and what stands before and after them.
struct carrier {
    std::string_view name;
    unsigned first_byte;
    std::string before;
    std::string after;
    char letter; ///< in `property::packets`
};

/// The ten packets with properties that a broker may send [§2.2.2.2]. They answer identifier 1.
inline const std::vector<carrier>& carriers() {
    static const std::vector<carrier> rows = {
        {"CONNACK", 0x20, "\0\0"s, "", 'c'},   {"PUBLISH", 0x30, "\0\1t"s, "x", 'p'},
        {"PUBACK", 0x40, "\0\1\0"s, "", 'a'},  {"PUBREC", 0x50, "\0\1\0"s, "", 'a'},
        {"PUBREL", 0x62, "\0\1\0"s, "", 'a'},  {"PUBCOMP", 0x70, "\0\1\0"s, "", 'a'},
        {"SUBACK", 0x90, "\0\1"s, "\0"s, 'a'}, {"UNSUBACK", 0xB0, "\0\1"s, "\0"s, 'a'},
        {"DISCONNECT", 0xE0, "\0"s, "", 'd'},  {"AUTH", 0xF0, "\x18"s, "", 'u'},
    };
    return rows;
}

/// A Variable Byte Integer [§1.5.5].
inline std::string variable(std::size_t value) {
    std::string bytes;
    for (; value >= 128; value /= 128)
        bytes += static_cast<char>(128 + value % 128);
    return bytes + static_cast<char>(value);
}

/// A string or binary data with its length [§1.5.4, §1.5.6].
inline std::string text(std::string_view characters) {
    const std::size_t size = characters.size();
    return std::string{static_cast<char>(size / 256), static_cast<char>(size % 256)} + std::string{characters};
}

inline std::string packet(unsigned first_byte, std::string_view body) {
    return static_cast<char>(first_byte) + variable(body.size()) + std::string{body};
}

/// The packet with these properties.
inline std::string with_properties(const carrier& c, std::string_view properties) {
    return packet(c.first_byte, c.before + variable(properties.size()) + std::string{properties} + c.after);
}

/// A property [§2.2.2.2]: the packets of a broker that may have it, and its least and greatest value.
struct property {
    unsigned id;
    std::string_view packets;
    std::string least;
    std::string greatest;
    std::string outside = "";               ///< a value of the right type that is not allowed; empty: there is none
    outcome when_outside = outcome::either; ///< where the section of the property names the error
    bool may_repeat = false;
};

/// The properties that a broker may send. The others of Table 2-4 stand in packets of clients alone.
inline const std::vector<property>& properties() {
    static const std::string longest = text(std::string(65'535, 'x'));
    static const std::string flag0 = "\0"s, flag1 = "\1"s, flag2 = "\2"s;
    static const std::vector<property> rows = {
        {0x01, "p", flag0, flag1, flag2, outcome::protocol},                                // payload format
        {0x02, "p", "\0\0\0\0"s, "\xff\xff\xff\xff"s},                                      // message expiry
        {0x03, "p", text(""), longest},                                                     // content type
        {0x08, "p", text("r"), longest, text("r/+"), outcome::either},                      // response topic
        {0x09, "p", text(""), longest},                                                     // correlation data
        {0x0B, "p", "\1"s, "\xff\xff\xff\x7f"s, "\0"s, outcome::protocol, true},            // subscription id
        {0x11, "c", "\0\0\0\0"s, "\xff\xff\xff\xff"s},                                      // session expiry
        {0x12, "c", text("i"), longest},                                                    // assigned id
        {0x13, "c", "\0\0"s, "\xff\xff"s},                                                  // server keep alive
        {0x15, "cu", text("m"), longest},                                                   // auth method
        {0x16, "cu", text(""), longest},                                                    // auth data
        {0x1A, "c", text(""), longest},                                                     // response info
        {0x1C, "cd", text(""), longest},                                                    // server reference
        {0x1F, "cadu", text(""), longest},                                                  // reason string
        {0x21, "c", "\0\1"s, "\xff\xff"s, "\0\0"s, outcome::protocol},                      // receive maximum
        {0x22, "c", "\0\0"s, "\xff\xff"s},                                                  // alias maximum
        {0x23, "p", "\0\1"s, "\xff\xff"s, "\0\0"s, outcome::topic_alias},                   // topic alias
        {0x24, "c", flag0, flag1, flag2, outcome::protocol},                                // maximum QoS
        {0x25, "c", flag0, flag1, flag2, outcome::protocol},                                // retain available
        {0x26, "cpadu", text("") + text(""), longest + longest, "", outcome::either, true}, // user property
        {0x27, "c", "\0\0\0\1"s, "\xff\xff\xff\xff"s, "\0\0\0\0"s, outcome::protocol},      // packet size
        {0x28, "c", flag0, flag1, flag2, outcome::protocol},                                // wildcards
        {0x29, "c", flag0, flag1, flag2, outcome::protocol},                                // subscription ids
        {0x2A, "c", flag0, flag1, flag2, outcome::protocol},                                // shared subscriptions
    };
    return rows;
}

/// The property with this identifier, if a broker may send it in the packet.
inline const property* find(const carrier& c, unsigned id) {
    for (const property& p : properties())
        if (p.id == id && p.packets.find(c.letter) != std::string_view::npos) return &p;
    return nullptr;
}

/// The reason codes of a packet that a server sends in 5.0 [§3.2.2.2, §3.4.2.1 and the like].
struct reason_codes {
    std::string_view name;
    unsigned first_byte;
    std::string before;
    std::string after;
    std::vector<unsigned> codes;
};

inline const std::vector<reason_codes>& reason_codes_of_servers() {
    static const std::vector<unsigned> of_publish = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
    static const std::vector<reason_codes> rows = {
        {"CONNACK", 0x20, "\0"s, "\0"s, {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
                                         0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F}},
        {"PUBACK", 0x40, "\0\1"s, "", of_publish},
        {"PUBREC", 0x50, "\0\1"s, "", of_publish},
        {"PUBREL", 0x62, "\0\1"s, "", {0x00, 0x92}},
        {"PUBCOMP", 0x70, "\0\1"s, "", {0x00, 0x92}},
        {"SUBACK", 0x90, "\0\1\0"s, "", {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}},
        {"UNSUBACK", 0xB0, "\0\1\0"s, "", {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}},
        {"DISCONNECT", 0xE0, "", "", {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D,
                                      0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
                                      0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2}},
    };
    return rows;
}

} // namespace standard
