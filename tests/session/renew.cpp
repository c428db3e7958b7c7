// Resubscribing after the broker has lost the session.
#include "dialog.hpp"
#include "subscribing.hpp"

#include <string>
#include <vector>

using tern::connack;
using tern::errc;
using tern::reason_code;
using tern::subscription;

namespace {

void subscribed(dialog& d, const std::vector<subscription>& list, tern::packet_id id,
                const std::vector<reason_code>& codes, const tern::subscribe_properties& properties = {}) {
    REQUIRE(d.try_subscribe(list, properties) == errc::none);
    (void)d.written();
    d.broker(tern::suback{id, codes});
    d.events({});
}

} // namespace

DIALOG("granted filters are subscribed again with their options [v311:MQTT-3.8.4-3, v5:MQTT-3.2.2-5, "
       "v5:MQTT-3.8.4-3]") {
    d.resumable();
    d.open();
    const subscription a{.filter = "a/+", .max_qos = tern::qos::exactly_once};
    subscription b{.filter = "b", .max_qos = tern::qos::at_least_once};
    if (d.v5()) {
        b.no_local = b.retain_as_published = true;
        b.retain_handling = tern::retain_handling::do_not_send;
    }
    subscribed(d, {b, {.filter = "refused"}, a}, 1, {yes, no, yes});
    d.lost();
    dialog present(d);
    present.reopen();
    present.sends(); // the broker still has the subscriptions
    d.reopen({});
    d.sends(subscribe_of({a, b}, 2)); // with the requested QoS, not the granted one
    d.broker(suback_of(2, {yes, yes}));
    d.events({});
    d.lost();
    d.reopen({});
    d.sends(subscribe_of({a, b}, 3));
}

DIALOG("a filter is resubscribed with its latest options [v311:MQTT-3.8.4-3, v5:MQTT-3.8.4-3]") {
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a", .max_qos = tern::qos::exactly_once}}, 1, {yes});
    subscribed(d, {{.filter = "a"}}, 2, {yes});
    d.lost();
    d.reopen({});
    d.sends(subscribe_of({{.filter = "a"}}, 3));
}

DIALOG("an unsubscribed filter is not resubscribed, whatever the order of the acknowledgements "
       "[v311:MQTT-3.10.4-2, v5:MQTT-3.10.4-2]") {
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}, {.filter = "b"}, {.filter = "c"}}, 1, {yes, yes, yes});
    d.unsubscribe({"a"});
    d.subscribe({{.filter = "n"}});
    d.unsubscribe({"n"}); // before SUBACK has arrived
    (void)d.written();
    d.broker(unsuback_of(d, 2), suback_of(3, {yes}), unsuback_of(d, 4));
    d.lost();
    d.unsubscribe({"b"}, 5); // during an outage
    d.unsubscribe({"c"}, 6);
    CHECK(d.cancel(6)); // so the filter stays subscribed
    d.reopen({});
    d.sends(subscribe_of({{.filter = "c"}}, 7), unsubscribe_of("b", 5));
    d.unsubscribe({"c"}); // after the resubscribe
    d.broker(suback_of(7, {yes}), unsuback_of(d, 5), unsuback_of(d, 8));
    d.events({done(5)});
    d.lost();
    d.reopen({});
    (void)d.written();
    d.lost();
    d.reopen({});
    d.sends();
}

DIALOG("a refused resubscribe is reported once, and tried again in the next new session") {
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}, {.filter = "b"}, {.filter = "c"}}, 1, {yes, yes, yes});
    d.lost();
    d.reopen({});
    (void)d.written();
    d.broker(suback_of(2, {yes, no, yes}));
    d.events({"refused b: " + text(error_of(no))});
    d.sends();
    d.lost();
    d.reopen();
    d.sends();
    d.lost();
    d.reopen({});
    d.sends(subscribe_of({{.filter = "a"}, {.filter = "b"}, {.filter = "c"}}, 3));
    d.broker(suback_of(3, {yes, yes, yes}));
    d.events({});
}

DIALOG("a refused resubscribe does not affect an outstanding ping") {
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}}, 1, {yes});
    d.lost();
    d.reopen({});
    d.ping(7);
    (void)d.written();
    d.broker(suback_of(2, {no}));
    d.events({"refused a: " + text(error_of(no))});
    d.broker(tern::pingresp{});
    d.events({done(7)});
    d.ping(8);
    (void)d.written();
    const auto reset = std::make_error_code(std::errc::connection_reset);
    d.lost(reset);
    d.events({done(8, reset)});
}

DIALOG("each subscription identifier gets its own packet, all at once [v5:§3.8.2.1.2-a]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}, {.filter = "b"}}, 1, {yes, yes}, {.subscription_identifier = 7});
    subscribed(d, {{.filter = "c"}}, 2, {yes}, {.subscription_identifier = 8});
    subscribed(d, {{.filter = "d"}, {.filter = "e"}}, 3, {yes, yes});
    d.lost();
    d.reopen({});
    d.sends(subscribe_of({{.filter = "d"}, {.filter = "e"}}, 4),
            subscribe_of({{.filter = "a"}, {.filter = "b"}}, 5, {.subscription_identifier = 7}),
            subscribe_of({{.filter = "c"}}, 6, {.subscription_identifier = 8}));
    d.broker(suback_of(6, {yes}), suback_of(4, {yes, yes}), suback_of(5, {yes, yes}));
    d.sends();
    d.events({});
}

DIALOG("a filter is resubscribed with its latest subscription identifier [v311:MQTT-3.8.4-3, v5:MQTT-3.8.4-3]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}}, 1, {yes}, {.subscription_identifier = 7});
    subscribed(d, {{.filter = "a"}}, 2, {yes}, {.subscription_identifier = 8});
    d.lost();
    d.reopen({});
    d.sends(subscribe_of({{.filter = "a"}}, 3, {.subscription_identifier = 8}));
    d.broker(suback_of(3, {yes}));
    d.events({});
    subscribed(d, {{.filter = "a"}}, 4, {yes}); // without one
    d.lost();
    d.reopen({});
    d.sends(subscribe_of({{.filter = "a"}}, 5));
}

DIALOG("resubscribing uses as many packets as necessary, within the Maximum Packet Size [v5:MQTT-3.2.2-15]") {
    d.resumable();
    d.open();
    const std::string filters[] = {std::string(5'000, 'a'), std::string(5'000, 'b'), std::string(3'000, 'c')};
    for (std::size_t i = 0; i != 3; ++i)
        subscribed(d, {{.filter = filters[i]}}, static_cast<tern::packet_id>(i + 1), {yes});
    d.lost();
    dialog limited(d);
    d.reopen({});
    d.sends(subscribe_of({{.filter = filters[0]}}, 4),
            subscribe_of({{.filter = filters[1]}, {.filter = filters[2]}}, 5));
    d.broker(suback_of(4, {yes}), suback_of(5, {yes, yes}));
    d.sends();
    if (!d.v5()) return;
    connack answer;
    answer.properties.maximum_packet_size = 4'000;
    const auto refused = [&](const std::string& filter) {
        return "refused " + filter + ": " + text(tern::misuse(errc::packet_too_large));
    };
    limited.reopen(answer, {refused(filters[0]), refused(filters[1])});
    limited.sends(subscribe_of({{.filter = filters[2]}}, 4));
}

DIALOG("filters that the next broker does not support are reported [§3.2.2.3.11, §3.2.2.3.12, §3.2.2.3.13]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "#"}}, 1, {yes});
    subscribed(d, {{.filter = "a"}}, 2, {yes}, {.subscription_identifier = 7});
    d.lost();
    connack answer;
    answer.properties.wildcard_subscription_available = false;
    d.reopen(answer, {"refused #: " + text(tern::misuse(errc::wildcard_subscriptions_not_supported))});
    d.sends(subscribe_of({{.filter = "a"}}, 3, {.subscription_identifier = 7}));
}

DIALOG("without resubscribing, what is lost is forgotten, also when resubscribing is enabled later") {
    d.resumable();
    d.options.resubscribe = false;
    d.open();
    subscribed(d, {{.filter = "a"}}, 1, {yes});
    dialog kept(d);
    d.lost();
    d.reopen({});
    d.sends();
    const auto connects_with_resubscribe = [](dialog& one, bool present) {
        one.options.resubscribe = true;
        one.start();
        one.broker(connack{.session_present = present});
        one.events({present ? "connected, session present" : "connected"});
    };
    for (dialog* const one : {&d, &kept}) {
        one->disconnect();
        (void)one->written();
        one->closes();
        one->events({over()});
    }
    connects_with_resubscribe(d, false);
    d.sends();
    // The session had the subscription until now.
    connects_with_resubscribe(kept, false);
    kept.sends(subscribe_of({{.filter = "a"}}, 2));
}

DIALOG("filters are resubscribed before messages are sent") {
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}}, 1, {yes});
    d.publish(message("m", "x", 1), 1);
    d.publish(message("n"), 2);
    d.lost();
    d.reopen({});
    d.sends(subscribe_of({{.filter = "a"}}, 3), publish_of("m", 1, 4), publish_of("n", 0, 0));
}

DIALOG("sessions that are lost repeatedly before SUBACK leave no state [v5:MQTT-2.2.1-3]") {
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}}, 1, {yes});
    for (tern::packet_id id = 2; id != 30; ++id) {
        d.lost();
        d.reopen({});
        d.sends(subscribe_of({{.filter = "a"}}, id)); // a single SUBSCRIBE
    }
    d.broker(suback_of(29, {yes}));
    d.lost();
    d.reopen();
    d.sends();
}

DIALOG("an interrupted resubscribe is repeated on the next connection, even if the session is present") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}}, 1, {yes}, {.subscription_identifier = 7});
    subscribed(d, {{.filter = "b"}}, 2, {yes});
    d.lost();
    d.reopen({});
    d.sends(subscribe_of({{.filter = "b"}}, 3), subscribe_of({{.filter = "a"}}, 4, {.subscription_identifier = 7}));
    d.broker(suback_of(3, {yes}));
    dialog ended(d);
    d.lost();
    d.reopen();
    d.sends(subscribe_of({{.filter = "a"}}, 5, {.subscription_identifier = 7}));
    d.broker(suback_of(5, {yes}));
    d.lost();
    d.reopen();
    d.sends();

    ended.stop();
    ended.closes();
    ended.events({over()});
    ended.start();
    ended.broker(connack{.session_present = true});
    ended.events({"connected, session present"});
    ended.sends(subscribe_of({{.filter = "a"}}, 5, {.subscription_identifier = 7}));
}

DIALOG("a SUBACK with the wrong number of codes for a resubscribe is an error [v5:MQTT-3.8.4-6]") {
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}}, 1, {yes});
    d.lost();
    d.reopen({});
    (void)d.written();
    d.broker(suback_of(2, {yes, yes}));
    CHECK(!d.wants_close() == d.v5()); // 5.0 sends DISCONNECT first
    (void)d.written();
    CHECK(d.wants_close());
    d.events({});
}

DIALOG("a clean start discards the subscriptions of the old session [v5:MQTT-3.1.2-4]") {
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}}, 1, {yes});
    d.disconnect();
    (void)d.written();
    d.closes();
    d.events({over()});
    dialog kept(d);
    kept.start();
    kept.broker(connack{});
    kept.events({"connected"});
    kept.sends(subscribe_of({{.filter = "a"}},
                            2)); // without a clean start the session was lost, so its filters are resubscribed
    d.options.clean_start = true;
    d.start();
    d.broker(connack{});
    d.sends();
}

DIALOG("a renewal without an answer is repeated after ten minutes, its identifier stays in use [v5:MQTT-2.2.1-3]") {
    d.resumable();
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    subscribed(d, {{.filter = "a"}, {.filter = "b"}}, 1, {yes, yes});
    d.lost();
    d.reopen({});
    d.sends(subscribe_of({{.filter = "a"}, {.filter = "b"}}, 2));
    d.publish(message("t", "x", 1), 7);
    (void)d.written();
    d.broker(tern::puback{3}); // other requests are answered
    d.pass(20s);
    d.sends(tern::pingreq{});
    d.broker(tern::pingresp{});
    d.pass(20s);
    d.events({done(7), "late: " + text(tern::violation(errc::acknowledgement_timeout))});
    d.pass(600s - 1ms);
    d.sends();
    d.pass(1ms);
    // The broker may have done what it did not answer. 5.0: then it sends no retained messages again.
    const auto handling = d.v5() ? tern::retain_handling::send_if_new : tern::retain_handling::send;
    const std::vector<subscription> again{{.filter = "a", .retain_handling = handling},
                                          {.filter = "b", .retain_handling = handling}};
    d.sends(subscribe_of(again, 4));
    d.events({});
    d.publish(message("t", "x", 1), 8);
    d.sends(publish_of("t", 1, 5));

    const auto is_renewed = [&](dialog one) { // once in the next new session, and not in the same
        one.events({});
        one.stays();
        one.broker(tern::puback{5});
        one.events({done(8)});
        one.lost();
        dialog present(one);
        present.reopen();
        present.sends();
        one.reopen({});
        one.sends(subscribe_of({{.filter = "a"}, {.filter = "b"}}, 6));
    };
    dialog answered(d), late(d), both(d);
    answered.broker(suback_of(4, {yes, yes}));
    is_renewed(answered);
    late.broker(suback_of(2, {yes, yes}));
    late.events({});
    is_renewed(late);
    both.broker(suback_of(2, {yes, yes}), suback_of(4, {yes, yes}));
    is_renewed(both);

    d.broker(tern::puback{5});
    d.events({done(8)});
    d.lost();
    d.reopen();
    d.sends(subscribe_of(again, 6));
    d.broker(suback_of(6, {yes, no}));
    d.events({"refused b: " + text(make_error_code(no))});
}

DIALOG("each renewal without an answer is repeated, again and again, and so is what the client unsubscribes") {
    d.resumable();
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    d.subscribe({{.filter = "s"}}, 1);
    (void)d.written();
    d.cancel(1); // the client unsubscribes from what it may have
    d.lost();
    d.reopen({.session_present = true}, {unknown(1, errc::disconnected)});
    d.sends(unsubscribe_of("s", 2));
    d.publish(message("t", "x", 1), 7);
    (void)d.written();
    d.broker(tern::puback{3});
    d.events({done(7)});
    for (tern::packet_id id = 4; id != 7; ++id) {
        d.pass(20s);
        d.sends(tern::pingreq{});
        d.broker(tern::pingresp{});
        d.pass(20s + 600s);
        d.events({"late: " + text(tern::violation(errc::acknowledgement_timeout))});
        d.sends(unsubscribe_of("s", id));
    }
    d.broker(unsuback_of(d, 6));
    d.lost();
    d.reopen();
    d.sends();
}

DIALOG("an UNSUBSCRIBE that was sent cannot be taken back, also after the session was lost [v311:MQTT-3.10.4-4, "
       "v5:MQTT-3.10.4-4]") {
    d.resumable();
    d.open();
    subscribed(d, {{.filter = "a"}}, 1, {yes});
    d.unsubscribe({"a"}, 5);
    d.sends(unsubscribe_of("a", 2));
    d.lost();
    d.reopen({}); // it would be sent again, but the connection is lost before
    d.lost();
    CHECK_FALSE(d.cancel(5));
    d.reopen({}, {unknown(5, errc::session_lost)});
    d.sends(); // the subscription is not wanted any more
}
