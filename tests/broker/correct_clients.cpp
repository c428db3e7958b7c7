// Unusual clients that conform to the standard: the broker does not accuse them.
#include "raw_client.hpp"

namespace tern::broker_tests {
namespace {

publish two(packet_id id, std::string_view payload = "x") {
    return make_publish("t", payload, qos::exactly_once, id);
}
publish one(packet_id id, std::string_view payload = "x") {
    return make_publish("t", payload, qos::at_least_once, id);
}

TEST_CASE("A client resends its messages one by one, and releases each before the next [v311:MQTT-4.6.0-1, "
          "v311:MQTT-4.6.0-4, v5:MQTT-4.6.0-1, v5:MQTT-4.6.0-4]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    {
        auto client = fixture.connected(lasting("c", version));
        client.send(two(1), two(2)); // both PUBRECs are lost
        client.close();
    }
    SECTION("on one connection") {
        auto client = fixture.connected(lasting("c", version));
        for (const packet_id id : {packet_id{1}, packet_id{2}}) {
            client.send(again(two(id)));
            CHECK(client.expect<pubrec>().packet_id == id);
            client.send(pubrel{.packet_id = id});
            CHECK(client.expect<pubcomp>().packet_id == id);
        }
    }
    SECTION("and loses another connection before PUBREL") {
        {
            auto client = fixture.connected(lasting("c", version));
            client.send(again(two(1)));
            client.expect<pubrec>();
            client.close();
        }
        auto client = fixture.connected(lasting("c", version));
        client.send(pubrel{.packet_id = 1}, again(two(2)));
        CHECK(client.expect<pubcomp>().packet_id == 1);
        CHECK(client.expect<pubrec>().packet_id == 2);
        client.send(pubrel{.packet_id = 2});
        CHECK(client.expect<pubcomp>().packet_id == 2);
    }
    CHECK(fixture.broken().empty());
}

TEST_CASE("A new message may be released before an earlier one is resent [v311:MQTT-4.6.0-4, v5:MQTT-4.6.0-4]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    {
        auto client = fixture.connected(lasting("c", version));
        client.send(two(1)); // its PUBREC is lost
        client.close();
    }
    auto client = fixture.connected(lasting("c", version));
    client.send(two(2));
    client.expect<pubrec>();
    client.send(pubrel{.packet_id = 2}, again(two(1)));
    CHECK(client.expect<pubcomp>().packet_id == 2);
    CHECK(client.expect<pubrec>().packet_id == 1);
    CHECK(fixture.broken().empty());
}

TEST_CASE("A message whose first PUBLISH was lost precedes the new ones of the same connection [v311:MQTT-4.6.0-1, "
          "v5:MQTT-4.6.0-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    fixture.connected(lasting("c", version)).close(); // PUBLISH 1 is lost
    {
        auto client = fixture.connected(lasting("c", version));
        client.send(two(2), again(two(1))); // both PUBRECs are lost
        client.close();
    }
    auto client = fixture.connected(lasting("c", version));
    client.send(again(two(1)), again(two(2)));
    CHECK(client.expect<pubrec>().packet_id == 1);
    CHECK(client.expect<pubrec>().packet_id == 2);
    CHECK(fixture.broken().empty());
}

TEST_CASE("3.1.1: acknowledgements of a message that was resent on the same connection may cross it") {
    broker_fixture fixture;
    auto client = fixture.connected("c", v3_1_1);
    SECTION("PUBREL follows the first PUBREC") {
        client.send(two(1));
        client.expect<pubrec>();
        client.send(again(two(1)), pubrel{.packet_id = 1});
        client.expect<pubrec>();
        client.expect<pubcomp>();
    }
    SECTION("PUBRELs follow the order of the first PUBRECs [MQTT-4.6.0-4]") {
        client.send(two(1), two(2));
        client.expect<pubrec>();
        client.expect<pubrec>();
        client.send(again(two(1)), pubrel{.packet_id = 1}, pubrel{.packet_id = 2});
        client.expect<pubrec>();
        client.expect<pubcomp>();
        client.expect<pubcomp>();
    }
    SECTION("the first PUBACK frees the identifier [MQTT-4.3.2-1]") {
        client.send(one(1));
        client.expect<puback>();
        client.send(again(one(1)), one(1, "y"));
        client.expect<puback>();
        client.expect<puback>();
    }
    SECTION("the first PUBCOMP frees the identifier [MQTT-4.3.3-1]") {
        client.send(two(1));
        client.expect<pubrec>();
        client.send(pubrel{.packet_id = 1});
        client.expect<pubcomp>();
        client.send(pubrel{.packet_id = 1}, one(1, "y"));
        client.expect<pubcomp>();
        client.expect<puback>();
    }
    CHECK(fixture.broken().empty());
}

TEST_CASE("3.1.1: requests may be resent with their identifier [v311:MQTT-2.3.1-3]") {
    broker_fixture fixture;
    auto client = fixture.connected("c", v3_1_1);
    const std::array<subscription, 1> list{{{.filter = "t"}}};
    const std::array<std::string_view, 1> filters{"t"};
    const subscribe request{.packet_id = 1, .subscriptions = list};
    client.send(request, request);
    client.expect<suback>();
    client.expect<suback>();
    const unsubscribe end{.packet_id = 1, .filters = filters};
    client.send(end, end);
    client.expect<unsuback>();
    client.expect<unsuback>();
    CHECK(fixture.broken().empty());
}

TEST_CASE("3.1.1: a client with clean session 0 resends to a broker that has lost the session [v311:MQTT-4.4.0-1]") {
    broker_fixture fixture;
    auto client = fixture.connected(lasting("c", v3_1_1));
    client.send(pubrel{.packet_id = 1}, again(two(2)), again(one(3)));
    CHECK(client.expect<pubcomp>().packet_id == 1);
    CHECK(client.expect<pubrec>().packet_id == 2);
    CHECK(client.expect<puback>().packet_id == 3);
    CHECK(fixture.broken().empty());
}

TEST_CASE("PUBREL of an earlier connection does not count against Receive Maximum [v5:MQTT-3.3.4-7, §4.9]") {
    broker_options options;
    options.limits.receive_maximum = std::uint16_t{1};
    broker_fixture fixture(options);
    {
        auto client = fixture.connected(lasting("c", v5));
        client.send(two(1));
        client.expect<pubrec>();
        client.close();
    }
    auto client = fixture.connected(lasting("c", v5));
    client.send(pubrel{.packet_id = 1}, one(2));
    CHECK(client.expect<pubcomp>().packet_id == 1);
    CHECK(client.expect<puback>().packet_id == 2);
    CHECK(fixture.broken().empty());
}

TEST_CASE("The message expiry interval may be lower in a resent message [§3.3.2.3.3]") {
    broker_fixture fixture;
    publish p = two(1);
    p.message.properties.message_expiry_interval = std::chrono::seconds{60};
    {
        auto client = fixture.connected(lasting("c", v5));
        client.send(p);
        client.close();
    }
    auto client = fixture.connected(lasting("c", v5));
    p.message.properties.message_expiry_interval = std::chrono::seconds{50};
    client.send(again(p));
    CHECK(client.expect<pubrec>().packet_id == 1);
    CHECK(fixture.broken().empty());
}

TEST_CASE("A late acknowledgement may follow on the next connection [v5:MQTT-4.3.2-4, v5:MQTT-4.3.3-10]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    const auto quality = GENERATE(qos::at_least_once, qos::exactly_once);
    packet_id id = 0;
    {
        auto client = fixture.connected(lasting("c", version));
        client.subscribes({{.filter = "t", .max_qos = quality}});
        fixture.server.publish({.topic = "t", .payload = "x", .qos = quality});
        id = client.expect<publish>().packet_id;
        client.close();
    }
    auto client = fixture.connected(lasting("c", version));
    // One for the PUBLISH of the first connection, and one for that of the second.
    if (quality == qos::at_least_once) {
        client.send(puback{.packet_id = id});
        client.expect<publish>();
        client.send(puback{.packet_id = id});
    } else {
        client.send(pubrec{.packet_id = id});
        client.expect<publish>();
        client.expect<pubrel>();
        client.send(pubrec{.packet_id = id}, pubcomp{.packet_id = id});
    }
    client.expect_nothing();
    CHECK(fixture.broken().empty());
}

TEST_CASE("A client that does not wait for CONNACK cannot know the broker's limits [§3.1.4]") {
    broker_options options;
    options.limits = {.maximum_qos = qos::at_least_once,
                      .retain_available = false,
                      .maximum_packet_size = 100U,
                      .wildcard_subscription_available = false};
    broker_fixture fixture(options);
    auto client = fixture.client();
    const connect p{.client_id = "c"};
    const std::array<subscription, 1> wildcard{{{.filter = "t/#"}}};
    reason_code expected{};
    SECTION("maximum QoS") {
        client.send(p, two(1));
        expected = reason_code::qos_not_supported;
    }
    SECTION("retain available") {
        client.send(p, retained(make_publish("t", "x")));
        expected = reason_code::retain_not_supported;
    }
    SECTION("maximum packet size") {
        client.send(p, make_publish("t", std::string(200, 'x')));
        expected = reason_code::packet_too_large;
    }
    SECTION("wildcard subscription available") {
        client.send(p, subscribe{.packet_id = 1, .subscriptions = wildcard});
        expected = reason_code::wildcard_subscriptions_not_supported;
    }
    client.expect<connack>();
    CHECK(client.expect<disconnect>().reason_code == expected);
    CHECK(client.is_closed());
    CHECK(fixture.broken().empty());
}

TEST_CASE("A client whose Maximum Packet Size is too small for CONNACK is not served [v5:MQTT-3.1.2-24]") {
    broker_fixture fixture;
    auto witness = fixture.connected("w");
    witness.subscribes({{.filter = "will"}});
    auto client = fixture.client();
    connect p = lasting("c", v5);
    p.will = message_view{.topic = "will"};
    p.properties.maximum_packet_size = 4U;
    client.send(p);
    CHECK(client.is_closed());
    CHECK(fixture.broken().empty());
    witness.expect_nothing(); // the will belongs to a connection, and there was none
    p.properties.maximum_packet_size = 5U;
    CHECK_FALSE(fixture.client().connects(p).session_present);
}

} // namespace
} // namespace tern::broker_tests
