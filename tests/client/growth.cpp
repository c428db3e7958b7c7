// The memory of a client after a burst, on virtual time.
#include "network_test.hpp"
#include "support/heap.hpp"

#include <optional>

namespace {

enum class traffic { none, burst };

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

// The memory of a client that has been idle for a while.
std::size_t memory_of_client(traffic t, std::chrono::seconds keep_alive) {
    virtual_time_fixture w;
    std::optional<network_client> client(std::in_place, tern::testing::link{w.net});
    auto options = virtual_time_fixture::lasting();
    options.keep_alive = keep_alive;
    w.server.connected_as(*client, options);
    if (t == traffic::burst) receive_burst(w, *client);
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

TEST_CASE("An idle client is back at its memory of before a burst of messages") {
    const auto keep_alive = GENERATE(0s, 60s);
    CAPTURE(keep_alive.count());
    CHECK(memory_of_client(traffic::burst, keep_alive) <= memory_of_client(traffic::none, keep_alive) + 4'096);
}
