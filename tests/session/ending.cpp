// Draining, disconnecting and stopping, in each state.
#include "dialog.hpp"

#include <chrono>
#include <string>
#include <vector>

using tern::connack;
using tern::errc;
using tern::puback;
using tern::transport_action;

namespace {

const auto gone = tern::misuse(errc::disconnected);

} // namespace

DIALOG("a request that is cancelled while the run ends completes no more, and the session can be used again") {
    dialog one(d);
    REQUIRE(one.session.connect(one.options, one.now) == errc::none);
    one.subscribe({{.filter = "a"}}, 1);
    one.subscribe({{.filter = "b"}}, 2);
    one.subscribe({{.filter = "c"}}, 3);
    one.session.stop({}, one.now);
    one.session.on_disconnected({}, one.now);
    CHECK(one.session.cancel(tern::op_id{1}, one.now)); // the next to complete
    std::vector<tern::op_id> ended;
    while (const auto e = one.session.poll_event()) {
        const auto* const end = std::get_if<tern::completed>(&*e);
        if (!end) continue;
        ended.push_back(end->op);
        if (end->op == tern::op_id{2}) CHECK(one.session.cancel(tern::op_id{3}, one.now));
    }
    CHECK(ended == std::vector{tern::op_id{2}});
    CHECK(one.session.is_idle());
    one.open();
    one.publish(message("a", "x", 1), 4);
    CHECK(one.session.counters().in_flight == 1);
}

DIALOG("drain completes when the last publish has completed") {
    d.resumable();
    d.options.max_in_flight = 1;
    d.drain(1); // there is no publish
    d.events({done(1)});
    d.open();
    d.drain(2);
    d.events({done(2)});
    d.publish(message("a", "x", 2), 3);
    d.publish(message("b"), 4);
    d.publish(message("c", "x", 1), 5);
    d.publish(message("d", "x", 1));
    d.subscribe({{.filter = "s"}}, 6); // drain does not wait for it
    d.drain(7);
    d.drain(8);
    (void)d.written();
    d.broker(tern::pubrec{1});
    (void)d.written();
    d.events({done(4)});
    d.lost(); // drain continues
    d.reopen();
    d.broker(tern::pubcomp{1});
    (void)d.written();
    d.broker(puback{3});
    d.events({done(3), done(5)});
    (void)d.written();
    d.broker(puback{4});
    d.events({done(7), done(8)});
    CHECK(d.session.next_deadline() < d.now + 1h); // the deadline of keep alive, not of drain
}

DIALOG("drain fails at its deadline") {
    d.resumable();
    d.options.ack_timeout = 0s;
    d.options.keep_alive = 0s;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.drain(2, 5s);
    d.drain(3, 3s);
    d.drain(4, 0s);
    const auto late = tern::misuse(errc::drain_timeout);
    d.events({done(4, late)});
    d.pass(3s - 1ms);
    d.events({});
    d.pass(1ms);
    d.events({done(3, late)});
    d.lost();
    dialog waiting(d);
    d.pass(2s); // also without a connection
    d.events({done(2, late)});
    CHECK(waiting.cancel(2));
    waiting.pass(2s);
    waiting.events({});
}

DIALOG("drain does not wait for dropped and expired messages") {
    d.resumable();
    d.options.queue.messages = 1;
    d.options.queue.when_full = tern::full_queue_action::drop_newest;
    CHECK(d.try_publish(message("a"), 1s, 1) == errc::none);
    d.drain(3);
    d.events({});
    d.pass(1s);
    d.events({done(1, tern::misuse(errc::message_expired)), done(3)});
}

DIALOG("drain ends when the client stops") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    (void)d.written();
    d.drain(2);
    d.stop();
    d.closes();
    d.events({unknown(1), done(2, gone), over()});
    d.drain(3); // no publish is unfinished
    d.events({done(3)});
}

DIALOG("disconnect and stop end every state with the same error") {
    // The step that reaches each state, and whether it has a transport to close.
    using step = void (*)(dialog&);
    const struct {
        const char* name;
        step go;
        bool closes;
    } states[] = {
        {"before everything", [](dialog&) {}, false},
        {"preparing", [](dialog& one) { REQUIRE(one.try_connect() == errc::none); }, true},
        {"opening",
         [](dialog& one) {
             REQUIRE(one.try_connect() == errc::none);
             one.session.on_prepared(one.now);
         },
         true},
        {"handshake", [](dialog& one) { one.start(); }, true},
        {"connected", [](dialog& one) { one.open(); }, true},
        {"waiting",
         [](dialog& one) {
             one.open();
             one.lost();
             while (one.session.pending_action() != transport_action::none)
                 one.lost();
         },
         false},
        {"closing for another reason",
         [](dialog& one) {
             one.open();
             one.broker(connack{});
             one.events({});
             (void)one.written();
         },
         true},
    };
    d.resumable();
    for (const auto& state : states) {
        for (const bool stops : {false, true}) {
            INFO(state.name << (stops ? ", stop" : ", disconnect"));
            dialog one(d);
            state.go(one);
            const bool ended = std::string{state.name}.starts_with("closing");
            if (one.session.is_idle() || !ended) one.publish(message("a", "x", 1), 1);
            const bool connected = one.session.is_connected();
            if (stops)
                one.stop();
            else
                one.disconnect();
            if (!one.session.is_idle()) {
                CHECK(one.try_publish(message("a")) == errc::disconnected);
                CHECK(one.try_subscribe({{.filter = "a"}}) == errc::disconnected);
                one.disconnect(); // a second call
                one.stop();
            }
            if (connected && !stops) one.sends(publish_of("a", 1, 1), tern::disconnect{});
            if (std::string{state.name} == "handshake" && !stops) one.sends(tern::disconnect{});
            if (state.closes) one.closes();
            CHECK(one.session.is_idle());
            CHECK(one.session.pending_action() == transport_action::none);
            CHECK(one.session.next_deadline() == tern::time_point::max());
            if (ended)
                one.events({over(errc::unexpected_packet)});
            else
                one.events({connected && !stops ? unknown(1) : done(1, gone), over()});
            CHECK(one.try_publish(message("a")) == errc::not_connected);
            one.pass(1h); // no further events
            one.events({});
            one.start(); // the session can be used again
        }
    }
}

DIALOG("stop completes all operations with the given cause") {
    d.resumable();
    const auto cause = std::make_error_code(std::errc::operation_canceled);
    d.publish(message("a"), 1);
    dialog idle(d);
    idle.stop(cause);
    idle.events({done(1, cause), over(cause)});
    d.start();
    d.broker(connack{});
    d.events({"connected"});
    d.publish(message("b", "x", 1), 2);
    d.ping(3);
    d.drain(4);
    d.stop(cause); // without DISCONNECT the broker publishes the will [MQTT-3.1.2-8]
    CHECK(!d.session.is_disconnect_written());
    d.closes();
    d.events({done(3, cause), done(1, cause), done(2, cause), done(4, cause), over(cause)});
}

DIALOG("connect twice is an error, in every state, and changes nothing [v311:MQTT-3.1.0-2, v5:MQTT-3.1.0-2]") {
    d.resumable();
    const auto twice = [&] { CHECK(d.try_connect() == errc::already_connected); };
    CHECK(d.try_connect() == errc::none);
    twice();
    d.session.on_prepared(d.now);
    twice();
    d.session.on_opened(d.now);
    twice();
    (void)d.written();
    d.broker(connack{});
    d.events({"connected"});
    twice();
    d.lost();
    twice();
    while (d.session.pending_action() != transport_action::none)
        d.lost();
    twice();
    d.awaits_attempt();
    d.stop();
    CHECK(d.wants_close());
    twice();
    d.session.on_disconnected({}, d.now);
    CHECK(d.session.connect(d.options, d.now) == errc::already_connected); // the end has not been polled yet
    d.events({over()});
    d.start();
}

DIALOG("disconnect during a back-off ends the session immediately") {
    d.resumable();
    d.open();
    d.tells_all = true;
    d.lost(connection_reset);
    while (d.session.pending_action() != transport_action::none)
        d.lost(connection_reset);
    d.tells_all = false;
    d.publish(message("a", "x", 1), 1);
    d.disconnect({.properties = {}});
    CHECK(d.session.is_idle());
    d.pass(100h);
    CHECK(d.session.pending_action() == transport_action::none);
}

DIALOG("an invalid DISCONNECT changes nothing, in any state [v5:MQTT-3.14.2-1]") {
    d.resumable();
    const tern::disconnect bad{.reason_code = tern::reason_code::server_busy};
    CHECK(d.try_disconnect(bad) == errc::invalid_reason_code);
    CHECK(d.try_connect() == errc::none);
    CHECK(d.try_disconnect(bad) == errc::invalid_reason_code);
    d.attempt();
    CHECK(d.try_disconnect(bad) == errc::invalid_reason_code);
    d.broker(connack{});
    d.events({"connected"});
    CHECK(d.try_disconnect(bad) == errc::invalid_reason_code);
    d.stays();
    d.lost();
    CHECK(d.try_disconnect(bad) == errc::invalid_reason_code);
    d.reopen();
}

DIALOG("no queued packet is written after DISCONNECT [v311:MQTT-3.14.4-1, v5:MQTT-3.14.4-1]") {
    if (d.writes_bytes()) return; // half a megabyte
    d.resumable();
    const std::string large(300'000, 'x'); // more than the output limit
    d.open();
    d.publish(message("a", large), 1);
    d.publish(message("b"), 2); // queued until the large message is written
    d.publish(message("c", "x", 1), 3);
    dialog violated(d);
    d.disconnect();
    d.sends(tern::publish{message("a", large)}, publish_of("b", 0, 0), publish_of("c", 1, 1), tern::disconnect{});
    d.closes();
    d.events({done(1), done(2), unknown(3), over()});

    violated.broker(connack{});
    violated.publish(message("d"), 4); // queued for the next connection
    violated.subscribe({{.filter = "s"}}, 5);
    if (d.v5())
        violated.sends(tern::publish{message("a", large)},
                       tern::disconnect{.reason_code = tern::answer_to(errc::unexpected_packet)});
    CHECK(violated.wants_close());
    violated.lost();
    violated.awaits_attempt();
    violated.attempt();
    violated.broker(connack{.session_present = true});
    const tern::subscription s{.filter = "s"};
    const std::string expected = violated.encoded(tern::subscribe{1, std::span(&s, 1)});
    CHECK(violated.written().starts_with(expected));
}

DIALOG("a DISCONNECT that was not written does not end the session [§3.14.2.2.2]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.disconnect({.properties = {.session_expiry_interval = std::chrono::seconds{0}}});
    dialog said(d);
    d.pass(10s);
    d.closes();
    const auto late = std::make_error_code(std::errc::timed_out);
    d.events({unknown(1), over(late)});
    d.start();
    d.broker(connack{.session_present = true});
    d.events({"connected, session present"});
    d.sends(publish_of("a", 1, 1, true));

    (void)said.written();
    said.closes();
    said.events({unknown(1), over()});
    said.start();
    said.broker(connack{.session_present = true}); // [MQTT-3.2.2-4]
    said.fails(errc::unexpected_session_present);
}
