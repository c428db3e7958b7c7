// The queue is bounded, by count and by bytes; what happens then, the application has decided.
#include "dialog.hpp"

#include <string>
#include <vector>

using tern::connack;
using tern::errc;
using tern::full_queue_action;
using tern::publish;

namespace {

const auto dropped = tern::misuse(errc::message_dropped);

// A session without a connection, whose queue is full of a (QoS 0), b (1), c (0) and d (2), which are 1 to 4.
void fill(dialog& d, full_queue_action action, bool by_bytes) {
    d.resumable();
    d.options.queue.when_full = action;
    if (by_bytes)
        d.options.queue.bytes =
            2 * d.encoded(publish_of("a", 0, 0)).size() + 2 * d.encoded(publish_of("a", 1, 1)).size();
    else
        d.options.queue.messages = 4;
    d.open();
    d.lost();
    d.publish(message("a"), 1);
    d.publish(message("b", "x", 1), 2);
    d.publish(message("c"), 3);
    d.publish(message("d", "x", 2), 4);
    d.events({});
    CHECK(d.session.counters().queued == 4);
    if (by_bytes) CHECK(d.session.counters().queued_bytes == d.options.queue.bytes);
}

template <class F>
void by_count_and_bytes(dialog& d, full_queue_action action, F f) {
    for (const bool by_bytes : {false, true}) {
        INFO((by_bytes ? "by bytes" : "by count"));
        dialog one(d);
        fill(one, action, by_bytes);
        f(one);
    }
}

} // namespace

DIALOG("a full queue: refuse") {
    by_count_and_bytes(d, full_queue_action::refuse, [](dialog& one) {
        for (const unsigned qos : {0U, 1U, 2U}) {
            CHECK(one.try_publish(message("e", "x", qos), 5) == errc::queue_full);
            CHECK(one.try_publish(message("e", "x", qos)) == errc::queue_full);
        }
        one.subscribe({{.filter = "s"}}); // is not a message
        one.events({});
        CHECK(one.cancel(3)); // makes room for one
        one.publish(message("e"), 5);
        CHECK(one.try_publish(message("e"), 6) == errc::queue_full);
        one.reopen();
        const tern::subscription s{.filter = "s"};
        one.sends(tern::subscribe{1, std::span(&s, 1)}, publish_of("a", 0, 0), publish_of("b", 1, 2),
                  publish_of("d", 2, 3), publish_of("e", 0, 0));
        CHECK(one.session.counters().queued == 0);
        CHECK(one.session.counters().queued_bytes == 0);
        CHECK(one.session.counters().messages_dropped == 0);
        one.publish(message("f"), 7);
    });
}

DIALOG("a full queue: wait") {
    by_count_and_bytes(d, full_queue_action::wait, [](dialog& one) {
        CHECK(one.try_publish(message("e", "x", 1)) == errc::queue_full); // nobody would wait
        one.publish(message("e", "x", 1), 5);
        one.publish(message("f"), 6);
        one.events({});
        one.reopen();
        one.sends(publish_of("a", 0, 0), publish_of("b", 1, 1), publish_of("c", 0, 0), publish_of("d", 2, 2),
                  publish_of("e", 1, 3), publish_of("f", 0, 0));
        one.events({done(1), done(3), done(6)});
    });
}

DIALOG("a full queue: drop the oldest QoS 0") {
    by_count_and_bytes(d, full_queue_action::drop_oldest_qos_0, [](dialog& one) {
        one.publish(message("e"), 5);
        one.events({done(1, dropped)});
        one.publish(message("f"), 6);
        one.events({done(3, dropped)});
        one.publish(message("g")); // nobody waits for it, it is dropped all the same
        one.events({done(5, dropped)});
        one.publish(message("h"), 8);
        one.events({done(6, dropped)});
        CHECK(one.session.counters().messages_dropped == 4);
        dialog more(one);
        more.publish(message("i"), 9);
        more.events({});
        one.reopen();
        one.sends(publish_of("b", 1, 1), publish_of("d", 2, 2), publish_of("g", 0, 0), publish_of("h", 0, 0));
        one.events({done(8)});
    });
    d.resumable();
    d.options.queue.messages = 2;
    d.options.queue.when_full = full_queue_action::drop_oldest_qos_0;
    d.open();
    d.lost();
    d.publish(message("a", "x", 1), 1);
    d.publish(message("b", "x", 1), 2);
    CHECK(d.try_publish(message("c"), 3) == errc::queue_full); // there is none
    CHECK(d.try_publish(message("c", "x", 1), 3) == errc::queue_full);
    d.events({});
}

DIALOG("dropping makes room, or it is not done") {
    d.resumable();
    const std::size_t small = d.encoded(publish_of("a", 0, 0)).size();
    d.options.queue.when_full = full_queue_action::drop_oldest_qos_0;
    d.options.queue.bytes = 10 * small;
    d.open();
    d.lost();
    d.publish(message("a"), 1);
    d.publish(message("b", std::string(4 * small, 'x'), 1), 2);
    d.publish(message("c"), 3);
    d.publish(message("d"), 4);
    const std::string large(6 * small, 'x'); // no dropping makes room for it
    CHECK(d.try_publish(message("e", large), 5) == errc::queue_full);
    d.events({});
    const std::string huge(11 * small, 'x');
    CHECK(d.try_publish(message("e", huge), 5) == errc::queue_full);
    d.events({});
    const std::string middle(3 * small, 'x'); // two have to go
    d.publish(message("e", middle), 6);
    d.events({done(1, dropped), done(3, dropped)});
    CHECK(d.session.counters().messages_dropped == 2);
}

DIALOG("a full queue: drop the newest") {
    by_count_and_bytes(d, full_queue_action::drop_newest, [](dialog& one) {
        one.publish(message("e", "x", 1), 5);
        one.events({done(5, dropped)});
        one.publish(message("f"), 6);
        one.events({done(6, dropped)});
        one.publish(message("g")); // without a word
        one.events({});
        CHECK(one.session.counters().messages_dropped == 3);
        one.reopen();
        one.sends(publish_of("a", 0, 0), publish_of("b", 1, 1), publish_of("c", 0, 0), publish_of("d", 2, 2));
    });
}

DIALOG("a queue without any room: what can be sent at once still is") {
    for (const bool by_bytes : {false, true}) {
        dialog one(d);
        one.resumable();
        one.options.max_in_flight = 1;
        (by_bytes ? one.options.queue.bytes : one.options.queue.messages) = 0;
        one.open();
        one.publish(message("a", "x", 1), 1);
        one.publish(message("b"), 2);
        one.sends(publish_of("a", 1, 1), publish_of("b", 0, 0));
        CHECK(one.try_publish(message("c", "x", 1), 3) == errc::queue_full); // behind the window
        one.broker(tern::puback{1});
        one.publish(message("c", "x", 1), 3);
        one.publish(message("d"), 4);
        one.events({done(2), done(1)});
        one.lost();
        CHECK(one.try_publish(message("e"), 5) == errc::queue_full);
        one.reopen(); // what had been accepted is not lost
        one.sends(publish_of("c", 1, 3), publish_of("d", 0, 0));
    }
}

DIALOG("a slow connection fills the queue, too") {
    if (d.writes_bytes()) return; // half a megabyte
    d.options.queue.messages = 2;
    d.options.ack_timeout = 0s;
    d.open();
    const std::string large(300'000, 'x'); // more than may lie ready to be written
    d.publish(message("a", large), 1);
    d.publish(message("b"), 2);
    d.publish(message("c", "x", 1), 3);
    CHECK(d.try_publish(message("d"), 4) == errc::queue_full);
    CHECK(d.session.counters().queued == 2);
    const std::size_t size = d.encoded(publish{message("a", large)}).size();
    CHECK(d.written(size).size() == size);
    CHECK(d.session.counters().queued == 0);
    d.sends(publish_of("b", 0, 0), publish_of("c", 1, 1));
    d.events({done(1), done(2)});
}

DIALOG("expired messages make room") {
    d.resumable();
    d.options.queue.messages = 1;
    d.open();
    d.pass(1s);
    d.lost();
    CHECK(d.try_publish(message("a"), 1s, 1) == errc::none);
    CHECK(d.try_publish(message("b"), 2) == errc::queue_full);
    d.pass(1s);
    d.publish(message("b"), 2);
    d.events({done(1, tern::misuse(errc::message_expired))});
}
