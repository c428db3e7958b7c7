// Connecting directly after `cancel` or `async_disconnect`: the operation waits for the end of the run.
#include "network_test.hpp"

#include <array>
#include <optional>
#include <string>

namespace next_run_tests {

const std::error_code aborted = asio::error::operation_aborted;

// A client whose run ends, because it is cancelled or disconnects, while its connection is still open.
struct ending_run : virtual_time_fixture {
    ending_run() { connect(); }
    void begin_end() {
        server.forget();
        if (disconnects_first)
            disconnected = disconnects(client);
        else
            client.cancel();
    }

    bool disconnects_first = GENERATE(false, true);
    std::optional<answer<>> disconnected;
};

TEST_CASE("A client that connects directly after cancel or disconnect waits for the end of its connection") {
    ending_run w;
    w.begin_end();
    const auto again = connects_as(w.client, w.lasting());
    w.accepts_again();
    CHECK(w.wait(again) == std::error_code{});
    CHECK(again.result().session_present);
    if (w.disconnected) CHECK(w.disconnected->error() == std::error_code{});
    CHECK(w.server.connections() == 2);
    CHECK(w.client.is_connected());
    for (const auto change :
         {connection_change::connecting, connection_change::connected, connection_change::disconnected,
          connection_change::stopped, connection_change::connecting, connection_change::connected})
        CHECK(w.next_event().change == change);
}

TEST_CASE("DISCONNECT still goes out before the next CONNECT [v311:MQTT-3.14.4-1, v5:MQTT-3.14.4-1]") {
    virtual_time_fixture w;
    w.connect();
    const auto message = publishes(w.client, {.topic = "t", .payload = "before"});
    const auto disconnected = disconnects(w.client);
    const auto again = connects_as(w.client, w.lasting());
    CHECK(w.server.expect<publish>().message.payload == "before");
    w.server.expect<disconnect>();
    w.server.close();
    w.accepts_again();
    CHECK(w.wait(again) == std::error_code{});
    CHECK(message.error() == std::error_code{});
    CHECK(disconnected.error() == std::error_code{});
}

TEST_CASE("A connect that waits copies what its options borrow") {
    ending_run w;
    const std::string long_text(100, 'x');
    w.begin_end();
    std::optional<answer<connect_result>> again;
    {
        std::string host = "other.test", id = "c", user = "user", password = long_text, topic = "will/" + long_text;
        std::string payload = "gone", key = "key", value = long_text;
        const std::array properties{user_property{key, value}};
        const std::array more{endpoint{host, 1}};
        auto options = w.lasting();
        options.host = "nowhere.test";
        options.more_endpoints = more;
        options.client_id = id;
        options.user_name = user;
        options.password = password;
        options.will = message_view{.topic = topic, .payload = payload, .properties = {.user_properties = properties}};
        options.properties.user_properties = properties;
        again = connects_as(w.client, options);
        for (std::string* const text : {&host, &id, &user, &password, &topic, &payload, &key, &value})
            text->assign(text->size(), '?');
    }
    w.net.listen("other.test", [&](tern::testing::link stream) { w.server.accept(std::move(stream)); });
    const auto packet = w.server.expect<tern::connect>();
    CHECK(packet.client_id == "c");
    CHECK(packet.user_name == "user");
    CHECK(packet.password == long_text);
    REQUIRE(packet.will);
    CHECK(packet.will->topic == "will/" + long_text);
    CHECK(packet.will->payload == "gone");
    for (const auto& list : {packet.will->properties.user_properties, packet.properties.user_properties}) {
        REQUIRE(list.size() == 1);
        CHECK(*list.begin() == user_property{"key", long_text});
    }
    w.server.send(connack{.session_present = true});
    CHECK(w.wait(*again) == std::error_code{});
}

TEST_CASE("While a connect waits for the end of a run, another one is refused [v311:MQTT-3.1.0-2, v5:MQTT-3.1.0-2]") {
    ending_run w;
    w.begin_end();
    const auto first = connects_as(w.client, w.lasting());
    const auto second = connects_as(w.client, w.lasting());
    w.net.run_ready();
    CHECK(second.error() == misuse(errc::already_connected));
    w.accepts_again();
    CHECK(w.wait(first) == std::error_code{});
}

TEST_CASE("A connect that waits can be cancelled, alone or with the client") {
    ending_run w;
    const bool alone = GENERATE(false, true);
    w.begin_end();
    cancellable<connect_result> again;
    w.client.async_connect(w.lasting(), again.handler());
    alone ? again.cancel() : w.client.cancel();
    CHECK(w.wait(again.result) == aborted);
    w.net.run_for(1h);
    CHECK(w.server.connections() == 1);
    CHECK(w.next_event(connection_change::stopped).change == connection_change::stopped);
    if (w.disconnected) CHECK(w.disconnected->error() == (alone ? std::error_code{} : aborted));
    w.connect();
    CHECK(w.client.is_connected());
}

TEST_CASE("Cancel, connect, cancel, connect: the last connect works") {
    virtual_time_fixture w;
    w.connect();
    w.server.forget();
    w.client.cancel();
    const auto first = connects_as(w.client, w.lasting());
    w.client.cancel();
    const auto second = connects_as(w.client, w.lasting());
    w.accepts_again();
    CHECK(w.wait(second) == std::error_code{});
    CHECK(first.error() == aborted);
}

TEST_CASE("Disconnecting ends a connect that waits") {
    ending_run w;
    w.begin_end();
    const auto again = connects_as(w.client, w.lasting());
    const auto invalid = disconnects(w.client, {.reason_code = reason_code::server_busy});
    const auto left = disconnects(w.client);
    CHECK(w.wait(left) == std::error_code{});
    CHECK(invalid.error() == misuse(errc::invalid_reason_code));
    CHECK(again.error() == misuse(errc::disconnected));
    w.net.run_for(1h);
    CHECK(w.server.connections() == 1);
    w.connect();
    CHECK(w.client.is_connected());
}

TEST_CASE("Destroying the client ends a connect that waits") {
    ending_run w;
    w.begin_end();
    const auto again = connects_as(w.client, w.lasting());
    {
        const network_client destroyed(std::move(w.client));
    }
    CHECK(w.wait(again) == aborted);
    w.net.run_for(1h);
    CHECK(w.server.connections() == 1);
}

TEST_CASE("Requests are refused until the next run begins, and then accepted") {
    ending_run w;
    w.begin_end();
    std::optional<answer<acknowledgement>> later;
    answer<connect_result> again;
    w.client.async_connect(w.lasting(), [&, handler = again.handler()](std::error_code error, connect_result result) {
        later = publishes(w.client, {.topic = "t", .payload = "later", .qos = qos::at_least_once});
        handler(error, std::move(result));
    });
    CHECK(w.client.try_publish({.topic = "t"}) == misuse(errc::disconnected));
    const auto published = publishes(w.client, {.topic = "t"});
    const auto subscribed = subscribes(w.client, {.filter = "t"});
    w.accepts_again();
    CHECK(w.wait(again) == std::error_code{});
    CHECK(published.error() == misuse(errc::disconnected));
    CHECK(subscribed.error() == misuse(errc::disconnected));
    REQUIRE(later);
    w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
    CHECK(w.wait(*later) == std::error_code{});
}

TEST_CASE("A receive operation that is started after the connect receives in the next run") {
    ending_run w;
    const auto before = receives(w.client);
    w.begin_end();
    const auto again = connects_as(w.client, w.lasting());
    const auto after = receives(w.client);
    w.accepts_again();
    CHECK(w.wait(again) == std::error_code{});
    CHECK(before.error() == (w.disconnected ? misuse(errc::disconnected) : aborted));
    CHECK_FALSE(after.called());
    w.server.send(incoming("later", qos::at_most_once, 0));
    CHECK(w.wait(after) == std::error_code{});
    CHECK(after.result().payload == "later");
}

TEST_CASE("Invalid options of a connect that waits are an error when the run has ended") {
    ending_run w;
    auto options = w.lasting();
    options.host = "";
    w.begin_end();
    const auto again = connects_as(w.client, options);
    const auto receiving = receives(w.client);
    CHECK(w.wait(again) == misuse(errc::empty_host));
    CHECK(w.wait(receiving) == misuse(errc::not_connected));
    CHECK(w.wait(receives(w.client)) == misuse(errc::not_connected));
    w.connect();
    CHECK(w.client.is_connected());
}

TEST_CASE("A message callback can cancel the client and connect again") {
    virtual_time_fixture w;
    w.connect();
    std::optional<answer<connect_result>> again;
    w.client.set_message_callback([&](const received&) {
        w.client.cancel();
        again = connects_as(w.client, w.lasting());
    });
    w.server.send(incoming("1", qos::at_most_once, 0));
    CHECK(w.runs_until([&] { return again.has_value(); }));
    w.server.forget();
    w.accepts_again();
    CHECK(w.wait(*again) == std::error_code{});
}

} // namespace next_run_tests
