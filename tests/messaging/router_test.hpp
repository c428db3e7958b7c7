// Shared by the tests of the router: a client on a network in memory, with the test broker or a scripted one.
#pragma once

#include "client/network_test.hpp"
#include "tern/messaging/message_router.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace router_test {

using router = message_router<network_client>;
using inbox = subscription_inbox<>;

inline answer<inbox> subscribes_to(router& r, const inbox_options& options) {
    answer<inbox> a;
    r.async_subscribe(options, a.handler());
    CHECK_FALSE(a.called());
    return a;
}
inline answer<subscription_message> receives_from(inbox& i) {
    answer<subscription_message> a;
    i.async_receive(a.handler());
    CHECK_FALSE(a.called());
    return a;
}

/// A client with a router, connected to the test broker.
struct router_fixture {
    explicit router_fixture(broker_options options = {}, const router_options& r = {})
        : server(net.get_executor(), std::move(options), net.clock())
        , client(tern::testing::link{net})
        , routes(client, r) {
        net.listen("localhost", server);
    }

    template <class... Result>
    std::error_code wait(const answer<Result...>& a) {
        REQUIRE(net.run_until([&] { return a.called(); }, 10min));
        return a.error();
    }
    void connect(protocol_version version = v5, connect_options options = {.client_id = "c"}) {
        options.version = version;
        REQUIRE(wait(connects_as(client, options)) == std::error_code{});
    }
    inbox subscribe(const inbox_options& options) {
        const auto a = subscribes_to(routes, options);
        REQUIRE(wait(a) == std::error_code{});
        return std::move(a.result());
    }
    subscription_message receive(inbox& i) {
        const auto a = receives_from(i);
        REQUIRE(wait(a) == std::error_code{});
        return std::move(a.result());
    }
    void publish(std::string_view topic, std::string_view payload, qos level = qos::at_least_once) {
        REQUIRE(client.try_publish({.topic = topic, .payload = payload, .qos = level}) == std::error_code{});
    }
    void settle() { net.run_for(1s); }

    tern::testing::network net;
    broker server;
    network_client client;
    router routes;
};

/// A client with a router, connected to a scripted broker.
struct scripted_router_fixture : virtual_time_fixture {
    explicit scripted_router_fixture(const router_options& r = {}) : routes(client, r) {}

    // Subscribes, and returns the identifier of the subscription in `id`.
    inbox subscribe(const inbox_options& options) {
        const auto a = subscribes_to(routes, options);
        const auto packet = server.expect<tern::subscribe>();
        id = packet.properties.subscription_identifier.value_or(0);
        grant(packet.packet_id);
        REQUIRE(wait(a) == std::error_code{});
        return std::move(a.result());
    }
    void grant(packet_id packet, reason_code code = reason_code::granted_qos_1) {
        const std::array codes{code};
        server.send(suback{.packet_id = packet, .reason_codes = codes});
    }
    // A message with the identifiers of subscriptions.
    void deliver(std::string_view topic, std::string_view payload, qos q, packet_id packet,
                 std::vector<std::uint32_t> ids = {}, bool dup = false) {
        publish p{.message = {.topic = topic, .payload = payload, .qos = q}, .dup = dup, .packet_id = packet};
        p.message.properties.subscription_identifiers = std::span<const std::uint32_t>(ids);
        server.send(p);
        net.run_ready();
    }

    router routes;
    std::uint32_t id = 0;
};

} // namespace router_test
