// Limits on what a broker sends: large messages, many topic aliases, the same violation again and again.
#include "dialog.hpp"

#include <string>
#include <utility>

using tern::connack;
using tern::errc;
using tern::puback;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;

namespace {

tern::publish large(unsigned qos, tern::packet_id id) {
    static const std::string payload(200, 'x');
    return {message("large", payload, qos), false, id};
}

std::string skipped(const dialog& d, unsigned qos) {
    return "skipped large, " + std::to_string(d.encoded(large(qos, qos == 0 ? 0 : 1)).size());
}

tern::connect connect_in(const std::string& wire, tern::protocol_version version) {
    return *tern::decode<tern::connect>(tern::next_frame(wire)->frame, version);
}

// A message whose response topic has a wildcard, or in 3.1.1 its topic.
std::string poisoned(const dialog& d, unsigned qos, tern::packet_id id, std::string_view topic = "bad") {
    tern::publish p = publish_of(topic, qos, id);
    if (d.v5()) p.message.properties.response_topic = "~";
    std::string bytes = d.encoded(p);
    bytes[d.v5() ? bytes.find('~') : bytes.find("bad") + 1] = '#';
    return bytes;
}

// The client has received that on two connections in a row.
void receives_twice(dialog& d, const std::string& bytes) {
    for (int i = 0; i != 2; ++i) {
        d.broker_bytes(bytes);
        (void)d.written();
        CHECK(d.wants_close());
        d.lost();
        d.reopen();
    }
}

const std::string is_invalid = "invalid bad: " + text(tern::violation(errc::invalid_response_topic));

} // namespace

DIALOG("the client announces the largest packet that it accepts [§3.1.2.11.4]") {
    if (!d.v5()) return;
    const auto announced = [&](auto change) {
        dialog one(d);
        change(one.options);
        REQUIRE(one.try_connect() == errc::none);
        one.connects();
        const std::string wire = one.written();
        return connect_in(wire, one.version).properties.maximum_packet_size;
    };
    CHECK(announced([](auto& o) { o.maximum_packet_size = tern::connect_options{}.maximum_packet_size; }) ==
          std::uint32_t{16} << 20U);
    CHECK(announced([](auto& o) { o.maximum_packet_size = tern::packet_size_max; }) == std::nullopt);
    CHECK(announced([](auto& o) { o.maximum_packet_size = 100; }) == 100U);
    CHECK(announced([](auto& o) { o.properties.maximum_packet_size = 200; }) == 200U);
    d.options.maximum_packet_size = 0;
    CHECK(d.try_connect() == errc::invalid_maximum_packet_size);
}

DIALOG("3.1.1: a message that is too large is acknowledged and reported, but not delivered") {
    if (d.v5()) return;
    for (const unsigned qos : {0U, 1U, 2U}) {
        dialog one(d);
        one.options.maximum_packet_size = 100;
        one.open();
        one.broker(large(qos, qos == 0 ? 0 : 1), publish_of("a", 0, 0));
        one.events({skipped(one, qos), got(message("a"))});
        if (qos == 0) one.sends();
        if (qos == 1) one.sends(puback{1});
        if (qos == 2) {
            one.sends(pubrec{1});
            one.broker(large(2, 1)); // it was sent again
            one.sends(pubrec{1});
            one.broker(pubrel{1});
            one.sends(pubcomp{1});
        }
        one.broker(publish_of("b", 1, 7));
        one.stays();
    }
}

DIALOG("3.1.1: any other packet that is too large ends the connection") {
    if (d.v5()) return;
    d.options.maximum_packet_size = 5;
    d.open();
    d.subscribe({{.filter = "a"}, {.filter = "b"}, {.filter = "c"}, {.filter = "d"}}, 1);
    (void)d.written();
    const reason_code codes[4] = {};
    d.broker(tern::suback{1, codes});
    d.fails(errc::packet_too_large, {unknown(1, errc::packet_too_large)});
}

DIALOG("a large message with an invalid topic or without an identifier is a violation") {
    if (d.v5()) return;
    d.options.maximum_packet_size = 100;
    d.open();
    dialog other(d);
    std::string bytes = d.encoded(large(1, 1));
    bytes[4] = '+';
    d.broker_bytes(bytes);
    CHECK(d.wants_close());
    bytes = other.encoded(large(1, 1));
    bytes[2 + 2 + 5 + 1] = bytes[2 + 2 + 5 + 2] = '\0'; // the remaining length has two bytes
    other.broker_bytes(bytes);
    CHECK(other.wants_close());
}

DIALOG("5.0: a message that is too large ends the connection, but not the next one [v5:MQTT-3.1.2-24]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.maximum_packet_size = 100;
    d.open();
    d.broker(large(1, 1));
    d.sends(tern::disconnect{.reason_code = reason_code::packet_too_large});
    CHECK(d.wants_close());
    d.lost();
    d.reopen();
    d.broker(large(1, 1));
    d.events({skipped(d, 1)});
    d.sends(puback{1});
    d.stays();
}

DIALOG("the topics of topic aliases may take 1 MiB, then the client announces none [§3.3.2.3.4]") {
    if (!d.v5() || d.writes_bytes()) return;
    d.resumable();
    d.options.properties.topic_alias_maximum = 100;
    d.open();
    tern::message_view m = message("");
    for (std::uint16_t alias = 1; alias <= 17; ++alias) {
        const std::string topic(65'000, 'a');
        m.topic = topic;
        m.properties.topic_alias = alias;
        d.broker(tern::publish{m});
        (void)d.events_so_far();
    }
    d.sends(tern::disconnect{.reason_code = reason_code::quota_exceeded});
    CHECK(d.wants_close());
    d.lost();
    d.awaits_attempt();
    d.connects();
    const std::string wire = d.written();
    CHECK(!connect_in(wire, d.version).properties.topic_alias_maximum);
}

DIALOG("the same invalid message on three connections is reported, and the client waits for the longest delay") {
    d.resumable();
    d.options.reconnect.longest_delay = 60s;
    d.options.on_invalid_message = tern::invalid_message_action::refuse; // which needs an identifier
    d.open();
    std::string bytes = d.encoded(publish_of("a", 1, 1));
    bytes[bytes.size() - (d.v5() ? 4 : 3)] = '\0'; // the identifier is 0
    bytes[bytes.size() - (d.v5() ? 3 : 2)] = '\0';
    for (int i = 1; i <= 3; ++i) {
        d.broker_bytes(bytes);
        (void)d.written();
        CHECK(d.wants_close());
        d.lost();
        const std::string expected = "invalid a: " + text(tern::violation(errc::zero_packet_id));
        if (i == 3) {
            d.events({expected});
            CHECK(d.session.next_deadline() == d.now + 60s);
        }
        d.reopen();
    }
}

DIALOG("5.0: an invalid message that has ended two connections is refused, if the application wants that [§4.13.1]") {
    d.resumable();
    d.options.on_invalid_message = tern::invalid_message_action::refuse;
    d.open();
    for (const unsigned qos : {0U, 1U, 2U}) {
        const tern::packet_id id = qos == 0 ? 0 : 1;
        dialog one(d);
        receives_twice(one, poisoned(d, qos, id));
        one.broker(publish_of("good", 1, 7));
        one.broker_bytes(poisoned(d, qos, id));
        if (!d.v5()) {
            CHECK(one.wants_close()); // 3.1.1 cannot refuse
            continue;
        }
        one.events({got(message("good", "x", 1)), is_invalid});
        one.stays();
        one.sends();
        one.release(0);
        one.sends_bytes(one.encoded(puback{7}) + (qos == 0   ? std::string{}
                                                  : qos == 1 ? one.encoded(puback{1, reason_code::unspecified_error})
                                                             : one.encoded(pubrec{1, reason_code::unspecified_error})));
        CHECK(one.session.counters().received_refused == 1);
        one.broker_bytes(poisoned(d, qos, id)); // from now on at once
        one.events({is_invalid});
        (void)one.written();
        one.broker(publish_of("good", qos, id)); // the identifier is free
        one.events({got(message("good", "x", qos))});
        one.stays();
        CHECK(one.session.counters().received_refused == 2);
    }
}

DIALOG("a refused message is forgotten with its connection, if its acknowledgement was not sent [v5:MQTT-4.3.3-10]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.on_invalid_message = tern::invalid_message_action::refuse;
    d.open();
    receives_twice(d, poisoned(d, 2, 1));
    d.broker(publish_of("first", 1, 7));
    d.broker_bytes(poisoned(d, 2, 1));
    d.events({got(message("first", "x", 1)), is_invalid});
    d.sends(); // the first message is not acknowledged
    d.lost();
    d.reopen();
    dialog again(d);
    again.broker_bytes(poisoned(d, 2, 1));
    again.events({is_invalid});
    again.sends(pubrec{1, reason_code::unspecified_error});
    d.broker(publish_of("other", 2, 1));
    d.events({got(message("other", "x", 2))});
}

DIALOG("a message is refused only if that has no effect on others: not while it may set a topic alias [§3.3.2.3.4]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.on_invalid_message = tern::invalid_message_action::refuse;
    d.options.properties.topic_alias_maximum = 5;
    d.open();
    receives_twice(d, poisoned(d, 1, 1));
    d.broker_bytes(poisoned(d, 1, 1));
    d.events({is_invalid});
    (void)d.written();
    CHECK(d.wants_close());
    d.lost();
    d.awaits_attempt();
    d.connects();
    const std::string wire = d.written();
    CHECK(!connect_in(wire, d.version).properties.topic_alias_maximum);
    d.broker(connack{.session_present = true});
    d.broker_bytes(poisoned(d, 1, 1));
    d.events({"connected, session present", is_invalid});
    d.sends(puback{1, reason_code::unspecified_error});
    d.stays();
}

DIALOG("a message that is valid by itself is not refused: too many messages end the connection [v5:MQTT-3.3.4-9]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.on_invalid_message = tern::invalid_message_action::refuse;
    d.options.properties.receive_maximum = 1;
    d.open();
    for (int i = 0; i != 5; ++i) {
        d.broker(publish_of("a", 1, 1), publish_of("b", 1, 2));
        (void)d.written();
        CHECK(d.wants_close());
        d.lost();
        (void)d.events_so_far();
        d.reopen();
    }
    CHECK(d.session.counters().received_refused == 0);
}
