// Violations by clients: the broker reports each with its statement, and ends the connection with a reason code.
#include "raw_client.hpp"

namespace tern::broker_tests {
namespace {

// Requires that the client is disconnected, in 5.0 with the reason code, and that the only violation has the statement.
template <class Client>
void check_violation(broker_fixture& fixture, Client& client, std::string_view statement, reason_code code) {
    if (client.version == v5) {
        const auto answer = client.template expect<disconnect>();
        CHECK(answer.reason_code == code);
        CHECK(answer.properties.reason_string.value_or("").starts_with(statement));
    }
    CHECK(client.is_closed());
    CHECK(fixture.broken() == statement);
    const auto& all = fixture.server.violations();
    REQUIRE_FALSE(all.empty());
    CHECK(all.front().client_id == "c");
    CHECK_FALSE(all.front().text.empty());
    CHECK(all.front().error != errc::none);
}

struct statement {
    std::string_view in_v3_1_1;
    std::string_view in_v5;
    std::string_view of(protocol_version version) const { return version == v5 ? in_v5 : in_v3_1_1; }
};

TEST_CASE("The first packet must be CONNECT [v311:MQTT-3.1.0-1, v5:MQTT-3.1.0-1]") {
    broker_fixture fixture;
    auto client = fixture.client();
    client.send(pingreq{});
    CHECK(client.is_closed());
    CHECK(fixture.broken() == "MQTT-3.1.0-1");
}

TEST_CASE("There must be only one CONNECT [v311:MQTT-3.1.0-2, v5:MQTT-3.1.0-2]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    client.send(connect{.version = version, .client_id = "c"});
    check_violation(fixture, client, "MQTT-3.1.0-2", reason_code::protocol_error);
}

TEST_CASE("A client must not send a server's packets [§2.1.2]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    const std::array codes{reason_code::success};
    SECTION("CONNACK") {
        client.send(connack{});
    }
    SECTION("SUBACK") {
        client.send(suback{.packet_id = 1, .reason_codes = codes});
    }
    SECTION("UNSUBACK") {
        client.send(
            unsuback{.packet_id = 1, .reason_codes = version == v5 ? reason_codes_view(codes) : reason_codes_view()});
    }
    SECTION("PINGRESP") {
        client.send(pingresp{});
    }
    check_violation(fixture, client, statement{"§2.2.1", "§2.1.2"}.of(version), reason_code::protocol_error);
}

TEST_CASE("No AUTH without an authentication method in CONNECT [v5:MQTT-4.12.0-7]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.send(auth{.reason_code = reason_code::re_authenticate, .properties = {.authentication_method = "m"}});
    check_violation(fixture, client, "MQTT-4.12.0-7", reason_code::protocol_error);
}

TEST_CASE("Malformed packets end the connection with a reason code [v311:MQTT-4.8.0-1, v5:MQTT-4.13.1-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    SECTION("wrong flags") {
        client.send_bytes(std::string("\xC1\x00", 2));
        check_violation(fixture, client, statement{"MQTT-2.2.2-2", "MQTT-2.1.3-1"}.of(version),
                        reason_code::malformed_packet);
    }
    SECTION("QoS 3") {
        client.send_bytes(std::string("\x36\x04\x00\x01t\x00", 6));
        check_violation(fixture, client, "MQTT-3.3.1-4", reason_code::malformed_packet);
    }
    SECTION("DUP with QoS 0") {
        client.send_bytes(version == v5 ? std::string("\x38\x04\x00\x01t\x00", 6)
                                        : std::string("\x38\x03\x00\x01t", 5));
        check_violation(fixture, client, "MQTT-3.3.1-2", reason_code::malformed_packet);
    }
    SECTION("a wildcard in a topic name") {
        client.send_bytes(version == v5 ? std::string("\x30\x04\x00\x01#\x00", 6)
                                        : std::string("\x30\x03\x00\x01#", 5));
        check_violation(fixture, client, "MQTT-3.3.2-2", reason_code::malformed_packet);
    }
    SECTION("a packet identifier 0") {
        client.send_bytes(std::string("\x40\x02\x00\x00", 4));
        check_violation(fixture, client, statement{"MQTT-2.3.1-1", "MQTT-2.2.1-3"}.of(version),
                        reason_code::protocol_error);
    }
    SECTION("a remaining length of five bytes") {
        client.send_bytes(std::string("\x30\xFF\xFF\xFF\xFF\x01", 6));
        check_violation(fixture, client, statement{"§2.2.3", "MQTT-1.5.5-1"}.of(version),
                        reason_code::malformed_packet);
    }
}

TEST_CASE("A malformed CONNECT is refused [v311:MQTT-3.1.4-1, v5:MQTT-3.1.4-1]") {
    broker_fixture fixture;
    SECTION("5.0: with CONNACK") {
        auto client = fixture.client(v5);
        client.send_bytes(std::string("\x10\x0E\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01z", 16));
        CHECK(client.expect<connack>().reason_code == reason_code::malformed_packet);
        CHECK(client.is_closed());
    }
    SECTION("3.1.1: without CONNACK") {
        auto client = fixture.client(v3_1_1);
        client.send_bytes(std::string("\x10\x0D\x00\x04MQTT\x04\x03\x00\x00\x00\x01z", 15));
        CHECK(client.is_closed());
    }
    CHECK(fixture.broken() == "MQTT-3.1.2-3");
}

TEST_CASE("Another protocol name is refused [v311:MQTT-3.1.2-1, v5:MQTT-3.1.2-1]") {
    broker_fixture fixture;
    auto client = fixture.client();
    client.send_bytes(std::string("\x10\x0F\x00\x06MQIsdp\x03\x02\x00\x00\x00\x01z", 17));
    CHECK(client.is_closed());
    CHECK(fixture.broken() == "MQTT-3.1.2-1");
}

TEST_CASE("A client must not send packets after DISCONNECT [v311:MQTT-3.14.4-1, v311:MQTT-3.14.4-2, "
          "v5:MQTT-3.14.4-1, v5:MQTT-3.14.4-2]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    SECTION("in the same write") {
        client.send(disconnect{}, pingreq{});
    }
    SECTION("in a later write") {
        client.send(disconnect{});
        client.send(pingreq{});
    }
    CHECK(client.is_closed());
    client.close();
    CHECK(run_until(fixture.io, [&] { return !fixture.server.violations().empty(); }));
    CHECK(fixture.broken() == statement{"MQTT-3.14.4-2", "MQTT-3.14.4-1"}.of(version));
}

TEST_CASE("DISCONNECT must not set a session expiry interval that was 0 in CONNECT [§3.14.2.2.2]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.send(disconnect{.properties = {.session_expiry_interval = std::chrono::seconds{1}}});
    check_violation(fixture, client, "§3.14.2.2.2", reason_code::protocol_error);
}

// ---- packet identifiers and DUP

TEST_CASE("A packet identifier in use must not be reused [v311:MQTT-2.3.1-2, v5:MQTT-2.2.1-3]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    const std::array<subscription, 1> subscriptions{{{.filter = "t"}}};
    const std::array<std::string_view, 1> filters{"t"};
    bool answered = true;
    SECTION("while PUBREL is awaited") {
        client.send(make_publish("t", "x", qos::exactly_once, 1));
        client.expect<pubrec>();
        SECTION("QoS 2") {
            client.send(make_publish("t", "y", qos::exactly_once, 1));
        }
        SECTION("QoS 1") {
            client.send(make_publish("t", "x", qos::at_least_once, 1));
        }
        SECTION("SUBSCRIBE") {
            client.send(subscribe{.packet_id = 1, .subscriptions = subscriptions});
        }
        SECTION("UNSUBSCRIBE") {
            client.send(unsubscribe{.packet_id = 1, .filters = filters});
        }
        answered = false;
    }
    SECTION("before PUBACK can have arrived") {
        client.send(make_publish("t", "x", qos::at_least_once, 1), make_publish("t", "y", qos::at_least_once, 1));
    }
    SECTION("before UNSUBACK can have arrived") {
        if (version == v3_1_1) return; // there the second one may be a repetition
        client.send(unsubscribe{.packet_id = 1, .filters = filters}, unsubscribe{.packet_id = 1, .filters = filters});
        client.expect<unsuback>();
        answered = false;
    }
    if (answered) client.expect<puback>();
    check_violation(fixture, client, statement{"MQTT-2.3.1-2", "MQTT-2.2.1-3"}.of(version),
                    reason_code::protocol_error);
}

TEST_CASE("A packet identifier is free after the last acknowledgement [v5:MQTT-4.3.2-5, v5:MQTT-4.3.3-12]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    for (int i = 0; i != 2; ++i) {
        client.send(make_publish("t", "x", qos::at_least_once, 1));
        client.expect<puback>();
        client.send(make_publish("t", "x", qos::exactly_once, 1));
        client.expect<pubrec>();
        client.send(pubrel{.packet_id = 1});
        client.expect<pubcomp>();
    }
    CHECK(fixture.broken().empty());
}

TEST_CASE("A new message must not have DUP [v311:MQTT-4.3.2-1, v311:MQTT-4.3.3-1, v5:MQTT-4.3.2-1, "
          "v5:MQTT-4.3.2-2, v5:MQTT-4.3.3-1, v5:MQTT-4.3.3-2]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    SECTION("QoS 1") {
        client.send(again(make_publish("t", "x", qos::at_least_once, 1)));
        check_violation(fixture, client, statement{"MQTT-4.3.2-1", "MQTT-4.3.2-2"}.of(version),
                        reason_code::protocol_error);
    }
    SECTION("QoS 2") {
        client.send(again(make_publish("t", "x", qos::exactly_once, 1)));
        check_violation(fixture, client, statement{"MQTT-4.3.3-1", "MQTT-4.3.3-2"}.of(version),
                        reason_code::protocol_error);
    }
}

TEST_CASE("Messages that a resumed session resends with DUP are delivered once [v311:MQTT-4.4.0-1, "
          "v5:MQTT-4.3.3-10, v5:MQTT-4.4.0-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto witness = fixture.connected("w", version);
    witness.subscribes({{.filter = "t", .max_qos = qos::at_most_once}});
    {
        auto client = fixture.connected(lasting("c", version));
        client.send(make_publish("t", "two", qos::exactly_once, 2), make_publish("t", "three", qos::exactly_once, 3));
        client.expect<pubrec>();
        client.expect<pubrec>();
        client.close();
    }
    witness.receives("t", "two");
    witness.receives("t", "three");
    auto client = fixture.connected(lasting("c", version));
    client.send(again(make_publish("t", "one", qos::at_least_once, 1)), // the first one was lost
                again(make_publish("t", "two", qos::exactly_once, 2)),
                again(make_publish("t", "three", qos::exactly_once, 3)));
    CHECK(client.expect<puback>().packet_id == 1);
    CHECK(client.expect<pubrec>().packet_id == 2);
    CHECK(client.expect<pubrec>().packet_id == 3);
    client.send(pubrel{.packet_id = 2}, pubrel{.packet_id = 3});
    CHECK(client.expect<pubcomp>().packet_id == 2);
    CHECK(client.expect<pubcomp>().packet_id == 3);
    witness.receives("t", "one");
    witness.expect_nothing();
    CHECK(fixture.broken().empty());
}

TEST_CASE("PUBREL may be resent after a reconnect [§3.6.2.1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    {
        auto client = fixture.connected(lasting("c", version));
        client.send(make_publish("t", "x", qos::exactly_once, 2));
        client.expect<pubrec>();
        client.send(pubrel{.packet_id = 2});
        client.close(); // before PUBCOMP
    }
    auto client = fixture.connected(lasting("c", version));
    client.send(pubrel{.packet_id = 2});
    const auto answer = client.expect<pubcomp>();
    CHECK(answer.packet_id == 2);
    CHECK(answer.reason_code == (version == v5 ? reason_code::packet_identifier_not_found : reason_code::success));
    CHECK(fixture.broken().empty());
}

TEST_CASE("A resumed session must resend the same messages in order and with DUP [v311:MQTT-3.3.1-1, "
          "v311:MQTT-4.4.0-1, v311:MQTT-4.6.0-1, v5:MQTT-3.3.1-1, v5:MQTT-4.4.0-1, v5:MQTT-4.6.0-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    {
        auto client = fixture.connected(lasting("c", version));
        client.send(make_publish("t", "x", qos::exactly_once, 2), make_publish("t", "y", qos::exactly_once, 3));
        client.expect<pubrec>();
        client.expect<pubrec>();
        client.close();
    }
    auto client = fixture.connected(lasting("c", version));
    SECTION("without DUP") {
        client.send(make_publish("t", "x", qos::exactly_once, 2));
        check_violation(fixture, client, "MQTT-3.3.1-1", reason_code::protocol_error);
    }
    SECTION("with other content") {
        client.send(again(make_publish("t", "z", qos::exactly_once, 2)));
        check_violation(fixture, client, "MQTT-4.4.0-1", reason_code::protocol_error);
    }
    SECTION("with another packet identifier, which the order of PUBREL reveals") {
        client.send(again(make_publish("t", "x", qos::exactly_once, 4)));
        client.expect<pubrec>();
        client.send(pubrel{.packet_id = 4});
        check_violation(fixture, client, "MQTT-4.6.0-4", reason_code::protocol_error);
    }
    SECTION("in another order") {
        client.send(again(make_publish("t", "y", qos::exactly_once, 3)),
                    again(make_publish("t", "x", qos::exactly_once, 2)));
        client.expect<pubrec>();
        check_violation(fixture, client, "MQTT-4.6.0-1", reason_code::protocol_error);
    }
}

TEST_CASE("A 5.0 client must not resend on the same connection [v5:MQTT-4.4.0-1]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    SECTION("QoS 1") {
        client.send(make_publish("t", "x", qos::at_least_once, 1));
        client.expect<puback>();
        client.send(again(make_publish("t", "x", qos::at_least_once, 1)));
    }
    SECTION("QoS 2") {
        client.send(make_publish("t", "x", qos::exactly_once, 1));
        client.expect<pubrec>();
        client.send(again(make_publish("t", "x", qos::exactly_once, 1)));
    }
    SECTION("PUBREL") {
        client.send(make_publish("t", "x", qos::exactly_once, 1));
        client.expect<pubrec>();
        client.send(pubrel{.packet_id = 1});
        client.expect<pubcomp>();
        client.send(pubrel{.packet_id = 1});
    }
    check_violation(fixture, client, "MQTT-4.4.0-1", reason_code::protocol_error);
}

TEST_CASE("A 3.1.1 client may resend on the same connection") {
    broker_fixture fixture;
    auto client = fixture.connected("c", v3_1_1);
    client.send(make_publish("t", "x", qos::at_least_once, 1));
    client.expect<puback>();
    client.send(again(make_publish("t", "x", qos::at_least_once, 1)));
    client.expect<puback>();
    client.send(make_publish("t", "x", qos::exactly_once, 1));
    client.expect<pubrec>();
    client.send(again(make_publish("t", "x", qos::exactly_once, 1)));
    client.expect<pubrec>();
    client.send(pubrel{.packet_id = 1});
    client.expect<pubcomp>();
    client.send(pubrel{.packet_id = 1});
    client.expect<pubcomp>();
    CHECK(fixture.broken().empty());
}

TEST_CASE("PUBLISH must not be resent after PUBREL [v311:MQTT-4.3.3-1, v5:MQTT-4.3.3-1, v5:MQTT-4.3.3-6]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    client.send(make_publish("t", "x", qos::exactly_once, 1));
    client.expect<pubrec>();
    client.send(pubrel{.packet_id = 1});
    client.expect<pubcomp>();
    client.send(again(make_publish("t", "x", qos::exactly_once, 1)));
    check_violation(fixture, client, statement{"MQTT-4.3.3-1", "MQTT-4.3.3-6"}.of(version),
                    reason_code::protocol_error);
}

TEST_CASE("PUBREL must follow a PUBREC, in the same order [v311:MQTT-4.6.0-4, v5:MQTT-2.2.1-5, v5:MQTT-4.3.3-4, "
          "v5:MQTT-4.6.0-4]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    SECTION("an unknown identifier") {
        client.send(pubrel{.packet_id = 7});
        check_violation(fixture, client, statement{"MQTT-2.3.1-6", "MQTT-2.2.1-5"}.of(version),
                        reason_code::protocol_error);
    }
    SECTION("before PUBREC can have arrived") {
        client.send(make_publish("t", "x", qos::exactly_once, 1), pubrel{.packet_id = 1});
        client.expect<pubrec>();
        check_violation(fixture, client, statement{"MQTT-4.3.3-1", "MQTT-4.3.3-4"}.of(version),
                        reason_code::protocol_error);
    }
    SECTION("not in the order of PUBREC") {
        client.send(make_publish("t", "x", qos::exactly_once, 1), make_publish("t", "x", qos::exactly_once, 2));
        client.expect<pubrec>();
        client.expect<pubrec>();
        client.send(pubrel{.packet_id = 2});
        check_violation(fixture, client, "MQTT-4.6.0-4", reason_code::protocol_error);
    }
}

// ---- acknowledgements

TEST_CASE("An acknowledgement must match the identifier, the QoS and the order of a message [v311:MQTT-3.3.4-1, "
          "v311:MQTT-4.6.0-2, v311:MQTT-4.6.0-3, v5:MQTT-2.2.1-5, v5:MQTT-3.3.4-1, v5:MQTT-4.3.3-8, "
          "v5:MQTT-4.3.3-11, v5:MQTT-4.6.0-2, v5:MQTT-4.6.0-3]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    client.subscribes({{.filter = "t", .max_qos = qos::exactly_once}});
    for (const auto quality : {qos::at_least_once, qos::exactly_once, qos::at_least_once, qos::exactly_once})
        fixture.server.publish({.topic = "t", .payload = "x", .qos = quality});
    std::array<packet_id, 4> ids{};
    for (packet_id& id : ids)
        id = client.expect<publish>().packet_id;

    const statement unknown{"MQTT-2.3.1-6", "MQTT-2.2.1-5"};
    std::string_view expected;
    SECTION("PUBACK for an unknown identifier") {
        client.send(puback{.packet_id = 77});
        expected = unknown.of(version);
    }
    SECTION("PUBREC for an unknown identifier") {
        client.send(pubrec{.packet_id = 77});
        expected = unknown.of(version);
    }
    SECTION("PUBCOMP for an unknown identifier") {
        client.send(pubcomp{.packet_id = 77});
        expected = unknown.of(version);
    }
    SECTION("PUBACK twice") {
        client.send(puback{.packet_id = ids[0]}, puback{.packet_id = ids[0]});
        expected = unknown.of(version);
    }
    SECTION("PUBACK for QoS 2") {
        client.send(puback{.packet_id = ids[1]});
        expected = "MQTT-3.3.4-1";
    }
    SECTION("PUBREC for QoS 1") {
        client.send(pubrec{.packet_id = ids[0]});
        expected = "MQTT-3.3.4-1";
    }
    SECTION("PUBCOMP for QoS 1") {
        client.send(pubcomp{.packet_id = ids[0]});
        expected = "MQTT-3.3.4-1";
    }
    SECTION("PUBCOMP before PUBREL") {
        client.send(pubcomp{.packet_id = ids[1]});
        expected = statement{"MQTT-4.3.3-2", "MQTT-4.3.3-11"}.of(version);
    }
    SECTION("PUBREC twice") {
        client.send(pubrec{.packet_id = ids[1]}, pubrec{.packet_id = ids[1]});
        client.expect<pubrel>();
        expected = statement{"MQTT-4.3.3-2", "MQTT-4.3.3-8"}.of(version);
    }
    SECTION("PUBACK out of order") {
        client.send(puback{.packet_id = ids[2]});
        expected = "MQTT-4.6.0-2";
    }
    SECTION("PUBREC out of order") {
        client.send(pubrec{.packet_id = ids[3]});
        expected = "MQTT-4.6.0-3";
    }
    check_violation(fixture, client, expected, reason_code::protocol_error);
}

TEST_CASE("PUBACK and PUBREC are ordered independently [v311:MQTT-4.6.0-2, v311:MQTT-4.6.0-3, v5:MQTT-4.6.0-2, "
          "v5:MQTT-4.6.0-3]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.subscribes({{.filter = "t", .max_qos = qos::exactly_once}});
    for (const auto quality : {qos::at_least_once, qos::exactly_once})
        fixture.server.publish({.topic = "t", .payload = "x", .qos = quality});
    const auto one = client.expect<publish>().packet_id;
    const auto two = client.expect<publish>().packet_id;
    client.send(pubrec{.packet_id = two});
    client.expect<pubrel>();
    client.send(puback{.packet_id = one}, pubcomp{.packet_id = two});
    client.expect_nothing();
    CHECK(fixture.broken().empty());
}

// ---- limits

TEST_CASE("A client must respect the broker's limits [v5:MQTT-3.2.2-11, v5:MQTT-3.2.2-14, v5:MQTT-3.2.2-15, "
          "v5:MQTT-3.2.2-17, v5:MQTT-3.3.4-6]") {
    broker_options options;
    options.limits = {.maximum_qos = qos::at_least_once,
                      .retain_available = false,
                      .maximum_packet_size = 100U,
                      .topic_alias_maximum = std::uint16_t{3},
                      .wildcard_subscription_available = false,
                      .subscription_identifier_available = false,
                      .shared_subscription_available = false};
    broker_fixture fixture(options);
    auto client = fixture.connected("c");
    publish p = make_publish("t", "x");
    const auto subscribe_to = [&](std::string_view filter, std::optional<std::uint32_t> identifier = {}) {
        const std::array<subscription, 1> subscriptions{{{.filter = filter}}};
        client.send(subscribe{
            .packet_id = 1, .subscriptions = subscriptions, .properties = {.subscription_identifier = identifier}});
    };
    SECTION("maximum QoS") {
        client.send(make_publish("t", "x", qos::exactly_once, 1));
        check_violation(fixture, client, "MQTT-3.2.2-11", reason_code::qos_not_supported);
    }
    SECTION("retain available") {
        client.send(retained(p));
        check_violation(fixture, client, "MQTT-3.2.2-14", reason_code::retain_not_supported);
    }
    SECTION("maximum packet size") {
        client.send(make_publish("t", std::string(200, 'x')));
        check_violation(fixture, client, "MQTT-3.2.2-15", reason_code::packet_too_large);
    }
    SECTION("topic alias maximum") {
        p.message.properties.topic_alias = std::uint16_t{4};
        client.send(p);
        check_violation(fixture, client, "MQTT-3.2.2-17", reason_code::topic_alias_invalid);
    }
    SECTION("a topic alias that was never set") {
        p.message.topic = "";
        p.message.properties.topic_alias = std::uint16_t{3};
        client.send(p);
        check_violation(fixture, client, "§3.3.2.1", reason_code::protocol_error);
    }
    SECTION("a subscription identifier in PUBLISH") {
        const std::array<std::uint32_t, 1> identifiers{1};
        p.message.properties.subscription_identifiers = identifiers;
        client.send(p);
        check_violation(fixture, client, "MQTT-3.3.4-6", reason_code::protocol_error);
    }
    SECTION("wildcard subscription available") {
        subscribe_to("t/#");
        check_violation(fixture, client, "§3.2.2.3.11", reason_code::wildcard_subscriptions_not_supported);
    }
    SECTION("subscription identifier available") {
        subscribe_to("t", 1);
        check_violation(fixture, client, "§3.2.2.3.12", reason_code::subscription_identifiers_not_supported);
    }
    SECTION("shared subscription available") {
        subscribe_to("$share/g/t");
        check_violation(fixture, client, "§3.2.2.3.13", reason_code::shared_subscriptions_not_supported);
    }
}

TEST_CASE("Without a topic alias maximum, topic aliases are refused [v5:MQTT-3.2.2-18]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    publish p = make_publish("t", "x");
    p.message.properties.topic_alias = std::uint16_t{1};
    client.send(p);
    check_violation(fixture, client, "MQTT-3.2.2-17", reason_code::topic_alias_invalid);
}

TEST_CASE("A client must respect the broker's Receive Maximum [v5:MQTT-3.3.4-7]") {
    broker_options options;
    options.limits.receive_maximum = std::uint16_t{2};
    broker_fixture fixture(options);
    auto client = fixture.connected("c");
    SECTION("QoS 1, before a PUBACK can have arrived") {
        client.send(make_publish("t", "1", qos::at_least_once, 1), make_publish("t", "2", qos::at_least_once, 2),
                    make_publish("t", "3", qos::at_least_once, 3));
        client.expect<puback>();
        client.expect<puback>();
        check_violation(fixture, client, "MQTT-3.3.4-7", reason_code::receive_maximum_exceeded);
    }
    SECTION("QoS 2, before PUBCOMP") {
        client.send(make_publish("t", "1", qos::exactly_once, 1), make_publish("t", "2", qos::exactly_once, 2));
        client.expect<pubrec>();
        client.expect<pubrec>();
        client.send(make_publish("t", "3", qos::at_least_once, 3));
        check_violation(fixture, client, "MQTT-3.3.4-7", reason_code::receive_maximum_exceeded);
    }
    SECTION("QoS 1, awaiting each PUBACK") {
        for (packet_id id = 1; id != 10; ++id) {
            client.send(make_publish("t", "1", qos::at_least_once, id), make_publish("t", "0"));
            client.expect<puback>();
        }
        CHECK(fixture.broken().empty());
    }
}

} // namespace
} // namespace tern::broker_tests
