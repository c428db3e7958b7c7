// The memory use of a session, and the moments at which it allocates.
#include "catch.hpp"
#include "memory_client.hpp"
#include "support/heap.hpp"

#include <chrono>
#include <string>

namespace {

using namespace std::chrono_literals;
using tern::protocol_version;

using client = memory_client;

// Runs `round` many times, then as many times again without an allocation.
template <class Round>
void check_steady(Round round, int rounds = 2000) {
    for (int i = 0; i != rounds; ++i)
        round();
    const std::size_t before = heap::allocations();
    for (int i = 0; i != rounds; ++i)
        round();
    CHECK(heap::allocations() - before == 0);
}

// A client whose deadlines come while allocations fail. Its owner closes the connection when the session throws.
struct late_client : session_driver {
    explicit late_client(tern::connect_options o) : options(o) {
        options.client_id = "a client whose name needs memory";
        options.clean_start = false;
        if (options.version == protocol_version::v5) options.properties.session_expiry_interval = 3600s;
    }

    void connect() {
        REQUIRE(session.connect(options, now) == tern::errc::none);
        serve();
        REQUIRE(session.is_connected());
    }
    void publish(unsigned qos, std::chrono::milliseconds time_to_live = {}) {
        const tern::message_view m{.topic = "a/topic", .payload = "payload", .qos = static_cast<tern::qos>(qos)};
        REQUIRE(session.publish(m, {.time_to_live = time_to_live}, tern::op_id{++accepted}, now) == tern::errc::none);
    }
    void operator()(const tern::event& e) {
        const auto* const done = std::get_if<tern::completed>(&e);
        if (!done) return;
        ++completed;
        expired += done->error == tern::errc::message_expired ? 1 : 0;
    }
    void lose() {
        const auto report = [&] { session.on_disconnected(std::make_error_code(std::errc::not_enough_memory), now); };
        try {
            report();
        } catch (const std::bad_alloc&) {
            report();
        }
        poll(*this);
    }
    // Opens, writes and closes as the session requests. A reachable broker accepts each connection, and answers nothing
    // else.
    void serve() {
        for (poll(*this);;) {
            std::string bytes;
            while (write_to(bytes, *this) != 0) {
            }
            const tern::transport_action next = session.pending_action();
            if (next == tern::transport_action::none) return;
            if (next == tern::transport_action::prepare) session.on_prepared(now);
            if (next == tern::transport_action::close || !is_reachable) {
                lose();
            } else if (next == tern::transport_action::open) {
                session.on_opened(now);
                write_to(bytes, *this);
                bytes.clear();
                put(bytes, tern::connack{.session_present = connections++ != 0}, options.version);
                read(bytes, *this);
            }
        }
    }
    // Advances the time to the next deadline. The `nth` allocation then fails. Returns whether one failed.
    bool pass_deadline(std::size_t nth) {
        now = session.next_deadline();
        REQUIRE(now != tern::time_point::max());
        bool failed = false;
        heap::fail(nth, 1);
        try {
            session.on_deadline(now);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        heap::stop_failing();
        if (failed && session.is_connected()) lose();
        serve();
        return failed;
    }
    void pass(std::chrono::milliseconds time) {
        const auto end = now + time;
        while (session.next_deadline() <= end) {
            now = std::max(now, session.next_deadline());
            session.on_deadline(now);
            serve();
        }
        now = end;
    }

    tern::connect_options options;
    bool is_reachable = true;
    std::uint64_t accepted = 0;
    std::size_t completed = 0, expired = 0, connections = 0;
};

// For each allocation that a deadline makes: prepares a client, lets the allocation fail, and checks the client.
template <class Prepare, class Check>
void each_failure_at_a_deadline(Prepare prepare, Check check, std::size_t at_least = 1) {
    std::size_t nth = 1;
    for (bool failed = true; failed; ++nth) {
        CAPTURE(nth);
        REQUIRE(nth < 100);
        late_client c = prepare();
        failed = c.pass_deadline(nth);
        check(c);
    }
    CHECK(nth - 1 > at_least); // the deadline does allocate
}

} // namespace

TEST_CASE("a ping completes once, even if PINGRESP is unread and allocation fails when the connection ends") {
    for (std::size_t allowed = 0;; ++allowed) {
        CAPTURE(allowed);
        REQUIRE(allowed < 100);
        client c(protocol_version::v5);
        c.write();
        REQUIRE(c.session.ping(tern::op_id{1}, c.now) == tern::errc::none);
        c.write();
        c.bytes.clear();
        put(c.bytes, tern::pingresp{}, c.version);
        c.bytes.copy(c.session.prepare_read().data(), c.bytes.size());
        c.session.commit_read(c.bytes.size(), c.now);
        const auto lose = [&] { c.session.on_disconnected(std::make_error_code(std::errc::connection_reset), c.now); };
        bool again = false;
        heap::fail(allowed + 1);
        try {
            lose();
        } catch (const std::bad_alloc&) {
            again = true;
        }
        heap::stop_failing();
        for (int i = 0; i != 10; ++i)
            if (const auto e = c.session.poll_event()) c(*e);
        if (again) lose();
        for (int i = 0; i != 10; ++i)
            if (const auto e = c.session.poll_event()) c(*e);
        CHECK(c.completed == 1);
        if (!again) break;
    }
}

TEST_CASE("messages expire although an allocation fails when their time to live is over") {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    const auto publish_all = [](late_client& c) {
        for (unsigned i = 0; i != 40; ++i)
            c.publish(i % 3, i % 4 == 3 ? 3s : 1s);
    };
    const auto all_expire = [](late_client& c) {
        CHECK(c.session.next_deadline() != tern::time_point::max());
        c.pass(4s);
        CHECK(c.expired == 40);
        CHECK(c.completed == 40);
        CHECK(c.session.counters().queued == 0);
        CHECK(c.session.counters().queued_bytes == 0);
    };
    SECTION("before the first connection") {
        each_failure_at_a_deadline(
            [&] {
                late_client c({.version = version});
                publish_all(c);
                return c;
            },
            all_expire);
    }
    SECTION("while the client waits for its next attempt") {
        each_failure_at_a_deadline(
            [&] {
                late_client c({.version = version, .reconnect = {.first_delay = 60s}});
                c.connect();
                c.is_reachable = false;
                c.lose();
                c.serve();
                publish_all(c);
                return c;
            },
            all_expire);
    }
    SECTION("behind a full window") {
        each_failure_at_a_deadline(
            [&] {
                late_client c({.version = version, .keep_alive = 0s, .max_in_flight = std::uint16_t{1}});
                c.connect();
                c.publish(1);
                c.accepted = 100;
                for (unsigned i = 0; i != 40; ++i)
                    c.publish(1 + i % 2, i % 4 == 3 ? 3s : 1s);
                return c;
            },
            all_expire);
    }
}

TEST_CASE("the client stays alive although an allocation fails at a deadline") {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    SECTION("when PINGREQ is due") {
        each_failure_at_a_deadline(
            [&] {
                late_client c({.version = version, .keep_alive = 10s});
                c.connect();
                return c;
            },
            [](late_client& c) {
                CHECK(c.session.is_connected());
                CHECK(c.session.next_deadline() <= c.now + 10s);
            });
    }
    SECTION("when acknowledgements are late") {
        each_failure_at_a_deadline(
            [&] {
                late_client c(
                    {.version = version, .keep_alive = 0s, .ack_timeout = 5s, .max_in_flight = std::uint16_t{100}});
                c.connect();
                for (unsigned i = 0; i != 100; ++i) {
                    c.publish(1 + i % 2);
                    c.serve();
                }
                c.pass(5s); // the bytes of the messages may take a little longer
                return c;
            },
            [](late_client& c) {
                CHECK(c.session.is_connected());
                CHECK(c.session.counters().in_flight == 100);
                CHECK(c.session.next_deadline() != tern::time_point::max());
                CHECK(c.completed == 0);
            });
    }
    SECTION("when the wait for the next attempt is over") {
        each_failure_at_a_deadline(
            [&] {
                late_client c({.version = version});
                c.connect();
                c.is_reachable = false;
                c.lose();
                c.serve();
                c.is_reachable = true;
                c.publish(1);
                return c;
            },
            [](late_client& c) {
                c.pass(2s);
                CHECK(c.session.is_connected());
                CHECK(c.session.counters().in_flight == 1);
            });
    }
}

TEST_CASE("a DISCONNECT whose allocation fails loses no acknowledgement") {
    const auto qos = static_cast<unsigned>(GENERATE(1, 2));
    for (std::size_t allowed = 0;; ++allowed) {
        CAPTURE(qos, allowed);
        REQUIRE(allowed < 100);
        client c(protocol_version::v5);
        c.write();
        for (tern::packet_id id = 1; id <= 40; ++id)
            c.receive(qos, id);
        c.release_all();
        bool refused = false;
        heap::fail(allowed + 1);
        try {
            (void)c.session.disconnect({}, c.now);
        } catch (const std::bad_alloc&) {
            refused = true;
        }
        heap::stop_failing();
        CHECK(c.session.is_connected() == refused);
        (void)c.session.poll_event();
        c.write();
        std::string expected;
        for (tern::packet_id id = 1; id <= 40; ++id)
            qos == 1 ? put(expected, tern::puback{id}, c.version) : put(expected, tern::pubrec{id}, c.version);
        if (!refused) put(expected, tern::disconnect{}, c.version);
        REQUIRE(c.wire == expected);
        if (!refused) break;
    }
}

TEST_CASE("publishing and receiving allocate nothing in the steady state") {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    const auto qos = static_cast<unsigned>(GENERATE(0, 1, 2));
    const auto batch = GENERATE(1, 3, 100);
    const std::string payload(static_cast<std::size_t>(GENERATE(10, 3000)), 'x');
    CAPTURE(static_cast<int>(version), qos, batch, payload.size());
    const int rounds = batch == 100 ? 100 : 1000;

    SECTION("publish") {
        client c(version);
        check_steady(
            [&] {
                c.now += 1ms;
                for (int i = 0; i != batch; ++i)
                    c.publish(qos, payload);
                c.settle();
            },
            rounds);
    }
    SECTION("publish through a small window") {
        client c(version, 2);
        check_steady(
            [&] {
                c.now += 1ms;
                for (int i = 0; i != batch; ++i)
                    c.publish(qos, payload);
                c.settle();
            },
            rounds);
    }
    SECTION("while one message is never acknowledged") {
        client c(version);
        c.publish(1);
        c.write();
        check_steady(
            [&] {
                for (int i = 0; i != batch; ++i)
                    c.publish(qos, payload);
                c.settle();
            },
            rounds);
    }
    SECTION("receive") {
        client c(version);
        check_steady(
            [&] {
                c.now += 1ms;
                for (int i = 0; i != batch; ++i)
                    c.receive(qos, static_cast<tern::packet_id>(i + 1), payload);
                c.release_all();
                c.write();
                for (int i = 0; qos == 2 && i != batch; ++i)
                    c.answer(tern::pubrel{static_cast<tern::packet_id>(i + 1)});
                c.write();
            },
            rounds);
    }
    SECTION("after a burst") {
        client c(version);
        for (int i = 0; i != 2000; ++i)
            c.publish(qos, payload);
        c.settle();
        check_steady(
            [&] {
                for (int i = 0; i != batch; ++i)
                    c.publish(qos, payload);
                c.settle();
            },
            rounds);
    }
}

TEST_CASE("pings and subscriptions allocate nothing in the steady state") {
    client c(protocol_version::v5);
    const tern::subscription s{.filter = "a/+"};
    check_steady([&] {
        c.now += 1s;
        REQUIRE(c.session.ping(tern::op_id{1}, c.now) == tern::errc::none);
        REQUIRE(c.session.subscribe(std::span(&s, 1), {}, tern::op_id{2}, c.now) == tern::errc::none);
        c.settle();
    });
}

TEST_CASE("a session releases the memory of a burst") {
    const auto qos = static_cast<unsigned>(GENERATE(0, 1, 2));
    client c(protocol_version::v5, 100);
    const std::string payload(1000, 'x');
    for (int i = 0; i != 10'000; ++i)
        c.publish(qos, payload);
    CHECK(heap::live_bytes() > 10'000'000);
    c.settle();
    CHECK(c.completed == 10'000);
    c.wire = c.bytes = c.replies = {};
    c.wire.shrink_to_fit();
    c.replies.shrink_to_fit();
    CHECK(heap::live_bytes() < 3'000'000);
}

TEST_CASE("an incomplete packet takes no more memory than its received bytes") {
    for (const std::size_t sent : {100U, 10'000U, 1'000'000U}) {
        client c(protocol_version::v5);
        heap::reset_peak();
        const std::size_t before = heap::live_bytes();
        std::string claim{'\x30', '\xff', '\xff', '\xff', '\x7f', '\0', '\1', 'a', '\0'}; // 256 MB
        c.read(claim, c);
        const std::string some(1000, 'x');
        for (std::size_t i = 0; i < sent; i += some.size())
            c.read(some, c);
        CHECK(heap::peak_bytes() - before < 4 * sent + 10'000);
        CHECK(c.session.is_connected());
    }
}

TEST_CASE("endless repetitions of one QoS 2 message take no memory [CVE-2023-28366]") {
    const auto released = GENERATE(false, true);
    client c(protocol_version::v5);
    c.receive(2, 7);
    if (released) c.release_all();
    c.receive(2, 8); // never released, so that PUBREC 7 must wait if it is due again
    c.write();
    c.receive(2, 7);
    const std::size_t before = heap::live_bytes();
    for (int i = 0; i != 20'000; ++i)
        c.receive(2, 7);
    CHECK(heap::live_bytes() <= before + 1000);
    c.write();
    CHECK(c.wire.empty());
}

TEST_CASE("an idle session takes little memory") {
    CHECK(sizeof(tern::session) <= 1280);
    const std::size_t before = heap::live_bytes();
    const client c(protocol_version::v5);
    CHECK(heap::live_bytes() - before <= 16 * 1024 + 8000); // of which the tokens of this test take 8,000
}
