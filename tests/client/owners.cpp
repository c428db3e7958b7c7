// The functions of the application inside a client: their owners, and replacing them while they run. Cancellation that
// does nothing, that is followed by other calls, and in large numbers.
#include "network_test.hpp"

namespace {

enum class place { message_callback, before_connect, packet_tap };

// Sets a function that owns an object.
template <class Client, class Owner>
void set_owner(Client& client, place where, Owner owner) {
    switch (where) {
    case place::message_callback: return client.set_message_callback([owner](const received&) {});
    case place::before_connect:
        return client.set_before_connect([owner](connect_attempt attempt) { attempt.proceed(); });
    case place::packet_tap: return client.set_packet_tap([owner](packet_direction, const any_packet&) {});
    }
}

TEST_CASE("A function that owns its client is destroyed with the context") {
    const auto where = GENERATE(place::message_callback, place::before_connect, place::packet_tap);
    const bool connected = GENERATE(false, true);
    std::weak_ptr<test_client> seen;
    {
        broker_fixture w;
        const auto client = std::make_shared<test_client>(probe(w.io.get_executor(), w.net));
        seen = client;
        set_owner(*client, where, client);
        if (connected) REQUIRE(wait(w.io, connects(*client)) == std::error_code{});
    }
    CHECK(seen.expired());
}

TEST_CASE("A client that is destroyed releases what its functions own, though its operations are outstanding") {
    const auto where = GENERATE(place::message_callback, place::before_connect, place::packet_tap);
    broker_fixture w;
    auto client = std::make_unique<test_client>(probe(w.io.get_executor(), w.net));
    const auto owned = std::make_shared<int>(0);
    set_owner(*client, where, owned);
    REQUIRE(wait(w.io, connects(*client)) == std::error_code{});
    client->async_receive([](std::error_code, const received_message&) {});
    client.reset();
    CHECK(owned.use_count() == 1);
    settle(w.io);
}

TEST_CASE("A before-connect hook may set another one, and destroy the client") {
    broker_fixture w;
    auto client = std::make_unique<test_client>(probe(w.io.get_executor(), w.net));
    int first = 0;
    int second = 0;
    client->set_before_connect([&, owned = std::make_shared<int>(7)](connect_attempt attempt) {
        ++first;
        client->set_before_connect([&](connect_attempt next) {
            ++second;
            client.reset();
            next.proceed();
        });
        CHECK(*owned == 7);
        attempt.fail(asio::error::host_unreachable);
    });
    const auto a = connects_as(*client, {.client_id = "c", .reconnect = {.retry_first = true, .first_delay = 1ms}});
    CHECK(wait(w.io, a) == asio::error::operation_aborted);
    CHECK(first == 1);
    CHECK(second == 1);
    settle(w.io);
}

TEST_CASE("A packet tap may set another one, and is then not called again") {
    virtual_time_fixture w;
    int first = 0;
    std::vector<packet_type> second;
    const bool destroys = GENERATE(false, true);
    auto client = std::make_unique<network_client>(std::move(w.client));
    client->set_packet_tap([&, owned = std::make_shared<int>(7)](packet_direction direction, const any_packet& packet) {
        if (direction == packet_direction::sent || !std::holds_alternative<publish>(packet)) return;
        ++first;
        client->set_packet_tap([&](packet_direction, const any_packet& p) {
            second.push_back(std::visit([](const auto& each) { return each.type; }, p));
        });
        if (destroys) client.reset();
        CHECK(*owned == 7);
        CHECK(std::get<publish>(packet).message.payload == "1");
    });
    w.server.connected_as(*client, virtual_time_fixture::lasting());
    w.server.send(incoming("1", qos::at_most_once, 0), incoming("2", qos::at_most_once, 0));
    w.net.run_ready();
    CHECK(first == 1);
    CHECK(second.empty()); // it begins with the next connection
    if (destroys) return;
    w.cut();
    w.accepts_again();
    w.net.run_ready();
    CHECK(second == std::vector{packet_type::connect, packet_type::connack});
}

// ---- cancellation

TEST_CASE("A signal without a cancellation type cancels nothing") {
    virtual_time_fixture w;
    w.connect();
    cancellable<received_message> receiving;
    w.client.async_receive(receiving.handler());
    cancellable<> pinging;
    w.client.async_ping(pinging.handler());
    receiving.signal->emit(asio::cancellation_type::none);
    pinging.signal->emit(asio::cancellation_type::none);
    w.server.expect<pingreq>();
    w.server.send(pingresp{}, incoming("1", qos::at_most_once, 0));
    CHECK(w.wait(pinging.result) == std::error_code{});
    CHECK(w.wait(receiving.result) == std::error_code{});
}

TEST_CASE("Pending operations can be cancelled from the last to the first, as fast as in their order") {
    virtual_time_fixture w;
    w.connect();
    constexpr std::size_t count = 100'000;
    std::size_t cancelled = 0;
    std::vector<asio::cancellation_signal> receiving(count);
    std::vector<asio::cancellation_signal> watching(count);
    const auto counted = [&](std::error_code error, const auto&) {
        if (error == asio::error::operation_aborted) ++cancelled;
    };
    for (std::size_t i = 0; i != count; ++i) {
        w.client.async_receive(asio::bind_cancellation_slot(receiving[i].slot(), counted));
        w.client.async_next_event(asio::bind_cancellation_slot(watching[i].slot(), counted));
    }
    for (std::size_t i = count; i-- != 0;) {
        receiving[i].emit(asio::cancellation_type::terminal);
        watching[i].emit(asio::cancellation_type::terminal);
    }
    w.net.run_ready();
    CHECK(cancelled + 3 >= 2 * count); // some events were waiting
}

TEST_CASE("Disconnecting after cancel completes without error when the client can connect again") {
    scripted_broker_fixture w;
    const bool connected = GENERATE(false, true);
    if (connected) {
        w.server.connected(w.client);
    } else {
        connects(w.client);
        w.server.expect<tern::connect>();
    }
    const auto before = disconnects(w.client);
    w.client.cancel();
    const auto after = disconnects(w.client);
    CHECK(wait(w.io, after) == std::error_code{});
    CHECK(before.error() == asio::error::operation_aborted);
    w.server.connected(w.client);
}

} // namespace
