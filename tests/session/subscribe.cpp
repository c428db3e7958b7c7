// SUBSCRIBE, UNSUBSCRIBE, PINGREQ and their answers.
#include "dialog.hpp"

using tern::errc;
using tern::reason_code;
using tern::suback;
using tern::subscription;
using tern::unsuback;
using namespace std::string_view_literals;

namespace {

suback granted(tern::packet_id id, std::span<const reason_code> codes) {
    return {id, codes};
}

} // namespace

DIALOG("SUBSCRIBE and UNSUBSCRIBE are encoded as the standard requires [v311:MQTT-2.3.1-1, v311:MQTT-3.8.1-1, "
       "v311:MQTT-3-8.3-4, v5:MQTT-2.2.1-3, v5:MQTT-3.8.1-1, v5:MQTT-3.8.3-5]") {
    d.open();
    d.subscribe(
        {{.filter = "a/+", .max_qos = tern::qos::at_most_once}, {.filter = "b", .max_qos = tern::qos::exactly_once}},
        1);
    d.sends_bytes(d.v5() ? "\x82\x0d\0\1\0\0\3a/+\0\0\1b\2"sv : "\x82\x0c\0\1\0\3a/+\0\0\1b\2"sv);
    const reason_code codes[] = {reason_code::granted_qos_0, reason_code::granted_qos_1};
    d.broker(granted(1, codes));
    d.events({done(1)});
    d.unsubscribe({"a/+", "b"}, 2);
    d.sends_bytes(d.v5() ? "\xa2\x0b\0\2\0\0\3a/+\0\1b"sv : "\xa2\x0a\0\2\0\3a/+\0\1b"sv); // [MQTT-3.10.1-1]
    const reason_code gone[] = {reason_code::success, reason_code::no_subscription_existed};
    d.broker(unsuback{2, d.v5() ? std::span(gone) : std::span(gone, 0)});
    d.events({done(2)});
    d.stays();
}

DIALOG("SUBACK may have each valid code for each filter [v311:MQTT-3.8.3-2, v311:MQTT-3.8.4-5, v311:MQTT-3.9.3-2, "
       "v5:MQTT-3.8.4-6, v5:MQTT-3.9.3-2]") {
    d.open();
    for (unsigned code = 0; code != 256; ++code) {
        INFO("code " << code);
        const reason_code why{static_cast<std::uint8_t>(code)};
        for (std::size_t bad = 0; bad != 3; ++bad) {
            dialog one(d);
            one.subscribe({{.filter = "a"}, {.filter = "b"}, {.filter = "c"}}, 1);
            (void)one.written();
            std::string packet{one.v5() ? "\x90\6\0\1\0\0\0\0"sv : "\x90\5\0\1\0\0\0"sv};
            packet[packet.size() - 3 + bad] = static_cast<char>(code);
            one.broker_bytes(packet);
            if (!tern::is_valid(why, tern::packet_type::suback, one.version))
                one.fails(errc::invalid_reason_code, {unknown(1, errc::invalid_reason_code)});
            else if (tern::is_failure(why))
                one.events({done(1, why)});
            else
                one.events({done(1)});
        }
    }
}

DIALOG("UNSUBACK may have each valid code [v311:MQTT-3.10.4-5, v5:MQTT-3.10.4-5, v5:MQTT-3.11.3-1, "
       "v5:MQTT-3.11.3-2]") {
    if (!d.v5()) return;
    d.open();
    for (unsigned code = 0; code != 256; ++code) {
        const reason_code why{static_cast<std::uint8_t>(code)};
        dialog one(d);
        one.unsubscribe({"a", "b"}, 1);
        (void)one.written();
        std::string packet{"\xb0\5\0\1\0\0\0"sv};
        packet[6] = static_cast<char>(code);
        one.broker_bytes(packet);
        if (!tern::is_valid(why, tern::packet_type::unsuback, one.version))
            one.fails(errc::invalid_reason_code, {unknown(1, errc::invalid_reason_code)});
        else if (tern::is_failure(why))
            one.events({done(1, why)});
        else
            one.events({done(1)});
    }
}

TEST_CASE("the acknowledgement contains every reason code") {
    dialog d(tern::protocol_version::v5, dialog::reading::packets, dialog::writing::whole);
    d.open();
    d.subscribe({{.filter = "a"}, {.filter = "b"}, {.filter = "c"}}, 1);
    const reason_code codes[] = {reason_code::granted_qos_1, reason_code::not_authorized, reason_code::quota_exceeded};
    suback packet = granted(1, codes);
    packet.properties.reason_string = "no";
    const std::string bytes = d.encoded(packet);
    bytes.copy(d.session.prepare_read().data(), bytes.size());
    d.session.commit_read(bytes.size(), d.now);
    const auto e = d.session.poll_event();
    REQUIRE(e);
    const auto& c = std::get<tern::completed>(*e);
    CHECK(c.error == reason_code::not_authorized);
    CHECK(c.answer.reason_code == reason_code::not_authorized);
    CHECK(c.answer.reason_codes == tern::reason_codes_view(codes));
    CHECK(c.answer.properties.reason_string == "no");
}

DIALOG("a wrong number of reason codes is an error [v311:MQTT-3.8.4-5, v5:MQTT-3.8.4-6, §3.9.3]") {
    d.open();
    const std::vector<reason_code> codes(5);
    for (std::size_t count = 0; count <= 5; ++count) {
        if (count == 2) continue;
        INFO(count << " codes for 2 filters");
        const errc error = errc::reason_count_mismatch;
        dialog one(d);
        one.subscribe({{.filter = "a"}, {.filter = "b"}}, 1);
        one.ping(2);
        (void)one.written();
        std::string packet{one.v5() ? "\x90\3\0\1\0"sv : "\x90\2\0\1"sv};
        packet[1] = static_cast<char>(static_cast<std::size_t>(packet[1]) + count);
        one.broker_bytes(packet + std::string(count, '\0'));
        // SUBACK completes one operation before the connection ends the other, unless it contains no code.
        one.fails(error, count == 0 ? std::vector{done(2, error), unknown(1, error)}
                                    : std::vector{done(1, error), done(2, error)});

        if (!d.v5()) continue; // UNSUBACK has no codes in 3.1.1
        dialog other(d);
        other.unsubscribe({"a", "b"}, 1);
        (void)other.written();
        packet[0] = '\xb0';
        other.broker_bytes(packet + std::string(count, '\0'));
        other.fails(error, {count == 0 ? unknown(1, error) : done(1, error)});
    }
    if (d.v5()) return;
    d.unsubscribe({"a"}, 1);
    (void)d.written();
    d.broker_bytes("\xb0\3\0\1\0"sv);
    d.fails(errc::trailing_bytes, {unknown(1, errc::trailing_bytes)});
}

DIALOG("answers without a request are ignored [v311:MQTT-2.3.1-7, v311:MQTT-3.8.4-2, v311:MQTT-3.10.4-4, "
       "v5:MQTT-2.2.1-6, v5:MQTT-3.8.4-2, v5:MQTT-3.10.4-4]") {
    d.open();
    const reason_code codes[] = {reason_code::success, reason_code::success};
    const auto none = [&](std::size_t count) { return d.v5() ? std::span(codes, count) : std::span(codes, 0); };
    d.broker(granted(1, codes), unsuback{1, none(2)}, tern::pingresp{});
    d.subscribe({{.filter = "a"}}, 1);
    d.unsubscribe({"b"}, 2);
    (void)d.written();
    d.broker(granted(3, codes), unsuback{4, none(2)});
    d.events({});
    d.broker(unsuback{2, none(1)}, granted(1, std::span(codes, 1)), granted(1, codes));
    d.events({done(2), done(1)});
    d.stays();
}

DIALOG("a message may arrive before SUBACK and after UNSUBSCRIBE [v311:MQTT-3.10.4-3, v5:MQTT-3.10.4-3]") {
    d.open();
    d.subscribe({{.filter = "a"}}, 1);
    d.broker(publish_of("a", 1, 1));
    const reason_code code{};
    d.broker(granted(1, std::span(&code, 1)));
    d.events({got(message("a", "x", 1)), done(1)});
    d.unsubscribe({"a"}, 2);
    d.broker(publish_of("a", 2, 2), unsuback{2, d.v5() ? std::span(&code, 1) : std::span(&code, 0)});
    d.events({got(message("a", "x", 2)), done(2)});
    (void)d.written();
    d.release(0);
    d.release(1);
    d.broker(tern::pubrel{2});
    d.sends(tern::puback{1}, tern::pubrec{2}, tern::pubcomp{2});
}

DIALOG("several pings may be outstanding [v311:MQTT-3.12.4-1, v5:MQTT-3.12.4-1]") {
    d.open();
    d.ping(1);
    d.ping(0);
    d.ping(3);
    d.sends_bytes("\xc0\0\xc0\0\xc0\0"sv);
    d.broker(tern::pingresp{}, tern::pingresp{});
    d.events({done(1)});
    d.broker(tern::pingresp{}, tern::pingresp{}); // one PINGRESP too many
    d.events({done(3)});
    d.stays();
}

DIALOG("a reason string that the client did not request is an error [v5:MQTT-3.1.2-29]") {
    if (!d.v5()) return;
    d.options.properties.request_problem_information = false;
    tern::connack answer;
    answer.properties.reason_string = "hello"; // CONNACK, PUBLISH and DISCONNECT may have one
    d.open(answer);
    d.publish(message("a", "x", 1), 1);
    d.publish(message("a", "x", 2), 2);
    d.subscribe({{.filter = "a"}}, 3);
    d.unsubscribe({"a"}, 4);
    (void)d.written();
    const tern::user_property user{"k", "v"};
    const errc error = errc::unwanted_problem_information;
    const reason_code code{};
    const tern::ack_properties explanations[] = {{.reason_string = "why"}, {.user_properties = std::span(&user, 1)}};
    for (const tern::ack_properties& why : explanations) {
        const auto bad = [&](const auto& packet) {
            dialog one(d);
            one.broker(packet);
            one.fails(error, {unknown(1, error), unknown(2, error), unknown(3, error), unknown(4, error)});
        };
        bad(tern::puback{1, {}, why});
        bad(tern::pubrec{2, {}, why});
        bad(tern::pubrel{2, {}, why});
        bad(tern::pubcomp{2, {}, why});
        bad(suback{3, std::span(&code, 1), why});
        bad(unsuback{4, std::span(&code, 1), why});
    }
    d.broker(tern::disconnect{reason_code::server_busy, {.reason_string = "why"}});
    d.closes();
    const auto busy = reason_code::server_busy;
    d.events({unknown(1), unknown(2), unknown(3), unknown(4), over(busy)});
}
