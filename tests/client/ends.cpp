// The ends of a run: drain, disconnect and cancel in every state, and the cancellation of single operations.
#include "network_test.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/experimental/awaitable_operators.hpp>

namespace {

using tern::testing::step;

// ---- every state

enum class stage { idle, preparing, resolving, connecting, handshake, connected, closing, waiting, over };
constexpr std::array every_stage{stage::idle,       stage::preparing, stage::resolving,
                                 stage::connecting, stage::handshake, stage::connected,
                                 stage::closing,    stage::waiting,   stage::over};

struct stage_fixture : virtual_time_fixture {
    explicit stage_fixture(stage s) {
        auto options = lasting();
        options.reconnect.first_delay = options.reconnect.longest_delay = 1h;
        switch (s) {
        case stage::idle: break;
        case stage::preparing:
            client.set_before_connect([this](connect_attempt a) { attempt.emplace(std::move(a)); });
            connecting = connects_as(client, options);
            break;
        case stage::resolving:
            net.hang(step::resolve, 1);
            connecting = connects_as(client, options);
            break;
        case stage::connecting:
            net.hang(step::connect, 1);
            connecting = connects_as(client, options);
            break;
        case stage::handshake:
            connecting = connects_as(client, options);
            server.expect<tern::connect>();
            break;
        case stage::connected: connect(options); break;
        case stage::closing:
            connect(options);
            unacknowledged = publishes(client, {.topic = "u", .qos = qos::at_least_once});
            net.run_ready();
            net.end_all(ending::stall); // so that the client's packets do not arrive
            disconnecting = disconnects(client);
            break;
        case stage::waiting:
            connect(options);
            net.forget("localhost");
            cut();
            CHECK(next_event(connection_change::retrying).delay > 1s);
            net.listen("localhost", [this](tern::testing::link stream) { server.accept(std::move(stream)); });
            break;
        case stage::over:
            connect(options);
            CHECK(wait(disconnects(client)) == std::error_code{});
            break;
        }
        net.run_ready();
    }

    std::optional<connect_attempt> attempt;
    std::optional<answer<connect_result>> connecting;
    std::optional<answer<>> disconnecting;
    std::optional<answer<acknowledgement>> unacknowledged;
};

bool accepts_publish(stage s) {
    return s != stage::closing && s != stage::over;
}

TEST_CASE("A client can be disconnected in every state, and connect again") {
    for (const stage s : every_stage) {
        INFO("stage " << static_cast<int>(s));
        stage_fixture w(s);
        const auto queued = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
        const auto first = disconnects(w.client);
        const auto second = disconnects(w.client);
        const auto begin = w.net.now();
        CHECK(w.wait(first) == std::error_code{});
        CHECK(w.wait(second) == std::error_code{});
        CHECK(w.net.now() - begin <= 1s);
        CHECK(w.wait(queued) == (s == stage::over ? errc::not_connected : errc::disconnected));
        if (w.connecting) CHECK(w.connecting->error() == errc::disconnected);
        if (w.disconnecting) CHECK(w.disconnecting->error() == std::error_code{});
        if (w.unacknowledged) CHECK(w.unacknowledged->error() == errc::disconnected);
        const int before = w.server.connections();
        w.net.run_for(3h);
        CHECK(w.server.connections() == before);
        w.client.set_before_connect({});
        w.connect();
        CHECK(w.client.is_connected());
    }
}

TEST_CASE("A client can be cancelled in every state, and connect again") {
    const std::error_code aborted = asio::error::operation_aborted;
    const auto is_cancelled = [&](const std::error_code& error) { // the second, if a byte of the message was written
        return error == aborted || error == outcome_unknown(errc::disconnected);
    };
    for (const stage s : every_stage) {
        INFO("stage " << static_cast<int>(s));
        stage_fixture w(s);
        std::optional<answer<acknowledgement>> queued;
        if (accepts_publish(s)) queued = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
        std::optional<answer<>> drained;
        if (accepts_publish(s)) drained = drains(w.client);
        std::optional<answer<received_message>> received;
        if (s != stage::idle && s != stage::over) received = receives(w.client);
        if (s == stage::connected) w.net.run_ready();
        const auto begin = w.net.now();
        w.client.cancel();
        w.client.cancel();
        w.net.run_ready();
        CHECK(w.net.now() == begin);
        CHECK_FALSE(w.client.is_connected());
        if (queued) CHECK(is_cancelled(queued->error()));
        if (drained) CHECK(drained->error() == aborted);
        if (received) CHECK(received->error() == aborted);
        if (w.connecting) CHECK(w.connecting->error() == aborted);
        if (w.disconnecting) CHECK(w.disconnecting->error() == aborted);
        if (w.unacknowledged) CHECK(is_cancelled(w.unacknowledged->error()));
        if (s == stage::connected) {
            w.server.expect<publish>();
            CHECK(w.server.sees_end());
            CHECK(w.server.is_silent()); // without DISCONNECT
        }
        const int before = w.server.connections();
        w.net.run_for(3h);
        CHECK(w.server.connections() == before);
        w.client.set_before_connect({});
        w.connect();
        CHECK(w.client.is_connected());
    }
}

TEST_CASE("A client can connect directly after cancel or disconnect, in every state") {
    const bool cancels = GENERATE(true, false);
    for (const stage s : every_stage) {
        INFO("stage " << static_cast<int>(s));
        stage_fixture w(s);
        w.client.set_before_connect({});
        w.server.forget();
        std::optional<answer<>> left;
        if (cancels)
            w.client.cancel();
        else
            left = disconnects(w.client);
        const auto again = connects_as(w.client, w.lasting());
        w.accepts_again(false);
        CHECK(w.wait(again) == std::error_code{});
        if (left) CHECK(left->error() == std::error_code{});
        if (w.connecting) CHECK(w.connecting->called());
        if (w.disconnecting) CHECK(w.disconnecting->called());
        CHECK(w.client.is_connected());
    }
}

TEST_CASE("After DISCONNECT the client shuts down its sending side, and the broker closes [v311:MQTT-3.14.4-1, "
          "v5:MQTT-3.14.4-1]") {
    virtual_time_fixture w;
    w.connect();
    const auto begin = w.net.now();
    const auto a = disconnects(w.client);
    w.server.expect<tern::disconnect>();
    CHECK(w.server.sees_end());
    CHECK(w.net.now() == begin); // the client does not close yet, because the broker may have sent something
    CHECK_FALSE(a.called());
    w.server.close();
    CHECK(w.wait(a) == std::error_code{});
    CHECK(w.net.now() == begin);
}

TEST_CASE("After a disconnect, counters say how many messages were not sent, and whether DISCONNECT was") {
    virtual_time_fixture w;
    const auto counted = [&](std::uint64_t unsent, std::uint64_t disconnects) {
        CHECK(w.client.counters().messages_unsent == unsent);
        CHECK(w.client.counters().disconnects_sent == disconnects);
    };
    const auto publish_three = [&] {
        for (const qos q : {qos::at_most_once, qos::at_least_once, qos::exactly_once})
            CHECK(w.client.try_publish({.topic = "t", .qos = q}) == std::error_code{});
    };
    auto options = w.lasting();
    options.max_in_flight = 1;
    publish_three(); // without a connection
    CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    counted(3, 0);
    w.connect(options);
    publish_three(); // the QoS 2 message waits for the window
    CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    counted(4, 1);
    SECTION("the client is cancelled") {
        w.connect(options);
        publish_three();
        w.client.cancel();
        w.net.run_ready();
        CHECK(w.client.counters().messages_unsent > 4);
        CHECK(w.client.counters().disconnects_sent == 1);
    }
    SECTION("the client is cancelled when DISCONNECT is written") {
        w.connect(options);
        const auto left = disconnects(w.client);
        w.server.expect<tern::disconnect>();
        w.client.cancel();
        w.net.run_ready();
        counted(4, 2);
    }
}

TEST_CASE("Cancel completes the operations that wait for an event") {
    virtual_time_fixture w;
    const auto a = awaits_event(w.client);
    const auto b = awaits_event(w.client);
    w.client.cancel();
    CHECK(w.wait(a) == asio::error::operation_aborted);
    CHECK(w.wait(b) == asio::error::operation_aborted);
}

TEST_CASE("The handler of a cancelled operation can connect again") {
    virtual_time_fixture w;
    w.connect();
    answer<connect_result> again;
    w.client.async_receive([&](std::error_code error, const auto&) {
        CHECK(error == asio::error::operation_aborted);
        w.client.async_connect(w.lasting(), again.handler());
    });
    w.server.forget();
    w.client.cancel();
    w.accepts_again();
    CHECK(w.wait(again) == std::error_code{});
}

// ---- drain

TEST_CASE("Drain waits for the end of every publish") {
    virtual_time_fixture w;
    CHECK(w.wait(drains(w.client)) == std::error_code{});
    w.connect();
    const auto a = publishes(w.client, {.topic = "a", .qos = qos::at_least_once});
    CHECK(w.client.try_publish({.topic = "b", .qos = qos::exactly_once}) == std::error_code{});
    const auto drained = drains(w.client);
    const auto late = drains(w.client, 5s);
    const packet_id first = w.server.expect<publish>().packet_id;
    const packet_id second = w.server.expect<publish>().packet_id;
    w.server.send(puback{.packet_id = first});
    const auto begin = w.net.now();
    CHECK(w.wait(late) == misuse(errc::drain_timeout));
    CHECK(w.net.now() - begin == 5s);
    CHECK(a.called());
    CHECK_FALSE(drained.called());
    w.cut();
    w.accepts_again();
    w.server.expect<publish>();
    w.server.send(pubrec{.packet_id = second});
    w.server.expect<pubrel>();
    CHECK_FALSE(drained.called());
    w.server.send(pubcomp{.packet_id = second});
    CHECK(w.wait(drained) == std::error_code{});
    CHECK(w.wait(drains(w.client, -1ms)) == misuse(errc::invalid_argument));
    CHECK(w.wait(drains(w.client, std::chrono::years(2))) == misuse(errc::invalid_argument));
}

TEST_CASE("Drain times out also without a connection") {
    virtual_time_fixture w;
    CHECK(w.client.try_publish({.topic = "t"}) == std::error_code{});
    CHECK(w.wait(drains(w.client, 5s)) == misuse(errc::drain_timeout));
    const auto drained = drains(w.client, 1min);
    w.connect();
    CHECK(w.wait(drained) == std::error_code{});
}

TEST_CASE("Drain and disconnect lose no message") {
    virtual_time_fixture w;
    w.connect();
    for (int i = 0; i != 100; ++i)
        CHECK(w.client.try_publish({.topic = "t", .qos = qos::at_least_once}) == std::error_code{});
    const auto drained = drains(w.client);
    for (int i = 0; i != 100; ++i)
        w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
    CHECK(w.wait(drained) == std::error_code{});
    const auto a = disconnects(w.client);
    w.server.expect<disconnect>();
    CHECK(w.wait(a) == std::error_code{});
}

// ---- single operations

TEST_CASE("A cancelled publish that was not sent is never sent") {
    virtual_time_fixture w;
    const bool offline = GENERATE(true, false);
    const auto q = offline ? GENERATE(qos::at_most_once, qos::at_least_once) : qos::exactly_once;
    auto options = w.lasting();
    options.max_in_flight = 1;
    std::optional<answer<acknowledgement>> before;
    if (!offline) {
        w.connect(options);
        before = publishes(w.client, {.topic = "before", .qos = qos::at_least_once});
    }
    cancellable<acknowledgement> a;
    w.client.async_publish({.topic = "t", .qos = q}, a.handler());
    const auto after = publishes(w.client, {.topic = "after", .qos = qos::at_least_once});
    w.net.run_ready();
    CHECK(w.client.counters().queued == 2);
    a.cancel();
    CHECK(w.wait(a.result) == asio::error::operation_aborted);
    CHECK(w.client.counters().queued == 1);
    if (offline) w.connect(options);
    if (before) w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
    const auto sent = w.server.expect<publish>();
    CHECK(sent.message.topic == "after");
    w.server.send(puback{.packet_id = sent.packet_id});
    CHECK(w.wait(after) == std::error_code{});
    if (before) CHECK(before->error() == std::error_code{});
    CHECK(w.wait(drains(w.client)) == std::error_code{});
    CHECK(a.result.calls() == 1);
}

TEST_CASE("A cancelled publish that was sent continues without its handler, and its identifier stays in use") {
    virtual_time_fixture w;
    w.connect();
    cancellable<acknowledgement> a;
    w.client.async_publish({.topic = "t", .qos = qos::exactly_once}, a.handler());
    const packet_id id = w.server.expect<publish>().packet_id;
    a.cancel();
    CHECK(w.wait(a.result) == asio::error::operation_aborted);
    CHECK(w.client.counters().in_flight == 1);
    const auto drained = drains(w.client);
    w.cut();
    w.accepts_again();
    const auto again = w.server.expect<publish>();
    CHECK(again.dup);
    CHECK(again.packet_id == id);
    const auto other = publishes(w.client, {.topic = "u", .qos = qos::at_least_once});
    const packet_id other_id = w.server.expect<publish>().packet_id;
    CHECK(other_id != id);
    w.server.send(puback{.packet_id = other_id}, pubrec{.packet_id = id});
    CHECK(w.server.expect<pubrel>().packet_id == id);
    CHECK_FALSE(drained.called());
    w.server.send(pubcomp{.packet_id = id});
    CHECK(w.wait(drained) == std::error_code{});
    CHECK(other.error() == std::error_code{});
    CHECK(a.result.calls() == 1);
}

TEST_CASE("A publish that races a timer works, connected or not") {
    using namespace asio::experimental::awaitable_operators;
    virtual_time_fixture w;
    const bool offline = GENERATE(true, false);
    if (!offline) w.connect();
    bool ended = false;
    asio::co_spawn(
        w.net.get_executor(),
        [&]() -> asio::awaitable<void> {
            tern::testing::virtual_timer timer(w.net.get_executor(), w.net.clock());
            timer.expires_after(1s);
            const auto result =
                co_await (w.client.async_publish({.topic = "t", .qos = qos::at_least_once}, asio::use_awaitable) ||
                          timer.async_wait(asio::use_awaitable));
            CHECK(result.index() == 1);
            ended = true;
        },
        asio::detached);
    CHECK(w.runs_until([&] { return ended; }));
    if (offline) w.connect();
    if (!offline) w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
    const auto a = publishes(w.client, {.topic = "u", .qos = qos::at_least_once});
    const auto sent = w.server.expect<publish>();
    CHECK(sent.message.topic == "u");
    w.server.send(puback{.packet_id = sent.packet_id});
    CHECK(w.wait(a) == std::error_code{});
}

TEST_CASE("Requests that are cancelled while there is no connection are never sent") {
    virtual_time_fixture w;
    w.connect();
    w.net.forget("localhost");
    w.cut();
    w.next_event(connection_change::retrying);
    cancellable<acknowledgement> subscribed;
    w.client.async_subscribe({.filter = "t"}, subscribed.handler());
    cancellable<> drained;
    CHECK(w.client.try_publish({.topic = "t"}) == std::error_code{});
    w.client.async_drain(0ms, drained.handler());
    cancellable<connection_event> event;
    while (w.next_event().change != connection_change::retrying) {
    }
    w.client.async_next_event(event.handler());
    subscribed.cancel();
    drained.cancel();
    event.cancel();
    CHECK(w.wait(subscribed.result) == asio::error::operation_aborted);
    CHECK(w.wait(drained.result) == asio::error::operation_aborted);
    CHECK(w.wait(event.result) == asio::error::operation_aborted);
    w.net.listen("localhost", [&](tern::testing::link stream) { w.server.accept(std::move(stream)); });
    w.accepts_again();
    w.server.expect<publish>();
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    CHECK(subscribed.result.calls() == 1);
}

TEST_CASE("A cancelled connect stops reconnecting too") {
    virtual_time_fixture w;
    w.net.forget("localhost");
    auto options = w.lasting();
    options.reconnect.retry_first = true;
    cancellable<connect_result> a;
    w.client.async_connect(options, a.handler());
    w.net.run_for(10min);
    CHECK_FALSE(a.result.called());
    a.cancel();
    CHECK(w.wait(a.result) == asio::error::operation_aborted);
    CHECK(w.next_event(connection_change::stopped).error == asio::error::operation_aborted);
}

// ---- work

TEST_CASE("The client has outstanding work from connect to the end, even while it only waits for the application") {
    virtual_time_fixture w;
    asio::io_context& context = w.net.context();
    CHECK(context.poll() == 0);
    CHECK(context.stopped());
    context.restart();
    std::optional<connect_attempt> kept;
    w.client.set_before_connect([&](connect_attempt attempt) { kept.emplace(std::move(attempt)); });
    const auto a = connects_as(w.client, w.lasting());
    while (context.poll() != 0) {
    }
    CHECK(kept);
    CHECK_FALSE(context.stopped()); // the application holds the attempt, and may let it proceed
    w.client.cancel();
    while (context.poll() != 0) {
    }
    CHECK(a.error() == asio::error::operation_aborted);
    CHECK(context.stopped());
}

TEST_CASE("A failed connect does not show the CONNACK of another attempt") {
    virtual_time_fixture w;
    w.net.refuse("second.test");
    const std::array more{endpoint{"second.test"}};
    auto options = w.lasting();
    options.more_endpoints = more;
    const auto a = connects_as(w.client, options);
    w.server.accepts({.reason_code = reason_code::server_unavailable});
    CHECK(w.wait(a) == asio::error::connection_refused);
    CHECK(a.result().reason_code == reason_code::success);
}

} // namespace
