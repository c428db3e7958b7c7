// Shows each feature of MQTT in a small smart home, with an embedded broker or a real one.
//
//     demo [--packets] [--version 3.1.1|5] [mqtt://[user:password@]host[:port]]
//
// Exit code: 0 if all behaviour conforms to the standard, 1 if not, 2 for wrong arguments.
#include "support/command_line.hpp"
#include "support/narrator.hpp"
#include "support/tap.hpp"
#include "support/transport_arguments.hpp"
#include "tern/format.hpp"
#include "tern/tern.hpp"
#include "tern/testing/broker.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace asio::experimental::awaitable_operators;
using asio::awaitable;
using asio::use_awaitable;
using clock_type = std::chrono::steady_clock;

struct arguments {
    example::transport_arguments transport; ///< without a URL the demo uses an embedded broker
    tern::protocol_version version = tern::protocol_version::v5;
    example::narrator::packets packets = example::narrator::packets::hidden;
};

constexpr std::string_view embedded_password = "open sesame";

class smart_home {
public:
    using device = tern::basic_client<example::tap>; // tern::client with an observer of its packets

    smart_home(asio::io_context& context, example::narrator& narrator, const arguments& args, tern::broker_url broker)
        : executor_(context.get_executor())
        , narrator_(narrator)
        , version_(args.version)
        , is_embedded_(!args.transport.url)
        , transport_(args.transport)
        , broker_(std::move(broker))
        , tag_(is_embedded_ ? "" : fmt::format("tern-{:04x}", std::random_device{}() & 0xFFFFU))
        , root_(is_embedded_ ? "home" : tag_ + "/home") {}

    awaitable<void> run() {
        bool failed = false;
        try {
            co_await connecting();
            co_await publishing();
            co_await service_levels();
            co_await wildcards();
            co_await downgrading();
            co_await retaining();
            co_await keeping_alive();
            co_await last_will();
            co_await leaving();
        } catch (const std::system_error& error) {
            narrator_.check(false, fmt::format("The demo stops here: {}.", error.code().message()));
            failed = true;
        }
        if (failed && !retained_.empty()) co_await delete_retained();
    }

private:
    // ---- the scenes

    awaitable<void> connecting() {
        narrator_.scene("Connecting");
        narrator_.print("A client sends its identifier in CONNECT. The broker answers with CONNACK.");
        if (!broker_.password()) {
            narrator_.skip("The URL has no password, so the demo does not try a wrong one.");
        } else {
            narrator_.print("A stranger tries to connect with a wrong password.");
            device stranger = make("stranger");
            const std::string id = client_id("stranger");
            tern::connect_options options = options_for(id);
            options.password = "wrong";
            std::error_code error;
            co_await stranger.async_connect(options, asio::redirect_error(use_awaitable, error));
            if (error)
                narrator_.check(error.category() == tern::refusal_category(),
                                fmt::format("The broker refuses it: {}.", error.message()));
            else if (is_embedded_)
                narrator_.check(false, "The broker accepts it.");
            else {
                narrator_.skip("This broker accepts it, since it does not check passwords.");
                co_await stranger.async_disconnect(use_awaitable);
            }
        }

        narrator_.print("Now the thermometer and the phone of this home connect.");
        co_await connect(thermometer_, "thermometer");
        co_await connect(phone_, "phone");
        narrator_.check(thermometer_.is_connected() && phone_.is_connected(), "Both are connected.");
    }

    awaitable<void> publishing() {
        narrator_.scene("Publish and subscribe");
        narrator_.print(
            "Clients do not address each other. The phone subscribes to a topic, the thermometer publishes");
        narrator_.print("to it, and the broker forwards the message.");
        const std::string temperature = topic("kitchen/temperature");
        co_await subscribe(temperature, tern::qos::exactly_once);
        co_await publish(temperature, "21.5", tern::qos::at_most_once);
        co_await expect_message(temperature, "21.5", tern::qos::at_most_once);
        co_await unsubscribe(temperature);

        co_await publish(temperature, "21.6", tern::qos::at_least_once);
        co_await expect_silence("After UNSUBSCRIBE the phone receives nothing.");
    }

    awaitable<void> service_levels() {
        narrator_.scene("Three qualities of service");
        const std::string door = topic("door");
        co_await subscribe(door, tern::qos::exactly_once);

        narrator_.print("QoS 0, at most once: one packet without an answer. It suits values that are sent again soon.");
        co_await publish(door, "open", tern::qos::at_most_once);
        co_await expect_message(door, "open", tern::qos::at_most_once);

        narrator_.print(
            "QoS 1, at least once: PUBACK confirms the arrival. Without it the sender repeats the message,");
        narrator_.print("which may then arrive twice.");
        co_await publish(door, "closed", tern::qos::at_least_once);
        co_await expect_message(door, "closed", tern::qos::at_least_once);

        narrator_.print("QoS 2, exactly once: PUBREC, PUBREL and PUBCOMP keep the message from arriving twice.");
        co_await publish(door, "locked", tern::qos::exactly_once);
        co_await expect_message(door, "locked", tern::qos::exactly_once);
        co_await unsubscribe(door);
    }

    awaitable<void> wildcards() {
        narrator_.scene("Wildcards");
        const std::string kitchen = topic("kitchen/temperature");
        const std::string attic = topic("attic/temperature");
        const std::string light = topic("kitchen/ceiling/light");

        const std::string one_level = topic("+/temperature");
        narrator_.print("'+' stands for one level: the temperature of every room.");
        co_await subscribe(one_level, tern::qos::at_least_once);
        co_await publish(kitchen, "21.7", tern::qos::at_least_once);
        co_await publish(light, "on", tern::qos::at_least_once);
        co_await publish(attic, "16.0", tern::qos::at_least_once);
        co_await expect_message(kitchen, "21.7", tern::qos::at_least_once);
        co_await expect_message(attic, "16.0", tern::qos::at_least_once);
        co_await expect_silence("The light's message did not arrive, since its topic does not match.");
        co_await unsubscribe(one_level);

        const std::string all_levels = topic("kitchen/#");
        narrator_.print("'#', at the end, stands for any number of levels: everything in the kitchen.");
        co_await subscribe(all_levels, tern::qos::at_least_once);
        co_await publish(attic, "16.1", tern::qos::at_least_once);
        co_await publish(light, "off", tern::qos::at_least_once);
        co_await expect_message(light, "off", tern::qos::at_least_once);
        co_await expect_silence("The attic's message did not arrive, since its topic does not match.");
        co_await unsubscribe(all_levels);

        narrator_.print("Topics that begin with '$' belong to the broker. A leading wildcard does not match them.");
        narrator_.check(!tern::matches("#", "$SYS/broker/uptime") && tern::matches("$SYS/#", "$SYS/broker/uptime"),
                        "\"#\" does not match \"$SYS/broker/uptime\", \"$SYS/#\" does.");
    }

    awaitable<void> downgrading() {
        narrator_.scene("The lower quality of service applies");
        narrator_.print("A subscription has a maximum QoS. The broker lowers the QoS of messages above it.");
        const std::string alarm = topic("alarm");
        co_await subscribe(alarm, tern::qos::at_most_once);
        co_await publish(alarm, "smoke", tern::qos::exactly_once);
        co_await expect_message(alarm, "smoke", tern::qos::at_most_once, "published with QoS 2");

        narrator_.print("Subscribing again replaces the subscription.");
        co_await subscribe(alarm, tern::qos::at_least_once);
        co_await publish(alarm, "fire", tern::qos::exactly_once);
        co_await expect_message(alarm, "fire", tern::qos::at_least_once, "published with QoS 2");
        co_await unsubscribe(alarm);
    }

    awaitable<void> retaining() {
        narrator_.scene("Retained messages");
        narrator_.print("The broker keeps the last retained message of a topic for later subscribers.");
        const std::string window = topic("window");
        co_await publish(window, "open", tern::qos::at_least_once, true);
        narrator_.print("The phone subscribes only now.");
        co_await subscribe(window, tern::qos::at_least_once);
        co_await expect_message(window, "open", tern::qos::at_least_once, "retained", true);
        co_await unsubscribe(window);

        narrator_.print("An empty retained message deletes it.");
        co_await publish(window, "", tern::qos::at_least_once, true);
        co_await subscribe(window, tern::qos::at_least_once);
        co_await expect_silence("A new subscription receives nothing.");
        co_await unsubscribe(window);
    }

    awaitable<void> keeping_alive() {
        narrator_.scene("Keep alive");
        narrator_.print(
            "A connection without traffic may be dead. A client therefore sends a packet at least once per");
        narrator_.print("keep-alive interval. If there is nothing else to send, it sends PINGREQ.");
        device lamp = make("lamp");
        const std::string id = client_id("lamp");
        tern::connect_options options = options_for(id);
        options.keep_alive = 1s;
        const auto ack = co_await lamp.async_connect(options, use_awaitable);
        if (ack.properties.server_keep_alive) {
            narrator_.skip("This broker requires another interval than the lamp's one second.");
        } else {
            narrator_.print("The lamp's interval is one second, and it publishes nothing.");
            const auto started = clock_type::now();
            const unsigned before = answered_pings_;
            while (answered_pings_ == before && clock_type::now() - started < 3s)
                co_await wait(10ms);
            const std::chrono::duration<double> passed = clock_type::now() - started;
            narrator_.check(
                answered_pings_ != before,
                fmt::format("The client sent PINGREQ and got PINGRESP after {:.1f} seconds.", passed.count()));
        }
        const auto ping_started = clock_type::now();
        co_await lamp.async_ping(use_awaitable);
        const std::chrono::duration<double, std::milli> passed = clock_type::now() - ping_started;
        narrator_.check(true, fmt::format("An explicit ping was answered within {:.1f} ms.", passed.count()));
        co_await lamp.async_disconnect(use_awaitable);
    }

    awaitable<void> last_will() {
        narrator_.scene("A last will");
        narrator_.print("CONNECT can contain a message that the broker publishes when the connection is lost: a will.");
        const std::string state = topic("lamp/state");
        const std::string id = client_id("lamp");
        co_await subscribe(state, tern::qos::at_least_once);
        {
            device lamp = make("lamp");
            co_await connect_with_will(lamp, id, state);
            co_await announce(lamp, state);
            co_await expect_message(state, "online", tern::qos::at_least_once);
            narrator_.print("Now the lamp loses power: its connection ends without DISCONNECT.");
        } // the destructor closes the connection without DISCONNECT
        co_await expect_message(state, "offline", tern::qos::at_least_once, "the lamp's will");
    }

    awaitable<void> leaving() {
        narrator_.scene("Disconnecting");
        narrator_.print("The lamp connects with the same will again, but now it disconnects with DISCONNECT.");
        const std::string state = topic("lamp/state");
        const std::string id = client_id("lamp");
        device lamp = make("lamp");
        co_await connect_with_will(lamp, id, state);
        co_await announce(lamp, state);
        co_await expect_message(state, "online", tern::qos::at_least_once);
        co_await lamp.async_disconnect(use_awaitable);
        co_await wait(100ms);
        co_await expect_silence("The broker has discarded the will.");

        co_await unsubscribe(state);
        co_await publish(state, "", tern::qos::at_least_once, true); // deletes the retained message
        co_await thermometer_.async_disconnect(use_awaitable);
        co_await phone_.async_disconnect(use_awaitable);
        narrator_.check(!phone_.is_connected(), "All clients are disconnected, and no retained message is left.");
    }

    // ---- the steps of the scenes

    std::string topic(std::string_view name) const { return fmt::format("{}/{}", root_, name); }
    std::string client_id(std::string_view name) const {
        return tag_.empty() ? std::string(name) : fmt::format("{}-{}", tag_, name);
    }

    device make(std::string name) {
        example::tap tap(executor_, [this, name](example::direction where, const tern::any_packet& packet) {
            if (std::holds_alternative<tern::pingresp>(packet)) ++answered_pings_;
            narrator_.packet(name, where, packet);
        });
        transport_.apply(tap.next_layer());
        return device(std::move(tap));
    }

    tern::connect_options options_for(std::string_view id) const {
        return broker_.options({.version = version_, .client_id = id});
    }

    awaitable<void> connect(device& client, std::string_view name) {
        const std::string id = client_id(name);
        co_await client.async_connect(options_for(id), use_awaitable);
    }

    awaitable<void> connect_with_will(device& lamp, std::string_view id, std::string_view topic) {
        tern::connect_options options = options_for(id);
        options.will =
            tern::message_view{.topic = topic, .payload = "offline", .qos = tern::qos::at_least_once, .retain = true};
        retained_.emplace_back(topic);
        co_await lamp.async_connect(options, use_awaitable);
    }

    static awaitable<void> announce(device& lamp, std::string_view topic) {
        const tern::message_view online{
            .topic = topic, .payload = "online", .qos = tern::qos::at_least_once, .retain = true};
        co_await lamp.async_publish(online, use_awaitable);
    }

    awaitable<void> publish(std::string_view topic, std::string_view payload, tern::qos qos, bool retain = false) {
        if (retain) retained_.emplace_back(topic);
        const tern::message_view message{.topic = topic, .payload = payload, .qos = qos, .retain = retain};
        co_await thermometer_.async_publish(message, use_awaitable);
    }

    awaitable<void> subscribe(std::string_view filter, tern::qos max_qos) {
        const tern::subscription wanted{.filter = filter, .max_qos = max_qos};
        const auto ack = co_await phone_.async_subscribe(wanted, use_awaitable);
        if (static_cast<unsigned>(ack.reason_code) != static_cast<unsigned>(max_qos))
            narrator_.check(false,
                            fmt::format("The broker grants only QoS {}.", static_cast<unsigned>(ack.reason_code)));
    }

    awaitable<void> unsubscribe(std::string_view filter) {
        co_await settle();
        co_await phone_.async_unsubscribe(filter, use_awaitable);
    }

    awaitable<void> expect_message(std::string_view topic, std::string_view payload, tern::qos qos,
                                   std::string_view remark = {}, bool retain = false) {
        asio::steady_timer timeout(executor_, 5s);
        const auto got = co_await (phone_.async_receive(use_awaitable) || timeout.async_wait(use_awaitable));
        if (got.index() != 0) {
            narrator_.check(false, fmt::format("The phone should have received {} = {}.", topic, payload));
            co_return;
        }
        co_await settle();
        const tern::message& m = std::get<0>(got);
        const bool is_expected = m.topic == topic && m.payload == payload && m.qos == qos && m.retain == retain;
        if (is_expected)
            narrator_.check(true, fmt::format("The phone receives {} = {} with {}{}{}.", topic, payload, qos,
                                              remark.empty() ? "" : ", ", remark));
        else
            narrator_.check(
                false, fmt::format("The phone should have received {} = {} with {}, not {}.", topic, payload, qos, m));
    }

    // The broker sends pending messages before PINGRESP.
    awaitable<void> expect_silence(std::string_view text) {
        co_await phone_.async_ping(use_awaitable);
        const auto message = phone_.try_receive();
        narrator_.check(!message, message ? fmt::format("This arrived: {}.", *message) : std::string(text));
    }

    // Waits for pending acknowledgements, so that they are printed in the scene that they belong to.
    awaitable<void> settle() { return wait(20ms); }

    awaitable<void> wait(std::chrono::milliseconds time) {
        asio::steady_timer timer(executor_, time);
        co_await timer.async_wait(use_awaitable);
    }

    // A real broker must not keep the retained messages of a demo that failed.
    awaitable<void> delete_retained() {
        device cleaner = make("cleaner");
        try {
            co_await connect(cleaner, "cleaner");
            for (const std::string& topic : retained_) {
                const tern::message_view nothing{.topic = topic, .qos = tern::qos::at_least_once, .retain = true};
                co_await cleaner.async_publish(nothing, use_awaitable);
            }
            co_await cleaner.async_disconnect(use_awaitable);
        } catch (const std::system_error& error) {
            narrator_.print(fmt::format("Retained messages below {} may be left: {}.", root_, error.code().message()));
        }
    }

    asio::any_io_executor executor_;
    example::narrator& narrator_;
    tern::protocol_version version_;
    bool is_embedded_;
    example::transport_arguments transport_;
    tern::broker_url broker_;
    std::string tag_;  // random, so that demos on the same broker do not interfere
    std::string root_; // the prefix of all topics
    unsigned answered_pings_ = 0;
    std::vector<std::string> retained_;
    device thermometer_ = make("thermometer");
    device phone_ = make("phone");
};

constexpr std::string_view usage =
    "usage: demo [--packets] [--version 3.1.1|5] [--proxy URL] [URL]\n\n"
    "Shows each feature of MQTT, with the broker of the URL or an embedded one. A URL is\n"
    "mqtt://[user:password@]host[:port], mqtts://..., ws://host/path, wss://... or unix:/path.\n\n"
    "  --packets   print the packets that are sent and received\n"
    "  --version   the version of the protocol, by default 5\n"
    "  --proxy     http://[user:password@]host[:port], socks5://..., or environment\n"
    "  --cafile    the trusted authorities (PEM), by default those of the system\n"
    "  --cert, --key   the client certificate and its key (PEM)\n"
    "  --insecure  accept any certificate\n";

// The value of an option: "--name value" or "--name=value".
std::optional<std::string_view> value_of(std::string_view name, const std::vector<std::string_view>& given,
                                         std::size_t& i) {
    std::string_view arg = given[i];
    if (!arg.starts_with(name)) return std::nullopt;
    arg.remove_prefix(name.size());
    if (arg.starts_with('=')) return arg.substr(1);
    if (!arg.empty()) return std::nullopt;
    return i + 1 == given.size() ? std::string_view() : given[++i];
}

std::optional<arguments> parse(const std::vector<std::string_view>& given) {
    arguments args;
    for (std::size_t i = 0; i != given.size(); ++i) {
        std::string error;
        if (given[i] == "--packets") {
            args.packets = example::narrator::packets::shown;
        } else if (const auto version = value_of("--version", given, i)) {
            if (*version == "3.1.1" || *version == "311")
                args.version = tern::protocol_version::v3_1_1;
            else if (*version != "5" && *version != "5.0")
                error = "the version is not 3.1.1 or 5";
        } else if (const auto proxy = value_of("--proxy", given, i)) {
            error = args.transport.set_proxy(*proxy);
        } else if (const auto ca_file = value_of("--cafile", given, i)) {
            args.transport.ca_file = *ca_file;
        } else if (const auto certificate = value_of("--cert", given, i)) {
            args.transport.certificate_file = *certificate;
        } else if (const auto key = value_of("--key", given, i)) {
            args.transport.key_file = *key;
        } else if (given[i] == "--insecure") {
            args.transport.verify = example::transport_arguments::verification::off;
        } else {
            error = given[i].starts_with('-') ? "unknown option" : args.transport.set_url(given[i]);
        }
        if (error.empty()) continue;
        fmt::print(stderr, "demo: {}\n", error);
        return std::nullopt;
    }
    return args;
}

int run(const arguments& args) {
    example::narrator narrator(args.packets);
    asio::io_context context;

    std::optional<tern::testing::broker> embedded;
    example::transport_arguments transport = args.transport;
    if (!transport.url) {
        tern::testing::broker_options options;
        options.on_connect = [](const tern::connect& packet) {
            return packet.password == embedded_password ? tern::reason_code::success
                                                        : tern::reason_code::bad_user_name_or_password;
        };
        embedded.emplace(context.get_executor(), std::move(options));
        transport.set_url(fmt::format("mqtt://family:open%20sesame@127.0.0.1:{}", embedded->listen()));
    }
    const tern::broker_url broker = *transport.url;
    const tern::endpoint where = broker.endpoint();
    const std::string place =
        where.host.empty() ? std::string(where.path) : fmt::format("{}:{}", where.host, where.port);
    narrator.title(fmt::format("A smart home on MQTT {}, with {} {}", args.version,
                               embedded ? "the embedded broker at" : "the broker at", place));

    {
        smart_home home(context, narrator, args, broker);
        asio::co_spawn(context, home.run(), [&](const std::exception_ptr& error) {
            context.stop();
            if (error) std::rethrow_exception(error);
        });
        context.run();
    }
    if (embedded) {
        narrator.check(embedded->violations().empty(),
                       "The broker has checked every packet against the standard and found no violation.");
        for (const auto& violation : embedded->violations())
            narrator.check(false, fmt::format("{}: {}", violation.statement, violation.text));
    }
    const int code = narrator.print_summary();
    if (args.packets == example::narrator::packets::hidden)
        narrator.title("To see the packets as well, use --packets.");
    return code;
}

} // namespace

int main(int argc, char** argv) {
    example::command_line line(argc, argv);
    const std::vector<std::string_view> given(line.arguments() + 1, line.arguments() + line.count());
    if (given.size() == 1 && (given[0] == "--help" || given[0] == "-h")) {
        fmt::print("{}", usage);
        return 0;
    }
    const auto args = parse(given);
    if (!args) {
        fmt::print(stderr, "{}", usage);
        return 2;
    }
    try {
        return run(*args);
    } catch (const std::exception& error) {
        fmt::print(stderr, "demo: {}\n", error.what());
        return 1;
    }
}
