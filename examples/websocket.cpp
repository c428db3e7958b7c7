// Publishes and receives over WebSocket, with an extra header, and says why a server refuses.
//
//     websocket host port [path [bearer-token]]
//
// It needs a broker with a listener for WebSocket, for example Mosquitto with this configuration:
//
//     listener 1883 127.0.0.1
//     listener 8080 127.0.0.1
//     protocol websockets
//     allow_anonymous true
#include "tern/transport/websocket.hpp"

#include "tern/client/engine.hpp"
#include "tern/tern.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>

namespace {

using asio::use_awaitable;

struct arguments {
    std::string host;
    std::uint16_t port = 0;
    std::string path;
    std::string token;
};

using client_type = tern::basic_client<tern::websocket>;

asio::awaitable<void> publish_and_receive(client_type& client) {
    const tern::subscription wanted{.filter = "tern/websocket", .max_qos = tern::qos::at_least_once};
    co_await client.async_subscribe(wanted, use_awaitable);

    const tern::message_view message{.topic = "tern/websocket", .payload = "hello", .qos = tern::qos::at_least_once};
    co_await client.async_publish(message, use_awaitable);
    const tern::received_message m = co_await client.async_receive(use_awaitable);
    std::printf("received %s\n", std::string(m.payload).c_str());

    co_await client.async_disconnect(use_awaitable);
    std::puts("disconnected");
}

asio::awaitable<void> run(const arguments& given) {
    client_type client{co_await asio::this_coro::executor};
    tern::websocket_options options;
    if (!given.token.empty()) options.headers.push_back({"Authorization", "Bearer " + given.token});
    client.transport().set_options(options);

    const tern::connect_options broker{.host = given.host, .port = given.port, .path = given.path};
    try {
        co_await client.async_connect(broker, use_awaitable);
    } catch (const std::system_error&) {
        const tern::websocket_refusal refusal = client.transport().refusal();
        if (!refusal.location.empty()) std::fprintf(stderr, "the server refers to %s\n", refusal.location.c_str());
        throw;
    }
    std::puts("connected");
    co_await publish_and_receive(client);
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: %s host port [path [bearer-token]]\n", argv[0]);
        return 2;
    }
    try {
        const arguments given{.host = argv[1],
                              .port = static_cast<std::uint16_t>(std::stoi(argv[2])),
                              .path = argc > 3 ? argv[3] : "",
                              .token = argc > 4 ? argv[4] : ""};
        asio::io_context context;
        asio::co_spawn(context, run(given), [](const std::exception_ptr& error) {
            if (error) std::rethrow_exception(error);
        });
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
