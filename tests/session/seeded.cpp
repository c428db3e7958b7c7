// What only a seeded fault has shown to be untested; see mutants.txt.
#include "dialog.hpp"

using tern::errc;
using tern::puback;

DIALOG("a message that has expired is not sent, although the timer for it is not due yet") {
    d.options.max_in_flight = 1;
    d.open();
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    CHECK(d.try_publish(message("b", "x", 1), 10ms, 2) == errc::none);
    CHECK(d.try_publish(message("c", "x", 1), 50ms, 3) == errc::none);
    d.pass(10ms);
    d.events({done(2, tern::misuse(errc::message_expired))}); // the timer comes again 100 ms later
    d.pass(50ms);
    d.broker(puback{1});
    d.sends();
    d.events({done(1), done(3, tern::misuse(errc::message_expired))});
    CHECK(d.session.counters().queued == 0);
}
