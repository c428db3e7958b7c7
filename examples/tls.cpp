// Connects over TLS, publishes a message and receives it. It says which certificate error ends the attempt.
//
//     ./dev certificates build/certificates      # then start a broker with them, as that command prints
//     tls localhost 8883 build/certificates/ca.pem [client.pem client.key]
//
// Without the file of an authority, those of the system are trusted.
#include "tern/transport/tls.hpp"

#include "tern/tern.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>
#include <vector>

namespace {

using asio::use_awaitable;
using arguments = std::vector<std::string>;

tern::tls_options options_of(const arguments& args) {
    tern::tls_options options;
    if (args.size() > 3) options.ca_file = args[3];
    if (args.size() > 5) {
        options.certificate_file = args[4];
        options.key_file = args[5];
    }
    return options;
}

asio::awaitable<void> publish_and_receive(const arguments& args) {
    tern::basic_client<tern::tls> client{co_await asio::this_coro::executor};
    client.transport().set_options(options_of(args));

    const tern::connect_options options{
        .host = args[1],
        .port = static_cast<std::uint16_t>(args.size() > 2 ? std::atoi(args[2].c_str()) : 8883),
        .client_id = "tern-tls"};
    co_await client.async_connect(options, use_awaitable);
    std::puts("connected");

    const tern::subscription wanted{.filter = "tern/tls", .max_qos = tern::qos::at_least_once};
    co_await client.async_subscribe(wanted, use_awaitable);
    const tern::message_view message{.topic = "tern/tls", .payload = "hello", .qos = tern::qos::at_least_once};
    co_await client.async_publish(message, use_awaitable);
    const tern::received_message m = co_await client.async_receive(use_awaitable);
    std::printf("received %s\n", std::string(m.payload).c_str());

    co_await client.async_disconnect(use_awaitable);
    std::puts("disconnected");
}

} // namespace

int main(int argc, char** argv) {
    const arguments args(argv, argv + argc);
    if (args.size() < 2 || args.size() == 5) {
        std::fprintf(stderr, "usage: tls host [port [ca.pem [client.pem client.key]]]\n");
        return 2;
    }
    try {
        asio::io_context context;
        asio::co_spawn(context, publish_and_receive(args), [](const std::exception_ptr& error) {
            if (error) std::rethrow_exception(error);
        });
        context.run();
    } catch (const std::system_error& error) {
        const bool is_final = error.code() == tern::failure_class::permanent;
        std::fprintf(stderr, "error: %s%s\n", error.what(), is_final ? " (another attempt would fail too)" : "");
        return 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
