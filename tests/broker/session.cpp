// Connecting, sessions and wills.
#include "raw_client.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace tern::broker_tests {
namespace {

TEST_CASE("A client connects, pings and disconnects [v311:MQTT-3.12.4-1, v5:MQTT-3.1.4-5, v5:MQTT-3.12.4-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.client(version);
    const auto answer = client.connects({.version = version, .client_id = "c"});
    CHECK_FALSE(answer.session_present);
    CHECK(answer.properties == connack_properties{});
    client.expect_nothing();
    client.send(disconnect{});
    CHECK(client.is_closed());
    CHECK(fixture.broken().empty());
}

TEST_CASE("A client connects over TCP") {
    broker_fixture fixture;
    CHECK(fixture.server.port() == 0);
    auto client = fixture.tcp_client();
    CHECK(fixture.server.port() != 0);
    CHECK(fixture.server.listen() == fixture.server.port());
    client.connects({.client_id = "c"});
    client.expect_nothing();
    client.send(disconnect{});
    CHECK(client.is_closed());
}

TEST_CASE("A broker listens on a given port, if it is free") {
    asio::io_context io;
    asio::ip::tcp::acceptor other(io, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0), false);
    const std::uint16_t port = other.local_endpoint().port();
    broker server(io.get_executor());
    CHECK_THROWS_AS(server.listen(port), std::system_error);
    CHECK(server.port() == 0);
    other.close();
    CHECK(server.listen(port) == port);
}

TEST_CASE("The broker assigns an identifier to a client without one [v311:MQTT-3.1.3-6, v5:MQTT-3.1.3-6, "
          "v5:MQTT-3.1.3-7, v5:MQTT-3.2.2-16]") {
    broker_fixture fixture;
    auto first = fixture.client();
    auto second = fixture.client();
    const auto one = first.connects({}).properties.assigned_client_identifier;
    const auto other = second.connects({}).properties.assigned_client_identifier;
    REQUIRE(one);
    REQUIRE(other);
    CHECK(*one != *other);
    CHECK_FALSE(one->empty());

    auto third = fixture.client(v3_1_1);
    third.connects({.version = v3_1_1});
    third.expect_nothing();
}

TEST_CASE("3.1.1 refuses an empty client identifier without clean session [v311:MQTT-3.1.3-8]") {
    broker_fixture fixture;
    auto client = fixture.client(v3_1_1);
    client.send_bytes(std::string("\x10\x0C\x00\x04MQTT\x04\x00\x00\x00\x00\x00", 14));
    CHECK(client.expect<connack>().reason_code == reason_code::client_identifier_not_valid);
    CHECK(client.is_closed());
    CHECK(fixture.broken() == "MQTT-3.1.3-7");
}

TEST_CASE("Another version is refused [v311:MQTT-3.1.2-2, v5:MQTT-3.1.2-2]") {
    broker_fixture fixture;
    SECTION("an older one with the return code 1") {
        auto client = fixture.client(v3_1_1);
        client.send_bytes(std::string("\x10\x0D\x00\x04MQTT\x03\x02\x00\x00\x00\x01z", 15));
        CHECK(client.expect<connack>().reason_code == reason_code::unsupported_protocol_version);
        CHECK(client.is_closed());
    }
    SECTION("a newer one with 0x84") {
        auto client = fixture.client(v5);
        client.send_bytes(std::string("\x10\x0E\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x01z", 16));
        CHECK(client.expect<connack>().reason_code == reason_code::unsupported_protocol_version);
        CHECK(client.is_closed());
    }
    CHECK(fixture.broken() == "MQTT-3.1.2-2");
}

TEST_CASE("on_connect decides on user name and password [v5:MQTT-3.1.4-2]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_options options;
    options.on_connect = [](const connect& p) {
        return p.user_name == "ann" && p.password == "secret" ? reason_code::success
                                                              : reason_code::bad_user_name_or_password;
    };
    broker_fixture fixture(std::move(options));
    auto good = fixture.client(version);
    good.connects({.version = version, .client_id = "a", .user_name = "ann", .password = "secret"});
    auto bad = fixture.client(version);
    // Packets after a refused CONNECT are ignored [MQTT-3.1.4-6].
    bad.send(connect{.version = version, .client_id = "b", .user_name = "ann"}, make_publish("t", "p"));
    CHECK(bad.expect<connack>().reason_code == reason_code::bad_user_name_or_password);
    CHECK(bad.is_closed());
    CHECK(fixture.broken().empty());
}

TEST_CASE("A refusal for which 3.1.1 has no return code closes without CONNACK [v311:MQTT-3.2.2-6]") {
    broker_options options;
    options.on_connect = [](const connect&) { return reason_code::banned; };
    broker_fixture fixture(std::move(options));
    auto client = fixture.client(v3_1_1);
    client.send(connect{.version = v3_1_1, .client_id = "c"});
    CHECK(client.is_closed());
}

TEST_CASE("Enhanced authentication is refused [v5:MQTT-4.12.0-1]") {
    broker_fixture fixture;
    auto client = fixture.client();
    client.send(connect{.client_id = "c", .properties = {.authentication_method = "m"}});
    CHECK(client.expect<connack>().reason_code == reason_code::bad_authentication_method);
    CHECK(client.is_closed());
}

TEST_CASE("CONNACK announces the limits, to 5.0 clients only") {
    broker_options options;
    options.limits = {.receive_maximum = std::uint16_t{3},
                      .server_keep_alive = std::chrono::seconds{7},
                      .response_information = "answers/"};
    broker_fixture fixture(options);
    auto plain = fixture.client();
    auto expected = options.limits;
    expected.response_information.reset();
    CHECK(plain.connects({.client_id = "a"}).properties == expected);
    auto curious = fixture.client(); // [MQTT-3.1.2-28]
    CHECK(curious.connects({.client_id = "b", .properties = {.request_response_information = true}}).properties ==
          options.limits);
    auto old = fixture.client(v3_1_1);
    CHECK(old.connects({.version = v3_1_1, .client_id = "c"}).properties == connack_properties{});
}

TEST_CASE("A will beyond the limits is refused [v5:MQTT-3.2.2-12, v5:MQTT-3.2.2-13]") {
    broker_options options;
    options.limits = {.maximum_qos = qos::at_least_once, .retain_available = false};
    broker_fixture fixture(options);
    auto first = fixture.client();
    first.send(connect{.client_id = "a", .will = message_view{.topic = "w", .qos = qos::exactly_once}});
    CHECK(first.expect<connack>().reason_code == reason_code::qos_not_supported);
    auto second = fixture.client();
    second.send(connect{.client_id = "a", .will = message_view{.topic = "w", .retain = true}});
    CHECK(second.expect<connack>().reason_code == reason_code::retain_not_supported);
}

TEST_CASE("A session is resumed, or discarded by a clean start [v311:MQTT-3.1.2-4, v311:MQTT-3.1.2-6, "
          "v311:MQTT-3.2.2-2, v311:MQTT-3.2.2-3, v5:MQTT-3.1.2-4, v5:MQTT-3.1.2-5, v5:MQTT-3.1.2-6, "
          "v5:MQTT-3.2.2-2, v5:MQTT-3.2.2-3]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    {
        auto client = fixture.client(version);
        CHECK_FALSE(client.connects(lasting("c", version)).session_present);
        client.subscribes({{.filter = "t"}});
        client.send(disconnect{});
        CHECK(client.is_closed());
    }
    {
        auto client = fixture.client(version);
        CHECK(client.connects(lasting("c", version)).session_present);
        client.send(make_publish("t", "still subscribed"));
        client.receives("t", "still subscribed");
    }
    {
        auto client = fixture.client(version);
        CHECK_FALSE(client.connects({.version = version, .client_id = "c"}).session_present);
        client.send(make_publish("t", "not subscribed"));
        client.expect_nothing();
        client.send(disconnect{});
        CHECK(client.is_closed());
    }
    auto client = fixture.client(version); // the clean session ended with its connection
    CHECK_FALSE(client.connects(lasting("c", version)).session_present);
    CHECK(fixture.broken().empty());
}

TEST_CASE("DISCONNECT can shorten a session [§3.14.2.2.2]") {
    broker_fixture fixture;
    {
        auto client = fixture.connected(lasting("c", v5));
        client.send(disconnect{.properties = {.session_expiry_interval = std::chrono::seconds{0}}});
        CHECK(client.is_closed());
    }
    auto client = fixture.client();
    CHECK_FALSE(client.connects(lasting("c", v5)).session_present);
}

TEST_CASE("A newer connection takes the session over [v311:MQTT-3.1.4-2, v5:MQTT-3.1.4-3]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto older = fixture.connected(lasting("c", version));
    auto newer = fixture.client(version);
    CHECK(newer.connects(lasting("c", version)).session_present);
    if (version == v5) CHECK(older.expect<disconnect>().reason_code == reason_code::session_taken_over);
    CHECK(older.is_closed());
    newer.expect_nothing();
    CHECK(fixture.broken().empty());
}

connect with_will(std::string_view id, protocol_version version, qos quality = qos::at_most_once, bool retain = false) {
    return {.version = version,
            .client_id = id,
            .will = message_view{.topic = "will", .payload = "gone", .qos = quality, .retain = retain}};
}

TEST_CASE("A will is published when the connection is lost [v311:MQTT-3.1.2-8, v311:MQTT-3.1.2-16, "
          "v5:MQTT-3.1.2-8, v5:MQTT-3.1.2-14]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto witness = fixture.connected("witness", version);
    witness.subscribes({{.filter = "will", .max_qos = qos::exactly_once}});
    auto client = fixture.connected(with_will("c", version, qos::exactly_once));
    SECTION("by the client") {
        client.close();
    }
    SECTION("by the broker") {
        fixture.server.drop("c");
        CHECK(client.is_closed());
    }
    SECTION("because of a violation") {
        client.send(connect{.version = version, .client_id = "c"});
    }
    SECTION("to a newer connection with a clean session") {
        auto newer = fixture.connected("c", version);
        const auto p = witness.receives("will", "gone");
        CHECK(p.message.qos == qos::exactly_once);
        witness.expect_nothing();
        return;
    }
    CHECK(witness.receives("will", "gone").message.qos == qos::exactly_once);
    witness.expect_nothing(); // it is published once [MQTT-3.1.2-10]
}

TEST_CASE("DISCONNECT discards the will, DISCONNECT with 0x04 publishes it [v311:MQTT-3.14.4-3, v5:MQTT-3.14.4-3]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto witness = fixture.connected("witness", version);
    witness.subscribes({{.filter = "will"}});
    auto client = fixture.connected(with_will("c", version));
    client.send(disconnect{});
    CHECK(client.is_closed());
    witness.expect_nothing();
    if (version == v5) {
        auto other = fixture.connected(with_will("c", version));
        other.send(disconnect{.reason_code = reason_code::disconnect_with_will_message});
        witness.receives("will", "gone");
    }
    CHECK(fixture.broken().empty());
}

TEST_CASE("A will can be retained [v311:MQTT-3.1.2-17, v5:MQTT-3.1.2-15]") {
    broker_fixture fixture;
    auto client = fixture.connected(with_will("c", v5, qos::at_most_once, true));
    client.close();
    auto late = fixture.connected("late");
    late.subscribes({{.filter = "will"}});
    CHECK(late.receives("will", "gone").message.retain);
}

TEST_CASE("A will keeps its properties, user properties in order [v5:MQTT-3.1.3-10]") {
    broker_fixture fixture;
    auto witness = fixture.connected("witness");
    witness.subscribes({{.filter = "will"}});
    const std::array<user_property, 3> properties{{{"b", "1"}, {"a", "2"}, {"b", "0"}}};
    connect p = with_will("c", v5);
    p.will->properties = {.content_type = "text", .user_properties = properties};
    auto client = fixture.connected(p);
    client.close();
    CHECK(witness.receives("will", "gone").message.properties == p.will->properties);
}

TEST_CASE("close() closes all connections and refuses new ones") {
    auto fixture = std::make_unique<broker_fixture>();
    auto over_link = fixture->connected("a");
    auto over_tcp = fixture->tcp_client();
    over_tcp.connects({.client_id = "b"});
    fixture->server.close();
    fixture->server.close();
    CHECK(over_link.is_closed());
    CHECK(over_tcp.is_closed());
    CHECK(fixture->server.port() == 0);
    CHECK(fixture->client().is_closed());
}

TEST_CASE("The broker may be destroyed while operations are outstanding") {
    asio::io_context io;
    std::optional<broker> server(io.get_executor());
    asio::ip::tcp::socket stream(io);
    stream.connect({asio::ip::address_v4::loopback(), server->listen()});
    testing::network net(io);
    net.listen("localhost", *server);
    testing::link other(net);
    other.async_open({}, {}, [](std::error_code) {});
    const int steps = GENERATE(0, 1, 2, 3, 4, 5, 6, 7, 8);
    for (int i = 0; i != steps; ++i)
        io.poll_one();
    SECTION("its handlers run later") {
        server.reset();
        io.restart();
        io.poll();
    }
    SECTION("its handlers never run") {
        server.reset();
    }
}

TEST_CASE("The functions of the options may close the broker, drop clients and throw") {
    asio::io_context io;
    std::optional<broker> server;
    std::function<void()> act;
    broker_options options;
    options.on_packet = [&](testing::packet_direction, std::string_view, const any_packet& p) {
        if (std::holds_alternative<publish>(p)) act();
    };
    server.emplace(io.get_executor(), options);
    testing::network net(io);
    net.listen("localhost", *server);
    testing::link stream(net);
    bool connected = false;
    stream.async_open({}, {}, [&](std::error_code) { connected = true; });
    REQUIRE(run_until(io, [&] { return connected; }));
    raw_client client(io, std::move(stream), v5);
    client.connects(lasting("c", v5));
    client.subscribes({{.filter = "t", .max_qos = qos::exactly_once}});
    SECTION("close") {
        act = [&] { server->close(); };
        client.send(make_publish("t", "x", qos::at_least_once, 1));
        CHECK(client.is_closed());
    }
    SECTION("destroy") {
        act = [&] { server.reset(); };
        client.send(make_publish("t", "x", qos::at_least_once, 1));
        CHECK(client.is_closed());
    }
    SECTION("drop") {
        act = [&] { server->drop("c"); };
        client.send(make_publish("t", "x", qos::at_least_once, 1));
        while (!client.is_at_end())
            client.receive();
        CHECK(server->violations().empty());
    }
    SECTION("publish") {
        act = [&, once = true]() mutable {
            if (std::exchange(once, false)) server->publish({.topic = "t", .payload = "y"});
        };
        client.send(make_publish("t", "x"));
        client.receives("t", "x");
        client.receives("t", "y");
    }
    SECTION("throw") {
        act = [] { throw std::runtime_error("of the test"); };
        client.try_send_bytes(bytes_of(make_publish("t", "x", qos::at_least_once, 1), v5), 1, false);
        CHECK_THROWS_AS(io.run(), std::runtime_error);
        act = [] {};
        CHECK(client.is_closed());
    }
}

} // namespace
} // namespace tern::broker_tests
