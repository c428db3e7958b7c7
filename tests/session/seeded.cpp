// Tests for faults that only `./dev mutants` has revealed; see tests/mutants.
#include "dialog.hpp"

#include <span>
#include <string>
#include <vector>

using tern::errc;
using tern::puback;

DIALOG("an expired message is not sent even before its timer fires") {
    d.options.max_in_flight = 1;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    CHECK(d.try_publish(message("b", "x", 1), 10ms, 2) == errc::none);
    CHECK(d.try_publish(message("c", "x", 1), 50ms, 3) == errc::none);
    d.pass(10ms);
    d.events({done(2, tern::misuse(errc::message_expired))}); // the next timer is 100 ms later
    d.pass(50ms);
    d.broker(puback{1});
    d.sends();
    d.events({done(1), done(3, tern::misuse(errc::message_expired))});
    CHECK(d.session.counters().queued == 0);
}

DIALOG("a message that has expired when the window becomes free is reported immediately") {
    d.options.max_in_flight = 1;
    d.open();
    d.publish(message("a", "x", 1)); // without an operation
    d.sends(publish_of("a", 1, 1));
    CHECK(d.try_publish(message("b", "x", 1), 10ms, 2) == errc::none);
    CHECK(d.try_publish(message("c", "x", 1), 50ms, 3) == errc::none);
    d.pass(10ms);
    d.events({done(2, tern::misuse(errc::message_expired))});
    d.pass(50ms);
    d.broker(puback{1});
    d.sends();
    d.events({done(3, tern::misuse(errc::message_expired))});
}

DIALOG("a filter that is unsubscribed during a resubscribe is not resubscribed afterwards [v311:MQTT-3.10.4-2, "
       "v5:MQTT-3.10.4-2]") {
    const std::string large(100, 'f');
    std::vector<std::string> filters; // more than are renewed at a time
    for (unsigned i = 0; i != 65; ++i)
        filters.push_back(large + std::to_string(100 + i));
    const tern::reason_code granted[1] = {};
    d.options.max_renewal_filters = 1;
    d.resumable();
    d.open();
    for (tern::packet_id id = 1; id <= 65; ++id) {
        d.subscribe({{.filter = filters[id - 1U]}});
        (void)d.written();
        d.broker(tern::suback{id, granted});
    }
    d.lost();
    d.reopen({});
    (void)d.written();
    d.unsubscribe({filters[64]}, 1);
    d.sends(unsubscribe_of(filters[64], 130));
    d.broker(tern::suback{66, granted});
    d.sends();
    d.broker(unsuback_of(d, 130));
    d.sends();
    d.events({done(1)});
    d.lost();
    d.reopen();
    CHECK(d.written().find(filters[64]) == std::string::npos);
}
