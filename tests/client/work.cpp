// How long a client keeps its context busy: when `io_context::run` returns.
#include "network_test.hpp"

#include <optional>

namespace work_tests {

// A client whose context has no other work: the broker is in another context.
struct alone {
    asio::io_context io;
    asio::io_context other;
    tern::testing::network net{other};
    tern::testing::broker server{other.get_executor()};
    std::optional<test_client> client{probe(io.get_executor(), net)};

    alone() {
        net.listen("localhost", server);
        bool connected = false;
        client->async_connect({.client_id = "c"}, [&](std::error_code, const connect_result&) { connected = true; });
        while (!connected)
            poll();
        for (int i = 0; i != 100; ++i)
            poll();
    }

    void poll() {
        io.poll();
        other.poll();
    }

    // Waits until `run` would return.
    bool run_returns() {
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (!io.stopped() && std::chrono::steady_clock::now() < deadline)
            poll();
        return io.stopped();
    }
};

TEST_CASE("A context has work until its client is disconnected, cancelled or destroyed") {
    alone w;
    std::error_code received;
    w.client->async_receive([&](std::error_code error, const message&) { received = error; });
    w.poll();
    CHECK_FALSE(w.io.stopped());
    SECTION("disconnected") {
        w.client->async_disconnect([](std::error_code error) { CHECK(error == std::error_code{}); });
        CHECK(w.run_returns());
        CHECK(received == errc::disconnected);
    }
    SECTION("cancelled") {
        w.client->cancel();
        CHECK(w.run_returns());
        CHECK(received == asio::error::operation_aborted);
    }
    SECTION("destroyed") {
        w.client.reset();
        CHECK(received == std::error_code{}); // not inside the destructor
        CHECK(w.run_returns());
        CHECK(received == asio::error::operation_aborted);
    }
}

TEST_CASE("An operation that waits for the events of the next run keeps its context busy") {
    alone w;
    int events = 0;
    w.client->cancel();
    const auto next = [&w, &events](const auto& self) -> void {
        w.client->async_next_event([&, self](std::error_code error, const connection_event&) {
            if (error) return;
            ++events;
            self(self);
        });
    };
    next(next);
    for (int i = 0; i != 100; ++i)
        w.poll();
    CHECK(events > 0);
    CHECK_FALSE(w.io.stopped());
    w.client.reset();
    CHECK(w.run_returns());
}

} // namespace work_tests
