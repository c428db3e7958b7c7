// Every operation with every kind of completion token.
#include "scripted_broker.hpp"
#include "tern/client/engine.hpp"

#include <asio/experimental/awaitable_operators.hpp>
#if __has_include(<asio/as_tuple.hpp>)
#include <asio/as_tuple.hpp>
#include <asio/deferred.hpp>
namespace tokens = asio;
#else
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/deferred.hpp>
namespace tokens = asio::experimental;
#endif

#include <future>
#include <thread>
#include <type_traits>
#include <variant>

// A custom token. Calling its result starts the operation, and the operation stores only its error.
struct only_error {
    std::shared_ptr<std::optional<std::error_code>> told = std::make_shared<std::optional<std::error_code>>();
};

template <class... Result>
struct asio::async_result<only_error, void(std::error_code, Result...)> {
    template <class Initiation, class... Argument>
    static auto initiate(Initiation initiation, only_error token, Argument... arguments) {
        return [=]() mutable {
            std::move(initiation)([told = token.told](std::error_code error, const Result&...) { *told = error; },
                                  std::move(arguments)...);
        };
    }
};

namespace {

using asio::use_awaitable;

// Runs every operation once, from connect to disconnect. `of` starts and awaits an operation.
template <class Client, class Of>
asio::awaitable<void> every_operation(Client& client, Of of) {
    const std::array subscriptions{subscription{.filter = "a/#", .max_qos = qos::exactly_once},
                                   subscription{.filter = "b"}};
    const std::array<std::string_view, 2> filters{"a/#", "b"};
    co_await of([&](auto&& token) { return client.async_connect({.client_id = "c"}, token); });
    CHECK(client.is_connected());
    co_await of([&](auto&& token) { return client.async_subscribe({.filter = "t"}, token); });
    co_await of([&](auto&& token) { return client.async_subscribe(subscriptions, token); });
    co_await of([&](auto&& token) {
        return client.async_subscribe(subscriptions, subscribe_options{.properties = {.subscription_identifier = 7}},
                                      token);
    });
    co_await of([&](auto&& token) { return client.async_publish({.topic = "t", .payload = "0"}, token); });
    co_await of([&](auto&& token) {
        return client.async_publish({.topic = "a/1", .payload = "1", .qos = qos::at_least_once}, token);
    });
    co_await of([&](auto&& token) {
        return client.async_publish({.topic = "a/2", .payload = "2", .qos = qos::exactly_once}, token);
    });
    for (int i = 0; i != 3; ++i)
        co_await of([&](auto&& token) { return client.async_receive(token); });
    co_await of([&](auto&& token) { return client.async_publish({.topic = "t"}, publish_options{}, token); });
    co_await of([&](auto&& token) { return client.async_drain(5s, token); });
    co_await of([&](auto&& token) { return client.async_next_event(token); });
    co_await of([&](auto&& token) { return client.async_ping(token); });
    co_await of([&](auto&& token) { return client.async_unsubscribe("t", token); });
    co_await of([&](auto&& token) { return client.async_unsubscribe(filters, token); });
    co_await of([&](auto&& token) {
        return client.async_unsubscribe(std::span(filters).first(1), unsubscribe_options{}, token);
    });
    co_await of([&](auto&& token) { return client.async_disconnect(token); });
    co_await of([&](auto&& token) { return client.async_connect({.client_id = "c"}, token); });
    co_await of([&](auto&& token) { return client.async_disconnect(disconnect{}, token); });
    CHECK_FALSE(client.is_connected());
}

TEST_CASE("use_awaitable awaits every operation") {
    broker_fixture w;
    run(w.io,
        every_operation(w.client, [](auto start) -> asio::awaitable<void> { (void)co_await start(use_awaitable); }));
    CHECK(w.server.violations().empty());
}

TEST_CASE("as_tuple gives the error of every operation as a value") {
    broker_fixture w;
    run(w.io, every_operation(w.client, [](auto start) -> asio::awaitable<void> {
            const auto result = co_await start(tokens::as_tuple(use_awaitable));
            CHECK(std::get<0>(result) == std::error_code{});
        }));
    CHECK(w.server.violations().empty());
}

TEST_CASE("A deferred operation does nothing until it is started") {
    broker_fixture w;
    run(w.io, every_operation(w.client, [](auto start) -> asio::awaitable<void> {
            auto operation = start(tokens::deferred);
            (void)co_await std::move(operation)(use_awaitable);
        }));
    CHECK(w.server.violations().empty());

    w.connect();
    const int writes = w.counts->writes;
    auto operation = w.client.async_publish({.topic = "t", .payload = "p"}, tokens::deferred);
    settle(w.io);
    CHECK(w.counts->writes == writes);
    answer<acknowledgement> a;
    std::move(operation)(a.handler());
    CHECK(wait(w.io, a) == std::error_code{});
    CHECK(w.counts->writes == writes + 1);
}

TEST_CASE("A callback that is passed as an lvalue is copied, not moved from") {
    broker_fixture w;
    run(w.io, every_operation(w.client, [&](auto start) -> asio::awaitable<void> {
            const auto calls = std::make_shared<int>(0);
            std::error_code seen = asio::error::in_progress;
            auto callback = [calls, &seen](std::error_code error, const auto&...) {
                ++*calls;
                seen = error;
            };
            start(callback);
            CHECK(calls.use_count() > 2); // the callback, its copy, and `calls`
            while (*calls == 0)
                co_await asio::post(w.io, use_awaitable);
            CHECK(seen == std::error_code{});
            CHECK(*calls == 1);
        }));
}

TEST_CASE("detached starts every operation and ignores its result") {
    broker_fixture w;
    run(w.io, every_operation(w.client, [&](auto start) -> asio::awaitable<void> {
            start(asio::detached);
            for (int i = 0; i != 20; ++i)
                co_await asio::post(w.io, use_awaitable);
        }));
    CHECK(w.server.violations().empty());
}

TEST_CASE("A custom token decides when the operation starts") {
    broker_fixture w;
    run(w.io, every_operation(w.client, [&](auto start) -> asio::awaitable<void> {
            only_error token;
            auto operation = start(token);
            CHECK_FALSE(token.told->has_value());
            operation();
            while (!*token.told)
                co_await asio::post(w.io, use_awaitable);
            CHECK(**token.told == std::error_code{});
        }));
    CHECK(w.server.violations().empty());
}

TEST_CASE("use_future gives results in another thread") {
    broker_fixture w;
    const auto work = asio::make_work_guard(w.io);
    std::thread thread([&] { w.io.run(); });
    // The client belongs to the thread of the context, so its operations start there.
    std::promise<std::future<connect_result>> connecting;
    asio::post(w.io, [&] { connecting.set_value(w.client.async_connect({.client_id = "c"}, asio::use_future)); });
    CHECK(connecting.get_future().get().get().reason_code == reason_code::success);

    std::promise<std::future<acknowledgement>> publishing;
    asio::post(w.io, [&] {
        publishing.set_value(w.client.async_publish({.topic = "t", .qos = qos::at_least_once}, asio::use_future));
    });
    CHECK(publishing.get_future().get().get().reason_code == reason_code::no_matching_subscribers);

    std::promise<std::future<void>> disconnecting;
    asio::post(w.io, [&] { disconnecting.set_value(w.client.async_disconnect(asio::use_future)); });
    CHECK_NOTHROW(disconnecting.get_future().get().get());
    w.io.stop();
    thread.join();
}

// In one thread: ThreadSanitizer does not see how libstdc++ passes exceptions between threads.
TEST_CASE("use_future throws errors") {
    broker_fixture w;
    w.connect();
    auto refused = w.client.async_connect({}, asio::use_future);
    settle(w.io);
    try {
        refused.get();
        FAIL("connected twice");
    } catch (const std::system_error& e) {
        CHECK(e.code() == errc::already_connected);
        CHECK(e.code().category() == usage_category());
    }
}

TEST_CASE("use_awaitable throws the error") {
    broker_fixture w;
    run(w.io, [&]() -> asio::awaitable<void> {
        try {
            co_await w.client.async_ping(use_awaitable);
            FAIL("pinged without a connection");
        } catch (const std::system_error& e) {
            CHECK(e.code() == errc::not_connected);
        }
    });
}

TEST_CASE("The executor's default token may be left out") {
    using awaiting = asio::use_awaitable_t<>::as_default_on_t<test_client>;
    static_assert(
        std::is_same_v<asio::default_completion_token<awaiting::executor_type>::type, asio::use_awaitable_t<>>);
    static_assert(
        std::is_same_v<
            asio::use_awaitable_t<>::as_default_on_t<tern::client>::rebind_executor<tern::client::executor_type>::other,
            tern::client>);
    broker_fixture w;
    using transport = awaiting::transport_type;
    awaiting client{transport(w.io.get_executor(), w.net)};
    const std::array subscriptions{subscription{.filter = "t"}, subscription{.filter = "u"}};
    const std::array<std::string_view, 1> filters{"u"};
    run(w.io, [&]() -> asio::awaitable<void> {
        const connect_result result = co_await client.async_connect({.client_id = "c"});
        CHECK_FALSE(result.session_present);
        co_await client.async_subscribe({.filter = "t"});
        co_await client.async_subscribe(subscriptions);
        const acknowledgement both = co_await client.async_subscribe(subscriptions, subscribe_options{});
        CHECK(both.reason_codes.size() == 2);
        co_await client.async_publish({.topic = "t", .payload = "p"});
        co_await client.async_publish({.topic = "t", .payload = "q"}, publish_options{.time_to_live = 5s});
        co_await client.async_drain(5s);
        co_await client.async_next_event();
        const message m = co_await client.async_receive();
        CHECK(m.payload == "p");
        co_await client.async_ping();
        co_await client.async_unsubscribe("t");
        co_await client.async_unsubscribe(filters);
        co_await client.async_unsubscribe(filters, unsubscribe_options{});
        co_await client.async_disconnect();
        co_await client.async_connect({.client_id = "c"});
        co_await client.async_disconnect(disconnect{.reason_code = reason_code::disconnect_with_will_message});
        co_await client.async_connect({.client_id = "c"});
        co_await client.async_disconnect({.reason_code = reason_code::disconnect_with_will_message});
    });
    CHECK(w.server.violations().empty());
}

TEST_CASE("Parallel operations cancel the slower ones, and other operations are not affected") {
    using namespace asio::experimental::awaitable_operators;
    scripted_broker_fixture w;
    w.server.connected(w.client);
    run(w.io, [&]() -> asio::awaitable<void> {
        asio::steady_timer timer(w.io, 0ms);
        const auto first = co_await (w.client.async_publish({.topic = "t", .qos = qos::at_least_once}, use_awaitable) ||
                                     timer.async_wait(use_awaitable));
        CHECK(first.index() == 1);
        timer.expires_after(1h);
        const auto both = co_await (w.client.async_publish({.topic = "u"}, use_awaitable) &&
                                    w.client.async_publish({.topic = "v"}, use_awaitable));
        CHECK(std::get<1>(both).reason_code == reason_code::success);
        const auto second =
            co_await (w.client.async_publish({.topic = "w"}, use_awaitable) || timer.async_wait(use_awaitable));
        CHECK(second.index() == 0);
    });
    // The cancelled publish was sent, and its acknowledgement completes no other operation.
    const auto cancelled = w.server.expect<publish>();
    CHECK(cancelled.message.topic == "t");
    w.server.send(puback{.packet_id = cancelled.packet_id});
    const auto pinged = pings(w.client);
    for (const std::string_view topic : {"u", "v", "w"})
        CHECK(w.server.expect<publish>().message.topic == topic);
    w.server.expect<pingreq>();
    w.server.send(pingresp{});
    CHECK(wait(w.io, pinged) == std::error_code{});
}

} // namespace
