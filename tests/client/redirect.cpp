// Redirects [§4.11], in a client.
#include "network_test.hpp"

namespace redirect_client_tests {

TEST_CASE("A client follows a redirect with its messages, and shows the new endpoint [v5:§3.2.2.3.16-a]") {
    virtual_time_fixture w;
    w.net.listen("b.example:99", [&](tern::testing::link stream) { w.server.accept(std::move(stream)); });
    auto options = w.lasting();
    options.password = "secret";
    options.reconnect.follow_redirect = [](const endpoint& e) { return e.host.ends_with(".example"); };
    w.connect(options);
    const auto p = publishes(w.client, {.topic = "t", .payload = "x", .qos = qos::at_least_once});
    w.server.expect<publish>();
    w.server.send(disconnect{reason_code::use_another_server, {.server_reference = "evil.test b.example:99"}});
    const auto ignored = w.next_event(connection_change::redirect_ignored);
    CHECK(ignored.server_reference == "evil.test");
    CHECK(ignored.error == misuse(errc::redirect_not_allowed));
    CHECK(w.server.expect<tern::connect>().password == "secret");
    w.server.send(connack{});
    const auto connected = w.next_event(connection_change::connected);
    CHECK(connected.host == "b.example");
    CHECK(connected.port == 99);
    CHECK_FALSE(w.server.expect<publish>().dup); // the other server has no session
    w.server.send(puback{1});
    CHECK(w.wait(p) == std::error_code{});
}

TEST_CASE("A client that does not follow redirects reports them [§4.11]") {
    virtual_time_fixture w;
    const auto a = connects_as(w.client, w.lasting());
    w.server.expect<tern::connect>();
    w.server.send(connack{.reason_code = reason_code::server_moved, .properties = {.server_reference = "b.example"}});
    CHECK(w.wait(a) == reason_code::server_moved);
    CHECK(w.next_event(connection_change::disconnected).server_reference == "b.example");
}

} // namespace redirect_client_tests
