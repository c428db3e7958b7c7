// Publishes messages from the command line, with the options of mosquitto_pub.
//
//     publish -t home/kitchen/temperature -m 21.5 -q 1
//     sensor | publish -h broker.example -t home/kitchen/temperature -l
#include "support/arguments.hpp"
#include "support/command_line.hpp"
#include "support/tool.hpp"
#include "tern/client/basic_client.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using example::exit_code;
using arguments = example::publish_arguments;

// Reads the payload of the options -m, -f, -s and -n.
std::string read_payload(const arguments& args) {
    if (args.whole_input) return {std::istreambuf_iterator<char>(std::cin), {}};
    if (args.file.empty()) return args.payload;
    std::ifstream file(example::path_of(args.file), std::ios::binary);
    if (!file) throw std::system_error(std::make_error_code(std::errc::no_such_file_or_directory), args.file);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Reads a line in another thread, because a blocking read would keep the client from answering and sending pings.
awaitable<std::optional<std::string>> next_line(asio::thread_pool& reader) {
    auto read = []() -> awaitable<std::optional<std::string>> {
        std::string line;
        if (std::getline(std::cin, line)) co_return line;
        co_return std::nullopt;
    };
    co_return co_await asio::co_spawn(reader, read(), use_awaitable);
}

awaitable<exit_code> publish_all(tern::any_client& client, asio::thread_pool& reader, const arguments& args) {
    std::vector<tern::user_property> user_properties;
    for (const auto& [packet, property, key, value] : args.properties)
        user_properties.push_back({key, value});
    std::string payload;
    tern::message_view message{.topic = args.topic, .qos = static_cast<tern::qos>(args.qos), .retain = args.retain};
    message.properties.user_properties = user_properties;
    if (!args.lines) payload = read_payload(args);

    const tern::connect_options options = args.connection.options();
    if (const exit_code code = co_await example::connect(client, options); code != example::success) co_return code;

    asio::steady_timer pause(co_await asio::this_coro::executor);
    for (unsigned count = 0; args.lines || count != args.repeat; ++count) {
        if (args.lines) {
            auto line = co_await next_line(reader);
            if (!line) break;
            payload = std::move(*line);
        } else if (count != 0 && args.repeat_delay > 0) {
            pause.expires_after(std::chrono::milliseconds(static_cast<long>(args.repeat_delay * 1000)));
            co_await pause.async_wait(use_awaitable);
        }
        message.payload = payload;
        std::error_code error;
        co_await client.async_publish(message, asio::redirect_error(use_awaitable, error));
        if (error) co_return example::report("publishing", error, example::failed);
    }
    co_await client.async_disconnect(use_awaitable);
    co_return example::success;
}

int run(const arguments& args) {
    example::use_binary_streams();
    asio::io_context context;
    asio::thread_pool reader(1);
    tern::any_client client = example::make_client(context.get_executor(), args.connection);

    // Exits without joining the reader, because a thread that waits for input cannot be woken.
    asio::signal_set signals(context, SIGINT, SIGTERM);
    signals.async_wait([&](std::error_code error, int) {
        if (error) return;
        client.async_disconnect([](std::error_code) { std::_Exit(example::interrupted); });
    });

    exit_code code = example::failed;
    asio::co_spawn(context, publish_all(client, reader, args), [&](const std::exception_ptr& error, exit_code result) {
        context.stop(); // even if the connection is still open
        if (error) std::rethrow_exception(error);
        code = result;
    });
    context.run();
    return code;
}

} // namespace

int main(int argc, char** argv) {
    example::command_line line(argc, argv);
    arguments args;
    if (const auto code = example::parse(line.count(), line.arguments(), args)) return *code;
    try {
        return run(args);
    } catch (const std::system_error& error) {
        return example::report("publish", error.code(), example::failed);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "Error: %s\n", error.what());
        return example::failed;
    }
}
