// The router of a shared client: inboxes and requests in several threads, cancellation, and the ends of the handles.
#include "tern/messaging/shared_router.hpp"

#include "messaging_test.hpp"
#include "tern/messaging/responder.hpp"

namespace shared_router_test {

using namespace messaging_test;

const auto use_inbox = use_result<shared_inbox>();
const auto use_message = use_result<subscription_message>();

struct routed_client {
    explicit routed_client(std::size_t threads = 2) : context(threads) {
        succeeds(client.async_connect(options_for(server.port()), use_code));
    }
    shared_inbox subscribes(const inbox_options& options) {
        const auto [error, inbox] = value_of(router.async_subscribe(options, use_inbox));
        CHECK(error == std::error_code{});
        REQUIRE(*inbox);
        return *inbox;
    }

    threaded_broker server;
    running_context context;
    shared_client client{context.io};
    shared_router router{client};
};

TEST_CASE("Any thread receives from the inbox of a shared router") {
    routed_client w;
    shared_inbox inbox = w.subscribes({.filter = "home/+/t"});
    CHECK(inbox.filter() == "home/+/t");
    succeeds(w.client.async_publish("home/kitchen/t", "21", qos::at_least_once, use_code));
    const auto [error, m] = value_of(inbox.async_receive(use_message));
    CHECK(error == std::error_code{});
    CHECK(m->levels[0] == "kitchen");
    CHECK(m->payload == "21");
    std::vector<subscription_message> batch(4);
    succeeds(w.client.async_publish("home/hall/t", "22", qos::at_least_once, use_code));
    CHECK(*value_of(inbox.async_receive_some(batch, use_result<std::size_t>())).second == 1);
    CHECK(batch[0].levels[0] == "hall");
    CHECK(value_of(w.router.async_counters(use_result<router_counters>())).second->received == 2);
    CHECK(value_of(w.router.async_subscribe({.filter = "a#"}, use_inbox)).first == errc::invalid_topic_filter);
}

TEST_CASE("Another thread acknowledges a message of the inbox of a shared router") {
    routed_client w;
    shared_inbox inbox = w.subscribes({.filter = "t", .acknowledge = acknowledgement_mode::manual});
    const auto held = [&] { return value_of(w.router.async_counters(use_result<router_counters>())).second->held; };
    succeeds(w.client.async_publish("t", "1", qos::at_least_once, use_code));
    auto m = value_of(inbox.async_receive(use_message)).second;
    CHECK(held() == 1);
    inbox.acknowledge(std::move(*m));
    CHECK(held() == 0);
}

TEST_CASE("Four threads send requests with a shared router and receive at the same time") {
    routed_client w;
    shared_client server(w.context.io);
    succeeds(server.async_connect(options_for(w.server.port(), "server"), use_code));
    shared_router of_server(server);
    shared_inbox requests = *value_of(of_server.async_subscribe({.filter = "double"}, use_inbox)).second;
    shared_inbox inbox = w.subscribes({.filter = "t"});
    std::atomic<int> failed = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i) {
        threads.emplace_back([&failed, own = w.router, received = inbox, client = w.client]() mutable {
            for (int n = 0; n != 25; ++n) {
                const std::string text = std::to_string(n);
                const auto answered = own.async_request("double", text, use_message).get();
                if (answered.first || answered.second->payload != text + text) ++failed;
                if (client.async_publish("t", text, qos::at_least_once, use_code).get()) ++failed;
                if (received.async_receive(use_message).get().first) ++failed;
            }
        });
        threads.emplace_back([&failed, own = requests, client = server]() mutable {
            for (int n = 0; n != 25; ++n) {
                const auto request = own.async_receive(use_message).get().second;
                const std::string twice = std::string(request->payload) + std::string(request->payload);
                message_view response{.topic = *request->properties.response_topic, .payload = twice};
                response.properties.correlation_data = request->properties.correlation_data;
                if (client.async_publish(response, use_code).get()) ++failed;
            }
        });
    }
    for (std::thread& one : threads)
        one.join();
    CHECK(failed == 0);
    CHECK(w.server.violations() == 0);
}

TEST_CASE("A receive operation of a shared inbox that is cancelled loses no message") {
    routed_client w;
    shared_inbox inbox = w.subscribes({.filter = "t"});
    asio::cancellation_signal signal;
    std::promise<std::error_code> ended;
    const auto strand = asio::make_strand(w.context.io);
    inbox.async_receive(asio::bind_executor(
        strand, asio::bind_cancellation_slot(signal.slot(), [&](std::error_code error, const subscription_message&) {
            ended.set_value(error);
        })));
    asio::post(strand, [&] { signal.emit(asio::cancellation_type::terminal); });
    CHECK(value_of(ended.get_future()) == asio::error::operation_aborted);
    succeeds(w.client.async_publish("t", "1", qos::at_least_once, use_code));
    CHECK(value_of(inbox.async_receive(use_message)).second->payload == "1");
}

TEST_CASE("The last handle of a shared inbox ends its operations, in another thread and in a handler") {
    routed_client w;
    auto first = std::make_unique<shared_inbox>(w.subscribes({.filter = "a"}));
    auto waiting = first->async_receive(use_message);
    std::thread([f = std::move(first)]() mutable { f.reset(); }).join();
    CHECK(value_of(std::move(waiting)).first == asio::error::operation_aborted);

    auto second = std::make_unique<shared_inbox>(w.subscribes({.filter = "b"}));
    auto also_waiting = second->async_receive(use_message);
    w.client.async_ping([s = std::move(second)](std::error_code) mutable { s.reset(); });
    CHECK(value_of(std::move(also_waiting)).first == asio::error::operation_aborted);
    CHECK(value_of(w.router.async_counters(use_result<router_counters>())).second->inboxes == 0);
}

TEST_CASE("The last handle of a shared router and its client ends pending requests") {
    threaded_broker server;
    running_context context(2);
    auto client = std::make_unique<shared_client>(context.io);
    succeeds(client->async_connect(options_for(server.port()), use_code));
    auto router = std::make_unique<shared_router>(*client);
    auto inbox = value_of(router->async_subscribe({.filter = "t"}, use_inbox)).second;
    auto request = router->async_request("no/answer", "1", use_message);
    auto receive = inbox->async_receive(use_message);
    client.reset();
    router.reset();
    CHECK(receive.wait_for(0s) == std::future_status::timeout); // the inbox keeps the router and the client
    inbox.reset();
    CHECK(value_of(std::move(receive)).first);
    CHECK(value_of(std::move(request)).first);
    context.finish();
}

} // namespace shared_router_test
