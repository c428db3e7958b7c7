// The memory use of a session, and the moments at which it allocates.
#include "catch.hpp"
#include "session_driver.hpp"
#include "support/heap.hpp"
#include "tern/codec/packet.hpp"

#include <vector>

namespace {

using namespace std::chrono_literals;
using tern::protocol_version;

struct client : session_driver {
    explicit client(protocol_version v, std::uint16_t max_in_flight = 65'535) : version(v) {
        const tern::connect_options options{
            .version = v, .client_id = "a client whose name needs memory", .max_in_flight = max_in_flight};
        REQUIRE(session.connect(options, now) == tern::errc::none);
        open_transport();
        write();
        answer(tern::connack{});
        REQUIRE(session.is_connected());
        tokens.reserve(1000);
    }

    void write() {
        wire.clear();
        while (write_to(wire, *this) != 0) {
        }
    }
    template <class Packet>
    void answer(const Packet& packet) {
        bytes.clear();
        put(bytes, packet, version);
        read(bytes, *this);
    }
    void operator()(const tern::event& e) {
        if (std::holds_alternative<tern::completed>(e)) ++completed;
        if (const auto* r = std::get_if<tern::received>(&e); r && r->token != tern::message_token::none)
            tokens.push_back(r->token);
    }
    void publish(unsigned qos, std::string_view payload = "payload") {
        const tern::message_view m{.topic = "a/topic", .payload = payload, .qos = static_cast<tern::qos>(qos)};
        REQUIRE(session.publish(m, tern::op_id{1}, now) == tern::errc::none);
    }
    // Answers all packets that the client has written.
    void answer_all() {
        std::string_view rest = wire;
        replies.clear();
        while (!rest.empty()) {
            const auto found = *tern::next_frame(rest);
            const auto packet = *tern::decode(found.frame, version);
            if (const auto* p = std::get_if<tern::publish>(&packet)) {
                if (p->message.qos == tern::qos::at_least_once) put(replies, tern::puback{p->packet_id}, version);
                if (p->message.qos == tern::qos::exactly_once) put(replies, tern::pubrec{p->packet_id}, version);
            } else if (const auto* r = std::get_if<tern::pubrel>(&packet)) {
                put(replies, tern::pubcomp{r->packet_id}, version);
            } else if (std::holds_alternative<tern::pingreq>(packet)) {
                put(replies, tern::pingresp{}, version);
            } else if (const auto* s = std::get_if<tern::subscribe>(&packet)) {
                const tern::reason_code code{};
                put(replies, tern::suback{s->packet_id, std::span(&code, 1)}, version);
            }
            rest.remove_prefix(found.size);
        }
        read(replies, *this);
    }
    void settle() {
        do
            write(), answer_all();
        while (!wire.empty());
    }
    void receive(unsigned qos, tern::packet_id id, std::string_view payload = "payload") {
        const tern::message_view m{.topic = "a/topic", .payload = payload, .qos = static_cast<tern::qos>(qos)};
        answer(tern::publish{m, false, qos == 0 ? tern::packet_id{0} : id});
    }
    void release_all() {
        for (const auto token : tokens)
            session.release(token);
        tokens.clear();
    }

    protocol_version version;
    std::string wire, bytes, replies;
    std::vector<tern::message_token> tokens;
    std::size_t completed = 0;
};

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
