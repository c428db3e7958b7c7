// A client, a slow link and a broker on virtual time: hours of it. Each scenario states the number of connections, what
// arrives, and when all is well.
#include "catch.hpp"
#include "session_driver.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace {

using namespace std::chrono_literals;
using tern::protocol_version;
using tern::qos;
using milliseconds = std::chrono::milliseconds;

// One direction of a link, which forwards bytes at a rate. What was written and not forwarded lies in `bytes`: in the
// kernel, or in a proxy.
struct pipe {
    std::size_t rate = 100'000'000; // bytes per second
    std::size_t room = 200'000;     // that it takes before it forwards
    std::string bytes = {};
    double credit = 0;

    std::size_t free() const { return bytes.size() >= room ? 0 : room - bytes.size(); }
    std::string forward(milliseconds time) {
        credit = std::min(credit + static_cast<double>(rate) * static_cast<double>(time.count()) / 1000, 1e9);
        const auto count = std::min(bytes.size(), static_cast<std::size_t>(credit));
        credit = bytes.size() == count ? 0 : credit - static_cast<double>(count);
        std::string forwarded = bytes.substr(0, count);
        bytes.erase(0, count);
        return forwarded;
    }
};

class scenario {
public:
    explicit scenario(protocol_version v) : version(v) {
        options.version = v;
        options.client_id = "c";
        options.clean_start = false;
        if (v == protocol_version::v5) options.properties.session_expiry_interval = 1'000'000s;
    }

    void connect() {
        REQUIRE(driver.session.connect(options, driver.now) == tern::errc::none);
        run(1s);
        REQUIRE(driver.session.is_connected());
    }
    unsigned publish(unsigned level, std::size_t size = 10, std::string_view topic = "t") {
        const std::string payload(size, 'x');
        const tern::message_view m{.topic = topic, .payload = payload, .qos = static_cast<qos>(level)};
        const tern::errc error = driver.session.publish(m, tern::op_id{++operations}, driver.now);
        if (error != tern::errc::none) errors[operations] = tern::misuse(error);
        return operations;
    }
    // The broker sends a message that is to be acknowledged.
    void deliver(unsigned level, tern::packet_id id) {
        const tern::message_view m{.topic = "m", .payload = "y", .qos = static_cast<qos>(level)};
        put(to_client, tern::publish{.message = m, .packet_id = id}, version);
    }
    // The same at QoS 0.
    void deliver(std::size_t size) {
        const std::string payload(size, 'y');
        put(to_client, tern::publish{.message = {.topic = "m", .payload = payload}}, version);
    }

    void run(milliseconds time) {
        for (const auto end = driver.now + time; driver.now < end;) {
            driver.now += step;
            if (driver.session.next_deadline() <= driver.now) driver.session.on_deadline(driver.now);
            serve();
        }
    }
    // Runs until all operations have ended. Returns how long that took.
    milliseconds run_until_done(milliseconds longest) {
        const auto begin = driver.now;
        while (done.size() + errors.size() != operations && driver.now - begin < longest)
            run(step);
        return std::chrono::duration_cast<milliseconds>(driver.now - begin);
    }
    // The machine is suspended: nothing runs.
    void suspend(milliseconds time) { driver.now += time; }
    void break_link() {
        if (!is_open) return;
        close();
        driver.session.on_disconnected(std::make_error_code(std::errc::connection_reset), driver.now);
        driver.poll(*this);
    }

    void operator()(const tern::event& e) {
        if (const auto* const c = std::get_if<tern::completed>(&e)) {
            const auto op = static_cast<unsigned>(c->op);
            if (c->error)
                errors[op] = c->error;
            else
                done.insert(op);
        } else if (const auto* const r = std::get_if<tern::received>(&e)) {
            ++received;
            if (is_stuck) driver.session.set_delivery(tern::delivery::full, driver.now);
            driver.session.release(r->token);
        } else if (const auto* const connected = std::get_if<tern::connected>(&e)) {
            if (!connected->error) ++connections;
        }
    }

    static constexpr milliseconds step{100};

    protocol_version version;
    tern::connect_options options;
    session_driver driver;
    pipe up, down;
    bool is_broker_running = true; // stopped: the kernel still takes bytes
    bool is_stuck = false;         // the application takes one message, then none
    bool is_link_dead = false;     // nothing passes, and neither side is informed
    bool keeps_session = true;
    std::size_t acks_per_second = 1'000'000'000;
    std::set<unsigned> unacknowledged = {}; // packet identifiers that are never acknowledged
    std::string forbidden = {};             // a topic: the broker answers it by closing
    milliseconds lifetime{0};               // of a connection, after which the broker dies; 0: without limit

    unsigned operations = 0;
    std::set<unsigned> done;
    std::map<unsigned, std::error_code> errors;
    unsigned connections = 0;
    std::size_t received = 0;
    std::size_t published = 0;    // PUBLISH packets that the broker got
    std::size_t resent = 0;       // of these with DUP
    std::size_t acknowledged = 0; // messages that the broker has sent
    bool has_disconnected = false;

private:
    void serve() {
        driver.poll(*this);
        act();
        write();
        if (!is_link_dead) at_broker += up.forward(step);
        if (is_broker_running) run_broker();
        const bool is_over = lifetime.count() != 0 && is_open && driver.now >= opened_at + lifetime;
        if (is_over || std::exchange(hangs_up, false)) return break_link();
        const std::size_t taken = std::min(to_client.size(), down.free());
        down.bytes.append(to_client, 0, taken);
        to_client.erase(0, taken);
        read();
    }
    void act() {
        switch (driver.session.pending_action()) {
        case tern::transport_action::prepare: driver.session.on_prepared(driver.now); [[fallthrough]];
        case tern::transport_action::open:
            driver.session.on_opened(driver.now);
            is_open = true;
            opened_at = driver.now;
            has_disconnected = false;
            break;
        case tern::transport_action::close:
            if (driver.session.is_disconnect_written() && !up.bytes.empty()) return; // it lingers
            close();
            driver.session.on_disconnected({}, driver.now);
            break;
        case tern::transport_action::none: return;
        }
        driver.poll(*this);
    }
    void write() { (void)driver.write_to(up.bytes, *this, up.free()); }
    void read() {
        if (is_link_dead || !is_open || !driver.session.is_reading()) return;
        driver.read(down.forward(step), *this);
        write();
    }
    void close() {
        is_open = false;
        up.bytes.clear();
        down.bytes.clear();
        at_broker.clear();
        to_client.clear();
        waiting.clear();
    }

    void run_broker() {
        for (;;) {
            const auto found = tern::next_frame(at_broker);
            REQUIRE(found);
            if (!found->complete) break;
            answer(found->frame);
            if (has_disconnected || hangs_up) return;
            at_broker.erase(0, found->size);
        }
        const std::size_t most = acks_per_second / (1'000 / static_cast<std::size_t>(step.count()));
        for (std::size_t i = 0; i <= most && !waiting.empty(); ++i, waiting.pop_front())
            to_client += waiting.front();
    }
    template <class Packet>
    std::string encoded(const Packet& packet) const {
        std::string bytes;
        put(bytes, packet, version);
        return bytes;
    }
    void answer(const tern::frame& frame) {
        switch (frame.type()) {
        case tern::packet_type::connect:
            to_client += encoded(tern::connack{.session_present = has_session && keeps_session});
            has_session = true;
            return;
        case tern::packet_type::publish: {
            const auto p = tern::decode<tern::publish>(frame, version);
            REQUIRE(p);
            hangs_up = p->message.topic == forbidden;
            if (hangs_up) return;
            ++published;
            resent += p->dup ? 1 : 0;
            if (unacknowledged.contains(p->packet_id)) return;
            if (p->message.qos == qos::at_least_once) waiting.push_back(encoded(tern::puback{p->packet_id}));
            if (p->message.qos == qos::exactly_once) waiting.push_back(encoded(tern::pubrec{p->packet_id}));
            return;
        }
        case tern::packet_type::pubrel:
            waiting.push_back(encoded(tern::pubcomp{tern::decode<tern::pubrel>(frame, version)->packet_id}));
            return;
        case tern::packet_type::puback:
        case tern::packet_type::pubcomp: ++acknowledged; return;
        case tern::packet_type::pubrec:
            waiting.push_back(encoded(tern::pubrel{tern::decode<tern::pubrec>(frame, version)->packet_id}));
            return;
        case tern::packet_type::pingreq: to_client += encoded(tern::pingresp{}); return;
        case tern::packet_type::disconnect: has_disconnected = true; return;
        default: return;
        }
    }

    bool is_open = false;
    bool has_session = false;
    bool hangs_up = false;
    tern::time_point opened_at;
    std::string at_broker, to_client;
    std::deque<std::string> waiting; // acknowledgements
};

template <class Test>
void in_both_versions(Test test) {
    for (const protocol_version version : {protocol_version::v3_1_1, protocol_version::v5}) {
        INFO((version == protocol_version::v5 ? "5.0" : "3.1.1"));
        scenario s(version);
        test(s);
    }
}

} // namespace

TEST_CASE("a broker that restarts with 1,000 messages in flight gets them all, session kept and lost") {
    for (const bool kept : {true, false}) {
        in_both_versions([&](scenario& s) {
            s.options.max_in_flight = 1'000;
            s.connect();
            s.is_broker_running = false;
            for (int i = 0; i != 1'000; ++i)
                s.publish(1);
            s.run(1s);
            s.keeps_session = kept;
            s.break_link();
            s.is_broker_running = true;
            s.run_until_done(60s);
            CHECK(s.done.size() == 1'000);
            CHECK(s.published == 1'000);
            CHECK(s.connections == 2);
        });
    }
}

TEST_CASE("a network that breaks every ten seconds for an hour loses nothing") {
    in_both_versions([](scenario& s) {
        s.up.rate = s.down.rate = 100'000;
        s.connect();
        for (int i = 0; i != 360; ++i) {
            for (unsigned level : {1U, 2U})
                s.publish(level, 1'000);
            s.run(10s);
            s.break_link();
        }
        s.run_until_done(60s);
        CHECK(s.done.size() == 720);
        CHECK(s.errors.empty());
        CHECK(s.connections <= 361);
        CHECK(s.published <= 1'000);
    });
}

TEST_CASE("a broker that dies five seconds after each CONNACK, for a day, costs no message") {
    for (const bool answers : {true, false}) {
        in_both_versions([&](scenario& s) {
            s.lifetime = 5s;
            s.connect();
            if (!answers) s.unacknowledged = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
            for (int i = 0; i != 12; ++i) {
                s.publish(1);
                s.run(2h);
            }
            s.lifetime = 0s;
            s.unacknowledged.clear();
            CHECK(s.run_until_done(5min) < 2min);
            CHECK(s.done.size() == 12);
            CHECK(s.errors.empty());
            CHECK(s.connections < 17'500);
        });
    }
}

TEST_CASE("a forbidden message in a kept session is abandoned, and a good one behind it arrives") {
    for (const unsigned level : {1U, 2U}) {
        in_both_versions([&](scenario& s) {
            s.forbidden = "forbidden";
            s.connect();
            const unsigned bad = s.publish(level, 10, "forbidden");
            const unsigned good = s.publish(level);
            const auto time = s.run_until_done(60s);
            CHECK(s.errors.at(bad) == tern::outcome_unknown(tern::errc::refused_by_closing));
            CHECK(s.done.contains(good));
            CHECK(s.connections == 6);
            CHECK(time < 15s);
        });
    }
}

TEST_CASE("a forbidden topic that is published every second at QoS 0 ends few connections in an hour") {
    in_both_versions([](scenario& s) {
        s.forbidden = "forbidden";
        s.connect();
        for (int i = 0; i != 3'600; ++i) {
            s.publish(0, 10, "forbidden");
            s.publish(1);
            s.run(1s);
        }
        s.run_until_done(60s);
        CHECK(s.done.size() >= 3'600);
        CHECK(s.connections <= 30);
        for (const auto& [op, error] : s.errors)
            REQUIRE(error == tern::misuse(tern::errc::refused_by_closing));
    });
}

TEST_CASE("a consumer that is stuck for an hour loses no message and no connection, and neither does a publisher") {
    for (const unsigned level : {1U, 2U}) {
        in_both_versions([&](scenario& s) {
            s.is_stuck = true;
            s.connect();
            for (tern::packet_id id = 1; id != 101; ++id)
                s.deliver(level, id);
            for (int i = 0; i != 60; ++i) {
                s.publish(level);
                s.run(1min);
            }
            CHECK(s.received == 1);
            std::size_t unsent = 0; // the window is full
            for (const auto& [op, error] : s.errors) {
                CHECK(error == tern::errc::inbox_full);
                if (error == tern::misuse(tern::errc::inbox_full)) ++unsent;
            }
            CHECK(s.errors.size() >= 59);
            CHECK(s.published + unsent == 60); // each message that was sent, once
            s.is_stuck = false;
            s.driver.session.set_delivery(tern::delivery::open, s.driver.now);
            s.run(10s);
            CHECK(s.received == 100);
            CHECK(s.acknowledged == 100);
            CHECK(s.connections == 1);
            CHECK(s.driver.session.counters().in_flight == 0);
        });
    }
}

TEST_CASE("two clients with one identifier take the session from each other, and lose no message") {
    scenario a(protocol_version::v3_1_1), b(protocol_version::v3_1_1);
    a.connect();
    for (int i = 0; i != 6'000; ++i) {
        if (i == 10) REQUIRE(b.driver.session.connect(b.options, b.driver.now) == tern::errc::none);
        if (i % 50 == 20 && i < 5'000) {
            a.publish(1);
            b.publish(2);
        }
        for (scenario* const taker : {&a, &b}) {
            const unsigned before = taker->connections;
            taker->run(scenario::step);
            if (taker->connections != before) (taker == &a ? b : a).break_link();
        }
    }
    CHECK(a.done.size() == 100);
    CHECK(b.done.size() == 100);
    CHECK(a.errors.empty());
    CHECK(b.errors.empty());
    CHECK(a.connections < 600);
}

TEST_CASE("5 MB in both directions at once, at 100 kB/s, end no connection") {
    for (const auto keep_alive : {60s, 20s}) {
        in_both_versions([&](scenario& s) {
            s.options.keep_alive = keep_alive;
            s.up.rate = s.down.rate = 100'000;
            s.down.room = 100'000'000;
            s.connect();
            s.publish(1, 5'000'000);
            for (int i = 0; i != 50; ++i)
                s.deliver(100'000);
            s.publish(2);
            CHECK(s.run_until_done(100s) < 60s);
            s.run(60s);
            CHECK(s.done.size() == 2);
            CHECK(s.received == 50);
            CHECK(s.connections == 1);
            CHECK(s.resent == 0);
        });
    }
}

TEST_CASE("a proxy that takes 5 MB at once and forwards 100 kB/s ends no connection") {
    in_both_versions([](scenario& s) {
        s.up.rate = 100'000;
        s.up.room = 10'000'000;
        s.connect();
        for (const unsigned level : {0U, 1U, 2U})
            s.publish(level, 1'700'000);
        CHECK(s.run_until_done(100s) < 60s);
        CHECK(s.done.size() == 3);
        CHECK(s.connections == 1);
        CHECK(s.published == 3);
    });
}

TEST_CASE("a peer that is gone without a packet is noticed, with and without traffic") {
    for (const bool traffic : {false, true}) {
        for (const auto keep_alive : {60s, 0s}) {
            in_both_versions([&](scenario& s) {
                s.options.keep_alive = keep_alive;
                s.connect();
                s.is_link_dead = true;
                if (traffic) s.publish(1);
                s.run(44s);
                if (traffic) CHECK(!s.driver.session.is_connected()); // twice ack_timeout
                s.run(30s);
                const bool noticed = traffic || keep_alive != 0s; // otherwise no answer was due
                CHECK(s.driver.session.is_connected() == !noticed);
                s.is_link_dead = false;
                s.run(120s);
                CHECK(s.driver.session.is_connected());
                CHECK(s.done.size() == s.operations);
            });
        }
    }
}

TEST_CASE("a broker that is stopped for a minute or an hour gets everything afterwards") {
    for (const milliseconds stop : {milliseconds(50s), milliseconds(1h)}) {
        in_both_versions([&](scenario& s) {
            s.connect();
            s.is_broker_running = false;
            for (const unsigned level : {1U, 2U})
                s.publish(level);
            s.run(stop);
            s.is_broker_running = true;
            s.run_until_done(120s);
            CHECK(s.done.size() == 2);
            CHECK(s.errors.empty());
        });
    }
}

TEST_CASE("100 acknowledgements per second for 65,000 messages in flight end no connection") {
    in_both_versions([](scenario& s) {
        s.options.max_in_flight = 65'000;
        s.acks_per_second = 100;
        s.connect();
        for (int i = 0; i != 65'000; ++i)
            s.publish(1);
        CHECK(s.run_until_done(700s) < 700s);
        CHECK(s.done.size() == 65'000);
        CHECK(s.connections == 1);
        CHECK(s.resent == 0);
    });
}

TEST_CASE("one message that is never acknowledged ends no connection in an hour, and its operation") {
    in_both_versions([](scenario& s) {
        s.connect();
        s.unacknowledged = {1};
        s.publish(1);
        for (int i = 0; i != 360; ++i) {
            s.publish(1);
            s.run(10s);
        }
        CHECK(s.done.size() == 360);
        REQUIRE(s.errors.size() == 1);
        CHECK(s.errors.begin()->second == tern::outcome_unknown(tern::errc::acknowledgement_timeout));
        CHECK(s.connections == 1);
        CHECK(s.resent <= (s.version == protocol_version::v5 ? 0U : 6U));
    });
}

TEST_CASE("a client that leaves on a slow link sends what it can, and DISCONNECT") {
    in_both_versions([](scenario& s) {
        s.up.rate = 100'000;
        s.up.room = 50'000;
        s.options.max_in_flight = 100;
        s.connect();
        for (int i = 0; i != 10'000; ++i)
            s.publish(0, 100);
        for (int i = 0; i != 500; ++i)
            s.publish(1, 100);
        REQUIRE(s.driver.session.disconnect({}, s.driver.now) == tern::errc::none);
        s.run(15s);
        CHECK(s.has_disconnected);
        CHECK(s.published >= 3'000); // 5 s of 100 kB/s, and what was already encoded
        CHECK(s.done.size() + s.errors.size() == 10'500);
    });
}

TEST_CASE("a machine that is suspended for an hour goes on without losing its connection") {
    in_both_versions([](scenario& s) {
        s.connect();
        s.publish(1);
        s.suspend(1h);
        s.run(60s);
        CHECK(s.done.size() == 1);
        CHECK(s.connections == 1);
        CHECK(s.driver.session.is_connected());
    });
}
