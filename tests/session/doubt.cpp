// The broker has not answered a CONNECT, and says "session present" on the next connection: that session may be a new
// one, because the CONNACK that said so was lost.
#include "dialog.hpp"

#include <cstddef>
#include <span>
#include <string>

using tern::connack;
using tern::errc;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;

namespace {

const auto lost_in_doubt = tern::outcome_unknown(errc::session_lost);

// An attempt whose CONNECT has no answer.
void fails_unanswered(dialog& d) {
    d.awaits_attempt();
    d.attempt();
    d.lost();
    d.events({});
}

// The client has received two QoS 2 messages and acknowledged them, and no PUBREL has come.
void opens_ids(dialog& d, std::size_t received_before = 0) {
    d.broker(publish_of("m", 2, 1), publish_of("m", 2, 2));
    d.release(received_before);
    d.release(received_before + 1);
    d.sends(pubrec{1}, pubrec{2});
    d.events({got(message("m", "x", 2)), got(message("m", "x", 2))});
}

void subscribes(dialog& d) {
    d.subscribe({filter_s}, 9);
    (void)d.written();
    d.broker(tern::suback{1, std::span(one_success, 1)});
    d.events({done(9)});
}

// The renewal of that subscription.
tern::subscription renewed(const dialog& d) {
    tern::subscription s = filter_s;
    if (d.v5()) s.retain_handling = tern::retain_handling::send_if_new;
    return s;
}

} // namespace

DIALOG("without doubt a QoS 2 message with an open identifier is a repetition, with or without DUP "
       "[v5:MQTT-4.3.3-10]") {
    d.resumable();
    d.open();
    opens_ids(d);
    d.lost();
    d.reopen();
    d.broker(publish_of("m", 2, 1), publish_of("m", 2, 2, true));
    d.sends(pubrec{1}, pubrec{2});
    d.events({});
}

DIALOG("in doubt a QoS 2 message without DUP is a new one, which is delivered [v311:MQTT-3.3.1-1, v5:MQTT-3.3.1-1]") {
    d.resumable();
    d.open();
    opens_ids(d);
    d.lost();
    fails_unanswered(d);
    d.reopen();
    d.broker(publish_of("n", 2, 1));
    d.events({got(message("n", "x", 2))});
    d.release(2);
    d.sends(pubrec{1});
    d.broker(publish_of("o", 2, 2, true)); // the other identifier is forgotten, too
    d.events({got(message("o", "x", 2), true)});
    d.broker(publish_of("o", 2, 2, true)); // of this session
    d.events({});
    d.stays();
}

DIALOG("a PUBREL, or a PUBLISH with DUP, for an identifier of before shows that the session is the old one "
       "[v5:MQTT-4.3.3-10]") {
    d.resumable();
    d.open();
    subscribes(d);
    opens_ids(d);
    d.lost();
    fails_unanswered(d);
    d.reopen();
    const tern::subscription again = renewed(d);
    d.sends(tern::subscribe{2, std::span(&again, 1)});
    for (const bool by_pubrel : {true, false}) {
        dialog one(d);
        if (by_pubrel) {
            one.broker(pubrel{1});
            one.sends(pubcomp{1});
        } else {
            one.broker(publish_of("m", 2, 1, true));
            one.sends(pubrec{1});
        }
        one.broker(tern::suback{2, std::span(one_success, 1)}, publish_of("m", 2, 2, true));
        one.sends(pubrec{2});
        one.events({});
    }
}

DIALOG("a PUBREL for an identifier of before shows that the session is the old one after SUBACK, too "
       "[v5:MQTT-4.3.3-10]") {
    d.resumable();
    d.open();
    subscribes(d);
    opens_ids(d);
    d.lost();
    fails_unanswered(d);
    d.reopen();
    const tern::subscription again = renewed(d);
    d.sends(tern::subscribe{2, std::span(&again, 1)});
    for (const bool subscribed : {true, false}) {
        dialog one(d);
        if (subscribed) one.broker(tern::suback{2, std::span(one_success, 1)});
        one.broker(pubrel{1});
        one.sends(pubcomp{1});
        one.broker(publish_of("m", 2, 2, true));
        one.sends(pubrec{2});
        one.events({});
    }
}

DIALOG("in doubt a QoS 2 message with DUP is delivered after SUBACK: twice rather than never [v5:MQTT-4.3.3-10]") {
    d.resumable();
    d.open();
    subscribes(d);
    opens_ids(d);
    d.broker(publish_of("u", 2, 3)); // not released
    d.events({got(message("u", "x", 2))});
    d.lost();
    fails_unanswered(d);
    d.reopen();
    (void)d.written();
    d.broker(tern::suback{2, std::span(one_success, 1)});
    d.broker(publish_of("n", 2, 1, true), publish_of("u", 2, 3, true));
    d.events({got(message("n", "x", 2), true), got(message("u", "x", 2), true)});
    d.release(2); // of before: it is not acknowledged any more
    d.sends();
    d.release(3);
    d.sends(pubrec{1});
    d.release(4);
    d.sends(pubrec{3});
    d.broker(pubrel{1}, pubrel{3}); // for the messages of this connection
    d.sends(pubcomp{1}, pubcomp{3});
    d.broker(publish_of("n", 2, 2, true));
    d.events({got(message("n", "x", 2), true)});
    d.stays();
}

DIALOG("the doubt goes on on the next connection, unless SUBSCRIBE was sent [v5:MQTT-4.3.3-10]") {
    d.resumable();
    d.open();
    opens_ids(d);
    d.lost();
    fails_unanswered(d);
    d.reopen();
    for (const bool subscribes : {false, true}) {
        dialog one(d);
        if (subscribes) {
            one.subscribe({filter_s}, 9);
            (void)one.written(1);
        }
        one.lost();
        one.reopen();
        (void)one.written();
        one.broker(publish_of("m", 2, 1, true));
        one.events(subscribes ? std::vector{got(message("m", "x", 2), true)} : std::vector<std::string>{});
        one.stays();
    }
}

DIALOG("the doubt goes on on the next connection, but not about messages that have come meanwhile "
       "[v5:MQTT-4.3.3-10]") {
    d.resumable();
    d.open();
    subscribes(d);
    opens_ids(d);
    d.lost();
    fails_unanswered(d);
    d.reopen();
    (void)d.written();
    d.broker(tern::suback{2, std::span(one_success, 1)});
    d.broker(publish_of("n", 2, 1, true), publish_of("p", 2, 7));
    d.release(2);
    d.release(3);
    d.sends(pubrec{1}, pubrec{7});
    d.events({got(message("n", "x", 2), true), got(message("p", "x", 2))});
    d.lost();
    for (const bool again : {false, true}) {
        dialog one(d);
        if (again) fails_unanswered(one);
        one.reopen();
        if (again) {
            one.broker(publish_of("n", 2, 1, true));
            one.events({got(message("n", "x", 2), true)});
            continue;
        }
        one.broker(publish_of("n", 2, 1, true));
        one.sends(pubrec{1});
        one.broker(pubrel{7});
        one.sends(pubcomp{7});
        one.events({});
        one.broker(pubrel{1}, publish_of("n", 2, 2, true)); // no PUBREL of before has come
        one.events({got(message("n", "x", 2), true)});
        one.stays();
    }
}

DIALOG("in doubt PUBCOMP does not show that a message has arrived whose PUBREC came before [v5:MQTT-3.2.2-4]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 2), 1);
    d.publish(message("b", "x", 2), 2);
    (void)d.written();
    d.broker(pubrec{1}, publish_of("m", 2, 7));
    d.release(0);
    (void)d.written();
    d.events({got(message("m", "x", 2))});
    d.lost();
    dialog certain(d);
    fails_unanswered(d);
    for (const bool old : {false, true}) {
        for (const bool found : {true, false}) {
            const reason_code code = found || !d.v5() ? reason_code::success : reason_code::packet_identifier_not_found;
            dialog one(d);
            one.reopen();
            one.sends(publish_of("b", 2, 2, true), pubrel{1});
            if (old) one.broker(pubrel{7});
            one.broker(pubrec{2}, pubcomp{1, code});
            (void)one.written();
            one.broker(pubcomp{2});
            one.events({old ? done(1) : done(1, lost_in_doubt), done(2)});
            CHECK(one.session.counters().in_flight == 0);
        }
    }
    certain.reopen();
    certain.broker(pubcomp{1, d.v5() ? reason_code::packet_identifier_not_found : reason_code::success});
    certain.events({done(1)}); // §3.7.2.1
}

DIALOG("in doubt a QoS 1 message that comes again does not supersede one of before [v5:MQTT-3.2.2-4]") {
    d.resumable();
    d.open();
    d.broker(publish_of("m", 1, 1));
    d.events({got(message("m", "x", 1))});
    d.lost();
    fails_unanswered(d);
    d.reopen();
    d.broker(publish_of("m", 1, 1, true));
    d.events({got(message("m", "x", 1), true)});
    CHECK_FALSE(d.session.supersede(d.tokens[0]));
    d.lost();
    d.reopen();
    d.broker(publish_of("m", 1, 1, true));
    d.events({got(message("m", "x", 1), true)});
    CHECK(d.session.supersede(d.tokens[1])); // which came in the present session
    d.release(2);
    d.sends(tern::puback{1});
}

DIALOG("a CONNACK without a session ends the doubt [v5:MQTT-3.2.2-5]") {
    d.resumable();
    d.open();
    opens_ids(d);
    d.publish(message("a", "x", 2), 1);
    (void)d.written();
    d.broker(pubrec{1});
    (void)d.written();
    d.lost();
    fails_unanswered(d);
    d.reopen({}, {done(1, lost_in_doubt)});
    opens_ids(d, 2);
    d.lost();
    d.reopen();
    d.broker(publish_of("m", 2, 1, true));
    d.sends(pubrec{1});
    d.events({});
}

DIALOG("subscriptions are renewed in doubt, without retained messages for those that are there [v311:MQTT-3.8.4-3, "
       "v5:MQTT-3.8.4-3, §3.8.3.1]") {
    d.resumable();
    d.open();
    subscribes(d);
    d.lost();
    dialog lost(d);
    fails_unanswered(d);
    d.reopen();
    const tern::subscription again = renewed(d);
    d.sends(tern::subscribe{2, std::span(&again, 1)});
    d.broker(tern::suback{2, std::span(one_success, 1)});
    d.lost();
    d.reopen({}); // now it is certain
    d.sends(tern::subscribe{3, std::span(&filter_s, 1)});
    lost.reopen({});
    lost.sends(tern::subscribe{2, std::span(&filter_s, 1)});
}
