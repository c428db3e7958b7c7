#include "support/arguments.hpp"

#include "tern/message.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace example {
namespace {

constexpr const char* exit_code_help =
    "Exit code: 0 success, 1 wrong arguments, 2 no connection, 3 refused by the broker or connection lost, "
    "27 time is up (-W), 130 interrupted.";

void set_version(tern::protocol_version& version, std::string_view name) {
    if (name == "mqttv311" || name == "311" || name == "3.1.1")
        version = tern::protocol_version::v3_1_1;
    else if (name == "mqttv5" || name == "5" || name == "5.0")
        version = tern::protocol_version::v5;
    else
        throw CLI::ValidationError("-V", "must be mqttv5 or mqttv311");
}

// The error does not repeat the text, which may contain a password.
void require(std::string_view option, const std::string& error) {
    if (!error.empty()) throw CLI::ValidationError(std::string(option), error);
}

void add(CLI::App& app, transport_arguments& args) {
    app.add_option_function<std::string>(
        "--url", [&](const std::string& text) { require("--url", args.set_url(text)); },
        "The broker: mqtt://[user:password@]host[:port], mqtts://..., ws://host/path, wss://... or unix:/path");
    app.add_option_function<std::string>(
        "--proxy", [&](const std::string& text) { require("--proxy", args.set_proxy(text)); },
        "The way to it: http://[user:password@]host[:port], socks5://..., or environment for https_proxy, all_proxy "
        "and no_proxy");
    if (!has_tls()) return;
    app.add_option("--cafile", args.ca_file, "The trusted authorities (PEM), by default those of the system");
    auto* const certificate = app.add_option("--cert", args.certificate_file, "The client certificate (PEM)");
    app.add_option("--key", args.key_file, "The key of the client certificate (PEM)")->needs(certificate);
    app.add_flag_callback(
        "--insecure", [&] { args.verify = transport_arguments::verification::off; }, "Accept any certificate");
}

void add(CLI::App& app, connection_arguments& args) {
    app.set_help_flag("--help", "Print this and exit");
    app.footer(exit_code_help);
    app.add_option("-h,--host", args.host, "The broker's host name or address, by default localhost");
    app.add_option("-p,--port", args.port, "The broker's port, by default 1883");
    add(app, args.transport);
    app.add_option_function<std::string>(
           "-V,--protocol-version", [&](const std::string& name) { set_version(args.version, name); },
           "mqttv5, mqttv311, 5 or 311")
        ->default_str("mqttv5");
    app.add_option("-i,--id", args.client_id, "The client identifier. Without it the broker assigns one");
    app.add_option("-u,--username", args.user_name, "The user name");
    app.add_option("-P,--pw", args.password, "The password");
    app.add_option("-k,--keepalive", args.keep_alive, "Ping after this many seconds without traffic. 0 sends no pings")
        ->capture_default_str();
    auto* const topic = app.add_option("--will-topic", args.will_topic, "Set a will with this topic");
    app.add_option("--will-payload", args.will_payload, "The will's payload")->needs(topic);
    app.add_option("--will-qos", args.will_qos, "The will's QoS")->check(CLI::Range(0, 2))->needs(topic);
    app.add_flag("--will-retain", args.will_retain, "Retain the will")->needs(topic);
    app.add_flag("-d,--debug", args.debug, "Print the packets on standard error");
}

void add(CLI::App& app, publish_arguments& args) {
    add(app, args.connection);
    app.add_option("-t,--topic", args.topic, "The topic to publish to")->required();
    auto* const message = app.add_option_group("message", "The message, one of:");
    message->add_option("-m,--message", args.payload, "This payload");
    message->add_option("-f,--file", args.file, "The content of a file");
    message->add_flag("-s,--stdin-file", args.whole_input, "All of standard input as one message");
    message->add_flag("-l,--stdin-line", args.lines, "Each line of standard input as a message");
    message->add_flag("-n,--null-message", args.empty, "An empty message. With -r it deletes the retained one");
    message->require_option(1);
    app.add_option("-q,--qos", args.qos, "At most (0), at least (1) or exactly once (2)")
        ->check(CLI::Range(0, 2))
        ->capture_default_str();
    app.add_flag("-r,--retain", args.retain, "Have the broker retain the message for later subscribers");
    app.add_option("--repeat", args.repeat, "How often to publish the message")->capture_default_str();
    app.add_option("--repeat-delay", args.repeat_delay, "Seconds between two of them")->capture_default_str();
    app.add_option("-D,--property", args.properties, "5.0: publish user-property KEY VALUE");
}

void check(const publish_arguments& args) {
    for (const auto& [packet, property, key, value] : args.properties)
        if (packet != "publish" || property != "user-property")
            throw CLI::ValidationError("-D", "only publish user-property KEY VALUE");
}

std::string check_format(const std::string& format) {
    for (std::size_t at = 0; (at = format.find('%', at)) != std::string::npos; at += 2)
        if (at + 1 == format.size() || std::string_view("tpxlqr%").find(format[at + 1]) == std::string::npos)
            return "unknown '%' sequence";
    return {};
}

void add(CLI::App& app, subscribe_arguments& args) {
    add(app, args.connection);
    app.add_option("-t,--topic", args.filters, "A topic filter; may be given several times")->allow_extra_args(false);
    app.add_option("-T,--filter-out", args.filtered_out, "Do not print messages that match this filter")
        ->allow_extra_args(false);
    app.add_option("-U,--unsubscribe", args.unsubscribe, "Unsubscribe from this filter, for use with -c")
        ->allow_extra_args(false);
    app.add_option("-q,--qos", args.qos, "The maximum QoS")->check(CLI::Range(0, 2))->capture_default_str();
    app.add_flag("-c,--disable-clean-session", args.keep_session,
                 "Resume the broker's session for this client, and keep it afterwards. Needs -i");
    app.add_flag("-E", args.exit_after_subscribe, "Exit once subscribed");
    app.add_option("-C,--count", args.count, "Exit after this many messages")->check(CLI::PositiveNumber);
    app.add_option("-W,--timeout", args.seconds, "Exit after this many seconds")->check(CLI::PositiveNumber);
    app.add_flag("-v,--verbose", args.verbose, "Print the topic before the message");
    app.add_flag("-N,--no-eol", args.no_end_of_line, "Do not end messages with a line break");
    app.add_flag("-R,--no-retained", args.no_retained, "Do not print retained messages");
    app.add_option("-F,--format", args.format,
                   "%t topic, %p payload, %x payload as hex, %l its length, %q QoS, %r retained, %% %")
        ->check(&check_format);
}

void check(const subscribe_arguments& args) {
    if (args.filters.empty() && args.unsubscribe.empty()) throw CLI::RequiredError("-t");
    if (args.keep_session && args.connection.client_id.empty()) throw CLI::ValidationError("-c", "needs -i");
}

template <class Arguments>
std::optional<exit_code> parse_with(CLI::App&& app, int argc, char** argv, Arguments& args) {
    add(app, args);
    try {
        app.parse(argc, argv);
        check(args);
        return std::nullopt;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? success : wrong_arguments;
    }
}

} // namespace

std::optional<exit_code> parse(int argc, char** argv, publish_arguments& args) {
    return parse_with(CLI::App("Publishes messages to an MQTT broker."), argc, argv, args);
}

std::optional<exit_code> parse(int argc, char** argv, subscribe_arguments& args) {
    return parse_with(CLI::App("Subscribes to topics of an MQTT broker and prints the messages."), argc, argv, args);
}

tern::connect_options connection_arguments::options() const {
    tern::connect_options options{.version = version, .client_id = client_id};
    if (transport.url) options = transport.url->options(options);
    if (host) options.host = *host;
    if (port) options.port = *port;
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

} // namespace example
