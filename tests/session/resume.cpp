// Resuming exchanges while the broker still has the session.
#include "dialog.hpp"

#include <vector>

using tern::connack;
using tern::errc;
using tern::puback;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;

namespace {

tern::subscribe subscribe_of(const tern::subscription& s, tern::packet_id id) {
    return {id, std::span(&s, 1)};
}

const std::string_view u = "u";

} // namespace

DIALOG("PUBLISH is resent with DUP and its identifier, PUBREL too, in the original order [v311:MQTT-3.3.1-1, "
       "v311:MQTT-4.3.2-1, v311:MQTT-4.3.3-1, v311:MQTT-4.4.0-1, v311:MQTT-4.6.0-1, v5:MQTT-3.3.1-1, "
       "v5:MQTT-4.3.2-1, v5:MQTT-4.3.3-1, v5:MQTT-4.3.3-5, v5:MQTT-4.3.3-6, v5:MQTT-4.4.0-1, v5:MQTT-4.6.0-1]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    d.publish(message("c", "x", 2), 3);
    d.subscribe({filter_s}, 4);
    d.publish(message("d", "x", 1), 5);
    d.unsubscribe({u}, 6);
    (void)d.written();
    d.broker(pubrec{2});
    d.sends(pubrel{2});
    for (int i = 0; i != 3; ++i) { // on each connection
        d.lost();
        d.events({});
        d.reopen();
        d.sends(publish_of("a", 1, 1, true), publish_of("c", 2, 3, true), subscribe_of(filter_s, 4),
                publish_of("d", 1, 5, true), unsubscribe_of(u, 6), pubrel{2});
        d.sends();
    }
    d.broker(puback{1}, pubrec{3}, tern::suback{4, std::span(one_success, 1)}, puback{5}, unsuback_of(d, 6),
             pubcomp{2});
    d.sends(pubrel{3});
    d.broker(pubcomp{3});
    d.events({done(1), done(4), done(5), done(6), done(2), done(3)});
    d.lost();
    d.reopen();
    d.sends(); // nothing remains to resend
    CHECK(d.session.counters().in_flight == 0);
}

DIALOG("PUBRELs are resent in the order of their PUBRECs [v311:MQTT-4.6.0-4, v5:MQTT-4.6.0-4]") {
    d.resumable();
    d.open();
    for (unsigned i = 1; i <= 3; ++i)
        d.publish(message("a", "x", 2), i);
    (void)d.written();
    d.broker(pubrec{3}, pubrec{1}, pubrec{2});
    (void)d.written();
    d.lost();
    d.reopen();
    d.sends(pubrel{3}, pubrel{1}, pubrel{2});
    d.broker(pubcomp{3}, pubcomp{1}, pubcomp{2});
    d.events({done(3), done(1), done(2)});
}

DIALOG("a message that was never written is sent without DUP [v311:MQTT-3.3.1-1, v5:MQTT-3.3.1-1]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    d.publish(message("c", "x", 1), 3);
    const std::size_t one = d.encoded(publish_of("a", 1, 1)).size();
    CHECK(d.written(one + 3).size() == one + 3); // the first, and a part of the second message
    d.lost();
    d.reopen();
    d.sends(publish_of("a", 1, 1, true), publish_of("b", 2, 2, true), publish_of("c", 1, 4));
    d.lost();
    d.reopen(); // now all have been written
    d.sends(publish_of("a", 1, 1, true), publish_of("b", 2, 2, true), publish_of("c", 1, 4, true));
    d.broker(puback{1}, pubrec{2}, puback{4});
    d.sends(pubrel{2});
    d.broker(pubcomp{2});
    d.events({done(1), done(3), done(2)});
}

DIALOG("a QoS 0 message is resent only if it was not completely written [v311:MQTT-4.3.1-1, v5:MQTT-4.3.1-1]") {
    d.resumable();
    d.open();
    const std::size_t size = d.encoded(publish_of("a", 0, 0)).size();
    for (std::size_t written = 0; written <= 3 * size; ++written) {
        INFO(written << " bytes were written");
        dialog one(d);
        for (unsigned i = 1; i <= 3; ++i)
            one.publish(message(i == 1 ? "a" : i == 2 ? "b" : "c"), i);
        CHECK(one.written(written).size() == written);
        std::vector<std::string> at_once, later;
        std::string rest;
        for (unsigned i = 0; i != 3; ++i) {
            const bool was = (i + 1) * size <= written;
            (was ? at_once : later).push_back(done(i + 1));
            if (!was) rest += one.encoded(publish_of(i == 0 ? "a" : i == 1 ? "b" : "c", 0, 0));
        }
        one.events(at_once);
        one.lost();
        one.publish(message("z"), 4); // after the others
        one.events({});
        one.reopen();
        one.sends_bytes(rest + one.encoded(publish_of("z", 0, 0)));
        later.push_back(done(4));
        one.events(later);
        one.lost();
        one.reopen();
        one.sends();
        CHECK(one.session.counters().messages_sent == 4);
    }
}

DIALOG("new messages follow old ones [v311:MQTT-4.6.0-1, v5:MQTT-4.6.0-1]") {
    d.resumable();
    d.options.max_in_flight = 2;
    d.open();
    for (unsigned i = 1; i <= 3; ++i)
        d.publish(message("a", "x", 1), i);
    d.sends(publish_of("a", 1, 1), publish_of("a", 1, 2));
    d.lost();
    d.publish(message("b", "x", 1), 4);
    d.publish(message("c"), 5); // QoS 0 waits only for the connection
    d.subscribe({filter_s}, 6);
    d.events({});
    d.reopen();
    d.publish(message("d", "x", 1), 7);
    // A request gets its identifier when it is queued, a message when it is sent.
    d.sends(publish_of("a", 1, 1, true), publish_of("a", 1, 2, true), subscribe_of(filter_s, 3), publish_of("c", 0, 0));
    d.broker(puback{1}, puback{2});
    d.sends(publish_of("a", 1, 4), publish_of("b", 1, 5));
    d.broker(puback{4}, puback{5});
    d.sends(publish_of("d", 1, 6));
    d.broker(puback{6}, tern::suback{3, std::span(one_success, 1)});
    d.events({done(5), done(1), done(2), done(3), done(4), done(7), done(6)});
}

DIALOG("Receive Maximum limits resending, also if it is lower than before [v5:MQTT-3.3.4-7, v5:MQTT-3.3.4-9, "
       "v5:MQTT-4.9.0-1, v5:MQTT-4.9.0-2, v5:MQTT-4.9.0-3]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    for (unsigned i = 1; i <= 6; ++i)
        d.publish(message("a", "x", i == 5 ? 2 : 1), i);
    d.subscribe({filter_s}, 7);
    (void)d.written();
    d.broker(pubrec{5});
    d.sends(pubrel{5});
    d.lost();
    d.publish(message("n", "x", 1), 8);
    connack answer{.session_present = true};
    answer.properties.receive_maximum = 2;
    d.reopen(answer);
    // PUBREL occupies half of the window. PUBREL and SUBSCRIBE are sent regardless of it.
    d.sends(publish_of("a", 1, 1, true), subscribe_of(filter_s, 7), pubrel{5});
    CHECK(d.session.counters().in_flight == 2);
    d.unsubscribe({u}, 9);
    d.publish(message("q"), 10);
    d.sends(unsubscribe_of(u, 8), publish_of("q", 0, 0));
    d.broker(puback{1});
    d.sends(publish_of("a", 1, 2, true));
    d.broker(pubcomp{5});
    d.sends(publish_of("a", 1, 3, true));
    d.broker(puback{2});
    d.sends(publish_of("a", 1, 4, true));
    d.events({done(10), done(1), done(5), done(2)});
    d.lost(); // 3 and 4 were sent twice, 6 once, so all get DUP
    d.reopen(answer);
    d.sends(publish_of("a", 1, 3, true), publish_of("a", 1, 4, true), subscribe_of(filter_s, 7), unsubscribe_of(u, 8));
    d.broker(puback{4}, puback{3});
    d.sends(publish_of("a", 1, 6, true), publish_of("n", 1, 9));
    d.broker(puback{6}, puback{9});
    d.events({done(4), done(3), done(6), done(8)});
    CHECK(d.session.counters().in_flight == 0);
}

DIALOG("a window that is overfilled by PUBRELs becomes free again [v5:MQTT-3.3.4-7, v5:MQTT-4.9.0-2]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    for (unsigned i = 1; i <= 4; ++i)
        d.publish(message("a", "x", 2), i);
    d.publish(message("b", "x", 1), 5);
    (void)d.written();
    d.broker(pubrec{1}, pubrec{2}, pubrec{3}, pubrec{4});
    (void)d.written();
    d.lost();
    connack answer{.session_present = true};
    answer.properties.receive_maximum = 1;
    d.reopen(answer);
    d.sends(pubrel{1}, pubrel{2}, pubrel{3}, pubrel{4});
    d.broker(pubcomp{1}, pubcomp{2}, pubcomp{3});
    d.sends();
    d.broker(pubcomp{4});
    d.sends(publish_of("b", 1, 5, true));
    d.broker(puback{5});
    d.events({done(1), done(2), done(3), done(4), done(5)});
}

DIALOG("a connect with a smaller window resumes within it [v311:MQTT-4.4.0-1, v5:MQTT-4.4.0-1]") {
    d.resumable();
    d.options.reconnect.enabled = false;
    d.open();
    for (unsigned i = 1; i <= 5; ++i)
        d.publish(message("a", "x", i == 2 ? 2 : 1), i);
    (void)d.written();
    d.broker(pubrec{2});
    (void)d.written();
    const auto reset = std::make_error_code(std::errc::connection_reset);
    d.lost(reset);
    d.events({unknown(1), unknown(3), unknown(4), unknown(5), unknown(2), over(reset)});
    d.options.max_in_flight = 2;
    d.start();
    d.broker(connack{.session_present = true});
    d.events({"connected, session present"});
    d.publish(message("n", "x", 1), 6);
    d.sends(publish_of("a", 1, 1, true), pubrel{2});
    d.broker(pubcomp{2});
    d.sends(publish_of("a", 1, 3, true));
    d.broker(puback{1}, puback{3});
    d.sends(publish_of("a", 1, 4, true), publish_of("a", 1, 5, true));
    d.broker(puback{5}, puback{4});
    d.sends(publish_of("n", 1, 6));
    d.broker(puback{6});
    d.events({done(6)}); // the others have completed before
}

DIALOG("requests of an outage are sent in order [v311:MQTT-3.8.4-1, v311:MQTT-3.10.4-4, v5:MQTT-3.8.4-1, "
       "v5:MQTT-3.10.4-4]") {
    d.resumable();
    d.open();
    d.lost();
    d.subscribe({filter_s}, 1);
    d.unsubscribe({u}, 2);
    d.subscribe({filter_s}, 3);
    d.sends();
    d.reopen();
    d.sends(subscribe_of(filter_s, 1), unsubscribe_of(u, 2), subscribe_of(filter_s, 3));
    d.broker(tern::suback{1, std::span(one_success, 1)}, unsuback_of(d, 2), tern::suback{3, std::span(one_success, 1)});
    d.events({done(1), done(2), done(3)});
}

DIALOG("pings end with their connection") {
    d.resumable();
    d.open();
    d.ping(1);
    (void)d.written();
    d.ping(2);
    const auto reset = std::make_error_code(std::errc::connection_reset);
    d.lost(reset);
    d.events({done(1, reset), done(2, reset)});
    CHECK(d.session.ping(tern::op_id{3}, d.now) == errc::not_connected);
    d.reopen();
    d.sends();
    d.broker(tern::pingresp{});
    if (d.v5()) d.sends();
    d.stays(); // it is ignored
}

DIALOG("the acknowledgement timeout starts again on a new connection") {
    d.resumable();
    d.options.keep_alive = 0s;
    d.options.ack_timeout = 20s;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.pass(19s);
    d.lost();
    d.pass(1h);
    d.reopen();
    d.pass(100s); // not yet written
    d.stays();
    d.sends(publish_of("a", 1, 1, true));
    d.pass(20s - 1ms);
    d.stays();
    d.sends();
    d.pass(1ms);
    d.sends(tern::pingreq{});
    d.broker(tern::pingresp{});
    d.pass(0s);
    if (!d.v5()) return d.sends(publish_of("a", 1, 1, true));
    d.pass(20s);
    CHECK(!d.session.is_connected());
    d.sends(tern::disconnect{.reason_code = tern::answer_to(errc::acknowledgement_timeout)});
    d.lost();
    d.reopen(); // no operation fails
    d.sends(publish_of("a", 1, 1, true));
    d.broker(puback{1});
    d.events({done(1)});
}

DIALOG("keep alive restarts with each connection [v311:MQTT-3.1.2-23, v5:MQTT-3.1.2-20]") {
    d.resumable();
    d.options.keep_alive = 60s;
    d.open();
    d.pass(45s);
    d.sends(tern::pingreq{});
    d.pass(5s);
    d.lost();
    d.pass(100s);
    d.reopen();
    d.pass(45s - 1ms);
    d.sends();
    d.pass(1ms);
    d.sends(tern::pingreq{});
    d.pass(20s - 1ms);
    d.stays();
    d.pass(1ms); // a ping timeout counts as a lost connection
    CHECK(d.wants_close());
    d.lost();
    d.reopen();
}

TEST_CASE("all 65,535 exchanges are resumed [v311:MQTT-4.4.0-1, v5:MQTT-2.2.1-3, v5:MQTT-4.4.0-1]") {
    dialog d(tern::protocol_version::v5, dialog::reading::packets, dialog::writing::whole);
    d.resumable();
    d.options.ack_timeout = 0s;
    d.open();
    constexpr unsigned most = 65'535 - 16 - 16;
    for (unsigned i = 1; i <= most; ++i)
        REQUIRE(d.session.publish(message("a", "x", 1 + i % 2), tern::op_id{i}, d.now) == errc::none);
    (void)d.written(); // all messages get their identifiers
    for (unsigned i = 1; i <= 16; ++i)
        d.subscribe({filter_s}, 70'000 + i);
    (void)d.written();
    d.publish(message("z", "x", 1), 100'000);
    for (const unsigned window : {65'535U, 1'000U}) {
        d.lost();
        connack answer{.session_present = true};
        answer.properties.receive_maximum = static_cast<std::uint16_t>(window);
        d.reopen(answer);
        const std::string wire = d.written();
        const std::size_t size = d.encoded(publish_of("a", 1, 1)).size();
        const unsigned count = std::min(window, most);
        REQUIRE(wire.size() == count * size + 16 * d.encoded(subscribe_of(filter_s, 1)).size());
        CHECK(d.session.counters().in_flight == count);
    }
    for (unsigned i = 1; i <= most; ++i) {
        const auto id = static_cast<tern::packet_id>(i);
        if (i % 2 == 1)
            d.broker(pubrec{id}, pubcomp{id});
        else
            d.broker(puback{id});
        (void)d.written();
        d.events({done(i)});
    }
    CHECK(d.session.counters().in_flight == 1);
    CHECK(d.session.counters().queued == 0);
}
