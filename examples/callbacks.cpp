// Connects, subscribes, publishes and receives with callbacks: each completion handler starts the next step.
// coroutine.cpp and futures.cpp do the same in other styles.
//
//     callbacks [host [port]]
#include "support/own_broker.hpp"
#include "tern/tern.hpp"

#include <asio/io_context.hpp>

#include <array>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>

namespace {

class publish_and_receive {
public:
    publish_and_receive(asio::io_context& context, const example::broker_address& broker)
        : context_(context)
        , broker_(broker)
        , client_(context) {}

    void start() {
        tern::connect_options options{.host = broker_.host, .port = broker_.port, .client_id = "tern-callbacks"};
        options.will = tern::message_view{.topic = "tern/callbacks/state", .payload = "lost"};
        client_.async_connect(options, [this](std::error_code error, const tern::connect_result&) {
            if (error) return fail("connect", error);
            std::puts("connected");
            subscribe();
        });
    }

    bool has_failed() const noexcept { return has_failed_; }

private:
    void subscribe() {
        client_.async_subscribe({.filter = "tern/callbacks/#", .max_qos = tern::qos::exactly_once},
                                [this](std::error_code error, const tern::acknowledgement& ack) {
                                    if (error) return fail("subscribe", error);
                                    std::printf("subscribed, granted QoS %d\n", static_cast<int>(ack.reason_code));
                                    publish(0);
                                });
    }

    void publish(std::size_t index) {
        static constexpr std::array levels{tern::qos::at_most_once, tern::qos::at_least_once, tern::qos::exactly_once};
        if (index == levels.size()) return ping();
        // The client copies the message before the call returns.
        client_.async_publish({.topic = "tern/callbacks/greeting", .payload = "hello", .qos = levels[index]},
                              [this](std::error_code error, const tern::acknowledgement&) {
                                  if (error) fail("publish", error);
                              });
        client_.async_receive([this, index](std::error_code error, const tern::message& m) {
            if (error) return fail("receive", error);
            std::printf("received %s with QoS %d\n", std::string(m.payload).c_str(), static_cast<int>(m.qos));
            publish(index + 1);
        });
    }

    void ping() {
        client_.async_ping([this](std::error_code error) {
            if (error) return fail("ping", error);
            std::puts("the broker answered the ping");
            disconnect();
        });
    }

    void disconnect() {
        client_.async_disconnect([this](std::error_code error) {
            if (error) return fail("disconnect", error);
            std::puts("disconnected");
            context_.stop(); // the embedded broker would keep run() busy
        });
    }

    void fail(const char* step, std::error_code error) {
        std::fprintf(stderr, "error: %s: %s\n", step, error.message().c_str());
        has_failed_ = true;
        context_.stop();
    }

    asio::io_context& context_;
    const example::broker_address& broker_;
    tern::client client_;
    bool has_failed_ = false;
};

} // namespace

int main(int argc, char** argv) {
    try {
        asio::io_context context;
        const example::broker_address broker(context.get_executor(), argc, argv);
        publish_and_receive program(context, broker);
        program.start();
        context.run();
        return program.has_failed() ? 1 : 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
