// Requests and their responses: one client adds numbers, another one asks it to.
//
//     request_response [host [port]]
#include "support/own_broker.hpp"
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/requester.hpp"
#include "tern/messaging/responder.hpp"
#include "tern/tern.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <sstream>
#include <stdexcept>
#include <string>

namespace {

using asio::use_awaitable;
using namespace std::chrono_literals;

// Answers "1 2" with "3". It may be called twice for a request: adding twice does no harm.
asio::awaitable<std::string> add(const tern::subscription_message& request) {
    std::istringstream numbers{std::string(request.payload)};
    int a = 0, b = 0;
    if (!(numbers >> a >> b)) throw std::invalid_argument("two numbers are needed");
    asio::steady_timer work(co_await asio::this_coro::executor, 1ms);
    co_await work.async_wait(use_awaitable); // others are answered meanwhile
    co_return std::to_string(a + b);
}

void show(const tern::subscription_message& response) {
    if (const auto error = tern::response_error(response))
        std::printf("error: %s\n", std::string(*error).c_str());
    else
        std::printf("response: %s\n", std::string(response.payload).c_str());
}

asio::awaitable<void> ask_and_answer(const example::broker_address& broker) {
    tern::client server{co_await asio::this_coro::executor};
    tern::message_router server_router{server};
    co_await server.async_connect({.host = broker.host, .port = broker.port, .client_id = "tern-adder"}, use_awaitable);
    auto inbox = co_await server_router.async_subscribe({.filter = "tern/math/add"}, use_awaitable);
    const tern::responder adder{server_router, std::move(inbox), add, {.concurrency = 8}};

    tern::client client{co_await asio::this_coro::executor};
    tern::message_router router{client};
    tern::requester requests{router};
    tern::connect_options options{.host = broker.host, .port = broker.port, .client_id = "tern-asker"};
    options.properties.request_response_information = true; // the broker may say where responses go
    co_await client.async_connect(options, use_awaitable);

    show(co_await requests.async_request("tern/math/add", "1 2", {.timeout = 5s}, use_awaitable));
    show(co_await requests.async_request("tern/math/add", "20 22", use_awaitable));
    show(co_await requests.async_request("tern/math/add", "none", use_awaitable));

    co_await client.async_disconnect(use_awaitable);
    co_await server.async_disconnect(use_awaitable);
    std::puts("disconnected");
}

} // namespace

int main(int argc, char** argv) {
    try {
        asio::io_context context;
        const example::broker_address broker(context.get_executor(), argc, argv);
        asio::co_spawn(context, ask_and_answer(broker), [&](const std::exception_ptr& error) {
            context.stop(); // the embedded broker would keep run() busy
            if (error) std::rethrow_exception(error);
        });
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
