// An hour with a slow link, several inboxes of which one is full, the windows of both sides, a lost connection, and an
// inbox that is destroyed in the middle.
#include "router_test.hpp"
#include "tern/messaging/requester.hpp"
#include "tern/messaging/responder.hpp"

#include <map>

namespace router_scenario_test {

using namespace router_test;

using numbers = std::map<std::string, int>;

constexpr int messages = 20; // to each inbox, of QoS 0, 1 and 2 in turn

struct scenario_fixture : router_fixture {
    // Each side lets the other one have few unacknowledged messages.
    scenario_fixture() : router_fixture({.limits = {.receive_maximum = std::uint16_t{2}}}) {
        const tern::testing::direction_options slow{.latency = 200ms, .jitter = 100ms, .capacity = 512};
        net.usual({.to_server = slow, .to_client = slow});
    }
    void connect_slowly(protocol_version version) {
        connect_options options{.client_id = "c", .clean_start = false};
        if (version == v5) options.properties = {.session_expiry_interval = 3600s, .receive_maximum = std::uint16_t{4}};
        connect(version, options);
    }
    void fill(std::string_view topic, int first = 0) {
        for (int n = first; n != first + messages; ++n)
            server.publish({.topic = topic, .payload = std::to_string(n), .qos = static_cast<qos>(n % 3)});
    }
    // Takes what is in the inbox, and what follows.
    void take_all(inbox& i, numbers& got) {
        for (int idle = 0; idle != 3;) {
            if (const auto m = i.try_receive()) {
                ++got[std::string(m->payload)];
                continue;
            }
            net.run_for(5s);
            idle = i.size() == 0 ? idle + 1 : 0;
        }
    }
    // No message of QoS 1 or 2 is lost, and none of QoS 2 comes twice.
    void check_all(const numbers& got) {
        for (int n = 0; n != messages; ++n) {
            INFO("message " << n);
            const auto found = got.find(std::to_string(n));
            const int times = found == got.end() ? 0 : found->second;
            CHECK((n % 3 == 0 || times != 0));
            if (n % 3 != 1) CHECK(times <= 1);
        }
    }
    // What the program asks for does not wait behind the full inbox.
    void check_requests() {
        std::vector<answer<acknowledgement>> published;
        for (int n = 0; n != 5; ++n)
            published.push_back(publishes(client, {.topic = "own", .qos = static_cast<qos>(1 + n % 2)}));
        for (const auto& each : published)
            CHECK(wait(each) == std::error_code{});
        CHECK(wait(pings(client)) == std::error_code{});
        inbox made = subscribe({.filter = "made"});
        server.publish({.topic = "made", .payload = "1"});
        CHECK(receive(made).payload == "1");
    }
};

TEST_CASE("On a slow link a full inbox loses nothing, and delays no request, over a lost connection") {
    const auto version = GENERATE(v3_1_1, v5);
    scenario_fixture w;
    w.connect_slowly(version);
    inbox full = w.subscribe({.filter = "full", .max_qos = qos::exactly_once, .limit = 2});
    inbox free = w.subscribe({.filter = "free", .max_qos = qos::exactly_once});
    numbers of_free, of_full;
    free.set_callback([&](const subscription_message& m) { ++of_free[std::string(m.payload)]; });
    w.fill("full");
    w.settle();
    w.fill("free");
    w.net.run_for(10s);
    CHECK(w.routes.counters().held >= 2);
    w.check_requests();
    w.server.drop("c");
    w.net.run_for(30s);
    CHECK(w.client.counters().connections == 2);
    w.check_requests();
    w.take_all(full, of_full);
    w.net.run_for(30s);
    w.check_all(of_full);
    w.check_all(of_free);
    CHECK(w.routes.counters().held == 0);
    CHECK(w.routes.counters().dropped + of_full.size() + of_free.size() >= std::size_t{2} * messages);
    CHECK(w.server.violations().empty());
}

TEST_CASE("A full inbox that is destroyed, or sheds, lets the messages of the others pass") {
    const auto version = GENERATE(v3_1_1, v5);
    const bool sheds = GENERATE(false, true);
    scenario_fixture w;
    w.connect_slowly(version);
    std::optional<inbox> full = w.subscribe({.filter = "full",
                                             .max_qos = qos::exactly_once,
                                             .limit = 2,
                                             .when_full = sheds ? full_inbox_action::shed : full_inbox_action::hold});
    inbox free = w.subscribe({.filter = "free", .max_qos = qos::exactly_once});
    numbers of_free;
    free.set_callback([&](const subscription_message& m) { ++of_free[std::string(m.payload)]; });
    w.fill("full");
    w.settle();
    w.fill("free");
    w.net.run_for(10s);
    if (sheds) CHECK(w.routes.counters().shed > 0);
    full.reset();
    CHECK(w.routes.counters().released >= 2);
    w.net.run_for(30s);
    w.check_all(of_free);
    CHECK(w.routes.counters().held == 0);
    CHECK(w.server.violations().empty());
}

TEST_CASE("Behind a full inbox a response of QoS 0 arrives, and one of QoS 1 when there is room in the window") {
    scenario_fixture w;
    w.connect_slowly(v5);
    network_client other(tern::testing::link{w.net});
    CHECK(w.wait(connects_as(other, {.client_id = "other"})) == std::error_code{});
    router other_routes(other);
    const auto made = subscribes_to(other_routes, {.filter = "question"});
    CHECK(w.wait(made) == std::error_code{});
    const responder<network_client> yes(other_routes, std::move(made.result()),
                                        [](const subscription_message&) { return std::string_view("yes"); });
    requester<network_client> asks(w.routes);
    inbox full = w.subscribe({.filter = "full", .max_qos = qos::exactly_once, .limit = 2});
    const auto ask = [&](qos level, std::chrono::milliseconds timeout) {
        answer<subscription_message> a;
        asks.async_request("question", "?", {.timeout = timeout, .qos = level}, a.handler());
        return a;
    };
    CHECK(w.wait(ask(qos::at_least_once, 10s)) == std::error_code{});
    w.fill("full");
    w.net.run_for(10s);
    CHECK(w.routes.counters().held == 4); // the window is used up
    const auto late = ask(qos::at_least_once, 5s);
    const auto patient = ask(qos::at_least_once, 10min);
    CHECK(w.wait(ask(qos::at_most_once, 10s)) == std::error_code{});
    CHECK(w.wait(late) == outcome_unknown(errc::operation_timeout));
    CHECK_FALSE(patient.called());
    CHECK(w.wait(publishes(w.client, {.topic = "own", .qos = qos::exactly_once})) == std::error_code{});
    numbers got;
    w.take_all(full, got);
    w.check_all(got);
    CHECK(w.wait(patient) == std::error_code{});
    CHECK(asks.counters().late == 1);
    CHECK(w.server.violations().empty());
}

} // namespace router_scenario_test
