// The time limits of publish, subscribe and unsubscribe, on virtual time.
#include "network_test.hpp"

#if __has_include(<asio/cancel_after.hpp>)
#include <asio/cancel_after.hpp>
#endif

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace time_limit_tests {

constexpr auto versions = {v3_1_1, v5};
constexpr auto levels = {qos::at_most_once, qos::at_least_once, qos::exactly_once};

connect_options options_of(protocol_version version) {
    auto options = virtual_time_fixture::lasting();
    options.version = version;
    if (version == v3_1_1) options.properties = {};
    options.ack_timeout = 0s; // nothing but the limits of the operations ends them
    return options;
}

struct limits_fixture : virtual_time_fixture {
    explicit limits_fixture(protocol_version v = v5) : version(v) {}

    void connects() { connect(options_of(version)); }
    // Nothing else comes from the client.
    void stays_silent() {
        net.run_for(1min);
        CHECK(server.is_silent());
    }
    void acknowledge(packet_id id, qos level) {
        if (level == qos::at_least_once) return server.send(puback{.packet_id = id});
        server.send(pubrec{.packet_id = id});
        server.expect<pubrel>();
        server.send(pubcomp{.packet_id = id});
    }
    // The connection, and the whole window, can be used.
    void works() {
        for (const qos level : levels) {
            const auto a = publishes(client, {.topic = "works", .qos = level});
            const auto sent = server.expect<publish>();
            CHECK(sent.message.topic == "works");
            if (level != qos::at_most_once) acknowledge(sent.packet_id, level);
            CHECK(wait(a) == std::error_code{});
        }
    }

    protocol_version version;
};

const std::error_code late_unsent = misuse(errc::operation_timeout);
const std::error_code late_sent = outcome_unknown(errc::operation_timeout);

// ---- publish

void times_out_unsent(limits_fixture& w) {
    const auto begin = w.net.now();
    std::vector<answer<acknowledgement>> all;
    for (const qos level : levels)
        all.push_back(publishes(w.client, {.topic = "a", .payload = "p", .qos = level}, {.timeout = 5s}));
    const auto unlimited = publishes(w.client, {.topic = "b", .qos = qos::at_least_once});
    const auto drained = drains(w.client);
    for (const auto& a : all)
        CHECK(w.wait(a) == late_unsent);
    CHECK(w.net.now() - begin == 5s);
    CHECK(w.client.counters().queued == 1);
    w.net.listen("localhost", [&](tern::testing::link stream) { w.server.accept(std::move(stream)); });
    w.server.connections() == 0 ? w.connects() : w.accepts_again();
    const auto sent = w.server.expect<publish>();
    CHECK(sent.message.topic == "b");
    w.server.send(puback{.packet_id = sent.packet_id});
    CHECK(w.wait(unlimited) == std::error_code{});
    CHECK(w.wait(drained) == std::error_code{});
    w.works();
    w.stays_silent();
}

TEST_CASE("A publish that is over its time before the first connection is not sent") {
    for (const auto version : versions) {
        limits_fixture w(version);
        times_out_unsent(w);
    }
}

TEST_CASE("A publish that is over its time between two connections is not sent") {
    for (const auto version : versions) {
        limits_fixture w(version);
        w.connects();
        w.net.forget("localhost");
        w.cut();
        w.net.run_for(1s);
        times_out_unsent(w);
    }
}

TEST_CASE("A publish that is over its time behind a full window is not sent") {
    for (const auto version : versions) {
        for (const qos level : {qos::at_least_once, qos::exactly_once}) {
            limits_fixture w(version);
            auto options = options_of(version);
            options.max_in_flight = 1;
            w.connect(options);
            const auto first = publishes(w.client, {.topic = "first", .qos = level});
            const auto second = publishes(w.client, {.topic = "second", .qos = level}, {.timeout = 5s});
            const auto third = publishes(w.client, {.topic = "third", .qos = level}, {.timeout = 1h});
            const packet_id id = w.server.expect<publish>().packet_id;
            CHECK(w.wait(second) == late_unsent);
            CHECK_FALSE(first.called());
            w.acknowledge(id, level);
            CHECK(w.wait(first) == std::error_code{});
            const auto sent = w.server.expect<publish>();
            CHECK(sent.message.topic == "third");
            w.acknowledge(sent.packet_id, level);
            CHECK(w.wait(third) == std::error_code{});
            w.stays_silent();
        }
    }
}

TEST_CASE("A publish that was sent and is over its time has an unknown outcome, and its exchange goes on") {
    for (const auto version : versions) {
        for (const qos level : {qos::at_least_once, qos::exactly_once}) {
            limits_fixture w(version);
            w.connects();
            const auto begin = w.net.now();
            const auto a = publishes(w.client, {.topic = "a", .qos = level}, {.timeout = 5s});
            const auto b = publishes(w.client, {.topic = "b", .qos = level});
            const packet_id first = w.server.expect<publish>().packet_id;
            const packet_id second = w.server.expect<publish>().packet_id;
            CHECK(w.wait(a) == late_sent);
            CHECK(w.net.now() - begin == 5s);
            CHECK(w.client.is_connected());
            CHECK(w.client.counters().in_flight == 2); // its packet identifier stays in use
            w.acknowledge(first, level);
            w.acknowledge(second, level);
            CHECK(w.wait(b) == std::error_code{});
            CHECK(w.client.counters().in_flight == 0);
            CHECK(a.calls() == 1);
            w.works();
            w.stays_silent();
        }
    }
}

TEST_CASE("A QoS 2 publish that is over its time after PUBREC has an unknown outcome") {
    limits_fixture w;
    w.connects();
    const auto a = publishes(w.client, {.topic = "a", .qos = qos::exactly_once}, {.timeout = 5s});
    const packet_id id = w.server.expect<publish>().packet_id;
    w.server.send(pubrec{.packet_id = id});
    w.server.expect<pubrel>();
    CHECK(w.wait(a) == late_sent);
    w.server.send(pubcomp{.packet_id = id});
    w.works();
}

TEST_CASE("A message that the connection takes slowly is over its time in part, and is not sent again") {
    for (const auto version : versions) {
        for (const qos level : levels) {
            limits_fixture w(version);
            w.net.usual({.to_server = {.latency = 1s, .capacity = 100}}); // 100 bytes a second
            w.connects();
            const std::string large(2'000, 'x');
            const auto a = publishes(w.client, {.topic = "a", .payload = large, .qos = level}, {.timeout = 5s});
            const auto b = publishes(w.client, {.topic = "b"}, {.timeout = 5s});
            CHECK(w.wait(a) == late_sent);
            CHECK(b.error() == late_sent); // it is behind the other one, and cannot be removed there
            w.net.usual({});
            w.cut();
            w.accepts_again(true);
            if (level != qos::at_most_once) { // the session goes on [MQTT-4.4.0-1]
                const auto again = w.server.expect<publish>();
                CHECK(again.message.payload == large);
                w.acknowledge(again.packet_id, level);
            }
            w.works();
            w.stays_silent();
        }
    }
}

TEST_CASE("An answer just before the limit completes the operation") {
    for (const auto version : versions) {
        for (const qos level : levels) {
            limits_fixture w(version);
            w.connects();
            const auto a = publishes(w.client, {.topic = "a", .qos = level}, {.timeout = 5s});
            const auto b = publishes(w.client, {.topic = "b", .qos = level}, {.timeout = 5s});
            const packet_id first = w.server.expect<publish>().packet_id;
            const packet_id second = w.server.expect<publish>().packet_id;
            w.net.run_for(5s - 1ms);
            if (level != qos::at_most_once) w.acknowledge(first, level);
            CHECK(w.wait(a) == std::error_code{});
            if (level != qos::at_most_once) {
                CHECK(w.wait(b) == late_sent);
                w.acknowledge(second, level);
            }
            w.works();
            CHECK(a.calls() == 1);
            CHECK(b.calls() == 1);
        }
    }
}

TEST_CASE("A publish that is over its time while the client reconnects has an unknown outcome") {
    for (const bool session_present : {true, false}) {
        for (const qos level : {qos::at_least_once, qos::exactly_once}) {
            limits_fixture w;
            w.connects();
            const auto a = publishes(w.client, {.topic = "a", .qos = level}, {.timeout = 5s});
            const packet_id id = w.server.expect<publish>().packet_id;
            w.cut();
            w.server.expect<tern::connect>();
            CHECK(w.wait(a) == late_sent);
            w.server.send(connack{.session_present = session_present});
            if (session_present) { // its exchange is a part of the session [MQTT-4.4.0-1]
                const auto again = w.server.expect<publish>();
                CHECK(again.packet_id == id);
                CHECK(again.dup);
                w.acknowledge(id, level);
            }
            w.works(); // otherwise it is not published again
            w.stays_silent();
        }
    }
}

TEST_CASE("A message that no byte was sent of is over its time while the client reconnects, and is not sent") {
    for (const qos level : levels) {
        limits_fixture w;
        w.connects();
        w.net.forget("localhost");
        const auto a = publishes(w.client, {.topic = "a", .qos = level}, {.timeout = 5s});
        w.cut(); // before the turn that writes
        CHECK(w.wait(a).category() == usage_category());
        CHECK(a.error() == errc::operation_timeout);
    }
}

TEST_CASE("The earlier one of time to live and timeout decides") {
    for (const qos level : levels) {
        limits_fixture w;
        const auto begin = w.net.now();
        const auto expires = publishes(w.client, {.topic = "a", .qos = level}, {.time_to_live = 4s, .timeout = 5s});
        const auto times_out = publishes(w.client, {.topic = "b", .qos = level}, {.time_to_live = 6s, .timeout = 5s});
        const auto both = publishes(w.client, {.topic = "c", .qos = level}, {.time_to_live = 7s, .timeout = 7s});
        CHECK(w.wait(expires) == misuse(errc::message_expired));
        CHECK(w.net.now() - begin == 4s);
        CHECK(w.wait(times_out) == late_unsent);
        CHECK(w.net.now() - begin == 5s);
        CHECK(w.wait(both).category() == usage_category());
        CHECK(w.net.now() - begin == 7s);
        w.connects();
        w.works();
        w.stays_silent();
    }
}

TEST_CASE("A cancelled operation with a limit ends once") {
    limits_fixture w;
    cancellable<acknowledgement> unsent;
    w.client.async_publish({.topic = "a", .qos = qos::at_least_once}, {.timeout = 5s}, unsent.handler());
    unsent.cancel();
    CHECK(w.wait(unsent.result) == asio::error::operation_aborted);
    w.connects();
    cancellable<acknowledgement> sent;
    w.client.async_publish({.topic = "b", .qos = qos::at_least_once}, {.timeout = 5s}, sent.handler());
    const packet_id id = w.server.expect<publish>().packet_id;
    sent.cancel();
    CHECK(w.wait(sent.result) == asio::error::operation_aborted);
    w.net.run_for(1min);
    w.server.send(puback{.packet_id = id});

    // Cancelled when it is over its time, before its handler is called.
    cancellable<acknowledgement> late;
    w.client.async_publish({.topic = "c", .qos = qos::at_least_once}, {.timeout = 5s},
                           asio::bind_cancellation_slot(late.signal->slot(), late.result.handler()));
    const auto other = publishes(w.client, {.topic = "d", .qos = qos::at_least_once}, {.timeout = 5s});
    w.net.run_for(1min);
    late.cancel();
    CHECK(late.result.error() == late_sent);
    CHECK(other.error() == late_sent);
    CHECK(late.result.calls() == 1);
}

TEST_CASE("A handler that is called for a limit may cancel the others that are over their time") {
    limits_fixture w;
    w.connects();
    cancellable<acknowledgement> second;
    std::error_code first;
    w.client.async_publish({.topic = "a", .qos = qos::at_least_once}, {.timeout = 5s},
                           [&](std::error_code error, const acknowledgement&) {
                               first = error;
                               second.cancel();
                           });
    w.client.async_publish({.topic = "b", .qos = qos::at_least_once}, {.timeout = 5s}, second.handler());
    CHECK(w.wait(second.result) == late_sent); // it had ended
    CHECK(first == late_sent);
}

TEST_CASE("Operations with the same limit end in the order of their calls") {
    limits_fixture w;
    std::vector<int> ended;
    for (int i = 0; i != 200; ++i)
        w.client.async_publish({.topic = "a", .qos = static_cast<qos>(i % 3)}, {.timeout = 5s},
                               [&ended, i](std::error_code error, const acknowledgement&) {
                                   CHECK(error == late_unsent);
                                   ended.push_back(i);
                               });
    std::vector<int> expected(200);
    for (int i = 0; i != 200; ++i)
        expected[static_cast<std::size_t>(i)] = i;
    CHECK(w.runs_until([&] { return ended.size() == 200; }));
    CHECK(ended == expected);
}

TEST_CASE("Limits end operations in the order of their times") {
    limits_fixture w;
    const auto begin = w.net.now();
    std::vector<int> ended;
    for (const int seconds : {5, 1, 4, 2, 3})
        w.client.async_publish({.topic = "a"}, {.timeout = std::chrono::seconds(seconds)},
                               [&ended, seconds, begin, &w](std::error_code, const acknowledgement&) {
                                   CHECK(w.net.now() - begin == std::chrono::seconds(seconds));
                                   ended.push_back(seconds);
                               });
    CHECK(w.runs_until([&] { return ended.size() == 5; }));
    CHECK(ended == std::vector<int>{1, 2, 3, 4, 5});
}

TEST_CASE("A limit does not end a later operation instead of one that ended in time") {
    limits_fixture w;
    w.connects();
    const auto exchange = [&](std::chrono::milliseconds timeout) {
        const auto a = publishes(w.client, {.topic = "a", .qos = qos::at_least_once}, {.timeout = timeout});
        w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
        CHECK(w.wait(a) == std::error_code{});
    };
    for (int i = 0; i != 1'000; ++i)
        exchange(5s); // the entries of most of them are removed meanwhile
    const auto unlimited = publishes(w.client, {.topic = "b", .qos = qos::at_least_once});
    const packet_id id = w.server.expect<publish>().packet_id;
    w.net.run_for(10s);
    CHECK_FALSE(unlimited.called());
    w.server.send(puback{.packet_id = id});
    CHECK(w.wait(unlimited) == std::error_code{});
    exchange(5s);
    const auto later = publishes(w.client, {.topic = "c", .qos = qos::at_least_once}, {.timeout = 8s});
    const auto begin = w.net.now();
    CHECK(w.wait(later) == late_sent);
    CHECK(w.net.now() - begin == 8s);
}

TEST_CASE("An inbox that is full does not hold up a limit") {
    for (const auto version : versions) {
        limits_fixture w(version);
        auto options = options_of(version);
        options.inbox_limit = 2;
        options.inbox_hard_limit = 4;
        if (version == v5) options.properties.receive_maximum = 10;
        options.ack_timeout = 20s;
        w.connect(options);
        const auto a = publishes(w.client, {.topic = "a", .qos = qos::at_least_once}, {.timeout = 5s});
        const packet_id sent = w.server.expect<publish>().packet_id;
        for (packet_id id = 1; id != 6; ++id)
            w.server.send(incoming("x", qos::at_least_once, id));
        w.server.send(puback{.packet_id = sent}); // behind a message that the client does not read
        const auto begin = w.net.now();
        CHECK(w.wait(a) == late_sent);
        CHECK(w.net.now() - begin == 5s);
        CHECK(w.client.is_connected());
        for (int taken = 0; taken != 5; ++taken)
            CHECK(w.wait(receives(w.client)) == std::error_code{});
        for (packet_id id = 1; id != 6; ++id)
            CHECK(w.server.expect<puback>().packet_id == id);
        w.works();
    }
}

// ---- the end of the client

TEST_CASE("A destroyed client ends operations with limits at once") {
    auto w = std::make_unique<limits_fixture>();
    auto client = std::make_unique<network_client>(tern::testing::link{w->net});
    const auto a = publishes(*client, {.topic = "a"}, {.timeout = 5s});
    const auto b = publishes(*client, {.topic = "b", .qos = qos::exactly_once}, {.timeout = 5s});
    client.reset();
    CHECK(w->wait(a) == asio::error::operation_aborted);
    CHECK(w->wait(b) == asio::error::operation_aborted);
    w->net.run_for(1min);
    CHECK(a.calls() == 1);
}

TEST_CASE("A handler that is called for a limit may destroy the client") {
    limits_fixture w;
    auto client = std::make_unique<network_client>(tern::testing::link{w.net});
    std::vector<std::error_code> ended;
    for (int i = 0; i != 3; ++i)
        client->async_publish({.topic = "a", .qos = static_cast<qos>(i)}, {.timeout = 5s},
                              [&](std::error_code error, const acknowledgement&) {
                                  ended.push_back(error);
                                  client.reset();
                              });
    CHECK(w.runs_until([&] { return ended.size() == 3; }));
    CHECK(ended == std::vector<std::error_code>(3, late_unsent)); // they had ended together
}

TEST_CASE("The end of a run ends operations with limits, which the next run does not") {
    limits_fixture w;
    w.connects();
    const auto a = publishes(w.client, {.topic = "a", .qos = qos::at_least_once}, {.timeout = 5s});
    w.server.expect<publish>();
    w.client.cancel();
    CHECK(w.wait(a).category() == outcome_unknown_category());
    CHECK(a.error() != errc::operation_timeout);
    w.net.run_for(1min);
    w.server.connected(w.client);
    w.works();
}

// ---- subscribe and unsubscribe

TEST_CASE("A request that is over its time unsent is not sent, and one that was sent has an unknown outcome") {
    for (const auto version : versions) {
        limits_fixture w(version);
        w.connects();
        w.cut();
        w.server.expect<tern::connect>(); // and no answer
        const subscription one{.filter = "a"};
        const std::array several{subscription{.filter = "b"}, subscription{.filter = "c"}};
        const std::array<std::string_view, 2> filters{"b", "c"};
        std::array<answer<acknowledgement>, 4> unsent;
        const auto request = [&](const std::array<answer<acknowledgement>, 4>& answers) {
            w.client.async_subscribe(one, {.timeout = 5s}, answers[0].handler());
            w.client.async_subscribe(several, {.timeout = 5s}, answers[1].handler());
            w.client.async_unsubscribe("a", {.timeout = 5s}, answers[2].handler());
            w.client.async_unsubscribe(filters, {.timeout = 5s}, answers[3].handler());
        };
        request(unsent);
        for (const auto& a : unsent)
            CHECK(w.wait(a) == late_unsent);
        w.server.send(connack{.session_present = true});
        w.works();

        std::array<answer<acknowledgement>, 4> sent;
        request(sent);
        const packet_id first = w.server.expect<subscribe>().packet_id;
        CHECK(w.server.expect<subscribe>().subscriptions.size() == 2);
        w.server.expect<unsubscribe>();
        w.server.expect<unsubscribe>();
        for (const auto& a : sent)
            CHECK(w.wait(a) == late_sent);
        const std::array codes{reason_code::granted_qos_1};
        w.server.send(suback{.packet_id = first, .reason_codes = codes}); // not in vain, but without an operation
        w.works();
        w.cut();
        w.accepts_again();
        w.net.run_for(1s);
        if (!w.server.is_silent()) w.server.expect<unsubscribe>(); // of what the broker should not have
    }
}

TEST_CASE("Properties are options of a request [§3.8.2.1]") {
    limits_fixture w;
    w.connects();
    const auto sees = [&](std::uint32_t identifier) {
        const auto packet = w.server.expect<subscribe>();
        CHECK(packet.properties.subscription_identifier == identifier);
    };
    const std::array several{subscription{.filter = "b"}};
    w.client.async_subscribe({.filter = "a"}, {.properties = {.subscription_identifier = 7}}, asio::detached);
    sees(7);
    w.client.async_subscribe(several, {.properties = {.subscription_identifier = 8}, .timeout = 5s}, asio::detached);
    sees(8);
    const std::array unit{user_property{"a", "b"}};
    w.client.async_unsubscribe("a", {.properties = {.user_properties = unit}}, asio::detached);
    CHECK(w.server.expect<unsubscribe>().properties.user_properties.size() == 1);
}

#if __has_include(<asio/cancel_after.hpp>)
TEST_CASE("asio::cancel_after limits any operation") {
    scripted_broker_fixture w;
    w.server.connected(w.client);
    run(w.io, [&]() -> asio::awaitable<void> {
        const auto ends = [](auto operation) -> asio::awaitable<void> {
            std::error_code error;
            co_await std::move(operation)(asio::redirect_error(asio::use_awaitable, error));
            CHECK(error == asio::error::operation_aborted);
        };
        co_await ends(w.client.async_receive(asio::cancel_after(1ms, asio::deferred)));
        co_await ends(w.client.async_publish("t", "p", qos::at_least_once, asio::cancel_after(1ms, asio::deferred)));
    });
    w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
    w.server.send(publish{.message = {.topic = "t", .payload = "next"}});
    const auto m = receives(w.client);
    CHECK(wait(w.io, m) == std::error_code{});
    CHECK(m.result().payload == "next");
}
#endif

// ---- the limit

TEST_CASE("A limit is at least 0 and at most a year") {
    limits_fixture w;
    const std::error_code invalid = misuse(errc::invalid_operation_timeout);
    for (const std::chrono::milliseconds timeout :
         {-1ms, std::chrono::milliseconds(std::chrono::years(1)) + 1ms, std::chrono::milliseconds::max(),
          std::chrono::milliseconds::min()}) {
        CHECK(w.wait(publishes(w.client, {.topic = "a"}, {.timeout = timeout})) == invalid);
        answer<acknowledgement> a;
        w.client.async_subscribe({.filter = "a"}, {.timeout = timeout}, a.handler());
        CHECK(w.wait(a) == invalid);
        answer<acknowledgement> b;
        w.client.async_unsubscribe("a", {.timeout = timeout}, b.handler());
        CHECK(w.wait(b) == invalid);
    }
    CHECK(w.client.counters().queued == 0);
    CHECK(w.wait(publishes(w.client, {.topic = "#"}, {.timeout = 5s})) == misuse(errc::invalid_topic_name));
    const auto longest = publishes(w.client, {.topic = "a"}, {.timeout = std::chrono::years(1)});
    w.net.run_for(1h);
    CHECK_FALSE(longest.called());
    CHECK(w.client.try_publish({.topic = "b"}, {.timeout = 5s}) == std::error_code{});
    w.net.run_for(1min);
    CHECK(w.client.counters().queued == 2); // it has no operation that could end
}

TEST_CASE("The error of a limit has a sentence, and belongs to no clause") {
    CHECK(late_sent.message() == "the operation did not complete in its time");
    CHECK(late_sent == errc::operation_timeout);
    CHECK(late_unsent == errc::operation_timeout);
    CHECK(clause(errc::operation_timeout).empty());
}

} // namespace time_limit_tests
