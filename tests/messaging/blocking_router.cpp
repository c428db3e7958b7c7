// Subscriptions with inboxes and requests of a blocking client.
#include "tern/messaging/blocking_router.hpp"

#include "messaging_test.hpp"
#include "tern/messaging/responder.hpp"

namespace blocking_router_test {

using namespace messaging_test;

TEST_CASE("A blocking router subscribes, receives with the matched levels, and ends subscriptions") {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    threaded_broker server;
    blocking_client client;
    connect_options options = options_for(server.port());
    options.version = version;
    REQUIRE(client.connect(options, 10s));
    blocking_router router(client);
    {
        auto temperatures = router.subscribe({.filter = "home/+/temperature"}, 10s);
        REQUIRE(temperatures);
        CHECK(temperatures->filter() == "home/+/temperature");
        CHECK(temperatures->receive(1ms).error == errc::operation_timeout);
        CHECK(client.publish("home/kitchen/temperature", "21.5", qos::at_least_once, 10s));
        const auto m = temperatures->receive(10s);
        REQUIRE(m);
        CHECK(m->levels[0] == "kitchen");
        CHECK(m->payload == "21.5");
        CHECK(router.counters()->inboxes >= 1);
    }
    CHECK(router.counters()->inboxes == 0);
    CHECK(router.subscribe({.filter = "a/#/b"}, 10s).error == errc::invalid_topic_filter);
    CHECK(server.violations() == 0);
}

TEST_CASE("In manual mode any thread acknowledges a message of a blocking inbox") {
    threaded_broker server;
    blocking_client client;
    REQUIRE(client.connect(options_for(server.port()), 10s));
    blocking_router router(client);
    auto jobs = router.subscribe({.filter = "jobs", .acknowledge = acknowledgement_mode::manual}, 10s);
    REQUIRE(jobs);
    CHECK(client.publish("jobs", "1", qos::at_least_once, 10s));
    auto m = jobs->receive(10s);
    REQUIRE(m);
    CHECK(router.counters()->held == 1);
    jobs->acknowledge(*m);
    CHECK(router.counters()->held == 0);
}

TEST_CASE("Several threads send requests with a blocking router, and get their responses") {
    threaded_broker server;
    running_context context;
    client answering(context.io);
    std::optional<message_router<client>> answers;
    std::optional<responder<client>> echo;
    // Neither may be used by two threads at the same time.
    const auto in_its_thread = [&context](auto work) {
        std::promise<decltype(work())> done;
        asio::post(context.io, [&] { done.set_value(work()); });
        return done.get_future().get();
    };
    succeeds(in_its_thread([&] {
        answers.emplace(answering);
        return answering.async_connect(options_for(server.port(), "echo"), use_code);
    }));
    auto [error, inbox] = value_of(in_its_thread(
        [&] { return answers->async_subscribe({.filter = "echo"}, use_result<subscription_inbox<>>()); }));
    REQUIRE(error == std::error_code{});
    in_its_thread([&, i = inbox] {
        echo.emplace(*answers, std::move(*i), [](const subscription_message& m) { return std::string(m.payload); });
        return true;
    });

    blocking_client asking;
    REQUIRE(asking.connect(options_for(server.port(), "asking"), 10s));
    blocking_router router(asking);
    std::atomic<int> right = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t != 3; ++t)
        threads.emplace_back([&, t] {
            for (int n = 0; n != 30; ++n) {
                const std::string text = std::to_string(t) + "/" + std::to_string(n);
                const auto response = router.request("echo", text, {.timeout = 10s});
                if (response && response->payload == text) ++right;
            }
        });
    for (std::thread& each : threads)
        each.join();
    CHECK(right == 90);
    CHECK(router.request("unserved", "1", {.timeout = 1ms}).error);
    context.stop();
    CHECK(server.violations() == 0);
}

TEST_CASE("A blocking router that is destroyed ends the calls that wait") {
    threaded_broker server;
    blocking_client client;
    REQUIRE(client.connect(options_for(server.port()), 10s));
    std::optional<blocking_router> router(client);
    auto inbox = router->subscribe({.filter = "t"}, 10s);
    REQUIRE(inbox);
    auto waiting = std::async(std::launch::async, [&] { return inbox->receive(20s).error; });
    router.reset();
    CHECK(waiting.get() == asio::error::operation_aborted);
}

} // namespace blocking_router_test
