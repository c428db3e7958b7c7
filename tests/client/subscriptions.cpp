// The list of a client's subscriptions.
#include "network_test.hpp"

namespace {

subscription_state only_of(network_client& client) {
    const auto all = client.subscriptions();
    REQUIRE(all.size() == 1);
    return all.front();
}

} // namespace

TEST_CASE("The list of subscriptions has what was wanted, what was granted, and on which connection") {
    virtual_time_fixture w;
    CHECK(w.client.subscriptions().empty());
    w.connect();
    answer<acknowledgement> a;
    w.client.async_subscribe({.filter = "t/+", .max_qos = qos::exactly_once, .no_local = true},
                             subscribe_options{.properties = {.subscription_identifier = 7}}, a.handler());
    const auto packet = w.server.expect<tern::subscribe>();
    subscription_state expected{.filter = "t/+",
                                .status = subscription_status::requested,
                                .max_qos = qos::exactly_once,
                                .no_local = true,
                                .identifier = 7};
    CHECK(only_of(w.client) == expected);

    const std::array granted{reason_code::granted_qos_1};
    w.server.send(suback{.packet_id = packet.packet_id, .reason_codes = granted});
    CHECK(w.wait(a) == std::error_code{});
    expected.status = subscription_status::granted;
    expected.granted_qos = qos::at_least_once;
    expected.connection = 1;
    CHECK(only_of(w.client) == expected);

    w.cut();
    w.accepts_again(); // the session is present
    w.net.run_ready();
    CHECK(only_of(w.client) == expected);

    w.cut();
    w.accepts_again(false);
    const auto renewal = w.server.expect<tern::subscribe>();
    subscription_state lost = expected;
    lost.status = subscription_status::renewing;
    lost.granted_qos = {};
    lost.connection = 0;
    CHECK(only_of(w.client) == lost);
    const std::array less{reason_code::granted_qos_0};
    w.server.send(suback{.packet_id = renewal.packet_id, .reason_codes = less});
    w.net.run_ready();
    expected.granted_qos = qos::at_most_once;
    expected.connection = 3;
    CHECK(only_of(w.client) == expected);

    w.cut();
    w.accepts_again(false);
    const std::array refused{reason_code::not_authorized};
    w.server.send(suback{.packet_id = w.server.expect<tern::subscribe>().packet_id, .reason_codes = refused});
    w.net.run_ready();
    lost.status = subscription_status::refused;
    CHECK(only_of(w.client) == lost);
}

TEST_CASE("A subscription that was ended is listed until the broker has answered") {
    virtual_time_fixture w;
    w.connect();
    const auto a = subscribes(w.client, {.filter = "t"});
    const std::array granted{reason_code::granted_qos_1};
    w.server.send(suback{.packet_id = w.server.expect<tern::subscribe>().packet_id, .reason_codes = granted});
    CHECK(w.wait(a) == std::error_code{});
    const auto b = unsubscribes(w.client, "t");
    const auto packet = w.server.expect<tern::unsubscribe>();
    CHECK(only_of(w.client).status == subscription_status::granted);
    const std::array done{reason_code::success};
    w.server.send(unsuback{.packet_id = packet.packet_id, .reason_codes = done});
    CHECK(w.wait(b) == std::error_code{});
    CHECK(w.client.subscriptions().empty());
}
