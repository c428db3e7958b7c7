// Keep alive, and missing acknowledgements.
#include "dialog.hpp"

using tern::errc;
using tern::pingreq;
using tern::pingresp;
using tern::puback;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;

DIALOG("an idle client sends PINGREQ within the keep alive [v311:MQTT-3.1.2-23, v5:MQTT-3.1.2-20]") {
    d.options.keep_alive = 60s;
    d.open();
    for (int i = 0; i != 5; ++i) {
        d.pass(45s - 1ms);
        d.sends();
        d.pass(1ms);
        d.sends(pingreq{});
        d.broker(pingresp{});
        d.events({});
    }
    d.stays();
}

DIALOG("a client that only receives sends PINGREQ [v311:MQTT-3.1.2-23, v5:MQTT-3.1.2-20]") {
    d.options.keep_alive = 60s;
    d.open();
    for (int i = 0; i != 44; ++i) {
        d.pass(1s);
        d.broker(publish_of("a", 0, 0));
        d.sends();
    }
    d.pass(1s);
    d.sends(pingreq{});
    d.stays();
}

DIALOG("a client that only sends QoS 0 pings the broker") {
    d.options.keep_alive = 60s;
    d.open();
    for (int i = 0; i != 44; ++i) {
        d.pass(1s);
        d.publish(message("a"));
        d.sends(publish_of("a", 0, 0));
    }
    d.pass(1s);
    d.sends(pingreq{});
    for (int i = 0; i != 20; ++i) {
        d.pass(1s);
        d.publish(message("a"));
        d.sends(publish_of("a", 0, 0));
    }
    d.stays();
    d.pass(100ms); // the bytes before PINGREQ may take some time
    d.closes();    // half open: writes succeed, nothing arrives
    d.events({over(errc::ping_timeout)});
}

DIALOG("a dead connection is detected `ack_timeout` after PINGREQ [v311:MQTT-3.12.4-1, v5:MQTT-3.12.4-1, §3.1.2.10]") {
    const auto dead_after = [&](std::chrono::seconds keep_alive, std::chrono::milliseconds quiet,
                                std::chrono::seconds ack_timeout) {
        dialog one(d);
        one.options.keep_alive = keep_alive;
        one.options.ack_timeout = ack_timeout;
        one.open();
        one.pass(quiet);
        one.sends(pingreq{});
        const auto grace = ack_timeout == 0s ? 20s : ack_timeout;
        one.pass(grace - 1ms);
        one.stays();
        dialog saved(one);
        saved.broker_bytes("\xd0"); // any byte shows that the connection is alive
        saved.pass(grace - 1ms);
        saved.stays();
        saved.pass(1ms);
        saved.closes();
        one.pass(1ms);
        one.sends(); // no DISCONNECT, because the connection is dead
        one.closes();
        one.events({over(errc::ping_timeout)});
    };
    dead_after(60s, 45s, 20s);
    dead_after(60s, 45s, 5s);
    dead_after(60s, 45s, 0s);
    dead_after(65'535s, 49'151'250ms, 20s);
}

DIALOG("further pings of the user do not keep a dead connection alive") {
    d.options.keep_alive = 60s;
    d.open();
    d.ping(1);
    d.sends(pingreq{});
    for (int i = 0; i != 3; ++i) {
        d.pass(6s);
        d.ping();
        d.sends(pingreq{});
    }
    d.pass(2s - 1ms);
    d.stays();
    d.pass(1ms);
    d.closes();
    d.events({done(1, errc::ping_timeout), over(errc::ping_timeout)});
}

DIALOG("data without PINGRESP keeps the connection alive") {
    d.options.keep_alive = 60s;
    d.open();
    d.pass(45s);
    d.sends(pingreq{});
    for (int i = 0; i != 100; ++i) {
        d.pass(9s);
        d.broker(publish_of("a", 0, 0));
        (void)d.written();
    }
    d.stays();
}

DIALOG("the longest gap between two packets of the client is below the keep alive [v311:MQTT-3.1.2-23, "
       "v5:MQTT-3.1.2-20]") {
    d.options.keep_alive = 10s;
    d.open();
    unsigned random = 1;
    std::chrono::milliseconds gap{};
    for (int i = 0; i != 3000; ++i) {
        random = random * 1664525 + 1013904223;
        d.pass(50ms);
        gap += 50ms;
        if (random >> 24 == 0) d.publish(message("a"));
        if (random >> 28 == 1) d.broker(publish_of("a", 0, 0));
        const std::string wire = d.written();
        if (!wire.empty()) gap = 0ms;
        if (wire.find('\xc0') != std::string::npos) d.broker(pingresp{});
        REQUIRE(gap <= 8s);
    }
    d.stays();
}

DIALOG("keep alive 0 disables pings [v5:MQTT-3.1.2-20]") {
    d.options.keep_alive = 0s;
    d.open();
    CHECK(d.session.next_deadline() == tern::time_point::max());
    d.pass(std::chrono::hours(10000));
    d.sends();
    d.stays();
    d.ping(1); // an explicit ping still has a timeout
    d.sends(pingreq{});
    d.pass(20s - 1ms);
    d.stays();
    d.pass(1ms);
    d.closes();
    d.events({done(1, errc::ping_timeout), over(errc::ping_timeout)});
}

DIALOG("Server Keep Alive replaces the client's [v5:MQTT-3.1.2-21, v5:MQTT-3.2.2-21, §3.2.2.3.14]") {
    if (!d.v5()) return;
    const auto server_says = [&](std::chrono::seconds own, std::chrono::seconds server,
                                 std::chrono::milliseconds quiet) {
        dialog one(d);
        one.options.keep_alive = own;
        tern::connack answer;
        answer.properties.server_keep_alive = server;
        one.open(answer);
        one.pass(quiet - 1ms);
        one.sends();
        one.pass(1ms);
        one.sends(pingreq{});
    };
    server_says(60s, 0s, 45s); // the client's own checks go on
    server_says(0s, 1s, 750ms);
    server_says(10s, 60s, 45s);
    server_says(60s, 10s, 7500ms);
    server_says(1s, 65'535s, 49'151'250ms);
}

DIALOG("a stalled write times out") {
    d.options.keep_alive = 60s;
    d.open();
    d.pass(20s);
    d.publish(message("a")); // never written
    d.pass(90s - 1ms);       // one and a half keep alives
    d.stays();
    d.pass(1ms);
    d.closes();
    d.events({over(errc::ping_timeout)});
}

DIALOG("a slow write does not time out") {
    d.options.keep_alive = 60s;
    d.open();
    const std::string large(1000, 'x');
    d.publish(message("a", large), 1);
    const std::size_t size = d.encoded(tern::publish{message("a", large)}).size();
    for (std::size_t i = 0; i != size; ++i) { // two and a half hours
        d.pass(9s);
        REQUIRE(d.written(1).size() == 1);
    }
    d.events({done(1)});
    d.stays();
    d.sends(pingreq{});
    d.pass(20s - 1ms); // now PINGRESP is due
    d.stays();
    d.pass(100ms);
    d.closes();
}

DIALOG("silence does not time out while the owner does not read") {
    d.options.keep_alive = 60s;
    d.open();
    d.session.set_delivery(tern::delivery::limited, d.now);
    d.pass(45s);
    d.sends(pingreq{}); // the keep alive towards the broker continues
    d.pass(45s);
    d.sends(pingreq{});
    d.pass(45s);
    d.sends(pingreq{});
    d.session.set_delivery(tern::delivery::open, d.now);
    d.pass(5s);
    d.session.set_delivery(tern::delivery::open, d.now); // a repeated call has no effect
    d.pass(15s - 1ms);
    d.stays();
    d.pass(1ms);
    d.closes();
    d.events({over(errc::ping_timeout)});
}

DIALOG("the time in which the owner does not read is no silence of the broker [v5:MQTT-3.1.2-22]") {
    d.options.keep_alive = 60s;
    d.open();
    d.pass(45s);
    d.sends(pingreq{});
    d.session.set_delivery(tern::delivery::limited, d.now);
    d.pass(30s); // PINGRESP has arrived, and is unread
    d.sends();
    d.session.set_delivery(tern::delivery::open, d.now);
    d.pass(9s);
    d.stays();
    d.broker(pingresp{});
    d.pass(5s);
    d.stays();
}

DIALOG("a client that sends needs no PINGREQ while its owner does not read [v5:MQTT-3.1.2-20]") {
    d.options.keep_alive = 60s;
    d.open();
    const auto sends_for = [&](int seconds) {
        for (int i = 0; i != seconds; ++i) {
            d.pass(1s);
            d.publish(message("a"));
            d.sends(publish_of("a", 0, 0));
        }
    };
    d.session.set_delivery(tern::delivery::limited, d.now);
    sends_for(200);
    d.session.set_delivery(tern::delivery::open, d.now);
    sends_for(44); // the silence begins now
    d.pass(1s);
    d.sends(pingreq{});
    d.stays();
}

DIALOG("the time of a ping begins when the one before is answered [v311:MQTT-3.12.4-1, v5:MQTT-3.12.4-1]") {
    d.options.keep_alive = 60s;
    d.open();
    d.ping(1);
    d.sends(pingreq{});
    SECTION("the round trip time") {
        d.pass(5s);
        d.ping(2);
        d.sends(pingreq{});
        d.pass(1s);
        d.broker(pingresp{});
        d.events({done(1)});
        d.pass(1s);
        d.broker(pingresp{});
        d.events({done(2)});
        CHECK(d.session.counters().round_trip_time > 0s);
        CHECK(d.session.counters().round_trip_time <= 2s); // since the second PINGREQ at the most
    }
    SECTION("a dead connection") {
        d.pass(9s);
        d.ping(2); // the network takes no bytes
        d.pass(500ms);
        d.broker(pingresp{});
        d.events({done(1)});
        d.session.set_delivery(tern::delivery::limited, d.now);
        d.pass(9s);
        d.stays();
    }
}

DIALOG("a missing PUBACK: a PINGREQ shows whether the broker answers [v311:MQTT-2.3.1-3, v311:MQTT-3.3.1-1, "
       "v311:MQTT-4.4.0-1, v5:MQTT-3.3.1-1, v5:MQTT-4.4.0-1]") {
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.pass(5s); // the timeout starts when the message is written
    d.sends(publish_of("a", 1, 1));
    d.pass(20s - 1ms);
    d.sends();
    d.pass(1ms);
    d.sends(pingreq{});
    dialog dead(d);
    dead.pass(20s - 1ms);
    dead.stays();
    dead.pass(1ms);
    dead.closes();
    dead.events({unknown(1, errc::ping_timeout), over(errc::ping_timeout)});
    d.broker(pingresp{});
    d.pass(0s);
    if (d.v5()) {
        d.pass(20s - 1ms);
        d.sends();
        d.pass(1ms); // the broker has answered nothing on this connection
        return d.fails(errc::acknowledgement_timeout, {unknown(1, errc::acknowledgement_timeout)});
    }
    d.sends(publish_of("a", 1, 1, true)); // DUP, and the same identifier
    d.pass(40s - 1ms);
    d.sends();
    dialog silent(d);
    silent.pass(1ms);
    silent.fails(errc::acknowledgement_timeout, {unknown(1, errc::acknowledgement_timeout)});
    d.broker(puback{1}, puback{1});
    d.events({done(1)});
    d.pass(100s);
    d.sends();
    d.publish(message("b", "x", 1), 2);
    d.sends(publish_of("b", 1, 2)); // without DUP
    d.stays();
}

DIALOG("one message without acknowledgement ends no connection on which others are acknowledged") {
    d.options.ack_timeout = 20s;
    d.options.on_ack_timeout = tern::ack_timeout_action::wait;
    d.options.keep_alive = 0s;
    d.options.max_in_flight = 10;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 1), 2);
    d.sends(publish_of("a", 1, 1), publish_of("b", 1, 2));
    d.broker(puback{2});
    d.events({done(2)});
    d.pass(20s);
    d.sends(pingreq{});
    d.broker(pingresp{});
    d.pass(20s);
    d.events({"late: " + text(tern::violation(errc::acknowledgement_timeout))});
    d.pass(600s - 1ms);
    d.events({});
    d.pass(1ms);
    d.events({done(1, tern::outcome_unknown(errc::acknowledgement_timeout))});
    d.sends();
    d.stays();
    d.publish(message("c", "x", 1), 3);
    d.sends(publish_of("c", 1, 3)); // the identifier 1 is still in use
    d.broker(puback{3}, puback{1});
    d.events({done(3)});
    d.publish(message("d", "x", 1), 4);
    d.sends(publish_of("d", 1, 4));
    d.stays();
}

DIALOG("if messages without acknowledgement fill half the window, the session resumes on another connection") {
    d.resumable();
    d.options.ack_timeout = 20s;
    d.options.on_ack_timeout = tern::ack_timeout_action::wait;
    d.options.keep_alive = 0s;
    d.options.max_in_flight = 3;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 1), 2);
    d.publish(message("c", "x", 1), 3);
    (void)d.written();
    d.broker(puback{3});
    d.events({done(3)});
    d.pass(20s);
    d.sends(pingreq{});
    d.broker(pingresp{});
    d.pass(20s + 600s);
    d.events({"late: " + text(tern::violation(errc::acknowledgement_timeout)),
              done(1, tern::outcome_unknown(errc::acknowledgement_timeout)),
              done(2, tern::outcome_unknown(errc::acknowledgement_timeout))});
    (void)d.written();
    CHECK(d.wants_close());
    d.lost();
    d.reopen();
    d.sends(publish_of("a", 1, 1, true), publish_of("b", 1, 2, true));
    d.broker(puback{1}, puback{2});
    d.events({});
}

DIALOG("a connection on which nothing is answered makes the next one wait twice as long") {
    d.resumable();
    d.options.ack_timeout = 20s;
    d.options.on_ack_timeout = tern::ack_timeout_action::wait;
    d.options.keep_alive = 0s;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    for (const auto patience : {20s, 40s, 80s, 160s, 320s, 600s, 600s}) {
        d.pass(patience - 1ms);
        d.sends();
        d.pass(1ms);
        d.sends(pingreq{});
        d.broker(pingresp{});
        d.pass(patience - 1ms);
        d.stays();
        d.pass(1ms);
        (void)d.written();
        CHECK(d.wants_close());
        d.lost();
        d.reopen();
        d.sends(publish_of("a", 1, 1, true));
    }
    d.broker(puback{1});
    d.events({done(1)});
    d.lost();
    d.reopen();
    d.publish(message("b", "x", 1), 2);
    d.sends(publish_of("b", 1, 2));
    d.pass(20s);
    d.sends(pingreq{}); // an answer resets the time
}

DIALOG("acknowledgements may take any time in all, if the next one comes in time") {
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.options.max_in_flight = 1'000;
    d.open();
    for (unsigned i = 1; i <= 1'000; ++i)
        d.publish(message("a", "x", 2), i);
    (void)d.written();
    for (tern::packet_id id = 1; id <= 1'000; ++id) {
        d.pass(19s);
        d.broker(pubrec{id});
        d.sends(pubrel{id});
    }
    for (tern::packet_id id = 1; id <= 1'000; ++id) {
        d.pass(19s);
        d.broker(pubcomp{id});
        d.events({done(id)});
    }
    d.sends();
    d.stays();
}

DIALOG("a large message has the time that a slow link takes for it") {
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 60s;
    d.open();
    if (d.writes_bytes()) return; // that takes long
    const std::string large(5'000'000, 'x');
    d.publish(message("a", large, 1), 1); // a proxy takes it at once
    d.publish(message("b", large));
    (void)d.written();
    for (int i = 0; i != 4; ++i) { // it forwards 100 kB/s, and PINGREQ behind it
        d.pass(45s);
        (void)d.written();
        d.stays();
    }
    d.broker(puback{1}, pingresp{});
    d.events({done(1)});
    d.stays();
}

DIALOG("a missing PUBREC, then a missing PUBCOMP [v311:MQTT-3.3.1-1, v311:MQTT-4.3.3-1, v5:MQTT-3.3.1-1, "
       "v5:MQTT-4.3.3-1, v5:MQTT-4.3.3-6]") {
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    d.publish(message("a", "x", 2), 1);
    d.sends(publish_of("a", 2, 1));
    d.pass(20s);
    d.sends(pingreq{});
    d.broker(pingresp{});
    d.pass(0s);
    if (!d.v5()) d.sends(publish_of("a", 2, 1, true));
    d.pass(10s);
    d.broker(pubrec{1});
    d.sends(pubrel{1});
    d.pass(20s - 1ms);
    d.sends();
    d.pass(1ms);
    d.sends(pingreq{});
    d.broker(pingresp{});
    d.pass(0s);
    if (d.v5()) {
        d.pass(20s);
        d.events({"late: " + text(tern::violation(errc::acknowledgement_timeout))});
        d.sends();
        d.broker(pubcomp{1});
        d.events({done(1)});
        return d.stays();
    }
    d.sends(pubrel{1});  // PUBLISH is not resent
    d.broker(pubrec{1}); // the answer to the second PUBLISH
    d.sends(pubrel{1});
    d.broker(pubcomp{1}, pubcomp{1}, pubcomp{1});
    d.events({done(1)});
    d.stays();
}

DIALOG("with on_ack_timeout = wait, nothing is sent again on the same connection in both versions") {
    d.options.ack_timeout = 20s;
    d.options.on_ack_timeout = tern::ack_timeout_action::wait;
    d.options.keep_alive = 0s;
    d.open();
    for (const unsigned qos : {1U, 2U}) {
        dialog one(d);
        one.publish(message("a", "x", qos), 1);
        one.sends(publish_of("a", qos, 1));
        one.pass(20s);
        one.sends(pingreq{});
        one.broker(pingresp{});
        one.pass(20s);
        one.fails(errc::acknowledgement_timeout, {unknown(1, errc::acknowledgement_timeout)});
    }
}

DIALOG("a missing SUBACK or UNSUBACK: the outcome is unknown [v311:MQTT-3.8.4-1, v311:MQTT-3.10.4-4, "
       "v5:MQTT-3.8.4-1, v5:MQTT-3.10.4-4]") {
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    for (const bool subscribes : {true, false}) {
        dialog silent(d);
        if (subscribes)
            silent.subscribe({{.filter = "a"}}, 1);
        else
            silent.unsubscribe({"a"}, 1);
        (void)silent.written();
        dialog other(silent);
        silent.pass(20s);
        silent.sends(pingreq{});
        silent.broker(pingresp{});
        silent.pass(20s - 1ms);
        silent.stays();
        silent.pass(1ms);
        silent.fails(errc::acknowledgement_timeout, {unknown(1, errc::acknowledgement_timeout)});

        other.publish(message("b", "x", 1), 2);
        (void)other.written();
        other.broker(puback{2});
        other.pass(20s);
        other.sends(pingreq{});
        other.broker(pingresp{});
        other.pass(20s);
        other.events({done(2), done(1, tern::outcome_unknown(errc::acknowledgement_timeout))});
        other.stays();
    }
}

DIALOG("ack_timeout 0: acknowledgements may take any time") {
    d.options.ack_timeout = 0s;
    d.options.keep_alive = 0s;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    CHECK(d.session.next_deadline() == tern::time_point::max());
    d.pass(std::chrono::hours(1000));
    d.broker(puback{1});
    d.events({done(1)});
}

DIALOG("an unwritten message is not resent") {
    if (d.v5()) return;
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.pass(200s);
    CHECK(d.written(3).size() == 3);
    d.pass(200s);
    d.sends_bytes(d.encoded(publish_of("a", 1, 1)).substr(3));
    d.pass(20s - 1ms);
    d.sends();
    d.pass(1ms);
    d.sends(pingreq{});
    d.broker(pingresp{});
    d.pass(200s); // resent once, however long the write takes
    d.sends(publish_of("a", 1, 1, true));
}

DIALOG("the timeout of a queued message does not start") {
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.options.max_in_flight = 1;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 1), 2);
    d.sends(publish_of("a", 1, 1));
    d.pass(19s);
    d.broker(puback{1});
    d.sends(publish_of("b", 1, 2));
    d.pass(20s - 1ms);
    d.sends();
    d.pass(1ms);
    d.sends(pingreq{});
}

DIALOG("each message has its own timeout") {
    if (d.v5()) return;
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    for (unsigned i = 1; i <= 4; ++i) {
        d.publish(message("a", "x", 1), i);
        (void)d.written();
        d.pass(5s);
    }
    d.sends(pingreq{}); // 20 s have passed since the first was sent
    d.broker(pingresp{});
    d.pass(0s);
    for (tern::packet_id id = 1; id <= 4; ++id) {
        d.sends(publish_of("a", 1, id, true));
        d.pass(5s);
    }
    d.broker(puback{1}, puback{2});
    d.pass(20s);
    d.sends(); // twice the time
    d.pass(10s);
    d.sends(publish_of("a", 1, 3, true));
}

DIALOG("5.0 resends nothing on the same connection, however slow it is [v5:MQTT-4.4.0-1]") {
    if (!d.v5()) return;
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 60s;
    d.open();
    for (unsigned i = 1; i <= 20; ++i)
        d.publish(message("a", "x", 1), i);
    for (unsigned i = 1; i <= 20; ++i) { // each takes 48 s, 16 minutes together
        const auto id = static_cast<tern::packet_id>(i);
        const std::string expected = d.encoded(publish_of("a", 1, id));
        std::string wire;
        while (wire.size() != expected.size()) {
            d.pass(6s);
            wire += d.written(1);
        }
        CHECK(wire == expected);
        d.pass(9s); // now the acknowledgement can arrive
        d.broker(puback{id});
        d.events({done(i)});
    }
    d.stays();
}

DIALOG("the timeout of PUBREL does not start before it is written") {
    if (!d.v5()) return;
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    d.publish(message("a", "x", 2), 21);
    d.publish(message("b"));
    d.sends_bytes(d.encoded(publish_of("a", 2, 1)) + d.encoded(publish_of("b", 0, 0)));
    d.publish(message("c", std::string(20, 'x')));
    d.broker(pubrec{1});
    for (int i = 0; i != 28; ++i) { // the large message, and half of PUBREL
        d.pass(6s);
        CHECK(d.written(1).size() == 1);
    }
    d.pass(19s);
    d.stays();
    d.pass(20s);
    d.stays();
    const std::string rest = d.written();
    CHECK(!rest.empty());
    d.pass(20s - 1ms);
    d.sends();
    d.pass(100ms); // and the time for the bytes before it
    d.sends(pingreq{});
    d.stays();
}
