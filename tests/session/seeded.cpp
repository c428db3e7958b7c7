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

DIALOG("a filter that is unsubscribed during a resubscribe is not resubscribed afterwards [MQTT-3.10.4-2]") {
    const std::string filters[] = {std::string(5'000, 'a'), std::string(5'000, 'b')}; // too long for one SUBSCRIBE
    const tern::reason_code granted[1] = {};
    const std::vector<tern::subscription> first{{.filter = filters[0]}}, second{{.filter = filters[1]}};
    d.resumable();
    d.open();
    d.subscribe(first);
    d.subscribe(second);
    (void)d.written();
    d.broker(tern::suback{1, granted}, tern::suback{2, granted});
    d.lost();
    d.reopen({});
    d.sends(tern::subscribe{3, first});
    d.unsubscribe({filters[1]}, 1);
    const std::vector<std::string_view> given_up{filters[1]};
    d.sends(tern::unsubscribe{4, given_up});
    d.broker(tern::suback{3, granted});
    d.sends();
    d.broker(tern::filter_ack<tern::packet_type::unsuback>{4, std::span(granted, d.v5() ? 1 : 0)});
    d.sends();
    d.events({done(1)});
}
