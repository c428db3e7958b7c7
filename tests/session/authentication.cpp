// Enhanced authentication [§4.12]: exchanges of AUTH before CONNACK, and on a connection. 3.1.1 has none.
#include "dialog.hpp"

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using tern::errc;
using tern::reason_code;

namespace authentication_dialogs {

// A dialog is run once for each combination of what `one_of` returns in it.
struct choice {
    std::size_t taken = 0;
    std::size_t count = 0;
};
std::vector<choice> choices;
std::size_t next_choice = 0;

std::string_view one_of(std::initializer_list<std::string_view> ways) {
    if (next_choice == choices.size()) choices.push_back({0, ways.size()});
    return ways.begin()[choices[next_choice++].taken];
}
void run_all_ways(void (*script)(dialog&)) {
    static void (*one)(dialog&) = nullptr;
    one = script;
    choices.clear();
    do {
        run_dialog([](dialog& d) {
            next_choice = 0;
            one(d);
        });
        while (!choices.empty() && ++choices.back().taken == choices.back().count)
            choices.pop_back();
    } while (!choices.empty());
}

#define AUTHENTICATION_DIALOG_NAMED(function, ...)                                                                     \
    static void function(dialog& d);                                                                                   \
    TEST_CASE(__VA_ARGS__) {                                                                                           \
        run_all_ways(function);                                                                                        \
    }                                                                                                                  \
    static void function([[maybe_unused]] dialog& d)
#define AUTHENTICATION_DIALOG(...) AUTHENTICATION_DIALOG_NAMED(INTERNAL_CATCH_UNIQUE_NAME(dialog_), __VA_ARGS__)

tern::auth auth_of(reason_code code, std::optional<std::string_view> data = {}, std::string_view method = "M") {
    return {code, {.authentication_method = method, .authentication_data = data}};
}
constexpr auto more = reason_code::continue_authentication;
constexpr auto again = reason_code::re_authenticate;
constexpr auto ok = reason_code::success;

tern::connack accepted(std::optional<std::string_view> data = {}, bool session_present = false) {
    return {.session_present = session_present,
            .properties = {.authentication_method = "M", .authentication_data = data}};
}

tern::connect connect_with(const dialog& d, std::optional<std::string_view> data) {
    tern::connect packet{.clean_start = d.options.clean_start, .client_id = "c"};
    packet.keep_alive = d.options.keep_alive;
    packet.properties = d.options.properties;
    packet.properties.authentication_data = data;
    return packet;
}

// Begins to connect, up to the request for the first data.
void begins(dialog& d) {
    d.options.properties.authentication_method = "M";
    REQUIRE(d.try_connect() == errc::none);
    d.connects();
    d.events({"begin M"});
    d.sends();
}
// CONNECT has been sent.
void starts(dialog& d) {
    begins(d);
    d.authenticate("1");
    d.sends(connect_with(d, "1"));
}
// The connection is authenticated.
void opens(dialog& d) {
    starts(d);
    d.broker(accepted("end"));
    d.events({"verify M=end"});
    d.authenticate();
    d.events({"connected"});
    d.sends();
}
// The application has begun to authenticate again, and AUTH has been sent.
void renews(dialog& d, unsigned op = 5) {
    d.reauthenticate(op);
    d.events({"again: begin M"});
    d.authenticate("first");
    d.sends(auth_of(again, "first"));
}
// The broker has broken a rule.
void breaks(dialog& d, errc error = errc::unexpected_authentication, std::vector<std::string> before = {}) {
    d.fails(error, std::move(before));
}

AUTHENTICATION_DIALOG(
    "AUTH goes back and forth before CONNACK [v5:MQTT-4.12.0-2, v5:MQTT-4.12.0-3, v5:MQTT-4.12.0-5]") {
    if (!d.v5()) return;
    starts(d);
    d.broker(auth_of(more, "2"));
    d.events({"answer M=2"});
    d.sends();
    d.authenticate("3");
    d.sends(auth_of(more, "3"));
    d.broker(auth_of(more));
    d.events({"answer M"});
    d.authenticate();
    d.sends(auth_of(more));
    d.broker(accepted("end"));
    d.events({"verify M=end"});
    d.authenticate();
    d.events({"connected"});
    d.stays();
    d.publish(message("a", "x", 1), 7);
    d.sends(publish_of("a", 1, 1));
    d.broker(tern::puback{1});
    d.events({done(7)});
}

AUTHENTICATION_DIALOG("The reason string and the user properties of AUTH reach the authenticator [§3.15.2.2]") {
    if (!d.v5()) return;
    starts(d);
    auto packet = auth_of(more, "2");
    packet.properties.reason_string = "why";
    d.broker(packet);
    d.events({"answer M=2, why"});
}

AUTHENTICATION_DIALOG("Without new data, CONNECT has the data of the options [§3.1.2.11.10]") {
    if (!d.v5()) return;
    d.options.properties.authentication_data = "fixed";
    begins(d);
    d.authenticate();
    d.sends(connect_with(d, "fixed"));
    d.broker(accepted());
    d.events({"verify M"});
    d.authenticate();
    d.events({"connected"});
}

AUTHENTICATION_DIALOG("Until CONNACK only AUTH and DISCONNECT are sent [v5:MQTT-3.1.2-30]") {
    if (!d.v5()) return;
    d.publish(message("a", "x", 1), 7);
    starts(d);
    d.sends();
    d.broker(auth_of(more, "2"));
    d.events({"answer M=2"});
    d.sends();
    d.authenticate("3");
    d.sends(auth_of(more, "3"));
    const std::string_view way =
        one_of({"what was queued follows when the application has accepted the broker",
                "nothing is sent to a broker that it does not accept", "the application disconnects"});
    if (way == "what was queued follows when the application has accepted the broker") {
        d.broker(accepted());
        d.events({"verify M"});
        d.sends();
        d.authenticate();
        d.events({"connected"});
        d.sends(publish_of("a", 1, 1));
    }
    if (way == "nothing is sent to a broker that it does not accept") {
        d.broker(accepted());
        d.events({"verify M"});
        d.fail_authentication(tern::violation(errc::authentication_failed));
        d.sends(tern::disconnect{.reason_code = reason_code::unspecified_error});
        d.closes();
        d.events({done(7, errc::authentication_failed), over(errc::authentication_failed)});
    }
    if (way == "the application disconnects") {
        d.disconnect();
        d.sends(tern::disconnect{});
        d.closes();
        d.events({done(7, tern::misuse(errc::disconnected)), over()});
    }
}

AUTHENTICATION_DIALOG("Packets behind CONNACK wait until the application has accepted the broker") {
    if (!d.v5()) return;
    starts(d);
    d.broker(accepted("end"));
    d.events({"verify M=end"});
    CHECK_FALSE(d.session.is_reading());
    d.authenticate();
    CHECK(d.session.is_reading());
    d.broker(tern::publish{message("a")});
    d.events({"connected", got(message("a"))});
}

AUTHENTICATION_DIALOG("A broker that refuses the client ends the exchange [v5:MQTT-4.12.0-4]") {
    if (!d.v5()) return;
    starts(d);
    const std::string_view way = one_of({"at once", "after an exchange", "before the application has answered"});
    if (way == "after an exchange") {
        d.broker(auth_of(more, "2"));
        d.events({"answer M=2"});
        d.authenticate("3");
        d.sends(auth_of(more, "3"));
    }
    if (way == "before the application has answered") {
        d.broker(auth_of(more, "2"));
        d.events({"answer M=2"});
    }
    d.broker(tern::connack{.reason_code = reason_code::not_authorized});
    d.closes();
    d.events({"connected: " + text(error_of(reason_code::not_authorized)), over(reason_code::not_authorized)});
}

AUTHENTICATION_DIALOG("AUTH and CONNACK have the method of CONNECT [v5:MQTT-4.12.0-5]") {
    if (!d.v5()) return;
    starts(d);
    const std::string_view way = one_of({"AUTH has another", "CONNACK has another", "CONNACK has none"});
    if (way == "AUTH has another") {
        d.broker(auth_of(more, "2", "other"));
        breaks(d);
    }
    if (way == "CONNACK has another") {
        auto other = accepted();
        other.properties.authentication_method = "other";
        d.broker(other);
        breaks(d);
    }
    if (way == "CONNACK has none") {
        d.broker(tern::connack{});
        breaks(d, errc::missing_authentication_method);
    }
}

AUTHENTICATION_DIALOG("The broker does not authenticate a client that has no method [v5:MQTT-4.12.0-6]") {
    if (!d.v5()) return;
    const std::string_view way = one_of({"before CONNACK", "in CONNACK", "later"});
    if (way == "before CONNACK") {
        d.start();
        d.broker(auth_of(more, "2"));
        breaks(d);
    }
    if (way == "in CONNACK") {
        d.start();
        d.broker(accepted());
        breaks(d);
    }
    if (way == "later") {
        d.open();
        d.broker(auth_of(more, "2"));
        breaks(d);
    }
}

AUTHENTICATION_DIALOG("AUTH out of turn violates the protocol [v5:§3.15.2.1-a]") {
    if (!d.v5()) return;
    const std::string_view way =
        one_of({"a second one before the answer", "CONNACK before the answer", "success before CONNACK",
                "re-authentication by the broker before CONNACK [§3.15.2.1]", "on a connection without an exchange",
                "re-authentication by the broker during one of the client", "after the end of an exchange"});
    if (way == "a second one before the answer") {
        starts(d);
        d.broker(auth_of(more, "2"));
        d.events({"answer M=2"});
        d.broker(auth_of(more, "2"));
        breaks(d);
    }
    if (way == "CONNACK before the answer") {
        starts(d);
        d.broker(auth_of(more, "2"));
        d.events({"answer M=2"});
        d.broker(accepted());
        breaks(d);
    }
    if (way == "success before CONNACK") {
        starts(d);
        d.broker(auth_of(ok));
        breaks(d);
    }
    if (way == "re-authentication by the broker before CONNACK [§3.15.2.1]") {
        starts(d);
        d.broker(auth_of(again));
        breaks(d);
    }
    if (way == "on a connection without an exchange") {
        opens(d);
        const std::string_view inner = one_of({"0x18", "0x00", "0x19"});
        if (inner == "0x18") {
            d.broker(auth_of(more));
        }
        if (inner == "0x00") {
            d.broker(auth_of(ok));
        }
        if (inner == "0x19") {
            d.broker(auth_of(again));
        }
        breaks(d);
    }
    if (way == "re-authentication by the broker during one of the client") {
        opens(d);
        renews(d);
        d.broker(auth_of(again));
        breaks(d, errc::unexpected_authentication, {done(5, errc::unexpected_authentication)});
    }
    if (way == "after the end of an exchange") {
        opens(d);
        renews(d);
        d.broker(auth_of(ok));
        d.events({"again: verify M"});
        d.authenticate();
        d.events({done(5)});
        d.broker(auth_of(ok));
        breaks(d);
    }
}

AUTHENTICATION_DIALOG("The application may fail each step") {
    if (!d.v5()) return;
    const std::error_code why = std::make_error_code(std::errc::permission_denied);
    const std::string_view way = one_of({"before CONNECT: nothing is sent", "after AUTH", "at CONNACK"});
    if (way == "before CONNECT: nothing is sent") {
        begins(d);
        d.fail_authentication(why);
        d.sends();
    }
    if (way == "after AUTH") {
        starts(d);
        d.broker(auth_of(more, "2"));
        d.events({"answer M=2"});
        d.fail_authentication(why);
        d.sends(tern::disconnect{.reason_code = reason_code::unspecified_error});
    }
    if (way == "at CONNACK") {
        starts(d);
        d.broker(accepted("forged"));
        d.events({"verify M=forged"});
        d.fail_authentication(why);
        d.sends(tern::disconnect{.reason_code = reason_code::unspecified_error});
    }
    d.closes();
    d.events({over(why)});
}

AUTHENTICATION_DIALOG("Data that no packet can carry is refused, and the request still waits") {
    if (!d.v5()) return;
    const std::string large(65'536, 'x');
    begins(d);
    CHECK(d.try_authenticate(large) == errc::string_too_long);
    d.authenticate("1");
    d.sends(connect_with(d, "1"));
    d.broker(auth_of(more, "2"));
    d.events({"answer M=2"});
    CHECK(d.try_authenticate(large) == errc::string_too_long);
    d.authenticate("3");
    d.sends(auth_of(more, "3"));
}

AUTHENTICATION_DIALOG("An answer for which there was no request is ignored") {
    CHECK(d.try_authenticate("x") == errc::none); // not connected
    d.open();
    CHECK(d.try_authenticate("x") == errc::none);
    d.fail_authentication(tern::misuse(errc::invalid_argument));
    d.stays();
    d.sends();
}

AUTHENTICATION_DIALOG("Each step has its time") {
    if (!d.v5()) return;
    d.options.connack_timeout = 7s;
    d.options.authentication_timeout = 5s;
    errc expected = errc::authentication_timeout;
    const std::string_view way = one_of({"the first data", "the first answer of the broker",
                                         "the answer to AUTH, and the next answer of the broker", "the verdict"});
    if (way == "the first data") {
        begins(d);
        d.pass(4999ms);
        CHECK_FALSE(d.wants_close());
        d.pass(1ms);
        d.sends(); // DISCONNECT cannot be the first packet [v5:MQTT-3.1.0-1]
    }
    if (way == "the first answer of the broker") {
        expected = errc::connack_timeout;
        begins(d);
        d.pass(4s);
        d.authenticate("1");
        d.sends(connect_with(d, "1"));
        d.pass(6999ms);
        CHECK_FALSE(d.wants_close());
        d.pass(1ms);
        d.sends();
    }
    if (way == "the answer to AUTH, and the next answer of the broker") {
        starts(d);
        d.pass(6s);
        d.broker(auth_of(more, "2"));
        d.events({"answer M=2"});
        d.pass(4s);
        const std::string_view inner = one_of({"the application", "the broker"});
        if (inner == "the broker") {
            d.authenticate("3");
            d.sends(auth_of(more, "3"));
            d.pass(4s);
        }
        CHECK_FALSE(d.wants_close());
        d.pass(1s);
        d.sends(tern::disconnect{.reason_code = reason_code::unspecified_error});
    }
    if (way == "the verdict") {
        starts(d);
        d.broker(accepted());
        d.events({"verify M"});
        d.pass(5s);
        d.sends(tern::disconnect{.reason_code = reason_code::unspecified_error});
    }
    d.closes();
    d.events({over(expected)});
}

AUTHENTICATION_DIALOG("A client that did not run for some time gives each step its time again") {
    if (!d.v5()) return;
    starts(d);
    d.broker(auth_of(more, "2"));
    d.events({"answer M=2"});
    d.now += 1h;
    d.session.on_deadline(d.now);
    CHECK_FALSE(d.wants_close());
    d.authenticate("3");
    d.sends(auth_of(more, "3"));
}

AUTHENTICATION_DIALOG("Without a limit a step may take any time") {
    if (!d.v5()) return;
    d.options.authentication_timeout = 0ms;
    d.options.connack_timeout = 0ms;
    begins(d);
    d.pass(24h);
    d.authenticate("1");
    d.sends(connect_with(d, "1"));
    d.pass(24h);
    d.broker(auth_of(more, "2"));
    d.events({"answer M=2"});
    d.pass(24h);
    CHECK_FALSE(d.wants_close());
}

AUTHENTICATION_DIALOG("Each connection has an exchange of its own") {
    if (!d.v5()) return;
    d.resumable();
    opens(d);
    d.lost();
    d.awaits_attempt();
    d.connects();
    d.events({"begin M"});
    d.authenticate("other");
    d.sends(connect_with(d, "other"));
    d.broker(accepted("end", true));
    d.events({"verify M=end"});
    d.authenticate();
    d.events({"connected, session present"});
}

// ---- doubt: whether the broker has accepted CONNECT

// The session of the last connection has a QoS 2 message that is not released. The next CONNECT is cut. Then a broker
// that has a session sends a new message under the same identifier. Returns whether it is taken for a new one.
void resumes_with_open_identifier(dialog& d) {
    d.resumable();
    opens(d);
    d.broker(tern::publish{message("a", "old", 2), false, 9});
    d.events({got(message("a", "old", 2))});
    d.release(0);
    d.sends(tern::pubrec{9});
    d.lost();
    d.awaits_attempt();
    d.connects();
    d.events({"begin M"});
}
bool delivers_again(dialog& d) {
    d.lost();
    d.awaits_attempt();
    d.connects();
    d.events({"begin M"});
    d.authenticate("3");
    d.written();
    d.broker(accepted({}, true));
    d.events({"verify M"});
    d.authenticate();
    d.events({"connected, session present"});
    d.broker(tern::publish{message("a", "new", 2), false, 9});
    return !d.events_so_far().empty();
}

AUTHENTICATION_DIALOG("A CONNECT that the broker cannot have accepted leaves no doubt about the session [R3]") {
    if (!d.v5()) return;
    resumes_with_open_identifier(d);
    const std::string_view way = one_of({"it was not sent", "it was sent in part",
                                         "the broker waits for the answer to AUTH", "the answer was not sent whole"});
    if (way == "it was sent in part") {
        d.authenticate("2");
        d.written(5);
    }
    if (way == "the broker waits for the answer to AUTH") {
        d.authenticate("2");
        d.written();
        d.broker(auth_of(more, "x"));
        d.events({"answer M=x"});
    }
    if (way == "the answer was not sent whole") {
        d.authenticate("2");
        d.written();
        d.broker(auth_of(more, "x"));
        d.events({"answer M=x"});
        d.authenticate("y");
        d.written(4);
    }
    CHECK_FALSE(delivers_again(d));
}

AUTHENTICATION_DIALOG("A CONNECT is in doubt once the answer to the latest AUTH was sent [R3]") {
    if (!d.v5()) return;
    resumes_with_open_identifier(d);
    d.authenticate("2");
    d.written();
    const std::string_view way =
        one_of({"CONNECT alone", "the answer to AUTH", "a CONNACK that the application has not accepted",
                "a CONNACK that the application refuses"});
    if (way == "the answer to AUTH") {
        d.broker(auth_of(more, "x"));
        d.events({"answer M=x"});
        d.authenticate("y");
        d.written();
    }
    if (way == "a CONNACK that the application has not accepted") {
        d.broker(accepted());
        d.events({"verify M"});
    }
    if (way == "a CONNACK that the application refuses") {
        d.broker(accepted());
        d.events({"verify M"});
        d.fail_authentication(std::make_error_code(std::errc::permission_denied));
    }
    CHECK(delivers_again(d));
}

// ---- re-authentication

AUTHENTICATION_DIALOG("The client authenticates again while messages flow [v5:MQTT-4.12.1-1]") {
    if (!d.v5()) return;
    opens(d);
    renews(d);
    d.publish(message("a", "x", 1), 7);
    d.sends(publish_of("a", 1, 1));
    d.broker(tern::publish{message("b")}, auth_of(more, "2"), tern::puback{1});
    d.events({got(message("b")), "again: answer M=2", done(7)});
    d.authenticate("3");
    d.sends(auth_of(more, "3"));
    d.broker(auth_of(ok, "end"));
    d.events({"again: verify M=end"});
    d.publish(message("c"));
    d.sends(tern::publish{message("c")});
    d.authenticate();
    d.events({done(5)});
    d.stays();
    renews(d, 6);                    // once more
    d.broker_bytes({"\xF0\x00", 2}); // success without a method [§3.15.2.1]
    d.events({"again: verify M"});
    d.authenticate();
    d.events({done(6)});
}

AUTHENTICATION_DIALOG("Re-authentication is refused before anything is sent") {
    if (!d.v5()) {
        d.open();
        CHECK(d.try_reauthenticate() == errc::requires_v5);
        d.sends();
        return;
    }
    const std::string_view way = one_of({"without a connection", "without a method", "one at a time"});
    if (way == "without a connection") {
        CHECK(d.try_reauthenticate() == errc::not_connected);
        starts(d);
        CHECK(d.try_reauthenticate() == errc::not_connected);
    }
    if (way == "without a method") {
        d.open();
        CHECK(d.try_reauthenticate() == errc::authentication_not_supported);
    }
    if (way == "one at a time") {
        opens(d);
        renews(d);
        CHECK(d.try_reauthenticate(6) == errc::authentication_in_progress);
        d.broker(auth_of(ok));
        d.events({"again: verify M"});
        CHECK(d.try_reauthenticate(6) == errc::authentication_in_progress);
    }
    d.sends();
}

AUTHENTICATION_DIALOG("Failed re-authentication ends the connection [v5:MQTT-4.12.1-2]") {
    if (!d.v5()) return;
    opens(d);
    const std::error_code why = std::make_error_code(std::errc::permission_denied);
    const std::string_view way = one_of({"by the broker", "by the application"});
    if (way == "by the broker") {
        renews(d);
        d.broker(tern::disconnect{reason_code::not_authorized});
        d.closes();
        d.events({done(5, reason_code::not_authorized), over(reason_code::not_authorized)});
    }
    if (way == "by the application") {
        renews(d);
        const std::string_view inner = one_of({"at a challenge", "at the end"});
        if (inner == "at a challenge") {
            d.broker(auth_of(more, "2"));
            d.events({"again: answer M=2"});
        }
        if (inner == "at the end") {
            d.broker(auth_of(ok, "2"));
            d.events({"again: verify M=2"});
        }
        d.fail_authentication(why);
        d.sends(tern::disconnect{.reason_code = reason_code::unspecified_error});
        d.closes();
        d.events({done(5, why), over(why)});
    }
}

AUTHENTICATION_DIALOG("A re-authentication of which nothing was sent fails alone") {
    if (!d.v5()) return;
    d.options.authentication_timeout = 5s;
    opens(d);
    d.reauthenticate(5);
    d.events({"again: begin M"});
    const std::string_view way = one_of({"the application fails it", "its time is over", "it is cancelled"});
    if (way == "the application fails it") {
        const std::error_code why = std::make_error_code(std::errc::permission_denied);
        d.fail_authentication(why);
        d.events({done(5, why)});
    }
    if (way == "its time is over") {
        d.pass(5s);
        d.events({done(5, tern::misuse(errc::authentication_timeout))});
    }
    if (way == "it is cancelled") {
        CHECK(d.cancel(5));
        d.events({});
    }
    d.authenticate("late");
    d.sends();
    d.stays();
    renews(d, 6);
}

AUTHENTICATION_DIALOG("A cancelled re-authentication of which something was sent goes on") {
    if (!d.v5()) return;
    opens(d);
    renews(d);
    CHECK_FALSE(d.cancel(5));
    d.broker(auth_of(ok));
    d.events({"again: verify M"});
    d.authenticate();
    d.events({done(5)});
}

AUTHENTICATION_DIALOG("Each step of a re-authentication has its time") {
    if (!d.v5()) return;
    d.options.authentication_timeout = 5s;
    opens(d);
    renews(d);
    d.pass(4s);
    const std::string_view way =
        one_of({"the broker", "the application, at a challenge", "the application, at the end"});
    if (way == "the application, at a challenge") {
        d.broker(auth_of(more, "2"));
        d.events({"again: answer M=2"});
        d.pass(4s);
    }
    if (way == "the application, at the end") {
        d.broker(auth_of(ok));
        d.events({"again: verify M"});
        d.pass(4s);
    }
    d.stays();
    d.pass(1s);
    d.sends(tern::disconnect{.reason_code = reason_code::unspecified_error});
    d.closes();
    d.events({done(5, errc::authentication_timeout), over(errc::authentication_timeout)});
}

AUTHENTICATION_DIALOG("The time of a step counts the bytes before AUTH on a slow link") {
    if (!d.v5() || d.writes_bytes()) return; // there are many
    d.options.authentication_timeout = 5s;
    d.options.keep_alive = 0s;
    opens(d);
    const std::string large(1'600'000, 'x'); // 16 KiB/s are assumed: about 97 s
    d.publish(message("a", large));
    d.reauthenticate(5);
    d.events({"again: begin M"});
    d.authenticate("1");
    d.pass(90s);
    d.stays();
    d.pass(20s);
    d.written();
    d.closes();
    d.events({done(5, errc::authentication_timeout), over(errc::authentication_timeout)});
}

AUTHENTICATION_DIALOG("Messages that arrive before the broker's AUTH extend its time, up to ten minutes") {
    if (!d.v5()) return;
    d.options.authentication_timeout = 5s;
    d.options.keep_alive = 0s;
    opens(d);
    renews(d);
    for (int i = 0; i != 149; ++i) {
        d.broker(tern::publish{message("a")});
        d.pass(4s);
        CHECK(d.events_so_far().size() == 1);
    }
    d.stays();
    d.broker(tern::publish{message("a")});
    d.pass(10s);
    d.sends(tern::disconnect{.reason_code = reason_code::unspecified_error});
    d.closes();
    d.events({got(message("a")), done(5, errc::authentication_timeout), over(errc::authentication_timeout)});
}

AUTHENTICATION_DIALOG("AUTH is read although the application takes no messages [R4, R13]") {
    if (!d.v5()) return;
    d.options.ack_timeout = 20s;
    d.options.authentication_timeout = 5s;
    d.options.keep_alive = 0s;
    opens(d);
    renews(d);
    d.session.set_delivery(tern::delivery::limited, d.now);
    CHECK(d.session.is_reading());
    const std::string_view way = one_of(
        {"behind messages", "not behind a QoS 1 message for which there is no room: what is not read is not late"});
    if (way == "behind messages") {
        d.broker(tern::publish{message("a", "x", 1), false, 1}, auth_of(more, "2"));
        d.events({got(message("a", "x", 1)), "again: answer M=2"});
        CHECK_FALSE(d.session.is_reading()); // nothing waits for the broker
        d.authenticate("3");
        CHECK(d.session.is_reading());
        d.sends(auth_of(more, "3"));
        d.broker(auth_of(ok));
        d.events({"again: verify M"});
        d.authenticate();
        d.events({done(5)});
        CHECK_FALSE(d.session.is_reading());
    }
    if (way == "not behind a QoS 1 message for which there is no room: what is not read is not late") {
        d.session.set_delivery(tern::delivery::full, d.now);
        d.broker(tern::publish{message("a", "x", 1), false, 1}, auth_of(ok));
        d.events({});
        CHECK_FALSE(d.session.is_reading());
        d.pass(19s);
        d.stays();
        d.pass(1s);
        d.events({unknown(5, errc::inbox_full)});
        d.session.set_delivery(tern::delivery::open, d.now);
        d.events({got(message("a", "x", 1)), "again: verify M"});
        d.authenticate();
        d.events({});
        d.stays();
        renews(d, 6);
    }
}

AUTHENTICATION_DIALOG("A re-authentication ends with the connection") {
    if (!d.v5()) return;
    d.resumable();
    opens(d);
    const std::string_view way = one_of({"before anything was sent", "while the broker has to answer",
                                         "while the application has to answer", "with the application's DISCONNECT"});
    if (way == "before anything was sent") {
        d.reauthenticate(5);
        d.events({"again: begin M"});
        d.lost();
        d.events({done(5, connection_reset)});
    }
    if (way == "while the broker has to answer") {
        renews(d);
        d.lost();
        d.events({done(5, connection_reset)});
    }
    if (way == "while the application has to answer") {
        renews(d);
        d.broker(auth_of(more, "2"));
        d.events({"again: answer M=2"});
        d.lost();
        d.events({done(5, connection_reset)});
    }
    if (way == "with the application's DISCONNECT") {
        d.options.reconnect.enabled = false;
        renews(d);
        d.disconnect();
        d.authenticate("late");
        d.sends(tern::disconnect{});
        d.closes();
        d.events({unknown(5), over()});
        return;
    }
    d.authenticate("late"); // for the connection of before
    d.awaits_attempt();
    d.connects();
    d.events({"begin M"});
}

AUTHENTICATION_DIALOG("Data that exceeds the broker's Maximum Packet Size is refused, and the request still waits "
                      "[v5:MQTT-3.2.2-15, v5:MQTT-3.15.2-2, v5:MQTT-3.15.2-3]") {
    if (!d.v5()) return;
    starts(d);
    auto limited = accepted();
    limited.properties.maximum_packet_size = 20;
    d.broker(limited);
    d.events({"verify M"});
    d.authenticate();
    d.events({"connected"});
    d.reauthenticate(5);
    d.events({"again: begin M"});
    CHECK(d.try_authenticate("0123456789") == errc::packet_too_large);
    d.authenticate("0");
    d.sends(auth_of(again, "0"));
}

AUTHENTICATION_DIALOG("AUTH does not explain itself to a client that does not want that [v5:MQTT-3.1.2-29]") {
    if (!d.v5()) return;
    d.options.properties.request_problem_information = false;
    starts(d);
    auto packet = auth_of(more, "2");
    packet.properties.reason_string = "why";
    d.broker(packet);
    breaks(d, errc::unwanted_problem_information);
}

TEST_CASE("3.1.1 has no authentication method: nothing is sent") {
    dialog d(tern::protocol_version::v3_1_1, dialog::reading::packets, dialog::writing::whole);
    d.options.properties.authentication_method = "M";
    CHECK(d.try_connect() == errc::requires_v5);
    CHECK(d.session.is_idle());
}

} // namespace authentication_dialogs
