// CONNECT on later connections: options that the application renews, and those that the session determines.
#include "dialog.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <string>

using tern::connack;
using tern::errc;
using tern::transport_action;

namespace {

tern::connect connect_of(const dialog& d, bool clean_start) {
    return {.version = d.version,
            .clean_start = clean_start,
            .keep_alive = d.options.keep_alive,
            .client_id = d.options.client_id,
            .user_name = d.options.user_name,
            .password = d.options.password,
            .properties = d.options.properties};
}

void go_on(dialog& d) {
    REQUIRE(d.session.pending_action() == transport_action::open);
    d.session.on_opened(d.now);
}

} // namespace

DIALOG("the application sets a new password and an endpoint for each attempt") {
    d.resumable();
    d.options.ack_timeout = 0s;
    d.options.user_name = "me";
    d.options.password = "old";
    CHECK(d.try_connect() == errc::none);
    d.options.password = "new";
    CHECK(d.session.on_prepared({.password = "new", .target = tern::endpoint{"elsewhere", 7}}, d.now) == errc::none);
    CHECK(d.session.target() == tern::endpoint{"elsewhere", 7});
    go_on(d);
    d.sends(connect_of(d, false));
    d.broker(connack{});
    d.events({"connected"});
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.pass(1s);
    d.lost();
    d.awaits_attempt();
    CHECK(d.session.target() == tern::endpoint{"localhost", 1883}); // the endpoint was for one attempt only
    d.options.user_name = "you";                                    // the last password remains
    CHECK(d.session.on_prepared({.user_name = "you"}, d.now) == errc::none);
    go_on(d);
    d.sends(connect_of(d, false));
    d.broker(connack{.session_present = true});
    d.events({"connected, session present"});
    d.sends(publish_of("a", 1, 1, true));
}

DIALOG("invalid options are refused, and the attempt still waits for valid ones") {
    d.options.reconnect.enabled = true;
    d.options.user_name = "me";
    CHECK(d.try_connect() == errc::none);
    const tern::connect before = connect_of(d, true);
    CHECK(d.session.on_prepared({.user_name = "\xff"}, d.now) == errc::malformed_utf8);
    CHECK(d.session.on_prepared({.password = "new", .target = tern::endpoint{""}}, d.now) == errc::empty_host);
    CHECK(d.session.pending_action() == transport_action::prepare);
    d.session.on_prepared(d.now);
    go_on(d);
    d.sends(before);
}

DIALOG("a failed preparation is a failed attempt") {
    d.options.reconnect.enabled = true;
    d.open();
    d.pass(1s);
    d.lost();
    d.lost(std::make_error_code(std::errc::permission_denied));
    d.events({});
    d.awaits_attempt();
    d.options.reconnect.enabled = false;
    d.lost(tern::misuse(errc::malformed_utf8)); // a usage error is permanent
    d.events({over(tern::misuse(errc::malformed_utf8))});
}

DIALOG("later connections resume the session unless it has ended [v311:MQTT-3.1.2-4, v311:MQTT-3.1.2-6, "
       "v311:MQTT-3.2.2-2, v5:MQTT-3.2.2-3]") {
    d.resumable();
    d.options.clean_start = true;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.lost();
    d.awaits_attempt();
    d.connects();
    d.sends(connect_of(d, !d.v5())); // in 3.1.1 a clean session cannot be resumed
    d.lost();
    d.awaits_attempt();
    d.connects();
    d.sends(connect_of(d, !d.v5()));
    d.broker(connack{.session_present = true});
    if (!d.v5()) {
        d.sends();
        CHECK(d.wants_close());
        return;
    }
    d.events({"connected, session present"});
    d.sends(publish_of("a", 1, 1, true));
}

DIALOG("a session that ends with its connection starts clean each time [v5:MQTT-3.1.2-23]") {
    if (!d.v5()) return;
    d.options.reconnect.enabled = true;
    d.open();
    d.lost();
    d.awaits_attempt();
    d.connects();
    d.sends(connect_of(d, true));

    // The broker's session expiry interval overrides the client's [§3.2.2.3.2].
    for (const bool keeps : {true, false}) {
        dialog one(tern::protocol_version::v5, dialog::reading::packets, dialog::writing::whole);
        one.options.reconnect.enabled = true;
        if (!keeps) one.options.properties.session_expiry_interval = std::chrono::seconds{100};
        connack answer;
        answer.properties.session_expiry_interval = std::chrono::seconds{keeps ? 100 : 0};
        one.open(answer);
        one.lost();
        one.awaits_attempt();
        one.connects();
        one.sends(connect_of(one, !keeps));
    }
}

DIALOG("later connections use the identifier that the broker assigned [v5:MQTT-3.1.3-7, v5:MQTT-3.2.2-16]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.client_id = "";
    connack answer;
    answer.properties.assigned_client_identifier = "yours";
    d.open(answer);
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.options.client_id = "yours";
    for (int i = 0; i != 3; ++i) {
        d.lost();
        d.awaits_attempt();
        if (i == 1)
            CHECK(d.session.on_prepared({.password = "new"}, d.now) == errc::none);
        else
            d.session.on_prepared(d.now);
        go_on(d);
        if (i == 1) d.options.password = "new";
        d.sends(connect_of(d, false));
        d.broker(connack{.session_present = true}); // the identifier is not assigned again
        d.events({"connected, session present"});
        d.sends(publish_of("a", 1, 1, true));
    }
}

DIALOG("an endpoint for one attempt does not change the order of the others") {
    d.options.reconnect.enabled = true;
    d.options.reconnect.retry_first = true;
    const std::array more{tern::endpoint{"b", 2}, tern::endpoint{"c", 3}};
    d.options.host = "a";
    d.options.port = 1;
    d.options.more_endpoints = more;
    CHECK(d.try_connect() == errc::none);
    std::string order;
    for (int i = 0; i != 6; ++i) {
        d.awaits_attempt();
        order += d.session.target().host;
        const bool elsewhere = i == 1 || i == 3;
        CHECK(d.session.on_prepared(
                  {.user_name = "renewed", .target = elsewhere ? std::optional(tern::endpoint{"x", 9}) : std::nullopt},
                  d.now) == errc::none);
        if (elsewhere) CHECK(d.session.target().host == "x");
        d.session.on_disconnected(std::make_error_code(std::errc::connection_refused), d.now);
    }
    CHECK(order == "abcabc");
}
