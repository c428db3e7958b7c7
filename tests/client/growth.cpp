// The memory of a client after a burst, on virtual time.
#include "network_test.hpp"
#include "support/heap.hpp"

#include <optional>
#include <vector>

namespace {

enum class traffic { none, received, published_0, published_1, published_2, published_in_time, pings, events };

void receive_burst(virtual_time_fixture& w, network_client& client) {
    constexpr packet_id count = 900;
    for (packet_id id = 1; id <= count; ++id) {
        w.server.send(incoming(std::string(1'000, 'x'), qos::at_least_once, id));
        w.net.run_for(1ms); // the network keeps the memory of what waits to be read
    }
    for (packet_id id = 1; id <= count; ++id)
        REQUIRE(w.wait(receives(client)) == std::error_code{});
    for (packet_id id = 1; id <= count; ++id)
        REQUIRE(w.server.expect<puback>().packet_id == id);
}

// All messages wait for their acknowledgements at once.
void publish_burst(virtual_time_fixture& w, network_client& client, qos q, std::chrono::milliseconds timeout = 0ms) {
    constexpr std::size_t count = 20'000;
    constexpr std::size_t at_once = 20; // the network keeps the memory of what waits to be read
    std::size_t completed = 0;
    std::vector<packet_id> ids;
    for (std::size_t i = 1; i <= count; ++i) {
        client.async_publish({.topic = "t", .payload = "x", .qos = q}, {.timeout = timeout},
                             [&](std::error_code error, const auto&) {
                                 REQUIRE(error == std::error_code{});
                                 ++completed;
                             });
        while (i % at_once == 0 && ids.size() != i)
            ids.push_back(w.server.expect<publish>().packet_id);
    }
    for (std::size_t i = 0; q != qos::at_most_once && i != ids.size(); ++i) {
        if (q == qos::at_least_once) {
            w.server.send(puback{.packet_id = ids[i]});
        } else {
            w.server.send(pubrec{.packet_id = ids[i]});
            CHECK(w.server.expect<pubrel>().packet_id == ids[i]);
            w.server.send(pubcomp{.packet_id = ids[i]});
        }
        if (i % at_once == 0) w.net.run_for(1ms);
    }
    REQUIRE(w.runs_until([&] { return completed == count; }));
}

void ping_burst(virtual_time_fixture& w, network_client& client) {
    constexpr std::size_t count = 2'000;
    std::vector<answer<>> pinged;
    for (std::size_t i = 0; i != count; ++i)
        pinged.push_back(pings(client));
    for (std::size_t i = 0; i != count; ++i) {
        w.server.expect<pingreq>();
        w.server.send(pingresp{});
        w.net.run_for(1ms);
    }
    for (const auto& each : pinged)
        REQUIRE(w.wait(each) == std::error_code{});
}

// The events of many connections are stored, then taken.
void event_burst(virtual_time_fixture& w, network_client& client) {
    for (int i = 0; i != 40; ++i) {
        w.cut();
        w.accepts_again();
        REQUIRE(w.runs_until([&] { return client.is_connected(); }));
    }
    for (;;) {
        const auto event = awaits_event(client);
        w.net.run_ready();
        if (!event.called()) return;
    }
}

// The memory of a client that has been idle for a while.
std::size_t memory_of_client(traffic t, std::chrono::seconds keep_alive) {
    virtual_time_fixture w;
    std::optional<network_client> client(std::in_place, tern::testing::link{w.net});
    auto options = virtual_time_fixture::lasting();
    options.keep_alive = keep_alive;
    w.server.connected_as(*client, options);
    if (t == traffic::received) receive_burst(w, *client);
    if (t == traffic::published_0) publish_burst(w, *client, qos::at_most_once);
    if (t == traffic::published_1) publish_burst(w, *client, qos::at_least_once);
    if (t == traffic::published_2) publish_burst(w, *client, qos::exactly_once);
    if (t == traffic::published_in_time) publish_burst(w, *client, qos::at_least_once, 24h);
    if (t == traffic::pings) ping_burst(w, *client);
    if (t == traffic::events) event_burst(w, *client);
    for (int i = 0; keep_alive != 0s && i != 3; ++i) {
        w.server.expect<pingreq>();
        w.server.send(pingresp{});
    }
    w.net.run_for(keep_alive == 0s ? std::chrono::seconds(1h) : 10s);
    const std::size_t before = heap::live_bytes();
    client.reset();
    w.net.run_for(1s);
    return before - heap::live_bytes();
}

} // namespace

TEST_CASE("An idle client is back at its memory of before a burst") {
    const auto keep_alive = GENERATE(0s, 60s);
    const auto burst = GENERATE(traffic::received, traffic::published_0, traffic::published_1, traffic::published_2,
                                traffic::published_in_time, traffic::pings, traffic::events);
    CAPTURE(static_cast<int>(burst), keep_alive.count());
    CHECK(memory_of_client(burst, keep_alive) <= memory_of_client(traffic::none, keep_alive) + 4'096);
}
