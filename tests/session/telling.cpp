// Connection events and counters.
#include "dialog.hpp"

#include <string>
#include <vector>

using tern::connack;
using tern::connection_change;
using tern::connection_phase;
using tern::errc;
using tern::reason_code;

namespace {

// Returns the next event, which must be this change.
tern::connection_event_view next_change(dialog& d, connection_change change) {
    while (const auto e = d.session.poll_event()) {
        if (const auto* c = std::get_if<tern::connection_event_view>(&*e)) {
            CHECK(c->change == change);
            return *c;
        }
    }
    FAIL("there is no such event");
    return {};
}

} // namespace

DIALOG("the changes of a connection are reported in order") {
    d.resumable();
    d.options.host = "h";
    d.options.port = 7;
    d.tells_all = true;
    d.start();
    d.broker(connack{});
    d.events({"connecting 1 h:7", "connected", "up"});
    d.lost(connection_reset);
    const auto waited = d.session.pending_action() == tern::transport_action::prepare
                            ? 0
                            : std::chrono::ceil<std::chrono::milliseconds>(d.session.next_deadline() - d.now).count();
    d.awaits_attempt();
    d.attempt();
    d.broker(connack{.session_present = true});
    const std::string retrying = "retrying in " + std::to_string(waited);
    d.stop();
    d.closes();
    std::vector<std::string> expected{"down: " + text(connection_reset)};
    if (waited != 0) expected.push_back(retrying);
    expected.insert(expected.end(),
                    {"connecting 1 h:7", "connected, session present", "up, session present", "down", over()});
    d.events(expected);
}

DIALOG("the phase in which a connection ended is reported") {
    d.resumable();
    const auto ends_in = [&](connection_phase phase, std::error_code error, auto go) {
        dialog one(d);
        REQUIRE(one.session.connect(one.options, one.now) == errc::none);
        auto c = next_change(one, connection_change::connecting);
        CHECK(c.host == "localhost");
        CHECK(c.port == 1883);
        CHECK(c.attempt == 1);
        go(one);
        while (one.session.poll_event()) {
        }
        one.session.on_disconnected(error, one.now);
        c = next_change(one, connection_change::disconnected);
        CHECK(c.phase == phase);
        CHECK(c.error == error);
        next_change(one,
                    phase == connection_phase::connected ? connection_change::retrying : connection_change::stopped);
    };
    const auto prepared = [](dialog& one) { one.session.on_prepared(one.now); };
    const auto opened = [&](dialog& one) { prepared(one), one.session.on_opened(one.now); };
    const auto in_phase = [](connection_phase phase, auto go) {
        return [=](dialog& one) { go(one), one.session.set_opening_phase(phase); };
    };
    ends_in(connection_phase::preparing, connection_reset, [](dialog&) {});
    ends_in(connection_phase::resolving, connection_reset, prepared);
    ends_in(connection_phase::resolving, connection_reset, in_phase(connection_phase::resolving, prepared));
    ends_in(connection_phase::connecting, connection_reset, in_phase(connection_phase::connecting, prepared));
    ends_in(connection_phase::handshake, connection_reset, opened);
    // The transport may say its phase whenever a connection ends, and only that of an opening.
    ends_in(connection_phase::preparing, connection_reset, in_phase(connection_phase::connecting, [](dialog&) {}));
    ends_in(connection_phase::resolving, connection_reset, in_phase(connection_phase::connected, prepared));
    ends_in(connection_phase::handshake, connection_reset, in_phase(connection_phase::connecting, opened));
    ends_in(connection_phase::connecting, {}, [&](dialog& one) { // stopped while connecting
        prepared(one);
        one.session.stop({}, one.now);
        one.session.set_opening_phase(connection_phase::connecting);
    });
    ends_in(connection_phase::connected, connection_reset, [&](dialog& one) {
        opened(one);
        one.broker(connack{});
        one.events({"connected"});
    });
}

DIALOG("the side that ended a connection is reported") {
    using tern::connection_end;
    CHECK(tern::end_of({}) == connection_end::user);
    CHECK(tern::end_of(tern::misuse(errc::disconnected)) == connection_end::user);
    CHECK(tern::end_of(connection_reset) == connection_end::transport);
    CHECK(tern::end_of(tern::violation(errc::closed_by_peer)) == connection_end::broker);
    CHECK(tern::end_of(reason_code::server_busy) == connection_end::broker);
    CHECK(tern::end_of(tern::violation(errc::malformed_utf8)) == connection_end::violation);
    for (const errc timeout : {errc::resolve_timeout, errc::connect_timeout, errc::tls_timeout, errc::upgrade_timeout,
                               errc::connack_timeout, errc::acknowledgement_timeout, errc::ping_timeout})
        CHECK(tern::end_of(tern::violation(timeout)) == connection_end::timeout);
}

DIALOG("the broker's DISCONNECT is reported with its properties [v311:MQTT-3.14.4-3, v5:MQTT-3.14.4-3, "
       "§3.14.2.2.3, §3.14.2.2.5]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    d.broker(
        tern::disconnect{reason_code::use_another_server, {.reason_string = "full", .server_reference = "two:1883"}});
    d.sends();
    CHECK(d.wants_close());
    d.session.on_disconnected({}, d.now);
    auto c = next_change(d, connection_change::disconnected);
    CHECK(c.error == reason_code::use_another_server);
    CHECK(c.reason_string == "full");
    CHECK(c.server_reference == "two:1883");
    CHECK(c.phase == connection_phase::connected);
    d.awaits_attempt();
    while (d.session.poll_event()) {
    }
    d.session.on_disconnected(connection_reset, d.now);
    c = next_change(d, connection_change::disconnected);
    CHECK(c.reason_string.empty()); // the properties of an earlier connection are gone
    CHECK(c.server_reference.empty());
}

DIALOG("the properties of a refusing CONNACK are reported [§3.2.2.3.9, §3.2.2.3.16]") {
    if (!d.v5()) return;
    d.options.reconnect.retry_first = true;
    connack refusal{.reason_code = reason_code::server_busy};
    refusal.properties.reason_string = "full";
    refusal.properties.server_reference = "two:1883";
    d.start();
    d.broker(refusal);
    d.events({"connected: " + text(error_of(reason_code::server_busy))});
    d.session.on_disconnected({}, d.now);
    auto c = next_change(d, connection_change::disconnected);
    CHECK(c.error == reason_code::server_busy);
    CHECK(c.reason_string == "full");
    CHECK(c.server_reference == "two:1883");
    CHECK(c.phase == connection_phase::handshake);
    next_change(d, connection_change::retrying);

    d.awaits_attempt(); // the next one says nothing
    while (d.session.poll_event()) {
    }
    d.session.on_disconnected(connection_reset, d.now);
    c = next_change(d, connection_change::disconnected);
    CHECK(c.error == connection_reset);
    CHECK(c.reason_string.empty());
}

DIALOG("the cause is reported before the operations that fail, the end is reported last") {
    d.options.reconnect.enabled = false;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.ping(2);
    d.tells_all = true;
    d.lost(connection_reset);
    d.events({"down: " + text(connection_reset), done(2, connection_reset), done(1, connection_reset),
              over(connection_reset)});
}

DIALOG("a ping between two events waits for its answer") {
    CHECK(d.try_connect() == errc::none);
    d.awaits_attempt();
    d.connects();
    (void)d.written();
    const std::string bytes = d.encoded(connack{});
    bytes.copy(d.session.prepare_read().data(), bytes.size());
    d.session.commit_read(bytes.size(), d.now);
    REQUIRE(d.session.poll_event()); // the CONNACK; the change to open is the next event
    d.tells_all = true;
    d.ping(7);
    d.events({"up"});
    (void)d.written();
    d.broker(tern::pingresp{});
    d.events({done(7)});
    d.ping(8);
    (void)d.written();
    d.tells_all = false;
    d.lost(connection_reset);
    d.events({done(8, connection_reset), over(connection_reset)});
}

DIALOG("counters count connections, messages and bytes") {
    d.resumable();
    d.options.max_in_flight = 2;
    std::uint64_t sent = 0, received = 0;
    const auto say = [&] { sent += d.written().size(); };
    const auto hear = [&](const auto& packet) {
        received += d.encoded(packet).size();
        d.broker(packet);
        d.events(std::vector<std::string>{});
    };
    const auto connect = [&](bool present) {
        d.awaits_attempt();
        d.connects();
        say();
        const connack answer{.session_present = present};
        received += d.encoded(answer).size();
        d.broker(answer);
        d.events({present ? "connected, session present" : "connected"});
    };
    CHECK(d.try_connect() == errc::none);
    connect(false);
    for (unsigned qos = 0; qos != 3; ++qos)
        d.publish(message("a", "x", qos));
    d.publish(message("a", "x", 1));
    const std::size_t size = d.encoded(publish_of("a", 1, 1)).size();
    tern::counters c = d.session.counters();
    CHECK(c.queued == 1);
    CHECK(c.queued_bytes == size);
    CHECK(c.in_flight == 2);
    CHECK(c.messages_sent == 3);
    say();
    d.pass(250ms);
    hear(tern::puback{1});
    CHECK(d.session.counters().round_trip_time == 250ms);
    say();
    CHECK(d.session.counters().messages_sent == 4);
    hear(tern::pubrec{2});
    say();
    d.lost(connection_reset);
    c = d.session.counters();
    CHECK(c.connections == 1);
    CHECK(c.messages_resent == 0);
    connect(true);
    say();
    c = d.session.counters();
    CHECK(c.connections == 2);
    CHECK(c.messages_resent == 1); // PUBREL is not a message
    CHECK(c.messages_sent == 4);
    CHECK(c.in_flight == 2);
    hear(tern::puback{3});
    hear(tern::pubcomp{2});
    c = d.session.counters();
    CHECK(c.in_flight == 0);
    CHECK(c.queued == 0);
    CHECK(c.queued_bytes == 0);
    CHECK(c.messages_dropped == 0);
    CHECK(c.bytes_sent == sent);
    CHECK(c.bytes_received == received);
    CHECK(c.messages_received == 0);
    received += d.encoded(publish_of("m", 2, 1)).size();
    d.broker(publish_of("m", 2, 1));
    d.events({got(message("m", "x", 2))});
    hear(publish_of("m", 2, 1, true)); // it is not delivered again
    CHECK(d.session.counters().messages_received == 1);
    d.pass(1s);
    d.ping(1);
    say();
    d.pass(30ms);
    d.broker(tern::pingresp{});
    d.events({done(1)});
    CHECK(d.session.counters().round_trip_time == 30ms);
}

DIALOG("a session can be copied during an outage, and both copies continue") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    CHECK(!d.written(1).empty());
    d.publish(message("b"), 2);
    d.lost();
    d.publish(message("c", "x", 2), 3);
    dialog other(d);
    d.stop();
    for (int i = 0; i != 3; ++i) {
        if (d.wants_close()) d.closes();
    }
    CHECK(d.session.is_idle());
    d = other;
    for (dialog* one : {&other, &d}) {
        one->reopen();
        one->sends(publish_of("a", 1, 1, true), publish_of("b", 0, 0), publish_of("c", 2, 2));
        one->events({done(2)});
    }
}
