// The short forms of publish, try_publish and subscribe.
#include "client_test.hpp"
#include "tern/client/engine.hpp"

#include <asio/detached.hpp>
#include <asio/use_future.hpp>
#if __has_include(<asio/deferred.hpp>)
#include <asio/deferred.hpp>
#else
#include <asio/experimental/deferred.hpp>
#endif

#include <span>
#include <type_traits>

namespace short_form_tests {

#if __has_include(<asio/deferred.hpp>)
using asio::deferred;
#else
using asio::experimental::deferred;
#endif
using asio::use_awaitable;
using awaiting_client = asio::use_awaitable_t<>::as_default_on_t<test_client>;

// Inside a coroutine, where GCC 12 mishandles some temporaries, arguments must be trivially destructible.
static_assert(std::is_trivially_copyable_v<payload_view> && std::is_trivially_destructible_v<payload_view>);

static_assert(std::is_convertible_v<std::string, payload_view>);
static_assert(std::is_convertible_v<std::vector<std::byte>, payload_view>);
static_assert(std::is_convertible_v<std::array<unsigned char, 3>, payload_view>);
static_assert(std::is_convertible_v<std::vector<char>, payload_view>);
static_assert(std::is_convertible_v<std::span<char>, payload_view>);
static_assert(!std::is_convertible_v<std::vector<int>, payload_view>);
static_assert(!std::is_convertible_v<std::nullptr_t, payload_view>);
static_assert(!std::is_convertible_v<qos, payload_view>);
static_assert(!std::is_convertible_v<publish_options, payload_view>);
static_assert(!std::is_default_constructible_v<payload_view>); // so that {} are options

template <class Client>
concept takes_braced_pair = requires(Client& client) { client.async_subscribe({"a", "b"}, asio::detached); };
static_assert(!takes_braced_pair<test_client>, "two literals are the iterators of one string");

struct short_forms_fixture : broker_fixture {
    short_forms_fixture() {
        connect();
        subscribe("t");
    }
    // The next message, with its QoS as the broker has received it.
    std::string next() {
        const auto a = receives(client);
        REQUIRE(wait(io, a) == std::error_code{});
        return std::string(a.result().payload) + ":" + std::to_string(static_cast<int>(a.result().qos));
    }
};

TEST_CASE("A topic and a payload are a message with QoS 0") {
    short_forms_fixture w;
    answer<acknowledgement> a;
    w.client.async_publish("t", "a", a.handler());
    CHECK(wait(w.io, a) == std::error_code{});
    w.client.async_publish("t", "b", qos::exactly_once, asio::detached);
    auto published = w.client.async_publish(std::string("t"), std::string("c"), asio::use_future);
    CHECK(w.client.try_publish("t", "d") == std::error_code{});
    CHECK(w.client.try_publish("t", "e", qos::at_least_once) == std::error_code{});
    CHECK(w.next() == "a:0");
    std::vector<std::string> others{w.next(), w.next(), w.next(), w.next()};
    std::sort(others.begin(), others.end()); // the order between levels is free
    CHECK(others == std::vector<std::string>{"b:2", "c:0", "d:0", "e:1"});
    CHECK(published.get().reason_code == reason_code::success);
    CHECK(w.client.try_publish("t/#", "") == errc::invalid_topic_name);
    CHECK(w.server.violations().empty());
}

TEST_CASE("A payload is text or bytes, also inside co_await") {
    short_forms_fixture w;
    run(w.io, [&]() -> asio::awaitable<void> {
        const std::string topic = "t";
        const std::string long_text(100, 'x');
        const std::vector<std::byte> bytes{std::byte{'1'}, std::byte{0}};
        const std::array<unsigned char, 2> octets{'2', 0xFF};
        const unsigned char plain[]{'3'};
        const std::array<char, 3> with_nul{'6', 0, '7'};
        co_await w.client.async_publish("t", "0", use_awaitable);
        co_await w.client.async_publish(topic, bytes, use_awaitable);
        co_await w.client.async_publish(topic, octets, qos::at_least_once, use_awaitable);
        co_await w.client.async_publish(topic, plain, use_awaitable);
        co_await w.client.async_publish(topic, std::span(bytes).first(1), use_awaitable);
        co_await w.client.async_publish(topic, std::string_view("5\0", 2), qos::exactly_once, use_awaitable);
        co_await w.client.async_publish(topic + "", long_text + "6", use_awaitable);
        co_await w.client.async_publish(topic, std::span<const std::byte>(), use_awaitable);
        co_await w.client.async_publish(topic, with_nul, use_awaitable);
    });
    using namespace std::string_view_literals;
    for (const std::string_view expected : {"0"sv, "1\0"sv, "2\xFF"sv, "3"sv, "1"sv, "5\0"sv}) {
        const auto a = receives(w.client);
        REQUIRE(wait(w.io, a) == std::error_code{});
        CHECK(a.result().payload == expected);
    }
    CHECK(w.next() == std::string(100, 'x') + "6:0");
    CHECK(w.next() == ":0");
    CHECK(w.next() == std::string("6\0007", 3) + ":0");
    CHECK(w.server.violations().empty());
}

TEST_CASE("A text is a subscription with maximum QoS 1") {
    broker_fixture w;
    w.connect();
    run(w.io, [&]() -> asio::awaitable<void> {
        const std::string filter = "b/#";
        const auto first = co_await w.client.async_subscribe("a/#", use_awaitable);
        CHECK(first.reason_code == reason_code::granted_qos_1);
        const auto second = co_await w.client.async_subscribe(filter, qos::exactly_once, use_awaitable);
        CHECK(second.reason_code == reason_code::granted_qos_2);
        const auto third = co_await w.client.async_subscribe(filter + "", qos::at_most_once, use_awaitable);
        CHECK(third.reason_code == reason_code::granted_qos_0);
        const auto braced = co_await w.client.async_subscribe({"c"}, use_awaitable); // a `subscription`
        CHECK(braced.reason_code == reason_code::granted_qos_1);
    });
    answer<acknowledgement> a;
    w.client.async_subscribe("d", a.handler());
    CHECK(wait(w.io, a) == std::error_code{});
    answer<acknowledgement> refused;
    w.client.async_subscribe(std::string_view("#/d"), qos::at_most_once, refused.handler());
    CHECK(wait(w.io, refused) == misuse(errc::invalid_topic_filter));
    CHECK(w.server.violations().empty());
}

TEST_CASE("Several subscriptions are a named array or vector") {
    broker_fixture w;
    w.connect();
    run(w.io, [&]() -> asio::awaitable<void> {
        const std::array two{subscription{.filter = "a"}, subscription{.filter = "b"}};
        const subscription plain[]{{.filter = "a"}, {.filter = "b"}, {.filter = "c"}};
        std::vector<subscription> many(4, subscription{.filter = "v"});
        const auto first = co_await w.client.async_subscribe(two, use_awaitable);
        CHECK(first.reason_codes.size() == 2);
        const auto second = co_await w.client.async_subscribe(plain, use_awaitable);
        CHECK(second.reason_codes.size() == 3);
        const auto third = co_await w.client.async_subscribe(many, use_awaitable);
        CHECK(third.reason_codes.size() == 4);
        const auto fourth = co_await w.client.async_subscribe(std::span(many).first(1), use_awaitable);
        CHECK(fourth.reason_codes.size() == 1);
    });
    CHECK(w.server.violations().empty());
}

TEST_CASE("The short forms take default tokens, and start later with a deferred one") {
    broker_fixture w;
    awaiting_client client{awaiting_client::transport_type(w.io.get_executor(), w.net)};
    run(w.io, [&]() -> asio::awaitable<void> {
        co_await client.async_connect({.client_id = "c"});
        co_await client.async_subscribe("t");
        co_await client.async_subscribe("t", qos::exactly_once);
        co_await client.async_publish("t", "1");
        co_await client.async_publish("t", "2", qos::exactly_once);
        auto later = client.async_publish("t", "3", deferred);
        auto sooner = client.async_subscribe("u", qos::at_most_once, deferred);
        co_await std::move(sooner)(use_awaitable);
        co_await std::move(later)(use_awaitable);
        for (const char* const payload : {"1", "2", "3"}) {
            const received_message m = co_await client.async_receive();
            CHECK(m.payload == payload);
        }
        co_await client.async_disconnect();
    });
    CHECK(w.server.violations().empty());
}

} // namespace short_form_tests
