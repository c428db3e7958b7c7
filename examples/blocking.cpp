// Connects, subscribes, publishes and receives without Asio: each call waits for its result, for at most ten seconds.
// callbacks.cpp, coroutine.cpp and futures.cpp do the same in other styles.
//
//     blocking [host [port]]
#include "tern/messaging/blocking_client.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>

namespace {

using namespace std::chrono_literals;

void check(const std::error_code& error, const char* what) {
    if (!error) return;
    std::fprintf(stderr, "%s: %s\n", what, error.message().c_str());
    std::exit(1);
}

} // namespace

int main(int argc, char** argv) {
    tern::connect_options options{.client_id = "tern-blocking"};
    if (argc > 1) options.host = argv[1];
    if (argc > 2) options.port = static_cast<std::uint16_t>(std::atoi(argv[2]));
    options.will = tern::message_view{.topic = "tern/blocking/state", .payload = "lost"};

    tern::blocking_client client;
    check(client.connect(options, 10s).error, "connect");
    std::puts("connected");

    const auto ack = client.subscribe({.filter = "tern/blocking/#", .max_qos = tern::qos::exactly_once}, 10s);
    check(ack.error, "subscribe");
    std::printf("subscribed, granted QoS %d\n", static_cast<int>(ack->reason_code));

    for (const tern::qos qos : std::array{tern::qos::at_most_once, tern::qos::at_least_once, tern::qos::exactly_once}) {
        check(client.publish({.topic = "tern/blocking/greeting", .payload = "hello", .qos = qos}, 10s).error,
              "publish");
        const auto message = client.receive(10s);
        check(message.error, "receive");
        std::printf("received %s with QoS %d\n", std::string(message->payload).c_str(), static_cast<int>(message->qos));
    }

    check(client.ping(10s), "ping");
    std::puts("the broker answered the ping");

    check(client.disconnect(10s), "disconnect");
    std::puts("disconnected");
}
