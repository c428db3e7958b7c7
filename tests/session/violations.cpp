// Violations by the broker, with their error and their reason code in 5.0.
#include "dialog.hpp"

using tern::errc;
using tern::reason_code;
using namespace std::string_view_literals;

DIALOG("packets that are too short or too long are errors [v311:MQTT-4.8.0-1, v5:MQTT-4.13.1-1]") {
    d.open();
    const std::string_view packets[] = {
        "\x40\0"sv,   "\x40\1\1"sv, "\x50\1\1"sv, "\x62\1\1"sv,   "\x70\0"sv,      "\x90\1\0"sv, "\x90\0"sv,
        "\xb0\1\0"sv, "\xd0\1\0"sv, "\x30\0"sv,   "\x30\2\0\5"sv, "\x32\3\0\1a"sv, "\x20\1\0"sv,
    };
    for (const std::string_view packet : packets) {
        dialog one(d);
        one.broker_bytes(packet);
        const bool connack = packet[0] == '\x20';
        const errc error = connack               ? errc::unexpected_packet
                           : packet[0] == '\xd0' ? errc::trailing_bytes
                                                 : errc::truncated_packet;
        one.fails(error);
    }
    for (const std::string_view ack : {"\x40"sv, "\x50"sv, "\x62"sv, "\x70"sv}) {
        dialog zero(d);
        zero.broker_bytes(std::string{ack} + std::string{"\2\0\0"sv});
        zero.fails(errc::zero_packet_id);
        dialog more(d);
        more.broker_bytes(std::string{ack} + std::string{"\3\0\1\xff"sv});
        more.fails(d.v5() ? errc::invalid_reason_code : errc::trailing_bytes);
    }
    dialog long_length(d);
    long_length.broker_bytes("\x30\xff\xff\xff\xff\x01"sv);
    long_length.fails(errc::malformed_variable_byte_integer);
    dialog padded_length(d); // [MQTT-1.5.5-1]
    padded_length.broker_bytes("\x40\x82\0\0\1"sv);
    padded_length.fails(errc::malformed_variable_byte_integer);
}

DIALOG("properties with a wrong length, in the wrong packet or twice are errors [§2.2.2.1, §2.2.2.2]") {
    if (!d.v5()) return;
    d.open();
    struct {
        std::string_view packet;
        errc error;
    } const cases[] = {
        {"\x40\4\0\1\0\5"sv, errc::truncated_packet},           // longer than the packet
        {"\x40\5\0\1\0\0\0"sv, errc::trailing_bytes},           // shorter
        {"\x90\4\0\1\x09\0"sv, errc::truncated_packet},         // [CVE-2026-8686]
        {"\x40\6\0\1\0\2\x01\1"sv, errc::property_not_allowed}, // Payload Format Indicator
        {"\x40\6\0\1\0\2\x7f\1"sv, errc::property_not_allowed}, // unknown
        {"\x40\x0c\0\1\0\x08\x1f\0\1a\x1f\0\1b"sv, errc::duplicate_property},
        {"\x30\6\0\1a\2\x01\2"sv, errc::invalid_property_value},      // Payload Format Indicator 2
        {"\x30\6\0\1a\2\x0b\0"sv, errc::invalid_property_value},      // Subscription Identifier 0
        {"\x30\x08\0\1a\4\x08\0\1+"sv, errc::invalid_response_topic}, // Response Topic with a wildcard
        {"\x30\x08\0\1a\4\x03\0\1\xff"sv, errc::malformed_utf8},      // [MQTT-3.3.2-19]
        {"\xe0\6\0\4\x1f\0\1\0"sv, errc::null_character},
        {"\xe0\1\1"sv, errc::invalid_reason_code},
    };
    for (const auto& c : cases) {
        INFO("expecting " << tern::to_string(c.error));
        dialog one(d);
        one.broker_bytes(c.packet);
        one.fails(c.error);
    }
}

DIALOG("packets after a violation are ignored") {
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.broker_bytes("\xd1\0"sv);
    d.broker_bytes(d.encoded(tern::puback{1}) + d.encoded(publish_of("m", 1, 1)) + d.encoded(tern::pubrel{9}));
    d.fails(errc::invalid_flags, {unknown(1, errc::invalid_flags)});
}

DIALOG("packets before a violation are processed") {
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.broker_bytes(d.encoded(publish_of("m", 0, 0)) + d.encoded(tern::puback{1}) + "\xd1");
    d.broker_bytes("\0"sv);
    d.fails(errc::invalid_flags, {got(message("m")), done(1)});
}
