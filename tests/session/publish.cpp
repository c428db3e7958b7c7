// Outgoing messages: the three QoS flows, the window and the packet identifiers.
#include "dialog.hpp"

#include <algorithm>
#include <random>
#include <set>

using tern::errc;
using tern::puback;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;
using namespace std::string_view_literals;

DIALOG("QoS 0: a publish completes when it has been written [v311:MQTT-2.3.1-5, v311:MQTT-3.3.1-2, "
       "v311:MQTT-3.3.2-1, v311:MQTT-4.3.1-1, v5:MQTT-2.2.1-2, v5:MQTT-3.3.1-2, v5:MQTT-3.3.2-1, v5:MQTT-4.3.1-1]") {
    d.open();
    d.publish(message("a/b", "xyz"), 1);
    d.publish({"r", "", tern::qos::at_most_once, true, {}}, 2);
    d.publish(message("c"), 0); // without an operation
    d.events({});
    d.sends_bytes(d.v5() ? "\x30\x09\0\3a/b\0xyz\x31\4\0\1r\0\x30\5\0\1c\0x"sv
                         : "\x30\x08\0\3a/bxyz\x31\3\0\1r\x30\4\0\1cx"sv);
    d.events({done(1), done(2)});
}

DIALOG("QoS 0: a publish does not complete before its last byte has been written") {
    d.open();
    d.publish(message("a"), 1);
    d.publish(message("b"), 2);
    const auto size = d.encoded(publish_of("a", 0, 0)).size();
    CHECK(d.written(size - 1).size() == size - 1);
    d.events({});
    CHECK(d.written(1).size() == 1);
    d.events({done(1)});
    CHECK(d.written(size - 1).size() == size - 1);
    d.events({});
    d.lost();
    const auto reset = std::make_error_code(std::errc::connection_reset);
    d.events({done(2, reset), over(reset)});
}

DIALOG("QoS 1: PUBACK completes a publish [v311:MQTT-2.3.1-1, v311:MQTT-4.3.2-1, v5:MQTT-2.2.1-3, v5:MQTT-4.3.2-1, "
       "v5:MQTT-4.3.2-2, v5:MQTT-4.3.2-3]") {
    d.open();
    d.publish(message("a", "x", 1), 7);
    d.publish(message("b", "x", 1), 8);
    d.sends_bytes(d.v5() ? "\x32\7\0\1a\0\1\0x\x32\7\0\1b\0\2\0x"sv : "\x32\6\0\1a\0\1x\x32\6\0\1b\0\2x"sv);
    d.events({});
    d.broker(puback{2});
    d.events({done(8)});
    d.broker(puback{1});
    d.events({done(7)});
    d.sends();
    d.stays();
}

DIALOG("QoS 2: PUBREC, PUBREL and PUBCOMP complete a publish [v311:MQTT-3.6.1-1, v311:MQTT-4.3.3-1, "
       "v5:MQTT-3.6.1-1, v5:MQTT-4.3.3-1, v5:MQTT-4.3.3-2, v5:MQTT-4.3.3-3, v5:MQTT-4.3.3-4, v5:MQTT-4.3.3-5]") {
    d.open();
    d.publish(message("a", "x", 2), 7);
    d.sends(publish_of("a", 2, 1));
    d.broker(pubrec{1});
    d.events({});
    d.sends_bytes("\x62\2\0\1"sv);
    d.broker(pubcomp{1});
    d.events({done(7)});
    d.sends();
    d.publish(message("a", "x", 2), 8); // with another identifier
    d.sends(publish_of("a", 2, 2));
    d.stays();
}

DIALOG("acknowledgements are accepted in each valid length [§3.4.2.1, §3.5.2.1, §3.7.2.1]") {
    if (!d.v5()) return;
    d.open();
    const std::string_view tails[] = {"", "\0"sv, "\0\0"sv, "\0\4\x1f\0\1y"sv, "\x10"sv, "\x10\0"sv};
    for (const std::string_view tail : tails) {
        const auto with_tail = [&](char first) {
            return std::string{first, static_cast<char>(2 + tail.size()), '\0', '\1'} + std::string{tail};
        };
        dialog one(d);
        one.publish(message("a", "x", 1), 1);
        one.broker_bytes(with_tail('\x40'));
        one.events({done(1)}); // "no matching subscribers" is not a failure
        one.stays();

        dialog two(d);
        two.publish(message("a", "x", 2), 1);
        two.sends(publish_of("a", 2, 1));
        two.broker_bytes(with_tail('\x50'));
        two.sends(pubrel{1});
        if (tail.starts_with('\x10')) continue; // PUBCOMP has no such reason code
        two.broker_bytes(with_tail('\x70'));
        two.events({done(1)});
        two.stays();
    }
}

DIALOG("PUBACK and PUBREC with any failure code end the exchange [v5:MQTT-3.4.2-1, v5:MQTT-3.5.2-1, "
       "v5:MQTT-3.7.2-1, v5:MQTT-4.3.3-4]") {
    if (!d.v5()) return;
    d.options.max_in_flight = 1;
    d.open();
    for (unsigned code = 1; code != 256; ++code) {
        INFO("code " << code);
        const reason_code why{static_cast<std::uint8_t>(code)};
        for (const unsigned qos : {1U, 2U}) {
            dialog one(d);
            one.publish(message("a", "x", qos), 1);
            one.publish(message("b", "x", qos), 2); // queued
            one.sends(publish_of("a", qos, 1));
            one.broker_bytes(std::string{qos == 1 ? '\x40' : '\x50', '\3', '\0', '\1', static_cast<char>(code)});
            if (!tern::is_valid(why, tern::packet_type::pubrec, one.version)) {
                one.fails(errc::invalid_reason_code,
                          {unknown(1, errc::invalid_reason_code), done(2, errc::invalid_reason_code)});
            } else if (tern::is_failure(why)) {
                one.events({done(1, why)});
                one.sends(publish_of("b", qos, 2)); // the window is free, and the first message gets no PUBREL
            } else if (qos == 1) {
                one.events({done(1)});
                one.sends(publish_of("b", qos, 2));
            } else {
                one.events({});
                one.sends(pubrel{1});
            }
        }
    }
}

DIALOG("PUBCOMP for an unknown identifier completes the publish with success") {
    if (!d.v5()) return;
    d.open();
    d.publish(message("a", "x", 2), 1);
    d.sends(publish_of("a", 2, 1));
    d.broker(pubrec{1});
    d.sends(pubrel{1});
    d.broker(pubcomp{1, reason_code::packet_identifier_not_found});
    d.events({done(1)});
    d.stays();
}

DIALOG("acknowledgements for unknown identifiers complete nothing [v311:MQTT-2.3.1-6, v5:MQTT-2.2.1-5, §3.5]") {
    d.open();
    for (const unsigned id : {1U, 255U, 256U, 65'535U}) {
        const auto unknown = static_cast<tern::packet_id>(id);
        d.broker(puback{unknown}, pubcomp{unknown});
        d.sends();
        d.broker(pubrec{unknown});
        d.sends(pubrel{unknown, d.v5() ? reason_code::packet_identifier_not_found : reason_code::success});
    }
    d.events({});
    d.stays();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.broker(puback{2}, pubcomp{3}, puback{256});
    d.events({});
    d.broker(puback{1}, puback{1});
    d.events({done(1)});
    d.stays();
}

DIALOG("acknowledgements of the wrong kind are errors [v311:MQTT-4.8.0-1, v5:MQTT-2.2.1-5]") {
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    d.publish(message("c", "x", 2), 3);
    d.subscribe({{.filter = "s"}}, 4);
    d.unsubscribe({"u"}, 5);
    (void)d.written();
    d.broker(pubrec{3});
    d.sends(pubrel{3});
    const reason_code granted{};
    const auto wrong = [&](const auto& packet) {
        dialog one(d);
        one.broker(packet);
        const errc error = errc::unexpected_acknowledgement;
        const auto unknown = tern::outcome_unknown(error);
        std::vector<std::string> ends{done(packet.packet_id, unknown)};
        for (const unsigned op : {1U, 2U, 4U, 5U, 3U})
            if (op != packet.packet_id) ends.push_back(done(op, unknown));
        one.fails(error, ends);
    };
    const auto wrong_for = [&](tern::packet_id id, bool ack, bool rec, bool comp, bool sub, bool unsub) {
        if (ack) wrong(puback{id}); // RabbitMQ answers QoS 2 with PUBACK
        if (rec) wrong(pubrec{id});
        if (comp) wrong(pubcomp{id});
        if (sub) wrong(tern::suback{id, std::span(&granted, 1)});
        if (unsub) wrong(tern::unsuback{id, d.v5() ? std::span(&granted, 1) : std::span(&granted, 0)});
    };
    wrong_for(1, false, true, true, true, true);
    wrong_for(2, true, false, true, true, true);
    wrong_for(3, true, false, false, true, true);
    wrong_for(4, true, true, true, false, true);
    wrong_for(5, true, true, true, true, false);
}

DIALOG("a repeated PUBREC is answered with PUBREL, never with PUBLISH [v311:MQTT-4.3.3-1, v5:MQTT-4.3.3-1, "
       "v5:MQTT-4.3.3-6]") {
    d.open();
    d.publish(message("a", "x", 2), 1);
    d.sends(publish_of("a", 2, 1));
    d.broker(pubrec{1}, pubrec{1});
    d.broker(pubrec{1});
    d.sends(pubrel{1}); // one that waits to be written answers them all
    d.broker(pubrec{1});
    d.sends(pubrel{1});
    d.broker(pubcomp{1}, pubcomp{1});
    d.events({done(1)});
    d.broker(pubrec{1}); // a late one
    d.sends(pubrel{1, d.v5() ? reason_code::packet_identifier_not_found : reason_code::success});
    d.broker(pubcomp{1});
    d.events({});
    d.stays();
}

DIALOG("a PUBREC that refuses a message is never answered with PUBREL, and does not end the wait for PUBCOMP "
       "[v5:MQTT-4.3.3-4, v5:MQTT-4.3.3-5]") {
    if (!d.v5()) return;
    d.open();
    d.broker(pubrec{9, reason_code::unspecified_error}); // for an unknown identifier
    d.sends();
    d.publish(message("a", "x", 2), 1);
    d.sends(publish_of("a", 2, 1));
    d.broker(pubrec{1});
    d.sends(pubrel{1});
    d.broker(pubrec{1, reason_code::quota_exceeded});
    d.sends();
    d.events({});
    d.broker(pubcomp{1});
    d.events({done(1)});
    d.broker(pubrec{1, reason_code::quota_exceeded}); // a late one
    d.sends();
    d.events({});
    d.stays();
}

DIALOG("PUBRELs are sent in the order of the PUBRECs [v311:MQTT-4.6.0-4, v5:MQTT-4.6.0-4]") {
    d.open();
    std::vector<tern::packet_id> order{1, 2, 3, 4, 5};
    for (unsigned i = 0; i != 5; ++i)
        d.publish(message("a", "x", 2), i + 1);
    (void)d.written();
    do {
        dialog one(d);
        std::string expected;
        for (const tern::packet_id id : order) {
            one.broker(pubrec{id});
            expected += one.encoded(pubrel{id});
        }
        one.sends_bytes(expected);
    } while (std::next_permutation(order.begin(), order.end()));
}

DIALOG("the window limits unacknowledged messages, the others follow in order [v5:MQTT-3.3.4-7, v5:MQTT-4.9.0-1, "
       "v5:MQTT-4.9.0-2]") {
    for (const unsigned window : {1U, 2U, 3U}) {
        for (const bool by_broker : {true, false}) {
            if (by_broker && !d.v5()) continue;
            INFO("window " << window);
            dialog one(d);
            tern::connack answer;
            if (by_broker)
                answer.properties.receive_maximum = static_cast<std::uint16_t>(window);
            else
                one.options.max_in_flight = static_cast<std::uint16_t>(window);
            one.open(answer);
            constexpr unsigned count = 12;
            for (unsigned i = 1; i <= count; ++i)
                one.publish(message("a", "x", 1 + i % 2), i);
            for (unsigned i = 1; i <= window; ++i)
                one.broker_bytes(""); // the whole window has been sent
            std::string expected;
            for (unsigned i = 1; i <= window; ++i)
                expected += one.encoded(publish_of("a", 1 + i % 2, static_cast<tern::packet_id>(i)));
            one.sends_bytes(expected);
            for (unsigned i = 1; i <= count; ++i) {
                const auto id = static_cast<tern::packet_id>(i);
                if (i % 2 == 1) {
                    one.broker(pubrec{id}); // PUBREC does not free the window
                    one.sends(pubrel{id});
                    one.broker(pubcomp{id});
                } else {
                    one.broker(puback{id});
                }
                one.events({done(i)});
                const unsigned next = i + window;
                if (next <= count)
                    one.sends(publish_of("a", 1 + next % 2, static_cast<tern::packet_id>(next)));
                else
                    one.sends();
            }
        }
    }
}

DIALOG("a full window does not delay other packets [v5:MQTT-3.3.4-8, v5:MQTT-4.9.0-3]") {
    d.options.max_in_flight = 1;
    d.open();
    d.publish(message("a", "x", 2), 1);
    d.publish(message("b", "x", 1), 2);
    d.sends(publish_of("a", 2, 1));
    d.subscribe({{.filter = "s"}}, 3);
    const tern::subscription s{.filter = "s"};
    d.sends(tern::subscribe{2, std::span(&s, 1)});
    d.unsubscribe({"u"}, 4);
    const std::string_view u = "u";
    d.sends(tern::unsubscribe{3, std::span(&u, 1)});
    d.ping(5);
    d.sends(tern::pingreq{});
    d.publish(message("c"), 6);
    d.sends(publish_of("c", 0, 0));
    d.broker(publish_of("m", 1, 1), publish_of("m", 2, 2), pubrec{1});
    d.release(0);
    d.release(1);
    d.broker(pubrel{2});
    d.sends(pubrel{1}, puback{1}, pubrec{2}, pubcomp{2});
    d.broker(pubcomp{1});
    d.sends(publish_of("b", 1, 4)); // a message gets its identifier when it is sent
    d.events({done(6), got(message("m", "x", 1)), got(message("m", "x", 2)), done(1)});
    d.stays();
}

DIALOG("the broker's Receive Maximum applies only if it is smaller [v5:MQTT-4.9.0-1]") {
    if (!d.v5()) return;
    d.options.max_in_flight = 2;
    tern::connack answer;
    answer.properties.receive_maximum = 65'535;
    d.open(answer);
    for (unsigned i = 1; i <= 3; ++i)
        d.publish(message("a", "x", 1), i);
    d.sends(publish_of("a", 1, 1), publish_of("a", 1, 2));
}

DIALOG("an acknowledgement is accepted before the write is committed") {
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    d.broker(puback{1}, pubrec{2});
    d.events({done(1)});
    d.sends(publish_of("a", 1, 1), publish_of("b", 2, 2), pubrel{2});
    d.broker(pubcomp{2});
    d.events({done(2)});
}

TEST_CASE("a session works with all 65,535 identifiers in use [v311:MQTT-2.3.1-2, v5:MQTT-2.2.1-3]") {
    dialog d(tern::protocol_version::v5, dialog::reading::packets, dialog::writing::whole);
    d.open();
    const unsigned most = 65'535 - 16; // the others are reserved for SUBSCRIBE and UNSUBSCRIBE
    for (unsigned i = 1; i <= most; ++i)
        REQUIRE(d.session.publish(message("a", "x", 1), tern::op_id{i}, d.now) == errc::none);
    const std::string wire = d.written();
    const std::size_t size = d.encoded(publish_of("a", 1, 1)).size();
    REQUIRE(wire.size() == most * size);
    std::vector<bool> seen(65'536);
    for (std::size_t at = 0; at != wire.size(); at += size) {
        const auto high = static_cast<unsigned char>(wire[at + 5]);
        const auto id = static_cast<std::size_t>(high << 8 | static_cast<unsigned char>(wire[at + 6]));
        REQUIRE(id != 0);
        REQUIRE(!seen[id]);
        seen[id] = true;
    }
    // A further message is queued. A request, which cannot be queued, is refused.
    d.publish(message("b", "x", 1), 65'536);
    d.sends();
    for (unsigned i = 0; i != 8; ++i) {
        d.subscribe({{.filter = "s"}}, 70'000 + i);
        d.unsubscribe({"s"}, 80'000 + i);
    }
    CHECK(!d.written().empty());
    CHECK(d.try_subscribe({{.filter = "s"}}) == errc::packet_ids_exhausted);
    CHECK(d.try_unsubscribe({"s"}) == errc::packet_ids_exhausted);
    d.sends();
    d.broker(puback{777});
    d.events({done(777)});
    d.sends();
    d.subscribe({{.filter = "s"}}, 90'000); // is sent before the message
    const tern::subscription s{.filter = "s"};
    d.sends(tern::subscribe{777, std::span(&s, 1)});
    for (tern::packet_id id = 1; id <= 17; ++id) {
        d.broker(puback{id});
        d.events({done(id)});
    }
    d.sends(publish_of("b", 1, 1));
}

DIALOG("at most 20 messages are in flight in 3.1.1, where the broker cannot announce a limit") {
    d.open();
    for (unsigned i = 1; i <= 30; ++i)
        d.publish(message("a", "x", 2), i);
    const std::size_t one = 8 + (d.v5() ? 1 : 0); // bytes of such a PUBLISH
    CHECK(d.written().size() == one * (d.v5() ? 30 : 20));
}

TEST_CASE("identifiers are unique while in use and wrap around [v311:MQTT-2.3.1-2, v311:MQTT-2.3.1-3, "
          "v5:MQTT-2.2.1-3]") {
    dialog d(tern::protocol_version::v3_1_1, dialog::reading::packets, dialog::writing::whole);
    d.options.ack_timeout = 0s;
    d.options.max_in_flight = 65'535;
    d.open();
    std::minstd_rand random(1);
    std::vector<std::pair<tern::packet_id, unsigned>>
        used; // with their purpose: 1, 2: QoS; 3: subscribe; 4: unsubscribe
    std::set<tern::packet_id> ids;
    unsigned wraps = 0;
    tern::packet_id last = 0;
    const reason_code granted{};
    for (int step = 0; step != 300'000; ++step) {
        if (used.size() < 300 && (used.empty() || random() % 2 == 0)) {
            const unsigned kind = 1 + static_cast<unsigned>(random() % 4);
            if (kind <= 2) REQUIRE(d.session.publish(message("a", "x", kind), {}, d.now) == errc::none);
            if (kind == 3) d.subscribe({{.filter = "a"}});
            if (kind == 4) d.unsubscribe({"a"});
            const std::string wire = d.written();
            const std::size_t at = kind <= 2 ? 5 : 2;
            const auto id = static_cast<tern::packet_id>(static_cast<unsigned char>(wire.at(at)) << 8 |
                                                         static_cast<unsigned char>(wire.at(at + 1)));
            REQUIRE(id != 0);
            REQUIRE(ids.insert(id).second);
            used.emplace_back(id, kind);
            if (id < last) ++wraps;
            last = id;
        } else {
            const std::size_t which =
                random() % std::min<std::size_t>(used.size(), 100); // some identifiers stay in use for long
            const auto [id, kind] = used[which];
            used[which] = used.back();
            used.pop_back();
            ids.erase(id);
            if (kind == 1) d.broker(puback{id});
            if (kind == 2) d.broker(pubrec{id}), d.broker(pubcomp{id});
            if (kind == 3) d.broker(tern::suback{id, std::span(&granted, 1)});
            if (kind == 4) d.broker(tern::unsuback{id});
            (void)d.written();
        }
    }
    CHECK(wraps >= 2);
    d.stays();
}
