// Several listeners for connection events, each with a position of its own.
#include "network_test.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

namespace event_position_tests {

using changes = std::vector<connection_change>;

const std::error_code aborted = asio::error::operation_aborted;

// The events of a run in which the connection is lost once.
const changes one_loss{connection_change::connecting, connection_change::connected, connection_change::disconnected,
                       connection_change::connecting, connection_change::connected, connection_change::disconnected,
                       connection_change::stopped};

template <class Client>
answer<connection_event> awaits_event_at(Client& client, event_position& position) {
    answer<connection_event> a;
    client.async_next_event(position, a.handler());
    CHECK_FALSE(a.called());
    return a;
}

// Takes all events until the client has stopped.
asio::awaitable<void> listen(network_client& client, event_position& position, changes& seen) {
    do {
        const connection_event e = co_await client.async_next_event(position, asio::use_awaitable);
        seen.push_back(e.change);
    } while (seen.back() != connection_change::stopped);
}

struct listeners_fixture : virtual_time_fixture {
    void start(event_position& position, changes& seen) {
        asio::co_spawn(net.context(), listen(client, position, seen), asio::detached);
    }
    void run_with_one_loss() {
        connect();
        net.run_for(1h); // the client reconnects at once
        cut();
        accepts_again();
        REQUIRE(runs_until([&] { return client.is_connected(); }));
        server.forget();
        CHECK(wait(disconnects(client)) == std::error_code{});
    }
    // Takes the events that are there.
    changes rest(event_position& position) {
        changes seen;
        for (;;) {
            cancellable<connection_event> next;
            client.async_next_event(position, next.handler());
            net.run_ready();
            if (!next.result.called()) { // it would wait
                next.cancel();
                net.run_ready();
                return seen;
            }
            seen.push_back(next.result.result().change);
        }
    }
    // Makes this number of attempts, with two events each, and stops.
    void fail_attempts(int count) {
        net.forget("localhost");
        auto options = lasting();
        options.reconnect.retry_first = true;
        options.reconnect.first_delay = options.reconnect.longest_delay = 1ms;
        int failed = 0;
        client.set_before_connect([&](connect_attempt attempt) {
            if (failed++ != count) return attempt.proceed();
            client.cancel();
        });
        const auto connecting = connects_as(client, options);
        CHECK(wait(connecting) == aborted);
        client.set_before_connect({});
    }
};

TEST_CASE("Two and three listeners each see all events in their order, and so does the client's own position") {
    listeners_fixture w;
    std::array<event_position, 3> positions;
    std::array<changes, 3> seen;
    const auto count = GENERATE(std::size_t{2}, std::size_t{3});
    for (std::size_t i = 0; i != count; ++i)
        w.start(positions[i], seen[i]);
    w.run_with_one_loss();
    for (std::size_t i = 0; i != count; ++i) {
        CHECK(seen[i] == one_loss);
        CHECK(positions[i].missed() == 0);
    }
    for (const connection_change each : one_loss)
        CHECK(w.next_event().change == each);
}

TEST_CASE("A listener that starts late begins with the oldest event that is kept") {
    listeners_fixture w;
    event_position early;
    event_position late;
    const auto waiting = awaits_event_at(w.client, early);
    w.run_with_one_loss();
    CHECK(waiting.result().change == connection_change::connecting);
    CHECK(w.rest(early) == changes(one_loss.begin() + 1, one_loss.end()));
    CHECK(w.rest(late) == one_loss);
    CHECK(late.missed() == 0);
    CHECK(w.rest(late).empty());
}

TEST_CASE("Events that were read before the first position was used are not kept, and later ones are") {
    listeners_fixture w;
    w.connect();
    CHECK(w.next_event().change == connection_change::connecting);
    event_position position;
    CHECK(w.rest(position) == changes{connection_change::connected});
    CHECK(w.next_event().change == connection_change::connected);
    w.client.cancel();
    CHECK(w.next_event().change == connection_change::disconnected);
    CHECK(w.rest(position) == changes{connection_change::disconnected, connection_change::stopped});
    event_position another;
    CHECK(w.rest(another) ==
          changes{connection_change::connected, connection_change::disconnected, connection_change::stopped});
}

TEST_CASE("A slow listener learns how many events it missed, and a fast one misses none") {
    listeners_fixture w;
    event_position fast;
    event_position slow;
    changes all;
    w.start(fast, all);
    const auto first = awaits_event_at(w.client, slow);
    w.fail_attempts(100);
    CHECK(first.result().change == connection_change::connecting);
    CHECK(all.size() > 200);
    CHECK(fast.missed() == 0);
    const changes rest = w.rest(slow);
    REQUIRE(rest.size() == 64);
    CHECK(std::equal(rest.begin(), rest.end(), all.end() - 64));
    CHECK(slow.missed() == all.size() - 64 - 1);
    const event_position fresh;
    CHECK(fresh.missed() == 0);
}

TEST_CASE("A cancelled wait does not advance its position, and does not affect other listeners") {
    listeners_fixture w;
    event_position one;
    event_position two;
    cancellable<connection_event> cancelled;
    w.client.async_next_event(one, cancelled.handler());
    const auto other = awaits_event_at(w.client, two);
    if (GENERATE(false, true)) {
        w.run_with_one_loss(); // the operation has its event
        CHECK(cancelled.result.result().change == connection_change::connecting);
        cancellable<connection_event> ready;
        w.client.async_next_event(one, ready.handler());
        ready.cancel();
        w.net.run_ready();
        CHECK(ready.result.error() == aborted);
        CHECK(w.rest(one) == changes(one_loss.begin() + 1, one_loss.end()));
    } else {
        cancelled.cancel();
        w.run_with_one_loss();
        CHECK(cancelled.result.error() == aborted);
        CHECK(w.rest(one) == one_loss);
    }
    CHECK(other.result().change == connection_change::connecting);
    CHECK(w.rest(two) == changes(one_loss.begin() + 1, one_loss.end()));
}

TEST_CASE("Several operations at one position complete in their order, each with another event") {
    listeners_fixture w;
    event_position position;
    std::vector<cancellable<connection_event>> operations(3);
    const bool before = GENERATE(false, true);
    if (!before) w.run_with_one_loss();
    for (auto& op : operations)
        w.client.async_next_event(position, op.handler());
    operations[1].cancel();
    if (before) w.run_with_one_loss();
    w.net.run_ready();
    CHECK(operations[0].result.result().change == connection_change::connecting);
    CHECK(operations[1].result.error() == aborted);
    CHECK(operations[2].result.result().change == connection_change::connected);
    CHECK(w.rest(position) == changes(one_loss.begin() + 2, one_loss.end()));
}

TEST_CASE("The handler of a listener can cancel the operation of another one that has its event already") {
    listeners_fixture w;
    w.run_with_one_loss();
    event_position one;
    event_position two;
    cancellable<connection_event> other;
    w.client.async_next_event(one, [&](std::error_code error, const connection_event& e) {
        CHECK(error == std::error_code{});
        CHECK(e.change == connection_change::connecting);
        other.cancel();
    });
    w.client.async_next_event(two, other.handler());
    w.net.run_ready();
    CHECK(other.result.error() == aborted);
    CHECK(w.rest(two) == one_loss);
}

TEST_CASE("A copy of a position continues independently where the original is, without its operations") {
    listeners_fixture w;
    w.run_with_one_loss();
    event_position position;
    const auto first = awaits_event_at(w.client, position);
    event_position copy = position; // the event is reserved, but not read
    CHECK(w.wait(first) == std::error_code{});
    CHECK(w.rest(copy) == one_loss);
    copy = position;
    CHECK(w.rest(copy) == w.rest(position));
}

TEST_CASE("A position that is used with another client begins again there, also if that client has the same address") {
    std::optional<listeners_fixture> first(std::in_place);
    event_position position;
    const auto waiting = awaits_event_at(first->client, position);
    first->fail_attempts(100);
    CHECK(first->rest(position).size() == 64);
    CHECK(position.missed() != 0);
    first.reset();
    listeners_fixture second;
    second.run_with_one_loss();
    CHECK(second.rest(position) == one_loss);
    CHECK(position.missed() == 0);
}

TEST_CASE("A position stays valid when its client is moved") {
    listeners_fixture w;
    event_position position;
    const auto waiting = awaits_event_at(w.client, position);
    network_client moved = std::move(w.client);
    w.client = std::move(moved);
    w.run_with_one_loss();
    CHECK(waiting.result().change == connection_change::connecting);
    CHECK(w.rest(position) == changes(one_loss.begin() + 1, one_loss.end()));
}

TEST_CASE("Operations of several listeners complete when the client is cancelled or destroyed, also while it waits to "
          "reconnect") {
    listeners_fixture w;
    std::optional<network_client> client(std::move(w.client));
    w.server.connected_as(*client, w.lasting());
    w.net.forget("localhost");
    w.cut();
    w.net.run_for(1s);
    auto positions = std::make_unique<std::array<event_position, 3>>();
    std::vector<answer<connection_event>> ready;
    std::vector<answer<connection_event>> waiting;
    for (event_position& each : *positions) {
        for (;;) {
            const auto next = awaits_event_at(*client, each);
            w.net.run_ready();
            if (!next.called()) {
                waiting.push_back(next);
                break;
            }
        }
    }
    if (GENERATE(false, true)) {
        client->cancel();
    } else {
        event_position fresh;
        for (int i = 0; i != 2; ++i)
            ready.push_back(awaits_event_at(*client, fresh));
        client.reset();
        fresh = event_position();
        positions.reset(); // the operations no longer need them
    }
    w.net.run_ready();
    for (const auto& each : waiting)
        CHECK(each.error() == aborted);
    for (const auto& each : ready)
        CHECK(each.error() == std::error_code{});
    if (!ready.empty()) CHECK(ready[1].result().change == connection_change::connected);
}

TEST_CASE("The handler of a listener may destroy the client") {
    listeners_fixture w;
    std::optional<network_client> client(std::move(w.client));
    event_position one;
    event_position two;
    client->async_next_event(one, [&](std::error_code error, const connection_event&) {
        CHECK(error == std::error_code{});
        client.reset();
    });
    const auto second = awaits_event_at(*client, two);
    const auto third = awaits_event_at(*client, two);
    client->async_connect(w.lasting(), [](std::error_code, const connect_result&) {});
    w.net.run_ready();
    CHECK_FALSE(client);
    CHECK(second.error() == std::error_code{}); // it had its event
    CHECK(third.error() == aborted);
}

} // namespace event_position_tests
