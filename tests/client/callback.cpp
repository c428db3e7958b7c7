// Receiving by a message callback, and several messages at a time.
#include "network_test.hpp"

#include <stdexcept>

namespace {

// ---- the callback

TEST_CASE("A message callback gets each message, which is acknowledged when it returns") {
    virtual_time_fixture w;
    std::vector<std::string> seen;
    w.client.set_message_callback([&](const received& m) {
        seen.emplace_back(m.payload);
        CHECK(m.topic == "t");
    });
    w.connect();
    w.server.send(incoming("0", qos::at_most_once, 0), incoming("1", qos::at_least_once, 1),
                  incoming("2", qos::exactly_once, 2));
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK(w.server.expect<pubrec>().packet_id == 2);
    CHECK(seen == std::vector<std::string>{"0", "1", "2"});
    CHECK_FALSE(w.client.try_receive());

    w.client.set_message_callback(nullptr);
    w.server.send(incoming("3", qos::at_least_once, 3));
    w.net.run_ready();
    CHECK(seen.size() == 3);
    const auto m = w.client.try_receive();
    REQUIRE(m);
    CHECK(m->payload == "3");
}

TEST_CASE("In manual mode a message callback, or a copy, acknowledges") {
    virtual_time_fixture w;
    received_message kept;
    message_token token{};
    w.client.set_message_callback([&](const received& m) {
        if (m.payload == "kept")
            kept = w.client.keep(m);
        else
            token = m.token;
    });
    w.connect(manual());
    w.server.send(incoming("kept", qos::at_least_once, 1), incoming("other", qos::exactly_once, 2));
    w.net.run_for(1min);
    CHECK(w.server.is_silent());
    CHECK(kept.topic == "t");
    CHECK(kept.payload == "kept");
    w.client.acknowledge(token);
    w.net.run_for(1s);
    CHECK(w.server.is_silent()); // an earlier message is not yet acknowledged
    kept.acknowledge();
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK(w.server.expect<pubrec>().packet_id == 2);
}

TEST_CASE("An exception of a message callback leaves run, and the message is delivered again") {
    virtual_time_fixture w;
    int calls = 0;
    w.client.set_message_callback([&](const received&) {
        if (++calls == 1) throw std::runtime_error("not now");
    });
    w.connect(w.lasting());
    w.server.send(incoming("1", qos::exactly_once, 1));
    CHECK_THROWS_AS(w.net.run_for(1s), std::runtime_error);
    w.accepts_again();
    w.server.send(incoming("1", qos::exactly_once, 1));
    CHECK(w.server.expect<pubrec>().packet_id == 1);
    CHECK(calls == 2);
}

TEST_CASE("A message callback that throws at QoS 0 does not end the connection") {
    virtual_time_fixture w;
    int calls = 0;
    w.client.set_message_callback([&](const received&) {
        if (++calls == 1) throw std::runtime_error("not now");
    });
    w.connect();
    w.server.send(incoming("1", qos::at_most_once, 0), incoming("2", qos::at_least_once, 2));
    CHECK_THROWS_AS(w.net.run_for(1s), std::runtime_error);
    CHECK(w.server.expect<puback>().packet_id == 2);
    CHECK(calls == 2);
}

TEST_CASE("A message callback may publish, set another one, and end the client") {
    virtual_time_fixture w;
    auto client = std::make_unique<network_client>(std::move(w.client));
    int second = 0;
    client->set_message_callback([&](const received& m) {
        const std::string payload{m.payload};
        client->async_publish({.topic = "echo", .payload = m.payload}, [](std::error_code, auto&&) {});
        client->set_message_callback([&, payload](const received&) {
            ++second;
            client.reset();
        });
        CHECK(payload == m.payload); // the payload is still valid
    });
    w.server.connected_as(*client, virtual_time_fixture::lasting());
    w.server.send(incoming("1", qos::at_most_once, 0));
    CHECK(w.server.expect<publish>().message.payload == "1");
    w.server.send(incoming("2", qos::at_most_once, 0), incoming("3", qos::at_most_once, 0));
    w.net.run_ready();
    CHECK(second == 1);
    CHECK_FALSE(client);
    CHECK(w.server.sees_end());
}

TEST_CASE("A message callback that replaces itself lives until it returns, also for the second of two messages") {
    virtual_time_fixture w;
    std::vector<std::string> seen;
    auto owned = std::make_shared<std::string>("second");
    const std::weak_ptr<std::string> watched = owned;
    w.client.set_message_callback([&, owned = std::move(owned)](const received&) mutable {
        seen.emplace_back("first");
        w.client.set_message_callback([&, owned = std::move(owned)](const received&) {
            auto& of_test = seen; // because the captures must not be used if this function object is destroyed
            const auto& watch = watched;
            w.client.set_message_callback([&](const received&) { seen.emplace_back("third"); });
            of_test.emplace_back(watch.expired() ? "destroyed" : "second");
        });
    });
    w.connect();
    w.server.send(incoming("1", qos::at_most_once, 0), incoming("2", qos::at_most_once, 0),
                  incoming("3", qos::at_most_once, 0));
    w.net.run_ready();
    CHECK(seen == std::vector<std::string>{"first", "second", "third"});
    CHECK(watched.expired());
}

// ---- several messages at a time

answer<std::size_t> receives_some(network_client& client, std::span<received_message> into) {
    answer<std::size_t> a;
    client.async_receive_some(into, a.handler());
    CHECK_FALSE(a.called());
    return a;
}

TEST_CASE("A batch receives as many messages as are available, up to its size") {
    virtual_time_fixture w;
    w.connect();
    std::vector<received_message> batch(3);
    const auto first = receives_some(w.client, batch);
    w.net.run_ready();
    CHECK_FALSE(first.called());
    w.server.send(incoming("1", qos::at_most_once, 0), incoming("2", qos::at_least_once, 2));
    REQUIRE(w.wait(first) == std::error_code{});
    CHECK(first.result() == 2);
    CHECK(batch[0].payload == "1");
    CHECK(batch[1].payload == "2");
    CHECK(w.server.expect<puback>().packet_id == 2);

    w.server.send(incoming("3", qos::at_most_once, 0), incoming("4", qos::at_most_once, 0),
                  incoming("5", qos::at_most_once, 0), incoming("6", qos::at_most_once, 0));
    w.net.run_ready();
    const auto full = receives_some(w.client, batch);
    REQUIRE(w.wait(full) == std::error_code{});
    CHECK(full.result() == 3);
    CHECK(batch[2].payload == "5");
    const auto last = receives_some(w.client, batch);
    REQUIRE(w.wait(last) == std::error_code{});
    CHECK(last.result() == 1);
    CHECK(batch[0].payload == "6");
}

TEST_CASE("Receive operations are served in their order, single or in batches") {
    virtual_time_fixture w;
    w.connect();
    std::vector<received_message> batch(2);
    const auto some = receives_some(w.client, batch);
    const auto one = receives(w.client);
    const auto others = receives_some(w.client, batch);
    w.server.send(incoming("1", qos::at_most_once, 0), incoming("2", qos::at_most_once, 0),
                  incoming("3", qos::at_most_once, 0));
    REQUIRE(w.wait(one) == std::error_code{});
    CHECK(some.result() == 2);
    CHECK(batch[1].payload == "2");
    CHECK(one.result().payload == "3");
    CHECK_FALSE(others.called());
}

TEST_CASE("Receiving several messages into an empty span is an error, and so is receiving after the end") {
    virtual_time_fixture w;
    w.connect();
    CHECK(w.wait(receives_some(w.client, {})) == errc::invalid_argument);
    std::vector<received_message> batch(2);
    const auto some = receives_some(w.client, batch);
    w.client.cancel();
    CHECK(w.wait(some) == asio::error::operation_aborted);
    CHECK(some.result() == 0);
}

} // namespace
