// The shared client and the blocking client with Mosquitto.
#include "../interop/process.hpp"
#include "messaging_test.hpp"
#include "tern/messaging/blocking_client.hpp"

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

} // namespace messaging_mosquitto_test
