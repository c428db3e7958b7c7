// Bounds that do not depend on the owner: the memory of a session, and the time for which a connection may stall.
#include "dialog.hpp"
#include "inspector.hpp"

#include <chrono>
#include <string>

using tern::connack;
using tern::errc;

DIALOG("queued messages do not keep the memory of dropped ones") {
    d.options.queue = {.messages = 1'000, .bytes = 100'000, .when_full = tern::full_queue_action::drop_oldest_qos_0};
    d.options.reconnect.enabled = true;
    CHECK(d.try_connect() == errc::none);
    const std::string large(20'000, 'x');
    for (int i = 0; i != 300; ++i) { // small messages, which stay, between large ones, which are dropped
        d.publish(message("a", large));
        d.publish(message("b", "x", 1));
    }
    CHECK(d.session.counters().queued_bytes <= 100'000);
    CHECK(tern::detail::session_inspector::memory_of_packets(d.session) < 2'500'000);
    d.attempt();
    d.broker(connack{});
    const std::string wire = d.written();
    CHECK(wire.find(large) != std::string::npos);
    CHECK(d.session.counters().in_flight == 20 + (d.v5() ? 280 : 0)); // the size of the window
}

DIALOG("unacknowledged messages are limited in bytes, too") {
    if (d.writes_bytes()) return; // too many
    d.options.queue = {.messages = 10, .bytes = 1'000'000};
    d.options.max_in_flight = 1'000;
    d.open();
    const std::string large(100'000, 'x');
    unsigned accepted = 0;
    while (d.try_publish(message("a", large, 1), accepted + 1) == errc::none) {
        ++accepted;
        (void)d.written();
        REQUIRE(accepted < 100);
    }
    CHECK(d.session.counters().in_flight <= 10);
    CHECK(d.session.counters().queued <= 10);
    for (tern::packet_id id = 1; id <= accepted; ++id) { // the broker acknowledges all
        d.broker(tern::puback{id});
        (void)d.written();
    }
    CHECK(d.session.counters().in_flight == 0);
    CHECK(d.session.counters().queued == 0);
}

DIALOG("a stalled write times out also while the owner does not read [§3.1.2.10]") {
    d.options.keep_alive = 10s;
    d.options.ack_timeout = 0s;
    d.open();
    d.session.set_delivery(tern::delivery::limited, d.now);
    d.publish(message("a", std::string(1'000, 'x'), 1), 1);
    if (!d.writes_bytes()) (void)d.written(100); // the rest stalls
    d.pass(16s);                                 // one and a half keep alives, and a second
    CHECK(d.wants_close());
    d.closes();
    d.events(
        {d.writes_bytes() ? done(1, errc::ping_timeout) : unknown(1, errc::ping_timeout), over(errc::ping_timeout)});
}

DIALOG("silence does not time out while the owner does not read but can write") {
    d.options.keep_alive = 10s;
    d.open();
    d.session.set_delivery(tern::delivery::limited, d.now);
    for (int i = 0; i != 100; ++i) {
        d.pass(7'500ms);
        d.sends(tern::pingreq{});
    }
    d.stays();
    d.session.set_delivery(tern::delivery::open, d.now);
    d.pass(21s);
    CHECK(d.wants_close()); // silence counts again
}

DIALOG("in an assumed session the first packet identifier is random [v5:MQTT-4.3.3-10]") {
    d.options.clean_start = false;
    d.options.assume_session = true;
    if (d.v5()) d.options.properties.session_expiry_interval = std::chrono::seconds{100};
    d.open(connack{.session_present = true});
    d.publish(message("a", "x", 2), 1);
    const std::string wire = d.written();
    const auto found = tern::decode<tern::publish>(tern::next_frame(wire)->frame, d.version);
    REQUIRE(found);
    CHECK(found->packet_id != 1);
}

DIALOG("a message that expires during an outage is not published again") {
    d.options.reconnect.enabled = true;
    d.open();
    const tern::publish_options brief{.time_to_live = 5s};
    CHECK(d.session.publish(message("a", "x", 1), brief, tern::op_id{1}, d.now) == errc::none);
    d.publish(message("b", "x", 1), 2);
    d.sends(publish_of("a", 1, 1), publish_of("b", 1, 2));
    d.pass(6s);
    d.lost();
    d.attempt();
    d.broker(connack{});
    d.events({"connected", unknown(1, errc::message_expired)});
    d.sends(publish_of("b", 1, 2));
}

TEST_CASE("The cause of a connection's end is classified") {
    using enum tern::connection_end;
    CHECK(tern::end_of({}) == user);
    CHECK(tern::end_of(tern::misuse(errc::disconnected)) == user);
    CHECK(tern::end_of(std::make_error_code(std::errc::operation_canceled)) == user);
#if !defined(_WIN32)                            // where the value differs
    static const struct : std::error_category { // as that of Asio 1.22, which does not compare with std::errc
        const char* name() const noexcept override { return "asio.system"; }
        std::string message(int) const override { return {}; }
        bool equivalent(int, const std::error_condition&) const noexcept override { return false; }
    } old_asio;
    CHECK(tern::end_of({static_cast<int>(std::errc::operation_canceled), old_asio}) == user);
    CHECK(tern::end_of({static_cast<int>(std::errc::connection_reset), old_asio}) == transport);
#endif
    CHECK(tern::end_of(tern::make_error_code(tern::reason_code::server_busy)) == broker);
    CHECK(tern::end_of(tern::violation(errc::closed_by_peer)) == broker);
    CHECK(tern::end_of(tern::violation(errc::ping_timeout)) == timeout);
    CHECK(tern::end_of(tern::violation(errc::malformed_utf8)) == violation);
    CHECK(tern::end_of(std::make_error_code(std::errc::connection_reset)) == transport);
}
