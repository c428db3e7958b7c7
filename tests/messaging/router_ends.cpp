// The router: callbacks, cancellation, and the ends of its objects in every order.
#include "router_test.hpp"

#if __has_include(<asio/deferred.hpp>)
#include <asio/deferred.hpp>
#else
#include <asio/experimental/deferred.hpp>
#endif
#include <asio/experimental/awaitable_operators.hpp>

#include <stdexcept>

namespace router_ends_test {

using namespace router_test;

// ---- receiving

TEST_CASE("Several messages are received at once, and pending operations in their order") {
    router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t"});
    const auto first = receives_from(i);
    std::vector<subscription_message> batch(10);
    answer<std::size_t> some;
    i.async_receive_some(batch, some.handler());
    for (const char* const payload : {"1", "2", "3"})
        w.publish("t", payload);
    CHECK(w.wait(first) == std::error_code{});
    CHECK(first.result().payload == "1");
    CHECK(w.wait(some) == std::error_code{});
    REQUIRE(some.result() >= 1);
    CHECK(batch[0].payload == "2");
    answer<std::size_t> none;
    i.async_receive_some({}, none.handler());
    CHECK(w.wait(none) == errc::invalid_argument);
}

TEST_CASE("A cancelled receive operation leaves its message in the inbox") {
    scripted_router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t"});
    SECTION("it waits") {
        cancellable<subscription_message> op;
        i.async_receive(op.handler());
        op.cancel();
        CHECK(w.wait(op.result) == asio::error::operation_aborted);
        w.deliver("t", "1", qos::at_least_once, 1);
    }
    SECTION("the message has arrived, and the handler was not called") {
        w.deliver("t", "1", qos::at_least_once, 1);
        cancellable<subscription_message> op;
        i.async_receive(op.handler());
        op.cancel();
        CHECK(w.wait(op.result) == asio::error::operation_aborted);
    }
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    CHECK(i.try_receive()->payload == "1");
    CHECK(w.server.expect<puback>().packet_id == 1);
}

TEST_CASE("A callback gets each message, may replace itself, and may throw") {
    scripted_router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t/+"});
    w.deliver("t/0", "0", qos::at_least_once, 1); // stored before there is a callback
    std::vector<std::string> seen;
    i.set_callback([&](const subscription_message& m) {
        seen.emplace_back(m.levels[0]);
        i.set_callback([&](const subscription_message&) { throw std::runtime_error("refused"); });
    });
    w.net.run_ready();
    CHECK(seen == std::vector<std::string>{"0"});
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK_THROWS_AS(w.deliver("t/1", "1", qos::at_least_once, 2), std::runtime_error);
    CHECK(w.server.expect<puback>().packet_id == 2);
    i.set_callback(nullptr);
    w.deliver("t/2", "2", qos::at_least_once, 3);
    CHECK(i.size() == 1);
}

TEST_CASE("In manual mode a callback may keep the message") {
    scripted_router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t", .acknowledge = acknowledgement_mode::manual});
    subscription_message kept;
    i.set_callback([&](subscription_message m) { kept = std::move(m); });
    w.deliver("t", "1", qos::exactly_once, 1);
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    CHECK(kept.payload == "1");
    kept.acknowledge();
    CHECK(w.server.expect<pubrec>().packet_id == 1);
}

// ---- ends

TEST_CASE("A destroyed subscription releases its messages, ends its operations, and unsubscribes") {
    scripted_router_fixture w;
    w.connect();
    std::optional<inbox> i = w.subscribe({.filter = "t"});
    w.deliver("t", "1", qos::at_least_once, 1);
    w.deliver("t", "2", qos::at_least_once, 2);
    i.reset();
    CHECK(w.server.expect<tern::unsubscribe>().filters.front() == "t");
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK(w.server.expect<puback>().packet_id == 2);
    CHECK(w.routes.counters().released == 2);
    i = w.subscribe({.filter = "t"});
    const auto m = receives_from(*i);
    i.reset();
    CHECK(w.wait(m) == asio::error::operation_aborted);
}

// Ends the run of the client, as far as the scripted broker sees it.
void leaves(scripted_router_fixture& w) {
    const auto gone = disconnects(w.client);
    CHECK(w.wait(gone) == std::error_code{});
    (void)w.server.expect<tern::disconnect>();
    w.cut(ending::close);
    w.net.run_ready();
}

TEST_CASE("A subscription that is dropped without a run is unsubscribed on the next connection") {
    scripted_router_fixture w;
    w.connect();
    std::optional<inbox> i = w.subscribe({.filter = "t"});
    leaves(w);
    i.reset();
    w.net.run_for(1s);
    const auto connected = connects_as(w.client, w.lasting());
    w.accepts_again();
    CHECK(w.wait(connected) == std::error_code{});
    const auto packet = w.server.expect<tern::unsubscribe>();
    CHECK(packet.filters.front() == "t");
    const std::array codes{reason_code::success};
    w.server.send(unsuback{.packet_id = packet.packet_id, .reason_codes = codes});
    w.net.run_for(100ms);
    leaves(w); // and once is enough
    const auto again = connects_as(w.client, w.lasting());
    w.accepts_again();
    CHECK(w.wait(again) == std::error_code{});
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
}

TEST_CASE("The broker sends no messages of a subscription that was dropped without a run") {
    const auto expiry = GENERATE(0s, 3600s); // of the session, which ends with its connection if this is 0
    router_fixture w;
    const connect_options options{
        .client_id = "c", .clean_start = false, .properties = {.session_expiry_interval = expiry}};
    w.connect(v5, options);
    inbox other = w.subscribe({.filter = "u"});
    std::optional<inbox> i = w.subscribe({.filter = "t"});
    CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    i.reset();
    w.connect(v5, options);
    w.settle();
    w.publish("t", "1");
    w.publish("u", "2");
    CHECK(w.receive(other).payload == "2");
    CHECK(w.routes.counters().unmatched == 0);
    CHECK(w.server.violations().empty());
}

TEST_CASE("A run that ends before UNSUBACK leaves the UNSUBSCRIBE to the next connection") {
    scripted_router_fixture w;
    w.connect();
    std::optional<inbox> i = w.subscribe({.filter = "t"});
    i.reset();
    CHECK(w.server.expect<tern::unsubscribe>().filters.front() == "t");
    w.client.cancel();
    w.net.run_ready();
    w.cut();
    const auto connected = connects_as(w.client, w.lasting());
    w.accepts_again();
    CHECK(w.wait(connected) == std::error_code{});
    CHECK(w.server.expect<tern::unsubscribe>().filters.front() == "t");
}

TEST_CASE("A filter that is subscribed again before its UNSUBSCRIBE is sent is not unsubscribed") {
    scripted_router_fixture w;
    w.connect();
    std::optional<inbox> i = w.subscribe({.filter = "t"});
    leaves(w);
    i.reset();
    w.net.run_ready();
    const auto connected = connects_as(w.client, w.lasting());
    const auto again = subscribes_to(w.routes, {.filter = "t", .max_qos = qos::exactly_once});
    w.accepts_again();
    w.grant(w.server.expect<tern::subscribe>().packet_id);
    w.net.run_for(100ms);
    if (!w.server.is_silent()) w.grant(w.server.expect<tern::subscribe>().packet_id); // as all of another run
    w.net.run_for(100ms);
    CHECK(w.server.is_silent());
    CHECK(w.wait(again) == std::error_code{});
    w.deliver("t", "1", qos::at_most_once, 0);
    CHECK(again.result().size() == 1);
    again.result() = {};
    CHECK(w.server.expect<tern::unsubscribe>().filters.front() == "t");
}

TEST_CASE("A cancelled subscribe operation ends the subscription") {
    scripted_router_fixture w;
    w.connect();
    answer<inbox> a;
    asio::cancellation_signal signal;
    w.routes.async_subscribe({.filter = "t"}, asio::bind_cancellation_slot(signal.slot(), a.handler()));
    const auto packet = w.server.expect<tern::subscribe>();
    signal.emit(asio::cancellation_type::total);
    CHECK(w.wait(a) == asio::error::operation_aborted);
    CHECK(w.server.expect<tern::unsubscribe>().filters.front() == "t");
    w.grant(packet.packet_id);
    w.net.run_ready();
    CHECK(w.routes.counters().inboxes == 0);
}

TEST_CASE("Client, router and subscription can be destroyed in any order") {
    const auto order = GENERATE(0, 1, 2, 3, 4, 5);
    tern::testing::network net;
    broker server(net.get_executor(), {}, net.clock());
    net.listen("localhost", server);
    auto client = std::make_unique<network_client>(tern::testing::link{net});
    auto routes = std::make_unique<router>(*client);
    const auto connected = connects_as(*client);
    REQUIRE(net.run_until([&] { return connected.called(); }));
    const auto made = subscribes_to(*routes, {.filter = "t"});
    REQUIRE(net.run_until([&] { return made.called(); }));
    auto i = std::make_unique<inbox>(std::move(made.result()));
    const auto pending = receives_from(*i);
    const auto subscribing = subscribes_to(*routes, {.filter = "u"});
    constexpr int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (const int which : orders[order]) {
        if (which == 0) client.reset();
        if (which == 1) routes.reset();
        if (which == 2) i.reset();
        if (which != 2 || order < 4) net.run_ready();
        if (i && (!client || !routes)) {
            const auto late = receives_from(*i);
            net.run_ready();
            CHECK(late.error() == asio::error::operation_aborted);
        }
        if (routes && !client) {
            const auto late = subscribes_to(*routes, {.filter = "v"});
            net.run_ready();
            CHECK(late.error() == asio::error::operation_aborted);
        }
    }
    net.run_ready();
    CHECK(pending.error() == asio::error::operation_aborted);
    CHECK(subscribing.called());
    CHECK(server.violations().empty());
}

TEST_CASE("A second router of a client ends the first one") {
    router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t"});
    w.publish("t", "1");
    w.settle();
    const auto m = receives_from(i);
    w.settle();
    CHECK(m.result().payload == "1");
    w.publish("t", "2");
    w.settle();
    const auto waiting = receives_from(i);
    w.settle();
    const auto last = receives_from(i);
    w.routes = router(w.client);
    CHECK(w.wait(last) == asio::error::operation_aborted);
    CHECK(waiting.called());
    inbox other = w.subscribe({.filter = "u"});
    w.publish("u", "3");
    CHECK(w.receive(other).payload == "3");
}

TEST_CASE("A handler or a callback may destroy the subscription, the router and the client") {
    const bool is_callback = GENERATE(false, true);
    tern::testing::network net;
    broker server(net.get_executor(), {}, net.clock());
    net.listen("localhost", server);
    auto client = std::make_unique<network_client>(tern::testing::link{net});
    auto routes = std::make_unique<router>(*client);
    const auto connected = connects_as(*client);
    REQUIRE(net.run_until([&] { return connected.called(); }));
    const auto made = subscribes_to(*routes, {.filter = "t"});
    REQUIRE(net.run_until([&] { return made.called(); }));
    auto i = std::make_unique<inbox>(std::move(made.result()));
    bool called = false;
    const auto destroy = [&] {
        called = true;
        i.reset();
        routes.reset();
        client.reset();
    };
    if (is_callback)
        i->set_callback([&, destroy](const subscription_message&) { destroy(); });
    else
        i->async_receive([&, destroy](std::error_code, const subscription_message&) { destroy(); });
    CHECK(client->try_publish("t", "1") == std::error_code{});
    CHECK(client->try_publish("t", "2") == std::error_code{});
    CHECK(net.run_until([&] { return called; }));
    net.run_ready();
}

TEST_CASE("A context that is destroyed first drops the handlers, and what they own") {
    auto io = std::make_unique<asio::io_context>();
    std::weak_ptr<int> alive;
    {
        const auto owned = std::make_shared<int>();
        alive = owned;
        const auto program = [owned](asio::io_context& context) -> asio::awaitable<void> {
            tern::testing::network net(context);
            broker server(net.get_executor());
            net.listen("localhost", server);
            network_client client(tern::testing::link{net});
            router routes(client);
            co_await client.async_connect({.client_id = "c"}, asio::use_awaitable);
            inbox i = co_await routes.async_subscribe({.filter = "t"}, asio::use_awaitable);
            i.set_callback([owned](const subscription_message&) {});
            inbox j = co_await routes.async_subscribe({.filter = "u"}, asio::use_awaitable);
            co_await j.async_receive(asio::use_awaitable);
        };
        asio::co_spawn(*io, program(*io), asio::detached);
        io->run_for(50ms);
    }
    CHECK_FALSE(alive.expired());
    io.reset();
    CHECK(alive.expired());
}

TEST_CASE("The end of a run ends the operations, and another run has the subscriptions again") {
    router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t"});
    const auto m = receives_from(i);
    CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    CHECK(w.wait(m) == errc::disconnected);
    const auto next = receives_from(i);
    w.connect();
    w.settle();
    w.publish("t", "1");
    CHECK(w.wait(next) == std::error_code{});
    CHECK(next.result().payload == "1");
    CHECK(w.server.violations().empty());
}

TEST_CASE("A subscription lives through a lost connection and a lost session") {
    const auto version = GENERATE(v3_1_1, v5);
    router_fixture w;
    w.connect(version);
    inbox i = w.subscribe({.filter = "t"});
    w.server.drop("c");
    w.net.run_for(10s);
    CHECK(w.client.counters().connections == 2);
    w.publish("t", "1");
    CHECK(w.receive(i).payload == "1");
    CHECK(w.server.violations().empty());
}

TEST_CASE("A subscription that is not renewed is reported by its filter") {
    scripted_router_fixture w;
    std::vector<std::string> refused;
    w.routes.set_event_callback([&](const router_event& e) {
        CHECK(e.change == router_change::subscription_refused);
        CHECK(e.error == reason_code::not_authorized);
        refused.emplace_back(e.filter);
    });
    w.connect();
    inbox i = w.subscribe({.filter = "t"});
    w.cut();
    w.accepts_again(false);
    w.grant(w.server.expect<tern::subscribe>().packet_id, reason_code::not_authorized);
    w.net.run_ready();
    CHECK(refused == std::vector<std::string>{"t"});
}

TEST_CASE("Objects can be moved while operations wait") {
    router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t"});
    const auto m = receives_from(i);
    inbox moved = std::move(i);
    router routes = std::move(w.routes);
    w.publish("t", "1");
    CHECK(w.wait(m) == std::error_code{});
    CHECK(m.result().payload == "1");
    w.publish("t", "2");
    CHECK(w.receive(moved).payload == "2");
    w.routes = std::move(routes);
}

// ---- tokens

#if __has_include(<asio/deferred.hpp>)
using asio::deferred;
#else
using asio::experimental::deferred;
#endif

TEST_CASE("A lazily started subscription copies its filter when it is called") {
    router_fixture w;
    w.connect();
    auto begin = [&](std::string filter) {
        return w.routes.async_subscribe({.filter = filter}, deferred);
    }("t/" + std::string(60, 'x'));
    answer<inbox> a;
    std::move(begin)(a.handler());
    CHECK(w.wait(a) == std::error_code{});
    CHECK(a.result().filter() == "t/" + std::string(60, 'x'));
}

TEST_CASE("Coroutines subscribe and receive, and a timer that wins loses no message") {
    using namespace asio::experimental::awaitable_operators;
    router_fixture w;
    bool ended = false;
    const auto program = [&]() -> asio::awaitable<void> {
        co_await w.client.async_connect({.client_id = "c"}, asio::use_awaitable);
        inbox i = co_await w.routes.async_subscribe({.filter = "home/+/temperature"}, asio::use_awaitable);
        asio::steady_timer timer(w.net.get_executor(), 0s);
        const auto first = co_await (i.async_receive(asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
        CHECK(first.index() == 1);
        co_await w.client.async_publish("home/kitchen/temperature", "21.5", asio::use_awaitable);
        const subscription_message m = co_await i.async_receive(asio::use_awaitable);
        CHECK(m.levels[0] == "kitchen");
        ended = true;
    };
    asio::co_spawn(w.net.context(), program, asio::detached);
    CHECK(w.net.run_until([&] { return ended; }));
}

} // namespace router_ends_test
