// Subscribes to topics and prints the messages that come, with the options of mosquitto_sub.
//
//     subscribe -t 'home/+/temperature' -v
//     subscribe -h broker.example -t home/door -C 1 -W 10 || echo "nobody came"
#include "support/command_line.hpp"

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
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using example::exit_code;

struct arguments {
    example::connection_arguments connection;
    std::vector<std::string> filters;
    std::vector<std::string> unwanted;
    std::vector<std::string> unsubscribe;
    unsigned qos = 0;
    bool keep_session = false;
    bool exit_after_subscribe = false;
    unsigned count = 0;
    double seconds = 0;
    bool verbose = false;
    bool no_end_of_line = false;
    bool no_retained = false;
    std::string format;

    void add_to(CLI::App& app) {
        connection.add_to(app);
        app.add_option("-t,--topic", filters, "A topic filter; may be given several times")
            ->allow_extra_args(false);
        app.add_option("-T,--filter-out", unwanted, "Do not print what matches this")
            ->allow_extra_args(false);
        app.add_option("-U,--unsubscribe", unsubscribe, "Unsubscribe from this, for use with -c")
            ->allow_extra_args(false);
        app.add_option("-q,--qos", qos, "The QoS wanted at most")
            ->check(CLI::Range(0, 2))
            ->capture_default_str();
        app.add_flag(
            "-c,--disable-clean-session", keep_session,
            "Go on with the session that the broker has for this client, and let it keep it; needs -i");
        app.add_flag("-E", exit_after_subscribe, "Exit when subscribed");
        app.add_option("-C,--count", count, "Exit after so many messages")->check(CLI::PositiveNumber);
        app.add_option("-W,--timeout", seconds, "Exit after so many seconds")->check(CLI::PositiveNumber);
        app.add_flag("-v,--verbose", verbose, "Print the topic before the message");
        app.add_flag("-N,--no-eol", no_end_of_line, "Print no end of line");
        app.add_flag("-R,--no-retained", no_retained, "Do not print what was retained");
        app.add_option("-F,--format", format,
                       "%t topic, %p payload, %x payload as hex, %l its length, %q QoS, %r retained, %% %")
            ->check(&arguments::check_format);
    }

    static std::string check_format(const std::string& format) {
        for (std::size_t at = 0; (at = format.find('%', at)) != std::string::npos; at += 2)
            if (at + 1 == format.size() ||
                std::string_view("tpxlqr%").find(format[at + 1]) == std::string::npos)
                return "unknown '%' sequence";
        return {};
    }

    bool is_wanted(const tern::message& m) const {
        if (no_retained && m.retain) return false;
        return std::none_of(unwanted.begin(), unwanted.end(),
                            [&](const std::string& filter) { return tern::matches(filter, m.topic); });
    }
};

std::string expand(char letter, const tern::message& m) {
    switch (letter) {
    case 't': return std::string(m.topic);
    case 'p': return std::string(m.payload);
    case 'l': return fmt::format("{}", m.payload.size());
    case 'q': return fmt::format("{}", static_cast<unsigned>(m.qos));
    case 'r': return m.retain ? "1" : "0";
    case 'x': {
        std::string hex;
        for (const char c : m.payload)
            hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
        return hex;
    }
    default: return {letter};
    }
}

void print(const tern::message& m, const arguments& args) {
    std::string text;
    if (args.format.empty()) {
        text = fmt::format("{}{}{}", args.verbose ? m.topic : "", args.verbose ? " " : "", m.payload);
    } else {
        for (std::size_t i = 0; i != args.format.size(); ++i)
            text += args.format[i] == '%' ? expand(args.format[++i], m) : std::string(1, args.format[i]);
    }
    if (!args.no_end_of_line) text += '\n';
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout); // whoever reads our output wants each message now
}

awaitable<exit_code> subscribe(example::watched_client& client, const arguments& args) {
    if (args.filters.empty()) co_return example::success;
    std::vector<tern::subscription> wanted;
    for (const std::string& filter : args.filters)
        wanted.push_back({.filter = filter, .max_qos = static_cast<tern::qos>(args.qos)});
    std::error_code error;
    const auto ack = co_await client.async_subscribe(wanted, asio::redirect_error(use_awaitable, error));
    if (!error) co_return example::success;
    // One filter refused is no reason to give up the others.
    std::size_t refused = 0;
    for (std::size_t i = 0; i != ack.reason_codes.size(); ++i) {
        if (!tern::is_failure(ack.reason_codes[i])) continue;
        fmt::print(stderr, "Warning: subscribing to {}: {}\n", args.filters[i], ack.reason_codes[i]);
        ++refused;
    }
    if (refused != 0 && refused != wanted.size()) co_return example::success;
    co_return report("subscribing", error, example::failed);
}

awaitable<exit_code> receive(example::watched_client& client, const arguments& args) {
    tern::connect_options options = args.connection.options();
    if (args.keep_session) {
        options.clean_start = false;
        options.assume_session = true; // an earlier run of this program has begun it
        if (options.version == tern::protocol_version::v5)
            options.properties.session_expiry_interval = 0xFFFF'FFFF; // never
    }
    if (const exit_code code = co_await connect(client, options); code != example::success) co_return code;
    if (const exit_code code = co_await subscribe(client, args); code != example::success) co_return code;
    if (!args.unsubscribe.empty()) {
        const std::vector<std::string_view> filters(args.unsubscribe.begin(), args.unsubscribe.end());
        co_await client.async_unsubscribe(filters, use_awaitable);
    }

    unsigned printed = 0;
    while (!args.exit_after_subscribe && (args.count == 0 || printed != args.count)) {
        std::error_code error;
        const tern::received_message m =
            co_await client.async_receive(asio::redirect_error(use_awaitable, error));
        if (error == tern::errc::disconnected) co_return example::success; // we did so ourselves
        if (error) co_return report("connection lost", error, example::failed);
        if (!args.is_wanted(m)) continue;
        print(m, args);
        ++printed;
    }
    co_await client.async_disconnect(use_awaitable);
    co_return example::success;
}

int run(const arguments& args) {
    example::use_binary_streams();
    asio::io_context context;
    example::watched_client client = args.connection.make_client(context.get_executor());
    exit_code code = example::success;

    // Both ends are the same: the client disconnects, and what waits for messages is told so.
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
    CLI::App app("Subscribes to topics of an MQTT broker and prints the messages.");
    arguments args;
    args.add_to(app);
    try {
        app.parse(argc, argv);
        if (args.filters.empty() && args.unsubscribe.empty()) throw CLI::RequiredError("-t");
        if (args.keep_session && args.connection.client_id.empty())
            throw CLI::ValidationError("-c", "needs -i");
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? example::success : example::wrong_arguments;
    }
    try {
        return run(args);
    } catch (const std::system_error& error) {
        return report("subscribe", error.code(), example::failed);
    } catch (const std::exception& error) {
        fmt::print(stderr, "Error: {}\n", error.what());
        return example::failed;
    }
}
