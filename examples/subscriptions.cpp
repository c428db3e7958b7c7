// Subscriptions that are objects: each has an inbox of its own, and says what its wildcards have matched.
//
//     subscriptions [host [port]]
#include "support/own_broker.hpp"
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/online_state.hpp"
#include "tern/tern.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>

namespace {

using asio::use_awaitable;
using namespace std::chrono_literals;

void show(const char* what, const tern::subscription_message& m) {
    std::printf("%s in the %s: %s\n", what, std::string(m.levels[0]).c_str(), std::string(m.payload).c_str());
}

void require(const std::error_code& error) {
    if (error) throw std::system_error(error);
}

asio::awaitable<void> watch_home(const example::broker_address& broker) {
    tern::client client{co_await asio::this_coro::executor};
    tern::message_router router{client};
    tern::online_state state{router, {.topic = "tern/home/state"}}; // retained: online, offline

    tern::connect_options options{.host = broker.host, .port = broker.port, .client_id = "tern-subscriptions"};
    options.will = state.will();
    co_await client.async_connect(options, use_awaitable);

    auto temperatures = co_await router.async_subscribe({.filter = "tern/home/+/temperature"}, use_awaitable);
    auto doors = co_await router.async_subscribe({.filter = "tern/home/+/door", .max_qos = tern::qos::exactly_once},
                                                 use_awaitable);
    auto kitchen = co_await router.async_subscribe({.filter = "tern/home/kitchen/#"}, use_awaitable);
    for (const tern::subscription_state& each : client.subscriptions())
        if (each.filter == doors.filter()) std::printf("doors: granted QoS %d\n", static_cast<int>(*each.granted_qos));

    // All of these are received, whichever inbox is read first.
    require(client.try_publish("tern/home/kitchen/temperature", "21.5", tern::qos::at_least_once));
    require(client.try_publish("tern/home/hall/door", "open", tern::qos::exactly_once));
    require(client.try_publish("tern/home/bath/temperature", "24", tern::qos::at_least_once));

    show("the door", co_await doors.async_receive(use_awaitable));
    show("temperature", co_await temperatures.async_receive(use_awaitable));
    show("temperature", co_await temperatures.async_receive(use_awaitable));
    const tern::subscription_message m = co_await kitchen.async_receive(use_awaitable); // the same as the first one
    std::printf("kitchen, %s: %s\n", std::string(m.levels[0]).c_str(), std::string(m.payload).c_str());

    co_await state.async_disconnect(5s, use_awaitable);
    std::puts("disconnected");
}

} // namespace

int main(int argc, char** argv) {
    try {
        asio::io_context context;
        const example::broker_address broker(context.get_executor(), argc, argv);
        asio::co_spawn(context, watch_home(broker), [&](const std::exception_ptr& error) {
            context.stop(); // the embedded broker would keep run() busy
            if (error) std::rethrow_exception(error);
        });
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
