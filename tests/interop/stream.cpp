// Sends and receives many messages at the same time in two coroutines, as an application does.
#include "interop_client.hpp"

#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>

#include <exception>
#include <string>
#include <system_error>

namespace {

using namespace interop;
using tern::protocol_version;

constexpr int count = 10'000;

// The state that the coroutines share with the test.
struct progress {
    int confirmed = 0; // of the messages with a handler
    int received = 0;
    bool is_sent = false;
    std::exception_ptr failure;

    auto on_end() {
        return [this](std::exception_ptr e) {
            if (e) failure = e;
        };
    }
};

// Awaits one message in 500, publishes one in ten with a handler, and the others without.
asio::awaitable<void> send(tern::client& client, const std::string& topic, qos level, progress& progress) {
    for (int i = 0; i != count; ++i) {
        const std::string payload = std::to_string(i);
        const tern::message_view message{.topic = topic, .payload = payload, .qos = level};
        if (i % 500 == 499) {
            co_await client.async_publish(message, asio::use_awaitable);
            ++progress.confirmed;
        } else if (i % 10 == 0) {
            client.async_publish(message, [&](std::error_code error, const tern::acknowledgement&) {
                if (!error) ++progress.confirmed;
            });
        } else if (const auto error = client.try_publish(message)) {
            throw std::system_error(error);
        }
    }
    progress.is_sent = true;
}

asio::awaitable<void> receive(tern::client& client, qos level, progress& progress) {
    for (; progress.received != count; ++progress.received) {
        const auto message = co_await client.async_receive(asio::use_awaitable);
        // One assertion per message would take longer than the messages.
        if (message.payload != std::to_string(progress.received) || message.qos != level)
            FAIL("message " << progress.received << " is " << message.payload);
    }
}

void stream(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("t");
    auto receiver = connected(w, version, "receiver");
    receiver.subscribes({.filter = topic, .max_qos = level});
    interop_client sender(w, version, "sender");
    // In 3.1.1 the client does not learn the broker's limit. Mosquitto acknowledges QoS 2 messages beyond
    // max_inflight_messages and drops them.
    if (version == v3_1_1) sender.options.max_in_flight = broker_max_inflight;
    sender.connects();

    progress progress;
    asio::co_spawn(w.context(), receive(receiver.client(), level, progress), progress.on_end());
    asio::co_spawn(w.context(), send(sender.client(), topic, level, progress), progress.on_end());
    w.until(
        "10,000 messages",
        [&] {
            return progress.failure ||
                   (progress.is_sent && progress.received == count && progress.confirmed == count / 10 + count / 500);
        },
        60s);
    if (progress.failure) std::rethrow_exception(progress.failure);
    receiver.receives_nothing();
}
INTEROP_CASE_ALL(stream, "10,000 messages arrive once and in order", "[v311:MQTT-4.6.0-6]", "[v5:MQTT-4.6.0-5]")

// By default Mosquitto accepts 20 QoS 2 messages at a time. In 3.1.1 it acknowledges and drops further ones.
void burst(protocol_version version) {
    mosquitto default_limits("allow_anonymous true\n");
    test_environment w(default_limits);
    auto client = connected(w, version, "client");
    client.subscribes({.filter = "t", .max_qos = qos::exactly_once});
    int confirmed = 0;
    for (int i = 0; i != 200; ++i)
        client.client().async_publish({.topic = "t", .payload = "x", .qos = qos::exactly_once},
                                      [&](std::error_code error, const tern::acknowledgement&) {
                                          if (!error) ++confirmed;
                                      });
    w.until("200 confirmations", [&] { return confirmed == 200; });
    for (int i = 0; i != 200; ++i)
        client.receives();
    client.receives_nothing();
}
INTEROP_CASE_BOTH(burst, "a broker with default limits loses no message of a QoS 2 burst", "[v311:MQTT-4.5.0-1]",
                  "[v5:MQTT-4.5.0-1]")

// If a socket is closed while it has unread bytes, TCP resets the connection, which discards sent bytes.
void publish_before_disconnect(protocol_version version) {
    test_environment w;
    const std::string topic = w.unique("t");
    const std::string will = w.unique("will");
    const std::string payload(1000, 'x');
    auto watcher = connected(w, version, "watcher");
    watcher.subscribes({.filter = topic});
    watcher.subscribes({.filter = will});
    interop_client leaver(w, version, "leaver");
    leaver.options.will = tern::message_view{.topic = will, .payload = "lost"};
    leaver.connects();
    leaver.subscribes({.filter = topic}); // it receives its own messages while it disconnects
    for (int i = 0; i != 200; ++i)
        CHECK(!leaver.client().try_publish({.topic = topic, .payload = payload}));
    leaver.disconnects();
    for (int i = 0; i != 200; ++i)
        CHECK(watcher.receives().topic == topic);
    watcher.receives_nothing();
}
INTEROP_CASE_BOTH(publish_before_disconnect,
                  "messages before DISCONNECT arrive, even if the client receives some meanwhile",
                  "[v311:MQTT-3.14.4-3]", "[v5:MQTT-3.14.4-3]")

} // namespace
