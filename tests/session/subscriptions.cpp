// What the client does about subscriptions by itself, while the program subscribes and unsubscribes.
#include "dialog.hpp"
#include "subscribing.hpp"

#include <string>
#include <vector>

using tern::connack;
using tern::errc;
using tern::reason_code;
using tern::subscription;

namespace {

tern::filter_ack<tern::packet_type::unsuback> unsuback_with(tern::packet_id id, const std::vector<reason_code>& codes) {
    return {id, codes};
}

void granted(dialog& d, const std::vector<subscription>& list, tern::packet_id id,
             const tern::subscribe_properties& properties = {}) {
    REQUIRE(d.try_subscribe(list, properties) == errc::none);
    (void)d.written();
    d.broker(suback_of(id, std::vector<reason_code>(list.size())));
    d.events({});
}

// A connection with a granted subscription to "a", from SUBSCRIBE 1.
void open_with_a(dialog& d) {
    d.resumable();
    d.open();
    granted(d, {{.filter = "a"}}, 1);
}

std::string refused(const std::string& filter, std::error_code error) {
    return "refused " + filter + ": " + text(error);
}

// The connection breaks, and the broker has lost the session.
void loses_session(dialog& d) {
    d.lost();
    d.reopen({});
}

// The next CONNACK is lost, and the one after it says that the session is present.
void reopens_in_doubt(dialog& d) {
    d.lost();
    d.awaits_attempt();
    d.connects();
    (void)d.written();
    d.lost();
    d.reopen();
}

// A subscription that the client ends by itself.
void sends_unsubscribe_of_its_own(dialog& d, std::string_view filter, tern::packet_id id) {
    d.sends(unsubscribe_of(filter, id));
    d.broker(unsuback_of(d, id));
    d.events({});
    d.lost();
    d.reopen();
    d.sends();
    loses_session(d);
}

} // namespace

DIALOG("a SUBSCRIBE that renews has at most 8 topic filters, or as many as the option says") {
    std::vector<std::string> filters;
    for (char c = 'a'; c != 'u'; ++c)
        filters.emplace_back(1, c);
    std::vector<subscription> list;
    for (const std::string& filter : filters)
        list.push_back({.filter = filter});
    d.resumable();
    const auto of = [&](std::size_t first, std::size_t count) {
        return std::vector<subscription>(list.begin() + static_cast<std::ptrdiff_t>(first),
                                         list.begin() + static_cast<std::ptrdiff_t>(first + count));
    };
    dialog three(d);
    d.open();
    granted(d, list, 1);
    loses_session(d);
    d.sends(subscribe_of(of(0, 8), 2), subscribe_of(of(8, 8), 3), subscribe_of(of(16, 4), 4));

    three.options.max_renewal_filters = 0;
    CHECK(three.try_connect() == errc::invalid_max_renewal_filters);
    three.options.max_renewal_filters = 19;
    three.open();
    granted(three, list, 1);
    loses_session(three);
    three.sends(subscribe_of(of(0, 19), 2), subscribe_of(of(19, 1), 3));
}

DIALOG("a filter that the broker cannot do does not keep others from being renewed [§3.2.2.3.11, §3.2.2.3.13]") {
    if (!d.v5()) return;
    const std::vector<subscription> all{
        {.filter = "#"}, {.filter = "$share/g/s"}, {.filter = "a"}, {.filter = "b/#"}, {.filter = "c"}};
    d.resumable();
    d.open();
    granted(d, all, 1);
    d.lost();
    connack answer;
    answer.properties.wildcard_subscription_available = false;
    answer.properties.shared_subscription_available = false;
    const auto wildcards = tern::misuse(errc::wildcard_subscriptions_not_supported);
    const auto shared = tern::misuse(errc::shared_subscriptions_not_supported);
    d.reopen(answer, {refused("#", wildcards), refused("$share/g/s", shared), refused("b/#", wildcards)});
    d.sends(subscribe_of({{.filter = "a"}, {.filter = "c"}}, 2));
    d.broker(suback_of(2, {yes, yes}));
    d.events({});
    d.lost();
    d.reopen();
    d.sends();
    loses_session(d); // by a broker that can do all of it
    d.sends(subscribe_of(all, 3));
}

DIALOG("filters with an identifier that the broker cannot do are reported, the others are renewed [§3.2.2.3.12]") {
    if (!d.v5()) return;
    open_with_a(d);
    granted(d, {{.filter = "b"}, {.filter = "c"}}, 2, {.subscription_identifier = 7});
    d.lost();
    connack answer;
    answer.properties.subscription_identifier_available = false;
    const auto identifiers = tern::misuse(errc::subscription_identifiers_not_supported);
    d.reopen(answer, {refused("b", identifiers), refused("c", identifiers)});
    d.sends(subscribe_of({{.filter = "a"}}, 3));
}

DIALOG("a filter that is subscribed again is renewed with its latest identifier [v311:MQTT-3.8.4-3, "
       "v5:MQTT-3.8.4-3]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    granted(d, {{.filter = "a"}, {.filter = "b"}}, 1, {.subscription_identifier = 7});
    granted(d, {{.filter = "a"}}, 2, {.subscription_identifier = 8});
    granted(d, {{.filter = "b"}}, 3);
    loses_session(d);
    d.sends(subscribe_of({{.filter = "b"}}, 4), subscribe_of({{.filter = "a"}}, 5, {.subscription_identifier = 8}));
}

DIALOG("a filter that one SUBSCRIBE names twice is renewed with its last options [v311:MQTT-3.8.4-3, "
       "v5:MQTT-3.8.4-3]") {
    d.resumable();
    d.open();
    granted(d, {{.filter = "a"}, {.filter = "a", .max_qos = tern::qos::exactly_once}}, 1);
    loses_session(d);
    d.sends(subscribe_of({{.filter = "a", .max_qos = tern::qos::exactly_once}}, 2));
}

DIALOG("a renewal does not overwrite a newer SUBSCRIBE of the program, in whatever order they are answered") {
    const subscription newer{.filter = "a", .max_qos = tern::qos::exactly_once};
    open_with_a(d);
    loses_session(d);
    d.subscribe({newer}, 9);
    d.sends(subscribe_of({{.filter = "a"}}, 2), subscribe_of({newer}, 3));
    for (const bool renewal_first : {true, false}) {
        for (const reason_code answer : {yes, no}) {
            dialog one(d);
            if (renewal_first) {
                one.broker(suback_of(2, {answer}));
                one.events(answer == no ? std::vector{refused("a", error_of(no))} : std::vector<std::string>{});
            }
            one.broker(suback_of(3, {yes}));
            if (!renewal_first) one.broker(suback_of(2, {answer}));
            one.events({done(9)});
            loses_session(one);
            one.sends(subscribe_of({newer}, 4));
        }
    }
    d.broker(suback_of(2, {yes}), suback_of(3, {no})); // the renewed subscription stays
    d.events({done(9, no)});
    loses_session(d);
    d.sends(subscribe_of({{.filter = "a"}}, 4));
}

DIALOG("a filter for which a request of the program waits is not renewed, unless that ends without a grant") {
    const subscription newer{.filter = "a", .max_qos = tern::qos::exactly_once};
    open_with_a(d);
    granted(d, {{.filter = "b"}}, 2);
    d.lost();
    d.subscribe({newer}, 9);
    dialog withdrawn(d);
    d.reopen({});
    d.sends(subscribe_of({{.filter = "b"}}, 4), subscribe_of({newer}, 3));
    dialog granted(d);
    d.broker(suback_of(3, {no}));
    d.events({done(9, no)});
    d.sends(subscribe_of({{.filter = "a"}}, 5));

    granted.broker(suback_of(3, {yes}), suback_of(4, {yes}));
    granted.events({done(9)});
    granted.sends();
    loses_session(granted);
    granted.sends(subscribe_of({newer, {.filter = "b"}}, 5));

    CHECK(withdrawn.cancel(9));
    withdrawn.reopen({});
    withdrawn.sends(subscribe_of({{.filter = "a"}, {.filter = "b"}}, 4));

    if (!d.v5()) return;
    dialog limited(granted);
    limited.lost();
    limited.subscribe({{.filter = "b"}, {.filter = "#"}}, 8);
    connack answer;
    answer.properties.wildcard_subscription_available = false;
    limited.reopen(answer, {done(8, tern::misuse(errc::wildcard_subscriptions_not_supported))});
    limited.sends(subscribe_of({newer, {.filter = "b"}}, 7));
}

DIALOG("an UNSUBSCRIBE that is cancelled before it is sent changes nothing") {
    open_with_a(d);
    dialog late(d);
    d.lost();
    d.unsubscribe({"a"}, 5);
    CHECK(d.cancel(5));
    d.reopen({});
    d.sends(subscribe_of({{.filter = "a"}}, 3));

    late.unsubscribe({"a"}, 5);
    CHECK(late.cancel(5) == false); // it is pending, but not a byte is written
    if (late.writes_bytes()) return;
    late.lost();
    late.reopen({}, {done(5, tern::misuse(errc::session_lost))});
    late.sends(subscribe_of({{.filter = "a"}}, 3));
}

DIALOG("a request that was sent in a lost session is not withdrawn: its outcome is unknown") {
    open_with_a(d);
    d.unsubscribe({"a"}, 5);
    d.subscribe({{.filter = "b"}}, 6);
    (void)d.written();
    d.lost();
    d.reopen({});
    d.lost(); // nothing was written in the new session
    CHECK(!d.cancel(5));
    CHECK(!d.cancel(6));
    d.reopen({.session_present = true}, {unknown(5), unknown(6)});
    d.sends();
}

DIALOG("a filter whose UNSUBSCRIBE the broker has refused stays subscribed [§3.11.3]") {
    if (!d.v5()) return;
    open_with_a(d);
    granted(d, {{.filter = "b"}}, 2);
    d.unsubscribe({"a", "b"}, 5);
    (void)d.written();
    d.broker(unsuback_with(3, {reason_code::not_authorized, reason_code::no_subscription_existed}));
    d.events({done(5, reason_code::not_authorized)});
    loses_session(d);
    d.sends(subscribe_of({{.filter = "a"}}, 4));
}

DIALOG("a filter whose UNSUBSCRIBE is unanswered is not wanted: it is not renewed in a new session") {
    open_with_a(d);
    granted(d, {{.filter = "b"}}, 2);
    d.unsubscribe({"a"}, 5);
    CHECK(!d.written(1).empty());
    loses_session(d);
    d.sends(subscribe_of({{.filter = "b"}}, 4), unsubscribe_of("a", 3));
    if (d.v5()) {
        dialog one(d);
        one.broker(unsuback_with(3, {reason_code::not_authorized}), suback_of(4, {yes}));
        one.events({done(5, reason_code::not_authorized)});
        one.sends();
    }
    d.broker(unsuback_of(d, 3), suback_of(4, {yes}));
    d.events({done(5)});
    loses_session(d);
    d.sends(subscribe_of({{.filter = "b"}}, 5));
}

DIALOG("a cancelled UNSUBSCRIBE is not sent again: the client ends the subscription by itself in a kept session") {
    open_with_a(d);
    d.unsubscribe({"a"}, 5);
    CHECK(!d.written(1).empty());
    dialog offline(d);
    CHECK(!d.cancel(5));
    dialog session_lost(d);
    d.lost();
    d.reopen({.session_present = true}, {unknown(5)});
    dialog refuses(d);
    dialog again(d);
    sends_unsubscribe_of_its_own(d, "a", 3);
    d.sends();

    again.sends(unsubscribe_of("a", 3)); // the answer is lost
    again.lost();
    again.reopen();
    sends_unsubscribe_of_its_own(again, "a", 4);
    again.sends();

    if (d.v5()) {
        (void)refuses.written();
        refuses.broker(unsuback_with(3, {reason_code::not_authorized}));
        refuses.events({});
        loses_session(refuses);
        refuses.sends(subscribe_of({{.filter = "a"}}, 4));
    }

    session_lost.lost();
    session_lost.reopen({}, {unknown(5, errc::session_lost)});
    session_lost.sends();

    offline.lost();
    CHECK(!offline.cancel(5)); // the broker may have received it
    offline.reopen({.session_present = true}, {unknown(5)});
    sends_unsubscribe_of_its_own(offline, "a", 3);
    offline.sends();
}

DIALOG("a cancelled SUBSCRIBE is not sent again: the client ends the subscription by itself in a kept session") {
    d.resumable();
    d.open();
    d.subscribe({{.filter = "s"}}, 5);
    CHECK(!d.written(1).empty());
    CHECK(!d.cancel(5));
    dialog answered(d);
    d.lost();
    dialog session_lost(d), stopped(d);
    d.reopen({.session_present = true}, {unknown(5)});
    sends_unsubscribe_of_its_own(d, "s", 2);
    d.sends();

    session_lost.reopen({}, {unknown(5, errc::session_lost)});
    session_lost.sends();

    stopped.stop();
    stopped.events({unknown(5), over()});
    stopped.start();
    stopped.broker(connack{.session_present = true});
    stopped.events({"connected, session present"});
    sends_unsubscribe_of_its_own(stopped, "s", 2);
    stopped.sends();

    (void)answered.written();
    answered.broker(suback_of(1, {yes})); // then the broker has it, and it is renewed
    answered.events({done(5)});
    loses_session(answered);
    answered.sends(subscribe_of({{.filter = "s"}}, 2));
}

DIALOG("the answer to an older request counts if the broker has refused the newest one") {
    d.resumable();
    d.open();
    d.subscribe({{.filter = "a"}}, 5);
    d.subscribe({{.filter = "a", .max_qos = tern::qos::exactly_once}}, 6);
    (void)d.written();
    dialog unsubscribes(d);
    d.broker(suback_of(2, {no}), suback_of(1, {yes}));
    d.events({done(6, no), done(5)});
    loses_session(d);
    d.sends(subscribe_of({{.filter = "a"}}, 3));

    if (!d.v5()) return;
    unsubscribes.broker(suback_of(2, {no}));
    unsubscribes.unsubscribe({"a"}, 7);
    (void)unsubscribes.written();
    unsubscribes.broker(unsuback_with(3, {reason_code::not_authorized}), suback_of(1, {yes}));
    unsubscribes.events({done(6, no), done(7, reason_code::not_authorized), done(5)});
    loses_session(unsubscribes);
    unsubscribes.sends(subscribe_of({{.filter = "a"}}, 4));
}

DIALOG("what a request changes that is sent again behind a newer one is corrected [§3.8.4, §3.10.4]") {
    open_with_a(d);
    const subscription newer{.filter = "a", .max_qos = tern::qos::exactly_once};
    subscription again = newer;
    if (d.v5()) again.retain_handling = tern::retain_handling::send_if_new; // it exists
    dialog subscribes(d), unsubscribes(d);

    d.subscribe({{.filter = "b"}}, 5);
    d.unsubscribe({"b"}, 6);
    (void)d.written();
    d.broker(unsuback_of(d, 3));
    d.events({done(6)});
    d.lost();
    d.reopen();
    d.sends(subscribe_of({{.filter = "b"}}, 2));
    d.broker(suback_of(2, {yes}));
    d.events({done(5)});
    d.sends(unsubscribe_of("b", 4));

    subscribes.subscribe({{.filter = "a", .max_qos = tern::qos::at_least_once}}, 5);
    subscribes.subscribe({newer}, 6);
    (void)subscribes.written();
    subscribes.broker(suback_of(3, {yes}));
    subscribes.events({done(6)});
    subscribes.lost();
    subscribes.reopen();
    (void)subscribes.written();
    subscribes.broker(suback_of(2, {yes}));
    subscribes.events({done(5)});
    subscribes.sends(subscribe_of({again}, 4));

    unsubscribes.unsubscribe({"a"}, 5);
    unsubscribes.subscribe({newer}, 6);
    (void)unsubscribes.written();
    unsubscribes.broker(suback_of(3, {yes}));
    unsubscribes.events({done(6)});
    unsubscribes.lost();
    unsubscribes.reopen();
    (void)unsubscribes.written();
    unsubscribes.broker(unsuback_of(d, 2));
    unsubscribes.events({done(5)});
    unsubscribes.sends(subscribe_of({again}, 4));
}

DIALOG("a filter is not wanted once a byte of UNSUBSCRIBE was sent, also if an older SUBSCRIBE is sent again") {
    d.resumable();
    d.open();
    d.subscribe({{.filter = "a"}}, 5);
    d.unsubscribe({"a"}, 6);
    (void)d.written();
    CHECK(!d.cancel(6));
    d.lost();
    d.reopen({.session_present = true}, {unknown(6)});
    d.sends(subscribe_of({{.filter = "a"}}, 1));
    d.broker(suback_of(1, {yes}));
    d.events({done(5)});
    sends_unsubscribe_of_its_own(d, "a", 3);
    d.sends();
}

DIALOG("a filter of which a SUBSCRIBE with other options was cancelled gets its granted options again") {
    open_with_a(d);
    d.subscribe({{.filter = "a", .max_qos = tern::qos::exactly_once}}, 5);
    CHECK(!d.written(1).empty());
    CHECK(!d.cancel(5));
    d.lost();
    d.reopen({.session_present = true}, {unknown(5)});
    subscription a{.filter = "a"};
    if (d.v5()) a.retain_handling = tern::retain_handling::send_if_new; // it exists
    d.sends(subscribe_of({a}, 3));
    d.broker(suback_of(3, {yes}));
    loses_session(d);
    d.sends(subscribe_of({{.filter = "a"}}, 4));
}

DIALOG("a run that ends with an unanswered SUBSCRIBE leaves no subscription behind in a kept session") {
    d.resumable();
    d.open();
    d.subscribe({{.filter = "s"}}, 5);
    (void)d.written();
    d.disconnect();
    (void)d.written();
    d.closes();
    d.events({unknown(5), over()});
    dialog lost(d);
    d.start();
    d.broker(connack{.session_present = true});
    d.events({"connected, session present"});
    sends_unsubscribe_of_its_own(d, "s", 2);
    d.sends();

    lost.start();
    lost.broker(connack{});
    lost.sends();
}

DIALOG("a request that is withdrawn leaves an earlier one for the same filter in force") {
    d.resumable();
    d.open();
    d.lost();
    d.subscribe({{.filter = "a"}}, 1);
    d.unsubscribe({"a"}, 2);
    CHECK(d.cancel(2));
    d.reopen({});
    d.sends(subscribe_of({{.filter = "a"}}, 1));
    d.broker(suback_of(1, {yes}));
    d.events({done(1)});
    loses_session(d);
    d.sends(subscribe_of({{.filter = "a"}}, 3));
}

DIALOG(
    "subscriptions are renewed when it is in doubt whether the session is the old one, without the retained messages "
    "of before [§3.8.3.1]") {
    const subscription plain{.filter = "a"};
    subscription never{.filter = "b"};
    if (d.v5()) never.retain_handling = tern::retain_handling::do_not_send;
    d.resumable();
    d.open();
    granted(d, {plain, never}, 1);
    reopens_in_doubt(d);
    subscription in_doubt = plain;
    if (d.v5()) in_doubt.retain_handling = tern::retain_handling::send_if_new;
    d.sends(subscribe_of({in_doubt, never}, 2));
    dialog broken(d);
    d.broker(suback_of(2, {yes, no}));
    d.events({refused("b", error_of(no))});
    loses_session(d);
    d.sends(subscribe_of({plain, never}, 3));

    broken.lost();
    broken.reopen();
    broken.sends(subscribe_of({in_doubt, never}, 3));
}

DIALOG("subscriptions are not renewed in doubt if resubscribing is disabled") {
    d.options.resubscribe = false;
    open_with_a(d);
    reopens_in_doubt(d);
    d.sends();
}

DIALOG("filters are renewed before messages that are published again") {
    open_with_a(d);
    d.publish(message("m", "x", 1), 1);
    d.sends(publish_of("m", 1, 2));
    loses_session(d);
    d.sends(subscribe_of({{.filter = "a"}}, 3), publish_of("m", 1, 2));
}

DIALOG("a SUBACK with the wrong number of codes leaves the fate of a subscription open [v5:MQTT-3.8.4-6]") {
    d.resumable();
    d.open();
    d.subscribe({{.filter = "a"}}, 1);
    (void)d.written();
    d.broker(suback_of(1, {yes, yes}));
    d.events({done(1, errc::reason_count_mismatch)});
    (void)d.written();
    CHECK(d.wants_close());
    d.lost();
    d.reopen();
    sends_unsubscribe_of_its_own(d, "a", 2);
    d.sends();
}
