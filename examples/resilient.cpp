// Publishes ten measurements a second until it is interrupted, and loses none while the network fails. Stop and restart
// the broker or pull the cable: the program prints each change of the connection, and every measurement arrives.
//
//     resilient [host [port]]
#include "tern/format.hpp"
#include "tern/tern.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/core.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>

namespace {

using asio::use_awaitable;
using namespace std::chrono_literals;

asio::awaitable<void> print_events(tern::client& client) {
    for (;;) {
        const tern::connection_event event = co_await client.async_next_event(use_awaitable);
        fmt::print(stderr, "{}\n", event);
        std::fflush(stderr); // Windows may hold it back
        if (event.change == tern::connection_change::stopped) co_return;
    }
}

// Publishes without awaiting the acknowledgement. Messages are queued while there is no connection.
asio::awaitable<void> measure(tern::client& client, const bool& interrupted) {
    asio::steady_timer timer{co_await asio::this_coro::executor};
    for (int number = 1;; ++number) {
        if (interrupted) co_return;
        const std::string value = std::to_string(number);
        client.async_publish({.topic = "field/tractor-7/rpm", .payload = value, .qos = tern::qos::exactly_once},
                             [value](std::error_code error, const tern::acknowledgement&) {
                                 if (error) fmt::print(stderr, "measurement {}: {}\n", value, error.message());
                             });
        timer.expires_after(100ms);
        co_await timer.async_wait(use_awaitable);
    }
}

asio::awaitable<void> publish_measurements(std::string_view host, std::uint16_t port) {
    tern::client client{co_await asio::this_coro::executor};
    asio::co_spawn(client.get_executor(), print_events(client), asio::detached);

    tern::connect_options options{.host = host, .port = port, .client_id = "tractor-7"};
    options.clean_start = false;   // resume the session of an earlier connection
    options.assume_session = true; // also of an earlier run
    options.properties.session_expiry_interval = 3'600s;
    options.reconnect = {.retry_first = true, .first_delay = 200ms, .longest_delay = 5s};
    options.keep_alive = 10s;
    // print_events() reports the outcome.
    client.async_connect(options, [](std::error_code, const tern::connect_result&) {});

    bool interrupted = false;
    asio::signal_set signals(client.get_executor(), SIGINT, SIGTERM);
    signals.async_wait([&](std::error_code, int) { interrupted = true; });
    co_await measure(client, interrupted);

    co_await client.async_drain(30s, use_awaitable);
    co_await client.async_disconnect(use_awaitable);
    fmt::print("{}\n", client.counters());
}

} // namespace

int main(int argc, char** argv) {
    try {
        asio::io_context context;
        const std::string_view host = argc > 1 ? argv[1] : "localhost";
        const int port = argc > 2 ? std::atoi(argv[2]) : 1883;
        asio::co_spawn(context, publish_measurements(host, static_cast<std::uint16_t>(port)),
                       [](const std::exception_ptr& error) {
                           if (error) std::rethrow_exception(error);
                       });
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
