// Subscribes to topics and prints the messages that arrive, with the options of mosquitto_sub.
//
//     subscribe -t 'home/+/temperature' -v
//     subscribe -h broker.example -t home/door -C 1 -W 10 || echo "the door stayed closed"
#include "support/arguments.hpp"
#include "support/command_line.hpp"
#include "support/tool.hpp"
#include "tern/client/basic_client.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using example::exit_code;
using arguments = example::subscribe_arguments;

bool passes_filters(const tern::message& m, const arguments& args) {
    if (args.no_retained && m.retain) return false;
    return std::none_of(args.filtered_out.begin(), args.filtered_out.end(),
                        [&](const std::string& filter) { return tern::matches(filter, m.topic); });
}

std::string expand(char letter, const tern::message& m) {
    switch (letter) {
    case 't': return std::string(m.topic);
    case 'p': return std::string(m.payload);
    case 'l': return std::to_string(m.payload.size());
    case 'q': return std::to_string(static_cast<unsigned>(m.qos));
    case 'r': return m.retain ? "1" : "0";
    case 'x': {
        std::string hex;
        for (const char c : m.payload) {
            const auto byte = static_cast<unsigned char>(c);
            hex += "0123456789abcdef"[byte / 16];
            hex += "0123456789abcdef"[byte % 16];
        }
        return hex;
    }
    default: return {letter};
    }
}

void print(const tern::message& m, const arguments& args) {
    std::string text;
    if (args.format.empty()) {
        if (args.verbose) text.append(m.topic) += ' ';
        text += m.payload;
    } else {
        for (std::size_t i = 0; i != args.format.size(); ++i)
            text += args.format[i] == '%' ? expand(args.format[++i], m) : std::string(1, args.format[i]);
    }
    if (!args.no_end_of_line) text += '\n';
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout); // a pipe gets each message without delay
}

awaitable<exit_code> subscribe(tern::any_client& client, const arguments& args) {
    if (args.filters.empty()) co_return example::success;
    std::vector<tern::subscription> wanted;
    for (const std::string& filter : args.filters)
        wanted.push_back({.filter = filter, .max_qos = static_cast<tern::qos>(args.qos)});
    std::error_code error;
    const auto ack = co_await client.async_subscribe(wanted, asio::redirect_error(use_awaitable, error));
    if (!error) co_return example::success;
    // A refused filter is only a warning as long as another one was granted.
    std::size_t refused = 0;
    for (std::size_t i = 0; i != ack.reason_codes.size(); ++i) {
        if (!tern::is_failure(ack.reason_codes[i])) continue;
        std::fprintf(stderr, "Warning: subscribing to %s: %s\n", args.filters[i].c_str(),
                     make_error_code(ack.reason_codes[i]).message().c_str());
        ++refused;
    }
    if (refused != 0 && refused != wanted.size()) co_return example::success;
    co_return example::report("subscribing", error, example::failed);
}

awaitable<exit_code> receive(tern::any_client& client, const arguments& args) {
    tern::connect_options options = args.connection.options();
    if (args.keep_session) {
        options.clean_start = false;
        options.assume_session = true; // of an earlier run of this program
        if (options.version == tern::protocol_version::v5)
            options.properties.session_expiry_interval = tern::session_never_expires; // it never expires
    }
    if (const exit_code code = co_await example::connect(client, options); code != example::success) co_return code;
    if (const exit_code code = co_await subscribe(client, args); code != example::success) co_return code;
    if (!args.unsubscribe.empty()) {
        const std::vector<std::string_view> filters(args.unsubscribe.begin(), args.unsubscribe.end());
        co_await client.async_unsubscribe(filters, use_awaitable);
    }

    unsigned printed = 0;
    while (!args.exit_after_subscribe && (args.count == 0 || printed != args.count)) {
        std::error_code error;
        const tern::received_message m = co_await client.async_receive(asio::redirect_error(use_awaitable, error));
        if (error == tern::errc::disconnected) co_return example::success; // by run()
        if (error) co_return example::report("connection lost", error, example::failed);
        if (!passes_filters(m, args)) continue;
        print(m, args);
        ++printed;
    }
    co_await client.async_disconnect(use_awaitable);
    co_return example::success;
}

int run(const arguments& args) {
    example::use_binary_streams();
    asio::io_context context;
    tern::any_client client = example::make_client(context.get_executor(), args.connection);
    exit_code code = example::success;

    // A signal and the timeout both disconnect the client, which ends async_receive with errc::disconnected.
    asio::signal_set signals(context, SIGINT, SIGTERM);
    signals.async_wait([&](std::error_code error, int) {
        if (!error) client.async_disconnect(asio::detached);
    });
    asio::steady_timer timer(context);
    if (args.seconds > 0) {
        timer.expires_after(std::chrono::milliseconds(static_cast<long>(args.seconds * 1000)));
        timer.async_wait([&](std::error_code error) {
            if (error) return;
            code = example::timed_out;
            client.async_disconnect(asio::detached);
        });
    }

    asio::co_spawn(context, receive(client, args), [&](const std::exception_ptr& error, exit_code result) {
        context.stop(); // even if the connection is still open
        if (error) std::rethrow_exception(error);
        if (code != example::timed_out && result != example::interrupted) code = result;
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
        return example::report("subscribe", error.code(), example::failed);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "Error: %s\n", error.what());
        return example::failed;
    }
}
