// The broker has lost the session: exchanges that can be restarted are restarted.
#include "dialog.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

using tern::connack;
using tern::errc;
using tern::puback;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;

namespace {

const auto lost_error = tern::outcome_unknown(errc::session_lost);

} // namespace

DIALOG("QoS 1 and unwritten messages are published again without DUP, QoS 2 fails with session_lost "
       "[v311:MQTT-3.3.1-1, v311:MQTT-4.1.0-1, v5:MQTT-3.2.2-5, v5:MQTT-3.3.1-1, v5:MQTT-4.1.0-1]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    d.publish(message("c", "x", 2), 3);
    d.subscribe({filter_s}, 4);
    (void)d.written();
    d.broker(pubrec{2});
    (void)d.written();
    d.publish(message("d", "x", 2), 5); // never written
    d.publish(message("e", "x", 1), 6);
    d.publish(message("f"), 7);
    d.lost();
    d.publish(message("g", "x", 2), 8);
    d.events({});
    dialog republish(d);
    d.reopen({}, {done(3, lost_error), done(2, lost_error)});
    const tern::subscribe subscribe{4, std::span(&filter_s, 1)};
    d.sends(publish_of("a", 1, 1), subscribe, publish_of("d", 2, 7), publish_of("e", 1, 8), publish_of("f", 0, 0),
            publish_of("g", 2, 9));
    d.broker(puback{1}, tern::suback{4, std::span(one_success, 1)}, pubrec{7}, puback{8}, pubrec{9});
    d.sends(pubrel{7}, pubrel{9});
    d.broker(pubcomp{7}, pubcomp{9});
    d.events({done(7), done(1), done(4), done(6), done(5), done(8)});
    CHECK(d.session.counters().in_flight == 0);
    CHECK(d.session.counters().messages_resent == 0);
}

DIALOG("QoS 2 is published again if the options say so [v5:MQTT-3.2.2-5]") {
    d.resumable();
    d.options.republish_qos_2 = true;
    d.open();
    d.publish(message("a", "x", 2), 1);
    d.publish(message("b", "x", 2), 2);
    (void)d.written();
    d.broker(pubrec{1});
    d.sends(pubrel{1});
    d.lost();
    d.reopen({}, {done(1, lost_error)}); // PUBREC has freed the message
    d.sends(publish_of("b", 2, 2));      // without DUP
    d.lost();
    d.reopen(); // the new session can be resumed
    d.sends(publish_of("b", 2, 2, true));
    d.broker(pubrec{2});
    d.sends(pubrel{2});
    d.broker(pubcomp{2});
    d.events({done(2)});
}

DIALOG("an identifier that a lost session has freed is reused [v5:MQTT-2.2.1-3]") {
    d.resumable();
    d.options.max_in_flight = 1;
    d.open();
    d.publish(message("a", "x", 2), 1);
    (void)d.written();
    d.publish(message("b", "x", 1), 2);
    d.lost();
    d.reopen({}, {done(1, lost_error)}); // its slot in the window is free, too
    d.sends(publish_of("b", 1, 2));
    d.broker(pubrec{1}); // of the lost session
    d.sends(pubrel{1, d.v5() ? reason_code::packet_identifier_not_found : reason_code::success});
    d.stays();
    d.events({});
}

DIALOG("messages are published again within the window and in order [v311:MQTT-4.6.0-1, v5:MQTT-3.3.4-7, "
       "v5:MQTT-4.6.0-1]") {
    d.resumable();
    d.options.max_in_flight = 2;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 1), 2);
    d.publish(message("c", "x", 1), 3);
    (void)d.written();
    d.lost();
    connack answer;
    if (d.v5()) answer.properties.receive_maximum = 1;
    d.reopen(answer);
    if (!d.v5()) return d.sends(publish_of("a", 1, 1), publish_of("b", 1, 2));
    d.sends(publish_of("a", 1, 1));
    d.lost();
    answer.session_present = true;
    d.reopen(answer);
    d.sends(publish_of("a", 1, 1, true));
    d.broker(puback{1});
    d.sends(publish_of("b", 1, 2)); // in this session the broker has not received it
    d.broker(puback{2});
    d.sends(publish_of("c", 1, 3));
    d.events({done(1), done(2)});
}

DIALOG("a clean session is lost with each connection [v311:MQTT-3.1.2-6, v5:MQTT-3.1.2-4, v5:MQTT-3.2.2-2]") {
    d.options.reconnect.enabled = true;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    (void)d.written();
    d.broker(publish_of("m", 2, 1));
    d.events({got(message("m", "x", 2))});
    d.lost();
    d.reopen({}, {done(2, lost_error)});
    d.sends(publish_of("a", 1, 1));
    d.broker(publish_of("n", 2, 1)); // a new message in a new session
    d.events({got(message("n", "x", 2))});
    d.release(0); // of the old session
    d.sends();
    d.release(1);
    d.sends(pubrec{1});
}

DIALOG("publishes that have failed locally are resumed with their session and discarded with it") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    d.publish(message("c", "x", 2), 3);
    (void)d.written();
    d.broker(pubrec{3});
    d.sends(pubrel{3});
    d.publish(message("n", "x", 1), 4); // never written
    d.subscribe({filter_s}, 5);
    d.stop();
    d.closes();
    const auto gone = tern::outcome_unknown(errc::disconnected);
    const auto unsent = tern::misuse(errc::disconnected);
    d.events({done(1, gone), done(2, gone), done(3, gone), done(5, unsent), done(4, unsent), over()});
    dialog kept(d);
    CHECK(kept.try_connect() == errc::none);
    kept.attempt();
    kept.broker(connack{.session_present = true});
    kept.events({"connected, session present"});
    kept.sends(publish_of("a", 1, 1, true), publish_of("b", 2, 2, true), pubrel{3}); // [MQTT-4.4.0-1]
    kept.drain(9);                                                                   // drain does not wait for them
    kept.events({done(9)});
    kept.broker(puback{1}, pubrec{2}, pubcomp{3});
    kept.sends(pubrel{2});
    kept.broker(pubcomp{2});
    kept.events({});
    CHECK(kept.session.counters().in_flight == 0);

    dialog lost(d); // the messages are not published again, because their publishes have failed
    CHECK(lost.try_connect() == errc::none);
    lost.attempt();
    lost.broker(connack{});
    lost.events({"connected"});
    lost.sends();

    dialog clean(d);
    clean.options.clean_start = true;
    CHECK(clean.try_connect() == errc::none);
    clean.attempt();
    clean.broker(connack{});
    clean.sends();
    CHECK(clean.session.counters().in_flight == 0);
}

DIALOG("QoS 2 of which the broker cannot have received the whole is published again in a new session "
       "[v5:MQTT-3.2.2-5]") {
    d.resumable();
    d.open();
    const std::string large(10'000, 'x');
    d.publish(message("a", large, 2), 1);
    CHECK(d.written(10).size() == 10);
    d.lost();
    dialog kept(d);
    kept.reopen();
    kept.sends(tern::publish{message("a", large, 2), true, 1}); // [MQTT-3.3.1-1]
    d.reopen({});
    d.sends(tern::publish{message("a", large, 2), false, 1});
    d.broker(pubrec{1});
    d.sends(pubrel{1});
    d.broker(pubcomp{1});
    d.events({done(1)});
}

DIALOG("a cancelled message goes on in a resumed session, and is not published again in a new one "
       "[v311:MQTT-4.4.0-1, v5:MQTT-4.4.0-1]") {
    d.resumable();
    for (const unsigned qos : {1U, 2U}) {
        for (const std::size_t written : {std::size_t{1}, std::size_t{5}, SIZE_MAX}) {
            dialog one(d);
            one.open();
            one.publish(message("a", "x", qos), 1);
            one.publish(message("b", "x", 1), 2);
            (void)one.written(written);
            CHECK(!one.cancel(1));
            one.lost();
            dialog lost(one);
            one.reopen();
            const bool both = written == SIZE_MAX;
            one.sends(publish_of("a", qos, 1, true), publish_of("b", 1, both ? 2 : 3, both));
            lost.reopen({}, {done(1, lost_error)});
            lost.sends(publish_of("b", 1, both ? 2 : 3));
        }
    }
}

DIALOG("a message that was sent in a lost session is not withdrawn: its outcome is unknown [v311:MQTT-4.4.0-1, "
       "v5:MQTT-4.4.0-1]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 1), 2);
    (void)d.written();
    d.lost();
    d.reopen({});
    d.lost(); // nothing was written in the new session
    CHECK(!d.cancel(1));
    dialog lost(d), stopped(d);
    d.reopen({.session_present = true}, {done(1, lost_error)});
    d.sends(publish_of("b", 1, 2));
    lost.reopen({}, {done(1, lost_error)});
    lost.sends(publish_of("b", 1, 2));
    stopped.stop();
    const auto unknown = tern::outcome_unknown(errc::disconnected);
    stopped.events({done(1, unknown), done(2, unknown), over()});
}

DIALOG("a message that waits for the window in a new session is not published again if it is cancelled "
       "[v5:MQTT-3.3.4-7]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    for (const unsigned op : {1U, 2U, 3U})
        d.publish(message("a", "x", 1), op);
    (void)d.written();
    d.lost();
    connack answer;
    answer.properties.receive_maximum = std::uint16_t{1};
    d.reopen(answer);
    d.sends(publish_of("a", 1, 1));
    CHECK(!d.cancel(2));
    d.broker(puback{1});
    d.sends(publish_of("a", 1, 3));
    d.events({done(1), done(2, lost_error)});
    d.broker(puback{3});
    d.events({done(3)});
    CHECK(d.session.counters().in_flight == 0);
}

DIALOG("an operation ends with an outcome that is unknown only if a byte of its packet was written") {
    d.open();
    for (const bool is_refused : {false, true}) {
        for (const std::size_t written : {std::size_t{0}, std::size_t{1}, SIZE_MAX}) {
            dialog one(d);
            one.publish(message("a", "x", 1), 1);
            one.subscribe({filter_s}, 2);
            if (written != 0) (void)one.written(written);
            const std::error_code cause =
                is_refused ? error_of(reason_code::not_authorized) : std::make_error_code(std::errc::connection_reset);
            one.lost(cause);
            const auto unknown = tern::outcome_unknown(errc::disconnected);
            const auto first = written == 0 ? cause : unknown;
            const auto second = written == SIZE_MAX ? unknown : cause;
            if (written == 0) // the message has gone back to the queue
                one.events({done(2, second), done(1, first), over(cause)});
            else
                one.events({done(1, first), done(2, second), over(cause)});
        }
    }
}

DIALOG("a limit that a message meets in a new session, after an attempt in the old one, leaves its outcome unknown "
       "[v5:MQTT-3.2.2-11]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.republish_qos_2 = true;
    d.open();
    d.publish(message("a", "x", 2), 1);
    (void)d.written();
    d.publish(message("b", "x", 2), 2);
    d.lost();
    connack answer;
    answer.properties.maximum_qos = tern::qos::at_least_once;
    d.reopen(answer,
             {done(2, tern::misuse(errc::qos_not_supported)), done(1, tern::outcome_unknown(errc::qos_not_supported))});
    d.sends();
    d.publish(message("c", "x", 1), 3);
    d.sends(publish_of("c", 1, 3));
}
