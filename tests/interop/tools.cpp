// Tern exchanges messages with the command-line clients of Mosquitto, in both directions.
#include "interop_client.hpp"

#include <array>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace interop;
using tern::protocol_version;

// Contains each byte value several times.
std::string binary_payload() {
    std::string payload;
    for (int i = 0; i != 3000; ++i)
        payload += static_cast<char>(i * 7);
    return payload;
}

std::string hex(std::string_view bytes) {
    std::string result;
    for (const char byte : bytes) {
        std::array<char, 3> text{};
        std::snprintf(text.data(), text.size(), "%02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
        result += text.data();
    }
    return result;
}

// Runs mosquitto_pub or mosquitto_sub as a client of the environment's broker.
class tool {
public:
    tool(test_environment& w, std::string_view program, protocol_version version, qos level, std::string_view topic,
         std::vector<std::string> more)
        : environment_(w) {
        const auto path = find_program(program);
        if (path.empty()) FAIL(program << " is not installed, but mosquitto is");
        std::vector<std::string> words{path.string(),
                                       "-h",
                                       "127.0.0.1",
                                       "-p",
                                       std::to_string(w.port()),
                                       "-V",
                                       version == v5 ? "mqttv5" : "mqttv311",
                                       "-q",
                                       std::to_string(static_cast<int>(level)),
                                       "-t",
                                       std::string{topic}};
        words.insert(words.end(), more.begin(), more.end());
        process_.emplace(std::move(words), directory_ / "out", directory_ / "err");
    }

    /// Waits for the end, requires success and returns standard output.
    std::string output() {
        environment_.until_true("the end of a tool", [&] { return process_->exit_status().has_value(); });
        INFO(read_file(directory_ / "err"));
        REQUIRE(process_->exit_status() == 0);
        return read_file(directory_ / "out");
    }

private:
    test_environment& environment_;
    temporary_directory directory_;
    std::optional<process> process_;
};

void to_mosquitto_sub(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("t");
    const std::string payload = binary_payload();
    const std::array user{tern::user_property{"unit", "celsius"}};
    tern::message_view message{.topic = topic, .payload = payload, .qos = level, .retain = true};
    if (version == v5) {
        message.properties.user_properties = user;
        message.properties.content_type = "application/tern";
    }
    auto publisher = connected(w, version, "publisher");
    publisher.publishes(message);
    publisher.pings();

    // The format has topic, QoS, retain, length and payload, in 5.0 also content type and user properties.
    const std::string id = w.unique("sub");
    tool sub(w, "mosquitto_sub", version, level, topic,
             {"-i", id, "-C", "2", "-F", version == v5 ? "%t %q %r %l %x %C %P" : "%t %q %r %l %x"});
    w.until_logged({id, topic}); // mosquitto_sub is subscribed
    publisher.publishes(message);

    const auto line = [&](bool retained) {
        return topic + " " + std::to_string(static_cast<int>(level)) + (retained ? " 1 " : " 0 ") +
               std::to_string(payload.size()) + " " + hex(payload) +
               (version == v5 ? " application/tern unit:celsius\n" : "\n");
    };
    const bool is_expected = sub.output() == line(true) + line(false);
    if (!is_expected) FAIL("mosquitto_sub wrote " << sub.output());
}
INTEROP_CASE_ALL(to_mosquitto_sub, "mosquitto_sub receives what Tern publishes",
                 "[v311:MQTT-3.3.1-5] [v311:MQTT-3.3.1-8]", "[v5:MQTT-3.3.1-5] [v5:MQTT-3.3.2-17] [v5:MQTT-3.3.2-20]")

void from_mosquitto_pub(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("t");
    const std::string payload = binary_payload();
    temporary_directory directory;
    write_file(directory / "payload", payload);
    auto live = connected(w, version, "live");
    live.subscribes({.filter = topic, .max_qos = qos::exactly_once});

    std::vector<std::string> more{"-r", "-f", (directory / "payload").string()};
    if (version == v5)
        more.insert(more.end(), {"-D", "PUBLISH", "user-property", "unit", "celsius", //
                                 "-D", "PUBLISH", "user-property", "unit", "kelvin",  //
                                 "-D", "PUBLISH", "content-type", "application/tern"});
    CHECK(tool(w, "mosquitto_pub", version, level, topic, more).output().empty());

    const auto check = [&](const tern::message& message, bool retained) {
        CHECK(message.topic == topic);
        const bool is_same = message.payload == payload; // keeps Catch2 from printing the payload
        CHECK(is_same);
        CHECK(message.qos == level);
        CHECK(message.retain == retained);
        if (version == v5) {
            const std::array user{tern::user_property{"unit", "celsius"}, tern::user_property{"unit", "kelvin"}};
            CHECK(message.properties.user_properties == tern::user_properties_view(user));
            CHECK(message.properties.content_type == "application/tern");
        }
    };
    check(live.receives(), false);
    auto late = connected(w, version, "late");
    late.subscribes({.filter = topic, .max_qos = qos::exactly_once});
    check(late.receives(), true);
}
INTEROP_CASE_ALL(from_mosquitto_pub, "Tern receives what mosquitto_pub publishes",
                 "[v311:MQTT-3.3.1-5] [v311:MQTT-3.3.1-8]",
                 "[v5:MQTT-3.3.1-5] [v5:MQTT-3.3.2-17] [v5:MQTT-3.3.2-18] [v5:MQTT-3.3.2-20]")

} // namespace
