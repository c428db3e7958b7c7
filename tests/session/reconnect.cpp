// Reconnecting: delays, endpoints and the end of attempts.
#include "dialog.hpp"

using tern::connack;
using tern::errc;
using tern::reason_code;
using tern::transport_action;

namespace {

const auto unreachable = std::make_error_code(std::errc::connection_refused);

std::string down(std::error_code error) {
    return "down: " + text(error);
}
std::string retrying(const dialog& d) {
    return "retrying in " +
           std::to_string(
               std::chrono::duration_cast<std::chrono::milliseconds>(d.session.next_deadline() - d.now).count());
}

} // namespace

DIALOG("the session reconnects immediately, then after increasing delays [§4.4]") {
    d.options.reconnect.enabled = true;
    d.options.reconnect.longest_delay = 10s;
    d.open();
    d.tells_all = true;
    d.pass(1s); // after this time the connection counts as stable
    d.lost(connection_reset);
    d.events({down(connection_reset), "connecting 1 localhost:1883"});
    auto longest = 1'000ms;
    for (unsigned attempt = 2; attempt != 12; ++attempt) {
        d.connects();
        d.lost(unreachable);
        const auto wait = d.session.next_deadline() - d.now;
        CHECK(wait >= 0ms);
        CHECK(wait <= longest);
        longest = std::min<std::chrono::milliseconds>(2 * longest, 10s);
        d.events({down(unreachable), retrying(d)});
        CHECK(d.session.pending_action() == transport_action::none);
        CHECK(!d.session.is_connected());
        CHECK(!d.session.is_idle());
        d.sends();
        if (wait != 0ms) {
            d.pass(std::chrono::duration_cast<std::chrono::milliseconds>(wait) - 1ms);
            CHECK(d.session.pending_action() == transport_action::none);
            d.events({});
        }
        d.awaits_attempt();
        d.events({"connecting " + std::to_string(attempt) + " localhost:1883"});
    }
    d.attempt();
    d.broker(connack{});
    d.events({"connected", "up"});
    d.stays();
}

DIALOG("a connection that is lost early does not reset the delays") {
    d.options.reconnect.enabled = true;
    d.open();
    d.pass(1s - 1ms);
    bool waited = false;
    for (int i = 0; i != 10; ++i) {
        d.lost(connection_reset); // immediately after CONNACK
        waited = waited || d.session.next_deadline() - d.now > 4s;
        d.awaits_attempt();
        d.attempt();
        d.broker(connack{});
        d.events({"connected"});
    }
    CHECK(waited);
    d.pass(60s - 1ms);
    (void)d.written();
    d.broker(tern::pingresp{});
    d.lost(connection_reset);
    CHECK(d.session.pending_action() == transport_action::none);
    d.reopen({});
    for (int i = 0; i != 6; ++i) {
        d.pass(10s);
        (void)d.written();
        d.broker(tern::pingresp{});
    }
    d.lost(connection_reset);
    CHECK(d.session.pending_action() == transport_action::prepare); // now it has held
}

DIALOG("endpoints are tried in turn, starting with that of the lost connection") {
    const tern::endpoint more[] = {{"two", 2}, {"three", 3}};
    d.options.host = "one";
    d.options.port = 1;
    d.options.more_endpoints = more;
    d.options.reconnect.enabled = true;
    d.tells_all = true;
    CHECK(d.try_connect() == errc::none);
    CHECK(d.session.target() == tern::endpoint{"one", 1});
    d.lost(unreachable);
    CHECK(d.session.target() == more[0]);
    d.connects();
    d.broker(connack{});
    d.events({"connecting 1 one:1", down(unreachable), "connecting 2 two:2", "connected", "up"});
    (void)d.written();
    d.pass(1s);
    d.lost(connection_reset);
    d.events({down(connection_reset), "connecting 1 two:2"});
    d.lost(unreachable);
    d.events({down(unreachable), "connecting 2 three:3"});
    d.lost(unreachable);
    d.events({down(unreachable), "connecting 3 one:1"});
    d.lost(unreachable); // the round is over
    d.events({down(unreachable), retrying(d)});
    d.awaits_attempt();
    d.events({"connecting 4 two:2"});
}

DIALOG("an endpoint can be a Unix socket, which has neither host nor port") {
    const tern::endpoint more[] = {{.host = "two", .port = 2, .path = "/p", .scheme = "wss"}};
    d.options.host = "";
    d.options.path = "/run/broker.sock";
    d.options.scheme = "unix";
    d.options.more_endpoints = more;
    d.options.reconnect.enabled = true;
    d.tells_all = true;
    CHECK(d.try_connect() == errc::none);
    CHECK(d.session.target().path == "/run/broker.sock");
    CHECK(d.session.target().scheme == "unix");
    d.lost(unreachable);
    CHECK(d.session.target() == more[0]);
    d.connects();
    d.broker(connack{});
    d.events({"connecting 1 /run/broker.sock:0", down(unreachable), "connecting 2 two:2", "connected", "up"});
    (void)d.written();
}

DIALOG("a handshake that fails leads to the next endpoint, and CONNECT goes out on each connection") {
    const tern::endpoint more[] = {{"two", 2}};
    d.options.more_endpoints = more;
    d.options.reconnect.enabled = true;
    d.options.connack_timeout = 9s;
    d.tells_all = true;
    CHECK(d.try_connect() == errc::none);
    d.connects();
    (void)d.written();
    d.lost({});
    d.events({"connecting 1 localhost:1883", down(tern::violation(errc::closed_by_peer)), "connecting 2 two:2"});
    d.connects();
    CHECK(d.written()[0] == 0x10); // CONNECT from its beginning
    d.pass(9s);
    CHECK(d.wants_close());
    d.options.reconnect.enabled = false; // `lost` is to expect the end
    d.lost();
    d.events({down(tern::violation(errc::connack_timeout)), over(errc::connack_timeout)});
}

DIALOG("a transient refusal leads to the next endpoint, a permanent one ends all") {
    if (!d.v5()) return;
    const tern::endpoint more[] = {{"two", 2}};
    d.options.more_endpoints = more;
    d.options.reconnect.enabled = true;
    d.options.reconnect.retry_first = true;
    CHECK(d.try_connect() == errc::none);
    d.connects();
    connack busy{.reason_code = reason_code::server_busy};
    busy.properties.reason_string = "later";
    d.broker(busy);
    d.events({"connected: " + text(error_of(reason_code::server_busy))});
    d.lost({});
    CHECK(d.session.target() == more[0]);
    d.events({});
    dialog banned(d);
    d.lost(unreachable);
    d.awaits_attempt();
    CHECK(d.session.target() == tern::endpoint{});
    d.connects();

    banned.tells_all = true;
    banned.connects();
    banned.broker(connack{.reason_code = reason_code::banned});
    banned.options.reconnect.enabled = false;
    banned.closes();
    banned.events(
        {"connected: " + text(error_of(reason_code::banned)), down(reason_code::banned), over(reason_code::banned)});
}

DIALOG("an endpoint that cannot be opened is one that failed") {
    const tern::endpoint more[] = {{"two", 2}};
    d.options.more_endpoints = more;
    d.options.reconnect.enabled = true;
    const auto unknown = std::make_error_code(std::errc::host_unreachable);
    CHECK(d.try_connect() == errc::none);
    d.session.on_prepared(d.now);
    CHECK(d.session.pending_action() == transport_action::open);
    d.lost(unknown);
    CHECK(d.session.pending_action() == transport_action::prepare);
    CHECK(d.session.target() == more[0]);
    d.session.on_prepared(d.now);
    d.options.reconnect.enabled = false; // `lost` is to expect the end
    d.lost(unknown);
    d.events({over(unknown)}); // the first connect fails fast
}

DIALOG("an endpoint keeps what a transport needs to know of it") {
    const tern::endpoint more[] = {{.host = "two", .port = 2, .path = "/mqtt", .scheme = "wss"}};
    d.options.more_endpoints = more;
    d.options.reconnect.enabled = true;
    CHECK(d.try_connect() == errc::none);
    CHECK(d.session.target().path.empty());
    CHECK(d.session.target().scheme.empty());
    d.lost(unreachable);
    CHECK(d.session.target() == more[0]);
    const tern::endpoint other{.host = "", .port = 3, .path = "/a", .scheme = "ws"};
    CHECK(d.session.on_prepared({.target = other}, d.now) == errc::empty_host);
    const tern::endpoint third{.host = "three", .port = 3, .path = "", .scheme = "ws"};
    CHECK(d.session.on_prepared({.target = third}, d.now) == errc::none);
    CHECK(d.session.target() == third);
}

DIALOG("the handshake has its own time, and the transport has the limits of what comes before [v311:MQTT-3.1.4-4]") {
    d.options.resolve_timeout = 3s;
    d.options.connect_timeout = 4s;
    d.options.tls_timeout = 6s;
    d.options.upgrade_timeout = 7s;
    d.options.connack_timeout = 5s;
    CHECK(d.try_connect() == errc::none);
    d.pass(1000h); // the application may take its time to prepare
    CHECK(d.session.pending_action() == transport_action::prepare);
    d.session.on_prepared(d.now);
    CHECK(d.session.open_timeouts() == tern::open_timeouts{3s, 4s, 6s, 7s});
    CHECK(d.session.next_deadline() == tern::time_point::max());
    d.pass(1000h);
    CHECK(d.session.pending_action() == transport_action::open);
    for (const errc late : {errc::resolve_timeout, errc::connect_timeout}) {
        dialog one(d);
        one.lost(tern::violation(late));
        one.events({over(late)});
    }
    d.session.on_opened(d.now);
    dialog one(d);
    one.pass(5s - 1ms);
    CHECK(!one.wants_close());
    one.pass(1ms);
    one.closes();
    one.events({over(errc::connack_timeout)});

    d.pass(3s);
    d.lost();
    d.events({over(connection_reset)});
    d.options.resolve_timeout = d.options.connect_timeout = d.options.connack_timeout = 0s;
    d.options.tls_timeout = d.options.upgrade_timeout = 0s;
    CHECK(d.try_connect() == errc::none);
    d.session.on_prepared(d.now);
    CHECK(d.session.open_timeouts() == tern::open_timeouts{});
    d.pass(1000h);
    d.session.on_opened(d.now);
    d.pass(1000h);
    d.broker(connack{});
    d.events({"connected"});
}

DIALOG("permanent refusals stop the session, transient ones do not, unless the policy overrides that") {
    const auto after = [&](auto refusal, tern::reconnect_policy policy) {
        dialog one(d);
        one.options.reconnect = policy;
        one.options.reconnect.retry_first = true;
        one.start();
        one.broker(connack{.reason_code = refusal});
        one.sends();
        one.session.on_disconnected({}, one.now);
        while (one.session.poll_event()) {
        }
        return one.session.is_idle();
    };
    for (const reason_code code : {reason_code::bad_user_name_or_password, reason_code::not_authorized,
                                   reason_code::client_identifier_not_valid, reason_code::unsupported_protocol_version})
        CHECK(after(code, {}));
    CHECK(!after(reason_code::server_unavailable, {}));
    tern::reconnect_policy policy;
    policy.classify = [](const tern::connection_failure& failure) noexcept {
        if (failure.error == reason_code::not_authorized) return tern::failure_class::transient;
        if (failure.error == reason_code::server_unavailable) return tern::failure_class::permanent;
        return tern::classify_failure(failure);
    };
    CHECK(!after(reason_code::not_authorized, policy));
    CHECK(after(reason_code::server_unavailable, policy));
    CHECK(after(reason_code::bad_user_name_or_password, policy));
    if (!d.v5()) return;
    for (const reason_code code : {reason_code::banned, reason_code::server_moved, reason_code::packet_too_large,
                                   reason_code::topic_name_invalid, reason_code::qos_not_supported,
                                   reason_code::retain_not_supported, reason_code::bad_authentication_method})
        CHECK(after(code, {}));
    for (const reason_code code :
         {reason_code::server_busy, reason_code::use_another_server, reason_code::quota_exceeded,
          reason_code::connection_rate_exceeded, reason_code::unspecified_error})
        CHECK(!after(code, {}));
}

DIALOG("session taken over stops the session, so that two clients do not disconnect each other endlessly "
       "[v5:MQTT-3.1.4-3]") {
    if (!d.v5()) return;
    d.options.reconnect.enabled = true;
    d.open();
    dialog busy(d);
    d.broker(tern::disconnect{reason_code::session_taken_over});
    d.closes();
    d.events({over(reason_code::session_taken_over)});
    busy.broker(tern::disconnect{reason_code::server_busy});
    CHECK(busy.wants_close());
    busy.lost();
    busy.reopen({});
}

DIALOG("the first connect fails immediately, or is retried if the options say so") {
    d.options.reconnect.enabled = true;
    dialog fast(d);
    CHECK(fast.try_connect() == errc::none);
    fast.options.reconnect.enabled = false; // `lost` is to expect the end
    fast.lost(unreachable);
    fast.events({over(unreachable)});

    for (const bool enabled : {true, false}) { // `enabled` concerns lost connections only
        dialog patient(d);
        patient.options.reconnect.retry_first = true;
        patient.options.reconnect.enabled = enabled;
        CHECK(patient.try_connect() == errc::none);
        patient.options.reconnect.enabled = true;
        for (int i = 0; i != 20; ++i) {
            patient.lost(unreachable);
            patient.awaits_attempt();
        }
        patient.attempt();
        patient.broker(connack{});
        patient.events({"connected"});
        patient.options.reconnect.enabled = enabled;
        patient.lost(connection_reset);
        if (!enabled) patient.events({over(connection_reset)});
    }
}

DIALOG("the session stops after the maximum number of failed rounds") {
    d.options.reconnect.enabled = true;
    d.options.reconnect.max_rounds = 3;
    const tern::endpoint more[] = {{"two", 2}};
    d.options.more_endpoints = more;
    d.open();
    for (int i = 0; i != 3; ++i) { // each connection resets the count
        d.lost(connection_reset);
        for (int attempt = 0; attempt != 5; ++attempt) {
            d.awaits_attempt();
            d.lost(unreachable);
        }
        d.reopen({});
    }
    d.lost(connection_reset);
    for (int attempt = 0; attempt != 5; ++attempt) {
        d.awaits_attempt();
        d.lost(unreachable);
    }
    d.awaits_attempt();
    d.options.reconnect.enabled = false;
    d.lost(unreachable);
    d.events({over(unreachable)});
}

DIALOG("a policy without a delay is refused") {
    const auto refuses = [&](auto change, errc error) {
        dialog one(d);
        change(one.options.reconnect);
        CHECK(one.try_connect() == error);
        CHECK(one.session.is_idle());
    };
    refuses([](tern::reconnect_policy& p) { p.first_delay = 0ms; }, errc::invalid_reconnect_delay);
    refuses([](tern::reconnect_policy& p) { p.longest_delay = 0ms; }, errc::invalid_reconnect_delay);
    refuses([](tern::reconnect_policy& p) { p.first_delay = -1ms; }, errc::invalid_reconnect_delay);
    refuses([](tern::reconnect_policy& p) { p.longest_delay = -1ms; }, errc::invalid_reconnect_delay);
    refuses([](tern::reconnect_policy& p) { p.longest_delay = std::chrono::milliseconds::max(); },
            errc::invalid_reconnect_delay);
    refuses([](tern::reconnect_policy& p) { p.classify = nullptr; }, errc::missing_classify);
}

DIALOG("credentials that have worked before are tried again after the longest delay [v5:MQTT-3.1.4-2]") {
    d.resumable();
    d.options.user_name = "u";
    d.options.password = "p";
    d.options.reconnect.longest_delay = 60s;
    d.open();
    d.lost();
    d.tells_all = true;
    const reason_code refusals[] = {reason_code::not_authorized, reason_code::bad_user_name_or_password};
    for (const reason_code code : refusals) {
        d.awaits_attempt();
        d.attempt();
        (void)d.events_so_far();
        d.broker(connack{.reason_code = code});
        d.lost();
        CHECK(d.session.next_deadline() == d.now + 60s);
    }
    d.tells_all = false;
    (void)d.events_so_far();
    d.reopen();

    // Other credentials have not worked yet.
    d.lost();
    d.awaits_attempt();
    CHECK(d.session.on_prepared({.password = "other"}, d.now) == errc::none);
    d.session.on_opened(d.now);
    (void)d.written();
    d.broker(connack{.reason_code = reason_code::not_authorized});
    (void)d.events_so_far();
    d.session.on_disconnected({}, d.now);
    while (d.session.poll_event()) {
    }
    CHECK(d.session.is_idle());
}

DIALOG("a session that is taken over by the client's own abandoned CONNECT is resumed") {
    if (!d.v5()) return;
    d.resumable();
    d.options.reconnect.longest_delay = 60s;
    d.options.connack_timeout = 10s;
    d.open();
    d.pass(60s);
    d.lost();
    d.awaits_attempt();
    d.attempt(); // the broker is asleep
    d.pass(10s);
    d.lost();
    d.reopen();
    (void)d.events_so_far();
    d.broker(tern::disconnect{.reason_code = reason_code::session_taken_over});
    d.lost();
    CHECK(d.session.next_deadline() == d.now + 60s);
    d.reopen();
    d.pass(30s);
    d.broker(tern::disconnect{.reason_code = reason_code::session_taken_over});
    d.lost();
    d.reopen(); // it is the same take-over, as far as the client knows
    d.broker(tern::disconnect{.reason_code = reason_code::session_taken_over});
    (void)d.events_so_far();
    d.session.on_disconnected({}, d.now);
    while (d.session.poll_event()) {
    }
    CHECK(d.session.is_idle()); // now another client has the session
}
