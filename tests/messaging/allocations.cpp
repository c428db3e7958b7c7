// The allocations of a shared client. The broker runs in another thread, whose allocations do not count.
#include "messaging_test.hpp"
#include "support/heap.hpp"
#include "tern/testing/run_until.hpp"

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

} // namespace messaging_allocations_test
