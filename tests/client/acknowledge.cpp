// Received messages: acknowledgement by the application or the client, and the limits of the inbox.
#include "network_test.hpp"

namespace {

TEST_CASE("The application acknowledges in any order, and the client sends acknowledgements in the order of arrival") {
    virtual_time_fixture w;
    w.connect(manual());
    w.server.send(incoming("1", qos::at_least_once, 1), incoming("2", qos::exactly_once, 2),
                  incoming("3", qos::at_most_once, 0), incoming("4", qos::at_least_once, 4));
    std::vector<received_message> taken;
    while (taken.size() != 4) {
        const auto m = receives(w.client);
        REQUIRE(w.wait(m) == std::error_code{});
        taken.push_back(std::move(m.result()));
    }
    w.net.run_for(1min);
    CHECK(w.server.is_silent());
    taken[3].acknowledge();
    taken[2].acknowledge(); // QoS 0 has no acknowledgement
    taken[1].acknowledge();
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    taken[0].acknowledge();
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK(w.server.expect<pubrec>().packet_id == 2);
    CHECK(w.server.expect<puback>().packet_id == 4);
    auto copy = taken[0];
    copy.acknowledge(); // the second call has no effect
    taken[1].acknowledge();
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
}

TEST_CASE("An acknowledgement from an earlier connection is never sent") {
    virtual_time_fixture w;
    w.connect(manual());
    w.server.send(incoming("1", qos::at_least_once, 1), incoming("2", qos::exactly_once, 2));
    auto first = w.client.try_receive();
    CHECK_FALSE(first);
    w.net.run_ready();
    first = w.client.try_receive();
    auto second = w.client.try_receive();
    REQUIRE(first);
    REQUIRE(second);
    CHECK_FALSE(first->dup);
    w.cut();
    w.accepts_again();
    w.server.send(incoming("other", qos::at_least_once, 7));
    first->acknowledge();
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    // The broker resends unacknowledged messages. The client delivers QoS 1 again, and QoS 2 not.
    w.server.send(incoming("1", qos::at_least_once, 1, true), incoming("2", qos::exactly_once, 2, true));
    w.net.run_ready();
    auto other = w.client.try_receive();
    auto again = w.client.try_receive();
    REQUIRE(other);
    REQUIRE(again);
    CHECK_FALSE(w.client.try_receive());
    CHECK(again->dup);
    again->acknowledge();
    other->acknowledge();
    CHECK(w.server.expect<puback>().packet_id == 7);
    CHECK(w.server.expect<puback>().packet_id == 1);
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    second->acknowledge(); // it is the same message
    CHECK(w.server.expect<pubrec>().packet_id == 2);
}

TEST_CASE("The application refuses messages, and the client says so in the order of arrival "
          "[v5:MQTT-4.6.0-2, v5:MQTT-3.4.2-1, v5:MQTT-3.5.2-1]") {
    virtual_time_fixture w;
    w.connect(manual());
    w.server.send(incoming("1", qos::at_least_once, 1), incoming("2", qos::exactly_once, 2),
                  incoming("3", qos::at_most_once, 0), incoming("4", qos::at_least_once, 4));
    w.net.run_for(1s);
    std::vector<received_message> taken;
    while (auto m = w.client.try_receive())
        taken.push_back(std::move(*m));
    REQUIRE(taken.size() == 4);
    CHECK(taken[3].reject(reason_code::success) == errc::invalid_reason_code);
    CHECK(taken[3].reject(reason_code::quota_exceeded, {.reason_string = "full"}) == std::error_code{});
    CHECK(taken[3].reject(reason_code::quota_exceeded) == errc::already_acknowledged);
    taken[3].acknowledge(); // too late
    CHECK(taken[2].reject(reason_code::quota_exceeded) == errc::no_acknowledgement);
    CHECK(taken[1].reject(reason_code::not_authorized) == std::error_code{});
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    taken[0].acknowledge();
    CHECK(taken[0].reject(reason_code::quota_exceeded) == errc::already_acknowledged);
    CHECK(w.server.expect<puback>().reason_code == reason_code::success);
    CHECK(w.server.expect<pubrec>().reason_code == reason_code::not_authorized);
    CHECK(w.server.expect<puback>() == puback{4, reason_code::quota_exceeded, {.reason_string = "full"}});
}

TEST_CASE("A message callback refuses a message by its token, also in automatic mode") {
    virtual_time_fixture w;
    std::vector<std::error_code> outcomes;
    w.client.set_message_callback([&](const received& m) {
        if (m.payload == "bad") outcomes.push_back(w.client.reject(m.token, reason_code::payload_format_invalid));
    });
    w.connect(GENERATE(manual(), virtual_time_fixture::lasting()));
    w.server.send(incoming("bad", qos::at_least_once, 1), incoming("bad", qos::exactly_once, 2));
    CHECK(w.server.expect<puback>().reason_code == reason_code::payload_format_invalid);
    CHECK(w.server.expect<pubrec>().reason_code == reason_code::payload_format_invalid);
    CHECK(outcomes == std::vector<std::error_code>(2));
}

TEST_CASE("A message cannot be refused in automatic mode after the client has acknowledged it, nor in 3.1.1") {
    virtual_time_fixture w;
    auto options = virtual_time_fixture::lasting();
    const bool v5 = GENERATE(true, false);
    if (!v5) {
        options = manual();
        options.version = protocol_version::v3_1_1;
        options.properties = {};
    }
    w.connect(options);
    w.server.send(incoming("1", qos::at_least_once, 1));
    w.net.run_for(1s);
    auto m = w.client.try_receive();
    REQUIRE(m);
    CHECK(m->reject(reason_code::quota_exceeded) == (v5 ? errc::already_acknowledged : errc::requires_v5));
    m->acknowledge();
    CHECK(w.server.expect<puback>().packet_id == 1);
}

TEST_CASE("An event says when the application holds a whole window of messages, however they came [§3.3.4]") {
    virtual_time_fixture w;
    auto options = manual();
    options.properties.receive_maximum = 3;
    const auto reports = [&](connection_change change) {
        for (;;)
            if (const auto e = w.next_event().change; e == connection_change::disconnected || e == change)
                return e == change;
    };
    const auto send = [&] {
        w.server.send(incoming("1", qos::at_least_once, 1), incoming("2", qos::exactly_once, 2),
                      incoming("3", qos::at_least_once, 3));
        w.net.run_for(1s);
        w.cut();
    };
    SECTION("it does not take them") {
        w.connect(options);
        send();
        CHECK(reports(connection_change::window_exhausted));
    }
    SECTION("it takes them, and does not acknowledge") {
        w.client.set_message_callback([](const received&) {});
        w.connect(options);
        send();
        CHECK(reports(connection_change::window_exhausted));
    }
    SECTION("it acknowledges all that come at once") {
        w.client.set_message_callback([&](const received& m) { w.client.acknowledge(m.token); });
        w.connect(options);
        send();
        CHECK_FALSE(reports(connection_change::window_exhausted));
    }
    SECTION("the client acknowledges") {
        options.acknowledge = acknowledgement_mode::automatic;
        w.client.set_message_callback([](const received&) {});
        w.connect(options);
        send();
        CHECK_FALSE(reports(connection_change::window_exhausted));
    }
}

TEST_CASE("A message may outlive its client") {
    virtual_time_fixture w;
    w.connect(manual());
    w.server.send(incoming("1", qos::at_least_once, 1));
    w.net.run_ready();
    auto m = w.client.try_receive();
    REQUIRE(m);
    {
        const network_client gone = std::move(w.client);
    }
    m->acknowledge();
    w.net.run_ready();
    CHECK(m->payload == "1");
}

TEST_CASE("Automatic acknowledgement happens when the application takes the message, also across a connection") {
    virtual_time_fixture w;
    w.connect();
    w.server.send(incoming("1", qos::at_least_once, 1), incoming("2", qos::exactly_once, 2));
    w.net.run_ready();
    w.cut();
    w.accepts_again();
    REQUIRE(w.client.try_receive()); // a message of the lost connection
    REQUIRE(w.client.try_receive());
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    w.server.send(incoming("2", qos::exactly_once, 2, true));
    CHECK(w.server.expect<pubrec>().packet_id == 2);
    CHECK_FALSE(w.client.try_receive());
}

TEST_CASE("The inbox is bounded by bytes") {
    virtual_time_fixture w;
    auto options = w.lasting();
    options.inbox_bytes = 1'000;
    w.connect(options);
    const std::string large(600, 'x');
    for (packet_id id = 1; id != 6; ++id)
        w.server.send(incoming(large, qos::at_least_once, id));
    w.net.run_for(1h);
    CHECK(w.client.counters().messages_received == 2);
    SECTION("while nothing waits for an answer") {
        for (std::uint64_t taken = 1; taken != 6; ++taken) {
            REQUIRE(w.client.try_receive());
            w.net.run_ready();
            CHECK(w.client.counters().messages_received == std::min<std::uint64_t>(5, taken + 2));
        }
    }
    SECTION("by four times as many while something does") {
        const auto sent = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
        w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
        CHECK(w.wait(sent) == std::error_code{});
        CHECK(w.client.counters().messages_received == 5);
        for (int taken = 0; taken != 5; ++taken)
            REQUIRE(w.client.try_receive());
    }
    CHECK_FALSE(w.client.try_receive());
}

TEST_CASE("A message that is larger than the inbox is delivered nevertheless") {
    virtual_time_fixture w;
    auto options = w.lasting();
    options.inbox_bytes = 10;
    w.connect(options);
    const std::string large(10'000, 'x');
    w.server.send(incoming(large, qos::at_most_once, 0));
    const auto m = receives(w.client);
    CHECK(w.wait(m) == std::error_code{});
    CHECK(m.result().payload.size() == 10'000);
}

// Receives one message after the other, and spends 1 ms in each handler.
struct slow_receiver {
    virtual_time_fixture& w;
    int& count;

    void operator()(std::error_code error, const received_message&) const {
        if (error) return;
        ++count;
        tern::testing::virtual_clock clock = w.net.clock();
        clock.advance(1ms);
        w.client.async_receive(*this);
    }
};

TEST_CASE("The acknowledgement timeout does not expire while the answer is unread behind other messages") {
    virtual_time_fixture w;
    auto options = virtual_time_fixture::lasting();
    options.keep_alive = 2s;
    options.ack_timeout = 1s;
    w.connect(options);
    int count = 0;
    w.client.async_receive(slow_receiver{w, count});
    w.server.send(incoming(std::string(40'000, 'x'), qos::at_most_once, 0)); // now the read buffer is large
    const auto published = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
    const auto asked = w.server.expect<publish>();
    std::string burst;
    for (int i = 0; i != 3'000; ++i)
        burst += bytes_of(incoming("m", qos::at_most_once, 0));
    w.server.send_bytes(burst + bytes_of(puback{.packet_id = asked.packet_id}));
    CHECK(w.wait(published) == std::error_code{});
    CHECK(count == 3'001);
}

} // namespace
