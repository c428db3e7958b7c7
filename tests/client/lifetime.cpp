// The client, its context and its handlers are destroyed in every order.
#include "scripted_broker.hpp"

#include <type_traits>

namespace {

// The states in which a client can be destroyed.
enum class waiting_for {
    nothing,
    transport,
    connack,
    puback,
    pubcomp,
    suback,
    unsuback,
    pingresp,
    message,
    disconnect,
    everything
};

constexpr std::array every_wait{waiting_for::nothing,    waiting_for::transport, waiting_for::connack,
                                waiting_for::puback,     waiting_for::pubcomp,   waiting_for::suback,
                                waiting_for::unsuback,   waiting_for::pingresp,  waiting_for::message,
                                waiting_for::disconnect, waiting_for::everything};

// Brings the client to the state, and starts operations with copies of `handler`. Returns the number of them.
template <class Handler>
int bring(scripted_broker_fixture& w, test_client& client, waiting_for what, Handler handler) {
    if (what == waiting_for::nothing) return 0;
    if (what == waiting_for::transport || what == waiting_for::connack) {
        w.counts->opening_hangs = what == waiting_for::transport;
        client.async_connect({.client_id = "c"}, handler);
        if (what == waiting_for::connack) w.server.expect<tern::connect>();
        return 1;
    }
    w.server.connected(client);
    const bool all = what == waiting_for::everything;
    int count = 0;
    if (all || what == waiting_for::puback)
        ++count, client.async_publish({.topic = "t", .qos = qos::at_least_once}, handler);
    if (all || what == waiting_for::pubcomp) {
        ++count, client.async_publish({.topic = "t", .qos = qos::exactly_once}, handler);
        if (!all) w.server.send(pubrec{.packet_id = w.server.expect<publish>().packet_id});
    }
    if (all || what == waiting_for::suback) ++count, client.async_subscribe({.filter = "t"}, handler);
    if (all || what == waiting_for::unsuback) ++count, client.async_unsubscribe("t", handler);
    if (all || what == waiting_for::pingresp) ++count, client.async_ping(handler);
    if (all || what == waiting_for::message) ++count, client.async_receive(handler);
    settle(w.io);
    if (what == waiting_for::disconnect) ++count, client.async_disconnect(handler);
    return count;
}

TEST_CASE("A client can be destroyed in every state") {
    for (const waiting_for what : every_wait) {
        for (const bool settled : {false, true}) {
            INFO("waiting for " << static_cast<int>(what) << (settled ? ", settled" : ""));
            scripted_broker_fixture w;
            std::optional<test_client> client(std::in_place, probe(w.io.get_executor(), w.net, w.counts));
            std::vector<std::error_code> errors;
            bool in_destructor = false;
            const int count = bring(w, *client, what, [&](std::error_code error, const auto&...) {
                CHECK_FALSE(in_destructor);
                errors.push_back(error);
            });
            if (settled && what != waiting_for::disconnect) settle(w.io);
            in_destructor = true;
            client.reset();
            in_destructor = false;
            CHECK(errors.empty());
            settle(w.io);
            CHECK(errors.size() == static_cast<std::size_t>(count));
            for (const std::error_code error : errors)
                CHECK(error == asio::error::operation_aborted);
        }
    }
}

TEST_CASE("A client can be destroyed by a handler") {
    for (const waiting_for what : every_wait) {
        INFO("waiting for " << static_cast<int>(what));
        scripted_broker_fixture w;
        auto client = std::make_unique<test_client>(probe(w.io.get_executor(), w.net, w.counts));
        int calls = 0;
        const int count = bring(w, *client, what, [&](std::error_code, const auto&...) {
            ++calls;
            client.reset();
        });
        if (count == 0) continue;
        if (what == waiting_for::transport) settle(w.io);
        w.counts->opening_hangs = false;
        if (w.counts->hanging) {
            std::exchange(w.counts->hanging, nullptr)(asio::error::host_unreachable);
        } else {
            w.server.close();
        }
        settle(w.io);
        CHECK(calls == count);
    }
}

TEST_CASE("A handler may own the client") {
    broker_fixture w;
    auto client = std::make_shared<test_client>(probe(w.io.get_executor(), w.net));
    const std::weak_ptr<test_client> seen = client;
    REQUIRE(wait(w.io, connects(*client)) == std::error_code{});
    SECTION("and destroy it when it is called") {
        client->async_publish({.topic = "t"}, [client](std::error_code, const auto&) {});
        client.reset();
        CHECK(run_until(w.io, [&] { return seen.expired(); }));
    }
    SECTION("and be destroyed with the context") {
        client->async_receive([client](std::error_code, const auto&) { FAIL("called"); });
        client.reset();
        settle(w.io);
        CHECK_FALSE(seen.expired());
    }
}

// ---- the context ends first

// A coroutine that owns its client and waits. The context must free its frame.
asio::awaitable<void> own_and_wait(tern::testing::network& net, waiting_for what, std::shared_ptr<int> alive) {
    test_client client{probe(co_await asio::this_coro::executor, net)};
    co_await client.async_connect({.client_id = "c"}, asio::use_awaitable);
    if (what == waiting_for::puback)
        co_await client.async_publish({.topic = "t", .qos = qos::at_least_once}, asio::use_awaitable);
    if (what == waiting_for::pingresp) co_await client.async_ping(asio::use_awaitable);
    co_await client.async_receive(asio::use_awaitable);
    ++*alive;
}

TEST_CASE("A context can be destroyed while coroutines that own their clients wait") {
    for (const waiting_for what :
         {waiting_for::connack, waiting_for::puback, waiting_for::pingresp, waiting_for::message}) {
        for (const bool settled : {false, true}) {
            const auto alive = std::make_shared<int>(0);
            {
                scripted_broker_fixture w;
                for (int i = 0; i != 3; ++i)
                    asio::co_spawn(w.io, own_and_wait(w.net, what, alive), asio::detached);
                w.io.poll_one(); // at most one of them has started
                if (settled) settle(w.io);
                if (what != waiting_for::connack && settled) {
                    w.server.expect<tern::connect>();
                    w.server.send(connack{});
                    settle(w.io);
                }
                CHECK(alive.use_count() == 4);
            }
            CHECK(alive.use_count() == 1);
            CHECK(*alive == 0);
        }
    }
}

TEST_CASE("A context can be destroyed with every operation outstanding") {
    for (const waiting_for what : every_wait) {
        const auto alive = std::make_shared<int>(0);
        std::shared_ptr<test_client> client;
        {
            scripted_broker_fixture w;
            client = std::make_shared<test_client>(probe(w.io.get_executor(), w.net, w.counts));
            bring(w, *client, what, [alive, client](std::error_code, const auto&...) {});
            client.reset();
        }
        CHECK(alive.use_count() == 1);
    }
}

TEST_CASE("A context can be stopped between handlers and restarted") {
    broker_fixture w;
    w.connect();
    int calls = 0;
    for (int i = 0; i != 3; ++i)
        w.client.async_publish({.topic = "t", .qos = qos::exactly_once}, [&](std::error_code error, const auto&) {
            CHECK(error == std::error_code{});
            ++calls;
            w.io.stop();
        });
    while (calls != 3) {
        w.io.restart();
        w.io.run();
    }
    CHECK(wait(w.io, disconnects(w.client)) == std::error_code{});
    works(w.io, w.client, {.client_id = "other"});
}

TEST_CASE("A stopped context can be destroyed") {
    for (int turns = 0; turns != 30; ++turns) {
        const auto alive = std::make_shared<int>(0);
        {
            broker_fixture w;
            w.connect();
            for (int i = 0; i != 3; ++i)
                w.client.async_publish({.topic = "t", .qos = qos::exactly_once},
                                       [alive](std::error_code, const auto&) {});
            for (int i = 0; i != turns; ++i)
                w.io.poll_one();
            w.io.stop();
        }
        CHECK(alive.use_count() == 1);
    }
}

TEST_CASE("The client leaves no work after a disconnect") {
    asio::io_context io;
    asio::io_context other; // it runs the broker, so that only the client has work on `io`
    tern::testing::network net{other};
    tern::testing::broker server{other.get_executor()};
    net.listen("localhost", server);
    test_client client{probe(io.get_executor(), net)};
    bool done = false;
    client.async_connect({.client_id = "c"}, [&](std::error_code error, const auto&) {
        CHECK(error == std::error_code{});
        client.async_publish({.topic = "t", .qos = qos::exactly_once}, [&](std::error_code, const auto&) {
            client.async_disconnect([&](std::error_code e) {
                CHECK(e == std::error_code{});
                done = true;
            });
        });
    });
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!io.stopped() && std::chrono::steady_clock::now() < deadline) {
        io.poll();
        other.poll();
    }
    CHECK(io.stopped()); // no other work is left
    CHECK(done);
}

// ---- moving

static_assert(std::is_nothrow_move_constructible_v<tern::client>);
static_assert(std::is_nothrow_move_assignable_v<tern::client>);
static_assert(!std::is_copy_constructible_v<tern::client>);

TEST_CASE("A client can be moved while operations wait") {
    scripted_broker_fixture w;
    std::optional<test_client> first(std::in_place, probe(w.io.get_executor(), w.net));
    w.server.connected(*first);
    const auto pinged = pings(*first);
    test_client second = std::move(*first);
    first.reset();
    w.server.expect<pingreq>();
    w.server.send(pingresp{});
    CHECK(wait(w.io, pinged) == std::error_code{});
    CHECK(second.is_connected());

    test_client third{probe(w.io.get_executor(), w.net)};
    w.server.connected(third, {.client_id = "d"});
    const auto lost = pings(third);
    const auto kept = receives(second);
    third = std::move(second);
    CHECK(wait(w.io, lost) == asio::error::operation_aborted);
    CHECK_FALSE(kept.called());
    CHECK(third.is_connected());

    test_client& same = third;
    third = std::move(same);
    CHECK(third.is_connected());
}

} // namespace
