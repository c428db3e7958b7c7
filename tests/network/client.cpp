// A client on the network: with the test broker, and with a scripted peer.
#include "network_test.hpp"
#include "tern/client/engine.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/scripted_peer.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace {

using namespace tern;
using tern::testing::broker;
using tern::testing::scripted_peer;
using network_client = basic_client<tern_link>;

// The options of a client that keeps its session across connections.
connect_options lasting(std::string_view id) {
    return {
        .client_id = id, .clean_start = false, .properties = {.session_expiry_interval = std::chrono::seconds{86'400}}};
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

// A transport that waits for bytes as a layer over a socket does: the wait reports the socket, not what was decoded
// after it began.
class hoarding_link {
public:
    using executor_type = tern_link::executor_type;
    template <class Other>
    struct rebind_executor {
        using other = hoarding_link;
    };

    // Bytes that were decoded, and how many of them are read at once.
    struct hoard {
        std::string bytes;
        std::size_t piece = 1'000;
    };

    hoarding_link(tern_link next, std::shared_ptr<hoard> decoded)
        : next_(std::move(next))
        , hoard_(std::move(decoded))
        , room_(std::make_unique<std::array<char, 1'000>>()) {}

    executor_type get_executor() noexcept { return next_.get_executor(); }
    template <class Token>
    auto async_open(const endpoint& where, const open_timeouts& timeouts, Token&& token) {
        return next_.async_open(where, timeouts, std::forward<Token>(token));
    }
    connection_phase opening_phase() const noexcept { return next_.opening_phase(); }
    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return next_.async_read_some(buffer, std::forward<Token>(token));
    }
    template <class Token>
    void async_wait_read(Token token) {
        if (!hoard_->bytes.empty()) return asio::post(get_executor(), [t = std::move(token)] { t(std::error_code()); });
        next_.async_read_some(asio::buffer(*room_),
                              [this, t = std::move(token)](const std::error_code& error, std::size_t count) {
                                  hoard_->bytes.append(room_->data(), count);
                                  t(error);
                              });
    }
    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept {
        const std::size_t count = std::min({hoard_->bytes.size(), hoard_->piece, buffer.size()});
        error = count == 0 ? std::error_code(asio::error::would_block) : std::error_code();
        hoard_->bytes.copy(static_cast<char*>(buffer.data()), count);
        hoard_->bytes.erase(0, count);
        return count;
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return next_.async_write_some(buffers, std::forward<Token>(token));
    }
    void shutdown_send() noexcept { next_.shutdown_send(); }
    void close() noexcept { next_.close(); }
    auto now() const noexcept { return next_.now(); }
    auto make_timer() { return next_.make_timer(); }
    std::uint64_t seed() { return next_.seed(); }

private:
    tern_link next_;
    std::shared_ptr<hoard> hoard_;
    std::unique_ptr<std::array<char, 1'000>> room_;
};
static_assert(readable_transport<hoarding_link>);

TEST_CASE("Bytes that a deadline finds are all read, although the wait for bytes does not report them") {
    network net;
    broker server{net.get_executor(), {}, net.clock()};
    net.listen("localhost", server);
    const auto decoded = std::make_shared<hoarding_link::hoard>();
    basic_client<hoarding_link> client{hoarding_link(tern_link(net), decoded)};
    outcome connected;
    client.async_connect({.client_id = "c", .keep_alive = 60s},
                         [&](std::error_code error, const connect_result&) { (*connected)(error); });
    REQUIRE(net.run_until([&] { return connected.done; }));
    REQUIRE_FALSE(connected.error);
    net.run_ready();

    const std::string message("\x30\x05\0\x01t\0x", 7); // PUBLISH, QoS 0
    std::vector<std::chrono::steady_clock::time_point> arrivals;
    const auto receive = [&](const auto& self) -> void {
        client.async_receive([&](std::error_code error, const auto&) {
            if (error) return;
            arrivals.push_back(net.now());
            self(self);
        });
    };
    receive(receive);
    net.run_for(30s);
    client.async_publish({.topic = "u", .payload = "x"}, asio::detached);
    decoded->piece = message.size();
    for (int i = 0; i != 100; ++i)
        decoded->bytes += message;
    net.run_for(30s); // the deadline of a ping, which the first bytes postpone, since the client has written meanwhile
    REQUIRE(arrivals.size() == 100);
    CHECK(arrivals.front() == arrivals.back());
    client.async_disconnect(asio::detached);
    net.run_for(10s);
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

// A program that receives "in" and publishes "out", which it receives, too. It awaits each publish before it receives
// the next message, while more messages wait than its inbox holds. "in" comes from itself or from another client.
struct echo {
    enum class taking { handlers, coroutine, callback, manually };

    echo(protocol_version v, qos q, taking t, int n) : version(v), level(q), how(t), count(n) {
        net.listen("localhost", server);
    }

    void start(network_client& publisher) {
        connect_options options{.version = version, .client_id = "c", .max_in_flight = 100};
        options.queue.messages = 10'000;
        if (how == taking::manually) options.acknowledge = acknowledgement_mode::manual;
        if (how == taking::callback) client.set_message_callback([this](const received& m) { on_message(m); });
        client.async_connect(options, [this](std::error_code error, const connect_result&) {
            REQUIRE_FALSE(error);
            client.async_subscribe({.filter = "#", .max_qos = level}, [this](std::error_code refused, const auto&) {
                REQUIRE_FALSE(refused);
                is_subscribed = true;
            });
        });
        REQUIRE(net.run_until([&] { return is_subscribed; }));
        if (&publisher != &client) {
            options.client_id = "p";
            publisher.async_connect(options,
                                    [](std::error_code error, const connect_result&) { REQUIRE_FALSE(error); });
        }
        for (int i = 0; i != count; ++i)
            publisher.async_publish({.topic = "in", .payload = "x", .qos = level}, [](auto, const auto&) {});
        if (how == taking::coroutine)
            asio::co_spawn(net.get_executor(), receive_all(), asio::detached);
        else if (how != taking::callback)
            receive();
    }

    void receive() {
        client.async_receive([this](std::error_code error, received_message m) {
            if (error) return;
            if (m.topic == "out") {
                ++echoed;
                m.acknowledge();
                return receive();
            }
            const std::string payload(m.payload);
            client.async_publish({.topic = "out", .payload = payload, .qos = level},
                                 [this, m = std::move(m)](std::error_code failed, const auto&) mutable {
                                     CHECK_FALSE(failed);
                                     m.acknowledge();
                                     receive();
                                 });
        });
    }
    asio::awaitable<void> receive_all() {
        for (;;) {
            const received_message m = co_await client.async_receive(asio::use_awaitable);
            if (m.topic == "out")
                ++echoed;
            else
                co_await client.async_publish({.topic = "out", .payload = m.payload, .qos = level},
                                              asio::use_awaitable);
        }
    }
    void on_message(const received& m) {
        if (m.topic == "out")
            ++echoed;
        else
            client.async_publish({.topic = "out", .payload = m.payload, .qos = level}, [](auto, const auto&) {});
    }

    network net;
    broker server{net.get_executor(), {}, net.clock()};
    network_client client{tern_link(net)};
    protocol_version version;
    qos level;
    taking how;
    int count;
    bool is_subscribed = false;
    int echoed = 0;
};

static void check_echo(echo::taking how) {
    for (const protocol_version version : {protocol_version::v3_1_1, protocol_version::v5}) {
        for (const unsigned level : {0U, 1U, 2U}) {
            for (const bool by_another : {false, true}) {
                INFO("version " << static_cast<int>(version) << ", QoS " << level
                                << (by_another ? ", two clients" : ", one client"));
                echo program(version, static_cast<qos>(level), how, 5'000);
                network_client other{tern_link(program.net)};
                program.start(by_another ? other : program.client);
                CHECK(program.net.run_until([&] { return program.echoed == program.count; }, 20min));
                CHECK(program.server.violations().empty());
            }
        }
    }
}
TEST_CASE("A program that awaits publishes in its receive loop echoes a burst that exceeds its inbox") {
    check_echo(echo::taking::handlers);
}
TEST_CASE("A coroutine that awaits publishes in its receive loop echoes a burst that exceeds its inbox") {
    check_echo(echo::taking::coroutine);
}
TEST_CASE("A message callback echoes a burst of messages") {
    check_echo(echo::taking::callback);
}
TEST_CASE("A program that acknowledges messages itself when they are echoed echoes a burst that exceeds its inbox") {
    check_echo(echo::taking::manually);
}
