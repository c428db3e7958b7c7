// Operations that start later than they are requested: what they were given must be there then.
#include "network_test.hpp"

#if __has_include(<asio/deferred.hpp>)
#include <asio/deferred.hpp>
#else
#include <asio/experimental/deferred.hpp>
#endif
#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deferred_tests {

#if __has_include(<asio/deferred.hpp>)
using asio::deferred;
#else
using asio::experimental::deferred;
#endif

// Long enough to be on the heap, where the sanitizer finds a view that dangles.
std::string text(std::string_view name) {
    return std::string(name) + std::string(100, 'x');
}

owned_connect_options make_options() {
    const std::string id = text("c"), user = text("u"), password = text("p"), topic = text("w"), key = text("k");
    const std::string host = text("other.test");
    const std::array properties{user_property{key, key}};
    const std::array more{endpoint{.host = host}, endpoint{.host = "localhost"}};
    connect_options options = virtual_time_fixture::lasting();
    options.host = host;
    options.more_endpoints = more;
    options.client_id = id;
    options.user_name = user;
    options.password = password;
    options.will = message_view{.topic = topic, .payload = key, .properties = {.user_properties = properties}};
    options.properties.user_properties = properties;
    return owned_connect_options(options);
}

void check_connect(scripted_broker& server) {
    const auto packet = server.expect<tern::connect>();
    CHECK(packet.client_id == text("c"));
    CHECK(packet.user_name == text("u"));
    CHECK(packet.password == text("p"));
    REQUIRE(packet.will);
    CHECK(packet.will->topic == text("w"));
    CHECK(packet.will->payload == text("k"));
    CHECK(packet.will->properties.user_properties.front().value == text("k"));
    CHECK(packet.properties.user_properties.front().key == text("k"));
    server.send(connack{});
}

message make_message() {
    const std::string topic = text("t"), payload = text("m"), value = text("v");
    const std::array properties{user_property{"key", value}};
    return message({.topic = topic,
                    .payload = payload,
                    .qos = qos::at_least_once,
                    .properties = {.content_type = value, .user_properties = properties}});
}

void check_publish(scripted_broker& server) {
    const auto packet = server.expect<tern::publish>();
    CHECK(packet.message.topic == text("t"));
    CHECK(packet.message.payload == text("m"));
    CHECK(packet.message.properties.content_type == text("v"));
    CHECK(packet.message.properties.user_properties.front().value == text("v"));
    server.send(puback{.packet_id = packet.packet_id});
}

subscription_list make_list() {
    const std::string a = text("a/"), b = text("b/");
    const std::vector<subscription> filters{{.filter = a}, {.filter = b, .max_qos = qos::exactly_once}};
    return subscription_list(filters);
}

void check_subscribe(scripted_broker& server) {
    const auto packet = server.expect<tern::subscribe>();
    REQUIRE(packet.subscriptions.size() == 2);
    CHECK(packet.subscriptions[0] == subscription{.filter = text("a/")});
    CHECK(packet.subscriptions[1] == subscription{.filter = text("b/"), .max_qos = qos::exactly_once});
    const std::array codes{reason_code::granted_qos_1, reason_code::granted_qos_2};
    server.send(suback{.packet_id = packet.packet_id, .reason_codes = codes});
}

filter_list make_filters() {
    const std::vector<std::string> filters{text("a/"), text("b/")};
    return filter_list(filters);
}

void check_unsubscribe(scripted_broker& server) {
    const auto packet = server.expect<tern::unsubscribe>();
    REQUIRE(packet.filters.size() == 2);
    CHECK(packet.filters[0] == text("a/"));
    CHECK(packet.filters[1] == text("b/"));
    const std::array codes{reason_code::success, reason_code::success};
    server.send(unsuback{.packet_id = packet.packet_id, .reason_codes = codes});
}

TEST_CASE("An operation that starts later keeps the owning argument that it was given as an rvalue") {
    virtual_time_fixture w;
    auto options = std::make_optional(make_options());
    auto connect = w.client.async_connect(std::move(*options), deferred);
    auto m = std::make_optional(make_message());
    auto publish = w.client.async_publish(std::move(*m), deferred);
    auto with_time = w.client.async_publish(make_message(), publish_options{.time_to_live = 1h}, deferred);
    auto list = std::make_optional(make_list());
    auto subscribe = w.client.async_subscribe(std::move(*list), deferred);
    auto filters = std::make_optional(make_filters());
    auto unsubscribe = w.client.async_unsubscribe(std::move(*filters), deferred);
    options.reset();
    m.reset();
    list.reset();
    filters.reset();
    w.net.run_for(1s);
    CHECK(w.server.connections() == 0);

    answer<connect_result> connected;
    std::move(connect)(connected.handler());
    check_connect(w.server);
    CHECK(w.wait(connected) == std::error_code{});

    answer<acknowledgement> published, published_in_time, subscribed, unsubscribed;
    std::move(publish)(published.handler());
    check_publish(w.server);
    CHECK(w.wait(published) == std::error_code{});
    std::move(with_time)(published_in_time.handler());
    check_publish(w.server);
    CHECK(w.wait(published_in_time) == std::error_code{});
    std::move(subscribe)(subscribed.handler());
    check_subscribe(w.server);
    CHECK(w.wait(subscribed) == std::error_code{});
    std::move(unsubscribe)(unsubscribed.handler());
    check_unsubscribe(w.server);
    CHECK(w.wait(unsubscribed) == std::error_code{});
}

TEST_CASE("A deferred operation can be started several times with copies of its arguments") {
    virtual_time_fixture w;
    w.connect();
    const auto publish = w.client.async_publish(make_message(), deferred);
    for (int i = 0; i != 2; ++i) {
        answer<acknowledgement> published;
        publish(published.handler());
        check_publish(w.server);
        CHECK(w.wait(published) == std::error_code{});
    }
}

TEST_CASE("An owning argument that has a name is borrowed") {
    virtual_time_fixture w;
    const owned_connect_options options = make_options();
    answer<connect_result> connected;
    w.client.async_connect(options, connected.handler());
    check_connect(w.server);
    CHECK(w.wait(connected) == std::error_code{});

    message m = make_message();
    answer<acknowledgement> published;
    w.client.async_publish(m, published.handler());
    check_publish(w.server);
    CHECK(w.wait(published) == std::error_code{});
    CHECK(w.client.try_publish(m) == std::error_code{});
    check_publish(w.server);
    CHECK(m == make_message());

    const subscription_list list = make_list();
    answer<acknowledgement> subscribed;
    w.client.async_subscribe(list, subscribed.handler());
    check_subscribe(w.server);
    CHECK(w.wait(subscribed) == std::error_code{});

    const filter_list filters = make_filters();
    answer<acknowledgement> unsubscribed;
    w.client.async_unsubscribe(filters, unsubscribed.handler());
    check_unsubscribe(w.server);
    CHECK(w.wait(unsubscribed) == std::error_code{});
}

TEST_CASE("A received message is published as it is") {
    virtual_time_fixture w;
    w.connect();
    w.server.send(incoming("p", qos::at_least_once, 1));
    const auto received = receives(w.client);
    CHECK(w.wait(received) == std::error_code{});
    w.server.expect<puback>();
    received_message copy = received.result();
    auto forward = w.client.async_publish(std::move(copy), deferred);
    answer<acknowledgement> published;
    std::move(forward)(published.handler());
    const auto packet = w.server.expect<tern::publish>();
    CHECK(packet.message.topic == "t");
    CHECK(packet.message.payload == "p");
}

asio::awaitable<void> all_operations(network_client& client) { // named arguments: GCC 12 destroys others twice
    owned_connect_options options = make_options();
    co_await client.async_connect(std::move(options), asio::use_awaitable);
    message m = make_message();
    co_await client.async_publish(m, asio::use_awaitable);
    co_await client.async_publish(std::move(m), asio::use_awaitable);
    subscription_list list = make_list();
    co_await client.async_subscribe(std::move(list), asio::use_awaitable);
    filter_list filters = make_filters();
    co_await client.async_unsubscribe(std::move(filters), asio::use_awaitable);
}

TEST_CASE("A coroutine awaits operations with named owning arguments") {
    virtual_time_fixture w;
    bool is_done = false;
    asio::co_spawn(w.client.get_executor(), all_operations(w.client), [&](const std::exception_ptr& failure) {
        is_done = true;
        CHECK_FALSE(failure);
    });
    check_connect(w.server);
    check_publish(w.server);
    check_publish(w.server);
    check_subscribe(w.server);
    check_unsubscribe(w.server);
    CHECK(w.runs_until([&] { return is_done; }));
}

TEST_CASE("Owned options and lists can be copied, moved and assigned") {
    const owned_connect_options options = make_options();
    owned_connect_options copy(options), assigned = owned_connect_options({});
    assigned = copy;
    copy = owned_connect_options({.client_id = "other"});
    const owned_connect_options moved(std::move(assigned));
    CHECK(copy.view().client_id == "other");
    CHECK(moved.view().client_id == text("c"));
    CHECK(moved.view().client_id.data() != options.view().client_id.data());
    REQUIRE(moved.view().more_endpoints.size() == 2);
    CHECK(moved.view().more_endpoints[0] == options.view().more_endpoints[0]);

    const subscription_list list = make_list();
    subscription_list listed{{.filter = "a"}};
    listed = list;
    const subscription_list taken(std::move(listed));
    CHECK(std::ranges::equal(taken.view(), list.view()));
    CHECK(taken.view().front().filter.data() != list.view().front().filter.data());
    const subscription_list none;
    CHECK(none.view().empty());

    const filter_list filters = make_filters();
    filter_list named{"a"};
    named = filters;
    const filter_list last(std::move(named));
    CHECK(std::ranges::equal(last.view(), filters.view()));
    CHECK(last.view().front().data() != filters.view().front().data());
    const filter_list no_filters;
    CHECK(no_filters.view().empty());
}

} // namespace deferred_tests
