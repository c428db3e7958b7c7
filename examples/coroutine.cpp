// Connects, subscribes, publishes and receives in a coroutine: each step awaits the one before.
// callbacks.cpp and futures.cpp do the same in other styles.
//
//     coroutine [host [port]]
#include "support/own_broker.hpp"
#include "tern/tern.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <array>
#include <cstdio>
#include <exception>
#include <string>

namespace {

using asio::use_awaitable;

asio::awaitable<void> publish_and_receive(const example::broker_address& broker) {
    tern::client client{co_await asio::this_coro::executor};

    tern::connect_options options{.host = broker.host, .port = broker.port, .client_id = "tern-coroutine"};
    options.will = tern::message_view{.topic = "tern/coroutine/state", .payload = "lost"};
    co_await client.async_connect(options, use_awaitable);
    std::puts("connected");

    const tern::subscription wanted{.filter = "tern/coroutine/#", .max_qos = tern::qos::exactly_once};
    const auto ack = co_await client.async_subscribe(wanted, use_awaitable);
    std::printf("subscribed, granted QoS %d\n", static_cast<int>(ack.reason_code));

    const std::array levels{tern::qos::at_most_once, tern::qos::at_least_once, tern::qos::exactly_once};
    for (const tern::qos qos : levels) {
        const tern::message_view message{.topic = "tern/coroutine/greeting", .payload = "hello", .qos = qos};
        co_await client.async_publish(message, use_awaitable);
        const tern::received_message m = co_await client.async_receive(use_awaitable);
        std::printf("received %s with QoS %d\n", std::string(m.payload).c_str(), static_cast<int>(m.qos));
    }

    co_await client.async_ping(use_awaitable);
    std::puts("the broker answered the ping");

    co_await client.async_disconnect(use_awaitable);
    std::puts("disconnected");
}

} // namespace

int main(int argc, char** argv) {
    try {
        asio::io_context context;
        const example::broker_address broker(context.get_executor(), argc, argv);
        asio::co_spawn(context, publish_and_receive(broker), [&](const std::exception_ptr& error) {
            context.stop(); // the embedded broker would keep run() busy
            if (error) std::rethrow_exception(error);
        });
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
