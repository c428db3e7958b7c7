// Requests and their responses, those who answer them, and the retained message that a client is online.
#include "router_test.hpp"
#include "tern/messaging/online_state.hpp"
#include "tern/messaging/requester.hpp"
#include "tern/messaging/responder.hpp"

#include <stdexcept>

namespace requests_test {

using namespace router_test;
using test_requester = requester<network_client>;
using test_responder = responder<network_client>;
using response = answer<subscription_message>;

response requests(test_requester& r, std::string_view topic, std::string_view payload,
                  const request_options& options = {}) {
    response a;
    r.async_request(topic, payload, options, a.handler());
    CHECK_FALSE(a.called());
    return a;
}

// Answers in upper case.
std::string shout(const subscription_message& m) {
    std::string text(m.payload);
    for (char& c : text)
        c = static_cast<char>(c - 'a' + 'A');
    return text;
}

struct requests_fixture : router_fixture {
    explicit requests_fixture(broker_options options = {}) : router_fixture(std::move(options)) {}
    template <class Handler>
    test_responder serve(std::string_view filter, Handler handler, const responder_options& options = {}) {
        return test_responder(routes, subscribe({.filter = filter}), handler, options);
    }

    test_requester asks{routes};
};

TEST_CASE("A request completes with its response") {
    requests_fixture w;
    w.connect();
    const test_responder loud = w.serve("shout/+", shout);
    const auto a = requests(w.asks, "shout/a", "one");
    const auto b = requests(w.asks, "shout/b", "two", {.qos = qos::exactly_once});
    const auto c = requests(w.asks, "shout/c", "three", {.qos = qos::at_most_once});
    CHECK(w.wait(a) == std::error_code{});
    CHECK(a.result().payload == "ONE");
    CHECK(w.wait(b) == std::error_code{});
    CHECK(b.result().payload == "TWO");
    CHECK(b.result().qos == qos::at_least_once); // the response topic is subscribed with QoS 1
    CHECK(w.wait(c) == std::error_code{});
    CHECK(c.result().payload == "THREE");
    CHECK(w.asks.counters().answered == 3);
    CHECK(w.asks.counters().waiting == 0);
    CHECK(loud.counters().answered == 3);
    CHECK(w.server.violations().empty());
}

TEST_CASE("A thousand requests wait at the same time, and each gets its own response") {
    requests_fixture w;
    const test_responder loud = [&] {
        w.connect();
        return w.serve("shout", shout, {.concurrency = 1});
    }();
    std::vector<response> all;
    const auto text = [](int n) {
        return std::string(1, static_cast<char>('a' + n % 26)) + std::string(static_cast<std::size_t>(n % 3), 'x');
    };
    for (int n = 0; n != 1'000; ++n)
        all.push_back(requests(w.asks, "shout", text(n)));
    CHECK(w.asks.counters().waiting == 1'000);
    for (int n = 0; n != 1'000; ++n) {
        REQUIRE(w.wait(all[static_cast<std::size_t>(n)]) == std::error_code{});
        const auto& m = all[static_cast<std::size_t>(n)].result();
        CHECK(m.payload.front() == static_cast<char>('A' + n % 26));
    }
    CHECK(w.server.violations().empty());
}

TEST_CASE("The broker's Response Information begins the response topic") {
    std::string seen;
    requests_fixture w({.on_packet =
                            [&](packet_direction direction, std::string_view, const any_packet& p) {
                                const auto* const s = std::get_if<tern::subscribe>(&p);
                                if (s && direction == packet_direction::received)
                                    seen = s->subscriptions.front().filter;
                            },
                        .limits = {.response_information = "own/place"}});
    const bool is_asked_for = GENERATE(true, false);
    connect_options options{.client_id = "c"};
    options.properties.request_response_information = is_asked_for;
    w.connect(v5, options);
    (void)requests(w.asks, "unserved", "1");
    w.settle();
    INFO(seen);
    CHECK(w.client.connection().response_information ==
          (is_asked_for ? std::optional<std::string_view>("own/place") : std::nullopt));
    CHECK(seen.starts_with(is_asked_for ? "own/place/" : "responses/"));
}

TEST_CASE("3.1.1 has no requests") {
    requests_fixture w;
    w.connect(v3_1_1);
    CHECK(w.wait(requests(w.asks, "a", "1")) == errc::requires_v5);
}

TEST_CASE("A request without an answer ends in time, and its response is late") {
    requests_fixture w;
    w.connect();
    inbox questions = w.subscribe({.filter = "question"});
    const auto a = requests(w.asks, "question", "1", {.timeout = 5s});
    const auto q = w.receive(questions);
    CHECK(w.wait(a) == outcome_unknown(errc::operation_timeout));
    CHECK(a.error().category() == outcome_unknown_category());
    message_view late{.topic = *q.properties.response_topic, .payload = "2"};
    CHECK(w.client.try_publish(late) == std::error_code{}); // without Correlation Data
    late.properties.correlation_data = q.properties.correlation_data;
    CHECK(w.client.try_publish(late) == std::error_code{});
    w.settle();
    CHECK(w.asks.counters().unknown == 1);
    CHECK(w.asks.counters().late == 1);
}

TEST_CASE("A request without a connection ends in time, and is not sent later") {
    requests_fixture w;
    const auto a = requests(w.asks, "question", "1", {.timeout = 5s});
    CHECK(w.wait(a) == misuse(errc::operation_timeout));
    CHECK(a.error().category() == usage_category());
    w.connect();
    w.settle();
    CHECK(w.asks.counters().sent == 0);
}

TEST_CASE("Requests are refused at the limit, with an invalid topic, and with an invalid timeout") {
    requests_fixture w;
    test_requester few(w.routes, {.limit = 1});
    const auto a = requests(few, "a", "1");
    CHECK(w.wait(requests(few, "a", "2")) == errc::queue_full);
    CHECK(w.wait(requests(w.asks, "a/+", "2")) == errc::invalid_topic_name);
    CHECK(w.wait(requests(w.asks, "a", "2", {.timeout = -1s})) == errc::invalid_operation_timeout);
    CHECK_FALSE(a.called());
}

TEST_CASE("A request is cancelled by itself") {
    requests_fixture w;
    w.connect();
    cancellable<subscription_message> op;
    w.asks.async_request("a", "1", op.handler());
    const auto other = requests(w.asks, "a", "2");
    op.cancel();
    CHECK(w.wait(op.result) == asio::error::operation_aborted);
    CHECK_FALSE(other.called());
    CHECK(w.asks.counters().waiting == 1);
}

TEST_CASE("A handler that throws answers with an error") {
    requests_fixture w;
    w.connect();
    const test_responder bad =
        w.serve("a", [](const subscription_message&) -> std::string { throw std::runtime_error("no such account"); });
    const auto a = requests(w.asks, "a", "1");
    CHECK(w.wait(a) == std::error_code{});
    CHECK(response_error(a.result()) == "no such account");
    CHECK(bad.counters().failed == 1);
    CHECK_FALSE(response_error({}));
}

TEST_CASE("A handler may be a coroutine, and only so many run at the same time") {
    requests_fixture w;
    w.connect();
    int running = 0, most = 0;
    const auto slow = [&](const subscription_message& m) -> asio::awaitable<std::string> {
        most = (std::max)(most, ++running);
        for (int turns = 0; turns != 3; ++turns)
            co_await asio::post(w.net.get_executor(), asio::use_awaitable);
        --running;
        if (m.payload == "7") throw std::runtime_error("seven");
        co_return "<" + std::string(m.payload) + ">";
    };
    const test_responder r = w.serve("slow", slow, {.concurrency = 3});
    std::vector<response> all;
    for (int n = 0; n != 10; ++n)
        all.push_back(requests(w.asks, "slow", std::to_string(n)));
    for (std::size_t n = 0; n != all.size(); ++n) {
        REQUIRE(w.wait(all[n]) == std::error_code{});
        if (n == 7)
            CHECK(response_error(all[n].result()) == "seven");
        else
            CHECK(all[n].result().payload == "<" + std::to_string(n) + ">");
    }
    CHECK(most == 3);
    CHECK(r.counters().running == 0);
    w.settle();
    CHECK(w.routes.counters().held == 0); // all requests are acknowledged
    CHECK(w.server.violations().empty());
}

TEST_CASE("A message without a Response Topic is processed and not answered") {
    requests_fixture w;
    w.connect();
    int calls = 0;
    const test_responder r = w.serve("a", [&](const subscription_message&) -> std::string_view {
        ++calls;
        return "x";
    });
    w.publish("a", "1");
    w.settle();
    CHECK(calls == 1);
    CHECK(r.counters().unanswered == 1);
}

TEST_CASE("A destroyed responder ends its subscription, and a coroutine that runs still answers") {
    requests_fixture w;
    w.connect();
    std::function<void()> go;
    const auto slow = [&](const subscription_message&) -> asio::awaitable<std::string> {
        co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
            [&](auto handler) {
                go = [h = std::make_shared<decltype(handler)>(std::move(handler))] { std::move (*h)(); };
            },
            asio::use_awaitable);
        co_return "done";
    };
    std::optional<test_responder> r(w.serve("slow", slow));
    const auto a = requests(w.asks, "slow", "1");
    REQUIRE(w.net.run_until([&] { return go != nullptr; }));
    r.reset();
    CHECK(w.routes.counters().inboxes == 1); // of the response topic
    go();
    CHECK(w.wait(a) == std::error_code{});
    CHECK(a.result().payload == "done");
}

// ---- the subscription to the response topic

struct scripted_requests : scripted_router_fixture {
    // Answers a request.
    void respond(std::string_view topic, std::string_view correlation, std::string_view payload) {
        publish p{.message = {.topic = topic, .payload = payload}};
        p.message.properties.correlation_data = correlation;
        const std::array ids{id};
        p.message.properties.subscription_identifiers = std::span<const std::uint32_t>(ids);
        server.send(p);
        net.run_ready();
    }
    void confirm_response_topic() {
        const auto packet = server.expect<tern::subscribe>();
        id = packet.properties.subscription_identifier.value();
        grant(packet.packet_id);
        net.run_ready();
    }

    test_requester asks{routes};
};

TEST_CASE("A request waits for SUBACK of the response topic, and its response may come before PUBACK") {
    scripted_requests w;
    w.connect();
    const auto a = requests(w.asks, "q", "1");
    const auto packet = w.server.expect<tern::subscribe>();
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    w.id = packet.properties.subscription_identifier.value();
    w.grant(packet.packet_id);
    const auto request = w.server.expect<tern::publish>();
    const std::string topic(request.message.properties.response_topic.value());
    const std::string correlation(request.message.properties.correlation_data.value());
    CHECK(request.message.topic == "q");
    w.respond(topic, correlation, "2");
    CHECK(w.wait(a) == std::error_code{});
    CHECK(a.result().payload == "2");
    w.respond(topic, correlation, "again");
    CHECK(w.asks.counters().late == 1);
}

TEST_CASE("After a lost session a request waits for SUBACK again") {
    scripted_requests w;
    w.connect();
    const auto a = requests(w.asks, "q", "1", {.qos = qos::at_most_once});
    w.confirm_response_topic();
    (void)w.server.expect<tern::publish>();
    w.cut();
    w.net.run_ready();
    const auto b = requests(w.asks, "q", "2", {.qos = qos::at_most_once});
    w.accepts_again(false);
    w.grant(w.server.expect<tern::subscribe>().packet_id); // of the client
    const auto own = w.server.expect<tern::subscribe>();
    w.net.run_for(100ms);
    CHECK(w.server.is_silent());
    w.grant(own.packet_id);
    const auto request = w.server.expect<tern::publish>();
    CHECK(request.message.payload == "2");
    w.respond(std::string(*request.message.properties.response_topic),
              std::string(*request.message.properties.correlation_data), "3");
    CHECK(w.wait(b) == std::error_code{});
    CHECK(w.wait(a) == errc::operation_timeout);
}

TEST_CASE("After a lost connection requests go on if the session is present") {
    scripted_requests w;
    w.connect();
    const auto a = requests(w.asks, "q", "1", {.qos = qos::at_most_once});
    w.confirm_response_topic();
    const auto request = w.server.expect<tern::publish>();
    const std::string topic(*request.message.properties.response_topic);
    const std::string correlation(*request.message.properties.correlation_data);
    w.cut();
    w.accepts_again();
    w.respond(topic, correlation, "2");
    CHECK(w.wait(a) == std::error_code{});
}

TEST_CASE("A refused response topic, and the end of the run, end the requests") {
    scripted_requests w;
    w.connect();
    const auto a = requests(w.asks, "q", "1");
    w.grant(w.server.expect<tern::subscribe>().packet_id, reason_code::not_authorized);
    CHECK(w.wait(a) == reason_code::not_authorized);
    const auto b = requests(w.asks, "q", "2");
    w.confirm_response_topic();
    (void)w.server.expect<tern::publish>();
    const auto gone = disconnects(w.client);
    CHECK(w.wait(b) == errc::disconnected);
}

TEST_CASE("A request for which there is no subscriber ends with that reason") {
    scripted_requests w;
    w.connect();
    const auto a = requests(w.asks, "q", "1");
    w.confirm_response_topic();
    const auto request = w.server.expect<tern::publish>();
    w.server.send(puback{.packet_id = request.packet_id, .reason_code = reason_code::no_matching_subscribers});
    CHECK(w.wait(a) == reason_code::no_matching_subscribers);
}

TEST_CASE("Requester, responder, router and client can be destroyed in any order") {
    const auto first = GENERATE(0, 1, 2, 3);
    tern::testing::network net;
    broker server(net.get_executor(), {}, net.clock());
    net.listen("localhost", server);
    auto client = std::make_unique<network_client>(tern::testing::link{net});
    auto routes = std::make_unique<router>(*client);
    auto asks = std::make_unique<test_requester>(*routes);
    const auto connected = connects_as(*client);
    REQUIRE(net.run_until([&] { return connected.called(); }));
    const auto made = subscribes_to(*routes, {.filter = "t"});
    REQUIRE(net.run_until([&] { return made.called(); }));
    auto loud = std::make_unique<test_responder>(*routes, std::move(made.result()), shout);
    const auto silent = subscribes_to(*routes, {.filter = "unanswered"});
    REQUIRE(net.run_until([&] { return silent.called(); }));
    const auto a = requests(*asks, "unanswered", "x");
    net.run_ready();
    for (int n = first; n != first + 4; ++n) {
        if (n % 4 == 0) client.reset();
        if (n % 4 == 1) routes.reset();
        if (n % 4 == 2) asks.reset();
        if (n % 4 == 3) loud.reset();
        if (asks && !client) {
            const auto late = requests(*asks, "t", "x");
            net.run_ready();
            CHECK(late.error() == asio::error::operation_aborted);
        }
        net.run_ready();
    }
    CHECK(a.error() == asio::error::operation_aborted);
}

TEST_CASE("The executor has no work left after the end of a run, with a responder and a requester") {
    asio::io_context io;
    tern::testing::network net(io);
    std::optional<broker> server(std::in_place, net.get_executor(), broker_options{}, net.clock());
    net.listen("localhost", *server);
    network_client client(tern::testing::link{net});
    router routes(client);
    test_requester asks(routes);
    std::optional<test_responder> loud;
    bool ended = false;
    const auto program = [&]() -> asio::awaitable<void> {
        co_await client.async_connect({.client_id = "c"}, asio::use_awaitable);
        loud.emplace(routes, co_await routes.async_subscribe({.filter = "t"}, asio::use_awaitable), shout);
        const auto m = co_await asks.async_request("t", "x", asio::use_awaitable);
        CHECK(m.payload == "X");
        co_await client.async_disconnect(asio::use_awaitable);
        ended = true;
    };
    asio::co_spawn(io, program, asio::detached);
    CHECK(net.run_until([&] { return ended; }));
    server.reset();
    net.run_for(1min);
    CHECK(io.stopped());
}

// ---- online

TEST_CASE("The retained message says online after each connection, and offline after its end") {
    const auto version = GENERATE(v3_1_1, v5);
    router_fixture w;
    online_state state(w.routes, {.topic = "c/state"});
    connect_options options{.client_id = "c"};
    options.will = state.will();
    w.connect(version, options);
    network_client watcher(tern::testing::link{w.net});
    std::vector<std::string> seen;
    watcher.set_message_callback([&](const received& m) { seen.emplace_back(m.payload); });
    const auto connected = connects_as(watcher, {.client_id = "watcher"});
    CHECK(w.wait(connected) == std::error_code{});
    CHECK(w.wait(subscribes(watcher, {.filter = "c/state"})) == std::error_code{});
    w.settle();
    CHECK(seen == std::vector<std::string>{"online"});
    w.server.drop("c");
    w.net.run_for(10s);
    CHECK(seen == std::vector<std::string>{"online", "offline", "online"});
    answer<> left;
    state.async_disconnect(5s, left.handler());
    CHECK(w.wait(left) == std::error_code{});
    w.settle();
    CHECK(seen.back() == "offline");
    CHECK(seen.size() == 4);
    w.connect(version, options); // another run
    w.settle();
    CHECK(seen.back() == "online");
    CHECK(w.server.violations().empty());
}

TEST_CASE("Leaving without a connection disconnects nevertheless") {
    router_fixture w;
    online_state state(w.routes, {.topic = "c/state"});
    answer<> left;
    state.async_disconnect(5s, left.handler());
    CHECK(w.wait(left) == std::error_code{});
}

} // namespace requests_test
