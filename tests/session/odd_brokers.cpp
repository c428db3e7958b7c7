// Brokers that lose state, repeat packets or contradict themselves.
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

const auto wrong_answer = tern::outcome_unknown(errc::unexpected_acknowledgement);

} // namespace

DIALOG("a session that only the broker has is refused in 5.0, until it has expired [v5:MQTT-3.2.2-4]") {
    d.options.reconnect.enabled = true;
    d.options.reconnect.retry_first = true;
    d.options.clean_start = false;
    d.start();
    if (!d.v5()) { // 3.1.1 has no such rule
        d.broker(connack{.session_present = true});
        d.events({"connected, session present"});
        return;
    }
    d.broker(connack{.session_present = true});
    d.sends(tern::disconnect{.reason_code = tern::answer_to(errc::unexpected_session_present)});
    CHECK(d.wants_close());
    d.tells_all = true;
    d.lost({});
    d.events({"down: " + text(tern::violation(errc::unexpected_session_present)), "retrying in 60000"});
    d.tells_all = false;
    d.reopen(connack{});
}

DIALOG("acknowledgements on the next connection are accepted before the packets are resent") {
    d.resumable();
    d.options.max_in_flight = 1;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 2), 2);
    d.sends(publish_of("a", 1, 1));
    d.broker(puback{1});
    d.sends(publish_of("b", 2, 2));
    d.events({done(1)});
    d.subscribe({filter_s}, 3);
    (void)d.written();
    d.lost();
    d.reopen();
    // The broker resends acknowledgements that were lost with the old connection.
    d.broker(pubrec{2}, tern::suback{3, std::span(one_success, 1)}, puback{1});
    d.sends_bytes(d.encoded(publish_of("b", 2, 2, true)) + d.encoded(tern::subscribe{3, std::span(&filter_s, 1)}) +
                  d.encoded(pubrel{2}));
    d.broker(pubrec{2}); // the answer to the second PUBLISH
    d.sends(pubrel{2});
    d.broker(pubcomp{2}, pubcomp{2});
    d.events({done(3), done(2)});
    d.stays();
    CHECK(d.session.counters().in_flight == 0);
    d.publish(message("c", "x", 1), 4); // the window is free
    d.sends(publish_of("c", 1, 4));
}

DIALOG("acknowledgements of messages that still wait to be resent are accepted [v5:MQTT-3.3.4-7]") {
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
    d.broker(pubrec{2}, pubrec{3, reason_code::quota_exceeded}, puback{4}); // none of these has been resent
    d.events({done(3, reason_code::quota_exceeded), done(4)});
    d.sends(pubrel{2});
    CHECK(d.session.counters().in_flight == 2); // PUBREL is sent regardless of the window
    d.broker(puback{1});
    d.publish(message("n", "x", 1), 5);
    d.sends();
    d.broker(pubcomp{2});
    d.sends(publish_of("n", 1, 5));
    d.events({done(1), done(2)});
    CHECK(d.session.counters().in_flight == 1);
}

DIALOG("PUBCOMP with 0x92 from a broker that has lost a message completes the publish [v5:MQTT-4.3.3-7]") {
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
    d.events({done(1)}); // the broker has had the message since PUBREC
    CHECK(d.session.counters().in_flight == 0);
    d.broker(pubrel{9, reason_code::packet_identifier_not_found}); // for an unknown identifier
    d.sends(pubcomp{9, reason_code::packet_identifier_not_found});
    d.stays();
}

DIALOG("unknown identifiers of the previous connection are ignored [v5:MQTT-2.2.1-3]") {
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
    d.broker(puback{2}, puback{4}, pubcomp{1}, tern::suback{77, std::span(one_success, 1)});
    d.sends();
    d.broker(pubrec{3});
    d.sends(pubrel{3, d.v5() ? reason_code::packet_identifier_not_found : reason_code::success});
    d.stays();
    d.events({});
}

DIALOG("what was answered by the wrong packet ends, is not sent again, and keeps its identifier [v5:MQTT-2.2.1-5]") {
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
        if (one.v5()) one.sends(tern::disconnect{.reason_code = tern::answer_to(errc::unexpected_acknowledgement)});
        one.events({done(packet.packet_id, wrong_answer)});
        CHECK(one.wants_close());
        one.lost();
        one.reopen();
        if (packet.packet_id == 1) {
            one.sends(publish_of("b", 1, 2, true));
            one.broker(puback{2});
            one.events({done(2)});
        } else {
            one.sends(pubrel{1});
            one.broker(pubcomp{1});
            one.events({done(1)});
        }
        CHECK(one.session.counters().in_flight == 0);
        one.drain(9);
        one.events({done(9)});
    };
    wrong(puback{1});
    wrong(tern::suback{1, std::span(one_success, 1)});
    wrong(pubrec{2});
    wrong(pubcomp{2});
}

DIALOG("PUBACK for QoS 2, as RabbitMQ sends it, ends one message with one connection, and the others go on "
       "[v311:MQTT-4.3.3-1, v5:MQTT-4.3.3-1]") {
    d.resumable();
    d.open();
    d.publish(message("a", "x", 2), 1);
    d.publish(message("b", "x", 1), 2);
    (void)d.written();
    d.broker(puback{1});
    (void)d.written();
    d.events({done(1, wrong_answer)});
    d.publish(message("c", "x", 2), 3); // waits for the next connection
    d.lost();
    d.reopen();
    d.sends(publish_of("b", 1, 2, true), publish_of("c", 2, 3));
    d.broker(puback{2}, pubrec{3});
    d.sends(pubrel{3});
    d.broker(pubcomp{3}, pubrec{1}); // PUBREC for the first message is late
    d.sends(pubrel{1});
    d.broker(pubcomp{1});
    d.events({done(2), done(3)});
    CHECK(d.session.counters().in_flight == 0);
}

DIALOG("a message behind one that is not sent again is late, too, if its acknowledgement does not come") {
    d.resumable();
    d.options.ack_timeout = 20s;
    d.options.keep_alive = 0s;
    d.open();
    d.publish(message("a", "x", 2), 1);
    d.publish(message("b", "x", 2), 2);
    d.publish(message("c", "x", 1), 3);
    (void)d.written();
    d.broker(puback{2});
    (void)d.written();
    d.events({done(2, wrong_answer)});
    d.lost();
    d.reopen();
    d.sends(publish_of("a", 2, 1, true), publish_of("c", 1, 3, true));
    d.broker(pubrec{1});
    d.sends(pubrel{1});
    d.pass(20s);
    d.sends(tern::pingreq{}); // because of the third message
}

DIALOG("a broker that answers QoS 2 with PUBACK twice gets no QoS 2 in this run [v5:MQTT-3.2.2-11]") {
    d.resumable();
    d.open();
    for (tern::packet_id id = 1; id != 3; ++id) {
        d.publish(message("a", "x", 2), id);
        (void)d.written();
        d.broker(puback{id});
        (void)d.written();
        d.events({done(id, wrong_answer)});
        d.lost();
        if (id == 1) d.reopen();
    }
    d.publish(message("b", "x", 2), 3);
    d.reopen({.session_present = true}, {done(3, tern::misuse(errc::qos_not_supported))});
    d.sends();
    CHECK(d.try_publish(message("c", "x", 2)) == errc::qos_not_supported);
    d.publish(message("c", "x", 1), 4);
    d.sends(publish_of("c", 1, 3)); // 1 and 2 stay in use
}

DIALOG("SUBACK for UNSUBSCRIBE and the reverse end the request, which is not sent again [v311:MQTT-3.8.4-2, "
       "v311:MQTT-3.10.4-4, v5:MQTT-3.8.4-2, v5:MQTT-3.10.4-4]") {
    d.resumable();
    d.open();
    const std::string_view u = "u";
    d.subscribe({filter_s}, 1);
    d.unsubscribe({u}, 2);
    d.sends(tern::subscribe{1, std::span(&filter_s, 1)}, tern::unsubscribe{2, std::span(&u, 1)});
    d.broker(tern::suback{2, std::span(one_success, 1)});
    (void)d.written();
    d.events({done(2, wrong_answer)});
    d.lost();
    d.reopen();
    d.sends(tern::subscribe{1, std::span(&filter_s, 1)});
    d.broker(tern::unsuback{2, std::span(one_success, d.v5() ? 1U : 0U)}); // too late
    d.broker(tern::unsuback{1, std::span(one_success, d.v5() ? 1U : 0U)});
    (void)d.written();
    d.events({done(1, wrong_answer)});
    d.lost();
    d.reopen();
    const std::string_view s = filter_s.filter;      // the broker may have it, and the program has not been granted it
    d.sends(tern::unsubscribe{3, std::span(&s, 1)}); // 1 and 2 stay in use
    d.broker(tern::unsuback{3, std::span(one_success, d.v5() ? 1U : 0U)});
    d.lost();
    d.reopen({});
    d.sends();
    d.subscribe({filter_s}, 3);
    d.sends(tern::subscribe{4, std::span(&filter_s, 1)});
}

DIALOG("with Receive Maximum 1 all messages arrive although every second connection is lost [v5:MQTT-3.3.4-7]") {
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

DIALOG("a message that exceeds the Maximum Packet Size of the next connection fails [v5:MQTT-3.2.2-15]") {
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
    const auto too_large = tern::outcome_unknown(errc::packet_too_large);
    d.reopen(answer, {done(5, tern::misuse(errc::packet_too_large)), done(1, too_large), done(4, too_large)});
    CHECK(d.session.counters().queued_bytes == 0);
    d.sends(publish_of("c", 1, 3, true), pubrel{2});
    d.drain(6);
    d.broker(puback{3}, pubcomp{2});
    d.events({done(3), done(2), done(6)}); // drain does not wait for failed messages
    dialog late(d);
    late.broker(puback{1}); // the broker had received the message before
    late.events({});
    // The broker may have received the message, so its identifier stays taken. Its bytes are freed.
    d.lost();
    answer.properties.maximum_packet_size = 1'000;
    d.reopen(answer);
    d.sends();
    d.publish(message("e", "x", 1), 7);
    d.sends(publish_of("e", 1, 6));
    d.broker(puback{6});
    d.events({done(7)});
    d.lost();
    d.reopen({}); // nothing of the lost session is left
    d.sends();
    CHECK(d.session.counters().in_flight == 0);
}

DIALOG("keep alive 0 stays disabled across connections [v5:MQTT-3.1.2-20]") {
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

DIALOG("acknowledgements that arrive while the client closes are ignored [v311:MQTT-3.14.4-2, v5:MQTT-3.14.4-2]") {
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

DIALOG("a CONNACK that refuses or is invalid does not change the session [v5:MQTT-3.2.2-7]") {
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
    d.broker_bytes("\x20\x02\xff\xff"sv); // an invalid CONNACK
    (void)d.written();
    CHECK(d.wants_close());
    d.lost();
    d.events({});
    d.reopen();
    d.sends(publish_of("a", 1, 1, true), publish_of("b", 2, 2, true));
}
