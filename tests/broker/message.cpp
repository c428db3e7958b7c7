// Routing and delivery of messages.
#include "raw_client.hpp"

namespace tern::broker_tests {
namespace {

TEST_CASE("A message arrives at the lower of the published and the granted QoS [v311:MQTT-3.8.4-6, "
          "v5:MQTT-3.8.4-7, v5:MQTT-3.8.4-8]") {
    const auto version = GENERATE(v3_1_1, v5);
    const auto published = GENERATE(qos::at_most_once, qos::at_least_once, qos::exactly_once);
    const auto granted = GENERATE(qos::at_most_once, qos::at_least_once, qos::exactly_once);
    broker_fixture fixture;
    auto receiver = fixture.connected("r", version);
    CHECK(receiver.subscribes({{.filter = "t/+", .max_qos = granted}}) ==
          std::vector{static_cast<reason_code>(granted)});
    auto sender = fixture.connected("s", version);
    sender.send(make_publish("t/1", "hello", published, published == qos::at_most_once ? packet_id{0} : packet_id{5}));
    if (published == qos::at_least_once) CHECK(sender.expect<puback>() == puback{.packet_id = 5});
    if (published == qos::exactly_once) {
        CHECK(sender.expect<pubrec>() == pubrec{.packet_id = 5});
        sender.send(pubrel{.packet_id = 5});
        CHECK(sender.expect<pubcomp>() == pubcomp{.packet_id = 5});
    }
    const auto p = receiver.receives("t/1", "hello");
    CHECK(p.message.qos == std::min(published, granted));
    CHECK_FALSE(p.message.retain);
    CHECK_FALSE(p.dup);
    receiver.expect_nothing();
    sender.expect_nothing();
    CHECK(fixture.broken().empty());
}

TEST_CASE("A 3.1.1 client receives the messages of a 5.0 client without properties") {
    broker_fixture fixture;
    auto client_v3_1_1 = fixture.connected("a", v3_1_1);
    client_v3_1_1.subscribes({{.filter = "#"}});
    auto client_v5 = fixture.connected("b", v5);
    client_v5.subscribes({{.filter = "#"}});
    publish p = make_publish("t", "x");
    p.message.properties.content_type = "text";
    client_v5.send(p);
    CHECK(client_v3_1_1.receives("t", "x").message.properties == message_properties{});
    CHECK(client_v5.receives("t", "x").message.properties.content_type == "text");
    client_v3_1_1.send(make_publish("t", "y"));
    CHECK(client_v5.receives("t", "y").message.properties == message_properties{});
}

TEST_CASE("Properties are forwarded unaltered and in order [v5:MQTT-3.3.2-4, v5:MQTT-3.3.2-15, v5:MQTT-3.3.2-16, "
          "v5:MQTT-3.3.2-17, v5:MQTT-3.3.2-18, v5:MQTT-3.3.2-20]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.subscribes({{.filter = "t"}});
    const std::array<user_property, 3> properties{{{"b", "1"}, {"a", "2"}, {"b", "0"}}};
    publish p = make_publish("t", "x");
    p.message.properties = {.payload_format_indicator = payload_format::utf8,
                            .response_topic = "answer",
                            .correlation_data = std::string_view("\0\xFF", 2),
                            .content_type = "text",
                            .user_properties = properties};
    client.send(p);
    CHECK(client.expect<publish>() == p);
}

TEST_CASE("The acknowledgement of a message without subscribers says so [§3.4.2.1]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.send(make_publish("t", "x", qos::at_least_once, 1), make_publish("t", "x", qos::exactly_once, 2));
    CHECK(client.expect<puback>().reason_code == reason_code::no_matching_subscribers);
    CHECK(client.expect<pubrec>().reason_code == reason_code::no_matching_subscribers);
}

TEST_CASE("A filter that begins with a wildcard does not match a $ topic [v311:MQTT-4.7.2-1, v5:MQTT-4.7.2-1]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.subscribes({{.filter = "#"}, {.filter = "+/a"}, {.filter = "$own/#"}});
    client.send(make_publish("$other/a", "x"), make_publish("$own/a", "y"));
    client.receives("$own/a", "y");
    client.expect_nothing();
}

TEST_CASE("UNSUBSCRIBE removes subscriptions, and UNSUBACK has a result for each [v311:MQTT-3.10.4-1, "
          "v311:MQTT-3.10.4-2, v311:MQTT-3.10.4-4, v311:MQTT-3.10.4-5, v5:MQTT-3.10.4-1, v5:MQTT-3.10.4-2, "
          "v5:MQTT-3.10.4-4, v5:MQTT-3.10.4-5, v5:MQTT-3.11.3-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    client.subscribes({{.filter = "a/+"}, {.filter = "b"}});
    const std::array<std::string_view, 2> filters{"a/b", "a/+"};
    client.send(unsubscribe{.packet_id = 7, .filters = filters});
    const auto answer = client.expect<unsuback>();
    CHECK(answer.packet_id == 7);
    const std::array codes{reason_code::no_subscription_existed, reason_code::success};
    CHECK(answer.reason_codes == (version == v5 ? reason_codes_view(codes) : reason_codes_view()));
    client.send(make_publish("a/b", "x"), make_publish("b", "y"));
    client.receives("b", "y");
    client.expect_nothing();
}

TEST_CASE("A later subscriber receives the retained message [v311:MQTT-3.3.1-5, v311:MQTT-3.3.1-6, "
          "v311:MQTT-3.3.1-8, v311:MQTT-3.3.1-9, v5:MQTT-3.3.1-5, v5:MQTT-3.3.1-9, v5:MQTT-3.3.1-12]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    client.subscribes({{.filter = "t"}});
    client.send(retained(make_publish("t", "first")), retained(make_publish("t", "kept")),
                make_publish("t", "not kept"));
    for (const auto* payload : {"first", "kept", "not kept"})
        CHECK_FALSE(client.receives("t", payload).message.retain);
    auto late = fixture.connected("late", version);
    late.subscribes({{.filter = "+"}});
    CHECK(late.receives("t", "kept").message.retain);
    late.expect_nothing();

    client.send(retained(make_publish("t", ""))); // [MQTT-3.3.1-10] [MQTT-3.3.1-11]
    client.receives("t", "");
    auto latest = fixture.connected("latest", version);
    latest.subscribes({{.filter = "t"}});
    latest.expect_nothing();
}

TEST_CASE("Subscribing again sends the retained messages again [v311:MQTT-3.8.4-3, v5:MQTT-3.3.1-9, "
          "v5:MQTT-3.8.4-3]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto client = fixture.connected("c", version);
    client.send(retained(make_publish("t", "kept", qos::at_least_once, 1)));
    client.expect<puback>();
    client.subscribes({{.filter = "t", .max_qos = qos::at_least_once}});
    CHECK(client.receives("t", "kept").message.qos == qos::at_least_once);
    client.subscribes({{.filter = "t", .max_qos = qos::at_most_once}});
    CHECK(client.receives("t", "kept").message.qos == qos::at_most_once);
    client.send(make_publish("t", "once", qos::at_least_once, 1));
    client.expect<publish>();
    client.expect<puback>();
    client.expect_nothing();
}

TEST_CASE("Retain handling selects the subscriptions that get retained messages [v5:MQTT-3.3.1-9, "
          "v5:MQTT-3.3.1-10, v5:MQTT-3.3.1-11]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.send(retained(make_publish("t", "kept")));
    client.subscribes({{.filter = "t", .retain_handling = retain_handling::do_not_send}});
    client.expect_nothing();
    client.subscribes({{.filter = "t", .retain_handling = retain_handling::send_if_new}});
    client.expect_nothing();
    client.subscribes({{.filter = "t", .retain_handling = retain_handling::send}});
    client.receives("t", "kept");
    client.subscribes({{.filter = "+", .retain_handling = retain_handling::send_if_new}});
    client.receives("t", "kept");
}

TEST_CASE("Retain as published preserves the retain flag [v5:MQTT-3.3.1-12, v5:MQTT-3.3.1-13]") {
    broker_fixture fixture;
    auto plain = fixture.connected("plain");
    plain.subscribes({{.filter = "t"}});
    auto as_published = fixture.connected("as published");
    as_published.subscribes({{.filter = "t", .retain_as_published = true}});
    plain.send(retained(make_publish("t", "x")), make_publish("t", "y"));
    CHECK_FALSE(plain.receives("t", "x").message.retain);
    CHECK(as_published.receives("t", "x").message.retain);
    CHECK_FALSE(as_published.receives("t", "y").message.retain);
}

TEST_CASE("With No Local a client does not receive its own messages [v5:MQTT-3.8.3-3]") {
    broker_fixture fixture;
    auto one = fixture.connected("one");
    auto other = fixture.connected("other");
    one.subscribes({{.filter = "t", .no_local = true}});
    other.subscribes({{.filter = "t", .no_local = true}});
    one.send(make_publish("t", "x"));
    one.expect_nothing();
    other.receives("t", "x");
}

TEST_CASE("Overlapping subscriptions get one message with the highest QoS and all identifiers [v311:MQTT-3.3.5-1, "
          "v5:MQTT-3.3.4-2, v5:MQTT-3.3.4-3, v5:MQTT-3.3.4-4]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.subscribes({{.filter = "a/+", .max_qos = qos::at_least_once}}, {.subscription_identifier = 1U});
    client.subscribes({{.filter = "a/#", .max_qos = qos::exactly_once}}, {.subscription_identifier = 268'435'455U});
    client.subscribes({{.filter = "#", .max_qos = qos::at_most_once}});
    auto sender = fixture.connected("s");
    sender.send(make_publish("a/b", "x", qos::exactly_once, 1));
    const auto p = client.receives("a/b", "x");
    CHECK(p.message.qos == qos::exactly_once);
    std::vector<std::uint32_t> identifiers;
    for (const std::uint32_t each : p.message.properties.subscription_identifiers)
        identifiers.push_back(each);
    std::sort(identifiers.begin(), identifiers.end());
    CHECK(identifiers == std::vector<std::uint32_t>{1, 268'435'455});
}

TEST_CASE("A retained message carries the identifier of the subscription") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.send(retained(make_publish("t", "x")));
    client.subscribes({{.filter = "t"}}, {.subscription_identifier = 9U});
    CHECK(client.receives("t", "x").message.properties.subscription_identifiers.front() == 9);
}

TEST_CASE("The members of a shared subscription receive messages in turn [v5:MQTT-4.8.2-3]") {
    broker_fixture fixture;
    auto first = fixture.connected("first");
    auto second = fixture.connected("second");
    auto only_member = fixture.connected("only member");
    first.subscribes({{.filter = "$share/g/t"}});
    second.subscribes({{.filter = "$share/g/t"}});
    only_member.subscribes({{.filter = "$share/h/t"}});
    auto sender = fixture.connected("sender");
    sender.send(make_publish("t", "1"), make_publish("t", "2"), make_publish("t", "3"));
    first.receives("t", "1");
    second.receives("t", "2");
    first.receives("t", "3");
    for (const auto* each : {"1", "2", "3"})
        only_member.receives("t", each);
    second.close();
    sender.expect_nothing();
    sender.send(make_publish("t", "4"), make_publish("t", "5"));
    first.receives("t", "4");
    first.receives("t", "5");
    first.expect_nothing();
}

TEST_CASE("A shared subscription gets no retained messages [§4.8.2]") {
    broker_fixture fixture;
    auto client = fixture.connected("c");
    client.send(retained(make_publish("t", "x")));
    client.subscribes({{.filter = "$share/g/t"}});
    client.expect_nothing();
}

TEST_CASE("Messages for a disconnected client are queued, except those of QoS 0 [v311:MQTT-3.1.2-5, "
          "v311:MQTT-4.5.0-1, v5:MQTT-4.5.0-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    {
        auto client = fixture.connected(lasting("c", version));
        client.subscribes({{.filter = "t", .max_qos = qos::exactly_once}});
        client.send(disconnect{});
        CHECK(client.is_closed());
    }
    auto sender = fixture.connected("s", version);
    sender.send(make_publish("t", "0"), make_publish("t", "1", qos::at_least_once, 1),
                make_publish("t", "2", qos::exactly_once, 2));
    sender.expect<puback>();
    sender.expect<pubrec>();
    auto client = fixture.connected(lasting("c", version));
    CHECK_FALSE(client.receives("t", "1").dup);
    CHECK_FALSE(client.receives("t", "2").dup);
    client.expect_nothing();
}

TEST_CASE("Unacknowledged messages are resent in order and with DUP [v311:MQTT-3.3.1-1, v311:MQTT-4.4.0-1, "
          "v311:MQTT-4.6.0-1, v5:MQTT-3.3.1-1, v5:MQTT-4.4.0-1, v5:MQTT-4.6.0-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    std::vector<packet_id> ids;
    {
        auto client = fixture.connected(lasting("c", version));
        client.subscribes({{.filter = "t", .max_qos = qos::exactly_once}});
        client.send(make_publish("t", "a", qos::exactly_once, 1), make_publish("t", "b", qos::at_least_once, 2),
                    make_publish("t", "c", qos::exactly_once, 3));
        for (int i = 0; i != 3; ++i) {
            ids.push_back(client.expect<publish>().packet_id);
            if (i == 1)
                client.expect<puback>();
            else
                client.expect<pubrec>();
        }
        client.send(pubrel{.packet_id = 1}, pubrel{.packet_id = 3});
        client.expect<pubcomp>();
        client.expect<pubcomp>();
        client.send(pubrec{.packet_id = ids[0]});
        CHECK(client.expect<pubrel>().packet_id == ids[0]);
        client.close();
    }
    auto client = fixture.connected(lasting("c", version));
    CHECK(client.expect<pubrel>().packet_id == ids[0]);
    const auto b = client.expect<publish>();
    CHECK(b.dup);
    CHECK(b.packet_id == ids[1]);
    CHECK(b.message.payload == "b");
    const auto c = client.expect<publish>();
    CHECK(c.dup);
    CHECK(c.packet_id == ids[2]);
    client.send(pubcomp{.packet_id = ids[0]}, puback{.packet_id = ids[1]}, pubrec{.packet_id = ids[2]});
    client.expect<pubrel>();
    client.send(pubcomp{.packet_id = ids[2]});
    client.expect_nothing();
    CHECK(fixture.broken().empty());
}

TEST_CASE("PUBREC with an error ends the delivery [v5:MQTT-4.4.0-2]") {
    broker_fixture fixture;
    auto client = fixture.connected(lasting("c", v5));
    client.subscribes({{.filter = "t", .max_qos = qos::exactly_once}});
    client.send(make_publish("t", "x", qos::exactly_once, 1));
    const auto id = client.expect<publish>().packet_id;
    client.expect<pubrec>();
    client.send(pubrec{.packet_id = id, .reason_code = reason_code::quota_exceeded});
    client.expect_nothing();
    client.close();
    auto again = fixture.connected(lasting("c", v5));
    again.expect_nothing();
}

TEST_CASE("The client's Receive Maximum is respected [v5:MQTT-3.3.4-9, v5:MQTT-3.3.4-10]") {
    broker_fixture fixture;
    auto client = fixture.connected({.client_id = "c", .properties = {.receive_maximum = std::uint16_t{2}}});
    client.subscribes({{.filter = "t", .max_qos = qos::exactly_once}});
    auto sender = fixture.connected("s");
    sender.send(make_publish("t", "1", qos::at_least_once, 1), make_publish("t", "2", qos::exactly_once, 2),
                make_publish("t", "3", qos::at_least_once, 3), make_publish("t", "0"));
    const auto one = client.expect<publish>();
    const auto two = client.expect<publish>();
    CHECK(client.expect<publish>().message.payload == "0"); // Receive Maximum does not limit QoS 0
    client.expect_nothing();
    client.send(pubrec{.packet_id = two.packet_id});
    client.expect<pubrel>();
    client.expect_nothing(); // PUBREC does not end the exchange
    client.send(puback{.packet_id = one.packet_id});
    client.receives("t", "3");
}

TEST_CASE("Messages beyond the client's Maximum Packet Size are dropped [v5:MQTT-3.1.2-24, v5:MQTT-3.1.2-25]") {
    broker_fixture fixture;
    auto client = fixture.connected({.client_id = "c", .properties = {.maximum_packet_size = 20U}});
    client.subscribes({{.filter = "t", .max_qos = qos::at_least_once}});
    auto sender = fixture.connected("s");
    const std::string large(100, 'x');
    sender.send(make_publish("t", large), make_publish("t", large, qos::at_least_once, 1),
                make_publish("t", "small", qos::at_least_once, 2));
    client.receives("t", "small");
    client.expect_nothing();
}

TEST_CASE("A topic alias replaces its topic [v5:MQTT-3.3.2-12]") {
    broker_options options;
    options.limits.topic_alias_maximum = std::uint16_t{2};
    broker_fixture fixture(options);
    auto client = fixture.connected("c");
    client.subscribes({{.filter = "#"}});
    publish p = make_publish("long/topic", "1");
    p.message.properties.topic_alias = std::uint16_t{2};
    client.send(p);
    CHECK(client.receives("long/topic", "1").message.properties == message_properties{});
    p = make_publish("", "2");
    p.message.properties.topic_alias = std::uint16_t{2};
    client.send(p);
    client.receives("long/topic", "2");
    p.message.topic = "other/topic"; // redefines the alias
    client.send(p);
    client.receives("other/topic", "2");
}

TEST_CASE("A granted QoS is within the maximum QoS [v5:MQTT-3.2.2-10, v5:MQTT-3.8.4-7]") {
    broker_options options;
    options.limits.maximum_qos = qos::at_least_once;
    broker_fixture fixture(options);
    auto client = fixture.connected("c");
    CHECK(client.subscribes({{.filter = "t", .max_qos = qos::exactly_once}}) ==
          std::vector{reason_code::granted_qos_1});
}

TEST_CASE("publish() sends a message, and on_packet observes every packet") {
    std::vector<std::string> observed;
    broker_options options;
    options.on_packet = [&](testing::packet_direction direction, std::string_view client_id, const any_packet& p) {
        observed.push_back(std::string(direction == testing::packet_direction::received ? "received " : "sent ") +
                           std::to_string(p.index() + 1) + " " + std::string(client_id));
    };
    broker_fixture fixture(options);
    auto client = fixture.connected("c");
    client.subscribes({{.filter = "t"}});
    fixture.server.publish({.topic = "t", .payload = "x"});
    client.receives("t", "x");
    CHECK(observed == std::vector<std::string>{"received 1 c", "sent 2 c", "received 8 c", "sent 9 c", "sent 3 c"});
}

TEST_CASE("Bytes may arrive one by one") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    const testing::direction_options one_way{.pieces = testing::pieces::single_bytes, .capacity = 3};
    const testing::link_options narrow{.to_server = one_way, .to_client = one_way};
    auto client = fixture.client(version, narrow);
    client.connects({.version = version, .client_id = "c"});
    client.subscribes({{.filter = "t", .max_qos = qos::at_least_once}});
    const std::string payload(300, 'x');
    client.send(make_publish("t", payload, qos::at_least_once, 1));
    client.receives("t", payload);
    CHECK(client.expect<puback>().packet_id == 1);
    CHECK(fixture.broken().empty());
}

} // namespace
} // namespace tern::broker_tests
