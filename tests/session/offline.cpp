// Requests without a connection are queued.
#include "dialog.hpp"

#include <chrono>
#include <string>
#include <vector>

using tern::connack;
using tern::errc;
using tern::puback;
using tern::publish;
using tern::reason_code;

namespace {

tern::message_view aliased(std::string_view topic, std::uint16_t alias, unsigned qos = 0) {
    tern::message_view m = message(topic, "x", qos);
    m.properties.topic_alias = alias;
    return m;
}
tern::message_view expiring(std::string_view topic, std::uint32_t seconds, unsigned qos = 0) {
    tern::message_view m = message(topic, "x", qos);
    m.properties.message_expiry_interval = std::chrono::seconds(seconds);
    return m;
}

const auto expired = tern::misuse(errc::message_expired);

} // namespace

DIALOG("messages are queued for the first connection, in order [v311:MQTT-4.6.0-1, v5:MQTT-4.6.0-1]") {
    d.options.max_in_flight = 2;
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b"), 2);
    d.publish(message("c", "x", 2), 3);
    d.publish(message("d", "x", 1), 4);
    d.publish(message("e"), 5);
    CHECK(d.session.counters().queued == 5);
    CHECK(d.session.counters().messages_sent == 0);
    d.sends();
    d.start();
    d.broker(connack{});
    d.events({"connected"});
    d.sends(publish_of("a", 1, 1), publish_of("b", 0, 0), publish_of("c", 2, 2), publish_of("e", 0, 0));
    d.events({done(2), done(5)});
    CHECK(d.session.counters().queued == 1);
    d.broker(puback{1});
    d.sends(publish_of("d", 1, 3));
    CHECK(d.session.counters().queued == 0);
    CHECK(d.session.counters().queued_bytes == 0);
}

DIALOG("queued requests fail if the first connect fails") {
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b"), 2);
    d.publish(message("c"));
    d.drain(3);
    CHECK(d.try_connect() == errc::none);
    d.subscribe({{.filter = "s"}}, 4);
    const auto refused = std::make_error_code(std::errc::connection_refused);
    d.lost(refused);
    d.events({done(4, refused), done(1, refused), done(2, refused), done(3, refused), over(refused)});
    CHECK(d.try_publish(message("a")) == errc::not_connected); // until the next connect
    CHECK(d.try_subscribe({{.filter = "a"}}) == errc::not_connected);
    CHECK(d.try_unsubscribe({"a"}) == errc::not_connected);
    d.open();
    d.sends();
}

DIALOG("queued messages beyond the broker's limits fail, the others are sent [v5:MQTT-3.2.2-11, v5:MQTT-3.2.2-12, "
       "v5:MQTT-3.2.2-14, v5:MQTT-3.2.2-15]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    d.publish(message("w", "x", 2), 1); // never written
    d.publish({"r", "x", tern::qos::at_least_once, true, {}}, 2);
    d.lost();
    const std::string large(100, 'x');
    d.publish(message("a", "x", 2), 3);
    d.publish({"b", "x", tern::qos::at_most_once, true, {}}, 4);
    d.publish(message("c", large), 5);
    d.publish(message("d", "x", 1), 6);
    d.subscribe({{.filter = large}}, 7);
    d.subscribe({{.filter = "#"}}, 8);
    d.subscribe({{.filter = "$share/g/s"}}, 9);
    CHECK(d.try_subscribe({{.filter = "s"}}, {.subscription_identifier = 1}, 10) == errc::none);
    d.unsubscribe({large}, 11);
    d.unsubscribe({"#"}, 12); // UNSUBSCRIBE is always allowed
    d.events({});
    for (const bool present : {true, false}) {
        dialog one(d);
        connack answer{.session_present = present};
        answer.properties.maximum_qos = tern::qos::at_least_once;
        answer.properties.retain_available = false;
        answer.properties.maximum_packet_size = 50;
        answer.properties.wildcard_subscription_available = false;
        answer.properties.shared_subscription_available = false;
        answer.properties.subscription_identifier_available = false;
        const auto misuse = [](unsigned op, errc error) { return done(op, tern::misuse(error)); };
        one.reopen(answer,
                   {misuse(1, errc::qos_not_supported), misuse(2, errc::retain_not_supported),
                    misuse(3, errc::qos_not_supported), misuse(4, errc::retain_not_supported),
                    misuse(5, errc::packet_too_large), misuse(7, errc::packet_too_large),
                    misuse(8, errc::wildcard_subscriptions_not_supported),
                    misuse(9, errc::shared_subscriptions_not_supported),
                    misuse(10, errc::subscription_identifiers_not_supported), misuse(11, errc::packet_too_large)});
        const std::string_view u = "#";
        one.sends(tern::unsubscribe{8, std::span(&u, 1)}, publish_of("d", 1, 9));
        one.stays();
        CHECK(one.session.counters().queued == 0);
        CHECK(one.session.counters().in_flight == 1);
    }
}

DIALOG("queued messages with 5.0 properties fail on a 3.1.1 connection") {
    tern::message_view m = message("a", "x", 1);
    m.properties.content_type = "text";
    d.publish(m, 1);
    d.publish(message("b", "x", 2), 2);
    d.publish(expiring("c", 100), 3);
    d.start();
    d.broker(connack{});
    if (d.v5()) {
        d.events({"connected"});
        d.sends(publish{m, false, 1}, publish_of("b", 2, 2), publish{expiring("c", 100)});
        return;
    }
    d.sends(publish_of("b", 2, 1));
    d.events({done(1, tern::misuse(errc::requires_v5)), done(3, tern::misuse(errc::requires_v5)), "connected"});
}

DIALOG("a message whose time to live has passed in the queue is not sent") {
    d.resumable();
    d.open();
    d.pass(1s);
    d.lost();
    CHECK(d.try_publish(message("a", "x", 1), 5s, 1) == errc::none);
    CHECK(d.try_publish(message("b"), 5s, 2) == errc::none);
    CHECK(d.try_publish(message("c", "x", 2), 7s, 3) == errc::none);
    CHECK(d.try_publish(message("d", "x", 1), 0s, 4) == errc::none);
    CHECK(d.try_publish(message("e"), -1ms, 5) == errc::invalid_time_to_live);
    CHECK(d.session.next_deadline() == d.now + 5s);
    d.pass(5s - 1ms);
    d.events({});
    d.pass(1ms);
    d.events({done(1, expired), done(2, expired)});
    d.pass(1s);
    d.reopen();
    d.sends(publish_of("c", 2, 1), publish_of("d", 1, 2));
    d.pass(10s); // a sent message does not expire
    d.events({});
    CHECK(d.session.counters().messages_dropped == 2);
}

DIALOG("the time to live passes while the window is full, and before the first connection") {
    d.options.max_in_flight = 1;
    d.options.ack_timeout = 0s;
    d.options.connack_timeout = 0s;
    CHECK(d.try_publish(message("n", "x", 1), 1s, 9) == errc::none);
    d.pass(1s);
    d.events({done(9, expired)});
    d.open();
    CHECK(d.try_publish(message("a", "x", 1), 5s, 1) == errc::none);
    CHECK(d.try_publish(message("b", "x", 1), 5s, 2) == errc::none);
    d.sends(publish_of("a", 1, 1));
    d.pass(6s);
    d.events({done(2, expired)});
    d.broker(puback{1});
    d.sends();
    d.events({done(1)});
}

DIALOG("the time to live of an unwritten message continues when the connection is lost") {
    d.resumable();
    d.open();
    d.pass(1s);
    const std::size_t size = d.encoded(publish_of("a", 1, 1)).size();
    CHECK(d.try_publish(message("a", "x", 1), 5s, 1) == errc::none);
    CHECK(d.try_publish(message("b", "x", 2), 5s, 2) == errc::none);
    CHECK(d.try_publish(message("c"), 5s, 3) == errc::none);
    CHECK(d.try_publish(message("d", "x", 1), 9s, 4) == errc::none);
    CHECK(d.try_publish(message("e", "x", 1), 5s, 5) == errc::none);
    d.publish(message("f", "x", 2), 6);
    CHECK(d.written(size + 1).size() == size + 1); // the first, and a part of the second message
    d.lost();
    CHECK(d.session.counters().messages_sent == 2);
    CHECK(d.session.counters().queued == 4);
    d.publish(message("g", "x", 1), 7);
    d.pass(5s);
    d.events({done(5, expired), done(3, expired)});
    d.reopen();
    d.sends(publish_of("a", 1, 1, true), publish_of("b", 2, 2, true), publish_of("d", 1, 6), publish_of("f", 2, 7),
            publish_of("g", 1, 8));
    CHECK(d.session.counters().messages_sent == 5);
    CHECK(d.session.counters().in_flight == 5);
    CHECK(d.session.counters().queued_bytes == 0);
}

DIALOG("the message expiry interval counts down in the queue, whatever the time to live [v5:MQTT-3.3.2-6]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.ack_timeout = 0s;
    d.options.keep_alive = 0s;
    d.open();
    d.pass(1s);
    d.lost();
    tern::message_view both = expiring("a", 100, 1);
    both.properties.payload_format_indicator = tern::payload_format::utf8;
    both.properties.content_type = "t";
    CHECK(d.try_publish(both, 20s, 1) == errc::none);
    CHECK(d.try_publish(expiring("b", 10), 0s, 2) == errc::none);
    CHECK(d.try_publish(expiring("c", 100), 0s, 3) == errc::none);
    d.pass(10s);
    d.events({done(2, expired)});
    dialog again(d);
    d.reopen();
    both.properties.message_expiry_interval = std::chrono::seconds{90};
    d.sends(publish{both, false, 1}, publish{expiring("c", 90)});
    d.events({done(3)});

    again.reopen();
    CHECK(!again.written(1).empty()); // then the connection is lost again
    again.lost();
    again.pass(30s);
    again.reopen();
    // The broker may have received the first message, so it is resent unchanged. The other was never sent.
    again.sends(publish{both, true, 1}, publish{expiring("c", 60)});
}

DIALOG("the Message Expiry Interval decreases by all the time of several waits, not by whole seconds of each "
       "[v5:MQTT-3.3.2-6]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.keep_alive = 0s;
    d.open();
    d.lost();
    CHECK(d.try_publish(expiring("a", 100, 1), 0s, 1) == errc::none);
    const tern::time_point published = d.now;
    for (int i = 0; i != 4; ++i) {
        d.pass(900ms);
        d.reopen();
        if (i != 3) d.lost(); // before it was written
    }
    const auto waited = std::chrono::floor<std::chrono::seconds>(d.now - published).count();
    d.sends(publish{expiring("a", 100 - static_cast<std::uint32_t>(waited), 1), false, 4});
}

DIALOG("a queued message with a topic alias is sent with its topic [v5:MQTT-3.3.2-7, v5:MQTT-3.3.2-8]") {
    if (!d.v5()) return;
    connack answer;
    answer.properties.topic_alias_maximum = 5;
    d.publish(aliased("before", 1));
    d.publish(aliased("", 1)); // the alias denotes the topic
    CHECK(d.try_publish(aliased("", 2)) == errc::unknown_topic_alias);
    CHECK(d.try_publish(aliased("x", 0)) == errc::invalid_topic_alias);
    d.start();
    d.broker(answer);
    d.sends(publish_of("before", 0, 0), publish_of("before", 0, 0));
}

DIALOG("3.1.1 has no topic aliases, with or without a connection [§3.3.2.3.4]") {
    if (d.v5()) return;
    d.start();
    CHECK(d.try_publish(aliased("a", 1)) == errc::requires_v5);
    d.broker(connack{});
    CHECK(d.try_publish(aliased("a", 1)) == errc::requires_v5);
    CHECK(d.try_publish(aliased("a", 1, 1)) == errc::requires_v5);
    d.sends();
}

DIALOG("topic aliases are resolved during an outage [v5:MQTT-3.3.2-7, v5:MQTT-3.3.2-8]") {
    if (!d.v5()) return;
    connack answer;
    answer.properties.topic_alias_maximum = 5;
    d.resumable();
    d.open(answer);
    d.publish(aliased("a", 1), 1);
    d.publish(aliased("", 1), 2);
    d.sends(publish{aliased("a", 1)}, publish{aliased("", 1)});
    d.publish(aliased("b", 2), 3);
    d.publish(aliased("", 2), 4);
    d.events({done(1), done(2)});
    d.publish(aliased("d", 2), 8); // changes the alias of the message before
    d.publish(aliased("", 2), 9);
    d.lost(); // before the last four were written
    d.publish(aliased("", 1), 5);
    d.publish(aliased("", 1, 1), 6);
    d.publish(aliased("c", 3), 7);
    answer.session_present = true;
    d.events({});
    d.reopen(answer);
    d.sends(publish_of("b", 0, 0), publish_of("b", 0, 0), publish_of("d", 0, 0), publish_of("d", 0, 0),
            publish_of("a", 0, 0), publish_of("a", 1, 1), publish_of("c", 0, 0));
    d.events({done(3), done(4), done(8), done(9), done(5), done(7)});
    // The application may use the alias without knowing that the new connection has not set it.
    d.publish(aliased("", 1));
    d.publish(aliased("", 1));
    d.sends(publish{aliased("a", 1)}, publish{aliased("", 1)});
}

DIALOG("a message that has not been sent can be cancelled") {
    d.resumable();
    d.options.max_in_flight = 1;
    d.publish(message("o"), 20);
    CHECK(d.cancel(20));
    CHECK(!d.cancel(20));
    d.open();
    d.sends();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 1), 2);
    d.publish(message("p"), 9);
    d.subscribe({{.filter = "s"}}, 3);
    CHECK(!d.cancel(1)); // already sent
    CHECK(!d.cancel(9));
    CHECK(!d.cancel(3));
    CHECK(!d.cancel(99));
    CHECK(!d.cancel(0));
    CHECK(d.cancel(2));
    d.lost();
    d.events({done(9, tern::misuse(errc::message_dropped)),
              done(1, tern::misuse(errc::message_dropped))}); // no byte was written, so they are not resent
    d.publish(message("c", "x", 2), 4);
    d.publish(message("d"), 5);
    d.publish(message("e"), 6);
    d.subscribe({{.filter = "t"}}, 7);
    d.unsubscribe({"u"}, 8);
    for (const unsigned op : {3U, 4U, 5U, 7U, 8U})
        CHECK(d.cancel(op));
    d.reopen();
    d.sends(publish_of("e", 0, 0));
    d.events({done(6)});
    CHECK(d.session.counters().in_flight == 0);
    CHECK(d.session.counters().queued == 0);
}

DIALOG("a message that may have been sent cannot be cancelled and keeps its identifier [v5:MQTT-2.2.1-3]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    CHECK(d.written(1).size() == 1);
    d.lost();
    CHECK(!d.cancel(1));
    d.publish(message("b", "x", 1), 2);
    d.reopen();
    CHECK(!d.cancel(1));
    d.sends(publish_of("a", 1, 1, true), publish_of("b", 1, 2));
    d.broker(puback{1}, puback{2});
    d.events({done(1), done(2)});
}
