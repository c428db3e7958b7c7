// Incoming messages.
#include "dialog.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

using tern::errc;
using tern::puback;
using tern::pubcomp;
using tern::publish;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;

DIALOG("each QoS gets its acknowledgement after the release [v311:MQTT-3.3.4-1, v311:MQTT-4.5.0-2, "
       "v5:MQTT-3.3.4-1, v5:MQTT-4.3.2-4, v5:MQTT-4.3.3-8, v5:MQTT-4.3.3-11, v5:MQTT-4.5.0-2]") {
    d.open();
    d.broker(publish_of("a", 0, 0), publish_of("b", 1, 9), publish_of("c", 2, 9));
    d.events({got(message("a")), got(message("b", "x", 1)), got(message("c", "x", 2))});
    d.sends(); // the application has not released them yet
    d.release(0);
    d.sends();
    d.release(1);
    d.sends(puback{9});
    d.release(2);
    d.sends(pubrec{9});
    d.broker(pubrel{9});
    d.sends(pubcomp{9});
    d.release(1);
    d.release(2); // a second release has no effect
    d.sends();
    d.stays();
}

DIALOG("a message arrives unchanged [v311:MQTT-1.5.3-3, v5:MQTT-1.5.4-3, v5:MQTT-3.3.2-10, v5:MQTT-3.3.4-4]") {
    d.open();
    d.broker(publish{{"\xef\xbb\xbf"
                      "a\xef\xbb\xbf",
                      "p",
                      tern::qos::at_least_once,
                      true,
                      {}},
                     true,
                     1});
    d.events({got({"\xef\xbb\xbf"
                   "a\xef\xbb\xbf",
                   "p",
                   tern::qos::at_least_once,
                   true,
                   {}},
                  true)});
    d.release(0);
    d.sends(puback{1});
}

DIALOG("released messages are acknowledged before DISCONNECT, even without polling in between") {
    d.open();
    d.broker(publish_of("a", 1, 9), publish_of("b", 2, 8));
    d.events({got(message("a", "x", 1)), got(message("b", "x", 2))});
    for (const tern::message_token token : d.tokens)
        d.session.release(token);
    dialog broken(d);
    d.disconnect();
    d.sends(puback{9}, pubrec{8}, tern::disconnect{});
    if (!d.v5()) return; // in 3.1.1 nothing is sent after a violation
    broken.broker(tern::pingreq{});
    broken.sends(puback{9}, pubrec{8}, tern::disconnect{.reason_code = reason_code::protocol_error});
}

DIALOG("a QoS 1 message with an acknowledged identifier is a new message [v311:MQTT-4.3.2-2, v5:MQTT-4.3.2-5]") {
    d.open();
    for (const bool dup : {false, true, true}) {
        d.broker(publish_of("a", 1, 5, dup));
        d.events({got(message("a", "x", 1), dup)});
        d.release(d.tokens.size() - 1);
        d.sends(puback{5});
    }
}

DIALOG("a QoS 2 message that is repeated before PUBREL is not delivered again [v311:MQTT-2.3.1-4, "
       "v311:MQTT-4.3.3-2, v5:MQTT-4.3.3-10]") {
    d.open();
    d.broker(publish_of("a", 2, 5));
    d.events({got(message("a", "x", 2))});
    d.broker(publish_of("a", 2, 5, true)); // not released yet, so one PUBREC suffices
    d.sends();
    d.release(0);
    d.sends(pubrec{5});
    for (int i = 0; i != 3; ++i) {
        d.broker(publish_of("a", 2, 5, i != 0)); // without DUP the first time
        d.sends(pubrec{5});
    }
    d.events({});
    d.broker(pubrel{5});
    d.sends(pubcomp{5});
    d.broker(publish_of("b", 2, 5, true)); // now it is a new message [MQTT-4.3.3-12]
    d.events({got(message("b", "x", 2), true)});
    d.release(1);
    d.sends(pubrec{5});
}

DIALOG("PUBREL for an unknown identifier is answered with PUBCOMP [v5:MQTT-4.3.3-11, §3.6]") {
    d.open();
    const auto not_found = d.v5() ? reason_code::packet_identifier_not_found : reason_code::success;
    for (const unsigned id : {1U, 255U, 256U, 65'535U}) {
        d.broker(pubrel{static_cast<tern::packet_id>(id)});
        d.sends(pubcomp{static_cast<tern::packet_id>(id), not_found});
    }
    d.broker(publish_of("a", 2, 5));
    d.release(0);
    d.broker(pubrel{5}, pubrel{5});
    d.sends(pubrec{5}, pubcomp{5}, pubcomp{5, not_found});
    d.broker(pubrel{5, not_found}); // with a failure code
    d.sends(pubcomp{5, not_found});
    d.events({got(message("a", "x", 2))});
    d.stays();
}

DIALOG("PUBREL before PUBREC is an error [v311:MQTT-4.8.0-1]") {
    d.open();
    d.broker(publish_of("a", 2, 5));
    d.events({got(message("a", "x", 2))});
    d.broker(pubrel{5});
    d.fails(errc::unexpected_acknowledgement);
}

DIALOG("PUBREL cancels the PUBREC for a repeated PUBLISH") {
    d.open();
    d.broker(publish_of("a", 2, 5));
    d.release(0);
    d.sends(pubrec{5});
    d.broker(publish_of("b", 2, 6), publish_of("a", 2, 5, true)); // PUBREC 5 waits for PUBREC 6
    d.sends();
    d.broker(pubrel{5});
    d.sends(pubcomp{5});
    d.broker(publish_of("c", 2, 5)); // a new message, which the cancelled PUBREC must not acknowledge
    d.release(1);
    d.sends(pubrec{6});
    d.release(2);
    d.sends(pubrec{5});
    d.events({got(message("a", "x", 2)), got(message("b", "x", 2)), got(message("c", "x", 2))});
    d.stays();
}

DIALOG("acknowledgements are sent in the order of arrival, whatever the order of release [v311:MQTT-4.6.0-2, "
       "v311:MQTT-4.6.0-3, v5:MQTT-4.6.0-2, v5:MQTT-4.6.0-3]") {
    d.open();
    for (std::size_t n = 1; n <= 5; ++n) {
        dialog sent(d);
        for (std::size_t i = 0; i != n; ++i)
            sent.broker(publish_of("a", 1 + i % 2, static_cast<tern::packet_id>(i + 1)));
        std::vector<std::size_t> order(n);
        std::iota(order.begin(), order.end(), 0U);
        do {
            dialog one(sent);
            std::vector<bool> released(n);
            std::size_t acknowledged = 0;
            for (const std::size_t index : order) {
                one.release(index);
                released[index] = true;
                std::string expected;
                for (; acknowledged != n && released[acknowledged]; ++acknowledged) {
                    const auto id = static_cast<tern::packet_id>(acknowledged + 1);
                    expected += acknowledged % 2 == 0 ? one.encoded(puback{id}) : one.encoded(pubrec{id});
                }
                one.sends_bytes(expected);
            }
        } while (std::next_permutation(order.begin(), order.end()));
    }
}

DIALOG("more messages than the Receive Maximum are an error [v5:MQTT-3.3.4-9]") {
    if (!d.v5()) return;
    for (const unsigned maximum : {1U, 2U, 3U}) {
        for (const unsigned kinds : {1U, 2U, 3U}) { // QoS 1, QoS 2, both alternating
            dialog one(d);
            one.options.properties.receive_maximum = static_cast<std::uint16_t>(maximum);
            one.open();
            const auto qos_of = [&](unsigned i) { return kinds == 3 ? 1 + i % 2 : kinds; };
            std::vector<std::string> expected;
            for (unsigned i = 0; i != maximum; ++i) {
                one.broker(publish_of("a", qos_of(i), static_cast<tern::packet_id>(i + 1)));
                expected.push_back(got(message("a", "x", qos_of(i))));
            }
            one.broker(publish_of("z", 0, 0)); // QoS 0 does not count
            expected.push_back(got(message("z")));
            one.events(expected);
            one.stays();

            dialog more(one);
            more.broker(publish_of("b", qos_of(0), 100));
            more.fails(errc::receive_maximum_exceeded);

            one.release(0);
            if (qos_of(0) == 2) { // PUBREC does not free the window
                dialog still(one);
                still.sends(pubrec{1});
                still.broker(publish_of("b", 1, 100));
                still.fails(errc::receive_maximum_exceeded);
                one.broker(pubrel{1});
            }
            one.broker(publish_of("b", 1, 100));
            one.events({got(message("b", "x", 1))});
            one.stays();
        }
    }
}

DIALOG("5.0: the client announces the limit of its inbox as Receive Maximum, unless one is set [§3.1.2.11.3]") {
    const auto announced = [&](auto change) {
        dialog one(d);
        change(one.options);
        REQUIRE(one.try_connect() == errc::none);
        one.connects();
        const std::string wire = one.written();
        const auto packet = tern::decode<tern::connect>(tern::next_frame(wire)->frame, one.version);
        REQUIRE(packet);
        return packet->properties.receive_maximum;
    };
    const auto derived = [&](std::uint16_t value) { return d.v5() ? std::optional(value) : std::nullopt; };
    CHECK(announced([](auto& o) { o.inbox_limit = tern::connect_options{}.inbox_limit; }) == derived(1'000));
    CHECK(announced([](auto& o) { o.inbox_limit = 1; }) == derived(1));
    CHECK(announced([](auto& o) { o.inbox_limit = 65'534; }) == derived(65'534));
    CHECK(announced([](auto& o) { o.inbox_limit = 65'535; }) == std::nullopt); // as without the property
    CHECK(announced([](auto& o) { o.inbox_limit = 1'000'000; }) == std::nullopt);
    if (!d.v5()) return;
    CHECK(announced([](auto& o) { o.inbox_limit = 10, o.properties.receive_maximum = 7; }) == 7);
    CHECK(announced([](auto& o) { o.inbox_limit = 10, o.properties.receive_maximum = 70; }) == 70);
}

DIALOG("a Receive Maximum that is derived is not enforced below the hard limit of the inbox [§3.3.4]") {
    d.options.inbox_limit = 2;
    d.options.inbox_hard_limit = 5;
    d.open();
    for (tern::packet_id id = 1; id <= 5; ++id)
        d.broker(publish_of("a", 1 + id % 2, id));
    d.events({got(message("a", "x", 2)), got(message("a", "x", 1)), got(message("a", "x", 2)),
              got(message("a", "x", 1)), got(message("a", "x", 2))});
    d.stays();
    d.broker(publish_of("b", 1, 6));
    if (d.v5()) return d.fails(errc::receive_maximum_exceeded);
    d.events({got(message("b", "x", 1))}); // 3.1.1 has no Receive Maximum
    d.stays();
}

DIALOG("an event says when the application holds a whole window of messages [§3.3.4]") {
    d.options.properties.receive_maximum = d.v5() ? std::optional<std::uint16_t>(4) : std::nullopt;
    d.open();
    d.tells_all = true;
    const auto receives = [&](unsigned qos, tern::packet_id id) {
        d.broker(publish_of("a", qos, id));
        return got(message("a", "x", qos));
    };
    const std::vector<std::string> first{receives(2, 1), receives(1, 2), receives(0, 0), receives(1, 3)};
    d.events(first);
    if (!d.v5()) { // 3.1.1 has no window
        for (tern::packet_id id = 4; id != 100; ++id)
            d.events({receives(1, id)});
        return;
    }
    d.events({receives(1, 4), "window"});
    d.release(0);
    d.sends(pubrec{1});
    d.broker(pubrel{1});
    d.sends(pubcomp{1});
    d.events({receives(1, 5)}); // it has held at least half a window all the time
    for (const std::size_t index : {1U, 3U, 4U})
        d.release(index);
    d.sends(puback{2}, puback{3}, puback{4});
    d.events({receives(1, 6), receives(1, 7), receives(1, 8), "window"});
    for (const std::size_t index : {5U, 6U, 7U, 8U})
        d.release(index);
    d.sends(puback{5}, puback{6}, puback{7}, puback{8});
    const std::size_t next = d.tokens.size();
    d.events({receives(2, 1), receives(2, 2)});
    d.release(next);
    d.release(next + 1);
    d.sends(pubrec{1}, pubrec{2});
    d.events({receives(1, 3), receives(1, 4)}); // of the window, half waits for the broker
    d.broker(pubrel{1}, pubrel{2});
    d.sends(pubcomp{1}, pubcomp{2});
    d.events({receives(1, 5), receives(1, 6), "window"});
}

DIALOG("inbound topic aliases are resolved and checked [v5:MQTT-3.1.2-26, v5:MQTT-3.1.2-27, v5:MQTT-3.3.2-8, "
       "v5:MQTT-3.3.2-10, v5:MQTT-3.3.2-11]") {
    if (!d.v5()) return;
    const auto aliased = [](std::string_view topic, std::uint16_t alias) {
        publish p = publish_of(topic, 0, 0);
        p.message.properties.topic_alias = alias;
        return p;
    };
    using namespace std::string_view_literals;
    dialog none(d);
    none.open();
    none.broker(aliased("a", 1));
    none.fails(errc::invalid_topic_alias);

    d.options.properties.topic_alias_maximum = 3;
    d.open();
    for (const bool unknown : {true, false}) {
        dialog one(d);
        one.broker(unknown ? aliased("", 1) : aliased("a", 4));
        one.fails(unknown ? errc::unknown_topic_alias : errc::invalid_topic_alias);
    }
    dialog zero(d);
    zero.broker_bytes("\x30\7\0\1a\3\x23\0\0"sv);
    zero.fails(errc::invalid_topic_alias);
    dialog empty(d);
    empty.broker_bytes("\x30\3\0\0\0"sv); // neither topic nor alias
    empty.fails(errc::empty_topic);

    d.broker(aliased("a", 1), aliased("b", 3), aliased("", 1), aliased("", 3));
    d.broker(aliased("c", 1), aliased("", 1));
    d.events({got(message("a")), got(message("b")), got(message("a")), got(message("b")), got(message("c")),
              got(message("c"))});
    d.stays();

    d.lost({}); // an alias does not outlive its connection [MQTT-3.3.2-7]
    d.events({over(errc::closed_by_peer)});
    d.open();
    d.broker(aliased("", 1));
    d.fails(errc::unknown_topic_alias);
}

DIALOG("tokens of an earlier connection have no effect") {
    d.open();
    d.broker(publish_of("a", 1, 1), publish_of("b", 2, 2));
    d.events({got(message("a", "x", 1)), got(message("b", "x", 2))});
    d.lost({});
    d.events({over(errc::closed_by_peer)});
    d.release(0);
    d.open();
    d.broker(publish_of("c", 1, 1));
    d.events({got(message("c", "x", 1))});
    d.release(0);
    d.release(1);
    d.sends();
    d.release(2);
    d.sends(puback{1});
    d.session.release(tern::message_token{12345}); // an unknown token
    d.sends();
    d.stays();
}

DIALOG("a released QoS 2 message cannot be returned") {
    d.options.clean_start = false;
    if (d.v5()) d.options.properties.session_expiry_interval = std::chrono::seconds{100};
    d.open();
    d.broker(publish_of("a", 2, 1));
    d.events({got(message("a", "x", 2))});
    d.session.release(d.tokens[0]);
    d.session.return_undelivered(d.tokens[0]);
    d.lost({});
    d.events({over(errc::closed_by_peer)});
    d.open({.session_present = true});
    d.broker(publish_of("a", 2, 1, true));
    d.sends(pubrec{1});
    d.events({});
}

DIALOG("an unreleased QoS 2 message stays open as long as its session [v311:MQTT-3.1.2-4, v311:MQTT-3.1.2-6, "
       "v311:MQTT-4.1.0-1, v5:MQTT-3.1.2-23, v5:MQTT-3.2.2-5, v5:MQTT-4.1.0-1, v5:MQTT-4.3.3-10]") {
    d.options.clean_start = false;
    if (d.v5()) d.options.properties.session_expiry_interval = std::chrono::seconds{100};
    d.open();
    d.broker(publish_of("a", 2, 1), publish_of("b", 2, 2));
    d.release(0);
    d.sends(pubrec{1});
    d.lost({});
    d.events({got(message("a", "x", 2)), got(message("b", "x", 2)), over(errc::closed_by_peer)});

    dialog kept(d);
    kept.open({.session_present = true});
    kept.broker(pubrel{1}, publish_of("b", 2, 2, true), publish_of("c", 2, 3)); // the broker resends
    kept.sends(pubcomp{1}); // message 2 is not delivered again, but its release is still pending
    kept.events({got(message("c", "x", 2))});
    kept.release(2);
    kept.sends();
    kept.release(1);
    kept.sends(pubrec{2}, pubrec{3});
    kept.broker(pubrel{2});
    kept.sends(pubcomp{2});

    dialog dropped(d); // the broker has lost the session
    dropped.open();
    dropped.broker(publish_of("n", 2, 2));
    dropped.events({got(message("n", "x", 2))});

    dialog clean(d);
    clean.options.clean_start = true;
    clean.open();
    clean.broker(publish_of("n", 2, 2));
    clean.events({got(message("n", "x", 2))});

    dialog renamed(d); // another client identifier, another session [MQTT-3.1.3-2]
    renamed.options.client_id = "d";
    renamed.open();
    renamed.broker(publish_of("n", 2, 2));
    renamed.events({got(message("n", "x", 2))});
}

DIALOG("a session that ends with its connection leaves no state [v311:MQTT-3.1.2-6, v5:MQTT-3.1.2-23]") {
    d.open(); // clean session; session expiry interval 0
    d.broker(publish_of("a", 2, 1));
    d.release(0);
    d.sends(pubrec{1});
    d.lost({});
    d.events({got(message("a", "x", 2)), over(errc::closed_by_peer)});
    d.options.clean_start = false;
    if (d.v5()) {
        dialog present(d);
        present.start();
        present.broker(tern::connack{.session_present = true});
        present.fails(errc::unexpected_session_present); // [MQTT-3.2.2-4]
    }
    d.open();
    d.broker(publish_of("a", 2, 1));
    d.events({got(message("a", "x", 2))});
}

DIALOG("a malformed PUBLISH is an error [v311:MQTT-1.5.3-1, v311:MQTT-1.5.3-2, v311:MQTT-2.3.1-1, "
       "v311:MQTT-3.3.1-2, v311:MQTT-3.3.1-4, v311:MQTT-3.3.2-1, v311:MQTT-3.3.2-2, v311:MQTT-4.7.3-1, "
       "v5:MQTT-1.5.4-1, v5:MQTT-1.5.4-2, v5:MQTT-2.2.1-4, v5:MQTT-3.3.1-2, v5:MQTT-3.3.1-4, v5:MQTT-3.3.2-1, "
       "v5:MQTT-3.3.2-2, v5:MQTT-4.7.3-1]") {
    d.open();
    using namespace std::string_view_literals;
    const auto bad = [&](char first, std::string_view start, errc error) {
        dialog one(d);
        std::string packet{first, static_cast<char>(start.size() + (one.v5() ? 1 : 0))};
        packet += start;
        if (one.v5()) packet += '\0'; // no properties
        one.broker_bytes(packet);
        one.fails(error);
    };
    bad('\x30', "\0\1\xff"sv, errc::malformed_utf8);
    bad('\x30', "\0\3\xed\xa0\x80"sv, errc::malformed_utf8);
    bad('\x30', "\0\1\0"sv, errc::null_character);
    bad('\x30', "\0\1+"sv, errc::invalid_topic_name);
    bad('\x30', "\0\3a/#"sv, errc::invalid_topic_name);
    bad('\x30', "\0\0"sv, errc::empty_topic);
    bad('\x32', "\0\1a\0\0"sv, errc::zero_packet_id);
    bad('\x34', "\0\1a\0\0"sv, errc::zero_packet_id);
    bad('\x36', "\0\1a\0\1"sv, errc::invalid_qos);
    bad('\x3f', "\0\1a\0\1"sv, errc::invalid_qos);
    bad('\x38', "\0\1a"sv, errc::dup_at_most_once);
    bad('\x30',
        "\0\x09"
        "a"sv,
        errc::truncated_packet);
    if (!d.v5()) bad('\x32', "\0\1a\0"sv, errc::truncated_packet);
}
