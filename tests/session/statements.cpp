// Statements of the standard that no other dialog is about.
#include "dialog.hpp"

#include <string>
#include <vector>

using tern::connack;
using tern::errc;
using tern::puback;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;
using namespace std::string_view_literals;

DIALOG("the client identifier names the session, and another one finds nothing of it "
       "[v311:MQTT-3.1.3-2, v5:MQTT-3.1.3-2]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.broker(publish_of("m", 2, 9));
    d.events({got(message("m", "x", 2))});
    d.release(0);
    d.sends(publish_of("a", 1, 1), pubrec{9});
    d.lost();
    d.reopen();
    d.sends(publish_of("a", 1, 1, true)); // CONNECT has the same identifier
    d.stop();
    (void)d.events_so_far();
    d.closes();
    (void)d.events_so_far();

    d.options.client_id = "other";
    d.start();
    d.broker(connack{});
    d.events({"connected"});
    d.sends();                       // no PUBLISH of the other session
    d.broker(publish_of("m", 2, 9)); // and its identifier is that of a new message
    d.events({got(message("m", "x", 2))});
}

DIALOG("a packet without properties has the property length 0, or ends before it [v5:MQTT-2.2.2-1]") {
    if (!d.v5()) return;
    CHECK(d.encoded(publish_of("a", 0, 0)) == "\x30\5\0\1a\0x"sv);
    CHECK(d.encoded(publish_of("a", 1, 1)) == "\x32\7\0\1a\0\1\0x"sv);
    CHECK(d.encoded(tern::subscribe{1, std::span(&filter_s, 1)}).substr(0, 8) == "\x82\7\0\1\0\0\1s"sv);
    CHECK(d.encoded(unsubscribe_of("s", 1)) == "\xA2\6\0\1\0\0\1s"sv);
    CHECK(d.encoded(puback{1}) == "\x40\2\0\1"sv);
    CHECK(d.encoded(pubrec{1, reason_code::unspecified_error}) == "\x50\3\0\1\x80"sv);
    CHECK(d.encoded(tern::disconnect{}) == "\xE0\0"sv);
    d.open();
    for (const std::string_view without : {"\x30\3\0\1a"sv, "\x90\2\0\1"sv, "\xB0\2\0\1"sv}) {
        dialog one(d);
        one.broker_bytes(without);
        one.fails(errc::truncated_packet);
    }
}

DIALOG("a variable byte integer has the least number of bytes wherever it stands [v5:MQTT-1.5.5-1]") {
    if (!d.v5()) return;
    d.open();
    const auto is_padded = [&](std::string_view packet) {
        dialog one(d);
        one.broker_bytes(packet);
        one.fails(errc::malformed_variable_byte_integer);
    };
    // The remaining length in two, three and four bytes, then the property length, a property and its value.
    is_padded("\x30\x86\0\0\1a\0xx"sv);
    is_padded("\x30\x86\x80\0\0\1a\0xx"sv);
    is_padded("\x30\x86\x80\x80\0\0\1a\0xx"sv);
    is_padded("\x30\6\0\1a\x80\0x"sv);
    is_padded("\x30\7\0\1a\x80\x80\0x"sv);
    is_padded("\x30\x08\0\1a\3\x81\0\1x"sv);
    is_padded("\x30\x08\0\1a\3\x0b\x81\0x"sv);
    is_padded("\x30\x09\0\1a\4\x0b\x81\x80\0x"sv);
    is_padded("\x40\5\0\1\0\x80\0"sv);
    is_padded("\xE0\3\0\x80\0"sv);
}

DIALOG("a reason string or user property that makes a packet too large ends the connection "
       "[v5:MQTT-3.2.2-19, v5:MQTT-3.2.2-20, v5:MQTT-3.9.2-1, v5:MQTT-3.9.2-2, v5:MQTT-3.11.2-1, v5:MQTT-3.11.2-2]") {
    if (!d.v5()) return;
    d.options.properties.maximum_packet_size = 60;
    const tern::user_property own[] = {{"k", ""}};
    // Grows the packet to 60 bytes, which the client takes, and to 61.
    const auto check = [&](const auto& before, auto packet, const std::vector<std::string>& taken) {
        for (const bool as_property : {false, true}) {
            if (as_property)
                packet.properties.user_properties = own;
            else
                packet.properties.reason_string = "";
            const std::string fill(60 - d.encoded(packet).size(), 'x');
            dialog fits(d), exceeds(d);
            for (dialog* one : {&fits, &exceeds}) {
                const std::string text = fill + (one == &exceeds ? "x" : "");
                const tern::user_property longer[] = {{"k", text}};
                if (as_property)
                    packet.properties.user_properties = longer;
                else
                    packet.properties.reason_string = text;
                before(*one);
                one->broker(packet);
                if (one == &fits) one->events(taken);
            }
            fits.stays();
            CHECK(exceeds.written() == exceeds.encoded(tern::disconnect{reason_code::packet_too_large}));
            exceeds.closes();
            packet.properties = {};
        }
    };
    check([](dialog& one) { one.start(); }, connack{}, {"connected"});
    check(
        [](dialog& one) {
            one.open();
            one.subscribe({filter_s}, 1);
            (void)one.written();
        },
        tern::suback{1, std::span(one_success, 1)}, {done(1)});
    check(
        [](dialog& one) {
            one.open();
            one.unsubscribe({"s"}, 1);
            (void)one.written();
        },
        tern::unsuback{1, std::span(one_success, 1)}, {done(1)});
}

DIALOG("acknowledgements have no properties, and so the least packet size that permits them suffices "
       "[v5:MQTT-3.4.2-2, v5:MQTT-3.4.2-3, v5:MQTT-3.5.2-2, v5:MQTT-3.5.2-3, v5:MQTT-3.6.2-2, v5:MQTT-3.6.2-3, "
       "v5:MQTT-3.7.2-2, v5:MQTT-3.7.2-3]") {
    if (!d.v5()) return;
    connack answer;
    answer.properties.maximum_packet_size = 5;
    d.open(answer);
    d.broker(publish_of("a", 1, 1), publish_of("a", 2, 2));
    d.events({got(message("a", "x", 1)), got(message("a", "x", 2))});
    d.release(0);
    d.release(1);
    d.sends(puback{1}, pubrec{2});
    d.broker(pubrel{2});
    d.sends(pubcomp{2});
    d.broker(pubrel{3}, pubrec{4}); // of which the client knows nothing
    d.sends(pubcomp{3, reason_code::packet_identifier_not_found}, pubrel{4, reason_code::packet_identifier_not_found});
    d.stays();
}

DIALOG("DISCONNECT is not sent with a reason string or user property that makes it too large for the broker "
       "[v5:MQTT-3.14.2-3, v5:MQTT-3.14.2-4]") {
    if (!d.v5()) return;
    connack answer;
    answer.properties.maximum_packet_size = 20;
    d.open(answer);
    const std::string fits(13, 'x'), too_long(14, 'x');
    tern::disconnect packet;
    packet.properties.reason_string = too_long;
    CHECK(d.try_disconnect(packet) == errc::packet_too_large);
    const tern::user_property own[] = {{"k", "0123456789A"}};
    packet.properties = {.user_properties = own};
    CHECK(d.try_disconnect(packet) == errc::packet_too_large);
    d.sends();
    d.stays();
    packet.properties = {.reason_string = fits};
    CHECK(d.encoded(packet).size() == 20);
    d.disconnect(packet);
    d.sends(packet);
}

DIALOG("the client finishes the exchange of a QoS 2 message that has expired meanwhile [v5:MQTT-4.3.3-13]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    tern::message_view brief = message("a", "x", 2);
    brief.properties.message_expiry_interval = std::chrono::seconds{1};
    d.broker(tern::publish{brief, false, 1});
    d.events({got(brief)});
    d.pass(10s);
    d.release(0);
    d.sends(pubrec{1});
    d.lost();
    d.reopen();
    d.pass(10s);
    d.broker(tern::publish{brief, true, 1});
    d.events({});
    d.sends(pubrec{1});
    d.broker(pubrel{1});
    d.sends(pubcomp{1});
}

DIALOG("a message that PUBACK or PUBREC refuses is finished, and not sent again [v5:MQTT-4.4.0-2]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    d.sends(publish_of("a", 1, 1), publish_of("b", 2, 2));
    d.broker(puback{1, reason_code::not_authorized}, pubrec{2, reason_code::quota_exceeded});
    d.events({done(1, reason_code::not_authorized), done(2, reason_code::quota_exceeded)});
    d.sends();
    d.lost();
    d.reopen();
    d.sends();
}

DIALOG("a client answers a protocol error before CONNACK too, and never with AUTH "
       "[v5:MQTT-4.12.0-7, v5:MQTT-4.13.1-1]") {
    if (!d.v5()) return;
    d.start();
    d.broker(tern::auth{reason_code::continue_authentication, {.authentication_method = "m"}});
    d.fails(errc::unexpected_authentication); // DISCONNECT is all that is sent
}

DIALOG("a message does not expire once it was sent [v5:MQTT-4.3.3-7]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    tern::message_view brief = message("a", "x", 2);
    brief.properties.message_expiry_interval = std::chrono::seconds{1};
    d.publish(brief, 1);
    d.sends(tern::publish{brief, false, 1});
    d.pass(10s);
    d.lost();
    d.pass(10s);
    d.reopen();
    tern::publish again{brief, true, 1};
    d.sends(again);
    d.broker(pubrec{1});
    d.sends(pubrel{1});
    d.broker(pubcomp{1});
    d.events({done(1)});
}

DIALOG("after PUBCOMP the identifier of a QoS 2 message is that of a new one [v311:MQTT-4.3.3-2, v5:MQTT-4.3.3-12]") {
    d.open();
    for (std::size_t i = 0; i != 3; ++i) {
        d.broker(publish_of("a", 2, 1));
        d.events({got(message("a", "x", 2))});
        d.release(i);
        d.sends(pubrec{1});
        d.broker(pubrel{1});
        d.sends(pubcomp{1});
    }
}
