// Random bytes, and valid streams with random errors. The session completes each operation once, stays within its
// memory limit and remains usable.
#include "catch.hpp"
#include "session_driver.hpp"
#include "support/heap.hpp"

#include <chrono>
#include <random>
#include <set>

namespace {

using namespace std::chrono_literals;
using tern::protocol_version;

struct victim : session_driver {
    explicit victim(unsigned seed) : random(seed) {}

    void operator()(const tern::event& e) {
        ++events;
        if (const auto* c = std::get_if<tern::completed>(&e)) {
            REQUIRE(unfinished.erase(c->op) == 1);
            for (const tern::reason_code code : c->answer.reason_codes)
                sum += static_cast<unsigned>(code);
        }
        if (const auto* r = std::get_if<tern::received>(&e)) {
            for (const char c : r->topic)
                sum += static_cast<unsigned char>(c);
            for (const char c : r->payload)
                sum += static_cast<unsigned char>(c);
            for (const tern::user_property& p : r->properties.user_properties)
                sum += p.key.size() + p.value.size();
            if (below(4) != 0)
                session.release(r->token); // an event is valid until the next call of the session
            else
                tokens.push_back(r->token);
        }
        if (const auto* c = std::get_if<tern::connection_event_view>(&e))
            if (c->change == tern::connection_change::stopped) REQUIRE(unfinished.empty());
    }

    void connect() {
        version = below(2) == 0 ? protocol_version::v5 : protocol_version::v3_1_1;
        tern::connect_options options{
            .version = version, .client_id = "c", .clean_start = below(2) == 0, .assume_session = true};
        options.reconnect.enabled = false;
        options.max_in_flight = static_cast<std::uint16_t>(1 + below(5));
        if (version == protocol_version::v5) {
            options.properties.topic_alias_maximum = 5;
            options.properties.session_expiry_interval = 100s;
            options.properties.receive_maximum = static_cast<std::uint16_t>(1 + below(20));
        }
        REQUIRE(session.connect(options, now) == tern::errc::none);
        open_transport();
        tokens.clear();
    }

    // A random request.
    void request() {
        const tern::op_id op{++number};
        const tern::message_view m{.topic = "a", .payload = "x", .qos = static_cast<tern::qos>(below(3))};
        const tern::subscription s{.filter = "a"};
        const std::string_view u = "u";
        tern::errc error{};
        switch (below(6)) {
        case 0:
        case 1: error = session.publish(m, op, now); break;
        case 2: error = session.subscribe(std::span(&s, 1), {}, op, now); break;
        case 3: error = session.unsubscribe(std::span(&u, 1), {}, op, now); break;
        case 4: error = session.ping(op, now); break;
        case 5:
            if (tokens.empty()) return;
            session.release(tokens.back());
            tokens.pop_back();
            return poll(*this);
        }
        if (error == tern::errc::none) unfinished.insert(op);
        poll(*this);
    }

    void feed(std::string_view bytes) {
        while (!bytes.empty() && !wants_close()) {
            const std::size_t count = std::min<std::size_t>(bytes.size(), 1 + below(100));
            read(bytes.substr(0, count), *this);
            bytes.remove_prefix(count);
            if (below(3) == 0) request();
            std::string wire;
            if (below(2) == 0) write_to(wire, *this, below(30));
            if (below(5) == 0) {
                now += std::chrono::milliseconds(below(40'000));
                session.on_deadline(now);
                poll(*this);
            }
        }
    }

    void hang_up() {
        std::string wire;
        while (wants_close() == false && below(4) != 0 && write_to(wire, *this) != 0) {
        }
        session.on_disconnected({}, now);
        poll(*this);
        REQUIRE(session.is_idle());
        REQUIRE(unfinished.empty());
    }

    unsigned below(unsigned n) { return static_cast<unsigned>(random() >> 3) % n; }

    std::minstd_rand random;
    protocol_version version = protocol_version::v5;
    std::set<tern::op_id> unfinished;
    std::vector<tern::message_token> tokens;
    std::uint64_t number = 0;
    std::size_t events = 0;
    std::size_t sum = 0;
};

// A stream of packets that is valid for any broker.
std::string good_stream(victim& v) {
    std::string s;
    tern::connack hello{.session_present = v.below(4) == 0};
    if (v.version == protocol_version::v5) hello.properties.topic_alias_maximum = 3;
    put(s, hello, v.version);
    const auto id = [&] { return static_cast<tern::packet_id>(1 + v.below(6)); };
    for (unsigned i = v.below(30); i-- != 0;) {
        const tern::user_property user{"k", "v"};
        tern::publish p{.message = {.topic = "a/b", .payload = "xyz", .qos = static_cast<tern::qos>(v.below(3))}};
        if (p.message.qos != tern::qos::at_most_once) p.packet_id = id(), p.dup = v.below(2) == 0;
        if (v.version == protocol_version::v5) {
            if (v.below(3) == 0) p.message.properties.topic_alias = static_cast<std::uint16_t>(1 + v.below(5));
            if (v.below(3) == 0) p.message.properties.user_properties = std::span(&user, 1);
        }
        const tern::reason_code code{};
        switch (v.below(9)) {
        case 0: put(s, tern::puback{id()}, v.version); break;
        case 1: put(s, tern::pubrec{id()}, v.version); break;
        case 2: put(s, tern::pubrel{id()}, v.version); break;
        case 3: put(s, tern::pubcomp{id()}, v.version); break;
        case 4: put(s, tern::suback{id(), std::span(&code, 1)}, v.version); break;
        case 5:
            put(s, tern::unsuback{id(), std::span(&code, v.version == protocol_version::v5 ? 1 : 0)}, v.version);
            break;
        case 6: put(s, tern::pingresp{}, v.version); break;
        default: put(s, p, v.version); break;
        }
    }
    return s;
}

} // namespace

TEST_CASE("a session survives random bytes") {
    victim v(11);
    const std::size_t before = heap::live_bytes();
    for (int i = 0; i != 30'000; ++i) {
        v.connect();
        std::string bytes;
        if (v.below(2) == 0) put(bytes, tern::connack{}, v.version);
        for (unsigned n = v.below(60); n-- != 0;)
            bytes += static_cast<char>(v.below(3) == 0 ? v.below(5) : v.below(256));
        v.feed(bytes);
        v.hang_up();
    }
    CHECK(v.events > 30'000);
    CHECK(heap::live_bytes() - before < 100'000);
}

TEST_CASE("a session survives valid streams with errors") {
    victim v(12);
    const std::size_t before = heap::live_bytes();
    std::size_t survived = 0;
    for (int i = 0; i != 30'000; ++i) {
        v.connect();
        std::string bytes = good_stream(v);
        for (unsigned n = v.below(4); n-- != 0;) {
            const std::size_t at = v.below(static_cast<unsigned>(bytes.size()));
            switch (v.below(5)) {
            case 0: bytes[at] = static_cast<char>(v.below(256)); break;
            case 1: bytes[at] = static_cast<char>(bytes[at] ^ 1 << v.below(8)); break;
            case 2: bytes.erase(at, 1 + v.below(3)); break;
            case 3: bytes.insert(at, 1 + v.below(3), static_cast<char>(v.below(256))); break;
            case 4: bytes.insert(at, bytes.substr(v.below(static_cast<unsigned>(bytes.size())), v.below(20))); break;
            }
            if (bytes.empty()) bytes = "x";
        }
        v.feed(bytes);
        if (!v.wants_close()) ++survived;
        v.hang_up();
    }
    CHECK(survived > 1000);
    CHECK(v.events > 60'000);
    CHECK(heap::live_bytes() - before < 100'000);
}

TEST_CASE("a closing session survives random bytes") {
    victim v(13);
    for (int i = 0; i != 3000; ++i) {
        v.connect();
        v.feed(good_stream(v));
        if (v.session.is_connected()) {
            REQUIRE(v.session.disconnect({}, v.now) == tern::errc::none);
            std::string bytes;
            for (unsigned n = 200; n-- != 0;)
                bytes += static_cast<char>(v.below(256));
            const std::size_t events = v.events;
            v.read(bytes, v);
            CHECK(v.events == events);
        }
        v.hang_up();
    }
}
