// Allocations that fail one by one, and what the session does afterwards: nothing is lost, and nothing happens twice.
#include "catch.hpp"
#include "session_driver.hpp"
#include "support/heap.hpp"
#include "tern/codec/packet.hpp"

#include <chrono>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tern::errc, tern::op_id, tern::protocol_version, tern::qos;

const auto connection_reset = std::make_error_code(std::errc::connection_reset);

tern::connect_options lasting_options(protocol_version version = protocol_version::v5) {
    tern::connect_options options{
        .version = version, .client_id = "a client whose name needs memory", .clean_start = false};
    options.reconnect.retry_first = true;
    if (version == protocol_version::v5) options.properties.session_expiry_interval = 100s;
    return options;
}

// A session and its broker. A packet of the broker can be read without polling its events.
struct conversation : session_driver {
    explicit conversation(const tern::connect_options& options) : version(options.version) {
        ended.reserve(20); // so that only the session allocates while allocations fail
        tokens.reserve(50);
        REQUIRE(session.connect(options, now) == errc::none);
    }

    // Makes the next attempt, and returns its CONNECT.
    tern::connect attempt() {
        while (session.pending_action() != tern::transport_action::prepare) {
            REQUIRE(session.next_deadline() != tern::time_point::max());
            now = session.next_deadline();
            session.on_deadline(now);
            poll(*this);
        }
        open_transport();
        write();
        return first_written<tern::connect>();
    }
    void open(const tern::connack& packet) {
        attempt();
        answer(packet);
        REQUIRE(session.is_connected());
    }

    void write() {
        wire.clear();
        while (write_to(wire, *this) != 0) {
        }
    }
    template <class Packet>
    Packet first_written() const {
        const auto found = tern::next_frame(wire);
        REQUIRE(found);
        REQUIRE(found->complete);
        const auto packet = tern::decode<Packet>(found->frame, version);
        REQUIRE(packet);
        return *packet;
    }

    template <class Packet>
    void arrives(const Packet& packet) {
        std::string bytes;
        put(bytes, packet, version);
        const auto room = session.prepare_read();
        REQUIRE(bytes.size() <= room.size());
        bytes.copy(room.data(), bytes.size());
        session.commit_read(bytes.size(), now);
    }
    template <class Packet>
    void answer(const Packet& packet) {
        arrives(packet);
        poll(*this);
    }
    void receive(qos level, tern::packet_id id, bool dup = false) {
        const tern::message_view m{.topic = "a/topic", .payload = "payload", .qos = level};
        answer(tern::publish{m, dup, id});
    }

    void operator()(const tern::event& e) {
        if (const auto* c = std::get_if<tern::completed>(&e)) ended.emplace_back(c->op, c->error);
        if (const auto* r = std::get_if<tern::received>(&e)) tokens.push_back(r->token);
    }

    // Ends the connection. If an allocation fails meanwhile, does `between`, and repeats the call.
    template <class Between>
    bool lose(std::size_t allowed, Between between) {
        const bool failed = fails(allowed, [&] { session.on_disconnected(connection_reset, now); });
        if (failed) {
            between();
            session.on_disconnected(connection_reset, now);
        }
        poll(*this);
        return failed;
    }

    // Whether an allocation fails in `f` if only so many succeed.
    template <class F>
    static bool fails(std::size_t allowed, F f) {
        bool failed = false;
        heap::fail(allowed + 1);
        try {
            f();
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        heap::stop_failing();
        return failed;
    }

    protocol_version version;
    std::string wire;
    std::vector<tern::message_token> tokens;
    std::vector<std::pair<op_id, std::error_code>> ended;
};

// Calls `run(allowed)` for each number of allocations that succeed, until none fails.
template <class Run>
void fail_each_allocation(Run run) {
    for (std::size_t allowed = 0;; ++allowed) {
        CAPTURE(allowed);
        REQUIRE(allowed < 100);
        if (!run(allowed)) break;
    }
}

const auto nothing = [] {};

} // namespace

TEST_CASE("a request whose answer has a wrong number of reason codes ends once, if allocation fails too") {
    fail_each_allocation([](std::size_t allowed) {
        conversation c(lasting_options());
        c.open({});
        const tern::subscription filter{.filter = "a/+"};
        REQUIRE(c.session.subscribe(std::span(&filter, 1), {}, op_id{1}, c.now) == errc::none);
        c.write();
        const auto id = c.first_written<tern::subscribe>().packet_id;
        for (tern::packet_id i = 1; i <= 40; ++i)
            c.receive(qos::at_least_once, i);
        for (const auto token : c.tokens)
            c.session.release(token); // the session has to acknowledge 40 messages before DISCONNECT
        const tern::reason_code codes[2] = {};
        c.arrives(tern::suback{id, codes});
        const bool failed = c.fails(allowed, [&] { c.poll(c); });
        c.session.on_disconnected(connection_reset, c.now);
        c.poll(c);
        if (c.ended.empty()) { // the request continues on the next connection
            c.open({.session_present = true});
            c.write();
            const tern::reason_code code{};
            c.answer(tern::suback{c.first_written<tern::subscribe>().packet_id, std::span(&code, 1)});
        }
        REQUIRE(c.ended.size() == 1);
        CHECK(c.ended[0].first == op_id{1});
        if (!failed) CHECK(c.ended[0].second == tern::violation(errc::reason_count_mismatch));
        return failed;
    });
}

TEST_CASE("a message that is released before on_disconnected is repeated is acknowledged when it comes again") {
    fail_each_allocation([](std::size_t allowed) {
        conversation c(lasting_options());
        c.open({});
        c.receive(qos::exactly_once, 1);
        c.receive(qos::exactly_once, 2);
        REQUIRE(c.tokens.size() == 2);
        for (unsigned op = 1; op <= 10; ++op)
            REQUIRE(c.session.ping(op_id{op}, c.now) == errc::none);
        const bool failed = c.lose(allowed, [&] { c.session.release(c.tokens[0]); });
        if (!failed) c.session.release(c.tokens[0]);
        CHECK(c.ended.size() == 10); // the pings
        c.open({.session_present = true});
        c.receive(qos::exactly_once, 1, true);
        c.receive(qos::exactly_once, 2, true);
        CHECK(c.tokens.size() == 2); // neither is delivered again
        std::string expected;
        put(expected, tern::pubrec{1}, c.version);
        c.write();
        CHECK(c.wire == expected);
        c.session.release(c.tokens[1]);
        c.poll(c);
        expected.clear();
        put(expected, tern::pubrec{2}, c.version);
        c.write();
        CHECK(c.wire == expected);
        return failed;
    });
}

TEST_CASE("a CONNECT that was not written whole cannot have begun a session [v5:MQTT-3.2.2-4]") {
    std::string connect;
    {
        conversation c(lasting_options());
        c.attempt();
        connect = c.wire;
    }
    for (const std::size_t written : {std::size_t{0}, std::size_t{1}, connect.size() - 1, connect.size()}) {
        CAPTURE(written, connect.size());
        fail_each_allocation([&](std::size_t allowed) {
            conversation c(lasting_options());
            c.open_transport();
            if (written != 0) REQUIRE(c.write_to(c.wire, c, written) == written);
            const bool failed = c.lose(allowed, nothing);
            c.attempt();
            c.answer(tern::connack{.session_present = true});
            const bool may_have_begun = written == connect.size();
            CHECK(c.session.is_connected() == may_have_begun);
            return failed;
        });
    }
}

TEST_CASE("a transport that opens while allocation fails has begun no session [v5:MQTT-3.2.2-4]") {
    fail_each_allocation([](std::size_t allowed) {
        conversation c(lasting_options());
        c.session.on_prepared(c.now);
        const bool failed = c.fails(allowed, [&] { c.session.on_opened(c.now); });
        if (!failed) return false;
        c.lose(SIZE_MAX - 1, nothing);
        c.attempt();
        c.answer(tern::connack{.session_present = true});
        CHECK_FALSE(c.session.is_connected());
        return true;
    });
}

TEST_CASE("a clean start is requested again if allocation fails before CONNACK is processed") {
    fail_each_allocation([](std::size_t allowed) {
        tern::connect_options options = lasting_options();
        options.clean_start = true;
        conversation c(options);
        CHECK(c.attempt().clean_start);
        c.arrives(tern::connack{});
        const bool failed = c.fails(allowed, [&] { c.poll(c); });
        const bool has_session = c.session.is_connected();
        c.session.on_disconnected(connection_reset, c.now);
        c.poll(c);
        CHECK(c.attempt().clean_start == !has_session); // otherwise the session is resumed
        c.answer(tern::connack{.session_present = has_session});
        CHECK(c.session.is_connected());
        return failed;
    });
}

TEST_CASE("a connect that fails because allocation fails has not forgotten the session") {
    fail_each_allocation([](std::size_t allowed) {
        tern::connect_options options = lasting_options();
        conversation c(options);
        c.open({});
        c.receive(qos::exactly_once, 1);
        c.session.release(c.tokens.front());
        c.poll(c);
        c.session.stop({}, c.now);
        c.session.on_disconnected({}, c.now);
        c.poll(c);
        options.clean_start = true;
        errc result = errc::none;
        const bool failed = c.fails(allowed, [&] { result = c.session.connect(options, c.now); });
        CHECK(result == errc::none);
        if (!failed) return false;
        options.clean_start = false;
        REQUIRE(c.session.connect(options, c.now) == errc::none);
        CHECK_FALSE(c.attempt().clean_start);
        c.answer(tern::connack{.session_present = true});
        REQUIRE(c.session.is_connected());
        c.receive(qos::exactly_once, 1, true);
        CHECK(c.tokens.size() == 1); // the message is a repetition
        return true;
    });
}

TEST_CASE("a message that is not accepted because allocation fails drops no others from a full queue") {
    fail_each_allocation([](std::size_t allowed) {
        tern::connect_options options = lasting_options();
        options.queue.messages = 3;
        options.queue.when_full = tern::full_queue_action::drop_oldest_qos_0;
        conversation c(options);
        const std::string payload(70'000, 'x');
        for (unsigned number = 1; number != 4; ++number) {
            const tern::message_view m{.topic = "a/topic", .payload = "payload"};
            REQUIRE(c.session.publish(m, op_id{number}, c.now) == errc::none);
        }
        const tern::message_view m{.topic = "a/topic", .payload = payload};
        errc result = errc::none;
        const bool failed = c.fails(allowed, [&] { result = c.session.publish(m, op_id{4}, c.now); });
        CHECK(result == errc::none);
        CHECK(c.session.counters().queued == 3);
        CHECK(c.session.counters().messages_dropped == (failed ? 0 : 1));
        c.ended.clear();
        c.poll(c);
        CHECK(c.ended.size() == (failed ? 0U : 1U));
        return failed;
    });
}

TEST_CASE("a QoS 0 message that was written completes before one that was cancelled, if the connection is lost") {
    fail_each_allocation([](std::size_t allowed) {
        conversation c(lasting_options());
        c.open({});
        const std::string payload(100, 'x');
        const tern::message_view m{.topic = "a/topic", .payload = payload};
        REQUIRE(c.session.publish(m, op_id{1}, c.now) == errc::none);
        std::size_t size = 0;
        for (const std::string_view part : c.session.pending_write())
            size += part.size();
        REQUIRE(c.session.publish(m, op_id{2}, c.now) == errc::none);
        c.session.commit_write(size, c.now); // the first one; its event is not polled
        REQUIRE_FALSE(c.session.cancel(op_id{2}, c.now));
        const bool failed = c.lose(allowed, nothing);
        REQUIRE(c.ended.size() == 2);
        CHECK(c.ended[0] == std::pair{op_id{1}, std::error_code{}});
        CHECK(c.ended[1].first == op_id{2});
        CHECK(c.ended[1].second);
        return failed;
    });
}
