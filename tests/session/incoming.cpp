// Received messages and their acknowledgements, across connections.
#include "dialog.hpp"

#include <vector>

using tern::connack;
using tern::errc;
using tern::puback;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;

DIALOG("QoS 2 is delivered once, whether it is released before, during or after an outage [v311:MQTT-4.4.0-1, "
       "v5:MQTT-4.3.3-8, v5:MQTT-4.3.3-10, v5:MQTT-4.3.3-11, v5:MQTT-4.4.0-1]") {
    d.resumable();
    d.open();
    for (tern::packet_id id = 1; id <= 4; ++id)
        d.broker(publish_of("a", 2, id));
    d.events(std::vector(4, got(message("a", "x", 2))));
    d.release(0); // before the outage: its PUBREC is written
    d.sends(pubrec{1});
    d.release(1); // before the outage, but its PUBREC is lost
    d.lost();
    d.release(2); // during the outage
    d.reopen();
    d.sends(); // only resent messages are acknowledged
    for (tern::packet_id id = 1; id <= 4; ++id)
        d.broker(publish_of("a", 2, id, true));
    d.sends(pubrec{1}, pubrec{2}, pubrec{3});
    d.events({});
    d.broker(publish_of("n", 2, 5));
    d.events({got(message("n", "x", 2))});
    d.release(4);
    d.sends();    // in the order of arrival
    d.release(3); // after the outage
    d.sends(pubrec{4}, pubrec{5});
    d.broker(pubrel{1}, pubrel{2}, pubrel{3}, pubrel{4}, pubrel{5});
    d.sends(pubcomp{1}, pubcomp{2}, pubcomp{3}, pubcomp{4}, pubcomp{5});
    d.broker(publish_of("a", 2, 1)); // the identifier is free again, so this is a new message
    d.events({got(message("a", "x", 2))});
    CHECK(d.session.counters().messages_received == 6);
}

DIALOG("a PUBREL that is resent on the next connection is answered [v5:MQTT-4.3.3-11, v5:MQTT-4.3.3-12]") {
    d.resumable();
    d.open();
    d.broker(publish_of("a", 2, 1));
    d.release(0);
    d.sends(pubrec{1});
    d.broker(pubrel{1});
    d.events({got(message("a", "x", 2))});
    d.lost(); // PUBCOMP is lost
    d.reopen();
    d.sends();
    d.broker(pubrel{1});
    d.sends(pubcomp{1, d.v5() ? reason_code::packet_identifier_not_found : reason_code::success});
    d.stays();
}

DIALOG("an unreleased message is delivered once over several connections [v5:MQTT-4.3.3-10]") {
    d.resumable();
    d.open();
    d.broker(publish_of("a", 2, 1));
    d.events({got(message("a", "x", 2))});
    for (int i = 0; i != 4; ++i) {
        d.lost();
        d.reopen();
        d.broker(publish_of("a", 2, 1, true));
        if (i % 2 == 0) d.broker(publish_of("a", 2, 1, true)); // the broker resends it on this connection
        d.sends();
        d.events({});
    }
    d.release(0);
    d.sends(pubrec{1});
    d.broker(publish_of("a", 2, 1, true)); // it crosses the PUBREC
    d.sends(pubrec{1});
    d.broker(pubrel{1});
    d.sends(pubcomp{1});
    d.release(0); // a second release has no effect
    d.sends();
}

DIALOG("a resent QoS 1 message gets a new token [v311:MQTT-4.6.0-2, v5:MQTT-4.3.2-4, v5:MQTT-4.3.2-5, "
       "v5:MQTT-4.6.0-2]") {
    d.resumable();
    d.open();
    d.broker(publish_of("a", 1, 1), publish_of("b", 1, 2));
    d.release(1); // its PUBACK waits for that of the first message
    d.sends();
    d.lost();
    d.release(0); // the token is no longer valid
    d.events({got(message("a", "x", 1)), got(message("b", "x", 1))});
    d.reopen();
    d.sends();
    d.broker(publish_of("b", 1, 2, true), publish_of("a", 1, 1, true));
    d.events({got(message("b", "x", 1), true), got(message("a", "x", 1), true)});
    d.release(0);
    d.release(1);
    d.sends();
    d.release(3);
    d.sends();
    d.release(2);
    d.sends(puback{2}, puback{1});
}

DIALOG("a QoS 1 message that comes again may be released once for both copies [v5:MQTT-4.3.2-4]") {
    d.resumable();
    if (d.v5()) d.options.properties.receive_maximum = 2;
    d.open();
    dialog copy = d;
    CHECK_FALSE(copy.session.supersede(tern::message_token{}));
    d.broker(publish_of("a", 1, 1), publish_of("b", 1, 2));
    d.events({got(message("a", "x", 1)), got(message("b", "x", 1))});
    d.lost();
    CHECK_FALSE(d.session.supersede(d.tokens[0]));
    d.reopen();
    const auto comes_again = [&](std::string_view topic, tern::packet_id id, std::size_t earlier) {
        d.broker(publish_of(topic, 1, id, true));
        d.events({got(message(topic, "x", 1), true)});
        CHECK(d.session.supersede(d.tokens[earlier]));
    };
    comes_again("a", 1, 0);
    comes_again("a", 1, 2); // on the same connection, too
    comes_again("b", 2, 1); // the superseded copy takes no place in the window
    d.release(2);           // void
    d.release(4);
    d.sends();
    d.release(3);
    d.sends(puback{1}, puback{2});
    CHECK(d.session.supersede(d.tokens[3])); // it is acknowledged: nothing changes
    d.broker(publish_of("c", 1, 1));
    d.events({got(message("c", "x", 1))});
    d.lost();
    d.reopen({});
    d.broker(publish_of("c", 1, 1, true)); // of another session
    d.events({got(message("c", "x", 1), true)});
    CHECK_FALSE(d.session.supersede(d.tokens[5]));
    d.release(6);
    d.sends(puback{1});
}

DIALOG("acknowledgements are sent in the order of arrival on each connection [v311:MQTT-4.6.0-2, "
       "v311:MQTT-4.6.0-3, v5:MQTT-4.6.0-2, v5:MQTT-4.6.0-3]") {
    d.resumable();
    d.open();
    d.broker(publish_of("a", 1, 1), publish_of("b", 2, 2), publish_of("c", 1, 3));
    d.events({got(message("a", "x", 1)), got(message("b", "x", 2)), got(message("c", "x", 1))});
    d.release(2);
    d.lost();
    d.reopen();
    d.broker(publish_of("c", 1, 3, true), publish_of("b", 2, 2, true), publish_of("a", 1, 1, true));
    d.events({got(message("c", "x", 1), true), got(message("a", "x", 1), true)});
    d.release(0); // of the old connection
    d.release(2);
    d.release(4); // a
    d.sends();
    d.release(1); // b, which was delivered on the old connection
    d.sends();
    d.release(3); // c
    d.sends(puback{3}, pubrec{2}, puback{1});
}

DIALOG("Receive Maximum is counted per connection [v5:MQTT-3.3.4-8, v5:MQTT-4.9.0-1]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.properties.receive_maximum = 2;
    d.open();
    d.broker(publish_of("a", 2, 1), publish_of("b", 1, 2));
    d.events({got(message("a", "x", 2)), got(message("b", "x", 1))});
    d.lost();
    d.reopen();
    d.broker(publish_of("a", 2, 1, true), publish_of("b", 1, 2, true));
    d.events({got(message("b", "x", 1), true)});
    d.stays();
    d.broker(publish_of("c", 1, 3));
    d.sends(tern::disconnect{.reason_code = reason_code::receive_maximum_exceeded});
}

DIALOG("after a lost session messages are delivered again [v311:MQTT-4.1.0-1, v5:MQTT-3.2.2-5, v5:MQTT-4.1.0-1]") {
    d.resumable();
    d.open();
    d.broker(publish_of("a", 2, 1), publish_of("b", 2, 2));
    d.release(0);
    d.sends(pubrec{1});
    d.events({got(message("a", "x", 2)), got(message("b", "x", 2))});
    d.lost();
    d.reopen({});
    d.broker(publish_of("m", 2, 1), publish_of("n", 2, 2));
    d.events({got(message("m", "x", 2)), got(message("n", "x", 2))});
    d.release(1); // of the old session
    d.release(2);
    d.sends(pubrec{1});
    d.release(3);
    d.sends(pubrec{2});
}

DIALOG("while the owner does not read, only CONNACK is read") {
    d.resumable();
    d.options.keep_alive = 60s;
    d.open();
    d.pass(1s);
    d.session.set_delivery(tern::delivery::limited, d.now);
    d.lost();
    d.reopen();
    d.broker(publish_of("a", 1, 1));
    d.events({});
    d.session.set_delivery(tern::delivery::open, d.now);
    d.events({got(message("a", "x", 1))});
    d.stays();
}

DIALOG("topic aliases of the broker end with their connection [v5:MQTT-3.3.2-7, v5:MQTT-3.3.2-10, v5:MQTT-3.3.2-11]") {
    if (!d.v5()) return;
    d.resumable();
    d.options.properties.topic_alias_maximum = 5;
    d.open();
    tern::message_view m = message("a");
    m.properties.topic_alias = 1;
    d.broker(tern::publish{m});
    m.topic = "";
    d.broker(tern::publish{m});
    d.events({got(message("a")), got(message("a"))});
    d.lost();
    d.reopen();
    d.broker(tern::publish{m});
    d.events({});
    CHECK(!d.session.is_connected());
}
