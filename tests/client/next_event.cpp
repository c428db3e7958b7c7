// Cancelled operations that wait for a connection event: an event stays stored until the handler of its operation is
// called.
#include "network_test.hpp"

#include <asio/experimental/parallel_group.hpp>

#include <algorithm>
#include <random>
#include <vector>

namespace next_event_tests {

using changes = std::vector<connection_change>;

// A client with the events of one run, which has ended.
struct stored_events : virtual_time_fixture {
    stored_events() {
        connect();
        client.cancel();
        net.run_ready();
    }

    // Takes the stored events.
    changes rest() {
        changes seen;
        for (;;) {
            cancellable<connection_event> next;
            client.async_next_event(next.handler());
            net.run_ready();
            if (!next.result.called()) { // it would wait
                next.cancel();
                net.run_ready();
                return seen;
            }
            seen.push_back(next.result.result().change);
        }
    }

    static changes all() {
        return {connection_change::connecting, connection_change::connected, connection_change::disconnected,
                connection_change::stopped};
    }
};

TEST_CASE("A cancelled operation whose handler was not called leaves its event to the next one") {
    stored_events w;
    cancellable<connection_event> one;
    w.client.async_next_event(one.handler());
    one.cancel();
    CHECK(w.wait(one.result) == asio::error::operation_aborted);
    CHECK(one.result.result().host.empty());
    CHECK(w.rest() == stored_events::all());
}

TEST_CASE("Events stay in their order, in whatever order the operations are cancelled that would have received them") {
    stored_events w;
    std::vector<cancellable<connection_event>> operations(stored_events::all().size());
    for (auto& op : operations)
        w.client.async_next_event(op.handler());
    std::vector<std::size_t> order{0, 1, 2, 3};
    std::shuffle(order.begin(), order.end(), std::mt19937(GENERATE(range(1U, 8U))));
    const auto cancelled = GENERATE(range(std::size_t{1}, std::size_t{5}));
    for (std::size_t i = 0; i != cancelled; ++i)
        operations[order[i]].cancel();
    w.net.run_ready();
    changes seen;
    for (std::size_t i = 0; i != operations.size(); ++i) {
        const bool was_cancelled = std::find(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(cancelled),
                                             i) != order.begin() + static_cast<std::ptrdiff_t>(cancelled);
        CHECK(operations[i].result.calls() == 1);
        CHECK((operations[i].result.error() == asio::error::operation_aborted) == was_cancelled);
        if (!was_cancelled) seen.push_back(operations[i].result.result().change);
    }
    for (const connection_change left : w.rest())
        seen.push_back(left);
    CHECK(seen == stored_events::all());
}

TEST_CASE("The event of a cancelled operation goes to the operation that waits next") {
    virtual_time_fixture w;
    w.net.forget("localhost");
    const auto connecting = connects(w.client);
    CHECK(w.next_event().change == connection_change::connecting);
    cancellable<connection_event> first;
    // The handler of the first of two events cancels the operation that has the second.
    w.client.async_next_event([&](std::error_code error, const connection_event& e) {
        CHECK(error == std::error_code{});
        CHECK(e.change == connection_change::disconnected);
        first.cancel();
    });
    w.client.async_next_event(first.handler());
    const auto next = awaits_event(w.client);
    CHECK(w.wait(next) == std::error_code{});
    CHECK(first.result.error() == asio::error::operation_aborted);
    CHECK(next.result().change == connection_change::stopped);
}

TEST_CASE("Waiting for events in a group that other operations end first loses none") {
    stored_events w;
    changes seen;
    bool ended = false;
    const auto watch = [&]() -> asio::awaitable<void> {
        for (int round = 0; round != 100 && seen.size() != stored_events::all().size(); ++round) {
            auto [order, error, event] = co_await asio::experimental::make_parallel_group(
                                             [&](auto token) { return asio::post(w.net.context(), std::move(token)); },
                                             [&](auto token) { return w.client.async_next_event(std::move(token)); })
                                             .async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
            (void)order;
            if (!error) seen.push_back(event.change);
            if (error && round % 3 == 2)
                seen.push_back((co_await w.client.async_next_event(asio::use_awaitable)).change);
        }
    };
    asio::co_spawn(w.net.context(), watch(), [&](std::exception_ptr) { ended = true; });
    CHECK(w.runs_until([&] { return ended; }));
    CHECK(seen == stored_events::all());
}

TEST_CASE("An operation that has an event completes with it although the client is destroyed") {
    std::optional<stored_events> w(std::in_place);
    std::optional<network_client> client(std::move(w->client));
    const auto ready = awaits_event(*client);
    client.reset();
    CHECK(w->wait(ready) == std::error_code{});
    CHECK(ready.result().change == connection_change::connecting);
}

} // namespace next_event_tests
