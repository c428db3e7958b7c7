// Operations that complete in the function that starts them: the handler's immediate executor, since Asio 1.28.
#include "network_test.hpp"

#if __has_include(<asio/bind_immediate_executor.hpp>)
#include <asio/bind_immediate_executor.hpp>

#include <array>
#include <memory>
#include <optional>
#include <string_view>

namespace immediate_tests {

// Binds the handler to an immediate executor that calls it at once.
template <class Handler>
auto at_once(Handler handler) {
    return asio::bind_immediate_executor(asio::system_executor(), std::move(handler));
}

// Starts an operation, which must complete at once with this error.
template <class... Result, class Start>
void completes_at_once(std::error_code error, Start start) {
    const answer<Result...> a;
    start(at_once(a.handler()));
    REQUIRE(a.called());
    CHECK(a.error() == error);
}

TEST_CASE("A refused operation completes at once on the immediate executor of "
          "its handler") {
    virtual_time_fixture w;
    auto& c = w.client;
    const std::error_code not_connected = misuse(errc::not_connected);
    const std::array<subscription, 1> list{{{.filter = "t"}}};
    const std::array<std::string_view, 1> filters{"t"};
    const auto check = [&] {
        completes_at_once<acknowledgement>(misuse(errc::invalid_topic_name),
                                           [&](auto handler) { c.async_publish({.topic = "#"}, std::move(handler)); });
        completes_at_once<acknowledgement>(not_connected,
                                           [&](auto handler) { c.async_subscribe(list, std::move(handler)); });
        completes_at_once<acknowledgement>(not_connected,
                                           [&](auto handler) { c.async_unsubscribe(filters, std::move(handler)); });
        completes_at_once<received_message>(not_connected, [&](auto handler) { c.async_receive(std::move(handler)); });
        completes_at_once<std::size_t>(misuse(errc::invalid_argument),
                                       [&](auto handler) { c.async_receive_some({}, std::move(handler)); });
        completes_at_once<>(not_connected, [&](auto handler) { c.async_ping(std::move(handler)); });
        completes_at_once<>(misuse(errc::invalid_argument),
                            [&](auto handler) { c.async_drain(-1ms, std::move(handler)); });
        completes_at_once<>(misuse(errc::invalid_reason_code), [&](auto handler) {
            c.async_disconnect({.reason_code = reason_code::server_busy}, std::move(handler));
        });
        completes_at_once<connect_result>(misuse(errc::empty_host),
                                          [&](auto handler) { c.async_connect({.host = ""}, std::move(handler)); });
    };
    check();
    bool in_a_turn = false;
    asio::post(w.net.context(), [&] { // also in a handler
        c.async_ping([&](std::error_code) {
            check();
            in_a_turn = true;
        });
    });
    w.net.run_ready();
    CHECK(in_a_turn);
    w.connect();
    completes_at_once<connect_result>(misuse(errc::already_connected),
                                      [&](auto handler) { c.async_connect(w.lasting(), std::move(handler)); });
}

TEST_CASE("A stored message is received at once on the immediate executor, and "
          "then acknowledged") {
    virtual_time_fixture w;
    w.connect();
    for (const packet_id id : {packet_id{1}, packet_id{2}, packet_id{3}})
        w.server.send(incoming(std::to_string(id), qos::at_least_once, id));
    w.net.run_ready();
    const answer<received_message> first;
    w.client.async_receive(at_once(first.handler()));
    REQUIRE(first.called());
    CHECK(first.result().payload == "1");
    std::vector<received_message> several(5);
    const answer<std::size_t> rest;
    w.client.async_receive_some(several, at_once(rest.handler()));
    REQUIRE(rest.called());
    CHECK(rest.result() == 2);
    CHECK(several[1].payload == "3");
    for (const packet_id id : {packet_id{1}, packet_id{2}, packet_id{3}})
        CHECK(w.server.expect<puback>().packet_id == id);
}

TEST_CASE("A stored event completes its operation at once on the immediate "
          "executor") {
    virtual_time_fixture w;
    w.connect();
    for (const auto change : {connection_change::connecting, connection_change::connected}) {
        const answer<connection_event> a;
        w.client.async_next_event(at_once(a.handler()));
        REQUIRE(a.called());
        CHECK(a.result().change == change);
    }
}

TEST_CASE("An operation that has to wait does not use its immediate executor") {
    virtual_time_fixture w;
    const answer<connect_result> connecting;
    w.client.async_connect(w.lasting(), at_once(connecting.handler()));
    CHECK_FALSE(connecting.called());
    w.accepts_again(false);
    CHECK(w.wait(connecting) == std::error_code{});
    const answer<received_message> received;
    w.client.async_receive(at_once(received.handler()));
    const answer<acknowledgement> published;
    w.client.async_publish({.topic = "t", .qos = qos::at_least_once}, at_once(published.handler()));
    CHECK_FALSE(received.called());
    CHECK_FALSE(published.called());
    w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id}, incoming("1", qos::at_most_once, 0));
    CHECK(w.wait(published) == std::error_code{});
    CHECK(w.wait(received) == std::error_code{});
}

TEST_CASE("The immediate executor may be another context, and a handler "
          "without one is called later") {
    virtual_time_fixture w;
    asio::io_context other;
    const answer<> there;
    w.client.async_ping(asio::bind_immediate_executor(other.get_executor(), there.handler()));
    const auto later = pings(w.client);
    w.net.run_ready();
    CHECK(later.called());
    CHECK_FALSE(there.called());
    other.run();
    CHECK(there.error() == misuse(errc::not_connected));
}

TEST_CASE("The handler's own executor follows its immediate executor") {
    virtual_time_fixture w;
    asio::io_context other;
    const answer<> a;
    w.client.async_ping(asio::bind_executor(other.get_executor(), at_once(a.handler())));
    w.net.run_ready();
    CHECK_FALSE(a.called());
    other.run();
    CHECK(a.error() == misuse(errc::not_connected));
}

TEST_CASE("A handler that is called at once may destroy the client") {
    virtual_time_fixture w;
    std::optional<network_client> client(std::move(w.client));
    const auto owned = std::make_shared<int>(1);
    bool called = false;
    client->async_ping(at_once([&, owned](std::error_code error) {
        CHECK(error == misuse(errc::not_connected));
        client.reset();
        called = true;
    }));
    CHECK(called);
    CHECK(owned.use_count() == 1);
    w.net.run_ready();
}

TEST_CASE("A cancellation slot is free when a handler is called at once") {
    virtual_time_fixture w;
    asio::cancellation_signal signal;
    const answer<> a;
    w.client.async_ping(at_once(asio::bind_cancellation_slot(signal.slot(), a.handler())));
    CHECK(a.error() == misuse(errc::not_connected));
    CHECK_FALSE(signal.slot().has_handler());
    signal.emit(asio::cancellation_type::total);
}

} // namespace immediate_tests
#endif
