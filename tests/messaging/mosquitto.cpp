// The shared client and the blocking client with Mosquitto.
#include "../interop/process.hpp"
#include "messaging_test.hpp"
#include "tern/messaging/blocking_client.hpp"
#include "tern/messaging/blocking_router.hpp"

namespace messaging_mosquitto_test {

using namespace messaging_test;

TEST_CASE("Mosquitto receives all messages that four threads publish, in the order of each thread") {
    constexpr std::size_t producers = 4, messages = 500;
    interop::mosquitto broker("allow_anonymous true\nmax_queued_messages 0\n");
    blocking_client subscriber;
    REQUIRE(subscriber.connect(options_for(broker.port(), "subscriber"), 20s));
    REQUIRE(subscriber.subscribe({.filter = "t/+", .max_qos = qos::at_least_once}, 20s));
    running_context context(2);
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(broker.port()), use_code));
    std::vector<std::thread> threads;
    std::atomic<int> refused = 0;
    for (std::size_t p = 0; p != producers; ++p)
        threads.emplace_back([&client, &refused, topic = "t/" + std::to_string(p)] {
            for (std::size_t i = 0; i != messages; ++i)
                if (client.try_publish({.topic = topic, .payload = std::to_string(i), .qos = qos::at_least_once}))
                    ++refused;
        });
    std::array<std::size_t, producers> next{};
    for (std::size_t i = 0; i != producers * messages; ++i) {
        const auto message = subscriber.receive(20s);
        REQUIRE(message);
        const auto producer = static_cast<std::size_t>(message->topic.back() - '0');
        CHECK(message->payload == std::to_string(next.at(producer)++));
    }
    for (std::thread& one : threads)
        one.join();
    CHECK(refused == 0);
    succeeds(client.async_drain(20s, use_code));
    succeeds(client.async_disconnect(use_code));
    CHECK(subscriber.disconnect(20s) == std::error_code{});
}

TEST_CASE("A blocking client goes on after Mosquitto has restarted") {
    interop::mosquitto broker("allow_anonymous true\npersistence true\npersistence_location @/\n");
    blocking_client client;
    REQUIRE(client.connect(options_for(broker.port()), 20s));
    REQUIRE(client.subscribe({.filter = "t", .max_qos = qos::at_least_once}, 20s));
    broker.kill();
    broker.restart();
    const auto published = client.publish({.topic = "t", .payload = "1", .qos = qos::at_least_once}, 20s);
    CHECK(published.error == std::error_code{});
    CHECK(client.receive(20s)->payload == "1");
}

TEST_CASE("Subscriptions that overlap at Mosquitto receive each message once, and its restart changes nothing") {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    interop::mosquitto broker("allow_anonymous true\nallow_duplicate_messages false\n");
    blocking_client client;
    connect_options options = options_for(broker.port());
    options.version = version;
    REQUIRE(client.connect(options, 20s));
    blocking_router router(client);
    auto kitchen = router.subscribe({.filter = "home/kitchen/#"}, 20s);
    auto temperatures = router.subscribe({.filter = "home/+/temperature"}, 20s);
    REQUIRE(kitchen);
    REQUIRE(temperatures);
    for (const std::string_view payload : {"1", "2"}) {
        CHECK(client.publish("home/kitchen/temperature", payload, qos::at_least_once, 20s));
        CHECK(kitchen->receive(20s)->levels[0] == "temperature");
        const auto m = temperatures->receive(20s);
        REQUIRE(m);
        CHECK(m->levels[0] == "kitchen");
        CHECK(m->payload == payload);
        if (payload == "1") {
            broker.kill();
            broker.restart();
            while (client.next_event(20s)->change != connection_change::disconnected) {
            }
            while (client.next_event(20s)->change != connection_change::connected) {
            }
            CHECK(client.subscribe("other", 20s)); // behind the renewal
        }
    }
    CHECK(kitchen->receive(50ms).error == errc::operation_timeout);
    CHECK(temperatures->receive(50ms).error == errc::operation_timeout);
    CHECK(router.counters()->held == 0);
    CHECK(client.disconnect(20s) == std::error_code{});
}

} // namespace messaging_mosquitto_test
