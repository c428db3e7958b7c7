// Features of 5.0.
#include "interop_client.hpp"

#include <array>
#include <chrono>
#include <string>

namespace {

using namespace interop;

TEST_CASE("5.0: all properties of a message arrive [v5:MQTT-3.3.2-4, v5:MQTT-3.3.2-6, v5:MQTT-3.3.2-15, "
          "v5:MQTT-3.3.2-16, v5:MQTT-3.3.2-17, v5:MQTT-3.3.2-18, v5:MQTT-3.3.2-20]") {
    test_environment w;
    const std::string topic = w.unique("t");
    const std::string reply = w.unique("reply");
    const std::array user{tern::user_property{"b", "1"}, tern::user_property{"a", ""},
                          tern::user_property{"b", "\xC3\xA9"}};
    auto client = connected(w, v5, "client");
    client.subscribes({.filter = topic, .max_qos = qos::exactly_once});
    for (const qos level : {qos::at_most_once, qos::at_least_once, qos::exactly_once}) {
        const tern::message_view sent{
            .topic = topic,
            .payload = "\xC3\xBC",
            .qos = level,
            .properties = {.payload_format_indicator = tern::payload_format::utf8,
                           .message_expiry_interval = std::chrono::seconds{100},
                           .response_topic = reply,
                           .correlation_data = std::string_view{"\0\xFF", 2},
                           .content_type = "text/plain",
                           .user_properties = user},
        };
        client.publishes(sent);
        auto received = client.receives();
        CHECK((received.properties.message_expiry_interval > std::chrono::seconds{90}));
        CHECK((received.properties.message_expiry_interval <= std::chrono::seconds{100}));
        received.properties.message_expiry_interval = std::chrono::seconds{100};
        CHECK(received.view() == sent);
    }
}

TEST_CASE("5.0: a message carries the identifiers of its subscriptions [v5:MQTT-3.3.4-3, v5:MQTT-3.3.4-5]") {
    test_environment w;
    const std::string topic = w.unique("t");
    const std::string wide = w.unique("#");
    auto client = connected(w, v5, "client");
    const std::array first{tern::subscription{.filter = topic}};
    const std::array second{tern::subscription{.filter = wide}};
    REQUIRE_FALSE(client.subscribe(first, {.subscription_identifier = 1}).error);
    REQUIRE_FALSE(client.subscribe(second, {.subscription_identifier = 268'435'455}).error);
    client.publishes({.topic = topic, .payload = "x"});
    // The broker may send one message with both identifiers, or a message for each.
    std::uint64_t sum = 0;
    while (sum < 268'435'456) {
        const auto received = client.receives();
        REQUIRE_FALSE(received.properties.subscription_identifiers.empty());
        for (const std::uint32_t id : received.properties.subscription_identifiers)
            sum += id;
    }
    CHECK(sum == 268'435'456);
    client.receives_nothing();
}

TEST_CASE("5.0: with No Local a client does not receive its own messages [v5:MQTT-3.8.3-3]") {
    test_environment w;
    const std::string topic = w.unique("t");
    auto client = connected(w, v5, "client");
    auto other = connected(w, v5, "other");
    client.subscribes({.filter = topic, .no_local = true});
    client.publishes({.topic = topic, .payload = "mine", .qos = qos::at_least_once});
    other.publishes({.topic = topic, .payload = "other's", .qos = qos::at_least_once});
    CHECK(client.receives().payload == "other's");
    client.receives_nothing();
}

TEST_CASE("5.0: retain handling 1 sends retained messages only to new subscriptions [v5:MQTT-3.3.1-10, "
          "v5:MQTT-3.8.4-3, v5:MQTT-3.8.4-4]") {
    test_environment w;
    const std::string topic = w.unique("t");
    auto client = connected(w, v5, "client");
    client.publishes({.topic = topic, .payload = "x", .qos = qos::at_least_once, .retain = true});
    const tern::subscription if_new{.filter = topic, .retain_handling = tern::retain_handling::send_if_new};
    client.subscribes(if_new);
    CHECK(client.receives().payload == "x");
    client.subscribes(if_new);
    client.receives_nothing();
    client.subscribes({.filter = topic});
    CHECK(client.receives().payload == "x");
}

TEST_CASE("5.0: a topic alias replaces a topic [v5:MQTT-3.3.2-9, v5:MQTT-3.3.2-12]") {
    test_environment w;
    const std::string topic = w.unique("t");
    auto client = connected(w, v5, "client");
    auto limit_of = [&] {
        interop_client p(w, v5, "limit");
        return p.connects().properties.topic_alias_maximum.value_or(0);
    };
    const std::uint16_t limit = limit_of();
    REQUIRE(limit > 0);
    client.subscribes({.filter = topic});
    client.publishes({.topic = topic, .payload = "1", .properties = {.topic_alias = limit}});
    client.publishes({.topic = "", .payload = "2", .properties = {.topic_alias = limit}});
    for (const std::string_view payload : {"1", "2"}) {
        const auto received = client.receives();
        CHECK(received.topic == topic);
        CHECK(received.payload == payload);
    }
    const auto above = static_cast<std::uint16_t>(limit + 1);
    CHECK(client.publish({.topic = topic, .properties = {.topic_alias = above}}).error ==
          tern::errc::invalid_topic_alias);
    client.pings();
}

TEST_CASE("5.0: publishing without a matching subscriber succeeds [v5:MQTT-3.4.2-1, v5:MQTT-3.5.2-1]") {
    test_environment w;
    auto client = connected(w, v5, "client");
    for (const qos level : {qos::at_least_once, qos::exactly_once}) {
        const auto answer = client.publish({.topic = w.unique("t"), .payload = "x", .qos = level});
        CHECK_FALSE(answer.error);
        // A broker may report the missing subscriber, but need not.
        if (answer.value.reason_code != tern::reason_code::success)
            CHECK(answer.value.reason_code == tern::reason_code::no_matching_subscribers);
    }
}

} // namespace
