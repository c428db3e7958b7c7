// A client over WebSocket with Mosquitto.
#include "../interop/process.hpp"
#include "../interop/proxy.hpp"
#include "scenario.hpp"
#include "tern/client/engine.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/websocket.hpp"

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

namespace mosquitto_test {

using namespace std::chrono_literals;
using tern::protocol_version;
using tern::qos;

std::uint16_t free_port(asio::io_context& io) {
    const asio::ip::tcp::endpoint any(asio::ip::address_v4::loopback(), 0);
    return asio::ip::tcp::acceptor(io, any).local_endpoint().port();
}

// A broker with a listener for WebSocket. It has another one, because Mosquitto does not start with one of these alone.
struct fixture {
    fixture() {
        for (int attempt = 1; !broker; ++attempt) { // another process may take the port
            port = free_port(io);
            try {
                broker = std::make_unique<interop::mosquitto>("allow_anonymous true\nlistener " + std::to_string(port) +
                                                              " 127.0.0.1\nprotocol websockets\nsocket_domain ipv4\n");
            } catch (const std::runtime_error&) {
                if (attempt == 5) throw;
            }
        }
    }

    void run(asio::awaitable<void> work) {
        websocket_scenario::run(io.get_executor(), std::move(work),
                                [this](const std::function<bool()>& done) { return until(done); });
    }
    bool until(const std::function<bool()>& done) { return tern::testing::run_until(io, done, 30s); }

    tern::connect_options options(protocol_version version) const {
        return {.host = "127.0.0.1", .port = port, .version = version, .client_id = "c"};
    }

    // Mosquitto sends at most 4 KiB to a client over WebSocket in each round of its loop, which waits up to 100 ms for
    // other events: those of this client, until the test ends.
    void keep_broker_awake() {
        awake.emplace(io);
        asio::co_spawn(
            io,
            [](tern::client& c, std::uint16_t at) -> asio::awaitable<void> {
                const tern::connect_options plain{.host = "127.0.0.1", .port = at};
                co_await c.async_connect(plain, asio::use_awaitable);
                for (;;)
                    co_await c.async_ping(asio::use_awaitable);
            }(*awake, broker->port()),
            [](const std::exception_ptr&) {});
    }

    asio::io_context io;
    std::uint16_t port = 0;
    std::unique_ptr<interop::mosquitto> broker;
    tern::basic_client<tern::websocket> client{io};
    std::optional<tern::client> awake;
};

TEST_CASE("messages of every size and QoS pass through Mosquitto over WebSocket, in both versions") {
    fixture f;
    f.keep_broker_awake();
    for (const protocol_version version : {protocol_version::v3_1_1, protocol_version::v5})
        f.run(websocket_scenario::echo_all(f.client, f.options(version)));
}

TEST_CASE("a client over WebSocket connects again after Mosquitto has been restarted") {
    fixture f;
    for (const protocol_version version : {protocol_version::v3_1_1, protocol_version::v5}) {
        f.run([](fixture& w, tern::connect_options options) -> asio::awaitable<void> {
            options.reconnect.first_delay = 50ms;
            co_await w.client.async_connect(options, asio::use_awaitable);
        }(f, f.options(version)));
        f.broker->kill();
        REQUIRE(f.until([&] { return !f.client.is_connected(); }));
        f.broker->restart();
        REQUIRE(f.until([&] { return f.client.is_connected(); }));
        f.run([](fixture& w) -> asio::awaitable<void> {
            co_await websocket_scenario::echo(w.client, qos::exactly_once, 126);
            co_await w.client.async_disconnect(asio::use_awaitable);
        }(f));
    }
}

TEST_CASE("QoS 1 and 2 messages arrive although connections over WebSocket are cut at random") {
    fixture f;
    f.keep_broker_awake();
    interop::proxy network(f.io, f.port, 1);
    tern::connect_options options = f.options(protocol_version::v5);
    options.port = network.port();
    options.clean_start = false;
    options.properties.session_expiry_interval = 3'600s;
    options.reconnect = {.first_delay = 1ms, .longest_delay = 20ms};
    f.run([](fixture& w, const tern::connect_options& o) -> asio::awaitable<void> {
        co_await w.client.async_connect(o, asio::use_awaitable);
        const tern::subscription all{.filter = "cut", .max_qos = qos::exactly_once};
        co_await w.client.async_subscribe(all, asio::use_awaitable);
    }(f, options));
    network.set_faults(interop::proxy::faults::injected);
    f.client.transport().close(); // this connection would never be cut

    std::map<std::string, int> arrived;
    std::map<std::string, std::error_code> completed;
    f.client.set_message_callback([&](const auto& received) { ++arrived[std::string(received.payload.substr(0, 2))]; });
    constexpr int count = 20;
    for (int i = 10; i != 10 + count; ++i) {
        const std::string payload = std::to_string(i) + std::string(3'000, 'x');
        const qos level = i % 2 == 0 ? qos::at_least_once : qos::exactly_once;
        f.client.async_publish(
            {.topic = "cut", .payload = payload, .qos = level},
            [&completed, i](std::error_code e, const tern::acknowledgement&) { completed[std::to_string(i)] = e; });
    }
    REQUIRE(f.until([&] { return completed.size() == count; }));
    for (const auto& [name, error] : completed) {
        if (error) // an attempt to connect may have ended without an answer, and with it the session
            CHECK(error.category() == tern::outcome_unknown_category());
        else
            CHECK(f.until([&, &expected = name] { return arrived[expected] != 0; }));
    }
    CHECK(network.totals().cuts() > 10);
    f.client.cancel();
}

TEST_CASE("a plain listener of Mosquitto refuses the upgrade, and the client says so") {
    fixture f;
    tern::connect_options options = f.options(protocol_version::v5);
    options.port = f.broker->port();
    bool is_done = false;
    f.client.async_connect(options, [&](std::error_code error, const tern::connect_result&) {
        CHECK(error);
        is_done = true;
    });
    CHECK(f.until([&] { return is_done; }));
}

} // namespace mosquitto_test
