// Many subscriptions: how many packets and round trips their renewal takes, and what memory they use.
#include "catch.hpp"
#include "inspector.hpp"
#include "session_driver.hpp"
#include "support/heap.hpp"
#include "tern/codec/packet.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using tern::errc;
using tern::protocol_version;

// What the broker keeps of a subscription.
struct kept {
    unsigned qos = 0;
    std::uint32_t identifier = 0;
    friend bool operator==(const kept&, const kept&) = default;
};
using subscriptions = std::map<std::string, kept, std::less<>>;

// A client, and a broker that answers in order, but only when the test says so.
struct subscriber : session_driver {
    subscriber(protocol_version v, bool resubscribe = true) : version(v) {
        tern::connect_options options{
            .version = v, .client_id = "c", .clean_start = false, .max_in_flight = 65'535, .resubscribe = resubscribe};
        options.queue.messages = 200'000;
        options.refusal_limit = 0; // the link is cut often
        if (v == protocol_version::v5) options.properties.session_expiry_interval = std::chrono::seconds{3600};
        REQUIRE(session.connect(options, now) == errc::none);
        opens();
    }

    // The next connection. The broker has the session or not.
    void opens() {
        while (session.pending_action() == tern::transport_action::none) {
            now = session.next_deadline();
            session.on_deadline(now);
            poll(*this);
        }
        open_transport();
        write();
        answers.clear();
        put(replies, tern::connack{.session_present = has_session}, version);
        has_session = true;
        ++connections;
        read_replies();
        REQUIRE(session.is_connected());
    }
    void cut() {
        session.on_disconnected(std::make_error_code(std::errc::connection_reset), now);
        poll(*this);
        answers.clear();
        if (drops_session_next) {
            has_session = drops_session_next = false;
            held.clear();
        }
    }
    void loses_session() {
        drops_session_next = true;
        cut();
        opens();
    }

    // The client's packets reach the broker, which keeps its answers back.
    void write() {
        std::string wire;
        while (write_to(wire, *this) != 0) {
        }
        for (std::string_view rest = wire; !rest.empty();) {
            const auto found = *tern::next_frame(rest);
            const auto packet = *tern::decode(found.frame, version);
            if (const auto* s = std::get_if<tern::subscribe>(&packet)) on(*s);
            if (const auto* u = std::get_if<tern::unsubscribe>(&packet)) on(*u);
            if (const auto* p = std::get_if<tern::publish>(&packet); p && answers_publish)
                answers.push_back([this, id = p->packet_id] { put(replies, tern::puback{id}, version); });
            rest.remove_prefix(found.size);
        }
    }
    void on(const tern::subscribe& s) {
        ++subscribes;
        most_filters = std::max(most_filters, s.subscriptions.size());
        std::vector<tern::reason_code> codes;
        for (const tern::subscription& each : s.subscriptions) {
            codes.push_back(static_cast<tern::reason_code>(each.max_qos));
            held[std::string(each.filter)] = {static_cast<unsigned>(each.max_qos),
                                              s.properties.subscription_identifier.value_or(0)};
        }
        answers.push_back([this, id = s.packet_id, codes] { put(replies, tern::suback{id, codes}, version); });
    }
    void on(const tern::unsubscribe& u) {
        std::vector<tern::reason_code> codes;
        for (const std::string_view filter : u.filters) {
            const auto found = held.find(filter);
            const bool existed = found != held.end();
            if (existed) held.erase(found);
            if (version == protocol_version::v5)
                codes.push_back(existed ? tern::reason_code::success : tern::reason_code::no_subscription_existed);
        }
        answers.push_back([this, id = u.packet_id, codes] { put(replies, tern::unsuback{id, codes}, version); });
    }
    // The broker's next answers reach the client.
    void answer(std::size_t most = SIZE_MAX) {
        most_answers = std::max(most_answers, answers.size());
        for (; most != 0 && !answers.empty(); --most) {
            answers.front()();
            answers.pop_front();
        }
        read_replies();
    }
    // The number of round trips until both are at rest.
    unsigned settle() {
        for (unsigned round_trips = 0;; ++round_trips) {
            write();
            if (answers.empty()) return round_trips;
            answer();
        }
    }
    void read_replies() { read(std::exchange(replies, {}), *this); }

    void operator()(const tern::event& e) {
        if (const auto* c = std::get_if<tern::completed>(&e)) done[static_cast<std::uint64_t>(c->op)] = c->error;
        if (const auto* c = std::get_if<tern::connection_event_view>(&e))
            if (c->change == tern::connection_change::subscription_refused) ++refusals;
    }

    errc subscribe(std::string_view filter, kept options, std::uint64_t op = 0) {
        const tern::subscription s{.filter = filter, .max_qos = static_cast<tern::qos>(options.qos)};
        tern::subscribe_properties properties;
        if (options.identifier != 0) properties.subscription_identifier = options.identifier;
        return session.subscribe(std::span(&s, 1), properties, tern::op_id{op}, now);
    }
    errc unsubscribe(std::string_view filter, std::uint64_t op = 0) {
        return session.unsubscribe(std::span(&filter, 1), {}, tern::op_id{op}, now);
    }

    protocol_version version;
    bool has_session = false;
    bool drops_session_next = false;
    bool answers_publish = true;
    subscriptions held; // by the broker
    std::deque<std::function<void()>> answers;
    std::string replies;
    std::map<std::uint64_t, std::error_code> done;
    unsigned connections = 0;
    unsigned subscribes = 0;
    unsigned refusals = 0;
    std::size_t most_filters = 0;
    std::size_t most_answers = 0;
};

std::string filter_of(unsigned number) {
    return "filter/" + std::to_string(number);
}

// Subscribes to that many filters, of which each group has a Subscription Identifier of its own.
void subscribe_to(subscriber& c, unsigned count, unsigned identifiers) {
    for (unsigned i = 0; i != count; ++i) {
        const std::uint32_t identifier = identifiers == 0 ? 0 : 1 + i % identifiers;
        REQUIRE(c.subscribe(filter_of(i), {i % 3, identifier}) == errc::none);
        if (i % 100 == 0) c.settle();
    }
    c.settle();
    c.subscribes = 0;
    c.most_answers = c.most_filters = 0;
}

} // namespace

TEST_CASE("1,000 subscriptions are renewed in a few round trips, 64 SUBSCRIBEs at a time, grouped by identifier") {
    struct expected {
        unsigned identifiers;
        unsigned packets;
        unsigned round_trips;
    };
    const auto [identifiers, packets, round_trips] =
        GENERATE(expected{0, 125, 2}, expected{1'000, 1'000, 16}, expected{2, 126, 2});
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    if (version == protocol_version::v3_1_1 && identifiers != 0) return;
    CAPTURE(identifiers, static_cast<int>(version));
    subscriber c(version);
    subscribe_to(c, 1'000, identifiers);
    const subscriptions before = c.held;
    c.loses_session();
    CHECK(c.settle() == round_trips);
    CHECK(c.held == before);
    CHECK(c.subscribes == packets);
    CHECK(c.most_filters == (identifiers == 1'000 ? 1 : 8));
    CHECK(c.most_answers == 64);
}

TEST_CASE("1,000 subscriptions are renewed, 8 filters at a time, while the program subscribes and unsubscribes") {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    const auto seed = GENERATE(range(1U, 21U));
    CAPTURE(static_cast<int>(version), seed);
    std::minstd_rand random(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    subscriber c(version);
    subscribe_to(c, 1'000, version == protocol_version::v5 ? 10 : 0);
    subscriptions wanted = c.held;
    std::map<std::uint64_t, std::string> cancelled;
    const unsigned cuts = below(4);
    c.loses_session();
    for (unsigned cut = 0;; ++cut) {
        for (unsigned i = 0; i != 40; ++i) {
            const std::string filter = filter_of(below(1'100));
            const kept options{below(3), version == protocol_version::v5 ? below(10) : 0};
            if (below(2) == 0) {
                REQUIRE(c.subscribe(filter, options) == errc::none);
                wanted[filter] = options;
            } else {
                REQUIRE(c.unsubscribe(filter) == errc::none);
                wanted.erase(filter);
            }
            if (below(3) == 0) c.write();
            if (below(3) == 0) c.answer(below(4));
        }
        if (cut == cuts) break;
        if (below(2) == 0) c.write();
        if (below(2) == 0) c.drops_session_next = true;
        c.cut();
        c.opens();
    }
    CHECK(c.settle() <= 4);
    CHECK(c.held == wanted);
    CHECK(c.most_filters == 8);
    CHECK(c.connections == 2 + cuts);
    CHECK(c.refusals == 0);
    c.loses_session();
    CHECK(c.settle() <= 4);
    CHECK(c.held == wanted);
}

TEST_CASE("requests that are cancelled in every state leave the broker with what the program wants") {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    const auto seed = GENERATE(range(1U, 201U));
    CAPTURE(static_cast<int>(version), seed);
    std::minstd_rand random(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    subscriber c(version);
    subscribe_to(c, 6, 0);
    std::uint64_t op = 0;
    std::map<std::uint64_t, bool> open; // the operations, and whether they were cancelled
    for (unsigned cut = 0; cut != 4; ++cut) {
        for (unsigned i = 0; i != 8; ++i) {
            const std::string filter = filter_of(below(8));
            const bool subscribes = below(2) == 0;
            REQUIRE((subscribes ? c.subscribe(filter, {below(3), 0}, ++op) : c.unsubscribe(filter, ++op)) ==
                    errc::none);
            open[op] = false;
            if (below(2) == 0) {
                const std::uint64_t chosen = 1 + below(static_cast<unsigned>(op));
                if (open.contains(chosen) && !c.done.contains(chosen) && c.session.cancel(tern::op_id{chosen}, c.now))
                    open.erase(chosen);
            }
            const bool is_up = c.session.is_connected();
            if (is_up && below(4) == 0) c.write();
            if (is_up && below(4) == 0) c.answer(below(3));
            if (is_up && below(6) == 0) {
                c.drops_session_next = below(3) == 0;
                c.cut();
            }
        }
        if (!c.session.is_connected()) c.opens();
        c.settle();
    }
    for (const auto& [id, is_cancelled] : open)
        CHECK(c.done.contains(id));
    const subscriptions at_rest = c.held;
    c.loses_session();
    c.settle();
    CHECK(c.held == at_rest); // so the client knew what the broker had
    CHECK(c.refusals == 0);
}

TEST_CASE("a renewal that finds all packet identifiers in use goes on when one is free [v5:MQTT-2.2.1-3]") {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    subscriber c(version);
    REQUIRE(c.subscribe("a", {1, 0}) == errc::none);
    REQUIRE(c.subscribe("b", {1, 0}) == errc::none);
    c.settle();
    c.answers_publish = false;
    const tern::message_view m{.topic = "t", .payload = "x", .qos = tern::qos::at_least_once};
    std::vector<tern::packet_id> ids;
    for (unsigned i = 0; i != 65'519; ++i) {
        REQUIRE(c.session.publish(m, tern::op_id::none, c.now) == errc::none);
        if (i % 1'000 == 0) c.write();
    }
    c.write();
    for (unsigned i = 0; i != 16; ++i)
        REQUIRE(c.subscribe(filter_of(i), {1, 0}) == errc::none);
    CHECK(c.subscribe("c", {1, 0}) == errc::packet_ids_exhausted);
    c.write();
    c.answers.clear();
    c.subscribes = 0;
    c.loses_session();
    c.write();
    CHECK(c.subscribes == 16);
    CHECK(!c.held.contains("a"));
    c.answer(1);
    c.write();
    CHECK(c.held.contains("a"));
    CHECK(c.held.contains("b"));
    CHECK(c.refusals == 0);
    CHECK(c.session.is_connected());
}

TEST_CASE("subscriptions that have ended take no memory") {
    const auto remaining = GENERATE(0U, 1U);
    subscriber c(protocol_version::v5);
    REQUIRE(c.subscribe("a", {1, 0}) == errc::none);
    c.settle();
    if (remaining == 0) REQUIRE(c.unsubscribe("a") == errc::none);
    c.settle();
    subscribe_to(c, 10'000, 0);
    c.loses_session();
    c.settle();
    for (unsigned i = 0; i != 10'000; ++i) {
        REQUIRE(c.unsubscribe(filter_of((i * 7) % 10'000)) == errc::none);
        if (i % 100 == 0) c.settle();
    }
    c.settle();
    CHECK(c.held.size() == remaining);
    constexpr std::size_t most_entries = 64; // and their table
    CHECK(tern::detail::session_inspector::memory_of_filters(c.session) <=
          remaining * (most_entries + 8) * sizeof(tern::detail::filter_entry));
}

TEST_CASE("a renewal whose allocation fails is repeated on the next connection, and reports each refusal once") {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    for (std::size_t allowed = 0;; ++allowed) {
        CAPTURE(static_cast<int>(version), allowed);
        REQUIRE(allowed < 500);
        subscriber c(version);
        subscribe_to(c, 20, version == protocol_version::v5 ? 3 : 0);
        REQUIRE(c.subscribe("cancelled", {1, 0}, 1) == errc::none);
        c.write();
        c.answers.clear();
        CHECK(!c.session.cancel(tern::op_id{1}, c.now));
        c.drops_session_next = true;
        c.cut();
        REQUIRE(c.subscribe("new", {1, 0}, 2) == errc::none);
        REQUIRE(c.subscribe(filter_of(3), {2, 0}, 3) == errc::none);
        REQUIRE(c.unsubscribe(filter_of(4), 4) == errc::none);
        const auto renew = [&] {
            while (c.session.pending_action() == tern::transport_action::none) {
                c.now = c.session.next_deadline();
                c.session.on_deadline(c.now);
                c.poll(c);
            }
            c.open_transport();
            c.write();
            c.answers.clear();
            std::string connack;
            put(connack, tern::connack{.session_present = c.has_session}, version);
            const auto room = c.session.prepare_read();
            connack.copy(room.data(), connack.size());
            c.session.commit_read(connack.size(), c.now);
            heap::fail(allowed + 1);
            while (const auto e = c.session.poll_event())
                (void)e;
            heap::stop_failing();
            c.has_session = true;
        };
        bool failed = false;
        try {
            renew();
        } catch (const std::bad_alloc&) {
            heap::stop_failing();
            failed = true;
            c.has_session = true; // the broker has begun a session
            c.cut();
            c.opens();
        }
        c.settle();
        CHECK(c.held.size() == 20); // with the new one, without the one that was unsubscribed
        CHECK(c.held.contains("new"));
        CHECK(c.held[filter_of(3)] == kept{2, 0});
        CHECK(!c.held.contains(filter_of(4)));
        CHECK(!c.held.contains("cancelled"));
        const subscriptions at_rest = c.held;
        c.loses_session();
        c.settle();
        CHECK(c.held == at_rest);
        if (!failed) break;
    }
}

TEST_CASE("a SUBSCRIBE whose allocation fails was not accepted and leaves nothing behind") {
    for (std::size_t allowed = 0;; ++allowed) {
        CAPTURE(allowed);
        REQUIRE(allowed < 100);
        subscriber c(protocol_version::v5);
        subscribe_to(c, 3, 0);
        const std::string long_name(100, 'f');
        const tern::subscription list[] = {{.filter = long_name}, {.filter = "b"}, {.filter = "filter/1"}};
        bool failed = false;
        heap::fail(allowed + 1);
        try {
            (void)c.session.subscribe(list, {}, tern::op_id{1}, c.now);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        heap::stop_failing();
        c.settle();
        CHECK(c.held.size() == (failed ? 3 : 5));
        CHECK(c.done.contains(1) != failed);
        c.loses_session();
        c.settle();
        CHECK(c.held.size() == (failed ? 3 : 5));
        if (!failed) break;
    }
}
