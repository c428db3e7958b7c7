// What publish and subscribe have in common: the options of the connection, and how the programs end.
#pragma once

#include "support/tap.hpp"
#include "tern/format.hpp"
#include "tern/tern.hpp"

#include <CLI/CLI.hpp>
#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

namespace example {

enum exit_code : int {
    success = 0,
    wrong_arguments = 1,
    cannot_connect = 2, ///< or the broker refused the connection
    failed = 3,         ///< refused afterwards, or the connection was lost
    timed_out = 27,
    interrupted = 130,
};

inline constexpr const char* exit_code_help =
    "Exit code: 0 success, 1 wrong arguments, 2 no connection, 3 refused by the broker or connection lost, "
    "27 time is up (-W), 130 interrupted.";

/// A client whose packets can be watched.
using watched_client = tern::basic_client<tap>;

/// Where to connect to, and as whom.
struct connection_arguments {
    std::string host = "localhost";
    std::uint16_t port = 1883;
    tern::protocol_version version = tern::protocol_version::v5;
    std::string client_id;
    std::optional<std::string> user_name;
    std::optional<std::string> password;
    std::uint16_t keep_alive = 60;
    std::string will_topic;
    std::string will_payload;
    unsigned will_qos = 0;
    bool will_retain = false;
    bool debug = false;

    void add_to(CLI::App& app) {
        app.set_help_flag("--help", "Print this and exit");
        app.footer(exit_code_help);
        app.add_option("-h,--host", host, "Where the broker is")->capture_default_str();
        app.add_option("-p,--port", port, "Its port")->capture_default_str();
        app.add_option_function<std::string>(
               "-V,--protocol-version", [this](const std::string& name) { set_version(name); },
               "mqttv5, mqttv311, 5 or 311")
            ->default_str("mqttv5");
        app.add_option("-i,--id", client_id,
                       "The client identifier; the broker assigns one if there is none");
        app.add_option("-u,--username", user_name, "The user name");
        app.add_option("-P,--pw", password, "The password");
        app.add_option("-k,--keepalive", keep_alive,
                       "Seconds after which to ping a quiet connection, 0: never")
            ->capture_default_str();
        auto* const topic = app.add_option("--will-topic", will_topic, "Leave a will: its topic");
        app.add_option("--will-payload", will_payload, "Its payload")->needs(topic);
        app.add_option("--will-qos", will_qos, "Its QoS")->check(CLI::Range(0, 2))->needs(topic);
        app.add_flag("--will-retain", will_retain, "Retain it")->needs(topic);
        app.add_flag("-d,--debug", debug, "Show the packets on standard error");
    }

    /// Borrows from this.
    tern::connect_options options() const {
        tern::connect_options options{.host = host, .port = port, .version = version, .client_id = client_id};
        options.keep_alive = std::chrono::seconds(keep_alive);
        if (user_name) options.user_name = *user_name;
        if (password) options.password = *password;
        if (!will_topic.empty())
            options.will = tern::message_view{.topic = will_topic,
                                              .payload = will_payload,
                                              .qos = static_cast<tern::qos>(will_qos),
                                              .retain = will_retain};
        return options;
    }

    watched_client make_client(const asio::any_io_executor& executor) const {
        packet_observer observer;
        if (debug)
            observer = [](direction where, const tern::any_packet& packet) {
                fmt::print(stderr, "{} {}\n", where == direction::sent ? "-->" : "<--", packet);
            };
        return watched_client(tap(executor, std::move(observer)));
    }

private:
    void set_version(std::string_view name) {
        if (name == "mqttv311" || name == "311" || name == "3.1.1")
            version = tern::protocol_version::v3_1_1;
        else if (name == "mqttv5" || name == "5" || name == "5.0")
            version = tern::protocol_version::v5;
        else
            throw CLI::ValidationError("-V", "must be mqttv5 or mqttv311");
    }
};

/// Says what went wrong. What was asked for and cannot be sent is the fault of the arguments.
inline exit_code report(std::string_view doing, std::error_code error, exit_code code) {
    fmt::print(stderr, "Error: {}: {}\n", doing, error.message());
    return error.category() == tern::usage_category() ? wrong_arguments : code;
}

/// Connects; says why not, if it fails.
inline asio::awaitable<exit_code> connect(watched_client& client, const tern::connect_options& options) {
    std::error_code error;
    co_await client.async_connect(options, asio::redirect_error(asio::use_awaitable, error));
    if (!error) co_return success;
    if (error == tern::errc::disconnected) co_return interrupted; // by ourselves
    const std::string doing = fmt::format("connecting to {}:{}", options.host, options.port);
    co_return report(doing, error, cannot_connect);
}

/// Payloads are bytes: Windows must not translate line ends in them.
inline void use_binary_streams() {
#ifdef _WIN32
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
}

} // namespace example
