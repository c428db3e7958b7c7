// The allocations of a shared client. The broker runs in another thread, whose allocations do not count.
#include "messaging_test.hpp"
#include "support/heap.hpp"
#include "support/heap_executor.hpp"
#include "tern/client/engine.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/tcp.hpp"

namespace messaging_allocations_test {

using namespace messaging_test;

// Completes an operation in this thread. `start` gets its handler.
template <class Start>
void complete(asio::io_context& io, Start start) {
    bool done = false;
    start([&done](std::error_code error, const auto&...) { done = !error; });
    REQUIRE(testing::run_until(io, [&done] { return done; }));
}

TEST_CASE("A message that a shared client publishes costs no allocation") {
    constexpr std::size_t messages = 1'000, batches = 5;
    threaded_broker server;
    asio::io_context io;
    shared_client client(io);
    complete(io, [&](auto handler) { client.async_connect(options_for(server.port()), handler); });
    const qos level = GENERATE(qos::at_most_once, qos::at_least_once);
    const std::string payload(64, 'x');
    const auto publish = [&] {
        for (std::size_t i = 0; i != messages; ++i)
            if (client.try_publish({.topic = "t", .payload = payload, .qos = level})) return false;
        complete(io, [&](auto handler) { client.async_drain(10s, handler); });
        return true;
    };
    for (std::size_t i = 0; i != batches; ++i)
        REQUIRE(publish());
    const std::size_t before = heap::allocations();
    for (std::size_t i = 0; i != batches; ++i)
        REQUIRE(publish());
    // Each function that is posted allocates, because this thread leaves the context after each one. There are some for
    // each batch, and for each part of the broker's answers.
    CHECK(heap::allocations() - before < batches * messages / 10);
}

// A handler that counts its operation once: when it is called, or when it is destroyed instead.
class counting_handler {
public:
    explicit counting_handler(int& ended) noexcept : ended_(&ended) {}
    counting_handler(counting_handler&& other) noexcept : ended_(std::exchange(other.ended_, nullptr)) {}
    counting_handler& operator=(counting_handler&&) = delete;
    ~counting_handler() {
        if (ended_) ++*ended_;
    }
    void operator()(std::error_code, const auto&...) { ++*std::exchange(ended_, nullptr); }

private:
    int* ended_;
};

// Runs a context for some time, also if memory runs out in it.
template <class Done>
void run_without_memory(asio::io_context& io, Done done) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!done() && std::chrono::steady_clock::now() < end) {
        try {
            io.restart();
            io.run_for(1ms);
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): the rest continues
        }
    }
}

// Starts an operation, unless there is no memory for it.
template <class Start>
void start(int& started, int& ended, Start begin) {
    ++started;
    try {
        begin(counting_handler(ended));
    } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): its handler is destroyed
    }
}

// With a polymorphic executor, Asio allocates where it must not throw. So does its strand when it passes itself to the
// context again, which therefore always succeeds here.
using reliable_executor = heap::tested_executor<heap::untested, asio::io_context::executor_type>;
using plain_client = basic_shared_client<tcp, reliable_executor>;

int start_all(plain_client& client, int& ended, event_position& position, std::span<received_message> batch) {
    int started = 0;
    const message_view with_property{.topic = "t", .qos = qos::at_least_once, .properties = {.content_type = "text"}};
    const auto try_publish = [&](const message_view& m) {
        try {
            (void)client.try_publish(m);
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): nothing is published
        }
    };
    start(started, ended, [&](auto handler) { client.async_publish("t", "1", std::move(handler)); });
    start(started, ended, [&](auto h) { client.async_publish("t", "2", qos::exactly_once, std::move(h)); });
    start(started, ended, [&](auto handler) { client.async_publish(with_property, std::move(handler)); });
    try_publish({.topic = "t"});
    try_publish(with_property);
    start(started, ended, [&](auto handler) { client.async_receive(std::move(handler)); });
    start(started, ended, [&](auto handler) { client.async_receive_some(batch, std::move(handler)); });
    start(started, ended, [&](auto handler) { client.async_next_event(position, std::move(handler)); });
    start(started, ended, [&](auto handler) { client.async_unsubscribe("u", std::move(handler)); });
    start(started, ended, [&](auto handler) { client.async_counters(std::move(handler)); });
    return started;
}

TEST_CASE("Each operation of a shared client ends once if an allocation fails") {
    threaded_broker server;
    for (std::size_t nth = 1;; ++nth) {
        int ended = 0, started = 0;
        event_position position;
        std::vector<received_message> batch(2);
        {
            asio::io_context io;
            auto client = std::make_unique<plain_client>(reliable_executor{io.get_executor()});
            complete(io, [&](auto handler) { client->async_connect(options_for(server.port()), handler); });
            complete(io, [&](auto handler) { client->async_subscribe("t", handler); });
            heap::fail(nth, 1);
            started = start_all(*client, ended, position, batch);
            run_without_memory(io, [&] { return ended >= started - 2; }); // a message may be lost, and with it two
            heap::stop_failing();
            client->cancel();
            run_without_memory(io, [&] { return ended == started; });
            INFO("allocation " << nth);
            CHECK(ended == started);
        }
        if (heap::failures() == 0) break;
    }
}

} // namespace messaging_allocations_test
