// The client whose calls wait: results, time limits, interruption, and its destruction in each thread.
#include "tern/messaging/blocking_client.hpp"

#include "messaging_test.hpp"

namespace blocking_client_test {

using namespace messaging_test;

struct connected_client {
    explicit connected_client(connect_options options = {}) {
        options.host = "127.0.0.1";
        options.port = server.port();
        if (options.client_id.empty()) options.client_id = "c";
        REQUIRE(client->connect(options, 20s));
    }

    threaded_broker server;
    std::unique_ptr<blocking_client> client = std::make_unique<blocking_client>();
};

TEST_CASE("The calls of a blocking client return their results") {
    connected_client c;
    blocking_client& client = *c.client;
    CHECK(client.subscribe({.filter = "t", .max_qos = qos::exactly_once}, 20s)->reason_code ==
          reason_code::granted_qos_2);
    for (const qos q : {qos::at_most_once, qos::at_least_once, qos::exactly_once}) {
        CHECK(client.publish({.topic = "t", .payload = "text", .qos = q}, 20s).error == std::error_code{});
        const auto message = client.receive(20s);
        REQUIRE(message);
        CHECK(message->topic == "t");
        CHECK(message->payload == "text");
    }
    CHECK(client.try_publish({.topic = "t", .payload = "1"}) == std::error_code{});
    CHECK(client.drain(20s) == std::error_code{});
    std::vector<received_message> batch(5);
    CHECK(client.receive_some(batch, 20s).value == 1);
    CHECK(client.ping(20s) == std::error_code{});
    CHECK(client.counters()->messages_sent == 4);
    CHECK(client.call([](auto& plain) { return plain.is_connected(); }).value);
    CHECK(client.call([](auto&) {}) == std::error_code{});
    CHECK(client.next_event(20s)->change == connection_change::connecting);
    event_position position;
    CHECK(client.next_event(position, 20s)); // connected; the event before was returned
    CHECK(client.publish("u", "text", qos::at_least_once, 20s).error == std::error_code{});
    CHECK(client.subscribe("u", 20s));
    const std::array<std::string_view, 2> filters{"t", "u"};
    CHECK(client.unsubscribe(filters, 20s).error == std::error_code{});
    CHECK(client.unsubscribe("v", 20s).error == std::error_code{});
    CHECK(client.disconnect(20s) == std::error_code{});
    CHECK(client.wait_stopped(20s) == std::error_code{});
    CHECK(client.ping() == errc::not_connected);
    CHECK(c.server.violations() == 0);
}

TEST_CASE("A call of a blocking client returns a refusal with its details") {
    blocking_client client;
    testing::broker_options options;
    options.on_connect = [](const tern::connect&) { return reason_code::not_authorized; };
    threaded_broker server(options);
    const auto refused = client.connect(options_for(server.port()), 20s);
    CHECK_FALSE(refused);
    CHECK(refused.error == reason_code::not_authorized);
    CHECK(refused->reason_code == reason_code::not_authorized);
    CHECK(client.publish({.topic = "a/#"}).error == errc::invalid_topic_name);
}

TEST_CASE("A call of a blocking client ends at its time limit and loses nothing") {
    connected_client c;
    CHECK(c.client->receive(10ms).error == errc::operation_timeout);
    CHECK(c.client->next_event(20s)); // connecting
    CHECK(c.client->next_event(20s)); // connected
    CHECK(c.client->next_event(1ms).error == errc::operation_timeout);
    REQUIRE(c.client->subscribe({.filter = "t"}, 20s));
    REQUIRE(c.client->publish({.topic = "t", .payload = "1"}, 20s));
    CHECK(c.client->receive(20s)->payload == "1");
}

TEST_CASE("A blocking client refuses a time limit that is out of range") {
    connected_client c;
    for (const std::chrono::milliseconds limit : {std::chrono::milliseconds(-1), std::chrono::milliseconds::max(),
                                                  std::chrono::milliseconds(std::chrono::years(2))}) {
        CHECK(c.client->receive(limit).error == errc::invalid_operation_timeout);
        CHECK(c.client->publish("t", "", limit).error == errc::invalid_operation_timeout);
        CHECK(c.client->subscribe("t", limit).error == errc::invalid_operation_timeout);
        CHECK(c.client->connect({}, limit).error == errc::invalid_operation_timeout);
        CHECK(c.client->drain(limit) == errc::invalid_operation_timeout);
    }
    CHECK(c.client->ping(std::chrono::years(1)) == std::error_code{});
}

template <class Client>
concept takes_braced_filters = requires(Client& client) { client.subscribe({"a", "b"}); } ||
                               requires(Client& client) { client.unsubscribe({"a", "b"}); };
static_assert(!takes_braced_filters<blocking_client>, "two literals are the iterators of one string");
template <class Client>
concept gives_dangling_view = requires(Client& client) { (*client.receive()).view(); };
static_assert(!gives_dangling_view<blocking_client>);

TEST_CASE("A blocking client takes arguments that own their contents, and a list of subscriptions") {
    connected_client c;
    CHECK(c.client->subscribe({{.filter = "t"}, {.filter = "u", .max_qos = qos::exactly_once}}, 20s)
              ->reason_codes.size() == 2);
    const message m({.topic = "u", .payload = "1", .qos = qos::exactly_once});
    CHECK(c.client->publish(m, publish_options{.timeout = 20s}));
    CHECK(c.client->try_publish(m) == std::error_code{});
    for (int i = 0; i != 2; ++i)
        CHECK(c.client->receive(20s)->qos == qos::exactly_once);
}

TEST_CASE("A blocking client continues when memory has run out in its thread") {
    connected_client c;
    CHECK(c.client->call([](auto&) { throw std::bad_alloc(); }) == asio::error::operation_aborted);
    CHECK(c.client->ping(20s) == std::error_code{});
}

TEST_CASE("A blocking client removes a message that could not be sent within the time limit") {
    const closed_port closed;
    blocking_client client;
    CHECK(client.connect(options_for_nothing(closed.number()), 20ms).error == errc::operation_timeout);
    // The run has ended with the call.
    CHECK(client.publish({.topic = "t"}, 20s).error == errc::not_connected);
    std::error_code connected;
    std::thread connecting([&] { connected = client.connect(options_for_nothing(closed.number())).error; });
    while (client.publish({.topic = "t", .qos = qos::at_least_once}, 10ms).error != errc::operation_timeout)
        std::this_thread::yield(); // until the other thread has begun the run
    CHECK(client.counters()->queued == 0);
    client.cancel();
    connecting.join();
    CHECK(connected == asio::error::operation_aborted);
}

// A server that accepts a client and answers nothing else. It counts the bytes after CONNECT.
class silent_peer {
public:
    silent_peer() {
        acceptor_.async_accept([this](std::error_code, asio::ip::tcp::socket accepted) {
            socket_.emplace(std::move(accepted));
            read();
        });
    }
    silent_peer(const silent_peer&) = delete;
    silent_peer& operator=(const silent_peer&) = delete;
    ~silent_peer() { context_.stop(); }

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    void wait_for(std::size_t bytes) {
        while (bytes_ < bytes)
            std::this_thread::yield();
    }

private:
    void read() {
        socket_->async_read_some(asio::buffer(input_), [this](std::error_code error, std::size_t size) {
            if (error) return;
            if (std::exchange(is_accepted_, true))
                bytes_ += size;
            else
                asio::write(*socket_, asio::buffer("\x20\x03\0\0\0", 5)); // CONNACK
            read();
        });
    }

    running_context context_;
    asio::ip::tcp::acceptor acceptor_{context_.io, {asio::ip::address_v4::loopback(), 0}};
    std::optional<asio::ip::tcp::socket> socket_;
    std::array<char, 1024> input_{};
    bool is_accepted_ = false;
    std::atomic<std::size_t> bytes_ = 0;
};

// Threads that wait in calls of a client, because its broker does not answer.
struct waiting_threads {
    waiting_threads() {
        REQUIRE(client->connect(options_for(peer.port()), 20s));
        for (std::size_t i = 0; i != errors.size(); ++i)
            threads.emplace_back([this, i, timeout = i % 2 == 0 ? 0s : 3600s] {
                errors[i] = client->publish({.topic = "t", .qos = qos::at_least_once}, timeout).error;
            });
        peer.wait_for(errors.size() * 8); // the size of each PUBLISH
    }
    waiting_threads(const waiting_threads&) = delete;
    waiting_threads& operator=(const waiting_threads&) = delete;
    ~waiting_threads() = default;
    void join() {
        for (std::thread& one : threads)
            one.join();
    }

    silent_peer peer;
    std::unique_ptr<blocking_client> client = std::make_unique<blocking_client>();
    std::array<std::error_code, 4> errors;
    std::vector<std::thread> threads;
};

TEST_CASE("cancel interrupts the calls of a blocking client in other threads") {
    waiting_threads w;
    w.client->cancel();
    w.join();
    for (const std::error_code& error : w.errors)
        CHECK(error.category() == outcome_unknown_category()); // PUBLISH was sent
    std::error_code received;
    std::thread receiver([&] { received = w.client->receive().error; });
    w.client->cancel();
    receiver.join();
    CHECK(received == asio::error::operation_aborted);
}

TEST_CASE("A blocking client can be destroyed while other threads wait in its calls") {
    for (int round = 0; round != 20; ++round) {
        waiting_threads w;
        w.client.reset();
        w.join();
        for (const std::error_code& error : w.errors)
            CHECK(error == asio::error::operation_aborted);
    }
}

TEST_CASE("A call that would wait in the blocking client's own thread returns an error") {
    connected_client c;
    std::promise<std::vector<std::error_code>> results;
    c.client->set_message_callback([&](const tern::received&) {
        blocking_client& client = *c.client;
        results.set_value({client.ping(), client.receive().error, client.publish({.topic = "u"}, 1s).error,
                           client.try_publish({.topic = "u"})});
    });
    REQUIRE(c.client->subscribe({.filter = "t"}, 20s));
    REQUIRE(c.client->publish({.topic = "t"}, 20s));
    const auto errors = value_of(results.get_future());
    for (int i = 0; i != 3; ++i)
        CHECK(errors[static_cast<std::size_t>(i)] == std::errc::resource_deadlock_would_occur);
    CHECK(errors[3] == std::error_code{});
}

TEST_CASE("A blocking client can be destroyed in its message callback") {
    connected_client c;
    std::promise<void> destroyed;
    REQUIRE(c.client->subscribe({.filter = "t"}, 20s));
    c.client->set_message_callback([&](const tern::received&) {
        c.client.reset();
        destroyed.set_value();
    });
    CHECK(c.client->try_publish({.topic = "t"}) == std::error_code{});
    value_of(destroyed.get_future());
}

TEST_CASE("A message of a blocking client is acknowledged by hand, also after the client is destroyed") {
    connect_options options;
    options.acknowledge = acknowledgement_mode::manual;
    options.properties.receive_maximum = 1;
    connected_client c(options);
    REQUIRE(c.client->subscribe({.filter = "t", .max_qos = qos::at_least_once}, 20s));
    for (int i = 0; i != 3; ++i)
        CHECK(c.client->try_publish({.topic = "t", .qos = qos::at_least_once}) == std::error_code{});
    auto first = c.client->receive(20s);
    CHECK(c.client->receive(10ms).error == errc::operation_timeout);
    first->acknowledge();
    auto second = c.client->receive(20s);
    REQUIRE(second);
    c.client.reset();
    second->acknowledge();
}

TEST_CASE("Eight threads call a blocking client at the same time") {
    connected_client c;
    REQUIRE(c.client->subscribe({.filter = "t"}, 20s));
    std::atomic<int> failed = 0, received = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n != 50; ++n)
                failed += !c.client->publish({.topic = "t", .qos = qos::at_least_once}, 20s);
        });
        threads.emplace_back([&] {
            for (int n = 0; n != 50; ++n)
                c.client->receive(20s) ? ++received : ++failed;
        });
    }
    for (std::thread& one : threads)
        one.join();
    CHECK(failed == 0);
    CHECK(received == 200);
}

} // namespace blocking_client_test
