// Messages that the broker sends again while the application has not taken them.
#include "network_test.hpp"

#include <string>
#include <utility>
#include <vector>

namespace repetition_tests {

connect_options lasting(protocol_version version) {
    auto options = virtual_time_fixture::lasting();
    options.version = version;
    if (version == v3_1_1) options.properties = {};
    return options;
}

std::vector<std::string> taken(virtual_time_fixture& w) {
    std::vector<std::string> payloads;
    while (const auto m = w.client.try_receive())
        payloads.emplace_back(m->payload);
    return payloads;
}

void send_again(virtual_time_fixture& w, bool dup = true) {
    w.server.send(incoming("1", qos::at_least_once, 1, dup), incoming("2", qos::exactly_once, 2, dup),
                  incoming("3", qos::at_least_once, 3, dup));
    w.net.run_for(1s);
}

TEST_CASE("Messages that an application does not take are not multiplied by reconnects [v311:MQTT-4.4.0-1, "
          "v5:MQTT-4.4.0-1]") {
    for (const auto version : {v3_1_1, v5}) {
        virtual_time_fixture w;
        w.connect(lasting(version));
        send_again(w, false);
        for (int i = 0; i != 10; ++i) {
            w.cut();
            w.accepts_again();
            send_again(w);
        }
        CHECK(w.server.is_silent());
        CHECK(taken(w) == std::vector<std::string>{"1", "2", "3"});
        CHECK(w.server.expect<puback>().packet_id == 1);
        CHECK(w.server.expect<pubrec>().packet_id == 2);
        CHECK(w.server.expect<puback>().packet_id == 3);
        w.net.run_for(1s);
        CHECK(w.server.is_silent());
    }
}

TEST_CASE("A message that comes again on the same connection is stored and acknowledged once [v5:MQTT-4.3.2-4]") {
    virtual_time_fixture w;
    auto options = lasting(v3_1_1);
    options.acknowledge = acknowledgement_mode::manual;
    w.connect(options);
    send_again(w, false);
    send_again(w);
    w.server.send(incoming("4", qos::at_least_once, 4), incoming("1", qos::at_least_once, 1, true));
    w.net.run_for(1s);
    std::vector<received_message> messages;
    while (auto m = w.client.try_receive())
        messages.push_back(std::move(*m));
    REQUIRE(messages.size() == 4);
    for (received_message& m : messages)
        m.acknowledge();
    CHECK(w.server.expect<pubrec>().packet_id == 2);
    CHECK(w.server.expect<puback>().packet_id == 3);
    CHECK(w.server.expect<puback>().packet_id == 4);
    CHECK(w.server.expect<puback>().packet_id == 1); // in the order of the newest copies
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    w.server.send(incoming("1", qos::at_least_once, 1)); // the identifier is free
    w.net.run_for(1s);
    CHECK(taken(w) == std::vector<std::string>{"1"});
}

TEST_CASE("A message that may be another one is stored beside the first [v5:MQTT-4.3.2-5]") {
    virtual_time_fixture w;
    w.connect();
    w.server.send(incoming("1", qos::at_least_once, 1));
    w.net.run_for(1s);
    SECTION("it has another payload") {
        w.server.send(incoming("2", qos::at_least_once, 1, true));
    }
    SECTION("it has another topic") {
        auto other = incoming("1", qos::at_least_once, 1, true);
        other.message.topic = "u";
        w.server.send(other);
    }
    SECTION("it has another identifier") {
        w.server.send(incoming("1", qos::at_least_once, 2, true));
    }
    SECTION("it has another QoS") {
        w.server.send(incoming("1", qos::exactly_once, 1, true));
    }
    SECTION("it has no DUP") {
        w.server.send(incoming("1", qos::at_least_once, 1));
    }
    SECTION("the session was lost") {
        w.cut();
        w.accepts_again(false);
        w.server.send(incoming("1", qos::at_least_once, 1, true));
    }
    SECTION("a CONNECT was not answered, so the session may be a new one") {
        w.cut();
        w.server.expect<tern::connect>();
        w.cut();
        w.accepts_again();
        w.server.send(incoming("1", qos::at_least_once, 1, true));
        w.net.run_for(1s);
        w.cut();
        w.accepts_again(); // but the second copy came in the present one
        w.server.send(incoming("1", qos::at_least_once, 1, true));
    }
    w.net.run_for(1s);
    CHECK(taken(w).size() == 2);
}

TEST_CASE("Messages that were taken, or returned by a cancelled operation, and come again") {
    virtual_time_fixture w;
    w.connect(lasting(v5));
    send_again(w, false);
    auto m = w.client.try_receive();
    REQUIRE(m);
    w.cut();
    w.accepts_again();
    cancellable<received_message> receiving;
    w.client.async_receive(receiving.handler());
    receiving.cancel(); // before the handler is called, so the message goes back
    w.net.run_for(1s);
    send_again(w);
    w.net.run_for(1s);
    CHECK(taken(w) == std::vector<std::string>{"2", "3", "1"}); // its acknowledgement was lost
}

TEST_CASE("Each of 20,000 stored messages that come again takes the place of its earlier copy [v311:MQTT-4.4.0-1, "
          "v5:MQTT-4.4.0-1]") {
    constexpr int count = 20'000;
    virtual_time_fixture w;
    auto options = lasting(v3_1_1);
    options.inbox_limit = 65'535;
    w.connect(options);
    const auto all = [](bool dup) {
        std::string bytes;
        for (int id = 1; id <= count; ++id)
            bytes += bytes_of(incoming("m", qos::at_least_once, static_cast<packet_id>(id), dup), v3_1_1);
        return bytes;
    };
    w.server.send_bytes(all(false));
    w.net.run_for(1s);
    for (int i = 0; i != 3; ++i) {
        w.cut();
        w.accepts_again();
        w.server.send_bytes(all(true));
        w.net.run_for(1s);
    }
    CHECK(taken(w).size() == count);
    CHECK(w.server.expect<puback>().packet_id == 1);
}

} // namespace repetition_tests
