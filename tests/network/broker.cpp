// The test broker on the network in memory, with the network's clock.
#include "tern/testing/broker.hpp"

#include "network_test.hpp"
#include "tern/codec/packet.hpp"

namespace {

using tern::protocol_version;

template <tern::packet Packet>
std::string bytes_of(const Packet& p) {
    std::string bytes(*encoded_size(p, protocol_version::v5), '\0');
    REQUIRE(encode(p, protocol_version::v5, bytes));
    return bytes;
}

// A link that is connected to the broker and reads.
struct visitor {
    visitor(network& net, const tern::connect& p) : stream(net) {
        const std::string bytes = bytes_of(p);
        outcome said;
        stream.async_open({.host = "broker.test"}, {},
                          [&](std::error_code) { asio::async_write(stream, asio::buffer(bytes), *said); });
        REQUIRE(net.run_until([&] { return said.done; }));
        received.emplace(stream);
        REQUIRE(net.run_until([&] { return received->text.starts_with('\x20'); }));
        received->text.clear();
    }

    tern_link stream;
    std::optional<sink> received;
};

TEST_CASE("The broker uses the network's clock") {
    network net;
    net.usual({.to_server = {.latency = 20ms}, .to_client = {.latency = 20ms, .pieces = pieces::random}});
    tern::testing::broker broker(net.get_executor(), {}, net.clock());
    net.listen("broker.test", broker);
    const auto start = net.now();

    visitor watcher(net, {.client_id = "watcher"});
    const tern::subscription wanted{.filter = "will"};
    const tern::subscribe subscribe{.packet_id = 1, .subscriptions = std::span(&wanted, 1)};
    CHECK_FALSE(link_fixture::write(net, watcher.stream, bytes_of(subscribe)));

    visitor silent(net, {.keep_alive = std::chrono::seconds{60},
                         .client_id = "silent",
                         .will = tern::message_view{.topic = "will", .payload = "gone"},
                         .will_delay_interval = std::chrono::seconds{3600},
                         .properties = {.session_expiry_interval = std::chrono::seconds{7200}}});
    CHECK(net.run_until([&] { return silent.received->error; }, 10min)); // after one and a half times Keep Alive
    CHECK(net.now() - start > 90s);
    CHECK(net.now() - start < 92s);
    CHECK(net.run_until([&] { return watcher.received->text.find("gone") != std::string::npos; }, 2h));
    CHECK(net.now() - start > 1h + 90s);
    CHECK(net.now() - start < 1h + 93s);
}

TEST_CASE("A destroyed broker closes its links") {
    network net;
    std::optional<tern::testing::broker> broker(std::in_place, net.get_executor(), tern::testing::broker_options{},
                                                net.clock());
    net.listen("broker.test", *broker);
    visitor client(net, {.client_id = "c"});
    broker.reset();
    net.run_ready();
    CHECK(client.received->error == asio::error::eof);
    client.stream.close();
    outcome connected;
    client.stream.async_open({.host = "broker.test"}, {}, *connected);
    net.run_ready();
    CHECK_FALSE(connected.error);
    client.received.emplace(client.stream);
    net.run_ready();
    CHECK(client.received->error == asio::error::eof);
}

} // namespace
