// Several threads: one runs the context, others call the client. Futures carry an error code, because ThreadSanitizer
// does not see how libstdc++ passes exceptions between threads.
#include "client_test.hpp"

#include <asio/use_future.hpp>

#include <atomic>
#include <future>
#include <thread>

namespace {

const auto use_code = asio::use_future([](std::error_code error, const auto&...) { return error; });

// Runs a context in a thread of its own.
struct running_context {
    running_context() : thread([this] { io.run(); }) {}
    running_context(const running_context&) = delete;
    running_context& operator=(const running_context&) = delete;
    ~running_context() { stop(); }
    void stop() {
        io.stop();
        if (thread.joinable()) thread.join();
    }

    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
    std::thread thread;
};

// A broker over TCP in a thread of its own.
struct threaded_broker {
    threaded_broker() {
        std::promise<std::uint16_t> listening;
        asio::post(context.io, [&] { listening.set_value(server.listen()); });
        port = listening.get_future().get();
    }
    threaded_broker(const threaded_broker&) = delete;
    threaded_broker& operator=(const threaded_broker&) = delete;
    ~threaded_broker() { context.stop(); }

    running_context context;
    broker server{context.io.get_executor()};
    std::uint16_t port = 0;
};

std::error_code result_of(std::future<std::error_code> future) {
    REQUIRE(future.wait_for(20s) == std::future_status::ready);
    return future.get();
}
void succeeds(std::future<std::error_code> future) {
    CHECK(result_of(std::move(future)) == std::error_code{});
}

connect_options options_for(std::uint16_t port) {
    return once({.host = "127.0.0.1", .port = port, .client_id = "c"});
}

TEST_CASE("Calls from another thread, each after the future of the one before, complete") {
    running_context context;
    threaded_broker server;
    for (int round = 0; round != 100; ++round) {
        tern::client client(context.io);
        succeeds(client.async_connect(options_for(server.port), use_code));
        succeeds(client.async_subscribe({.filter = "t", .max_qos = qos::exactly_once}, use_code));
        for (const qos q : {qos::at_most_once, qos::at_least_once, qos::exactly_once}) {
            succeeds(client.async_publish({.topic = "t", .payload = "1", .qos = q}, use_code));
            succeeds(client.async_receive(use_code));
            CHECK(client.try_publish({.topic = "other", .qos = q}) == std::error_code{});
            CHECK(client.is_connected());
        }
        succeeds(client.async_ping(use_code));
        succeeds(client.async_drain(10s, use_code));
        if (round % 2 == 0) succeeds(client.async_disconnect(use_code));
    }
}

TEST_CASE("Calls from another thread are safe while messages arrive and other operations are pending") {
    running_context context;
    threaded_broker server;
    tern::client client(context.io);
    std::atomic<int> arrived = 0;
    client.set_message_callback([&](const received& m) {
        if (client.try_publish({.topic = "answer", .payload = m.payload}) == std::error_code{}) ++arrived;
    });
    succeeds(client.async_connect(options_for(server.port), use_code));
    succeeds(client.async_subscribe({.filter = "t"}, use_code));
    auto event = client.async_next_event(use_code);
    std::vector<std::future<std::error_code>> pending;
    for (int i = 0; i != 500; ++i)
        pending.push_back(client.async_publish({.topic = "t", .payload = "1", .qos = qos::at_least_once}, use_code));
    CHECK(client.counters().messages_received <= 500);
    for (auto& one : pending)
        succeeds(std::move(one));
    succeeds(client.async_drain(10s, use_code));
    client.set_message_callback(nullptr);
    CHECK(arrived > 0);
}

TEST_CASE("A client can be destroyed by another thread while operations are pending") {
    running_context context;
    threaded_broker server;
    for (int round = 0; round != 100; ++round) {
        std::vector<std::future<std::error_code>> pending;
        std::future<std::error_code> received;
        {
            tern::client client(context.io);
            succeeds(client.async_connect(options_for(server.port), use_code));
            received = client.async_receive(use_code);
            for (int i = 0; i != round % 4; ++i)
                pending.push_back(client.async_publish({.topic = "t", .qos = qos::exactly_once}, use_code));
            if (round % 3 == 0) client.cancel();
        }
        CHECK(result_of(std::move(received)) == asio::error::operation_aborted);
        for (auto& one : pending)
            (void)result_of(std::move(one));
    }
}

} // namespace
