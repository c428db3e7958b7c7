// The decoder against the standard's rules on reason codes, properties and flags. The tables here are
// independent of the codec's: they follow the sections on each packet, the codec follows Tables 2-4 and 2-6.
#include "catch.hpp"
#include "codec_test.hpp"
#include "hex.hpp"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace codec_test;
using namespace std::string_literals;

constexpr auto v3 = protocol_version::v3_1_1;
constexpr auto v5 = protocol_version::v5;

std::string variable(std::size_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7)
        bytes += static_cast<char>(value | 0x80);
    return bytes + static_cast<char>(value);
}

std::string make_packet(unsigned first_byte, const std::string& body) {
    return static_cast<char>(first_byte) + variable(body.size()) + body;
}

errc error_of(const std::string& bytes, protocol_version version) {
    const exact_copy copy{bytes};
    return read(copy.view(), version).error();
}

// A packet that can carry a property block.
struct carrier {
    char letter; // as in the table of properties below
    unsigned first_byte;
    std::string before;
    std::string after;

    std::string with(const std::string& block) const { return with_length(block.size(), block); }
    std::string with_length(std::size_t length, const std::string& block) const {
        return make_packet(first_byte, before + variable(length) + block + after);
    }
};

const std::vector<carrier> carriers = {
    {'C', 0x10, std::string("0004 'MQTT' 05 02 0000"_hex), "\0\0"s},
    {'W', 0x10, std::string("0004 'MQTT' 05 06 0000 00 0000"_hex), std::string("0001 'w' 0000"_hex)},
    {'c', 0x20, "\0\0"s, ""},
    {'P', 0x30, std::string("0001 't'"_hex), ""},
    {'4', 0x40, std::string("0007 00"_hex), ""},
    {'5', 0x50, std::string("0007 00"_hex), ""},
    {'6', 0x62, std::string("0007 00"_hex), ""},
    {'7', 0x70, std::string("0007 00"_hex), ""},
    {'S', 0x82, std::string("0007"_hex), std::string("0001 'a' 00"_hex)},
    {'s', 0x90, std::string("0007"_hex), "\0"s},
    {'U', 0xA2, std::string("0007"_hex), std::string("0001 'a'"_hex)},
    {'u', 0xB0, std::string("0007"_hex), "\0"s},
    {'D', 0xE0, "\0"s, ""},
    {'A', 0xF0, "\0"s, ""},
};

struct property_row {
    unsigned id;
    std::string value;        // a valid one
    std::string_view packets; // the letters of the carriers that may have it
};

const std::string text = std::string("0001 'x'"_hex);
const std::string one_byte = "\1"s;
const std::string two_bytes = "\0\1"s;
const std::string four_bytes = "\0\0\0\1"s;

const std::vector<property_row> properties = {
    {0x01, one_byte, "PW"},    {0x02, four_bytes, "PW"}, {0x03, text, "PW"},        {0x08, text, "PW"},
    {0x09, text, "PW"},        {0x0B, one_byte, "PS"},   {0x11, four_bytes, "CcD"}, {0x12, text, "c"},
    {0x13, two_bytes, "c"},    {0x15, text, "CcA"},      {0x16, text, "CcA"},       {0x17, one_byte, "C"},
    {0x18, four_bytes, "W"},   {0x19, one_byte, "C"},    {0x1A, text, "c"},         {0x1C, text, "cD"},
    {0x1F, text, "c4567suDA"}, {0x21, two_bytes, "Cc"},  {0x22, two_bytes, "Cc"},   {0x23, two_bytes, "P"},
    {0x24, one_byte, "c"},     {0x25, one_byte, "c"},    {0x26, text + text, "*"},  {0x27, four_bytes, "Cc"},
    {0x28, one_byte, "c"},     {0x29, one_byte, "c"},    {0x2A, one_byte, "c"},
};

const property_row* find(unsigned id) {
    const auto row = std::find_if(properties.begin(), properties.end(), [&](auto& p) { return p.id == id; });
    return row == properties.end() ? nullptr : &*row;
}

bool may_carry(const carrier& packet, const property_row& property) {
    return property.packets == "*" || property.packets.find(packet.letter) != std::string_view::npos;
}

// Authentication data needs an authentication method in every packet, and AUTH always needs one. It precedes
// the property.
std::string method_for(const carrier& packet, unsigned id) {
    const bool needed = packet.letter == 'A' || ((packet.letter == 'C' || packet.letter == 'c') && id == 0x16);
    return needed && id != 0x15 ? std::string("15 0001 'm'"_hex) : "";
}

std::string block_of(const property_row& property) {
    return static_cast<char>(property.id) + property.value;
}

} // namespace

TEST_CASE("each 5.0 packet accepts exactly its own of 256 reason codes [v5:MQTT-3.2.2-8, "
          "v5:MQTT-3.4.2-1, v5:MQTT-3.5.2-1, v5:MQTT-3.6.2-1, v5:MQTT-3.7.2-1, v5:MQTT-3.9.3-2, v5:MQTT-3.11.3-2, "
          "v5:MQTT-3.14.2-1, v5:MQTT-3.15.2-1]") {
    struct row {
        unsigned first_byte;
        std::string before, after;
        std::vector<unsigned> codes;
    };
    const std::string id = "\0\7"s;
    const std::vector<unsigned> received = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
    const row rows[] = {
        {0x20, "\0"s, "\0"s, {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
                              0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F}},
        {0x40, id, "", received},
        {0x50, id, "", received},
        {0x62, id, "", {0x00, 0x92}},
        {0x70, id, "", {0x00, 0x92}},
        {0x90, id + "\0"s, "", {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}},
        {0xB0, id + "\0"s, "", {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}},
        // Table 2-6 lets DISCONNECT carry 0x8C as well, after a failed re-authentication.
        {0xE0, "", "\0"s, {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93,
                           0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2}},
        {0xF0, "", std::string("04 15 0001 'm'"_hex), {0x00, 0x18, 0x19}},
    };
    for (const row& packet : rows)
        for (unsigned code = 0; code != 256; ++code) {
            CAPTURE(packet.first_byte, code);
            const bool allowed = std::count(packet.codes.begin(), packet.codes.end(), code) != 0;
            const auto bytes = make_packet(packet.first_byte, packet.before + static_cast<char>(code) + packet.after);
            CHECK(error_of(bytes, v5) == (allowed ? errc::none : errc::invalid_reason_code));
        }
}

TEST_CASE(
    "a 3.1.1 CONNACK accepts the codes 0 to 5, a SUBACK 0, 1, 2 and 0x80, and no others of 256 [v311:MQTT-3.9.3-2]") {
    for (unsigned code = 0; code != 256; ++code) {
        CAPTURE(code);
        const errc connack = code <= 5 ? errc::none : errc::invalid_reason_code;
        const errc suback = code <= 2 || code == 0x80 ? errc::none : errc::invalid_reason_code;
        CHECK(error_of(make_packet(0x20, "\0"s + static_cast<char>(code)), v3) == connack);
        CHECK(error_of(make_packet(0x90, "\0\7"s + static_cast<char>(code)), v3) == suback);
        CHECK(error_of(make_packet(0x90, "\0\7\0"s + static_cast<char>(code) + "\1"s), v3) == suback);
    }
}

TEST_CASE("43 of 256 numbers are reason codes with a name") {
    unsigned named = 0;
    for (unsigned code = 0; code != 256; ++code)
        named += to_string(static_cast<reason_code>(code)) != "unknown reason code";
    CHECK(named == 43);
}

TEST_CASE("3.1.1 return codes are translated to reason codes and back") {
    for (unsigned code = 0; code != 256; ++code) {
        const auto name = from_return_code(static_cast<std::uint8_t>(code));
        CHECK(name.has_value() == (code <= 5));
        if (name) CHECK(to_return_code(*name) == static_cast<std::uint8_t>(code));
    }
}

TEST_CASE("each packet accepts exactly its own of 256 property identifiers") {
    for (const carrier& packet : carriers)
        for (unsigned id = 0; id != 256; ++id) {
            CAPTURE(packet.letter, id);
            const property_row* property = find(id);
            const bool allowed = property && may_carry(packet, *property);
            const std::string block = method_for(packet, id) + variable(id) + (property ? property->value : text);
            CHECK(error_of(packet.with(block), v5) == (allowed ? errc::none : errc::property_not_allowed));
        }
}

namespace {

// The properties that a packet's struct can hold.
template <class... Field>
std::vector<unsigned> identifiers_of(detail::field_list<Field...>) {
    return {static_cast<unsigned>(Field::id)...};
}

} // namespace

TEST_CASE("a property that a packet may not carry has no member in the packet's struct [v5:§2.2.2.2]") {
    const struct {
        std::string_view letters; // of the carriers with this struct
        std::vector<unsigned> held;
    } structs[] = {
        {"C", identifiers_of(connect_properties::fields{})},
        {"W", identifiers_of(detail::will_properties::fields{})},
        {"c", identifiers_of(connack_properties::fields{})},
        {"P", identifiers_of(message_properties::fields{})},
        {"4567su", identifiers_of(ack_properties::fields{})},
        {"S", identifiers_of(subscribe_properties::fields{})},
        {"U", identifiers_of(unsubscribe_properties::fields{})},
        {"D", identifiers_of(disconnect_properties::fields{})},
        {"A", identifiers_of(auth_properties::fields{})},
    };
    for (const auto& s : structs)
        for (const char letter : s.letters) {
            const auto packet = std::find_if(carriers.begin(), carriers.end(),
                                             [letter](const carrier& each) { return each.letter == letter; });
            REQUIRE(packet != carriers.end());
            for (unsigned id = 0; id != 256; ++id) {
                CAPTURE(letter, id);
                const property_row* const property = find(id);
                const bool has_member = std::find(s.held.begin(), s.held.end(), id) != s.held.end();
                CHECK(has_member == (property && may_carry(*packet, *property)));
            }
        }
}

TEST_CASE("each of the 27 properties is refused if it is repeated, except those that may be") {
    CHECK(properties.size() == 27);
    for (const property_row& property : properties)
        for (const carrier& packet : carriers) {
            if (!may_carry(packet, property)) continue;
            CAPTURE(packet.letter, property.id);
            const bool repeatable = property.id == 0x26 || (property.id == 0x0B && packet.letter == 'P');
            const std::string once = method_for(packet, property.id) + block_of(property);
            CHECK(error_of(packet.with(once + block_of(property)), v5) ==
                  (repeatable ? errc::none : errc::duplicate_property));
            // Also with another property in between.
            const std::string apart = once + block_of(*find(0x26)) + block_of(property);
            CHECK(error_of(packet.with(apart), v5) == (repeatable ? errc::none : errc::duplicate_property));
        }
}

TEST_CASE("a truncated property is refused, although the packet continues after it") {
    for (const property_row& property : properties)
        for (const carrier& packet : carriers) {
            if (!may_carry(packet, property)) continue;
            const std::string method = method_for(packet, property.id);
            const std::string block = block_of(property);
            for (std::size_t length = 1; length != block.size(); ++length) {
                CAPTURE(packet.letter, property.id, length);
                CHECK(error_of(packet.with(method + block.substr(0, length)), v5) == errc::truncated_packet);
            }
        }
}

TEST_CASE("a property length beyond the end of the packet is refused (CVE-2026-8686)") {
    for (const carrier& packet : carriers) {
        const std::string block = method_for(packet, 0) + block_of(*find(0x26)) + block_of(*find(0x26));
        REQUIRE(error_of(packet.with(block), v5) == errc::none);
        const std::size_t left = block.size() + packet.after.size();
        for (std::size_t length = 0; length != left + 6; ++length) {
            CAPTURE(packet.letter, length);
            const errc error = error_of(packet.with_length(length, block), v5);
            if (length > left)
                CHECK(error == errc::truncated_packet);
            else if (length != block.size() && packet.letter != 'P') // its payload may be any bytes
                CHECK(error != errc::none);
        }
        for (const std::size_t length : {std::size_t{16'384}, std::size_t{variable_byte_integer_max}})
            CHECK(error_of(packet.with_length(length, block), v5) == errc::truncated_packet);
    }
}

TEST_CASE("each property of one byte accepts 0 and 1, and no others of 256 values") {
    for (const property_row& property : properties) {
        if (property.value != one_byte || property.id == 0x0B) continue;
        for (const carrier& packet : carriers) {
            if (!may_carry(packet, property)) continue;
            for (unsigned value = 0; value != 256; ++value) {
                CAPTURE(packet.letter, property.id, value);
                const std::string block{static_cast<char>(property.id), static_cast<char>(value)};
                CHECK(error_of(packet.with(block), v5) == (value <= 1 ? errc::none : errc::invalid_property_value));
            }
        }
    }
}

TEST_CASE("only Receive Maximum, Maximum Packet Size, Topic Alias and Subscription Identifier refuse 0") {
    for (const property_row& property : properties) {
        const bool is_number = property.value == two_bytes || property.value == four_bytes || property.id == 0x0B;
        if (!is_number) continue;
        for (const carrier& packet : carriers) {
            if (!may_carry(packet, property)) continue;
            CAPTURE(packet.letter, property.id);
            const std::string zero(property.value.size(), '\0');
            const errc expected = property.id == 0x21 || property.id == 0x27 || property.id == 0x0B
                                      ? errc::invalid_property_value
                                  : property.id == 0x23 ? errc::invalid_topic_alias
                                                        : errc::none;
            CHECK(error_of(packet.with(static_cast<char>(property.id) + zero), v5) == expected);
        }
    }
}

TEST_CASE("the connect flags that the standard forbids are refused, and no others of 256 "
          "[v311:MQTT-3.1.2-3, v311:MQTT-3.1.2-11, v311:MQTT-3.1.2-13, v311:MQTT-3.1.2-14, v311:MQTT-3.1.2-15, "
          "v311:MQTT-3.1.2-22, v5:MQTT-3.1.2-3, v5:MQTT-3.1.2-11, v5:MQTT-3.1.2-12, v5:MQTT-3.1.2-13]") {
    for (const auto version : {v3, v5})
        for (unsigned flags = 0; flags != 256; ++flags) {
            CAPTURE(static_cast<int>(version), flags);
            const bool will = (flags & 0x04) != 0;
            const bool user_name = (flags & 0x80) != 0;
            const bool password = (flags & 0x40) != 0;
            const unsigned will_qos = flags >> 3 & 3;
            std::string body{"0004 'MQTT'"_hex};
            body += static_cast<char>(version);
            body += static_cast<char>(flags);
            body += "\0\0"s;
            const std::string none = version == v5 ? "\0"s : "";
            body += none + std::string("0001 'c'"_hex);
            if (will) body += none + std::string("0001 'w' 0001 'x'"_hex);
            if (user_name) body += text;
            if (password) body += text;

            errc expected = errc::none;
            if (version == v3 && password && !user_name) expected = errc::password_without_user_name; // [MQTT-3.1.2-22]
            if (will_qos == 3 || (!will && (will_qos != 0 || (flags & 0x20) != 0)))
                expected = errc::invalid_will_flags;                  // [MQTT-3.1.2-11, -13, -14, -15]
            if (flags & 0x01) expected = errc::reserved_connect_flag; // [MQTT-3.1.2-3]
            CHECK(error_of(make_packet(0x10, body), version) == expected);
        }
}

TEST_CASE(
    "a first byte with invalid flags is refused, and no others of 256 "
    "[v311:MQTT-2.2.2-1, v311:MQTT-3.3.1-2, v311:MQTT-3.3.1-4, v311:MQTT-3.14.1-1, v5:MQTT-2.1.3-1, v5:MQTT-3.3.1-2, "
    "v5:MQTT-3.3.1-4, v5:MQTT-3.14.1-1]") {
    for (unsigned first = 0; first != 256; ++first) {
        CAPTURE(first);
        const unsigned type = first >> 4, flags = first & 0x0F;
        errc expected = errc::none;
        if (type == 0)
            expected = errc::invalid_packet_type;
        else if (type == 3)
            expected = (flags & 6) == 6    ? errc::invalid_qos
                       : (flags & 14) == 8 ? errc::dup_at_most_once // [MQTT-3.3.1-2]
                                           : errc::none;
        else if (flags != (type == 6 || type == 8 || type == 10 ? 2U : 0U))
            expected = errc::invalid_flags;
        CHECK(check_first_byte(static_cast<std::uint8_t>(first)) == expected);
        const char byte = static_cast<char>(first);
        CHECK(next_frame({&byte, 1}).error() == expected); // the first byte suffices for the error
    }
}

TEST_CASE("reserved and invalid subscription options are refused, and no others of 256 [v311:MQTT-3-8.3-4, "
          "v5:MQTT-3.8.3-5]") {
    for (const auto version : {v3, v5})
        for (unsigned options = 0; options != 256; ++options) {
            CAPTURE(static_cast<int>(version), options);
            const std::string none = version == v5 ? "\0"s : "";
            const std::string body = "\0\1"s + none + std::string("0001 'a'"_hex) + static_cast<char>(options);
            errc expected = errc::none;
            if (version == v5 && (options & 0x30) == 0x30) expected = errc::invalid_retain_handling;
            if ((options & 3) == 3) expected = errc::invalid_subscription_qos;
            if (options & (version == v5 ? 0xC0U : 0xFCU)) expected = errc::invalid_subscription_options;
            CHECK(error_of(make_packet(0x82, body), version) == expected);
        }
}

TEST_CASE("the framer returns the number of bytes it needs, and refuses too large packets at once") {
    CHECK(next_frame("")->size == 2);
    CHECK_FALSE(next_frame("")->complete);
    CHECK(next_frame("\x30")->size == 2);
    CHECK(next_frame("\x30\x80")->size == 3);
    CHECK(next_frame("\x30\x80\x01")->size == 131);
    CHECK(next_frame("\x30\xFF\xFF\xFF\x7F")->size == 268'435'460);
    CHECK(next_frame("\x30\xFF\xFF\xFF\xFF").error() == errc::malformed_variable_byte_integer);
    CHECK(next_frame("\x30\xFF\xFF\xFF\x7F", 1024).error() == errc::packet_too_large);
    CHECK(next_frame("\x30\x05", 7)->size == 7);
    CHECK(next_frame("\x30\x05", 6).error() == errc::packet_too_large); // [MQTT-3.1.2-24]
    const auto two = next_frame("40 02 0007 C0 00"_hex);
    REQUIRE(two);
    CHECK(two->complete);
    CHECK(two->size == 4);
    CHECK(two->frame.type() == packet_type::puback);
    CHECK(two->frame.body.size() == 2);
}

TEST_CASE("a frame of one type is not decoded as another type") {
    CHECK(decode<puback>(frame{0x50, "\0\7"}, v5).error() == errc::invalid_packet_type);
    CHECK(decode<connack>(frame{0x30, "\0\0"}, v3).error() == errc::invalid_packet_type);
}

TEST_CASE("an error has the reason code that the standard names for it") {
    struct row {
        reason_code code;
        std::vector<errc> errors;
    };
    const row rows[] = {
        {reason_code::malformed_packet,
         {errc::malformed_utf8,                  // §1.5.4
          errc::string_too_long,                 // §1.5.4
          errc::invalid_packet_type,             // §2.1.2
          errc::truncated_packet,                // §4.13.1
          errc::trailing_bytes,                  // §4.13.1
          errc::invalid_reason_code,             // §2.4: a value that is not of the data type
          errc::dup_at_most_once,                // [MQTT-3.3.1-2]
          errc::invalid_topic_name,              // [MQTT-3.3.2-2]
          errc::invalid_topic_filter,            // [MQTT-4.7.1-1]
          errc::invalid_connack_flags,           // [MQTT-3.2.2-1]
          errc::unexpected_protocol_version,     // §3.2.2
          errc::http_answer,                     // §4.13.1
          errc::tls_answer,                      // §4.13.1
          errc::ssh_answer,                      // §4.13.1
          errc::null_character,                  // §1.5.4
          errc::malformed_variable_byte_integer, // §1.5.5
          errc::invalid_flags,                   // §2.1.3
          errc::property_not_allowed,            // §2.2.2.2
          errc::invalid_qos,                     // §3.3.1.2
          errc::reserved_connect_flag,           // §3.1.2.3
          errc::invalid_will_flags,              // §3.1.2.6
          errc::invalid_subscription_options}},  // [MQTT-3.8.3-5]
        {reason_code::protocol_error,
         {errc::duplicate_property,                                                // §3.1.2.11.2 and others
          errc::invalid_property_value,                                            // §3.1.2.11.3 and others
          errc::authentication_data_without_method,                                // §3.1.2.11.10
          errc::missing_authentication_method,                                     // §3.15.2.2.2
          errc::empty_topic,                                                       // §3.3.2.1
          errc::empty_subscription_list,                                           // [MQTT-3.8.3-2]
          errc::invalid_subscription_qos,                                          // §3.8.3.1
          errc::invalid_retain_handling,                                           // §3.8.3.1
          errc::no_local_on_shared_subscription,                                   // [MQTT-3.8.3-4]
          errc::unknown_topic_alias,                                               // §3.3.2.3.4
          errc::zero_packet_id,                                                    // [MQTT-2.2.1-3]
          errc::packet_id_at_most_once,                                            // [MQTT-2.2.1-2]
          errc::invalid_response_topic,                                            // [MQTT-3.3.2-14]
          errc::empty_will_topic,                                                  // [MQTT-3.1.2-9]
          errc::session_present_on_refusal,                                        // [MQTT-3.2.2-6]
          errc::unexpected_session_present,                                        // [MQTT-3.2.2-4]
          errc::session_present_after_clean_start,                                 // [MQTT-3.2.2-2]
          errc::unexpected_packet,                                                 // [MQTT-3.2.0-1]
          errc::unexpected_acknowledgement,                                        // [MQTT-2.2.1-5]
          errc::reason_count_mismatch,                                             // [MQTT-3.8.4-6]
          errc::unexpected_authentication,                                         // [MQTT-4.12.0-6]
          errc::unwanted_problem_information}},                                    // §3.1.2.11.7
        {reason_code::quota_exceeded, {errc::topic_aliases_too_large}},            // 0x97: a limit of the client
        {reason_code::topic_alias_invalid, {errc::invalid_topic_alias}},           // §3.3.2.3.4
        {reason_code::packet_too_large, {errc::packet_too_large}},                 // §3.1.2.11.4
        {reason_code::receive_maximum_exceeded, {errc::receive_maximum_exceeded}}, // §3.3.4
        {reason_code::payload_format_invalid, {errc::payload_format_invalid}},     // §3.3.2.3.2
        {reason_code::unsupported_protocol_version,
         {errc::invalid_protocol_name, errc::unsupported_protocol_version}}, // §3.1.2.1, §3.1.2.2
    };
    for (const row& row : rows)
        for (const errc error : row.errors) {
            CAPTURE(to_string(error));
            CHECK(answer_to(error) == row.code);
        }
}

TEST_CASE("each error has a text, and a reason code that a packet may carry") {
    for (unsigned value = 0; value <= static_cast<unsigned>(errc::authentication_not_supported); ++value) {
        const auto error = static_cast<errc>(value);
        CAPTURE(value, to_string(error));
        CHECK_FALSE(to_string(error).empty());
        CHECK(violation(error).message() == to_string(error));
        CHECK(violation(error) == error);
        CHECK(misuse(error) == error);
        CHECK((is_valid(answer_to(error), packet_type::disconnect, v5) ||
               is_valid(answer_to(error), packet_type::connack, v5)));
        for (const auto version : {v3, v5}) {
            const std::string_view id = clause(error, version);
            CHECK((id.empty() || id.starts_with("MQTT-") || id.starts_with("§")));
        }
    }
    for (const int value : {-1, 200, 255, 256, 100'000}) // an error_code can hold any number
        CHECK(std::error_code(value, protocol_category()).message() == "unknown error");
}
