// Connects, subscribes, publishes and receives with futures: a second thread runs the network, and the main thread
// waits for the results that it needs. A call that follows the future of the one before needs no other order.
// callbacks.cpp and coroutine.cpp do the same in other styles.
//
//     futures [host [port]]
#include "support/own_broker.hpp"
#include "tern/tern.hpp"

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/use_future.hpp>

#include <array>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>

namespace {

using asio::use_future;

void publish_and_receive(tern::client& client, const example::broker_address& broker) {
    tern::connect_options options{.host = broker.host, .port = broker.port, .client_id = "tern-futures"};
    options.will = tern::message_view{.topic = "tern/futures/state", .payload = "lost"};
    client.async_connect(options, use_future).get();
    std::puts("connected");

    const tern::subscription wanted{.filter = "tern/futures/#", .max_qos = tern::qos::exactly_once};
    const auto ack = client.async_subscribe(wanted, use_future).get();
    std::printf("subscribed, granted QoS %d\n", static_cast<int>(ack.reason_code));

    for (const tern::qos qos : std::array{tern::qos::at_most_once, tern::qos::at_least_once, tern::qos::exactly_once}) {
        const tern::message_view message{.topic = "tern/futures/greeting", .payload = "hello", .qos = qos};
        auto published = client.async_publish(message, use_future);
        auto received = client.async_receive(use_future);
        published.get(); // both operations run concurrently
        const tern::received_message m = received.get();
        std::printf("received %s with QoS %d\n", std::string(m.payload).c_str(), static_cast<int>(m.qos));
    }

    client.async_ping(use_future).get();
    std::puts("the broker answered the ping");

    client.async_disconnect(use_future).get();
    std::puts("disconnected");
}

} // namespace

int main(int argc, char** argv) {
    int code = 0;
    try {
        asio::io_context context;
        const example::broker_address broker(context.get_executor(), argc, argv);
        tern::client client(context);
        const auto work = asio::make_work_guard(context);
        std::thread network([&] { context.run(); });
        try {
            publish_and_receive(client, broker);
        } catch (const std::exception& error) { // a future throws the error code of its operation
            std::fprintf(stderr, "error: %s\n", error.what());
            code = 1;
        }
        context.stop();
        network.join();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        code = 1;
    }
    return code;
}
