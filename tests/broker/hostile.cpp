// Invalid input from one client does not affect the broker's service for others.
#include "raw_client.hpp"

#include <random>

namespace tern::broker_tests {
namespace {

void is_usable(broker_fixture& fixture) {
    auto sender = fixture.connected("sender");
    auto receiver = fixture.connected("receiver");
    receiver.subscribes({{.filter = "usable"}});
    sender.send(make_publish("usable", "yes"));
    receiver.receives("usable", "yes");
}

TEST_CASE("Hostile bytes end only their own connection") {
    broker_fixture fixture;
    auto client = fixture.tcp_client();
    SECTION("garbage before CONNECT") {
        client.send_bytes("GET / HTTP/1.1\r\nHost: example\r\n\r\n");
        CHECK(client.is_closed());
    }
    SECTION("garbage after CONNECT") {
        client.connects({.client_id = "c"});
        client.send_bytes(std::string(10'000, '\xFF'));
        client.expect<disconnect>();
        CHECK(client.is_closed());
    }
    SECTION("nothing") {
        client.close();
    }
    SECTION("half a CONNECT, then a close") {
        client.send_bytes(bytes_of(connect{.client_id = "c"}, v5).substr(0, 9));
        client.close();
    }
    SECTION("half a PUBLISH, then a close") {
        client.connects({.client_id = "c"});
        client.send_bytes(bytes_of(make_publish("topic", "payload"), v5).substr(0, 9));
        client.close();
    }
    SECTION("a huge remaining length") {
        client.connects({.client_id = "c"});
        client.send_bytes(std::string("\x30\xFF\xFF\xFF\x7F\x00\x01t", 8));
    }
    SECTION("a huge string length") {
        client.connects({.client_id = "c"});
        client.send_bytes(std::string("\x30\x04\xFF\xFFt\x00", 6));
        CHECK(client.expect<disconnect>().reason_code == reason_code::malformed_packet);
    }
    is_usable(fixture);
}

TEST_CASE("The broker survives any wrong byte in a sequence of packets") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    std::minstd_rand random(4);
    const std::array<subscription, 1> subscriptions{{{.filter = "t/#", .max_qos = qos::exactly_once}}};
    std::string valid =
        bytes_of(connect{.version = version, .client_id = "c", .will = message_view{.topic = "w"}}, version);
    valid += bytes_of(subscribe{.packet_id = 1, .subscriptions = subscriptions}, version);
    valid += bytes_of(make_publish("t/1", "x", qos::exactly_once, 2), version);
    valid += bytes_of(make_publish("t/2", "y", qos::at_least_once, 3), version);
    valid += bytes_of(pubrel{.packet_id = 2}, version);
    valid += bytes_of(disconnect{}, version);
    for (int i = 0; i != 300; ++i) {
        std::string corrupted = valid;
        corrupted[random() % corrupted.size()] = static_cast<char>(random());
        corrupted.resize(1 + random() % corrupted.size());
        auto client = fixture.client(version);
        client.send_bytes(corrupted);
        if (i % 2 == 0) client.expect_end_or_silence();
    }
    is_usable(fixture);
}

TEST_CASE("The broker stops reading from a client that does not read") {
    broker_fixture fixture;
    auto client = fixture.client();
    client.connects({.client_id = "c"});
    client.subscribes({{.filter = "t"}});
    const std::string payload(100'000, 'x');
    const std::string bytes = bytes_of(make_publish("t", payload), v5);
    // The messages exceed the capacity of all buffers: both directions of the connection and the broker's output.
    const bool all_sent = client.try_send_bytes(bytes, 100);
    CHECK_FALSE(all_sent);
    is_usable(fixture);
    client.close();
    is_usable(fixture);
}

} // namespace
} // namespace tern::broker_tests
