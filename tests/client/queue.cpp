// Queued messages: before the first connection, during an outage, and when the queue is full.
#include "network_test.hpp"

namespace {

// A client whose broker has become unreachable.
struct offline_fixture : virtual_time_fixture {
    explicit offline_fixture(const queue_options& queue) {
        auto options = lasting();
        options.queue = queue;
        connect(options);
        net.forget("localhost");
        cut();
        next_event(connection_change::retrying);
    }
    void comes_back() {
        net.listen("localhost", [this](tern::testing::link stream) { server.accept(std::move(stream)); });
        accepts_again();
    }
};

TEST_CASE("Messages published before the first connection are sent on it, in order") {
    virtual_time_fixture w;
    const auto a = publishes(w.client, {.topic = "a"});
    const auto b = publishes(w.client, {.topic = "b", .qos = qos::at_least_once});
    CHECK(w.client.try_publish({.topic = "c"}) == std::error_code{});
    w.net.run_for(1h);
    CHECK_FALSE(a.called());
    CHECK(w.client.counters().queued == 3);
    CHECK(w.client.counters().queued_bytes > 0);
    w.connect();
    std::vector<std::string> topics;
    for (int i = 0; i != 3; ++i) {
        const auto p = w.server.expect<publish>();
        topics.emplace_back(p.message.topic);
        if (p.packet_id != 0) w.server.send(puback{.packet_id = p.packet_id});
    }
    CHECK(w.wait(a) == std::error_code{});
    CHECK(w.wait(b) == std::error_code{});
    CHECK(topics == std::vector<std::string>{"a", "b", "c"});
    CHECK(w.client.counters().queued == 0);
}

TEST_CASE("A full queue refuses messages, by number and by bytes") {
    const bool by_bytes = GENERATE(false, true);
    const std::string large(500, 'x');
    offline_fixture w(by_bytes ? queue_options{.bytes = 1'200} : queue_options{.messages = 2});
    const message_view m{.topic = "t", .payload = large, .qos = qos::at_least_once};
    const auto a = publishes(w.client, m);
    const auto b = publishes(w.client, m);
    CHECK(w.wait(publishes(w.client, m)) == misuse(errc::queue_full));
    CHECK(w.client.try_publish(m) == misuse(errc::queue_full));
    w.comes_back();
    for (int i = 0; i != 2; ++i)
        w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
    CHECK(w.wait(a) == std::error_code{});
    CHECK(w.wait(b) == std::error_code{});
    CHECK(w.client.try_publish(m) == std::error_code{});
}

TEST_CASE("A full queue may make the publish operation wait") {
    offline_fixture w({.messages = 1, .when_full = full_queue_action::wait});
    const auto a = publishes(w.client, {.topic = "a"});
    const auto b = publishes(w.client, {.topic = "b"});
    CHECK(w.client.try_publish({.topic = "c"}) == misuse(errc::queue_full)); // no operation would wait
    w.comes_back();
    CHECK(w.server.expect<publish>().message.topic == "a");
    CHECK(w.server.expect<publish>().message.topic == "b");
    CHECK(w.wait(a) == std::error_code{});
    CHECK(w.wait(b) == std::error_code{});
}

TEST_CASE("A full queue may drop messages, and every dropped message is reported") {
    SECTION("the oldest of QoS 0") {
        offline_fixture w({.messages = 2, .when_full = full_queue_action::drop_oldest_qos_0});
        const auto a = publishes(w.client, {.topic = "a", .qos = qos::at_least_once});
        const auto b = publishes(w.client, {.topic = "b"});
        const auto c = publishes(w.client, {.topic = "c", .qos = qos::at_least_once});
        CHECK(w.wait(b) == misuse(errc::message_dropped));
        CHECK(w.wait(publishes(w.client, {.topic = "d"})) == misuse(errc::queue_full));
        CHECK(w.client.counters().messages_dropped == 1);
        CHECK_FALSE(a.called());
        CHECK_FALSE(c.called());
    }
    SECTION("the newest") {
        offline_fixture w({.messages = 1, .when_full = full_queue_action::drop_newest});
        const auto a = publishes(w.client, {.topic = "a"});
        CHECK(w.wait(publishes(w.client, {.topic = "b"})) == misuse(errc::message_dropped));
        CHECK(w.client.try_publish({.topic = "c"}) == std::error_code{});
        CHECK_FALSE(a.called());
        w.comes_back();
        CHECK(w.server.expect<publish>().message.topic == "a");
        CHECK(w.wait(drains(w.client)) == std::error_code{});
        CHECK(w.server.is_silent());
    }
}

TEST_CASE("A message whose time to live expires in the queue is not sent") {
    offline_fixture w({});
    const auto begin = w.net.now();
    const auto a = publishes(w.client, {.topic = "a", .qos = qos::at_least_once}, {.time_to_live = 5s});
    const auto b = publishes(w.client, {.topic = "b", .qos = qos::at_least_once}, {.time_to_live = 2h});
    CHECK(w.client.try_publish({.topic = "c"}, {.time_to_live = 1s}) == std::error_code{});
    CHECK(w.wait(a) == misuse(errc::message_expired));
    CHECK(w.net.now() - begin == 5s);
    CHECK(w.wait(publishes(w.client, {.topic = "d"}, {.time_to_live = -1s})) == misuse(errc::invalid_time_to_live));
    w.comes_back();
    const auto sent = w.server.expect<publish>();
    CHECK(sent.message.topic == "b");
    w.server.send(puback{.packet_id = sent.packet_id});
    CHECK(w.wait(b) == std::error_code{});
    CHECK(w.client.counters().messages_dropped == 2);
}

TEST_CASE("A time to live expires also before the first connection") {
    virtual_time_fixture w;
    CHECK(w.wait(publishes(w.client, {.topic = "a"}, {.time_to_live = 5s})) == misuse(errc::message_expired));
}

TEST_CASE("A message's own expiry counts down while it waits") {
    offline_fixture w({});
    const auto a =
        publishes(w.client, {.topic = "a", .properties = {.message_expiry_interval = std::chrono::seconds{3'000}}});
    const auto b =
        publishes(w.client, {.topic = "b", .properties = {.message_expiry_interval = std::chrono::seconds{10}}});
    CHECK(w.wait(b) == misuse(errc::message_expired));
    w.net.run_for(990s);
    w.comes_back();
    const auto sent = w.server.expect<publish>().message.properties.message_expiry_interval;
    REQUIRE(sent);
    CHECK((*sent <= std::chrono::seconds{2'000}));
    CHECK((*sent >= std::chrono::seconds{1'800}));
    CHECK(w.wait(a) == std::error_code{});
}

TEST_CASE("A message that the next broker cannot accept completes with its own error") {
    virtual_time_fixture w;
    const auto a = publishes(w.client, {.topic = "a", .qos = qos::exactly_once});
    const auto b = publishes(w.client, {.topic = "b", .retain = true});
    const auto c = publishes(w.client, {.topic = "c"});
    w.server.connected_as(w.client, w.lasting(),
                          {.properties = {.maximum_qos = qos::at_least_once, .retain_available = false}});
    CHECK(w.wait(a) == misuse(errc::qos_not_supported));
    CHECK(w.wait(b) == misuse(errc::retain_not_supported));
    CHECK(w.wait(c) == std::error_code{});
    CHECK(w.server.expect<publish>().message.topic == "c");
}

TEST_CASE("A client that has ended refuses to publish") {
    virtual_time_fixture w;
    w.connect();
    const auto a = disconnects(w.client);
    CHECK(w.wait(publishes(w.client, {.topic = "t"})) == misuse(errc::disconnected));
    CHECK(w.wait(a) == std::error_code{});
    CHECK(w.wait(publishes(w.client, {.topic = "t"})) == misuse(errc::not_connected));
    CHECK(w.client.try_publish({.topic = "t"}) == misuse(errc::not_connected));
}

} // namespace
