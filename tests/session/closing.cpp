// How connections end, and how unfinished operations complete.
#include "dialog.hpp"

#include <chrono>
#include <initializer_list>

using tern::errc;
using tern::reason_code;

DIALOG("DISCONNECT is the last packet [v311:MQTT-3.1.2-8, v311:MQTT-3.14.4-1, v311:MQTT-3.14.4-2, v5:MQTT-3.1.2-8, "
       "v5:MQTT-3.14.4-1, v5:MQTT-3.14.4-2]") {
    d.open();
    d.broker(publish_of("m", 1, 1), publish_of("m", 2, 2));
    d.publish(message("a", "x", 2), 1);
    d.publish(message("b"), 2);
    d.disconnect();
    CHECK(!d.wants_close()); // DISCONNECT is not yet written
    // After it the session accepts and answers nothing.
    CHECK(d.try_publish(message("c")) == errc::disconnected);
    CHECK(d.try_subscribe({{.filter = "c"}}) == errc::disconnected);
    CHECK(d.try_unsubscribe({"c"}) == errc::disconnected);
    CHECK(d.session.ping({}, d.now) == errc::not_connected);
    CHECK(d.try_disconnect() == errc::none); // DISCONNECT is already queued
    CHECK(d.try_connect() == errc::already_connected);
    d.release(0);
    d.release(1);
    d.broker(tern::pubrec{1}, publish_of("n", 2, 3), tern::pubrel{2}, tern::pingresp{});
    d.broker_bytes("\xff");
    d.sends(publish_of("a", 2, 1), publish_of("b", 0, 0), tern::disconnect{});
    d.closes();
    d.events({got(message("m", "x", 1)), got(message("m", "x", 2)), done(2), unknown(1), over()});
}

DIALOG("every unfinished operation completes exactly once, in order") {
    d.options.max_in_flight = 3;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("a", "x", 2), 2);
    d.publish(message("a", "x", 2), 3);
    d.publish(message("a", "x", 1), 4); // queued
    d.subscribe({{.filter = "s"}}, 5);
    d.unsubscribe({"s"}, 6);
    d.publish(message("a", "x", 2), 0); // without an operation
    d.publish(message("a", "x", 2), 7);
    d.publish(message("a"), 8);
    d.ping(9);
    d.ping(0);
    d.ping(10);
    d.broker(tern::pubrec{2});
    const auto reset = std::make_error_code(std::errc::connection_reset);
    const auto all = [](std::initializer_list<unsigned> ops, auto error) {
        std::vector<std::string> expected;
        for (const unsigned op : ops)
            expected.push_back(done(op, error));
        return expected;
    };

    dialog cut(d);
    cut.lost(reset);
    // Message 2 awaits PUBCOMP. Of the others no byte was written, so they are still queued.
    auto expected = all({9, 10, 5, 6, 2, 1, 3, 8, 4, 7}, reset);
    expected[4] = unknown(2);
    expected.push_back(over(reset));
    cut.events(expected);

    dialog asked(d);
    asked.disconnect();
    dialog said(asked);
    asked.lost(reset); // before DISCONNECT was written, so the broker publishes the will
    asked.events(expected);

    said.written();
    CHECK(said.session.is_disconnect_written());
    said.lost(reset); // after DISCONNECT, so the cause is irrelevant
    expected = all({9, 10, 1, 3, 5, 6, 2, 4, 7}, tern::outcome_unknown(errc::disconnected));
    expected[7] = done(4, tern::misuse(errc::disconnected));
    expected[8] = done(7, tern::misuse(errc::disconnected));
    expected.push_back(over());
    expected.insert(expected.begin(), done(8)); // QoS 0 completes when it is written
    said.events(expected);

    // The session can be used again.
    for (dialog* one : {&cut, &asked, &said}) {
        one->open();
        one->publish(message("n", "x", 1), 20);
        const std::string wire = one->written();
        CHECK(wire.size() == one->encoded(publish_of("n", 1, 1)).size());
        one->pass(19s);
        one->stays();
    }
}

DIALOG("DISCONNECT with a reason and properties [v5:MQTT-3.14.2-1, §3.14.2.2.2]") {
    d.options.keep_alive = 0s;
    if (d.v5()) d.options.properties.session_expiry_interval = std::chrono::seconds{10};
    d.open();
    if (!d.v5()) {
        CHECK(d.try_disconnect({.reason_code = reason_code::disconnect_with_will_message}) ==
              errc::invalid_reason_code);
        CHECK(d.try_disconnect({.properties = {.session_expiry_interval = std::chrono::seconds{0}}}) ==
              errc::requires_v5);
        d.sends();
        d.stays();
        return;
    }
    const tern::disconnect with_will{.reason_code = reason_code::disconnect_with_will_message};
    dialog will(d);
    will.disconnect(with_will);
    using namespace std::string_view_literals;
    will.sends_bytes("\xe0\1\4"sv);
    will.closes();

    const tern::disconnect longer{
        .properties = {.session_expiry_interval = std::chrono::seconds{1000}, .reason_string = "bye"}};
    dialog other(d);
    other.disconnect(longer);
    other.sends(longer);
    other.closes();
    other.events({over()});

    for (unsigned code = 0; code != 256; ++code) {
        INFO("code " << code);
        const reason_code why{static_cast<std::uint8_t>(code)};
        const std::string_view from_client = "\x00\x04\x80\x81\x82\x83\x90\x93\x94\x95\x96\x97\x98\x99"sv;
        dialog one(d);
        const errc error = one.try_disconnect({.reason_code = why});
        const bool allowed = from_client.find(static_cast<char>(code)) != std::string_view::npos;
        CHECK(error == (allowed ? errc::none : errc::invalid_reason_code));
        if (!allowed) one.stays();
    }
    CHECK(d.try_disconnect({.properties = {.server_reference = "x"}}) == errc::property_not_allowed);
    d.stays();
    d.sends();
}

DIALOG("DISCONNECT cannot prolong a session whose expiry interval was 0 in CONNECT, or left out [§3.14.2.2.2]") {
    if (!d.v5()) return;
    for (const bool left_out : {false, true}) {
        for (const bool before_connack : {false, true}) {
            dialog one(d);
            if (!left_out) one.options.properties.session_expiry_interval = std::chrono::seconds{0};
            tern::connack answer;
            answer.properties.session_expiry_interval =
                std::chrono::seconds{10}; // the server's own interval does not matter
            if (before_connack)
                one.start();
            else
                one.open(answer);
            CHECK(one.try_disconnect({.properties = {.session_expiry_interval = std::chrono::seconds{1}}}) ==
                  errc::invalid_property_value);
            one.sends();
            one.disconnect({.properties = {.session_expiry_interval = std::chrono::seconds{0}}});
            one.sends(tern::disconnect{.properties = {.session_expiry_interval = std::chrono::seconds{0}}});
            one.closes();
        }
    }
    d.options.properties.session_expiry_interval = std::chrono::seconds{10};
    tern::connack answer;
    answer.properties.session_expiry_interval = std::chrono::seconds{0};
    d.open(answer);
    const tern::disconnect longer{.properties = {.session_expiry_interval = std::chrono::seconds{1}}};
    d.disconnect(longer);
    d.sends(longer);
}

DIALOG("DISCONNECT before CONNACK follows CONNECT, so that the will is not published [v311:MQTT-3.14.4-3, "
       "v5:MQTT-3.14.4-3]") {
    d.options.will = message("w");
    d.publish(message("a", "x", 1), 1);
    CHECK(d.try_connect() == errc::none);
    d.connects();
    dialog partly(d);
    CHECK(partly.written(5).size() == 5);
    partly.disconnect(); // the broker cannot process a part of CONNECT
    CHECK(partly.wants_close());
    (void)d.written();
    d.disconnect();
    dialog broken(d);
    d.sends(tern::disconnect{});
    CHECK(d.session.is_disconnect_written());
    d.broker(tern::connack{}); // too late
    d.closes();
    d.events({done(1, tern::misuse(errc::disconnected)), over()});
    broken.lost();
    broken.events({done(1, std::make_error_code(std::errc::connection_reset)),
                   over(std::make_error_code(std::errc::connection_reset))});
}

DIALOG("the expiry interval determines whether the session is kept [v5:MQTT-3.1.2-23, v5:MQTT-3.2.2-4, §3.2.2.3.2]") {
    if (!d.v5()) return;
    d.options.clean_start = false;
    struct {
        std::chrono::seconds own;
        std::optional<std::chrono::seconds> server, at_end;
        bool kept;
    } const cases[] = {{0s, {}, {}, false}, {9s, {}, {}, true},  {9s, 0s, {}, false},
                       {0s, 9s, {}, true},  {9s, {}, 0s, false}, {9s, {}, 7s, true}};
    for (const auto& c : cases) {
        dialog one(d);
        one.options.properties.session_expiry_interval = c.own;
        tern::connack answer;
        answer.properties.session_expiry_interval = c.server;
        one.open(answer);
        one.disconnect({.properties = {.session_expiry_interval = c.at_end}});
        (void)one.written();
        one.closes();
        one.events({over()});
        one.start();
        one.broker(tern::connack{.session_present = true});
        if (c.kept)
            one.events({"connected, session present"});
        else
            one.fails(errc::unexpected_session_present);
    }
}

DIALOG("a DISCONNECT that cannot be written is abandoned after disconnect_timeout, or 3 s after a violation "
       "[v5:MQTT-4.13.2-1]") {
    d.options.disconnect_timeout = 5s;
    d.open();
    d.disconnect();
    d.pass(5s - 1ms);
    CHECK(!d.wants_close());
    d.pass(1ms);
    CHECK(d.wants_close());
    CHECK(!d.session.is_disconnect_written());
    CHECK(d.session.next_deadline() == tern::time_point::max());
    d.closes();
    d.events({over(std::make_error_code(std::errc::timed_out))});

    d.open();
    d.broker(tern::connack{}); // a violation
    d.pass(3s);
    d.closes();
    d.events({over(errc::unexpected_packet)});
    CHECK(d.session.counters().disconnects_sent == 0);
}

DIALOG("a slow connection gets time to write everything before DISCONNECT") {
    d.options.disconnect_timeout = 0s;
    d.open();
    d.publish(message("a", "0123456789"), 1);
    d.disconnect();
    const std::string expected = d.encoded(tern::publish{message("a", "0123456789")}) + d.encoded(tern::disconnect{});
    std::string wire;
    while (wire.size() != expected.size()) {
        CHECK(!d.wants_close());
        d.pass(2s);
        wire += d.written(1);
    }
    CHECK(wire == expected);
    d.closes();
    d.events({done(1), over()});
}

DIALOG("the session does not wait for a broker that has violated the protocol") {
    d.open();
    d.publish(message("a", "0123456789"), 1);
    d.broker(tern::connack{});
    d.pass(2s);
    (void)d.written(1);
    if (d.v5()) CHECK(!d.wants_close());
    d.pass(1s);
    d.closes();
    d.events({done(1, errc::unexpected_packet), over(errc::unexpected_packet)});
}

DIALOG("the broker's DISCONNECT ends the connection with its reason [v311:MQTT-3.14.4-2, v5:MQTT-3.1.4-3, "
       "v5:MQTT-3.14.2-1, v5:MQTT-3.14.4-2, v5:MQTT-4.13.1-1, §3.14.2.1]") {
    if (!d.v5()) return;
    d.open();
    d.publish(message("a", "x", 1), 1);
    (void)d.written();
    for (unsigned code = 0; code != 256; ++code) {
        INFO("code " << code);
        const reason_code why{static_cast<std::uint8_t>(code)};
        dialog one(d);
        one.broker_bytes(std::string{'\xe0', '\1', static_cast<char>(code)});
        if (!tern::is_valid(why, tern::packet_type::disconnect, one.version) ||
            why == reason_code::disconnect_with_will_message) {
            one.fails(errc::invalid_reason_code, {unknown(1, errc::invalid_reason_code)});
            continue;
        }
        one.sends(); // without a DISCONNECT of its own
        one.closes();
        if (code == 0)
            one.events({unknown(1, errc::closed_by_peer), over(errc::closed_by_peer)});
        else
            one.events({unknown(1), over(why)});
    }
    using namespace std::string_view_literals;
    d.broker_bytes("\xe0\0"sv);
    d.closes();
    d.events({unknown(1, errc::closed_by_peer), over(errc::closed_by_peer)});
}

DIALOG("the broker may not set the session expiry interval in DISCONNECT [v5:MQTT-3.14.2-2]") {
    if (!d.v5()) return;
    d.open();
    d.broker(tern::disconnect{reason_code::server_busy, {.session_expiry_interval = std::chrono::seconds{1}}});
    d.fails(errc::property_not_allowed);
}

DIALOG("bytes after the end are ignored") {
    d.open();
    d.broker_bytes(std::string(100, '\xff')); // a violation
    d.events({});
    const std::size_t most = 100'000;
    for (std::size_t i = 0; i != 10 * most; i += 1000) {
        const std::span<char> room = d.session.prepare_read();
        REQUIRE(!room.empty());
        REQUIRE(room.size() < most);
        d.session.commit_read(room.size(), d.now);
        REQUIRE(!d.session.poll_event());
    }
    d.fails(errc::invalid_flags);
}

DIALOG("calls in the wrong state have no effect") {
    const auto all = [&] {
        d.session.on_prepared(d.now);
        d.session.on_opened(d.now);
        d.session.set_opening_phase(tern::connection_phase::connecting);
        d.session.commit_write(0, d.now);
        d.session.commit_read(0, d.now);
        d.session.release(tern::message_token{1});
        d.session.on_deadline(d.now);
        CHECK(!d.session.poll_event());
        CHECK(!d.wants_close());
        CHECK(d.session.pending_write().empty());
    };
    d.session.on_disconnected({}, d.now);
    all();
    d.open();
    all();
    d.stays();
    d.lost({});
    d.events({over(errc::closed_by_peer)});
    d.session.on_disconnected({}, d.now);
    all();
    CHECK(d.session.is_idle());
    CHECK(d.session.next_deadline() == tern::time_point::max());
    d.open();
}

DIALOG("DISCONNECT follows all accepted QoS 0 messages, and the messages for which the window has room") {
    if (d.writes_bytes()) return;
    d.options.max_in_flight = 2;
    d.open();
    const std::string kilobyte(1'000, 'x');
    for (unsigned i = 1; i <= 1'000; ++i) // more than the client encodes ahead of the link
        d.publish(message("a", kilobyte), i);
    for (unsigned i = 1; i <= 3; ++i)
        d.publish(message("b", "x", 1), 1'000 + i);
    d.disconnect();
    CHECK(d.try_publish(message("c")) == errc::disconnected);
    CHECK(!d.session.is_connected());
    std::string expected;
    for (int i = 0; i != 1'000; ++i)
        expected += d.encoded(tern::publish{message("a", kilobyte)});
    expected += d.encoded(publish_of("b", 1, 1)) + d.encoded(publish_of("b", 1, 2)) + d.encoded(tern::disconnect{});
    d.sends_bytes(expected);
    d.closes();
    std::vector<std::string> events;
    for (unsigned i = 1; i <= 1'000; ++i)
        events.push_back(done(i));
    events.push_back(unknown(1'001));
    events.push_back(unknown(1'002));
    events.push_back(done(1'003, tern::misuse(errc::disconnected)));
    events.push_back(over());
    d.events(events);
}

DIALOG("on a slow link no packet begins in the second half of disconnect_timeout, so that DISCONNECT is sent") {
    if (d.writes_bytes()) return;
    d.options.disconnect_timeout = 10s;
    d.open();
    const std::string message_bytes(100'000, 'x');
    for (unsigned i = 1; i <= 10; ++i)
        d.publish(message("a", message_bytes), i);
    d.disconnect();
    std::string wire;
    for (int i = 0; i != 60; ++i) { // 10 kB in 100 ms
        wire += d.written(10'000);
        d.pass(100ms);
    }
    wire += d.written();
    CHECK(wire.ends_with(d.encoded(tern::disconnect{})));
    CHECK(wire.size() < 900'000);
    const std::size_t sent = wire.size() / 100'000;
    d.closes();
    while (d.session.poll_event()) {
    }
    CHECK(d.session.counters().messages_unsent == 10 - sent);
    CHECK(d.session.counters().disconnects_sent == 1);
}

DIALOG("a client that cannot send DISCONNECT in time closes without it [v311:MQTT-3.14.4-1, v5:MQTT-3.14.4-1]") {
    if (d.writes_bytes()) return;
    d.options.disconnect_timeout = 10s;
    d.open();
    d.publish(message("a", std::string(100'000, 'x')), 1);
    d.disconnect();
    (void)d.written(1'000);
    d.pass(10s - 1ms);
    CHECK(!d.wants_close());
    d.pass(1ms);
    CHECK(d.wants_close());
    d.session.on_disconnected({}, d.now);
    while (d.session.poll_event()) {
    }
    CHECK(d.session.is_idle());
}

DIALOG("an owner that lingers after DISCONNECT was written is in time") {
    d.open();
    d.disconnect();
    d.sends(tern::disconnect{});
    d.now += 1h;
    d.session.on_deadline(d.now);
    d.closes();
    d.events({over()});
}
