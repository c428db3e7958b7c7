// The client reconnects after a lost connection, and pending operations survive it.
#include "network_test.hpp"

namespace {

// ---- operations and subscriptions

TEST_CASE("A publish survives a lost connection and completes once") {
    const auto q = GENERATE(qos::at_least_once, qos::exactly_once);
    const auto how = GENERATE(ending::close, ending::reset);
    virtual_time_fixture w;
    w.connect();
    const auto a = publishes(w.client, {.topic = "t", .payload = "p", .qos = q});
    const packet_id id = w.server.expect<publish>().packet_id;
    w.cut(how);
    w.accepts_again();
    const auto again = w.server.expect<publish>();
    CHECK(again.dup);
    CHECK(again.packet_id == id);
    CHECK(again.message.payload == "p");
    CHECK_FALSE(a.called());
    if (q == qos::at_least_once) {
        w.server.send(puback{.packet_id = id});
    } else {
        w.server.send(pubrec{.packet_id = id});
        w.server.expect<pubrel>();
        w.cut(how);
        w.accepts_again();
        CHECK(w.server.expect<pubrel>().packet_id == id);
        CHECK_FALSE(a.called());
        w.server.send(pubcomp{.packet_id = id});
    }
    CHECK(w.wait(a) == std::error_code{});
    w.cut();
    w.accepts_again();
    w.net.run_for(5s);
    CHECK(w.server.is_silent());
    CHECK(a.calls() == 1);
}

TEST_CASE("A receive survives a lost connection") {
    virtual_time_fixture w;
    w.connect();
    const auto first = receives(w.client);
    const auto second = receives(w.client);
    w.cut();
    w.accepts_again();
    w.server.send(publish{.message = {.topic = "t", .payload = "1"}});
    CHECK(w.wait(first) == std::error_code{});
    CHECK(first.result().payload == "1");
    w.cut();
    w.accepts_again();
    w.server.send(publish{.message = {.topic = "t", .payload = "2"}});
    CHECK(w.wait(second) == std::error_code{});
    CHECK(second.result().payload == "2");
}

TEST_CASE("An unanswered subscribe is sent again") {
    virtual_time_fixture w;
    w.connect();
    const auto a = subscribes(w.client, {.filter = "t"});
    w.server.expect<tern::subscribe>();
    w.cut();
    w.accepts_again();
    const std::array granted{reason_code::granted_qos_0};
    w.server.send(suback{.packet_id = w.server.expect<tern::subscribe>().packet_id, .reason_codes = granted});
    CHECK(w.wait(a) == std::error_code{});
}

TEST_CASE("The client subscribes again when the broker has lost the session") {
    virtual_time_fixture w;
    w.connect();
    const auto a = subscribes(w.client, {.filter = "t"});
    const std::array granted{reason_code::granted_qos_0};
    w.server.send(suback{.packet_id = w.server.expect<tern::subscribe>().packet_id, .reason_codes = granted});
    CHECK(w.wait(a) == std::error_code{});
    w.cut();
    w.accepts_again(false);
    const auto again = w.server.expect<tern::subscribe>();
    CHECK(again.subscriptions.front().filter == "t");
    const std::array refused{reason_code::not_authorized};
    w.server.send(suback{.packet_id = again.packet_id, .reason_codes = refused});
    CHECK(w.next_event(connection_change::subscription_refused).filter == "t");
}

TEST_CASE("A QoS 2 message whose delivery is unknown completes with session_lost") {
    virtual_time_fixture w;
    w.connect();
    const auto a = publishes(w.client, {.topic = "t", .qos = qos::exactly_once});
    const auto b = publishes(w.client, {.topic = "u", .qos = qos::at_least_once});
    w.server.expect<publish>();
    w.server.expect<publish>();
    w.cut();
    w.accepts_again(false);
    CHECK(w.wait(a) == errc::session_lost);
    const auto again = w.server.expect<publish>();
    CHECK(again.message.topic == "u");
    w.server.send(puback{.packet_id = again.packet_id});
    CHECK(w.wait(b) == std::error_code{});
}

TEST_CASE("A ping ends with its connection") {
    virtual_time_fixture w;
    w.connect();
    const auto a = pings(w.client);
    w.server.expect<pingreq>();
    w.cut();
    CHECK(w.wait(a) == asio::error::connection_reset);
    CHECK(w.wait(pings(w.client)) == errc::not_connected);
    w.accepts_again();
    CHECK(w.runs_until([&] { return w.client.is_connected(); }));
}

TEST_CASE("The client detects a silent connection by keep alive and reconnects") {
    virtual_time_fixture w;
    auto options = w.lasting();
    options.keep_alive = 10s;
    w.connect(options);
    w.next_event(connection_change::connected);
    const auto a = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
    const packet_id id = w.server.expect<publish>().packet_id;
    const auto begin = w.net.now();
    w.cut(ending::stall);
    const auto lost = w.next_event(connection_change::disconnected);
    CHECK(end_of(lost.error) == connection_end::timeout);
    CHECK(w.net.now() - begin <= 28s); // three quarters of keep_alive, and ack_timeout
    w.accepts_again();
    CHECK(w.server.expect<publish>().packet_id == id);
    w.server.send(puback{.packet_id = id});
    CHECK(w.wait(a) == std::error_code{});
}

// ---- events and timing

TEST_CASE("Connection events are reported in order") {
    virtual_time_fixture w;
    const auto first = awaits_event(w.client); // waiting is allowed before connect
    const auto second = awaits_event(w.client);
    w.connect();
    CHECK(first.result().change == connection_change::connecting);
    CHECK(first.result().host == "localhost");
    CHECK(first.result().port == 1883);
    CHECK(first.result().attempt == 1);
    CHECK(second.result().change == connection_change::connected);
    CHECK_FALSE(second.result().session_present);
    w.net.run_for(10s);
    w.net.fail(tern::testing::step::connect, 1, asio::error::network_down);
    w.cut();
    auto e = w.next_event();
    CHECK(e.change == connection_change::disconnected);
    CHECK(e.phase == connection_phase::connected);
    CHECK(e.error == asio::error::connection_reset);
    CHECK(end_of(e.error) == connection_end::transport);
    CHECK(w.next_event().change == connection_change::connecting); // at once
    e = w.next_event();
    CHECK(e.change == connection_change::disconnected);
    CHECK(e.phase == connection_phase::connecting);
    CHECK(e.error == asio::error::network_down);
    e = w.next_event();
    CHECK(e.change == connection_change::retrying);
    CHECK(e.delay <= 1s);
    CHECK(w.next_event().change == connection_change::connecting);
    w.accepts_again();
    e = w.next_event();
    CHECK(e.change == connection_change::connected);
    CHECK(e.session_present);
    const auto a = disconnects(w.client);
    e = w.next_event();
    CHECK(e.change == connection_change::disconnected);
    CHECK(end_of(e.error) == connection_end::user);
    e = w.next_event();
    CHECK(e.change == connection_change::stopped);
    CHECK(e.error == std::error_code{});
    CHECK(w.wait(a) == std::error_code{});
}

TEST_CASE("After a loss the first attempt starts at once, the next ones after increasing delays") {
    virtual_time_fixture w;
    auto options = w.lasting();
    options.reconnect.first_delay = 1s;
    options.reconnect.longest_delay = 8s;
    w.connect(options);
    w.net.run_for(1min);
    w.net.forget("localhost");
    w.net.refuse("localhost");
    const auto lost = w.net.now();
    w.cut();
    w.next_event(connection_change::disconnected);
    CHECK(w.next_event().change == connection_change::connecting);
    CHECK(w.net.now() == lost);
    std::chrono::milliseconds longest = 1s;
    for (unsigned i = 0; i != 12; ++i) {
        const auto e = w.next_event(connection_change::retrying);
        CHECK(e.delay <= longest);
        const auto since = w.net.now();
        CHECK(w.next_event(connection_change::connecting).attempt == i + 2);
        CHECK(w.net.now() == since + e.delay);
        longest = std::min<std::chrono::milliseconds>(longest * 2, 8s);
    }
}

TEST_CASE("The first connect tries every address of every endpoint once") {
    virtual_time_fixture w;
    w.net.refuse("first.test");
    w.net.refuse("first.test");
    w.net.refuse("second.test", asio::error::host_unreachable);
    const std::array more{endpoint{"unknown.test", 1}, endpoint{"second.test", 2}};
    const auto a = connects_as(w.client, {.host = "first.test", .more_endpoints = more, .client_id = "c"});
    CHECK(w.wait(a) == asio::error::host_unreachable);
    CHECK(w.net.count(tern::testing::step::connect) == 3);
    CHECK(w.wait(receives(w.client)) == errc::not_connected);
    w.connect();
}

TEST_CASE("The first connect is retried if retry_first is set") {
    virtual_time_fixture w;
    w.net.forget("localhost");
    auto options = w.lasting();
    options.reconnect.retry_first = true;
    const auto a = connects_as(w.client, options);
    w.net.run_for(5min);
    CHECK_FALSE(a.called());
    w.net.listen("localhost", [&](tern::testing::link stream) { w.server.accept(std::move(stream)); });
    w.server.accepts();
    CHECK(w.wait(a) == std::error_code{});
}

TEST_CASE("A permanent refusal ends reconnecting") {
    virtual_time_fixture w;
    w.connect();
    const auto m = receives(w.client);
    const auto p = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
    w.server.expect<publish>();
    SECTION("by the next connection") {
        w.cut();
        w.server.accepts({.reason_code = reason_code::banned});
        CHECK(w.wait(m) == reason_code::banned);
        CHECK(p.error() == outcome_unknown(errc::disconnected));
    }
    SECTION("by this one") {
        w.server.send(disconnect{.reason_code = reason_code::session_taken_over});
        CHECK(w.wait(m) == reason_code::session_taken_over);
        CHECK(p.error() == outcome_unknown(errc::disconnected));
    }
    CHECK(w.next_event(connection_change::stopped).error == m.error());
    w.net.run_for(10min);
    CHECK(w.server.connections() <= 2);
    w.connect();
}

TEST_CASE("A temporary refusal does not end reconnecting, and the application can classify refusals") {
    virtual_time_fixture w;
    auto options = w.lasting();
    SECTION("by Tern") {
        w.connect(options);
        w.cut();
        w.server.accepts({.reason_code = reason_code::server_busy});
    }
    SECTION("by the application") {
        options.reconnect.classify = [](const connection_failure&) noexcept { return failure_class::transient; };
        w.connect(options);
        w.cut();
        w.server.accepts({.reason_code = reason_code::not_authorized});
    }
    w.accepts_again();
    CHECK(w.runs_until([&] { return w.client.is_connected(); }));
}

TEST_CASE("Each phase of connecting has its timeout") {
    using tern::testing::step;
    virtual_time_fixture w;
    auto options = w.lasting();
    options.resolve_timeout = 1s;
    options.connect_timeout = 2s;
    options.connack_timeout = 3s;
    const auto begin = w.net.now();
    SECTION("resolving") {
        w.net.hang(step::resolve, 1);
        CHECK(w.wait(connects(w.client, options)) == violation(errc::resolve_timeout));
        CHECK(w.net.now() - begin == 1s);
    }
    SECTION("connecting") {
        w.net.hang(step::connect, 1);
        CHECK(w.wait(connects(w.client, options)) == violation(errc::connect_timeout));
        CHECK(w.net.now() - begin == 2s);
    }
    SECTION("the handshake") {
        CHECK(w.wait(connects(w.client, options)) == violation(errc::connack_timeout));
        CHECK(w.net.now() - begin == 3s);
        w.server.forget();
    }
    w.connect();
}

TEST_CASE("A client without reconnecting reports why its connection was lost and can connect again") {
    virtual_time_fixture w;
    w.connect(once(w.lasting()));
    const auto m = receives(w.client);
    w.cut();
    CHECK(w.wait(m) == asio::error::connection_reset);
    CHECK(w.next_event(connection_change::stopped).error == asio::error::connection_reset);
    w.connect();
}

} // namespace
