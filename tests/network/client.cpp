// A client on the network: with the test broker, and with a scripted peer.
#include "network_test.hpp"
#include "tern/client/engine.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/scripted_peer.hpp"

namespace {

using namespace tern;
using tern::testing::broker;
using tern::testing::scripted_peer;
using network_client = basic_client<tern_link>;

// The options of a client that keeps its session across connections.
connect_options lasting(std::string_view id) {
    return {.client_id = id, .clean_start = false, .properties = {.session_expiry_interval = 86'400}};
}

// A client and the broker. The client receives the messages that it publishes.
struct client_fixture {
    explicit client_fixture(std::uint64_t seed = 1) : net(seed) { net.listen("localhost", server); }

    // Connects, subscribes, and publishes a message with each QoS.
    void start() {
        client.async_connect(lasting("c"), [this](std::error_code error, const connect_result&) {
            connect_error = error;
            if (error) return;
            client.async_subscribe({.filter = "t", .max_qos = qos::exactly_once},
                                   [this](std::error_code refused, const acknowledgement&) {
                                       CHECK_FALSE(refused);
                                       is_subscribed = true;
                                   });
            for (int i = 0; i != 3; ++i) {
                const std::string payload = "message " + std::to_string(i);
                client.async_publish({.topic = "t", .payload = payload, .qos = static_cast<qos>(i)},
                                     [this, i](std::error_code failed, const acknowledgement&) {
                                         if (i != 0) CHECK_FALSE(failed);
                                         ++completed;
                                     });
            }
        });
        receive();
    }
    void receive() {
        client.async_receive([this](std::error_code error, const auto& m) {
            if (error) return;
            ++received[std::string(m.payload)];
            receive();
        });
    }
    // Runs until connecting has failed, or all messages are published and received.
    bool works() {
        return net.run_until([&] { return connect_error || (completed == 3 && has_all()); }, 10min);
    }
    bool has_all() const { return received.contains("message 1") && received.contains("message 2"); }

    network net;
    broker server{net.get_executor(), {}, net.clock()};
    network_client client{tern_link(net)};
    std::error_code connect_error;
    bool is_subscribed = false;
    int completed = 0;
    std::map<std::string, int> received;
};

TEST_CASE("A client that is idle for a day of virtual time keeps its connection alive") {
    client_fixture w;
    w.net.usual({.to_server = {.latency = 40ms}, .to_client = {.latency = 40ms}});
    w.start();
    REQUIRE(w.works());
    const auto writes = w.net.count(step::write);
    w.net.run_for(24h);
    CHECK(w.client.is_connected());
    CHECK(w.net.count(step::write) - writes >= 24 * 60); // pings
    CHECK(w.net.count(step::connect) == 1);
    CHECK(w.server.violations().empty());
}

TEST_CASE("A client tries the addresses of a host until one accepts") {
    client_fixture w;
    w.net.forget("localhost");
    w.net.refuse("localhost");
    w.net.ignore("localhost");
    w.net.listen("localhost", w.server);
    const auto start = w.net.now();
    w.start();
    REQUIRE(w.works());
    CHECK_FALSE(w.connect_error);
    CHECK(w.net.count(step::connect) == 3);
    CHECK(w.net.now() - start >= 10s); // the connect timeout of the second address
}

TEST_CASE("Published messages are delivered however the connection is cut") {
    const auto how = GENERATE(ending::close, ending::reset, ending::stall);
    const bool to_server = GENERATE(true, false);
    for (std::size_t after = 0; after != 120; ++after) {
        CAPTURE(how, to_server, after);
        client_fixture w;
        link_options options{.to_client = {.latency = 10ms}};
        (to_server ? options.to_server : options.to_client).cut = cut{after, how};
        w.net.next(options);
        w.start();
        REQUIRE(w.works());
        if (w.connect_error) { // the first attempt is not retried, see reconnect_policy
            CHECK(w.received.empty());
            continue;
        }
        CHECK(w.received["message 2"] == 1);
        CHECK(w.server.violations().empty());
    }
}

TEST_CASE("A client survives each failing or hanging operation") {
    const bool hangs = GENERATE(false, true);
    for (std::size_t nth = 1; nth != 25; ++nth) {
        CAPTURE(hangs, nth);
        client_fixture w;
        hangs ? w.net.hang(step::any, nth) : w.net.fail(step::any, nth, asio::error::connection_aborted);
        w.start();
        REQUIRE(w.works());
        if (!w.connect_error) CHECK(w.received["message 2"] == 1);
        CHECK(w.server.violations().empty());
    }
}

// The times of the reconnections in an hour of bad connections.
std::string bad_hour(std::uint64_t seed) {
    client_fixture w(seed);
    w.net.usual({.to_server = {.jitter = 50ms, .pieces = pieces::random},
                 .to_client = {.jitter = 50ms, .pieces = pieces::random}});
    w.start();
    CHECK(w.works());
    std::string log;
    const auto end = w.net.now() + 1h;
    while (w.net.now() < end) {
        w.net.run_for(std::chrono::seconds(w.net.random(100)));
        w.net.end_all(static_cast<ending>(w.net.random(3)));
        CHECK(w.net.run_until([&] { return w.client.is_connected(); }, 10min));
        log += std::to_string(w.net.now().time_since_epoch().count()) + '\n';
    }
    CHECK(w.server.violations().empty());
    return log;
}

TEST_CASE("A client behaves the same with the same seed") {
    CHECK(bad_hour(1) == bad_hour(1));
    CHECK(bad_hour(1) != bad_hour(2));
}

TEST_CASE("A client resends messages that a broker has not acknowledged before its crash") {
    network net;
    scripted_peer peer(net);
    net.listen("localhost", peer);
    peer.expect<tern::connect>([](const tern::connect& c) { return !c.clean_start && c.client_id == "c"; })
        .send(connack{})
        .expect<publish>([](const publish& p) { return !p.dup; })
        .reset()
        .expect<tern::connect>()
        .send(connack{.session_present = true})
        .expect<publish>([](const publish& p) { return p.dup; }, "the same again")
        .reply<publish>([](const publish& p) { return puback{.packet_id = p.packet_id}; })
        .expect<tern::disconnect>()
        .expect_end();
    network_client client{tern_link(net)};
    client.async_connect(lasting("c"), [](std::error_code error, const connect_result&) { CHECK_FALSE(error); });
    bool published = false;
    net.run_until([&] { return client.is_connected(); });
    client.async_publish({.topic = "t", .qos = qos::at_least_once}, [&](std::error_code error, const acknowledgement&) {
        CHECK_FALSE(error);
        published = true;
        client.async_disconnect(asio::detached);
    });
    net.run_until([&] { return peer.done(); });
    CAPTURE(peer.status());
    CHECK(peer.done());
    CHECK(peer.failure().empty());
    CHECK(published);
}

} // namespace

// A program that awaits each publish in its receive loop, while more messages wait than its inbox holds: it receives
// "in" and publishes "out", which it receives, too.
struct echo {
    echo(protocol_version v, qos q, int n) : version(v), level(q), count(n) { net.listen("localhost", server); }

    void start() {
        connect_options options{.version = version, .client_id = "c", .max_in_flight = 100};
        client.async_connect(options, [this](std::error_code error, const connect_result&) {
            REQUIRE_FALSE(error);
            client.async_subscribe({.filter = "#", .max_qos = level}, [this](std::error_code refused, const auto&) {
                REQUIRE_FALSE(refused);
                for (int i = 0; i != count; ++i)
                    client.async_publish({.topic = "in", .payload = "x", .qos = level}, [](auto, const auto&) {});
                receive();
            });
        });
    }
    void receive() {
        client.async_receive([this](std::error_code error, const received_message& m) {
            if (error) return;
            if (m.topic == "out") {
                ++echoed;
                return receive();
            }
            client.async_publish({.topic = "out", .payload = m.payload, .qos = level},
                                 [this](std::error_code failed, const auto&) {
                                     CHECK_FALSE(failed);
                                     receive();
                                 });
        });
    }

    network net;
    broker server{net.get_executor(), {}, net.clock()};
    network_client client{tern_link(net)};
    protocol_version version;
    qos level;
    int count;
    int echoed = 0;
};

TEST_CASE("A program that awaits publishes in its receive loop echoes a burst that exceeds its inbox") {
    for (const protocol_version version : {protocol_version::v3_1_1, protocol_version::v5}) {
        for (const unsigned level : {0U, 1U, 2U}) {
            INFO("version " << static_cast<int>(version) << ", QoS " << level);
            echo program(version, static_cast<qos>(level), 3'000);
            program.start();
            CHECK(program.net.run_until([&] { return program.echoed == program.count; }, 10min));
            CHECK(program.server.violations().empty());
        }
    }
}
