// Publishes messages from the command line, with the options of mosquitto_pub.
//
//     publish -t home/kitchen/temperature -m 21.5 -q 1
//     sensor | publish -h broker.example -t home/kitchen/temperature -l
#include "support/command_line.hpp"

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
#include <tuple>
#include <vector>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using example::exit_code;

struct arguments {
    example::connection_arguments connection;
    std::string topic;
    std::string payload;
    std::string file;
    bool whole_input = false;
    bool lines = false;
    bool empty = false;
    unsigned qos = 0;
    bool retain = false;
    unsigned repeat = 1;
    double repeat_delay = 0;
    std::vector<std::tuple<std::string, std::string, std::string, std::string>> properties;

    void add_to(CLI::App& app) {
        connection.add_to(app);
        app.add_option("-t,--topic", topic, "Where to publish to")->required();
        auto* const message = app.add_option_group("message", "What to publish, one of:");
        message->add_option("-m,--message", payload, "This message");
        message->add_option("-f,--file", file, "The content of a file");
        message->add_flag("-s,--stdin-file", whole_input, "All of standard input as one message");
        message->add_flag("-l,--stdin-line", lines, "Each line of standard input as a message");
        message->add_flag("-n,--null-message", empty, "An empty message; with -r: delete the retained one");
        message->require_option(1);
        app.add_option("-q,--qos", qos, "At most (0), at least (1) or exactly once (2)")
            ->check(CLI::Range(0, 2))
            ->capture_default_str();
        app.add_flag("-r,--retain", retain, "Let the broker keep the message for later subscribers");
        app.add_option("--repeat", repeat, "Publish so many times")->capture_default_str();
        app.add_option("--repeat-delay", repeat_delay, "Seconds between them")->capture_default_str();
        app.add_option("-D,--property", properties, "5.0: publish user-property KEY VALUE");
    }
};

// The message, but for lines.
std::string read_payload(const arguments& args) {
    if (args.whole_input) return {std::istreambuf_iterator<char>(std::cin), {}};
    if (args.file.empty()) return args.payload;
    std::ifstream file(args.file, std::ios::binary);
    if (!file) throw std::system_error(std::make_error_code(std::errc::no_such_file_or_directory), args.file);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Reads a line without holding up the client, which answers and pings meanwhile: in another thread.
awaitable<std::optional<std::string>> next_line(asio::thread_pool& reader) {
    auto read = []() -> awaitable<std::optional<std::string>> {
        std::string line;
        if (std::getline(std::cin, line)) co_return line;
        co_return std::nullopt;
    };
    co_return co_await asio::co_spawn(reader, read(), use_awaitable);
}

awaitable<exit_code> publish_all(example::watched_client& client, asio::thread_pool& reader,
                                 const arguments& args) {
    std::vector<tern::user_property> user_properties;
    for (const auto& [packet, property, key, value] : args.properties)
        user_properties.push_back({key, value});
    std::string payload;
    tern::message_view message{
        .topic = args.topic, .qos = static_cast<tern::qos>(args.qos), .retain = args.retain};
    message.properties.user_properties = user_properties;
    if (!args.lines) payload = read_payload(args);

    const tern::connect_options options = args.connection.options();
    if (const exit_code code = co_await connect(client, options); code != example::success) co_return code;

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
        if (error) co_return report("publishing", error, example::failed);
    }
    co_await client.async_disconnect(use_awaitable);
    co_return example::success;
}

int run(const arguments& args) {
    example::use_binary_streams();
    asio::io_context context;
    asio::thread_pool reader(1);
    example::watched_client client = args.connection.make_client(context.get_executor());

    // Leaves at once, since a thread that waits for input cannot be woken.
    asio::signal_set signals(context, SIGINT, SIGTERM);
    signals.async_wait([&](std::error_code error, int) {
        if (error) return;
        client.async_disconnect([](std::error_code) { std::_Exit(example::interrupted); });
    });

    exit_code code = example::failed;
    asio::co_spawn(context, publish_all(client, reader, args),
                   [&](const std::exception_ptr& error, exit_code result) {
                       context.stop(); // even if the connection is still open
                       if (error) std::rethrow_exception(error);
                       code = result;
                   });
    context.run();
    return code;
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app("Publishes messages to an MQTT broker.");
    arguments args;
    args.add_to(app);
    try {
        app.parse(argc, argv);
        for (const auto& [packet, property, key, value] : args.properties)
            if (packet != "publish" || property != "user-property")
                throw CLI::ValidationError("-D", "only publish user-property KEY VALUE");
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? example::success : example::wrong_arguments;
    }
    try {
        return run(args);
    } catch (const std::system_error& error) {
        return report("publish", error.code(), example::failed);
    } catch (const std::exception& error) {
        fmt::print(stderr, "Error: {}\n", error.what());
        return example::failed;
    }
}
