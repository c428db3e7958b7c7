// Brokers that forget, repeat themselves, or say what cannot be.
#include "dialog.hpp"

#include <string>
#include <vector>

using tern::connack;
using tern::errc;
using tern::puback;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;

namespace {

const reason_code granted[1] = {};
const tern::subscription s{.filter = "s"};

} // namespace

DIALOG("a session that the broker has, but not the client [MQTT-3.2.2-4]") {
    d.options.reconnect.enabled = true;
    d.options.reconnect.retry_first = true;
    d.options.clean_start = false;
    d.start();
    if (!d.v5()) { // its standard does not say so
        d.broker(connack{.session_present = true});
        d.events({"connected, session present"});
        return;
    }
    d.broker(connack{.session_present = true});
    d.sends(tern::disconnect{.reason_code = tern::answer_to(errc::unexpected_session_present)});
    d.closes();
    d.events({over(errc::unexpected_session_present)}); // the session would be there the next time too
}

DIALOG("acknowledgements on the next connection, before anything has been sent again") {
    d.resumable();
    d.options.max_in_flight = 1;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    d.sends(publish_of("a", 1, 1));
    d.broker(puback{1});
    d.sends(publish_of("b", 2, 2));
    d.events({done(1)});
    d.subscribe({s}, 3);
    (void)d.written();
    d.lost();
    d.reopen();
    // They were on their way when the old connection broke, and the broker repeats itself.
    d.broker(pubrec{2}, tern::suback{3, std::span(granted, 1)}, puback{1});
    d.sends_bytes(d.encoded(publish_of("b", 2, 2, true)) + d.encoded(tern::subscribe{3, std::span(&s, 1)}) +
                  d.encoded(pubrel{2}));
    d.broker(pubrec{2}); // the answer to the second PUBLISH
    d.sends(pubrel{2});
    d.broker(pubcomp{2}, pubcomp{2});
    d.events({done(3), done(2)});
    d.stays();
    CHECK(d.session.counters().in_flight == 0);
    d.publish(message("c", "x", 1), 4); // the window is whole
    d.sends(publish_of("c", 1, 4));
}

DIALOG("acknowledgements of what still waits to be sent again [MQTT-3.3.4-7]") {
    d.resumable();
    d.open();
    for (unsigned i = 1; i <= 4; ++i)
        d.publish(message("a", "x", i == 1 || i == 4 ? 1 : 2), i);
    (void)d.written();
    d.lost();
    connack answer{.session_present = true};
    if (!d.v5()) return;
    answer.properties.receive_maximum = 1;
    d.reopen(answer);
    d.sends(publish_of("a", 1, 1, true));
    d.broker(pubrec{2}, pubrec{3, reason_code::quota_exceeded}, puback{4}); // none of them is there again
    d.events({done(3, reason_code::quota_exceeded), done(4)});
    d.sends(pubrel{2});
    CHECK(d.session.counters().in_flight == 2); // PUBREL waits for nothing
    d.broker(puback{1});
    d.publish(message("n", "x", 1), 5);
    d.sends();
    d.broker(pubcomp{2});
    d.sends(publish_of("n", 1, 5));
    d.events({done(1), done(2)});
    CHECK(d.session.counters().in_flight == 1);
}

DIALOG("a broker that has forgotten a message: PUBCOMP with 0x92 [MQTT-4.3.3-7]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    d.publish(message("a", "x", 2), 1);
    (void)d.written();
    d.broker(pubrec{1});
    (void)d.written();
    d.lost();
    d.reopen();
    d.sends(pubrel{1});
    d.broker(pubcomp{1, reason_code::packet_identifier_not_found});
    d.events({done(1)}); // it has the message since PUBREC
    CHECK(d.session.counters().in_flight == 0);
    d.broker(pubrel{9, reason_code::packet_identifier_not_found}); // to something that nobody said
    d.sends(pubcomp{9, reason_code::packet_identifier_not_found});
    d.stays();
}

DIALOG("identifiers of the previous connection that are unknown on this one [MQTT-2.2.1-3]") {
    d.resumable();
    d.open();
    for (unsigned i = 1; i <= 4; ++i)
        d.publish(message("a", "x", 1 + i % 2), i);
    (void)d.written();
    d.broker(pubrec{1}, puback{2}, pubrec{3}, puback{4});
    (void)d.written();
    d.broker(pubcomp{1}, pubcomp{3});
    d.events({done(2), done(4), done(1), done(3)});
    d.lost();
    d.reopen();
    d.broker(puback{2}, puback{4}, pubcomp{1}, tern::suback{77, std::span(granted, 1)});
    d.sends();
    d.broker(pubrec{3});
    d.sends(pubrel{3, d.v5() ? reason_code::packet_identifier_not_found : reason_code::success});
    d.stays();
    d.events({});
}

DIALOG("acknowledgements of the wrong kind on the next connection [MQTT-2.2.1-5, MQTT-4.8.0-1]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 2), 1);
    d.publish(message("b", "x", 1), 2);
    (void)d.written();
    d.broker(pubrec{1});
    (void)d.written();
    d.lost();
    const auto wrong = [&](const auto& packet) {
        dialog one(d);
        one.reopen();
        (void)one.written();
        one.broker(packet);
        if (one.v5())
            one.sends(tern::disconnect{.reason_code = tern::answer_to(errc::unexpected_acknowledgement)});
        CHECK(one.wants_close());
        one.lost();
        one.reopen(); // nothing is lost by it
        one.sends(publish_of("b", 1, 2, true), pubrel{1});
        one.broker(puback{2}, pubcomp{1});
        one.events({done(2), done(1)});
    };
    wrong(puback{1});
    wrong(tern::suback{1, std::span(granted, 1)});
    wrong(pubrec{2});
    wrong(pubcomp{2});
}

DIALOG("Receive Maximum 1, with a broker that loses every second connection [MQTT-3.3.4-7]") {
    if (!d.v5()) return;
    d.resumable();
    connack answer;
    answer.properties.receive_maximum = 1;
    d.open(answer);
    answer.session_present = true;
    for (unsigned i = 1; i <= 6; ++i)
        d.publish(message("a", "x", 1 + i % 2), i);
    for (tern::packet_id id = 1; id <= 6; ++id) {
        const bool twice = id % 2 == 1;
        d.sends(publish_of("a", 1 + id % 2, id, id != 1));
        if (twice) {
            d.broker(pubrec{id});
            d.sends(pubrel{id});
            d.lost();
            d.reopen(answer);
            d.sends(pubrel{id});
            d.broker(pubcomp{id});
        } else {
            d.broker(puback{id});
        }
        d.events({done(id)});
        if (id == 6) break;
        CHECK(d.written().size() == d.encoded(publish_of("a", 1, 1)).size());
        d.lost();
        d.reopen(answer);
    }
    CHECK(d.session.counters().in_flight == 0);
}

DIALOG("a Maximum Packet Size that a kept message does not fit any more [MQTT-3.2.2-15]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    const std::string large(100, 'x');
    d.publish(message("a", large, 1), 1);
    d.publish(message("b", large, 2), 2);
    d.publish(message("c", "x", 1), 3);
    d.subscribe({{.filter = large}}, 4);
    (void)d.written();
    d.broker(pubrec{2});
    (void)d.written();
    d.publish(message("d", large, 1), 5); // never written
    d.lost();
    connack answer{.session_present = true};
    answer.properties.maximum_packet_size = 50;
    const auto too_large = tern::misuse(errc::packet_too_large);
    d.reopen(answer, {done(5, too_large), done(1, too_large), done(4, too_large)});
    d.sends(publish_of("c", 1, 3, true), pubrel{2});
    d.drain(6);
    d.broker(puback{3}, pubcomp{2});
    d.events({done(3), done(2), done(6)}); // it does not wait for what has failed
    dialog late(d);
    late.broker(puback{1}); // the broker had it all the same
    late.events({});
    // The message that it may have got is still a part of the session [MQTT-4.4.0-1].
    d.lost();
    answer.properties.maximum_packet_size = 1'000;
    d.reopen(answer);
    d.sends(tern::publish{message("a", large, 1), true, 1});
    d.broker(puback{1});
    d.events({});
    d.lost();
    d.reopen();
    d.sends();
    CHECK(d.session.counters().in_flight == 0);
}

DIALOG("keep alive 0 across connections [MQTT-3.1.2-20]") {
    d.resumable();
    d.options.keep_alive = 0s;
    d.open();
    d.pass(1000h);
    d.sends();
    d.lost();
    d.reopen();
    d.pass(1000h);
    d.sends();
    d.stays();
    CHECK(d.session.next_deadline() == tern::time_point::max());
}

DIALOG("the broker's answers that come while the client closes are not taken [MQTT-3.14.4-2]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    (void)d.written();
    d.broker(connack{}, puback{1}); // a violation first
    (void)d.written();
    d.events({});
    CHECK(d.wants_close());
    d.lost();
    d.reopen();
    d.sends(publish_of("a", 1, 1, true));
}

DIALOG("a CONNACK that ends the session's hopes changes nothing [MQTT-3.2.2-7]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    (void)d.written();
    d.lost();
    d.awaits_attempt();
    d.attempt();
    d.broker(connack{.reason_code = reason_code::server_unavailable});
    d.events({"connected: " + text(error_of(reason_code::server_unavailable))});
    CHECK(d.wants_close());
    d.lost();
    d.awaits_attempt();
    d.attempt();
    using namespace std::string_view_literals;
    d.broker_bytes("\x20\x02\xff\xff"sv); // nonsense
    (void)d.written();
    CHECK(d.wants_close());
    d.lost();
    d.events({});
    d.reopen();
    d.sends(publish_of("a", 1, 1, true), publish_of("b", 2, 2, true));
}
