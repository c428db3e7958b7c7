// Shared by the tests on virtual time: a client on a network in memory, with a scripted broker at the other end.
#pragma once

#include "scripted_broker.hpp"
#include "tern/testing/network.hpp"

using network_client = basic_client<tern::testing::link>;
extern template std::shared_ptr<detail::engine_base<asio::any_io_executor>>
    detail::make_engine_on<tern::testing::link, asio::any_io_executor>(tern::testing::link); // engines.cpp
using tern::testing::ending;

struct virtual_time_fixture {
    virtual_time_fixture() {
        net.listen("localhost", [this](tern::testing::link stream) { server.accept(std::move(stream)); });
    }

    bool runs_until(const std::function<bool()>& done) { return net.run_until(done, 10min); }

    template <class... Result>
    std::error_code wait(const answer<Result...>& a) {
        REQUIRE(runs_until([&] { return a.called(); }));
        return a.error();
    }
    // The next event of the client.
    connection_event next_event() {
        const auto a = awaits_event(client);
        REQUIRE(wait(a) == std::error_code{});
        return a.result();
    }
    // The next event of this kind.
    connection_event next_event(connection_change change) {
        for (;;)
            if (const auto e = next_event(); e.change == change) return e;
    }
    // Connects a client that keeps its session and reconnects.
    void connect(connect_options options = lasting()) { server.connected_as(client, options); }
    // Lets the broker accept the client again.
    void accepts_again(bool session_present = true) { server.accepts({.session_present = session_present}); }
    // Ends the connection. The broker discards its unread packets.
    void cut(ending how = ending::reset) {
        server.forget();
        net.end_all(how);
    }

    static connect_options lasting() {
        return {.client_id = "c",
                .clean_start = false,
                .keep_alive = 0s,
                .properties = {.session_expiry_interval = std::chrono::seconds{3600}}};
    }

    tern::testing::network net;
    scripted_broker server{net, [this](const std::function<bool()>& done) { return runs_until(done); }};
    network_client client{tern::testing::link{net}};
};

inline publish incoming(std::string_view payload, qos q, packet_id id, bool dup = false) {
    return {.message = {.topic = "t", .payload = payload, .qos = q}, .dup = dup, .packet_id = id};
}

// The options of a client whose application acknowledges messages.
inline connect_options manual() {
    auto options = virtual_time_fixture::lasting();
    options.acknowledge = acknowledgement_mode::manual;
    return options;
}
