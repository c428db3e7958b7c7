// Cancelled receive operations: a message belongs to the inbox until the handler of its operation is called.
#include "network_test.hpp"

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/experimental/parallel_group.hpp>

#include <algorithm>
#include <numeric>
#include <random>

namespace {

using namespace asio::experimental::awaitable_operators;

// A client whose inbox holds the messages "1" to `count`, with the packet identifiers 1 to `count`.
struct stored_messages : virtual_time_fixture {
    explicit stored_messages(packet_id count, qos q = qos::at_least_once, connect_options options = lasting()) {
        connect(std::move(options));
        for (packet_id id = 1; id <= count; ++id)
            server.send(incoming(std::to_string(id), q, id));
        net.run_ready();
    }

    // Takes the stored messages, which must be these.
    void holds(packet_id first, packet_id last) {
        for (packet_id id = first; id <= last; ++id) {
            const auto m = client.try_receive();
            REQUIRE(m);
            CHECK(m->payload == std::to_string(id));
        }
        CHECK_FALSE(client.try_receive());
    }
};

struct batch_receive : cancellable<std::size_t> {
    explicit batch_receive(std::size_t size) : messages(size) {}
    std::vector<received_message> messages;
};

TEST_CASE(
    "A cancelled receive operation whose handler was not called returns its message, which stays unacknowledged") {
    stored_messages w(2);
    cancellable<received_message> one;
    w.client.async_receive(one.handler());
    one.cancel();
    CHECK(w.wait(one.result) == asio::error::operation_aborted);
    CHECK(one.result.result().payload.empty());
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    w.holds(1, 2);
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK(w.server.expect<puback>().packet_id == 2);
}

TEST_CASE("Messages return to the inbox in the order of arrival, in whatever order their operations are cancelled") {
    constexpr int count = 20;
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const int kind = GENERATE(range(0, 12));
    if (kind == 1) std::reverse(order.begin(), order.end());
    if (kind > 1) std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<unsigned>(kind)));
    stored_messages w(count + 5);
    std::vector<cancellable<received_message>> operations(count);
    for (auto& op : operations)
        w.client.async_receive(op.handler());
    for (const std::size_t i : order)
        operations[i].cancel();
    w.net.run_ready();
    for (auto& op : operations)
        CHECK(op.result.error() == asio::error::operation_aborted);
    CHECK(w.server.is_silent());
    w.holds(1, count + 5);
}

TEST_CASE("A cancelled batch returns all of its messages") {
    stored_messages w(7);
    batch_receive first(3);
    batch_receive second(3);
    w.client.async_receive_some(first.messages, first.handler());
    w.client.async_receive_some(second.messages, second.handler());
    first.cancel();
    second.cancel();
    CHECK(w.wait(second.result) == asio::error::operation_aborted);
    CHECK(first.result.error() == asio::error::operation_aborted);
    CHECK(first.result.result() == 0);
    CHECK(second.result.result() == 0);
    CHECK(w.server.is_silent());
    w.holds(1, 7);
}

TEST_CASE("The message of a cancelled receive operation goes to the operation that waits next") {
    virtual_time_fixture w;
    w.connect();
    cancellable<received_message> first;
    // The handler of the first of two messages cancels the receive operation that has the second.
    w.client.async_receive([&](std::error_code error, const received_message& m) {
        CHECK(error == std::error_code{});
        CHECK(m.payload == "1");
        first.cancel();
    });
    w.client.async_receive(first.handler());
    const bool batch = GENERATE(false, true);
    std::vector<received_message> several(2);
    answer<received_message> next;
    answer<std::size_t> next_batch;
    if (batch)
        w.client.async_receive_some(several, next_batch.handler());
    else
        w.client.async_receive(next.handler());
    w.server.send(incoming("1", qos::exactly_once, 1), incoming("2", qos::exactly_once, 2));
    CHECK(w.server.expect<pubrec>().packet_id == 1);
    CHECK(w.server.expect<pubrec>().packet_id == 2);
    CHECK(first.result.error() == asio::error::operation_aborted);
    CHECK((batch ? several[0].payload : next.result().payload) == "2");
    if (batch) CHECK(next_batch.result() == 1);
}

TEST_CASE("A client that is destroyed before the handler of a receive operation is called does not acknowledge") {
    virtual_time_fixture w;
    w.connect();
    auto client = std::make_unique<network_client>(std::move(w.client));
    client->async_receive([&](std::error_code, const received_message&) { client.reset(); });
    answer<received_message> second;
    client->async_receive(second.handler());
    w.server.send(incoming("1", qos::exactly_once, 1), incoming("2", qos::exactly_once, 2));
    w.net.run_ready();
    CHECK(second.error() == asio::error::operation_aborted);
    CHECK(second.result().payload.empty());
}

// ---- composed operations

constexpr int many = 2'000;

// Sends many messages, a few at a time, and records those that arrive.
struct many_messages : virtual_time_fixture {
    many_messages(qos q, acknowledgement_mode mode) : level(q) {
        auto options = lasting();
        options.acknowledge = mode;
        connect(options);
    }

    void send_next(int count) {
        std::string bytes;
        for (int i = 0; i != count && sent != many; ++i) {
            const std::string payload = std::to_string(++sent);
            bytes += bytes_of(incoming(payload, level, static_cast<packet_id>(sent)));
        }
        server.send_bytes(bytes);
    }
    void take(received_message m) {
        CHECK(m.payload == std::to_string(++received));
        m.acknowledge();
    }
    template <class Coroutine>
    void run(Coroutine coroutine) {
        bool ended = false;
        asio::co_spawn(net.context(), std::move(coroutine), [&](std::exception_ptr) { ended = true; });
        // A system timer that expires at once is not ready at once on Windows, where a thread of Asio announces it.
        const auto limit = std::chrono::steady_clock::now() + 50s;
        while (!ended && std::chrono::steady_clock::now() < limit) {
            net.run_for(1ms);
            std::this_thread::yield();
        }
        CHECK(ended);
        REQUIRE(received == many);
        for (packet_id id = 1; id <= many; ++id)
            CHECK((level == qos::at_least_once ? server.expect<puback>().packet_id
                                               : server.expect<pubrec>().packet_id) == id);
        CHECK_FALSE(client.try_receive());
    }

    qos level;
    int sent = 0;
    int received = 0;
};

TEST_CASE("Receiving in a group that other operations end first loses no message") {
    const auto q = GENERATE(qos::at_least_once, qos::exactly_once);
    const auto mode = GENERATE(acknowledgement_mode::automatic, acknowledgement_mode::manual);
    many_messages w(q, mode);
    asio::experimental::channel<void(std::error_code, int)> channel(w.net.context(), 10 * many);
    w.run([&]() -> asio::awaitable<void> {
        for (int round = 0; w.received != many && round != 10 * many; ++round) {
            if (round % 2 == 0) w.send_next(2);
            if (round % 3 != 0) channel.try_send(std::error_code{}, round);
            asio::steady_timer timer(w.net.context(), 1min);
            auto done = co_await (channel.async_receive(asio::use_awaitable) ||
                                  w.client.async_receive(asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
            if (done.index() == 1) w.take(std::get<1>(std::move(done)));
        }
    });
}

TEST_CASE("Receiving several messages until a timer expires loses no message") {
    many_messages w(GENERATE(qos::at_least_once, qos::exactly_once), acknowledgement_mode::automatic);
    w.run([&]() -> asio::awaitable<void> {
        std::vector<received_message> several(3);
        for (int round = 0; w.received != many && round != 10 * many; ++round) {
            w.send_next(round % 5);
            asio::steady_timer timer(w.net.context(), std::chrono::steady_clock::now());
            const auto done = co_await (timer.async_wait(asio::use_awaitable) ||
                                        w.client.async_receive_some(several, asio::use_awaitable));
            for (std::size_t i = 0; done.index() == 1 && i != std::get<1>(done); ++i)
                w.take(several[i]);
        }
    });
}

TEST_CASE("Receiving in a parallel group that posts cancel loses no message") {
    many_messages w(qos::exactly_once, acknowledgement_mode::automatic);
    w.run([&]() -> asio::awaitable<void> {
        for (int round = 0; w.received != many && round != 10 * many; ++round) {
            if (round % 2 == 0) w.send_next(2);
            auto [order, error, message] =
                co_await asio::experimental::make_parallel_group(
                    [&](auto token) { return w.client.async_receive(std::move(token)); },
                    [&](auto token) { return asio::post(w.net.context(), std::move(token)); })
                    .async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
            (void)order;
            if (!error) w.take(std::move(message));
        }
    });
}

} // namespace
