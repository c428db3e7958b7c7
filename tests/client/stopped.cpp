// Waiting for the end of the run, in every state.
#include "network_test.hpp"

#include <optional>
#include <string>

namespace stopped_tests {

const std::error_code aborted = asio::error::operation_aborted;
const std::error_code success;

template <class Client>
answer<> awaits_stopped(Client& client) {
    answer<> a;
    client.async_wait_stopped(a.handler());
    CHECK_FALSE(a.called());
    return a;
}

enum class state { connecting, retrying_first, connected, reconnecting };

// A client in one of the states of a run.
struct run_fixture : virtual_time_fixture {
    void enter(state s) {
        auto options = lasting();
        options.reconnect.retry_first = true;
        switch (s) {
        case state::connecting: connecting = connects_as(client, options); break;
        case state::retrying_first:
            net.forget("localhost");
            connecting = connects_as(client, options);
            net.run_for(3s);
            break;
        case state::connected: connect(options); break;
        case state::reconnecting:
            connect(options);
            net.forget("localhost");
            cut();
            net.run_for(3s);
            break;
        }
    }

    std::optional<answer<connect_result>> connecting;
};

TEST_CASE("Without a run, waiting for the end completes at once") {
    virtual_time_fixture w;
    const auto never_connected = awaits_stopped(w.client);
    w.net.run_ready();
    CHECK(never_connected.error() == success);
    w.connect();
    CHECK(w.wait(disconnects(w.client)) == success);
    const auto stopped = awaits_stopped(w.client);
    w.net.run_ready();
    CHECK(stopped.error() == success);
}

TEST_CASE("After async_disconnect or cancel, waiting for the end completes without an error, in every state") {
    run_fixture w;
    w.enter(GENERATE(state::connecting, state::retrying_first, state::connected, state::reconnecting));
    const bool disconnects_client = GENERATE(false, true);
    const auto first = awaits_stopped(w.client);
    const auto second = awaits_stopped(w.client);
    w.net.run_ready();
    CHECK_FALSE(first.called());
    if (disconnects_client) {
        w.client.async_disconnect([](std::error_code) {});
    } else {
        w.client.cancel();
    }
    const auto stopping = awaits_stopped(w.client);
    CHECK(w.wait(stopping) == success);
    CHECK(first.error() == success);
    CHECK(second.error() == success);
    CHECK_FALSE(w.client.is_connected());
    const auto stopped = awaits_stopped(w.client);
    w.net.run_ready();
    CHECK(stopped.error() == success);
}

TEST_CASE("A permanent refusal is the cause of the end, also for a wait that starts later") {
    virtual_time_fixture w;
    const auto a = connects_as(w.client, w.lasting());
    const auto during = awaits_stopped(w.client);
    w.server.expect<tern::connect>();
    w.server.send(connack{.reason_code = reason_code::banned});
    CHECK(w.wait(a) == reason_code::banned);
    CHECK(w.wait(during) == reason_code::banned);
    CHECK(w.wait(awaits_stopped(w.client)) == reason_code::banned);
    w.connect(); // the next run
    const auto next = awaits_stopped(w.client);
    w.client.cancel();
    CHECK(w.wait(next) == success);
}

TEST_CASE("The end after max_rounds has the last failure as its cause") {
    run_fixture w;
    w.net.forget("localhost");
    auto options = w.lasting();
    options.reconnect.retry_first = true;
    options.reconnect.max_rounds = 3;
    const auto a = connects_as(w.client, options);
    const auto stopped = awaits_stopped(w.client);
    const std::error_code cause = w.wait(a);
    CHECK(cause);
    CHECK(w.wait(stopped) == cause);
}

TEST_CASE("A lost connection is the cause of the end if the client does not reconnect") {
    virtual_time_fixture w;
    w.server.connected(w.client);
    const auto stopped = awaits_stopped(w.client);
    w.cut();
    CHECK(w.wait(stopped) == asio::error::connection_reset);
}

TEST_CASE("Each wait for the end can be cancelled separately") {
    run_fixture w;
    w.enter(GENERATE(state::connecting, state::connected));
    cancellable<> cancelled;
    w.client.async_wait_stopped(cancelled.handler());
    const auto other = awaits_stopped(w.client);
    cancelled.cancel();
    w.net.run_ready();
    CHECK(cancelled.result.error() == aborted);
    CHECK_FALSE(other.called());
    w.client.cancel();
    CHECK(w.wait(other) == success);
}

TEST_CASE("Destroying the client aborts the waits for its end") {
    run_fixture w;
    w.enter(state::reconnecting);
    std::optional<network_client> client(std::move(w.client));
    const auto stopped = awaits_stopped(*client);
    client.reset();
    CHECK(w.wait(stopped) == aborted);
}

TEST_CASE("A wait ends with the run that is ending, not with the next one") {
    run_fixture w;
    w.connect();
    w.server.forget();
    w.client.cancel();
    const auto again = connects_as(w.client, w.lasting());
    const auto stopped = awaits_stopped(w.client);
    w.accepts_again();
    CHECK(w.wait(again) == success);
    CHECK(stopped.error() == success);
    CHECK(w.client.is_connected());
}

TEST_CASE("When the wait for the end completes, the client can connect again") {
    virtual_time_fixture w;
    w.connect();
    std::optional<answer<connect_result>> again;
    w.client.async_wait_stopped([&](std::error_code error) {
        CHECK(error == success);
        again = connects_as(w.client, w.lasting());
    });
    w.server.forget();
    w.client.cancel();
    w.accepts_again();
    REQUIRE(again);
    CHECK(w.wait(*again) == success);
}

} // namespace stopped_tests
