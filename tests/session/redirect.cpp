// Redirects: CONNACK and DISCONNECT with a Server Reference [§4.11]. 3.1.1 has none.
#include "dialog.hpp"
#include "tern/session/detail/server_reference.hpp"

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using tern::errc;
using tern::reason_code;

namespace redirect_tests {

constexpr auto other = reason_code::use_another_server;
constexpr auto moved = reason_code::server_moved;

bool anywhere(const tern::endpoint&) {
    return true;
}
bool only_example(const tern::endpoint& e) {
    return e.host.ends_with(".example");
}

tern::connack refusal(reason_code code, std::optional<std::string_view> reference) {
    return {.reason_code = code, .properties = {.server_reference = reference}};
}
tern::disconnect goodbye(reason_code code, std::optional<std::string_view> reference) {
    return {code, {.server_reference = reference}};
}

std::string target_of(const dialog& d) {
    const tern::endpoint e = d.session.target();
    return std::string(e.scheme) + (e.scheme.empty() ? "" : "://") + std::string(e.host) + ":" + std::to_string(e.port);
}

void follows(dialog& d, bool (*where)(const tern::endpoint&) = anywhere) {
    d.options.host = "a";
    d.options.reconnect.follow_redirect = where;
    d.options.reconnect.retry_first = true;
    d.options.reconnect.enabled = true;
}
// The broker refuses the attempt. Returns where the next one goes, and whether that begins at once.
std::string refused(dialog& d, const tern::connack& answer) {
    d.broker(answer);
    REQUIRE(d.wants_close());
    d.session.on_disconnected({}, d.now);
    const auto events = d.events_so_far();
    if (d.session.is_idle()) return "over";
    const bool waits = d.session.pending_action() == tern::transport_action::none;
    return (waits ? "later " : "") + target_of(d);
}
std::string fails_to_open(dialog& d) {
    d.session.on_prepared(d.now);
    d.session.on_disconnected(std::make_error_code(std::errc::connection_refused), d.now);
    (void)d.events_so_far();
    const bool waits = d.session.pending_action() == tern::transport_action::none;
    return (waits ? "later " : "") + target_of(d);
}

TEST_CASE("A Server Reference has hosts with a port or without, separated by spaces [§4.11]") {
    const tern::endpoint present{.host = "now", .port = 7, .path = "/mqtt", .scheme = "wss"};
    const auto parsed = [&](std::string_view text) -> std::string {
        const auto e = tern::detail::parse_reference(text, present);
        if (!e) return "ill-formed";
        CHECK(e->scheme == "wss");
        CHECK(e->path == "/mqtt");
        return std::string(e->host) + " " + std::to_string(e->port);
    };
    CHECK(parsed("broker.example") == "broker.example 7");
    CHECK(parsed("broker.example:1883") == "broker.example 1883");
    CHECK(parsed("192.0.2.1:65535") == "192.0.2.1 65535");
    CHECK(parsed("[2001:db8::1]") == "2001:db8::1 7");
    CHECK(parsed("[2001:db8::1]:8883") == "2001:db8::1 8883");
    CHECK(parsed("2001:db8::1") == "2001:db8::1 7"); // several colons: there is no port
    for (const std::string_view bad :
         {"",        ":",       ":1883",   "host:", "host:0",      "host:65536", "host:99999999999999999999",
          "host:1x", "host:-1", "[",       "[]",    "[]:1",        "[host]:1",   "[::1",
          "[::1]x",  "[::1]:",  "[::1]:0", "::1]",  "mqtt://host", "user@host",  "host/path",
          "ho\tst",  "h\x7F",   "host]:1"}) {
        INFO(bad);
        CHECK(parsed(bad) == "ill-formed");
    }
    std::string all;
    tern::detail::for_each_reference("  a b:1  bad: [::1]:2 ", present, 3, [&](std::string_view text, const auto& e) {
        all += std::string(text) + (e ? "+" : "-");
    });
    CHECK(all == "a+b:1+bad:-");
}

DIALOG("Without a request of the application a reference is only reported [§4.11]") {
    if (!d.v5()) return;
    d.options.host = "a";
    d.open();
    d.broker(goodbye(moved, "b"));
    d.closes();
    d.events({over(moved)});
    CHECK(d.session.target().host == "a");
}

DIALOG("A redirect by CONNACK leads to another server at once, and then back to the list [v5:§3.2.2.3.16-a]") {
    if (!d.v5()) return;
    follows(d);
    d.start();
    CHECK(refused(d, refusal(other, "b:1 c:2")) == "b:1");
    CHECK(fails_to_open(d) == "c:2");
    CHECK(fails_to_open(d) == "a:1883");
    d.attempt();
    d.broker(tern::connack{});
    d.events({"connected"});
}

DIALOG("A redirect by DISCONNECT leads to another server at once, for this connection") {
    if (!d.v5()) return;
    follows(d);
    d.open();
    d.broker(goodbye(other, "b"));
    REQUIRE(d.wants_close());
    d.session.on_disconnected({}, d.now);
    CHECK(target_of(d) == "b:1883");
    d.attempt();
    d.broker(tern::connack{});
    d.events({"connected"});
    d.lost();
    CHECK(target_of(d) == "a:1883");
}

DIALOG("Unfinished messages go to the other server") {
    if (!d.v5()) return;
    follows(d);
    d.open();
    d.publish(message("t", "x", 1), 7);
    d.sends(publish_of("t", 1, 1));
    d.broker(goodbye(other, "b"));
    REQUIRE(d.wants_close());
    d.session.on_disconnected({}, d.now);
    d.attempt();
    d.broker(tern::connack{});
    d.events({"connected"});
    d.sends(publish_of("t", 1, 1));
    d.broker(tern::puback{1});
    d.events({done(7)});
}

DIALOG("A broker that has moved is tried first for the rest of the run, and the list after it") {
    if (!d.v5()) return;
    follows(d);
    d.start();
    CHECK(refused(d, refusal(moved, "b")) == "b:1883");
    d.attempt();
    d.broker(tern::connack{});
    d.events({"connected"});
    d.lost();
    d.awaits_attempt();
    CHECK(target_of(d) == "b:1883");
    CHECK(fails_to_open(d) == "a:1883"); // falls back
    d.attempt();
    CHECK(refused(d, refusal(moved, "c")) == "c:1883"); // takes the place of b
    CHECK(fails_to_open(d) == "a:1883");
    CHECK(fails_to_open(d).starts_with("later"));
    CHECK(d.session.target().host == "c");
    d.stop();
    (void)d.events_so_far();
    d.start(); // another run
    CHECK(target_of(d) == "a:1883");
}

DIALOG("A redirect keeps the scheme: never from TLS to plain") {
    if (!d.v5()) return;
    follows(d);
    d.options.scheme = "mqtts";
    d.start();
    CHECK(refused(d, refusal(other, "mqtt://b b:1883")) == "mqtts://b:1883");
}

DIALOG("The client goes, with its credentials, only where the application lets it") {
    if (!d.v5()) return;
    follows(d, only_example);
    d.options.password = "secret";
    d.start();
    CHECK(refused(d, refusal(other, "evil.test b.example")) == "b.example:1883");
    d.attempt();
    CHECK(refused(d, refusal(other, "evil.test")) == "a:1883"); // the list goes on
    d.attempt();
    CHECK(refused(d, refusal(other, "evil.test")).starts_with("later a:1883"));
}

DIALOG("References that are not followed are reported") {
    if (!d.v5()) return;
    follows(d, only_example);
    d.start();
    d.broker(refusal(other, "mqtt://x evil.test b.example"));
    REQUIRE(d.wants_close());
    d.session.on_disconnected({}, d.now);
    const auto events = d.events_so_far();
    CHECK(events == std::vector<std::string>{"connected: " + text(error_of(other)),
                                             "ignored mqtt://x: " + text(error_of(errc::invalid_server_reference)),
                                             "ignored evil.test: " + text(tern::misuse(errc::redirect_not_allowed))});
}

DIALOG("Brokers that send the client to each other do not keep it busy") {
    if (!d.v5()) return;
    follows(d);
    d.start();
    for (int i = 0; i != 4; ++i) {
        CHECK(refused(d, refusal(other, "b")) == "b:1883");
        d.attempt();
    }
    CHECK(refused(d, refusal(other, "b")) == "a:1883"); // the list goes on
    d.attempt();
    CHECK(refused(d, refusal(other, "b")).starts_with("later"));
    d.awaits_attempt();
    d.attempt();
    d.broker(tern::connack{});
    (void)d.events_so_far();
    d.pass(30s); // it has held
    d.written();
    d.broker(goodbye(other, "b"));
    REQUIRE(d.wants_close());
    d.session.on_disconnected({}, d.now);
    CHECK(target_of(d) == "b:1883");
}

DIALOG("A client that does not reconnect is not led away from a connection") {
    if (!d.v5()) return;
    follows(d);
    d.options.reconnect.enabled = false;
    d.open();
    d.broker(goodbye(other, "b"));
    d.closes();
    d.events({"ignored b: " + text(tern::misuse(errc::redirect_not_allowed)), over(other)});
}

DIALOG("Another reason with a Server Reference leads nowhere") {
    if (!d.v5()) return;
    follows(d);
    d.start();
    CHECK(refused(d, refusal(reason_code::server_busy, "b")).starts_with("later a:1883"));
}

} // namespace redirect_tests
