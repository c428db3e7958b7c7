// The broker's limits in CONNACK and the client's in CONNECT.
#include "dialog.hpp"

#include <chrono>
#include <climits>

using tern::connack;
using tern::errc;
using tern::publish;

DIALOG("messages above the broker's Maximum QoS are refused [v5:MQTT-3.2.2-9, v5:MQTT-3.2.2-11]") {
    if (!d.v5()) return;
    for (const unsigned maximum : {0U, 1U}) {
        dialog one(d);
        connack answer;
        answer.properties.maximum_qos = static_cast<tern::qos>(maximum);
        one.open(answer);
        for (unsigned qos = 0; qos != 3; ++qos)
            CHECK(one.try_publish(message("a", "x", qos)) == (qos <= maximum ? errc::none : errc::qos_not_supported));
        if (maximum == 0)
            one.sends(publish_of("a", 0, 0));
        else
            one.sends(publish_of("a", 0, 0), publish_of("a", 1, 1));
        one.subscribe({{.filter = "a", .max_qos = tern::qos::exactly_once}}); // a subscription may request any QoS
        one.stays();
    }
}

DIALOG("retained messages are refused unless Retain Available [v5:MQTT-3.2.2-14]") {
    if (!d.v5()) return;
    connack answer;
    answer.properties.retain_available = false;
    d.open(answer);
    tern::message_view retained = message("a");
    retained.retain = true;
    CHECK(d.try_publish(retained) == errc::retain_not_supported);
    d.sends();
    d.stays();
}

DIALOG("the broker's Maximum Packet Size limits each kind of packet [v5:MQTT-3.2.2-15, §3.2.2.3.6]") {
    if (!d.v5()) return;
    const auto within = [&](std::size_t maximum) {
        connack answer;
        answer.properties.maximum_packet_size = static_cast<std::uint32_t>(maximum);
        dialog one(d);
        one.open(answer);
        return one;
    };
    const tern::subscription s{.filter = "abc"};
    const std::string_view u = "abc";
    const publish q0{message("a", "0123456789")};
    const publish q1{message("a", "0123456789", 1), false, 1};
    const tern::subscribe sub{1, std::span(&s, 1)};
    const tern::unsubscribe unsub{1, std::span(&u, 1)};
    const tern::disconnect bye{.properties = {.reason_string = "0123456789"}};
    for (const bool fits : {true, false}) {
        const auto limit = [&](const auto& packet) { return within(d.encoded(packet).size() - (fits ? 0 : 1)); };
        const errc expected = fits ? errc::none : errc::packet_too_large;
        const auto check = [&](dialog one, errc error, const auto& packet) {
            CHECK(error == expected);
            if (fits)
                one.sends(packet);
            else
                one.sends();
        };
        dialog one = limit(q0);
        errc error = one.try_publish(q0.message);
        check(one, error, q0);
        one = limit(q1);
        error = one.try_publish(q1.message);
        check(one, error, q1);
        one = limit(sub);
        error = one.try_subscribe({s});
        check(one, error, sub);
        one = limit(unsub);
        error = one.try_unsubscribe({u});
        check(one, error, unsub);
        one = limit(bye);
        error = one.try_disconnect(bye);
        check(one, error, bye);
        if (!fits) one.stays();
    }
}

DIALOG("a Maximum Packet Size below the size of an acknowledgement closes the connection [v5:MQTT-3.2.2-15]") {
    if (!d.v5()) return;
    connack answer;
    answer.properties.maximum_packet_size = 3;
    d.open(answer);
    dialog fail(d);
    fail.broker(connack{});
    fail.fails(errc::unexpected_packet); // DISCONNECT needs only three bytes
    d.broker(publish_of("a", 1, 1));
    d.release(0);
    d.sends();
    d.closes();
    d.events({got(message("a", "x", 1)), over(errc::packet_too_large)});

    answer.properties.maximum_packet_size = 2;
    d.open(answer);
    d.broker(connack{});
    d.sends();
    d.closes();
    d.events({over(errc::unexpected_packet)});
    d.start(); // the next CONNACK has no such limit
    d.broker(tern::pingresp{});
    d.fails(errc::unexpected_packet);
}

DIALOG("a packet above the client's Maximum Packet Size is an error [v5:MQTT-3.1.2-24]") {
    if (!d.v5()) return;
    d.options.properties.maximum_packet_size = 100;
    d.open();
    const std::string fill(100 - d.encoded(publish{message("a", "")}).size(), 'x');
    d.broker(publish{message("a", fill)});
    d.events({got(message("a", fill))});
    d.stays();
    // The remaining length suffices to refuse the next packet.
    const std::string packet = d.encoded(publish{message("a", fill + "x")});
    d.broker_bytes(packet.substr(0, 2));
    d.fails(errc::packet_too_large);
}

DIALOG("outbound topic aliases are set, used and limited [v5:MQTT-3.2.2-17, v5:MQTT-3.2.2-18, v5:MQTT-3.3.2-7, "
       "v5:MQTT-3.3.2-8, v5:MQTT-3.3.2-9]") {
    const auto aliased = [](std::string_view topic, std::uint16_t alias, unsigned qos = 0) {
        tern::message_view m = message(topic, "x", qos);
        m.properties.topic_alias = alias;
        return m;
    };
    if (!d.v5()) {
        d.open();
        CHECK(d.try_publish(aliased("a", 1)) == errc::requires_v5);
        CHECK(d.try_publish(message("")) == errc::empty_topic);
        return d.sends();
    }
    dialog none(d);
    none.open();
    CHECK(none.try_publish(aliased("a", 1)) == errc::invalid_topic_alias);
    none.sends();

    connack answer;
    answer.properties.topic_alias_maximum = 3;
    d.options.max_in_flight = 1;
    d.open(answer);
    CHECK(d.try_publish(aliased("a", 0)) == errc::invalid_topic_alias);
    CHECK(d.try_publish(aliased("a", 4)) == errc::invalid_topic_alias);
    CHECK(d.try_publish(aliased("", 1)) == errc::unknown_topic_alias);
    CHECK(d.try_publish(aliased("+", 1)) == errc::invalid_topic_name);
    CHECK(d.try_publish(aliased("", 1)) == errc::unknown_topic_alias); // the refused message has not set the alias
    d.sends();
    d.publish(aliased("a", 1));
    d.publish(aliased("", 1));
    d.publish(aliased("b", 1));
    d.publish(aliased("", 1));
    d.sends(publish{aliased("a", 1)}, publish{aliased("", 1)}, publish{aliased("b", 1)}, publish{aliased("", 1)});
    // A message that is queued has no alias, so it does not set the alias at the broker.
    d.publish(aliased("", 1, 1), 1);
    d.publish(aliased("c", 2, 1), 2);
    d.publish(aliased("", 2, 2), 3);
    d.publish(aliased("", 2));
    d.publish(aliased("", 2));
    d.sends(publish{aliased("", 1, 1), false, 1}, publish{aliased("c", 2)}, publish{aliased("", 2)});
    d.broker(tern::puback{1}, tern::puback{2});
    d.sends(publish_of("c", 1, 2), publish_of("c", 2, 3));
    d.events({done(1), done(2)});
    d.lost({});
    d.events({unknown(3, errc::closed_by_peer), over(errc::closed_by_peer)});
    d.open(answer);
    d.publish(
        aliased("", 1)); // the alias still denotes its topic, but must be set again on this connection [MQTT-3.3.2-7]
    d.publish(aliased("", 1));
    d.sends(publish{aliased("b", 1)}, publish{aliased("", 1)});
}

DIALOG("wildcards, shared subscriptions and identifiers are refused where they are not available "
       "[§3.2.2.3.11, §3.2.2.3.12, §3.2.2.3.13]") {
    if (!d.v5()) return;
    struct request {
        std::string_view filter;
        bool identifier;
        errc without[3]; // wildcards, identifiers, shared
    } const requests[] = {
        {"a", false, {}},
        {"a/+", false, {errc::wildcard_subscriptions_not_supported, {}, {}}},
        {"#", false, {errc::wildcard_subscriptions_not_supported, {}, {}}},
        {"a", true, {{}, errc::subscription_identifiers_not_supported, {}}},
        {"$share/g/a", false, {{}, {}, errc::shared_subscriptions_not_supported}},
    };
    for (int missing = 0; missing != 4; ++missing) {
        dialog one(d);
        connack answer;
        if (missing == 0) answer.properties.wildcard_subscription_available = false;
        if (missing == 1) answer.properties.subscription_identifier_available = false;
        if (missing == 2) answer.properties.shared_subscription_available = false;
        one.open(answer);
        for (const request& r : requests) {
            dialog two(one);
            tern::subscribe_properties properties;
            if (r.identifier) properties.subscription_identifier = 1;
            const errc expected = missing == 3 ? errc::none : r.without[missing];
            CHECK(two.try_subscribe({{.filter = "ok"}, {.filter = r.filter}}, properties) == expected);
            if (expected != errc::none)
                two.sends();
            else
                CHECK(!two.written().empty());
        }
    }
}

DIALOG("the limits of a connection do not apply to the next one [v5:MQTT-4.9.0-1]") {
    if (!d.v5()) return;
    connack answer;
    answer.properties.receive_maximum = 1;
    answer.properties.maximum_qos = tern::qos::at_least_once;
    answer.properties.maximum_packet_size = 50;
    answer.properties.retain_available = false;
    d.open(answer);
    CHECK(d.try_publish(message("a", "x", 2)) == errc::qos_not_supported);
    d.publish(message("a", "x", 1), 1);
    d.publish(message("a", "x", 1), 2);
    d.sends(publish_of("a", 1, 1));
    d.lost({});
    d.events({unknown(1, errc::closed_by_peer), done(2, errc::closed_by_peer), over(errc::closed_by_peer)});
    d.open();
    const std::string large(100, 'x');
    d.publish({"a", large, tern::qos::exactly_once, true, {}}, 3);
    d.publish(message("a", "x", 1), 4);
    const std::string wire = d.written();
    CHECK(wire.size() > 108 + 6);
    d.stays();
}

DIALOG("every limit works at its largest value") {
    d.resumable();
    d.options.queue = {.messages = SIZE_MAX, .bytes = SIZE_MAX};
    d.options.inbox_limit = d.options.inbox_bytes = SIZE_MAX;
    d.options.keep_alive = 65'535s;
    d.options.max_in_flight = std::uint16_t{65'535};
    const auto longest = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::years(1));
    d.options.ack_timeout = d.options.connack_timeout = longest;
    d.options.resolve_timeout = d.options.connect_timeout = longest;
    d.options.reconnect.first_delay = d.options.reconnect.longest_delay = longest;
    d.options.reconnect.max_rounds = UINT_MAX;
    if (d.v5()) {
        d.options.properties.session_expiry_interval = tern::session_never_expires;
        d.options.properties.maximum_packet_size = UINT32_MAX;
        d.options.properties.receive_maximum = std::uint16_t{65'535};
        d.options.properties.topic_alias_maximum = std::uint16_t{65'535};
    }
    connack answer;
    if (d.v5()) answer.properties.maximum_packet_size = UINT32_MAX;
    tern::message_view m = message("q", "x", 1);
    if (d.v5()) m.properties.message_expiry_interval = std::chrono::seconds{UINT32_MAX};
    CHECK(d.try_publish(m, longest, 1) == errc::none); // queued
    d.start();
    d.broker(answer);
    d.events({"connected"});
    d.sends(publish{m, false, 1});
    for (tern::packet_id id = 2; id != 5; ++id) {
        d.publish(message("a", "x", 2), id);
        d.sends(publish_of("a", 2, id));
    }
    d.drain(5, longest);
    d.pass(10s);
    d.sends();
    d.stays();
    CHECK(d.session.counters().in_flight == 4);
    d.events({});
}

TEST_CASE("3.1.1 has no Receive Maximum: a broker may send a message again on the same connection "
          "[v311:MQTT-4.4.0-1]") {
    tern::session session;
    tern::time_point now{1h};
    tern::connect_options options{.version = tern::protocol_version::v3_1_1, .client_id = "c"};
    REQUIRE(session.connect(options, now) == errc::none);
    session.on_prepared(now);
    session.on_opened(now);
    for (const std::string_view bytes : session.pending_write())
        session.commit_write(bytes.size(), now);
    const auto read = [&](const auto& packet) {
        const auto size = tern::encode(packet, options.version, session.prepare_read());
        session.commit_read(*size, now);
        while (session.poll_event()) {
        }
    };
    read(connack{});
    for (unsigned i = 0; i != 65'600; ++i)
        read(publish{message("a", "x", 1), i >= 65'535, static_cast<tern::packet_id>(i % 65'535 + 1)});
    CHECK(session.is_connected());
}
