// What a shared client and a blocking client show, and the functions that their client calls, from several threads.
#include "messaging_test.hpp"
#include "tern/messaging/blocking_client.hpp"

namespace shared_controls_test {

using namespace messaging_test;

// A broker that asks for one more step, and counts the reason codes of PUBACK.
struct asking_broker {
    static testing::broker_options options(std::atomic<int>& refused) {
        testing::broker_options made;
        made.on_authenticate = [](std::string_view, std::string_view) {
            return testing::authentication_exchange([](std::optional<std::string_view> data) {
                if (data == "ok") return testing::authentication_answer{reason_code::success, "end"};
                return testing::authentication_answer{reason_code::continue_authentication, "challenge"};
            });
        };
        made.on_packet = [&refused](packet_direction direction, std::string_view, const any_packet& packet) {
            const auto* const ack = std::get_if<puback>(&packet);
            if (direction == packet_direction::received && ack && ack->reason_code == reason_code::quota_exceeded &&
                ack->properties.reason_string == "a long enough reason")
                ++refused;
        };
        return made;
    }

    std::atomic<int> refused = 0;
    threaded_broker server{options(refused)};
};

connect_options manual_options(std::uint16_t port) {
    connect_options options = options_for(port);
    options.acknowledge = acknowledgement_mode::manual;
    return options;
}

// Answers in another thread, which the caller joins.
void answer_in_thread(std::vector<std::thread>& threads, authentication_step step) {
    threads.emplace_back([s = std::move(step)]() mutable {
        (void)s.answer(s.stage() == authentication_stage::answer ? "ok" : "first");
    });
}

TEST_CASE("A shared client shows its connection and its subscriptions in any thread") {
    threaded_broker server;
    running_context context(2);
    shared_client client(context.io);
    CHECK(value_of(client.async_subscriptions(use_result<std::vector<subscription_state>>())).second->empty());
    succeeds(client.async_connect(options_for(server.port()), use_code));
    succeeds(client.async_subscribe("a/#", qos::exactly_once, use_code));
    const auto [error, terms] = value_of(client.async_connection(use_result<connection_terms>()));
    CHECK(error == std::error_code{});
    CHECK(terms->maximum_qos == qos::exactly_once);
    const auto [none, all] = value_of(client.async_subscriptions(use_result<std::vector<subscription_state>>()));
    CHECK(none == std::error_code{});
    REQUIRE(all->size() == 1);
    CHECK(all->front().filter == "a/#");
    CHECK(all->front().granted_qos == qos::exactly_once);
}

TEST_CASE("Other threads answer the steps and attempts of a shared client") {
    asking_broker broker;
    running_context context(2);
    shared_client client(context.io);
    std::vector<std::thread> threads; // only the strand adds to it, while the client is authenticated
    client.set_authenticator([&](authentication_step step) { answer_in_thread(threads, std::move(step)); });
    client.set_before_connect(
        [&](connect_attempt attempt) { threads.emplace_back([a = std::move(attempt)]() mutable { a.proceed(); }); });
    connect_options options = options_for(broker.server.port());
    options.properties.authentication_method = "M";
    succeeds(client.async_connect(options, use_code));
    succeeds(client.async_reauthenticate(use_code));
    succeeds(client.async_disconnect(use_code));
    for (std::thread& one : threads)
        one.join();
    CHECK(threads.size() >= 4);
    CHECK(broker.server.violations() == 0);
}

TEST_CASE("Another thread drops the steps and attempts of a shared client") {
    asking_broker broker;
    running_context context(2);
    shared_client client(context.io);
    std::vector<std::thread> threads;
    const auto drop = [&](auto decision) { threads.emplace_back([d = std::move(decision)] {}); };
    connect_options options = options_for(broker.server.port());
    options.properties.authentication_method = "M";
    options.reconnect.enabled = false;
    client.set_authenticator(drop);
    CHECK(result_of(client.async_connect(options, use_code)) == std::errc::operation_canceled);
    client.set_before_connect(drop);
    CHECK(result_of(client.async_connect(options, use_code)) == std::errc::operation_canceled);
    for (std::thread& one : threads)
        one.join();
}

TEST_CASE("Any thread refuses messages of a shared client, by the message or by its token") {
    asking_broker broker;
    running_context context(2);
    shared_client client(context.io);
    succeeds(client.async_connect(manual_options(broker.server.port()), use_code));
    succeeds(client.async_subscribe("t", qos::at_least_once, use_code));
    const auto properties = [](const std::string& reason) { return ack_properties{.reason_string = reason}; };
    const std::string reason = "a long enough reason";

    succeeds(client.async_publish("t", "1", qos::at_least_once, use_code));
    const auto message = value_of(client.async_receive(use_result<received_message>())).second;
    CHECK(message->reject(reason_code::success) == errc::invalid_reason_code);
    CHECK(message->reject(reason_code::quota_exceeded, properties(reason)) == std::error_code{});
    CHECK(message->reject(reason_code::quota_exceeded) == errc::already_acknowledged);

    std::promise<message_token> token;
    client.set_message_callback([&](const tern::received& m) { token.set_value(m.token); });
    succeeds(client.async_publish("t", "2", qos::at_least_once, use_code));
    const message_token second = value_of(token.get_future());
    CHECK(client.reject(second, reason_code::success) == errc::invalid_reason_code);
    CHECK(client.reject(second, reason_code::quota_exceeded, properties(reason)) == std::error_code{});
    CHECK(client.reject(second, reason_code::quota_exceeded) == errc::already_acknowledged);
    succeeds(client.async_ping(use_code));
    CHECK(broker.refused == 2);
}

TEST_CASE("Four threads use the controls of a shared client at the same time") {
    asking_broker broker;
    running_context context(2);
    shared_client client(context.io);
    succeeds(client.async_connect(manual_options(broker.server.port()), use_code));
    succeeds(client.async_subscribe("t", qos::at_least_once, use_code));
    std::atomic<int> failed = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i)
        threads.emplace_back([&failed, own = client]() mutable {
            const ack_properties why{.reason_string = "a long enough reason"};
            for (int n = 0; n != 25; ++n) {
                if (own.async_publish("t", "1", qos::at_least_once, use_code).get()) ++failed;
                const auto got = own.async_receive(use_result<received_message>()).get();
                if (got.second->reject(reason_code::quota_exceeded, why)) ++failed;
                if (own.async_connection(use_result<connection_terms>()).get().first) ++failed;
                const auto all = own.async_subscriptions(use_result<std::vector<subscription_state>>()).get();
                if (all.second->size() != 1) ++failed;
                own.set_authenticator([](const authentication_step&) {});
                own.set_before_connect([](connect_attempt attempt) { attempt.proceed(); });
            }
        });
    for (std::thread& one : threads)
        one.join();
    succeeds(client.async_ping(use_code));
    CHECK(failed == 0);
    CHECK(broker.refused == 100);
    CHECK(broker.server.violations() == 0);
}

asio::awaitable<void> unsubscribe_from(shared_client client, const std::string& own) {
    filter_list filters{"a", own};
    co_await client.async_unsubscribe(std::move(filters), asio::use_awaitable);
}

TEST_CASE("A shared client unsubscribes from a list that owns its filters") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(server.port()), use_code));
    const std::array<subscription, 2> both{{{.filter = "a"}, {.filter = "a long topic filter of its own"}}};
    const auto count = [&] {
        return value_of(client.async_subscriptions(use_result<std::vector<subscription_state>>())).second->size();
    };
    succeeds(client.async_subscribe(both, use_code));
    CHECK(count() == 2);
    const std::string own = "a long topic filter of its own";
    const auto done = asio::co_spawn(context.io, unsubscribe_from(client, own), asio::use_future);
    REQUIRE(done.wait_for(30s) == std::future_status::ready);
    CHECK(count() == 0);

    succeeds(client.async_subscribe(both, use_code));
    succeeds(client.async_unsubscribe(filter_list(std::vector<std::string>{"a", own}), use_code));
    CHECK(count() == 0);
}

TEST_CASE("A blocking client shows its connection and its subscriptions, refuses messages and authenticates again") {
    asking_broker broker;
    std::vector<std::thread> threads;
    std::atomic<int> attempts = 0;
    blocking_client client;
    client.set_authenticator([&](authentication_step step) { answer_in_thread(threads, std::move(step)); });
    client.set_before_connect([&](connect_attempt attempt) {
        ++attempts;
        attempt.proceed();
    });
    connect_options options = manual_options(broker.server.port());
    options.properties.authentication_method = "M";
    REQUIRE(client.connect(options, 20s));
    CHECK(attempts == 1);
    CHECK(client.reauthenticate(20s) == std::error_code{});
    CHECK(client.connection()->maximum_qos == qos::exactly_once);
    REQUIRE(client.subscribe("t", qos::at_least_once, 20s));
    REQUIRE(client.subscriptions()->size() == 1);
    CHECK(client.subscriptions()->front().filter == "t");

    REQUIRE(client.publish("t", "1", qos::at_least_once, 20s));
    auto message = client.receive(20s);
    const ack_properties why{.reason_string = "a long enough reason"};
    CHECK(message->reject(reason_code::quota_exceeded, why) == std::error_code{});
    std::promise<std::error_code> refused;
    client.set_message_callback(
        [&](const tern::received& m) { refused.set_value(client.reject(m.token, reason_code::quota_exceeded, why)); });
    REQUIRE(client.publish("t", "2", qos::at_least_once, 20s));
    succeeds(refused.get_future());
    CHECK(client.unsubscribe(filter_list{"t"}, 20s));
    CHECK(client.subscriptions()->empty());
    CHECK(broker.refused == 2);
    CHECK(client.disconnect(20s) == std::error_code{});
    for (std::thread& one : threads)
        one.join();
}

} // namespace shared_controls_test
