// What a client does in a test over WebSocket, with any broker.
#pragma once

#include "catch.hpp"
#include "tern/client/basic_client.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <utility>

namespace websocket_scenario {

using tern::qos;

/// Runs a coroutine. `run_until` runs handlers until a condition holds, and returns whether it does.
template <class Executor>
void run(const Executor& executor, asio::awaitable<void> work,
         const std::function<bool(const std::function<bool()>&)>& run_until) {
    bool is_done = false;
    std::exception_ptr failure;
    asio::co_spawn(executor, std::move(work), [&](std::exception_ptr e) {
        failure = std::move(e);
        is_done = true;
    });
    REQUIRE(run_until([&] { return is_done; }));
    if (failure) std::rethrow_exception(failure);
}

/// Around the sizes at which a frame has another form, and more than one frame.
inline constexpr std::size_t sizes[] = {0, 1, 100, 125, 126, 5'000, 65'000, 65'535, 65'536, 200'000, 1U << 20U};

/// Publishes messages of many sizes to the client itself, and checks that they arrive.
template <class Client>
asio::awaitable<void> echo(Client& client, qos level, std::size_t largest) {
    const std::string topic = "echo/" + std::to_string(static_cast<int>(level));
    const tern::subscription all{.filter = topic, .max_qos = level};
    co_await client.async_subscribe(all, asio::use_awaitable);
    for (const std::size_t size : sizes) {
        if (size > largest) break;
        std::string payload(size, '\0');
        for (std::size_t i = 0; i != size; ++i)
            payload[i] = static_cast<char>(i * 7 + size);
        const tern::message_view message{.topic = topic, .payload = payload, .qos = level};
        co_await client.async_publish(message, asio::use_awaitable);
        const auto received = co_await client.async_receive(asio::use_awaitable);
        CHECK(received.topic == topic);
        CHECK((received.payload == payload)); // in parentheses, because it can be large
    }
    co_await client.async_unsubscribe(std::string_view(topic), asio::use_awaitable);
}

template <class Client>
asio::awaitable<void> echo_all(Client& client, tern::connect_options options, std::size_t largest = 1U << 20U) {
    co_await client.async_connect(options, asio::use_awaitable);
    for (const qos level : {qos::at_most_once, qos::at_least_once, qos::exactly_once})
        co_await echo(client, level, largest);
    co_await client.async_disconnect(asio::use_awaitable);
}

} // namespace websocket_scenario
