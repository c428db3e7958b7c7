// The flow of bytes: how writes are gathered, how reads are processed, and how a full inbox throttles the broker.
#include "network_test.hpp"
#include "scripted_broker.hpp"

namespace {

std::string number(int i) {
    return std::to_string(i);
}

TEST_CASE("All packets requested in one turn leave in one write") {
    const auto q = GENERATE(qos::at_most_once, qos::at_least_once, qos::exactly_once);
    scripted_broker_fixture w;
    w.server.connected(w.client);
    const int writes = w.counts->writes;
    const int count = 100;
    for (int i = 0; i != count; ++i)
        publishes(w.client, {.topic = "t", .payload = number(i), .qos = q});
    CHECK(w.client.try_publish({.topic = "t", .payload = "last", .qos = q}) == std::error_code{});
    CHECK(w.counts->writes == writes); // the calls themselves do not write
    settle(w.io);
    CHECK(w.counts->writes == writes + 1);
    for (int i = 0; i != count; ++i)
        CHECK(w.server.expect<publish>().message.payload == number(i));
    CHECK(w.server.expect<publish>().message.payload == "last");
    CHECK(w.counts->writes == writes + 1);
}

TEST_CASE("Packets requested during a write leave in the next one") {
    scripted_broker_fixture w;
    w.set_capacity(100);
    auto& [io, net, server, counts, client] = w;
    server.connected(client);
    const int writes = counts->writes;
    const std::string large(1000, 'x');
    const auto first = publishes(client, {.topic = "t", .payload = large});
    io.restart();
    while (counts->writes == writes)
        io.run_one();
    std::vector<answer<acknowledgement>> rest;
    for (int i = 0; i != 10; ++i)
        rest.push_back(publishes(client, {.topic = number(i)}));
    CHECK(wait(io, rest.back()) == std::error_code{});
    CHECK(server.expect<publish>().message.payload == large);
    for (int i = 0; i != 10; ++i)
        CHECK(server.expect<publish>().message.topic == number(i));
}

TEST_CASE("A QoS 0 publish is complete when all of it is written, not before") {
    asio::io_context io;
    tern::testing::network net{io};
    std::optional<tern::testing::link> end;
    net.listen("localhost", [&](tern::testing::link stream) { end = std::move(stream); });
    net.usual({.to_server = {.capacity = 100}});
    test_client client{probe(io.get_executor(), net)};
    const auto connecting = connects(client);
    settle(io);
    REQUIRE(end);
    std::array<char, 100> buffer = {};
    const auto read = [&] {
        end->async_read_some(asio::buffer(buffer), [](std::error_code, std::size_t) {});
        settle(io);
    };
    read();
    const std::string accepted = bytes_of(connack{});
    end->async_write_some(asio::buffer(accepted), [](std::error_code, std::size_t) {});
    REQUIRE(wait(io, connecting) == std::error_code{});

    const std::string large(150, 'x');
    const auto a = publishes(client, {.topic = "t", .payload = large});
    settle(io);
    CHECK_FALSE(a.called()); // only the first hundred bytes are written
    read();
    CHECK(a.called());
    CHECK(a.error() == std::error_code{});
}

TEST_CASE("The acknowledgements for one read leave in one write, and its messages are delivered in few turns") {
    scripted_broker_fixture w;
    w.server.connected(w.client);
    const int count = 200;
    std::vector<answer<received_message>> messages;
    for (int i = 0; i != count; ++i)
        messages.push_back(receives(w.client));
    settle(w.io);
    const int writes = w.counts->writes;
    std::string bytes;
    for (int i = 0; i != count; ++i) {
        const auto payload = number(i);
        bytes += bytes_of(publish{.message = {.topic = "t", .payload = payload, .qos = qos::at_least_once},
                                  .packet_id = static_cast<packet_id>(i + 1)});
    }
    w.server.send_bytes(bytes);
    w.io.restart();
    std::size_t turns = 0;
    while (!messages.back().called())
        turns += w.io.run_one();
    CHECK(turns <= 10);
    for (int i = 0; i != count; ++i) {
        REQUIRE(messages[static_cast<std::size_t>(i)].error() == std::error_code{});
        CHECK(messages[static_cast<std::size_t>(i)].result().payload == number(i));
        CHECK(w.server.expect<puback>().packet_id == i + 1);
    }
    CHECK(w.counts->writes <= writes + 2); // the link may return the bytes in two reads
}

TEST_CASE("Operations that complete immediately do not starve their context") {
    broker_fixture w;
    int calls = 0;
    bool stop = false;
    std::function<void()> again = [&] {
        w.client.async_ping([&](std::error_code error) { // not connected
            CHECK(error == errc::not_connected);
            if (++calls < 100'000 && !stop) again();
        });
    };
    again();
    asio::post(w.io, [&] { asio::post(w.io, [&] { stop = true; }); });
    settle(w.io);
    CHECK(stop);
    CHECK(calls < 10'000);
}

// ---- the inbox

TEST_CASE("A full inbox throttles the broker until messages are taken") {
    scripted_broker_fixture w;
    w.set_capacity(1000);
    auto& [io, net, server, counts, client] = w;
    server.connected(client, {.client_id = "c", .inbox_limit = 3});
    const int count = 500;
    int written = 0;
    std::string bytes;
    for (int i = 0; i != count; ++i) {
        const auto payload = number(i) + std::string(100, ' ');
        bytes += bytes_of(publish{.message = {.topic = "t", .payload = payload}});
    }
    server.send_bytes(bytes);
    settle(io);
    const int reads = counts->reads;
    settle(io);
    CHECK(counts->reads == reads); // the client does not read

    for (; written != 3; ++written) {
        const auto m = client.try_receive();
        REQUIRE(m);
        CHECK(m->payload.starts_with(number(written) + " "));
    }
    CHECK_FALSE(client.try_receive());
    for (; written != count; ++written) {
        const auto m = receives(client);
        REQUIRE(wait(io, m) == std::error_code{});
        REQUIRE(m.result().payload.starts_with(number(written) + " "));
    }
    CHECK(counts->reads > reads);
    CHECK_FALSE(client.try_receive());
}

TEST_CASE("Messages are acknowledged when they are taken, not when they arrive") {
    scripted_broker_fixture w;
    w.server.connected(w.client);
    w.server.send(publish{.message = {.topic = "t", .payload = "1", .qos = qos::at_least_once}, .packet_id = 1},
                  publish{.message = {.topic = "t", .payload = "2", .qos = qos::exactly_once}, .packet_id = 2});
    settle(w.io);
    CHECK(w.server.is_silent());
    CHECK(w.client.try_receive()->payload == "1");
    CHECK(w.server.expect<puback>().packet_id == 1);
    settle(w.io);
    CHECK(w.server.is_silent());
    CHECK(wait(w.io, receives(w.client)) == std::error_code{});
    CHECK(w.server.expect<pubrec>().packet_id == 2);
    w.server.send(pubrel{.packet_id = 2});
    CHECK(w.server.expect<pubcomp>().packet_id == 2);
}

TEST_CASE("A client with a full inbox keeps its connection alive") {
    scripted_broker_fixture w;
    w.server.connected(w.client, {.client_id = "c", .keep_alive = 1s, .inbox_limit = 1});
    w.server.send(publish{.message = {.topic = "t", .payload = "1"}},
                  publish{.message = {.topic = "t", .payload = "2"}});
    settle(w.io);
    w.server.expect<pingreq>(); // its answer is not read
    w.server.send(pingresp{});
    w.server.expect<pingreq>(); // this one is not answered
    CHECK(w.client.is_connected());
    CHECK(w.client.try_receive()->payload == "1");
    const auto m = receives(w.client);
    CHECK(wait(w.io, m) == std::error_code{});
    CHECK(m.result().payload == "2");
    CHECK(w.client.is_connected());
}

TEST_CASE("A full inbox does not keep QoS 0 messages from completing") {
    scripted_broker_fixture w;
    w.server.connected(w.client, {.client_id = "c", .inbox_limit = 1});
    w.server.send(publish{.message = {.topic = "t", .payload = "1"}},
                  publish{.message = {.topic = "t", .payload = "2"}});
    settle(w.io);
    const auto sent = publishes(w.client, {.topic = "t", .payload = "x"});
    CHECK(wait(w.io, sent) == std::error_code{});
    CHECK(w.client.try_receive()->payload == "1");
    settle(w.io);
    CHECK(w.client.try_receive()->payload == "2");
}

TEST_CASE("Messages left by an earlier connection can be taken, and do not keep the client from connecting") {
    scripted_broker_fixture w;
    w.server.connected(w.client, {.client_id = "c", .inbox_limit = 2});
    w.server.send(publish{.message = {.topic = "t", .payload = "1"}},
                  publish{.message = {.topic = "t", .payload = "2"}},
                  publish{.message = {.topic = "t", .payload = "3"}});
    settle(w.io);
    const auto pinged = pings(w.client);
    w.server.expect<pingreq>();
    SECTION("the broker closes") {
        // The client notices it when the inbox has room to read again.
        CHECK(w.client.try_receive()->payload == "1");
        settle(w.io);
        w.server.close();
        CHECK(w.client.try_receive()->payload == "2");
        CHECK(wait(w.io, pinged) == asio::error::eof);
        CHECK_FALSE(w.client.is_connected());
        const auto m = receives(w.client);
        CHECK(wait(w.io, m) == std::error_code{});
        CHECK(m.result().payload == "3");
        CHECK(wait(w.io, receives(w.client)) == asio::error::eof); // no operation waited when the connection ended
        CHECK(wait(w.io, receives(w.client)) == errc::not_connected);
    }
    SECTION("the client disconnects") {
        CHECK(wait(w.io, disconnects(w.client)) == std::error_code{});
        CHECK(pinged.error() == errc::disconnected);
        w.server.connected(w.client, {.client_id = "c", .inbox_limit = 1});
        CHECK(w.client.try_receive()->payload == "1");
        CHECK(w.client.try_receive()->payload == "2");
        const auto m = receives(w.client);
        w.server.send(publish{.message = {.topic = "t", .payload = "new"}});
        CHECK(wait(w.io, m) == std::error_code{});
    }
}

TEST_CASE("Several receive operations are served in their order") {
    scripted_broker_fixture w;
    w.server.connected(w.client);
    std::vector<answer<received_message>> waiting;
    for (int i = 0; i != 5; ++i)
        waiting.push_back(receives(w.client));
    for (int i = 0; i != 5; ++i) {
        const auto payload = number(i);
        w.server.send(publish{.message = {.topic = "t", .payload = payload}});
        CHECK(wait(w.io, waiting[static_cast<std::size_t>(i)]) == std::error_code{});
        CHECK(waiting[static_cast<std::size_t>(i)].result().payload == payload);
        if (i != 4) CHECK_FALSE(waiting[static_cast<std::size_t>(i) + 1].called());
    }
}

// ---- ends

TEST_CASE("The client reads the last packets of a broker that closes the connection, though writing fails first") {
    scripted_broker_fixture w;
    w.counts->delay_reads = 10;
    w.server.connected(w.client);
    const auto m = receives(w.client);
    const bool says = GENERATE(true, false);
    if (says) w.server.send(disconnect{.reason_code = reason_code::session_taken_over});
    w.server.close();
    const auto a = publishes(w.client, {.topic = "t"});
    const std::error_code expected = says ? make_error_code(reason_code::session_taken_over) : asio::error::broken_pipe;
    CHECK(wait(w.io, m) == expected);
    CHECK(wait(w.io, a) == expected);
    w.server.connected(w.client);
}

TEST_CASE("After a failed write the client waits a bounded time for the last packets of the broker") {
    virtual_time_fixture w;
    w.connect();
    w.net.fail(tern::testing::step::write, 1, asio::error::broken_pipe);
    const auto begin = w.net.now();
    const auto a = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
    const auto lost = w.next_event(connection_change::disconnected); // the broker sends nothing, and does not close
    CHECK(lost.error == asio::error::broken_pipe);
    CHECK(w.net.now() - begin <= 10s);
    w.accepts_again();
    w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
    CHECK(w.wait(a) == std::error_code{});
}

TEST_CASE("All pending operations complete with the reason when the connection ends") {
    scripted_broker_fixture w;
    w.server.connected(w.client);
    const auto a = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
    const auto b = subscribes(w.client, {.filter = "t"});
    const auto c = unsubscribes(w.client, "t");
    const auto d = pings(w.client);
    const auto e = receives(w.client);
    settle(w.io);
    std::error_code expected;
    errc of_requests = errc::disconnected; // they were sent
    SECTION("the broker closes") {
        w.server.close();
        expected = asio::error::eof;
    }
    SECTION("the broker gives a reason") {
        w.server.send(disconnect{.reason_code = reason_code::administrative_action});
        expected = reason_code::administrative_action;
    }
    SECTION("the broker breaks a rule") {
        w.server.send(connack{});
        expected = violation(errc::unexpected_packet);
        of_requests = errc::unexpected_packet;
    }
    SECTION("the client disconnects") {
        const auto f = disconnects(w.client);
        CHECK(wait(w.io, f) == std::error_code{});
        expected = misuse(errc::disconnected);
    }
    CHECK(wait(w.io, a) == outcome_unknown(of_requests));
    CHECK(wait(w.io, b) == outcome_unknown(of_requests));
    CHECK(wait(w.io, c) == outcome_unknown(of_requests));
    CHECK(wait(w.io, d) == (expected == errc::disconnected ? outcome_unknown(errc::disconnected) : expected));
    CHECK(wait(w.io, e) == expected);
    w.server.connected(w.client);
}

} // namespace
