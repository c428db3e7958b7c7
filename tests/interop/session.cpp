// Kinds of subscriptions, and connections: keep alive, session take-over, client identifier.
#include "interop_client.hpp"

#include <asio/error.hpp>

#include <array>
#include <optional>
#include <set>
#include <string>

namespace {

using namespace interop;
using tern::protocol_version;
using tern::reason_code;

void dollar_topics(protocol_version version) {
    test_environment w;
    auto all = connected(w, version, "all");
    all.subscribes({.filter = "#", .max_qos = qos::exactly_once});
    all.subscribes({.filter = "+/broker/version", .max_qos = qos::exactly_once});
    all.pings();
    while (const auto message = all.client().try_receive())
        CHECK(message->topic.front() != '$');

    auto system = connected(w, version, "system");
    system.subscribes({.filter = "$SYS/#"});
    const auto message = system.receives();
    CHECK(message.topic.starts_with("$SYS/"));
    CHECK(message.retain);
}
INTEROP_CASE_BOTH(dollar_topics, "$SYS/# is received and # does not match it", "[v311:MQTT-4.7.2-1]",
                  "[v5:MQTT-4.7.2-1]")

void shared_subscription(protocol_version version) {
    test_environment w;
    const std::string topic = w.unique("t");
    const std::string filter = "$share/group/" + topic;
    auto a = connected(w, version, "a");
    auto b = connected(w, version, "b");
    auto outside = connected(w, version, "outside");
    for (interop_client* const p : {&a, &b})
        p->subscribes({.filter = filter, .max_qos = qos::exactly_once});
    outside.subscribes({.filter = topic, .max_qos = qos::exactly_once});

    constexpr int count = 20;
    auto publisher = connected(w, version, "publisher");
    std::multiset<std::string> sent;
    for (int i = 0; i != count; ++i) {
        const std::string& payload = *sent.insert(std::to_string(i));
        publisher.publishes({.topic = topic, .payload = payload, .qos = qos::exactly_once});
        CHECK(outside.receives().payload == payload);
    }
    std::multiset<std::string> received;
    const auto take = [&](interop_client& from) {
        int taken = 0;
        for (; const auto message = from.client().try_receive(); ++taken)
            received.emplace(message->payload);
        return taken;
    };
    int by_a = 0;
    int by_b = 0;
    w.until("all messages at either subscriber", [&] {
        by_a += take(a);
        by_b += take(b);
        return by_a + by_b >= count;
    });
    CHECK(received == sent);
    CHECK(by_a > 0);
    CHECK(by_b > 0);
    a.receives_nothing();
    b.receives_nothing();
}
INTEROP_CASE_BOTH(shared_subscription, "a shared subscription distributes messages among its clients",
                  "as an extension", "[v5:MQTT-4.8.2-1] [v5:MQTT-4.8.2-2]")

void unsubscribe(protocol_version version) {
    test_environment w;
    const std::array topics{w.unique("a"), w.unique("b"), w.unique("c")};
    auto client = connected(w, version, "client");
    for (const std::string& topic : topics)
        client.subscribes({.filter = topic, .max_qos = qos::at_least_once});

    const std::string unknown = w.unique("unknown");
    const std::array<std::string_view, 3> filters{topics[0], unknown, topics[2]};
    const auto answer = client.unsubscribe(filters);
    CHECK_FALSE(answer.error);
    if (version == v5) {
        const std::array expected{reason_code::success, reason_code::no_subscription_existed, reason_code::success};
        CHECK(answer.value.reason_codes == tern::reason_codes_view(expected));
    } else {
        CHECK(answer.value.reason_codes.empty());
    }
    for (const std::string& topic : topics)
        client.publishes({.topic = topic, .payload = "x", .qos = qos::at_least_once});
    CHECK(client.receives().topic == topics[1]);
    client.receives_nothing();
}
INTEROP_CASE_BOTH(unsubscribe, "UNSUBSCRIBE removes the given filters",
                  "[v311:MQTT-3.10.4-1] [v311:MQTT-3.10.4-2] [v311:MQTT-3.10.4-4] "
                  "[v311:MQTT-3.10.4-5] [v311:MQTT-3.10.4-6]",
                  "[v5:MQTT-3.10.4-1] [v5:MQTT-3.10.4-2] [v5:MQTT-3.10.4-4] "
                  "[v5:MQTT-3.10.4-5] [v5:MQTT-3.10.4-6] [v5:MQTT-3.11.3-1]")

void take_over(protocol_version version) {
    test_environment w;
    auto first = connected(w, version, "same");
    first.watch_end();
    std::optional<interop_client> second;
    second.emplace(w, version, "same");
    second->options.client_id = first.id();
    second->connects();

    // Mosquitto 2.0.11 only closes the connection. Later versions send the reason in 5.0.
    const std::error_code why = first.end();
    if (why != asio::error::eof && why != asio::error::connection_reset) CHECK(why == reason_code::session_taken_over);
    second->pings();
    CHECK(first.publish({.topic = w.unique("t"), .payload = "x"}).error == tern::errc::not_connected);
}
INTEROP_CASE_BOTH(take_over, "a second client takes the identifier over", "[v311:MQTT-3.1.4-2]", "[v5:MQTT-3.1.4-3]")

// The only test that waits for seconds.
void keep_alive(protocol_version version) {
    mosquitto verbose("log_type all\nallow_anonymous true\n");
    test_environment w(verbose);
    interop_client client(w, version, "client");
    client.options.keep_alive = 1s;
    client.connects();
    const auto quiet_until = std::chrono::steady_clock::now() + 2500ms; // the broker would close after 1.5 s
    w.until_logged({"Sending PINGRESP to", client.id()}, 2);
    w.until_true("the time to pass", [&] { return std::chrono::steady_clock::now() >= quiet_until; });
    CHECK(client.is_connected());
    client.pings();
}
INTEROP_CASE_BOTH(keep_alive, "PINGREQ keeps an idle connection alive", "[v311:MQTT-3.1.2-23] [v311:MQTT-3.12.4-1]",
                  "[v5:MQTT-3.1.2-20] [v5:MQTT-3.12.4-1]")

void no_client_id(protocol_version version) {
    test_environment w;
    interop_client client(w, version, "");
    client.options.client_id = "";
    const auto packet = client.connects();
    if (version == v5) CHECK_FALSE(packet.properties.assigned_client_identifier.value_or("").empty());
    client.pings();

    if (version == v3_1_1) {
        client.disconnects();
        client.options.clean_start = false;
        CHECK(client.connect().error == tern::errc::empty_client_id);
    }
}
INTEROP_CASE_BOTH(no_client_id, "the broker assigns a client identifier", "[v311:MQTT-3.1.3-6] [v311:MQTT-3.1.3-7]",
                  "[v5:MQTT-3.1.3-6] [v5:MQTT-3.1.3-7]")

} // namespace
