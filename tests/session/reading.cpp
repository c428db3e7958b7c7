// When the session reads, and what follows for the operations that wait for an answer.
#include "dialog.hpp"

#include <string>
#include <utility>

using tern::delivery;
using tern::errc;
using tern::pingreq;
using tern::pingresp;
using tern::puback;
using tern::pubcomp;
using tern::pubrel;

DIALOG("an answer behind messages is read although the owner should get no more messages") {
    d.open();
    d.session.set_delivery(delivery::limited, d.now);
    d.broker(publish_of("a", 0, 0), publish_of("b", 1, 1));
    d.events({}); // nothing waits for an answer
    CHECK(!d.session.is_reading());
    d.publish(message("p", "x", 1), 1);
    d.sends(publish_of("p", 1, 1));
    CHECK(d.session.is_reading());
    d.broker(puback{1}, publish_of("c", 0, 0));
    d.events({got(message("a")), got(message("b", "x", 1)), done(1)});
    CHECK(!d.session.is_reading());
    d.session.set_delivery(delivery::open, d.now);
    d.events({got(message("c"))});
    d.stays();
}

DIALOG("SUBSCRIBE, UNSUBSCRIBE, PINGREQ and cancelled publishes are answered behind messages") {
    d.open();
    d.session.set_delivery(delivery::limited, d.now);
    for (int kind = 0; kind != 4; ++kind) {
        dialog one(d);
        if (kind == 0) one.subscribe({{.filter = "f"}}, 1);
        if (kind == 1) one.unsubscribe({"f"}, 1);
        if (kind == 2) one.ping(1);
        if (kind == 3) one.publish(message("p", "x", 2), 1);
        (void)one.written();
        if (kind == 3) one.cancel(1);
        one.broker(publish_of("a", 0, 0));
        one.events({got(message("a"))});
    }
}

DIALOG("the client's own PINGREQ does not make a session read for which the owner has no room") {
    d.options.keep_alive = 60s;
    d.open();
    d.session.set_delivery(delivery::limited, d.now);
    d.pass(45s);
    d.sends(pingreq{});
    d.broker(publish_of("a", 0, 0), pingresp{});
    d.events({});
    for (int i = 0; i != 80; ++i) {
        d.pass(45s);
        d.sends(pingreq{});
    }
    d.events({});
    d.stays();
}

DIALOG("a full owner gets QoS 0 messages and answers until a QoS 1 or 2 message comes") {
    for (const unsigned qos : {1U, 2U}) {
        dialog one(d);
        one.open();
        one.session.set_delivery(delivery::full, one.now);
        one.publish(message("p", "x", 1), 1);
        one.publish(message("q", "x", 1), 2);
        (void)one.written();
        one.broker(publish_of("a", 0, 0), puback{1}, publish_of("b", qos, 1), publish_of("c", 0, 0), puback{2});
        one.events({got(message("a")), done(1)});
        CHECK(!one.session.is_reading());
        one.session.set_delivery(delivery::limited, one.now);
        one.events({got(message("b", "x", qos)), got(message("c")), done(2)});
        one.stays();
    }
}

DIALOG("an operation whose answer cannot be read ends after ack_timeout with inbox_full, and the connection stays") {
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 60s;
    d.options.max_in_flight = 1;
    d.open();
    d.session.set_delivery(delivery::full, d.now);
    d.publish(message("p", "x", 1), 1);
    d.publish(message("q", "x", 1), 2);
    d.ping(3);
    d.sends(publish_of("p", 1, 1), pingreq{});
    d.pass(5s);
    d.broker(publish_of("a", 1, 1), puback{1}, pingresp{});
    d.pass(10s);
    d.publish(message("r", "x", 1), 4);
    d.pass(10s - 1ms);
    d.events({});
    d.pass(1ms);
    d.events({done(1, tern::outcome_unknown(errc::inbox_full)), done(2, tern::misuse(errc::inbox_full)),
              done(3, tern::outcome_unknown(errc::inbox_full))});
    d.pass(20s);
    d.events({done(4, tern::misuse(errc::inbox_full))});
    for (int i = 0; i != 80; ++i) {
        d.pass(45s);
        (void)d.written();
    }
    d.stays();
    d.session.set_delivery(delivery::open, d.now);
    d.events({got(message("a", "x", 1))});
    d.publish(message("s", "x", 1), 5); // the window is free again
    d.sends(publish_of("s", 1, 2));
    d.stays();
}

DIALOG("an operation whose answer cannot be read has all its time once its packet is written") {
    if (d.writes_bytes()) return;
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 60s;
    d.open();
    d.session.set_delivery(delivery::full, d.now);
    d.broker(publish_of("a", 1, 1));
    d.publish(message("p", "x", 1), 1); // the transport takes nothing
    d.subscribe({filter_s}, 2);
    dialog lost(d);
    d.pass(30s);
    d.events({});
    d.sends(publish_of("p", 1, 1), tern::subscribe{2, std::span(&filter_s, 1)});
    d.pass(40s);
    d.events({done(1, tern::outcome_unknown(errc::inbox_full)), done(2, tern::outcome_unknown(errc::inbox_full))});
    d.stays();

    lost.pass(30s);
    lost.lost();
    lost.events({done(2, connection_reset), done(1, connection_reset), over(connection_reset)}); // nothing was sent
}

DIALOG("no answer is late while the session does not read, and each has all its time afterwards") {
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    d.session.set_delivery(delivery::full, d.now);
    d.publish(message("p", "x", 1), 1);
    d.sends(publish_of("p", 1, 1));
    d.pass(10s);
    d.broker(publish_of("a", 1, 1));
    d.pass(15s);
    d.sends();
    d.session.set_delivery(delivery::open, d.now);
    d.pass(20s - 1ms);
    d.sends();
    d.pass(1ms);
    d.sends(pingreq{});
}

DIALOG("a broker that reads nothing does not make the client grow with acknowledgements") {
    if (d.writes_bytes()) return;
    d.open();
    std::string many;
    for (int i = 0; i != 1'000; ++i)
        many += d.encoded(pubrel{7});
    int sent = 0;
    for (; sent != 1'000 && d.session.is_reading(); ++sent) {
        d.broker_bytes(many);
        d.events({});
    }
    CHECK(sent < 1'000);
    std::size_t pending = 0;
    for (const std::string_view part : d.session.pending_write())
        pending += part.size();
    CHECK(pending <= (std::size_t{2} << 20U) + 4'000);
    (void)d.written();
    CHECK(d.session.is_reading());
    d.stays();
}

DIALOG("a peer that takes no bytes is dead after one and a half keep alives, whatever it sends") {
    if (d.writes_bytes()) return;
    d.options.keep_alive = 60s;
    d.open();
    d.publish(message("a", std::string(1'000, 'x')), 1);
    (void)d.written(100);
    for (int i = 0; i != 89; ++i) {
        d.pass(1s);
        d.broker(publish_of("m", 0, 0));
    }
    d.stays();
    d.pass(1s);
    CHECK(d.wants_close());
}

DIALOG("with keep alive 0, a peer that takes no bytes is dead after ten minutes") {
    if (d.writes_bytes()) return;
    d.options.keep_alive = 0s;
    d.open();
    d.pass(1h);
    d.publish(message("a", std::string(1'000, 'x')), 1);
    (void)d.written(100);
    d.pass(600s - 1ms);
    d.stays();
    d.pass(1ms);
    CHECK(d.wants_close());
}

// A blocked thread, or a suspended machine: the owner calls at a deadline, but much too late.
DIALOG("time in which the client did not run ends nothing: PINGREQ goes out at once") {
    d.options.keep_alive = 60s;
    d.options.ack_timeout = 20s;
    d.open();
    d.publish(message("p", "x", 1), 1);
    d.sends(publish_of("p", 1, 1));
    d.now += 1h;
    d.session.on_deadline(d.now);
    d.sends(pingreq{});
    d.stays();
    d.broker(puback{1}, pingresp{});
    d.events({done(1)});

    d.pass(45s);
    d.sends(pingreq{});
    d.now += 1h; // PINGRESP is late
    d.session.on_deadline(d.now);
    d.sends(pingreq{});
    d.pass(20s - 1ms);
    d.stays();
    d.pass(1ms);
    CHECK(d.wants_close());
}

DIALOG("a CONNACK that the client was too slow to read is not late") {
    d.start();
    d.now += 1h;
    d.session.on_deadline(d.now);
    CHECK(!d.wants_close());
    d.broker(tern::connack{});
    d.events({"connected"});
}
