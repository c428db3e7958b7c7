// Compiles and runs the snippets of the README. readme.py takes each of them out of the page, into the file
// <section>_<number>.inc. The client runs on an in-memory network, where an embedded broker is behind each host.
#include "tern/client/any_client.hpp"
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
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace tern::literals;
using asio::use_awaitable;

using client_in_memory = tern::basic_client<tern::testing::link>;

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "failed: %s\n", what);
    std::exit(1);
}
#define REQUIRE(...) require((__VA_ARGS__) ? true : false, #__VA_ARGS__)

asio::awaitable<void> connecting(client_in_memory& client) {
#include "readme/connecting_1.inc"
    REQUIRE(client.is_connected());
}

// It is only compiled, because there is no such broker.
[[maybe_unused]] asio::awaitable<void> connecting_by_url(asio::io_context& context) {
#include "readme/ways_to_the_broker_1.inc"
}

asio::awaitable<void> publishing(client_in_memory& client) {
#include "readme/publishing_1.inc"
    REQUIRE(!client.try_publish({.topic = "home/kitchen/temperature", .payload = "21.6"}));
}

asio::awaitable<void> subscribing(client_in_memory& client) {
#include "readme/subscribing_and_receiving_1.inc"
    REQUIRE(suback.reason_code == tern::reason_code::granted_qos_2);
#include "readme/subscribing_and_receiving_2.inc"
}

asio::awaitable<void> receiving(client_in_memory& client) {
#include "readme/subscribing_and_receiving_4.inc"
    REQUIRE(m.topic == "home/kitchen/temperature");
}

asio::awaitable<void> receiving_many(client_in_memory& client) {
    co_await client.async_subscribe({.filter = "many"}, use_awaitable);
    co_await client.async_publish({.topic = "many", .payload = "1"}, use_awaitable);
    {
#include "readme/subscribing_and_receiving_5.inc"
        REQUIRE(count == 1);
    }
#include "readme/subscribing_and_receiving_6.inc"
    co_await client.async_publish({.topic = "many", .payload = "2"}, use_awaitable);
    co_await client.async_ping(use_awaitable); // the message arrives before the answer
    REQUIRE(!client.try_receive());
    client.set_message_callback({});
    co_await client.async_unsubscribe("many", use_awaitable);
}

void routing() {
#include "readme/subscribing_and_receiving_7.inc"
}

asio::awaitable<void> unsubscribing(client_in_memory& client) {
#include "readme/subscribing_and_receiving_8.inc"
}

asio::awaitable<void> deleting(client_in_memory& client) {
#include "readme/retained_messages_1.inc"
}

asio::awaitable<void> pinging(client_in_memory& client) {
#include "readme/keep_alive_1.inc"
}

asio::awaitable<void> leaving(client_in_memory& client) {
#include "readme/leaving_1.inc"
    REQUIRE(!client.is_connected());
}

asio::awaitable<void> leaving_when_done(client_in_memory& client) {
#include "readme/leaving_2.inc"
    REQUIRE(!client.is_connected());
}

tern::connect_options lasting() {
#include "readme/what_happens_when_the_link_breaks_1.inc"
    return options;
}

// A program with the options of the README is started three times, and loses nothing that the broker has queued.
// `start` makes its client, which is destroyed without DISCONNECT.
template <class Start>
asio::awaitable<void> restarting(Start start, tern::connect_options other) {
    constexpr std::size_t count = 20;
    const std::string_view filter = "tractor/7/#";
    tern::connect_options options = lasting();
    options.host = other.host;
    options.port = other.port;
    {
        auto first = start();
        const auto connack = co_await first.async_connect(options, use_awaitable);
        REQUIRE(!connack.session_present);
        co_await first.async_subscribe({.filter = filter, .max_qos = tern::qos::exactly_once}, use_awaitable);
    }
    auto farmer = start();
    co_await farmer.async_connect(other, use_awaitable);
    for (std::size_t i = 0; i != count; ++i) {
        const std::string payload = std::to_string(i);
        co_await farmer.async_publish({.topic = "tractor/7/field",
                                       .payload = payload,
                                       .qos = i % 2 == 0 ? tern::qos::at_least_once : tern::qos::exactly_once},
                                      use_awaitable);
    }
    std::set<std::string> received;
    for (const std::size_t enough : {count / 4, count}) {
        auto next = start();
        const auto connack = co_await next.async_connect(options, use_awaitable);
        REQUIRE(connack.session_present);
        co_await next.async_subscribe({.filter = filter, .max_qos = tern::qos::exactly_once}, use_awaitable);
        while (received.size() < enough) {
            const tern::received_message m = co_await next.async_receive(use_awaitable);
            received.emplace(m.payload);
        }
    }
    co_await farmer.async_disconnect(use_awaitable);
}

asio::awaitable<void> publishing_in_time(client_in_memory& client) {
#include "readme/what_happens_when_the_link_breaks_2.inc"
}

std::string fetch_token() {
    return "new";
}

asio::awaitable<void> coming_back(client_in_memory& client) {
#include "readme/what_happens_when_the_link_breaks_3.inc"
#include "readme/what_happens_when_the_link_breaks_4.inc"
    co_await client.async_connect(options, use_awaitable);
    co_await client.async_disconnect(use_awaitable);
}

asio::awaitable<void> watching(client_in_memory& client) {
#include "readme/what_happens_when_the_link_breaks_5.inc"
#include "readme/what_happens_when_the_link_breaks_6.inc"
#include "readme/what_happens_when_the_link_breaks_7.inc"
    REQUIRE(!cause);
}

asio::awaitable<void> resending(client_in_memory& client) {
#include "readme/publishing_2.inc"
    co_await client.async_connect(options, use_awaitable);
    co_await client.async_disconnect(use_awaitable);
}

asio::awaitable<void> properties(client_in_memory& client) {
#include "readme/properties_of_5_0_1.inc"
}

asio::awaitable<void> errors(client_in_memory& client) {
    const tern::connect_options options{.password = "wrong"};
#include "readme/errors_1.inc"
    REQUIRE(error == tern::reason_code::bad_user_name_or_password);
}

void callback(client_in_memory& client) {
#include "readme/completion_tokens_1.inc"
}

void future(client_in_memory& client) {
#include "readme/completion_tokens_2.inc"
}

// ---- without Asio

#include "readme/subscribing_and_receiving_3.inc"
#include "readme/without_asio_and_at_compile_time_2.inc"
static_assert(switch_on.size() == 16);

std::string sent;

void send(std::string_view bytes) {
    sent += bytes;
}

void core() {
#include "readme/without_asio_and_at_compile_time_1.inc"
    REQUIRE(sent.size() > 2 && sent[0] == 0x10); // CONNECT
    REQUIRE(session.pending_write().empty());
}

// ---- your own tests

void testing() {
#include "readme/testing_your_program_1.inc"
}

void unreliable_network() {
#include "readme/testing_your_program_2.inc"
}

asio::awaitable<void> tour(client_in_memory& client) {
    co_await errors(client);
    co_await connecting(client);
    co_await publishing(client);
    co_await subscribing(client);
    co_await receiving(client);
    co_await receiving_many(client);
    co_await unsubscribing(client);
    co_await deleting(client);
    co_await properties(client);
    co_await publishing_in_time(client);
    co_await pinging(client);
    callback(client);
    future(client);
    co_await leaving_when_done(client);
    co_await connecting(client);
    co_await leaving(client);
}

// The same, on the broker at this port.
void restart_on(std::uint16_t port) {
    asio::io_context io;
    const auto start = [&] { return tern::client{io}; };
    asio::co_spawn(io, restarting(start, {.host = "127.0.0.1", .port = port, .client_id = "farmer"}),
                   [](const std::exception_ptr& error) {
                       if (error) std::rethrow_exception(error);
                   });
    io.run();
}

} // namespace

int main(int argc, char** argv) {
    if (argc == 2) {
        restart_on(static_cast<std::uint16_t>(std::atoi(argv[1])));
        return 0;
    }
    tern::testing::network net;
    tern::testing::broker_options options;
    options.on_connect = [](const tern::connect& packet) {
        return packet.password == "wrong" ? tern::reason_code::bad_user_name_or_password : tern::reason_code::success;
    };
    tern::testing::broker broker{net.get_executor(), options, net.clock()};
    for (const char* host : {"localhost", "broker.example", "a.example"})
        net.listen(host, broker);
    tern::testing::broker farm{net.get_executor(), {}, net.clock()};
    net.listen("farm.example", farm);
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
    const auto start = [&] { return client_in_memory{tern::testing::link{net}}; };
    asio::co_spawn(net.context(), restarting(start, {.host = "farm.example", .client_id = "farmer"}), count);
    REQUIRE(net.run_until([&] { return done == 5; }));
    REQUIRE(broker.violations().empty());
    REQUIRE(farm.violations().empty());
    routing();
    core();
    testing();
    unreliable_network();
}
