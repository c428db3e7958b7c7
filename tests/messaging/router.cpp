// The router: which inbox receives a message, when it is acknowledged, full inboxes, and the ends of objects.
#include "router_test.hpp"

#include <asio/experimental/awaitable_operators.hpp>

namespace router_routes_test {

using namespace router_test;

static_assert(std::is_trivially_destructible_v<inbox_options>); // some compilers mishandle others in co_await

TEST_CASE("The levels that wildcards have matched are given") {
    CHECK(matched_levels("home/+/temperature", "home/kitchen/temperature")[0] == "kitchen");
    const matched_levels two("+/b/#", "a/b/c/d");
    CHECK(two.size() == 2);
    CHECK(std::vector<std::string>(two.begin(), two.end()) == std::vector<std::string>{"a", "c/d"});
    CHECK(matched_levels("a/#", "a")[0].empty());
    CHECK(matched_levels("#", "a/b")[0] == "a/b");
    CHECK(matched_levels("+/+", "/b")[0].empty());
    CHECK(matched_levels("+/+", "/b")[1] == "b");
    CHECK(matched_levels("$share/g/x/+", "x/y")[0] == "y");
    CHECK(matched_levels("a/b", "a/b").empty());
    CHECK(matched_levels("a/+", "a/b")[7].empty());
}

TEST_CASE("Each subscription receives the messages that match its filter") {
    const auto version = GENERATE(v3_1_1, v5);
    router_fixture w;
    w.connect(version);
    inbox temperatures = w.subscribe({.filter = "home/+/temperature"});
    inbox doors = w.subscribe({.filter = "home/+/door", .max_qos = qos::exactly_once});
    w.publish("home/kitchen/temperature", "21.5");
    w.publish("home/hall/door", "open", qos::exactly_once);
    w.publish("home/bath/temperature", "24", qos::at_most_once);
    auto m = w.receive(temperatures);
    CHECK(m.topic == "home/kitchen/temperature");
    CHECK(m.payload == "21.5");
    CHECK(m.levels[0] == "kitchen");
    CHECK(w.receive(temperatures).levels[0] == "bath");
    m = w.receive(doors);
    CHECK(m.levels[0] == "hall");
    CHECK(m.qos == qos::exactly_once);
    CHECK(doors.filter() == "home/+/door");
    CHECK(doors.size() == 0);
    CHECK(w.routes.counters().received == 3);
    CHECK(w.routes.counters().held == 0);
    CHECK(w.server.violations().empty());
}

TEST_CASE("A broker without Subscription Identifiers gets none, and messages are matched by topic") {
    const bool is_refused_before = GENERATE(false, true);
    router_fixture w({.limits = {.subscription_identifier_available = false}});
    std::optional<inbox> i;
    if (is_refused_before) {
        w.connect();
        i = w.subscribe({.filter = "a/+"});
    } else {
        const auto connected = connects_as(w.client, {.client_id = "c"});
        i = w.subscribe({.filter = "a/+"});
        REQUIRE(connected.error() == std::error_code{});
    }
    inbox other = w.subscribe({.filter = "+/b"});
    w.publish("a/b", "1");
    CHECK(w.receive(*i).payload == "1");
    CHECK(w.receive(other).payload == "1");
    CHECK(w.server.violations().empty());
}

TEST_CASE("Overlapping subscriptions get the message each, and it is acknowledged when all have taken it") {
    scripted_router_fixture w;
    w.connect();
    inbox a = w.subscribe({.filter = "a/+"});
    const std::uint32_t first = w.id;
    inbox b = w.subscribe({.filter = "+/b"});
    CHECK(w.id != first);
    w.deliver("a/b", "1", qos::at_least_once, 7, {first, w.id});
    CHECK(w.routes.counters().held == 1);
    const auto m = receives_from(a);
    CHECK(w.wait(m) == std::error_code{});
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    CHECK(b.try_receive()->payload == "1");
    CHECK(w.server.expect<puback>().packet_id == 7);
    CHECK(m.result().payload == "1");
    CHECK(w.routes.counters().held == 0);
}

TEST_CASE("A message with identifiers is routed by them alone") {
    scripted_router_fixture w;
    w.connect();
    inbox a = w.subscribe({.filter = "a/+"});
    const std::uint32_t first = w.id;
    inbox b = w.subscribe({.filter = "+/b"});
    w.deliver("a/b", "1", qos::at_most_once, 0, {first});
    CHECK(a.size() == 1);
    CHECK(b.size() == 0);
    w.deliver("a/b", "2", qos::at_least_once, 1, {3}); // of the application's own
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK(a.size() == 1);
    CHECK(w.routes.counters().unmatched == 1);
}

TEST_CASE("A subscription gets a message once if the broker gives its identifier twice") {
    scripted_router_fixture w;
    w.connect();
    inbox a = w.subscribe({.filter = "a"});
    w.deliver("a", "1", qos::at_least_once, 1, {w.id, w.id});
    CHECK(a.size() == 1);
    CHECK(a.try_receive()->payload == "1");
    CHECK(w.server.expect<puback>().packet_id == 1);
}

TEST_CASE("Identifiers of an earlier process are matched by topic") {
    scripted_router_fixture w;
    w.connect();
    inbox a = w.subscribe({.filter = "a/+"});
    // The one before is the last of all that this process uses.
    const std::uint32_t earlier = w.id - 200 >= 0x0800'0000 ? w.id - 200 : w.id - 200 + 0x0800'0000;
    w.deliver("a/b", "1", qos::at_most_once, 0, {earlier});
    CHECK(a.size() == 1);
}

TEST_CASE("The identifiers of routers are in a range of their own, and are not used twice") {
    scripted_router_fixture w;
    w.connect();
    std::vector<std::uint32_t> seen;
    for (int n = 0; n != 3; ++n) {
        inbox i = w.subscribe({.filter = "a"});
        seen.push_back(w.id);
        CHECK(w.id >= 0x0800'0000);
        i = {};
        CHECK(w.server.expect<tern::unsubscribe>().filters.front() == "a");
    }
    CHECK(seen[0] != seen[1]);
    CHECK(seen[1] != seen[2]);
    CHECK(seen[0] != seen[2]);
}

TEST_CASE("A message that matches nothing is acknowledged and counted") {
    scripted_router_fixture w;
    w.connect();
    w.deliver("x", "1", qos::at_least_once, 1);
    w.deliver("x", "2", qos::exactly_once, 2);
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK(w.server.expect<pubrec>().packet_id == 2);
    CHECK(w.routes.counters().unmatched == 2);
    CHECK_FALSE(w.client.try_receive());
}

TEST_CASE("A message that matches nothing goes to the client if the program asks for that") {
    const bool has_callback = GENERATE(false, true);
    scripted_router_fixture w({.unmatched = unmatched_action::pass});
    int calls = 0;
    if (has_callback) w.client.set_message_callback([&](const received&) { ++calls; });
    w.connect();
    inbox a = w.subscribe({.filter = "a"});
    w.deliver("x", "1", qos::at_least_once, 1);
    w.deliver("a", "2", qos::at_most_once, 0, {w.id});
    if (!has_callback) CHECK(w.client.try_receive()->payload == "1");
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK(calls == (has_callback ? 1 : 0));
    CHECK(a.size() == 1);
}

TEST_CASE("Messages that come before SUBACK are stored") {
    router_fixture w;
    w.connect();
    CHECK(w.client.try_publish({.topic = "a", .payload = "kept", .retain = true}) == std::error_code{});
    w.settle();
    inbox i = w.subscribe({.filter = "a"});
    const auto m = w.receive(i);
    CHECK(m.payload == "kept");
    CHECK(m.retain);
}

// ---- several objects with one filter

TEST_CASE("Two objects with one filter share a subscription, and each receives every message") {
    scripted_router_fixture w;
    w.connect();
    inbox a = w.subscribe({.filter = "t"});
    const auto second = subscribes_to(w.routes, {.filter = "t"});
    CHECK(w.wait(second) == std::error_code{});
    CHECK(w.server.is_silent());
    inbox b = std::move(second.result());
    w.deliver("t", "1", qos::at_most_once, 0, {w.id});
    CHECK(a.try_receive()->payload == "1");
    CHECK(b.try_receive()->payload == "1");
    a = {};
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    b = {};
    CHECK(w.server.expect<tern::unsubscribe>().filters.front() == "t");
    CHECK(w.routes.counters().inboxes == 0);
}

TEST_CASE("A second object with one filter waits for the same SUBACK, and needs the same options") {
    scripted_router_fixture w;
    w.connect();
    const auto a = subscribes_to(w.routes, {.filter = "t"});
    const auto b = subscribes_to(w.routes, {.filter = "t", .limit = 5});
    const auto other = subscribes_to(w.routes, {.filter = "t", .max_qos = qos::exactly_once});
    CHECK(w.wait(other) == errc::invalid_argument);
    CHECK_FALSE(b.called());
    w.grant(w.server.expect<tern::subscribe>().packet_id);
    CHECK(w.wait(a) == std::error_code{});
    CHECK(w.wait(b) == std::error_code{});
    CHECK(w.server.is_silent());
}

TEST_CASE("A refused subscription completes with the reason, and nothing of it stays") {
    scripted_router_fixture w;
    w.connect();
    const auto a = subscribes_to(w.routes, {.filter = "t"});
    const auto b = subscribes_to(w.routes, {.filter = "t"});
    w.grant(w.server.expect<tern::subscribe>().packet_id, reason_code::not_authorized);
    CHECK(w.wait(a) == reason_code::not_authorized);
    CHECK(w.wait(b) == reason_code::not_authorized);
    CHECK_FALSE(a.result());
    CHECK(w.routes.counters().inboxes == 0);
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    inbox again = w.subscribe({.filter = "t"});
    CHECK(again.filter() == "t");
}

TEST_CASE("A subscription that cannot be requested completes with the error of the client") {
    router_fixture w;
    CHECK(w.wait(subscribes_to(w.routes, {.filter = "a"})) == errc::not_connected);
    w.connect();
    CHECK(w.wait(subscribes_to(w.routes, {.filter = "a/#/b"})) == errc::invalid_topic_filter);
    CHECK(w.wait(subscribes_to(w.routes, {.filter = "a", .limit = 0})) == errc::invalid_argument);
    CHECK(w.routes.counters().inboxes == 0);
}

// ---- full inboxes

TEST_CASE("A full inbox holds messages of QoS 1 and 2, drops those of QoS 0, and an event names it") {
    scripted_router_fixture w;
    std::vector<std::string> events;
    w.routes.set_event_callback([&](const router_event& e) {
        CHECK(e.change == router_change::inbox_full);
        events.emplace_back(e.filter);
    });
    w.connect();
    inbox i = w.subscribe({.filter = "t", .limit = 2});
    inbox other = w.subscribe({.filter = "u"});
    const std::uint32_t of_other = w.id;
    const std::vector<std::uint32_t> none;
    w.deliver("t", "0", qos::at_least_once, 1);
    w.deliver("t", "1", qos::at_most_once, 0);
    CHECK(events.empty());
    w.deliver("t", "2", qos::at_most_once, 0);
    w.deliver("t", "3", qos::exactly_once, 2);
    w.deliver("u", "4", qos::at_least_once, 3, {of_other});
    CHECK(events == std::vector<std::string>{"t"});
    CHECK(w.routes.counters().dropped == 1);
    CHECK(other.try_receive()->payload == "4"); // delivered, but its acknowledgement waits
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    CHECK(i.try_receive()->payload == "0");
    CHECK(i.try_receive()->payload == "1");
    CHECK(i.try_receive()->payload == "3");
    CHECK(w.server.expect<puback>().packet_id == 1);
    CHECK(w.server.expect<pubrec>().packet_id == 2);
    CHECK(w.server.expect<puback>().packet_id == 3);
    // It was empty: the event is reported again.
    for (packet_id id = 4; id != 7; ++id)
        w.deliver("t", "x", qos::at_least_once, id);
    CHECK(events.size() == 2);
}

TEST_CASE("A full inbox that sheds refuses messages with 0x97 in its turn, and acknowledges them in 3.1.1") {
    const auto version = GENERATE(v3_1_1, v5);
    scripted_router_fixture w;
    connect_options options = w.lasting();
    options.version = version;
    if (version == v3_1_1) options.properties = {};
    w.connect(options);
    inbox i =
        w.subscribe({.filter = "t", .max_qos = qos::exactly_once, .limit = 1, .when_full = full_inbox_action::shed});
    w.deliver("t", "0", qos::at_least_once, 1);
    w.deliver("t", "1", qos::at_least_once, 2);
    w.deliver("t", "2", qos::exactly_once, 3);
    w.deliver("t", "3", qos::at_most_once, 0);
    CHECK(w.routes.counters().shed == 2);
    CHECK(w.routes.counters().dropped == 1);
    w.net.run_for(1s);
    CHECK(w.server.is_silent()); // the first acknowledgement is missing
    CHECK(i.try_receive()->payload == "0");
    CHECK_FALSE(i.try_receive());
    const reason_code code = version == v5 ? reason_code::quota_exceeded : reason_code::success;
    CHECK(w.server.expect<puback>().reason_code == reason_code::success);
    const auto second = w.server.expect<puback>();
    CHECK(second.packet_id == 2);
    CHECK(second.reason_code == code);
    const auto third = w.server.expect<pubrec>();
    CHECK(third.packet_id == 3);
    CHECK(third.reason_code == code);
    if (version == v3_1_1) {
        w.server.send(pubrel{.packet_id = 3});
        CHECK(w.server.expect<pubcomp>().packet_id == 3);
    }
    w.deliver("t", "4", qos::exactly_once, 3); // the identifier is free again
    CHECK(i.try_receive()->payload == "4");
    CHECK(w.server.expect<pubrec>().reason_code == reason_code::success);
}

TEST_CASE("A message that one inbox sheds and another one stores is not refused") {
    scripted_router_fixture w;
    w.connect();
    inbox few = w.subscribe({.filter = "t", .limit = 1, .when_full = full_inbox_action::shed});
    inbox many = w.subscribe({.filter = "+"});
    w.deliver("t", "0", qos::at_least_once, 1);
    w.deliver("t", "1", qos::at_least_once, 2);
    CHECK(w.routes.counters().shed == 1);
    CHECK(few.try_receive()->payload == "0");
    CHECK(many.try_receive()->payload == "0");
    CHECK(many.try_receive()->payload == "1");
    CHECK(w.server.expect<puback>().reason_code == reason_code::success);
    CHECK(w.server.expect<puback>().reason_code == reason_code::success);
}

TEST_CASE("At the hard limit the client stops reading QoS 1, and goes on when messages are taken") {
    scripted_router_fixture w({.hard_limit = 3});
    connect_options options = w.lasting();
    options.version = v3_1_1;
    options.properties = {};
    w.connect(options);
    inbox i = w.subscribe({.filter = "t", .limit = 1});
    for (packet_id id = 1; id != 8; ++id)
        w.deliver("t", std::to_string(id), qos::at_least_once, id);
    CHECK(i.size() == 3);
    for (packet_id id = 1; id != 8; ++id) {
        const auto m = receives_from(i);
        REQUIRE(w.wait(m) == std::error_code{});
        CHECK(m.result().payload == std::to_string(id));
        CHECK(w.server.expect<puback>().packet_id == id);
    }
    CHECK(w.routes.counters().held == 0);
}

TEST_CASE("A slow inbox delays neither requests nor their answers") {
    router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t", .limit = 1});
    for (int n = 0; n != 30; ++n)
        w.publish("t", "x");
    w.settle();
    CHECK(i.size() == 30);
    CHECK(w.wait(publishes(w.client, {.topic = "u", .qos = qos::exactly_once})) == std::error_code{});
    CHECK(w.wait(pings(w.client)) == std::error_code{});
    inbox other = w.subscribe({.filter = "v"});
    w.publish("v", "1", qos::at_most_once);
    CHECK(w.receive(other).payload == "1");
}

// ---- acknowledgement

TEST_CASE("In manual mode the message acknowledges itself, once") {
    scripted_router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t", .acknowledge = acknowledgement_mode::manual});
    w.deliver("t", "1", qos::at_least_once, 1);
    const auto m = receives_from(i);
    CHECK(w.wait(m) == std::error_code{});
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
    subscription_message moved = std::move(m.result());
    moved.acknowledge();
    moved.acknowledge();
    CHECK(w.server.expect<puback>().packet_id == 1);
    w.net.run_for(1s);
    CHECK(w.server.is_silent());
}

TEST_CASE("A QoS 1 message that comes again while an inbox holds it is one message, also after a lost connection") {
    const bool reconnects = GENERATE(true, false);
    scripted_router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t"});
    w.deliver("t", "1", qos::at_least_once, 5, {w.id});
    if (reconnects) {
        w.cut();
        w.accepts_again();
    }
    w.deliver("t", "1", qos::at_least_once, 5, {w.id}, true);
    CHECK(i.size() == 1);
    CHECK(i.try_receive()->payload == "1");
    CHECK(w.server.expect<puback>().packet_id == 5);
    CHECK(w.routes.counters().held == 0);
}

TEST_CASE("After a lost session a message with the same content is another one") {
    scripted_router_fixture w;
    w.connect();
    inbox i = w.subscribe({.filter = "t"});
    w.deliver("t", "1", qos::at_least_once, 5, {w.id});
    w.cut();
    w.accepts_again(false);
    const auto renewal = w.server.expect<tern::subscribe>();
    CHECK(renewal.properties.subscription_identifier == w.id);
    w.grant(renewal.packet_id);
    w.deliver("t", "1", qos::at_least_once, 5, {w.id}, true);
    CHECK(i.size() == 2);
}

} // namespace router_routes_test
