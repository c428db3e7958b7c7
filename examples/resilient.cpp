// A machine in the field that loses nothing: it measures ten times a second, whatever the network does, and stays until
// it is interrupted. Stop the broker meanwhile, start it again, pull the cable: what is going on is told, and every
// measurement arrives.
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

asio::awaitable<void> tell_what_happens(tern::client& client) {
    for (;;) {
        const tern::connection_event event = co_await client.async_next_event(use_awaitable);
        fmt::print(stderr, "{}\n", event);
        if (event.change == tern::connection_change::stopped) co_return;
    }
}

// Publishes and does not wait: messages queue up while there is no broker.
asio::awaitable<void> measure(tern::client& client, const bool& enough) {
    asio::steady_timer timer{co_await asio::this_coro::executor};
    for (int number = 1;; ++number) {
        if (enough) co_return;
        const std::string value = std::to_string(number);
        client.async_publish(
            {.topic = "field/tractor-7/rpm", .payload = value, .qos = tern::qos::exactly_once},
            [value](std::error_code error, const tern::acknowledgement&) {
                if (error) fmt::print(stderr, "measurement {}: {}\n", value, error.message());
            });
        timer.expires_after(100ms);
        co_await timer.async_wait(use_awaitable);
    }
}

asio::awaitable<void> work(std::string_view host, std::uint16_t port) {
    tern::client client{co_await asio::this_coro::executor};
    asio::co_spawn(client.get_executor(), tell_what_happens(client), asio::detached);

    tern::connect_options options{.host = host, .port = port, .client_id = "tractor-7"};
    options.clean_start = false;   // go on with the session of the last connection
    options.assume_session = true; // or of the last run
    options.properties.session_expiry_interval = 3'600;
    options.reconnect = {.retry_first = true, .first_delay = 200ms, .longest_delay = 5s};
    options.keep_alive = 10s;
    client.async_connect(options, [](std::error_code, const tern::connect_result&) {}); // the events tell

    bool enough = false;
    asio::signal_set signals(client.get_executor(), SIGINT, SIGTERM);
    signals.async_wait([&](std::error_code, int) { enough = true; });
    co_await measure(client, enough);

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
        asio::co_spawn(context, work(host, static_cast<std::uint16_t>(port)),
                       [](const std::exception_ptr& error) {
                           if (error) std::rethrow_exception(error);
                       });
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
