// Every piece of C++ that the README shows, so that it compiles and does what is said. A test compares the two.
// The clients are on a network in memory, with the broker for tests behind each host that is named.
#include "tern/format.hpp"
#include "tern/tern.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/network.hpp"
#include "tern/testing/run_until.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#include <fmt/core.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using namespace std::chrono_literals;
using asio::use_awaitable;

using client_in_memory = tern::basic_client<tern::testing::link>;

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "not so: %s\n", what);
    std::exit(1);
}
#define REQUIRE(...) require(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__)

asio::awaitable<void> connecting(client_in_memory& client) {
    const tern::connect_options options{
        .host = "broker.example",
        .version = tern::protocol_version::v5, // or v3_1_1
        .client_id = "kitchen-lamp",
        .clean_start = true, // 3.1.1 calls it clean session
        .keep_alive = 30s,
        .user_name = "family",
        .password = "open sesame",
        .will = tern::message_view{.topic = "home/kitchen/lamp", .payload = "gone", .retain = true},
    };
    const auto connack = co_await client.async_connect(options, use_awaitable);
    if (!connack.session_present) {
        // The broker knows nothing of us: subscribe.
    }
}

asio::awaitable<void> publishing(client_in_memory& client) {
    co_await client.async_publish({.topic = "home/kitchen/temperature",
                                   .payload = "21.5",
                                   .qos = tern::qos::at_least_once,
                                   .retain = true},
                                  use_awaitable);
    REQUIRE(!client.try_publish({.topic = "home/kitchen/temperature", .payload = "21.6"}));
}

asio::awaitable<void> subscribing(client_in_memory& client) {
    const auto suback = co_await client.async_subscribe(
        {.filter = "home/+/temperature", .max_qos = tern::qos::exactly_once}, use_awaitable);
    REQUIRE(suback.reason_code == tern::reason_code::granted_qos_2);

    const std::array filters{tern::subscription{.filter = "home/door"},
                             tern::subscription{.filter = "home/lamp/#"}};
    co_await client.async_subscribe(filters, use_awaitable);
}

asio::awaitable<void> receiving(client_in_memory& client) {
    const tern::received_message m = co_await client.async_receive(use_awaitable);
    std::printf("%s: %s\n", std::string(m.topic).c_str(), std::string(m.payload).c_str());
}

asio::awaitable<void> receiving_many(client_in_memory& client) {
    co_await client.async_subscribe({.filter = "many"}, use_awaitable);
    co_await client.async_publish({.topic = "many", .payload = "1"}, use_awaitable);
    {
        std::vector<tern::received_message> batch(100);
        const std::size_t count = co_await client.async_receive_some(batch, use_awaitable);
        for (const tern::received_message& each : std::span(batch).first(count))
            std::printf("%zu bytes\n", each.payload.size());
        REQUIRE(count == 1);
    }
    client.set_message_callback([](const tern::received& r) {
        std::printf("%zu bytes\n", r.message.payload.size()); // acknowledged when this returns
    });
    co_await client.async_publish({.topic = "many", .payload = "2"}, use_awaitable);
    co_await client.async_ping(use_awaitable); // the message has come before the answer
    REQUIRE(!client.try_receive());
    client.set_message_callback({});
    co_await client.async_unsubscribe("many", use_awaitable);
}

asio::awaitable<void> the_rest(client_in_memory& client) {
    co_await client.async_unsubscribe("home/+/temperature", use_awaitable);
    co_await client.async_publish({.topic = "home/kitchen/temperature", .retain = true}, use_awaitable);
    co_await client.async_ping(use_awaitable);
    co_await client.async_drain(10s, use_awaitable); // errc::drain_timeout after ten seconds
    co_await client.async_disconnect(use_awaitable);
}

asio::awaitable<void> late(client_in_memory& client) {
    co_await client.async_publish({.topic = "home/door", .payload = "ring"},
                                  tern::publish_options{.time_to_live = 5s}, use_awaitable);
}

tern::connect_options lasting() {
    tern::connect_options options{.client_id = "tractor-7"};
    options.clean_start = false;                            // 3.1.1: that is all
    options.properties.session_expiry_interval = 24 * 3600; // 5.0: for so many seconds after the connection
    return options;
}

std::string fetch_token() {
    return "new";
}

asio::awaitable<void> coming_back(client_in_memory& client) {
    tern::connect_options options{.host = "a.example", .client_id = "tractor-7"};
    const std::array more{tern::endpoint{.host = "b.example"},
                          tern::endpoint{.host = "c.example", .port = 1884}};
    options.more_endpoints = more;
    options.reconnect = {.retry_first = true, .first_delay = 500ms, .longest_delay = 30s};

    client.set_before_connect([](tern::connect_attempt attempt) {
        const std::string token = fetch_token(); // or later, from a coroutine: an attempt can be kept
        attempt.proceed({.password = token});
    });
    co_await client.async_connect(options, use_awaitable);
    co_await client.async_disconnect(use_awaitable);
}

asio::awaitable<void> watching(client_in_memory& client) {
    for (;;) {
        const tern::connection_event event = co_await client.async_next_event(use_awaitable);
        fmt::print("{}\n", event);
        if (event.change == tern::connection_change::stopped) break;
    }
}

asio::awaitable<void> resending(client_in_memory& client) {
    tern::connect_options options{.version = tern::protocol_version::v3_1_1, .client_id = "patient"};
    options.ack_timeout = 5s;
    options.on_ack_timeout = tern::ack_timeout_action::resend;
    co_await client.async_connect(options, use_awaitable);
    co_await client.async_disconnect(use_awaitable);
}

asio::awaitable<void> errors(client_in_memory& client) {
    const tern::connect_options options{.password = "wrong"};
    std::error_code error;
    co_await client.async_connect(options, asio::redirect_error(use_awaitable, error));
    if (error == tern::reason_code::bad_user_name_or_password) {
        // the broker said no: ask the user again
    } else if (error.category() == tern::usage_category()) {
        // a mistake in our own program; nothing was sent
    } else if (error) {
        // the network, or a broker that does not keep to the rules
        std::fprintf(stderr, "cannot connect: %s\n", error.message().c_str());
    }
    REQUIRE(error == tern::reason_code::bad_user_name_or_password);
}

void callback(client_in_memory& client) {
    client.async_publish({.topic = "home/door", .payload = "open", .qos = tern::qos::at_least_once},
                         [](std::error_code error, const tern::acknowledgement&) {
                             if (error) std::fprintf(stderr, "%s\n", error.message().c_str());
                         });
}

void future(client_in_memory& client) {
    std::future<tern::acknowledgement> done =
        client.async_publish({.topic = "home/door", .payload = "closed"}, asio::use_future);
}

asio::awaitable<void> properties(client_in_memory& client) {
    const std::array unit{tern::user_property{"unit", "celsius"}};
    co_await client.async_publish({.topic = "home/attic/temperature",
                                   .payload = "16.0",
                                   .properties = {.message_expiry_interval = 60, .user_properties = unit}},
                                  use_awaitable);
}

// ---- without Asio

using namespace tern::literals;

static_assert(tern::matches("home/+/temperature", "home/kitchen/temperature"));
static_assert(tern::matches("home/#", "home/kitchen/ceiling/light"));
static_assert(!tern::matches("#", "$SYS/broker/uptime"));

constexpr auto switch_on = tern::encode_to_array<[] {
    return tern::publish{.message = {.topic = "home/lamp"_topic, .payload = "on"}};
}>();
static_assert(switch_on.size() == 16);

void routing() {
    tern::topic_map<std::function<void(std::string_view)>> routes;
    if (const auto route = routes.insert("home/+/temperature"))
        **route = [](std::string_view payload) { std::printf("%s degrees\n", std::string(payload).c_str()); };

    routes.for_each_match("home/kitchen/temperature", [](const auto& route) { route("21.5"); });
}

void core() {
    tern::session session;
    tern::time_point now{};
    if (session.connect({.client_id = "by-hand"}, now) != tern::errc::none) return;
    session.on_prepared(now); // `pending_action()` says what is next
    session.on_opened(now);   // the transport is connected to `target()`
    for (const std::string_view bytes : session.pending_write()) {
        // send them, then:
        session.commit_write(bytes.size(), now);
        break;
    }
}

// ---- your own tests

void testing() {
    asio::io_context io;
    tern::testing::broker broker{io.get_executor()};
    tern::client client{io};
    bool published = false;
    client.async_connect({.host = "127.0.0.1", .port = broker.listen()},
                         [&](std::error_code, const tern::connect_result&) {
                             client.async_publish({.topic = "t", .qos = tern::qos::exactly_once},
                                                  [&](std::error_code error, const tern::acknowledgement&) {
                                                      published = !error;
                                                  });
                         });
    REQUIRE(tern::testing::run_until(io, [&] { return published; }));
    REQUIRE(broker.violations().empty());
}

void bad_day() {
    tern::testing::network net;
    tern::testing::broker broker{net.get_executor(), {}, net.clock()};
    net.listen("broker.test", broker);
    net.next({.to_server = {.cut = tern::testing::cut{.after = 100}}}); // the first connection does not last

    tern::basic_client<tern::testing::link> client{tern::testing::link{net}};
    int arrived = 0;
    client.async_connect({.host = "broker.test"}, [](std::error_code, const tern::connect_result&) {});
    for (int i = 0; i != 10; ++i)
        client.async_publish(
            {.topic = "t", .payload = "twenty bytes of data", .qos = tern::qos::at_least_once},
            [&](std::error_code error, const tern::acknowledgement&) { arrived += !error; });
    REQUIRE(net.run_until([&] { return arrived == 10; }, 1h));
    REQUIRE(client.counters().connections == 2);
}

asio::awaitable<void> tour(client_in_memory& client) {
    co_await errors(client);
    co_await connecting(client);
    co_await publishing(client);
    co_await subscribing(client);
    co_await receiving(client);
    co_await receiving_many(client);
    co_await properties(client);
    co_await late(client);
    callback(client);
    future(client);
    co_await the_rest(client);
}

} // namespace

int main() {
    tern::testing::network net;
    tern::testing::broker_options options;
    options.on_connect = [](const tern::connect& packet) {
        return packet.password == "wrong" ? tern::reason_code::bad_user_name_or_password
                                          : tern::reason_code::success;
    };
    tern::testing::broker broker{net.get_executor(), options, net.clock()};
    for (const char* host : {"localhost", "broker.example", "a.example"})
        net.listen(host, broker);
    client_in_memory client{tern::testing::link{net}};
    client_in_memory patient{tern::testing::link{net}};
    client_in_memory tractor{tern::testing::link{net}};
    int done = 0;
    const auto count = [&](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);
        ++done;
    };
    asio::co_spawn(net.context(), tour(client), count);
    asio::co_spawn(net.context(), resending(patient), count);
    asio::co_spawn(net.context(), coming_back(tractor), count);
    asio::co_spawn(net.context(), watching(tractor), count);
    REQUIRE(net.run_until([&] { return done == 4; }));
    REQUIRE(broker.violations().empty());
    routing();
    core();
    testing();
    bad_day();
    REQUIRE(!lasting().clean_start);
}
