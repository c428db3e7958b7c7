// A broker that refuses requests by closing the connection, and clients that find out which.
#include "dialog.hpp"
#include "subscribing.hpp"

#include <string>
#include <vector>

using tern::connack;
using tern::errc;
using tern::reason_code;

namespace careful {

const connack present{.session_present = true};

// A session that is kept, with careful mode.
void open(dialog& d) {
    d.resumable();
    d.options.refusal_limit = 3;
    d.options.keep_alive = 1h;
    d.open();
}

// The peer closes the connection, and the session connects again.
void cut(dialog& d, const connack& answer = present, const std::vector<std::string>& events_after = {}) {
    (void)d.written();
    d.pass(10ms);
    d.lost();
    d.reopen(answer, events_after);
}

// The last attempt at a request is due: the connection holds for a second.
void control(dialog& d) {
    d.sends(tern::pingreq{});
    d.broker(tern::pingresp{});
    d.pass(999ms);
    d.sends();
    d.pass(1ms);
}

// Two connections end with a request unanswered. The third begins carefully.
void two_cuts(dialog& d, const connack& answer = present) {
    cut(d, answer);
    cut(d, answer);
}

// Messages 1, 2, ... to "t1", "t2", ...
std::vector<std::string> topics(unsigned count) {
    std::vector<std::string> all;
    for (unsigned i = 1; i <= count; ++i)
        all.push_back("t" + std::to_string(i));
    return all;
}

// The filters of the SUBSCRIBEs that were written, "a b" for each. The broker grants those with only good filters.
std::vector<std::string> subscribes(dialog& d) {
    const std::string written = d.written();
    std::vector<std::string> all;
    for (std::string_view rest = written; !rest.empty();) {
        const auto frame = tern::next_frame(rest)->frame;
        rest.remove_prefix(tern::next_frame(rest)->size);
        const auto packet = tern::decode<tern::subscribe>(frame, d.version);
        if (!packet) continue;
        std::string& filters = all.emplace_back();
        for (const tern::subscription& s : packet->subscriptions)
            filters += (filters.empty() ? "" : " ") + std::string(s.filter);
        if (filters.find("bad") == std::string::npos)
            d.broker(suback_of(packet->packet_id, std::vector<reason_code>(packet->subscriptions.size())));
    }
    return all;
}

} // namespace careful

DIALOG("after two connections that the peer ended, requests are sent again one, two and four at a time") {
    careful::open(d);
    const auto t = careful::topics(8);
    for (unsigned i = 1; i <= 8; ++i)
        d.publish(message(t[i - 1], "x", i == 2 ? 2 : 1), i);
    careful::two_cuts(d);
    d.sends(publish_of("t1", 1, 1, true));
    d.broker(tern::puback{1});
    d.events({done(1)});
    d.sends(publish_of("t2", 2, 2, true), publish_of("t3", 1, 3, true));
    d.broker(tern::puback{3});
    d.events({done(3)});
    d.sends(); // the batch is not answered
    d.broker(tern::pubrec{2});
    d.sends(tern::pubrel{2}, publish_of("t4", 1, 4, true), publish_of("t5", 1, 5, true), publish_of("t6", 1, 6, true),
            publish_of("t7", 1, 7, true));
    for (tern::packet_id id = 4; id != 8; ++id)
        d.broker(tern::puback{id});
    d.events({done(4), done(5), done(6), done(7)});
    d.sends(publish_of("t8", 1, 8, true));
    d.broker(tern::puback{8}, tern::pubcomp{2});
    d.events({done(8), done(2)});
    d.pass(30s);
    for (unsigned i = 1; i <= 3; ++i) // the mode has ended
        d.publish(message("u", "x", 1), 10 + i);
    d.sends(publish_of("u", 1, 9), publish_of("u", 1, 10), publish_of("u", 1, 11));
}

DIALOG("a message that the peer answers by closing is abandoned, and those behind it pass") {
    careful::open(d);
    d.publish(message("bad", "x", 1), 1);
    d.publish(message("good", "x", 1), 2);
    careful::two_cuts(d);
    d.sends(publish_of("bad", 1, 1, true));
    careful::cut(d);
    d.sends(publish_of("bad", 1, 1, true));
    careful::cut(d);
    d.publish(message("bad", "x", 1), 3);
    d.publish(message("good", "x", 1), 4);
    careful::control(d);
    d.sends(publish_of("bad", 1, 1, true));
    careful::cut(d, careful::present,
                 {unknown(1, errc::refused_by_closing), done(3, tern::misuse(errc::refused_by_closing))});
    d.sends(publish_of("good", 1, 2, true));
    d.broker(tern::puback{2});
    d.events({done(2)});
    d.sends(publish_of("good", 1, 3));
    d.broker(tern::puback{3});
    d.events({done(4)});
    CHECK(d.try_publish(message("bad", "x", 0)) == errc::refused_by_closing);
    d.pass(30s); // the mode ends
    d.publish(message("good", "x", 1), 5);
    d.publish(message("good", "x", 1), 6);
    d.sends(publish_of("good", 1, 4), publish_of("good", 1, 5));
    careful::cut(d); // the identifier of the message stays taken, and it is not sent again
    d.sends(publish_of("good", 1, 4, true), publish_of("good", 1, 5, true));
}

DIALOG("a message at fault is abandoned when it was cancelled, too, and stays so when the program connects again") {
    careful::open(d);
    d.publish(message("bad", "x", 1), 1);
    (void)d.written();
    CHECK_FALSE(d.cancel(1));
    careful::two_cuts(d);
    for (int i = 0; i != 2; ++i)
        careful::cut(d);
    careful::control(d);
    careful::cut(d, careful::present, {unknown(1, errc::refused_by_closing)});
    d.disconnect();
    (void)d.written();
    d.closes();
    d.events_so_far();
    d.start();
    d.broker(careful::present);
    d.events_so_far();
    d.sends(); // the session is kept, and the message not sent again
    CHECK(d.try_publish(message("bad", "x", 1)) == errc::refused_by_closing);
    d.publish(message("good", "x", 1), 2);
    d.sends(publish_of("good", 1, 2));
}

DIALOG("a program that connects with refusal_limit 0 may publish what was refused before") {
    careful::open(d);
    d.publish(message("bad", "x", 1), 1);
    (void)d.written();
    careful::two_cuts(d);
    for (int i = 0; i != 2; ++i)
        careful::cut(d);
    careful::control(d);
    careful::cut(d, careful::present, {unknown(1, errc::refused_by_closing)});
    CHECK(d.try_publish(message("bad", "x", 1)) == errc::refused_by_closing);
    d.disconnect();
    (void)d.written();
    d.closes();
    d.events_so_far();
    d.options.refusal_limit = 0;
    d.start();
    d.broker(careful::present);
    d.events_so_far();
    d.sends();
    d.publish(message("bad", "x", 1), 2);
    d.sends(publish_of("bad", 1, 2));
}

DIALOG("if the peer ends connections without the message too, nothing is abandoned") {
    careful::open(d);
    d.publish(message("t", "x", 1), 1);
    careful::two_cuts(d);
    for (int round = 0; round != 5; ++round) {
        for (int i = 0; i != 2; ++i) {
            d.sends(publish_of("t", 1, 1, true));
            careful::cut(d);
        }
        d.sends(tern::pingreq{});
        careful::cut(d);
    }
    d.sends(publish_of("t", 1, 1, true));
    d.broker(tern::puback{1});
    d.events({done(1)});
}

DIALOG("a message that is answered at the last attempt is not abandoned") {
    careful::open(d);
    d.publish(message("t", "x", 1), 1);
    careful::two_cuts(d);
    for (int i = 0; i != 2; ++i)
        careful::cut(d);
    careful::control(d);
    d.sends(publish_of("t", 1, 1, true));
    d.broker(tern::puback{1});
    d.events({done(1)});
    d.publish(message("t", "x", 1), 2);
    d.sends(publish_of("t", 1, 2));
}

DIALOG("before the last attempt the connection holds three times as long as those that ended, and answers PINGREQ") {
    careful::open(d);
    d.publish(message("t", "x", 1), 1);
    careful::two_cuts(d);
    for (int i = 0; i != 2; ++i) {
        d.pass(4s);
        careful::cut(d);
    }
    d.sends(tern::pingreq{});
    d.pass(13s);
    d.sends();
    d.broker(tern::pingresp{});
    d.pass(1s);
    d.sends(publish_of("t", 1, 1, true));
}

DIALOG("in careful mode PINGREQ follows QoS 0, which is not answered") {
    careful::open(d);
    for (const unsigned op : {1U, 2U}) {
        d.publish(message("bad"), op);
        (void)d.written();
        d.events({done(op)});
        careful::cut(d);
    }
    for (const unsigned op : {3U, 4U}) {
        d.publish(message("bad"), op);
        d.publish(message("good"), 10);
        d.sends(publish_of("bad", 0, 0), tern::pingreq{});
        d.events({done(op)});
        CHECK(d.cancel(10));
        careful::cut(d);
    }
    d.publish(message("bad"), 5);
    careful::control(d);
    d.sends(publish_of("bad", 0, 0), tern::pingreq{});
    d.events({done(5)});
    d.publish(message("good"), 6);
    d.publish(message("bad"), 7);
    careful::cut(d, careful::present, {done(7, tern::misuse(errc::refused_by_closing))});
    d.sends(publish_of("good", 0, 0), tern::pingreq{});
    d.events({done(6)});
    d.publish(message("good"), 8);
    d.publish(message("good"), 9);
    d.broker(tern::pingresp{});
    d.sends(publish_of("good", 0, 0), publish_of("good", 0, 0), tern::pingreq{});
    d.broker(tern::pingresp{});
    d.events({done(8), done(9)});
    d.pass(30s);
    d.publish(message("good"), 11);
    d.sends(publish_of("good", 0, 0)); // without PINGREQ: the mode has ended
}

DIALOG("a topic that was refused is tried again after ten minutes, alone") {
    careful::open(d);
    d.publish(message("bad", "x", 1), 1);
    careful::two_cuts(d);
    for (int i = 0; i != 2; ++i)
        careful::cut(d);
    careful::control(d);
    careful::cut(d, careful::present, {unknown(1, errc::refused_by_closing)});
    d.pass(9min + 59s);
    CHECK(d.try_publish(message("bad", "x", 1)) == errc::refused_by_closing);
    d.pass(1s);
    d.publish(message("good", "x", 1), 2);
    d.publish(message("bad", "x", 1), 3);
    d.publish(message("good", "x", 1), 4);
    d.sends(publish_of("good", 1, 2));
    d.broker(tern::puback{2});
    d.events({done(2)});
    d.sends(publish_of("bad", 1, 3));
    careful::cut(d, careful::present, {unknown(3, errc::refused_by_closing)}); // once is enough
    d.sends(publish_of("good", 1, 4));
    d.broker(tern::puback{4});
    d.events({done(4)});
    CHECK(d.try_publish(message("bad", "x", 1)) == errc::refused_by_closing);
    d.pass(10min);
    d.publish(message("bad", "x", 1), 5);
    d.sends(publish_of("bad", 1, 5));
    d.broker(tern::puback{5}); // the broker accepts it now
    d.events({done(5)});
    d.publish(message("bad", "x", 1), 6);
    d.publish(message("bad", "x", 1), 7);
    d.sends(publish_of("bad", 1, 6), publish_of("bad", 1, 7));
}

DIALOG("a filter that the peer answers by closing costs the others nothing, and is tried alone in each new session") {
    using list = std::vector<std::string>;
    careful::open(d);
    REQUIRE(d.try_subscribe({{.filter = "a"}, {.filter = "bad"}, {.filter = "c"}}) == errc::none);
    (void)d.written();
    d.broker(suback_of(1, {yes, yes, yes}));
    careful::cut(d, {}); // the broker has other rules now
    CHECK(careful::subscribes(d) == list{"a bad c"});
    careful::cut(d, {});
    CHECK(careful::subscribes(d) == list{"a bad c"});
    careful::cut(d, {});
    CHECK(careful::subscribes(d) == list{"a"});
    CHECK(careful::subscribes(d) == list{"bad", "c"});
    for (int i = 0; i != 2; ++i) {
        careful::cut(d);
        CHECK(careful::subscribes(d) == list{"bad"});
    }
    const std::vector<std::string> refused_bad{"refused bad: " + text(tern::outcome_unknown(errc::refused_by_closing))};
    careful::cut(d);
    careful::control(d);
    CHECK(careful::subscribes(d) == list{"bad"});
    careful::cut(d, careful::present, refused_bad);
    CHECK(careful::subscribes(d).empty());

    for (int i = 0; i != 2; ++i) {
        d.pass(1min);
        d.lost();
        d.reopen({});
        CHECK(careful::subscribes(d) == list{"a"});
        CHECK(careful::subscribes(d) == list{"c"});
        careful::control(d);
        CHECK(careful::subscribes(d) == list{"bad"});
        careful::cut(d, careful::present, refused_bad);
        CHECK(careful::subscribes(d).empty());
    }
    d.pass(1min);
    d.lost();
    d.reopen({});
    CHECK(careful::subscribes(d) == list{"a"});
    CHECK(careful::subscribes(d) == list{"c"});
}

DIALOG("a SUBSCRIBE that the peer answers by closing is abandoned") {
    careful::open(d);
    d.subscribe({{.filter = "bad"}, {.filter = "b"}}, 1);
    d.publish(message("t", "x", 1), 2);
    careful::two_cuts(d);
    for (int i = 0; i != 2; ++i) {
        d.sends(subscribe_of({{.filter = "bad"}, {.filter = "b"}}, 1));
        careful::cut(d);
    }
    careful::control(d);
    d.sends(subscribe_of({{.filter = "bad"}, {.filter = "b"}}, 1));
    careful::cut(d, careful::present, {unknown(1, errc::refused_by_closing)});
    d.subscribe({{.filter = "c"}}, 3);
    CHECK(careful::subscribes(d).empty()); // first UNSUBSCRIBE for what the broker may have
}

DIALOG("only connections that the peer ended soon, with a request unanswered, lead to careful mode") {
    const auto other_end = [](dialog& one, unsigned kind) {
        switch (kind) {
        case 0: return one.lost(std::make_error_code(std::errc::timed_out));
        case 1: return one.lost(std::make_error_code(std::errc::network_unreachable));
        case 2: one.pass(31s); return one.lost();
        case 3:
            if (one.v5()) one.broker(tern::disconnect{.reason_code = reason_code::server_busy});
            return one.lost(std::make_error_code(std::errc::timed_out));
        default: one.broker(tern::puback{1}, tern::puback{2}); return one.lost();
        }
    };
    for (unsigned kind = 0; kind != 5; ++kind) {
        dialog one(d);
        careful::open(one);
        one.options.ack_timeout = 1h;
        one.publish(message("t", "x", 1), 1);
        one.publish(message("t", "x", 1), 2);
        careful::cut(one);
        (void)one.written();
        other_end(one, kind);
        one.events_so_far();
        one.reopen();
        if (kind != 4) one.sends(publish_of("t", 1, 1, true), publish_of("t", 1, 2, true));
        one.publish(message("t", "x", 1), 3);
        one.publish(message("t", "x", 1), 4);
        one.sends(publish_of("t", 1, 3), publish_of("t", 1, 4));
    }
}

DIALOG("in careful mode a client that leaves sends only DISCONNECT") {
    careful::open(d);
    d.publish(message("t", "x", 1), 1);
    d.publish(message("t", "x", 1), 2);
    careful::two_cuts(d);
    d.sends(publish_of("t", 1, 1, true));
    d.publish(message("u"), 3);
    d.disconnect();
    d.sends(tern::disconnect{});
}

DIALOG("what waits for its turn can be cancelled, and the rest goes on") {
    careful::open(d);
    d.publish(message("t", "x", 1), 1);
    careful::two_cuts(d);
    d.sends(publish_of("t", 1, 1, true));
    d.publish(message("a", "x", 1), 2);
    d.publish(message("b", "x", 0), 3);
    d.subscribe({{.filter = "c"}}, 4);
    d.publish(message("d", "x", 1), 5);
    CHECK(d.cancel(2));
    CHECK(d.cancel(4));
    d.sends();
    d.broker(tern::puback{1});
    d.events({done(1)});
    d.sends(publish_of("b", 0, 0), publish_of("d", 1, 3), tern::pingreq{});
    d.events({done(3)});
}

DIALOG("the window is respected in careful mode, and PUBREL does not wait [v311:MQTT-4.4.0-1, v5:MQTT-3.3.4-7, "
       "v5:MQTT-4.4.0-1]") {
    careful::open(d);
    d.publish(message("t", "x", 2), 1);
    d.publish(message("t", "x", 1), 2);
    (void)d.written();
    d.broker(tern::pubrec{1});
    const connack one_at_a_time{
        .session_present = true,
        .properties = {.receive_maximum = d.v5() ? std::optional<std::uint16_t>(1) : std::nullopt}};
    careful::two_cuts(d, one_at_a_time);
    if (d.v5()) {
        d.sends(tern::pubrel{1});
        d.broker(tern::pubcomp{1});
        d.events({done(1)});
        d.sends(publish_of("t", 1, 2, true));
    } else {
        d.sends(tern::pubrel{1}, publish_of("t", 1, 2, true));
    }
}

DIALOG("with refusal_limit 0 everything is sent again on each connection [v311:MQTT-4.4.0-1, v5:MQTT-4.4.0-1]") {
    d.resumable();
    d.options.refusal_limit = 0;
    d.open();
    d.publish(message("t", "x", 1), 1);
    d.publish(message("t", "x", 1), 2);
    for (int i = 0; i != 5; ++i) {
        careful::cut(d);
        d.sends(publish_of("t", 1, 1, true), publish_of("t", 1, 2, true));
    }
}
