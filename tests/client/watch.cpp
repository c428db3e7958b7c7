// Observation of a client: connection events, counters and packets.
#include "network_test.hpp"
#include "tern/format.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

namespace {

// ---- events

TEST_CASE("Operations that wait for an event are served in their order") {
    virtual_time_fixture w;
    std::vector<answer<connection_event>> waiting;
    for (int i = 0; i != 2; ++i)
        waiting.push_back(awaits_event(w.client));
    cancellable<connection_event> cancelled;
    w.client.async_next_event(cancelled.handler());
    for (int i = 0; i != 2; ++i)
        waiting.push_back(awaits_event(w.client));
    cancelled.cancel();
    w.connect();
    CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    const std::array expected{connection_change::connecting, connection_change::connected,
                              connection_change::disconnected, connection_change::stopped};
    for (std::size_t i = 0; i != expected.size(); ++i) {
        REQUIRE(waiting[i].error() == std::error_code{});
        CHECK(waiting[i].result().change == expected[i]);
    }
    CHECK(cancelled.result.error() == asio::error::operation_aborted);
}

TEST_CASE("The newest 64 events are kept") {
    virtual_time_fixture w;
    w.net.forget("localhost");
    auto options = w.lasting();
    options.reconnect.retry_first = true;
    options.reconnect.first_delay = options.reconnect.longest_delay = 1ms;
    const auto a = connects_as(w.client, options);
    w.net.run_for(1s);
    CHECK_FALSE(a.called());
    CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    std::vector<connection_event> events;
    for (;;) {
        const auto e = awaits_event(w.client);
        w.net.run_ready();
        if (!e.called()) break;
        events.push_back(e.result());
    }
    CHECK(events.size() == 64);
    CHECK(events.back().change == connection_change::stopped);
    for (const connection_event& e : events)
        if (e.change == connection_change::connecting) CHECK(e.attempt > 100);
}

TEST_CASE("The event of a refused connection contains the broker's answer") {
    virtual_time_fixture w;
    const auto a = connects_as(w.client);
    w.server.expect<tern::connect>();
    w.server.send(connack{.reason_code = reason_code::server_moved,
                          .properties = {.reason_string = "gone", .server_reference = "other.test"}});
    CHECK(w.wait(a) == reason_code::server_moved);
    const auto e = w.next_event(connection_change::disconnected);
    CHECK(e.phase == connection_phase::handshake);
    CHECK(e.reason_string == "gone");
    CHECK(e.server_reference == "other.test");
    CHECK(end_of(e.error) == connection_end::broker);
}

// ---- counters

TEST_CASE("The counters count messages, bytes and connections") {
    virtual_time_fixture w;
    w.net.usual({.to_server = {.latency = 10ms}, .to_client = {.latency = 20ms}});
    CHECK(w.client.counters().connections == 0);
    w.connect();
    CHECK(w.client.counters().round_trip_time == 30ms);
    const auto a = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
    const auto id = w.server.expect<publish>().packet_id;
    CHECK(w.client.counters().messages_sent == 1);
    CHECK(w.client.counters().in_flight == 1);
    w.cut();
    w.accepts_again();
    w.server.expect<publish>();
    w.server.send(puback{.packet_id = id}, publish{.message = {.topic = "t"}});
    CHECK(w.wait(a) == std::error_code{});
    w.net.run_for(1s);
    const tern::counters c = w.client.counters();
    CHECK(c.messages_sent == 1);
    CHECK(c.messages_resent == 1);
    CHECK(c.messages_received == 1);
    CHECK(c.connections == 2);
    CHECK(c.in_flight == 0);
    CHECK(c.queued == 0);
    CHECK(c.bytes_sent > 30);
    CHECK(c.bytes_received > 10);
}

// ---- packets

struct tapped {
    std::vector<std::string> lines;
    auto observer() {
        return [this](packet_direction direction, const any_packet& packet) {
            lines.push_back(fmt::format("{} {}", direction, packet));
        };
    }
};

TEST_CASE("A tap shows every packet once, however its bytes are split") {
    using tern::testing::pieces;
    const auto how = GENERATE(pieces::whole, pieces::single_bytes, pieces::random);
    const auto version = GENERATE(v3_1_1, v5);
    virtual_time_fixture w;
    w.net.usual({.to_server = {.pieces = how}, .to_client = {.pieces = how}});
    tapped tap;
    w.client.set_packet_tap(tap.observer());
    w.connect({.version = version, .client_id = "c", .user_name = "u", .password = "secret"});
    const auto a = publishes(w.client, {.topic = "a", .payload = "1", .qos = qos::at_least_once});
    w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id},
                  publish{.message = {.topic = "b", .payload = "2"}});
    CHECK(w.wait(a) == std::error_code{});
    const auto m = receives(w.client);
    CHECK(w.wait(m) == std::error_code{});
    CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    REQUIRE(tap.lines.size() == 6);
    CHECK(tap.lines[0].starts_with("sent CONNECT " + std::string(version == v5 ? "5.0" : "3.1.1")));
    CHECK(tap.lines[0].find("secret") == std::string::npos);
    CHECK(tap.lines[1] == "received CONNACK success");
    CHECK(tap.lines[2] == "sent PUBLISH QoS 1, id 1, \"a\", \"1\" (1 bytes)");
    CHECK(tap.lines[3] == "received PUBACK id 1");
    CHECK(tap.lines[4] == "received PUBLISH QoS 0, \"b\", \"2\" (1 bytes)");
    CHECK(tap.lines[5] == "sent DISCONNECT normal disconnection");
}

TEST_CASE("A tap starts with the next connection, and can be removed") {
    virtual_time_fixture w;
    w.connect();
    tapped tap;
    w.client.set_packet_tap(tap.observer());
    CHECK(w.wait(publishes(w.client, {.topic = "t"})) == std::error_code{});
    CHECK(tap.lines.empty());
    w.cut();
    w.accepts_again();
    CHECK(w.runs_until([&] { return w.client.is_connected(); }));
    CHECK(tap.lines.size() == 2);
    w.client.set_packet_tap({});
    CHECK(w.wait(publishes(w.client, {.topic = "t"})) == std::error_code{});
    CHECK(tap.lines.size() == 2);
}

TEST_CASE("Bytes that are no packet end that direction of the tap until the next connection") {
    virtual_time_fixture w;
    tapped tap;
    w.client.set_packet_tap(tap.observer());
    w.connect();
    w.server.send_bytes("garbage");
    CHECK(w.server.expect<disconnect>().reason_code == reason_code::malformed_packet);
    CHECK(w.runs_until([&] { return !w.client.is_connected(); }));
    CHECK(tap.lines.size() == 3);
    CHECK(tap.lines.back().starts_with("sent DISCONNECT"));
    w.server.forget();
    w.accepts_again();
    CHECK(w.runs_until([&] { return w.client.is_connected(); }));
    CHECK(tap.lines.size() == 5);
}

TEST_CASE("A tap shows a refusal in the encoding of the other version") {
    virtual_time_fixture w;
    tapped tap;
    w.client.set_packet_tap(tap.observer());
    const auto a = connects(w.client);
    w.server.expect<tern::connect>();
    w.server.send_bytes({'\x20', '\x02', '\0', '\x01'});
    CHECK(w.wait(a) == reason_code::unsupported_protocol_version);
    REQUIRE(tap.lines.size() == 2);
    CHECK(tap.lines[1] == "received CONNACK unsupported protocol version");
}

} // namespace
