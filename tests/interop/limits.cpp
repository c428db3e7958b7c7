// A broker with low limits. In 5.0 CONNACK contains them, and the client refuses a message that exceeds them.
#include "interop_client.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace interop;
using tern::errc;
using tern::reason_code;

mosquitto& low_limits() {
    static mosquitto instance("log_type error\nlog_type warning\nlog_type notice\nlog_type information\n"
                              "retain_available false\nmax_packet_size 1000\nmax_inflight_messages 2\n"
                              "allow_anonymous true\nmax_qos 1\n");
    return instance;
}

void check_refused_locally(interop_client& client, const tern::message_view& message, errc why) {
    const auto answer = client.publish(message);
    CHECK(answer.error == why);
    CHECK(answer.error.category() == tern::usage_category());
    CHECK(client.client().try_publish(message) == why);
}

TEST_CASE("5.0: the client respects the broker's limits [v5:MQTT-3.2.2-11, v5:MQTT-3.2.2-14, v5:MQTT-3.2.2-15]") {
    test_environment w(low_limits());
    interop_client client(w, v5, "client");
    const auto packet = client.connects();
    CHECK(packet.properties.maximum_qos == qos::at_least_once);
    CHECK(packet.properties.retain_available == false);
    CHECK(packet.properties.maximum_packet_size == 1000U);
    CHECK(packet.properties.receive_maximum == 2);

    const std::string topic = w.unique("t");
    client.watch_end();
    check_refused_locally(client, {.topic = topic, .qos = qos::exactly_once}, errc::qos_not_supported);
    check_refused_locally(client, {.topic = topic, .retain = true}, errc::retain_not_supported);

    // Fixed header, topic and length of the properties. At QoS 1 a packet identifier is added.
    const std::size_t overhead = 3 + 2 + topic.size() + 1;
    const std::string largest(1000 - overhead, 'x');
    const std::string too_large = largest + 'x';
    check_refused_locally(client, {.topic = topic, .payload = too_large}, errc::packet_too_large);
    check_refused_locally(client, {.topic = topic, .payload = largest, .qos = qos::at_least_once},
                          errc::packet_too_large);
    client.publishes({.topic = topic, .payload = largest});

    const std::string filter(1000, 'x');
    const tern::subscription large{.filter = filter};
    CHECK(client.subscribe(std::span(&large, 1)).error == errc::packet_too_large);
    client.pings();
}

// The test sends nothing else, because Mosquitto 2.0.21 closes the connection of any such client within a second.
TEST_CASE("5.0: CONNACK contains the broker's keep alive") {
    mosquitto short_keep_alive("allow_anonymous true\nmax_keepalive 10\n");
    test_environment w(short_keep_alive);
    interop_client client(w, v5, "client");
    CHECK(client.connects().properties.server_keep_alive == std::chrono::seconds{10});
}

TEST_CASE("5.0: a broker without QoS 2 accepts a QoS 2 subscription [v5:MQTT-3.2.2-10]") {
    test_environment w(low_limits());
    const std::string topic = w.unique("t");
    auto client = connected(w, v5, "client");
    CHECK(client.subscribes({.filter = topic, .max_qos = qos::exactly_once}).reason_code <= reason_code::granted_qos_2);
    client.publishes({.topic = topic, .payload = "x", .qos = qos::at_least_once});
    CHECK(client.receives().qos == qos::at_least_once);
}

TEST_CASE("5.0: no more messages in flight than the broker's Receive Maximum [v5:MQTT-3.3.4-7, v5:MQTT-3.3.4-8]") {
    test_environment w(low_limits());
    const std::string topic = w.unique("t");
    auto client = connected(w, v5, "client");
    client.subscribes({.filter = topic, .max_qos = qos::at_least_once});
    constexpr int count = 200;
    int confirmed = 0;
    for (int i = 0; i != count; ++i) {
        const std::string payload = std::to_string(i);
        client.client().async_publish({.topic = topic, .payload = payload, .qos = qos::at_least_once},
                                      [&](std::error_code error, const tern::acknowledgement&) {
                                          if (!error) ++confirmed;
                                      });
    }
    client.pings(); // queued messages do not delay it
    for (int i = 0; i != count; ++i)
        CHECK(client.receives().payload == std::to_string(i));
    w.until("all acknowledgements", [&] { return confirmed == count; });
    client.receives_nothing();
}

TEST_CASE("5.0: a will beyond the broker's limits is refused [v5:MQTT-3.2.2-12, v5:MQTT-3.2.2-13]") {
    test_environment w(low_limits());
    interop_client client(w, v5, "client");
    client.options.will = {.topic = "will", .qos = qos::exactly_once};
    CHECK(client.connect().error == reason_code::qos_not_supported);
    client.options.will = {.topic = "will", .retain = true};
    CHECK(client.connect().error == reason_code::retain_not_supported);
    client.options.will = {.topic = "will", .qos = qos::at_least_once};
    client.connects();
}

TEST_CASE("3.1.1: a broker closes the connection when a message exceeds its limits [v311:MQTT-4.8.0-1]") {
    test_environment w(low_limits());
    interop_client client(w, v3_1_1, "client");
    const std::string large(2000, 'x');
    for (const tern::message_view& message :
         {tern::message_view{.topic = "t", .qos = qos::exactly_once},
          tern::message_view{.topic = "t", .payload = large, .qos = qos::at_least_once}}) {
        client.connects();
        client.watch_end();
        const auto answer = client.publish(message);
        CHECK(answer.error == outcome_unknown(errc::disconnected)); // the broker does not say which message it was
        CHECK(client.end());
    }
}

} // namespace
