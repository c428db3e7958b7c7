// Nothing takes quadratic time, and the memory of a burst is freed. With 65,535 items, a quadratic step takes minutes
// in an unoptimised build.
#include "catch.hpp"
#include "memory_client.hpp"
#include "support/heap.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tern::op_id;
using tern::protocol_version;
using client = memory_client;

constexpr unsigned most = 65'535;

// All numbers from 1 to `count`, in a random order.
std::vector<unsigned> shuffled(unsigned count) {
    std::vector<unsigned> numbers(count);
    for (unsigned i = 0; i != count; ++i)
        numbers[i] = i + 1;
    std::shuffle(numbers.begin(), numbers.end(), std::minstd_rand(1));
    return numbers;
}

tern::connect_options resumable(protocol_version v) {
    tern::connect_options options{.clean_start = false, .keep_alive = 0s, .queue = {.messages = 1'000'000}};
    options.ack_timeout = 0s;
    options.max_in_flight = std::uint16_t{65'535};
    options.inbox_limit = 65'535;
    if (v == protocol_version::v5) options.properties.session_expiry_interval = 1'000s;
    return options;
}

void lose(client& c) {
    c.session.on_disconnected(std::make_error_code(std::errc::connection_reset), c.now);
    c.poll(c);
    c.now += 1h;
    c.session.on_deadline(c.now);
}
void resume(client& c) {
    c.open_transport();
    c.write();
    c.answer(tern::connack{.session_present = true});
    REQUIRE(c.session.is_connected());
    c.now += 1s;
}

void publish(client& c, unsigned qos, op_id op) {
    const tern::message_view m{.topic = "a/topic", .payload = "payload", .qos = static_cast<tern::qos>(qos)};
    REQUIRE(c.session.publish(m, op, c.now) == tern::errc::none);
}

// Receives PUBLISH with each identifier.
void receive_all(client& c) {
    for (unsigned id = 1; id <= most; ++id)
        c.receive(2, static_cast<tern::packet_id>(id));
}
void release_in_random_order(client& c, const std::vector<tern::message_token>& tokens) {
    for (const unsigned i : shuffled(static_cast<unsigned>(tokens.size())))
        c.session.release(tokens[i - 1]);
    c.poll(c);
}

} // namespace

TEST_CASE("65,535 unreleased QoS 2 messages are lost, repeated and released in linear time") {
    client c(protocol_version::v5, resumable(protocol_version::v5));
    receive_all(c);
    const std::vector<tern::message_token> tokens = c.tokens;
    REQUIRE(tokens.size() == most);
    for (int i = 0; i != 2; ++i) {
        lose(c);
        resume(c);
        receive_all(c);
        CHECK(c.tokens.size() == most); // nothing is delivered twice
    }
    release_in_random_order(c, tokens);
    c.write();
    CHECK(c.wire.size() == 4 * most); // PUBREC
    for (unsigned id = 1; id <= most; ++id)
        c.answer(tern::pubrel{static_cast<tern::packet_id>(id)});
    c.write();
    CHECK(c.wire.size() == 4 * most); // PUBCOMP
}

TEST_CASE("65,535 PUBRELs for unreleased messages of an earlier connection take linear time") {
    client c(protocol_version::v5, resumable(protocol_version::v5));
    receive_all(c);
    lose(c);
    resume(c);
    for (const unsigned id : shuffled(most))
        c.answer(tern::pubrel{static_cast<tern::packet_id>(id)});
    c.write();
    CHECK(c.wire.size() == 4 * most);
    release_in_random_order(c, c.tokens); // it has no effect
    c.write();
    CHECK(c.wire.empty());
}

TEST_CASE("65,534 PUBRECs that are due once more are cancelled by PUBREL in linear time [v5:MQTT-4.3.3-10]") {
    client c(protocol_version::v5, resumable(protocol_version::v5));
    const auto each = [&](auto f) {
        for (unsigned id = 2; id <= most; ++id)
            f(static_cast<tern::packet_id>(id));
    };
    each([&](tern::packet_id id) { c.receive(2, id); });
    c.release_all();
    c.poll(c);
    c.write();
    c.receive(2, 1); // holds back what follows
    each([&](tern::packet_id id) { c.receive(2, id); });
    c.write();
    CHECK(c.wire.empty());
    each([&](tern::packet_id id) { c.answer(tern::pubrel{id}); });
    c.write();
    CHECK(c.wire.size() == 4 * (most - 1)); // PUBCOMP
    c.receive(2, 2);                        // a new message: its PUBREC is not that which was cancelled
    c.session.release(c.tokens[0]);
    c.poll(c);
    c.write();
    CHECK(c.wire.size() == 4); // PUBREC 1
    c.release_all();
    c.poll(c);
    c.write();
    CHECK(c.wire.size() == 4); // PUBREC 2
}

TEST_CASE("100,000 queued messages are cancelled in a random order in linear time") {
    client c(protocol_version::v5, resumable(protocol_version::v5));
    lose(c);
    for (unsigned i = 1; i <= 100'000; ++i)
        publish(c, i % 3, op_id{i});
    unsigned cancelled = 0;
    for (const std::uint64_t op : shuffled(100'000)) {
        if (op % 10 == 0) continue;
        REQUIRE(c.session.cancel(op_id{op}, c.now));
        if (++cancelled % 3 == 0) publish(c, 1, op_id{op}); // the id is used again, and the queue grows
        if (cancelled % 6 == 0) REQUIRE(c.session.cancel(op_id{op}, c.now));
    }
    CHECK(c.session.counters().queued == 10'000 + 15'000);
    resume(c);
    c.settle();
    CHECK(c.completed == 25'000);
}

TEST_CASE("65,000 requests that wait for the connection are cancelled in a random order in linear time") {
    client c(protocol_version::v5, resumable(protocol_version::v5));
    lose(c);
    const tern::subscription s{.filter = "a"};
    for (unsigned i = 1; i <= 65'000; ++i)
        REQUIRE(c.session.subscribe(std::span(&s, 1), {}, op_id{i}, c.now) == tern::errc::none);
    for (const std::uint64_t op : shuffled(65'000)) {
        if (op > 10) REQUIRE(c.session.cancel(op_id{op}, c.now));
        if (op == 30'000) { // a copy finds the rest
            tern::session copy = c.session;
            c.session = std::move(copy);
        }
    }
    resume(c);
    c.settle();
    CHECK(c.completed == 10);
}

TEST_CASE("messages that are not written are cancelled in a random order in linear time, and not sent again") {
    const auto qos = static_cast<unsigned>(GENERATE(0, 1));
    client c(protocol_version::v5, resumable(protocol_version::v5));
    std::uint64_t count = 0;
    for (; c.session.counters().queued == 0; ++count) {
        const tern::message_view m{.topic = "t", .qos = static_cast<tern::qos>(qos)};
        REQUIRE(c.session.publish(m, op_id{count + 1}, c.now) == tern::errc::none);
    }
    REQUIRE(count > 25'000);
    for (const std::uint64_t op : shuffled(static_cast<unsigned>(count)))
        CHECK(c.session.cancel(op_id{op}, c.now) == (op == count)); // the last one is queued
    lose(c);
    resume(c);
    c.wire.clear();
    c.settle();
    CHECK(c.session.counters().messages_sent == 0);
}

TEST_CASE("50,000 drains are cancelled in a random order, and time out, in linear time") {
    client c(protocol_version::v5, resumable(protocol_version::v5));
    publish(c, 1, op_id::none);
    for (unsigned i = 1; i <= 50'000; ++i) {
        REQUIRE(c.session.drain(op_id{i}, c.now + std::chrono::milliseconds(i), c.now) == tern::errc::none);
        c.poll(c);
    }
    for (const std::uint64_t op : shuffled(50'000))
        if (op % 2 == 0) REQUIRE(c.session.cancel(op_id{op}, c.now));
    c.poll(c);
    CHECK(c.completed == 0);
    const tern::time_point end = c.now + 51s;
    while (c.session.next_deadline() <= end) {
        c.now = c.session.next_deadline();
        c.session.on_deadline(c.now);
        c.poll(c);
    }
    CHECK(c.completed == 25'000);
}

TEST_CASE("a message that stays in each piece of the packet log does not keep the others' memory") {
    // The broker acknowledges all but every 500th message, and these are never acknowledged.
    const auto qos = static_cast<unsigned>(GENERATE(1, 2));
    tern::connect_options options = resumable(protocol_version::v5);
    options.queue.bytes = std::size_t{1} << 20U;
    client c(protocol_version::v5, options);
    const std::string payload(500, 'x');
    const std::size_t before = heap::live_bytes();
    heap::reset_peak();
    for (unsigned i = 0; i != 300'000; ++i) {
        c.publish(qos, payload);
        if (i % 10 != 9) continue;
        c.write();
        if (i % 500 < 10) c.wire.erase(0, tern::next_frame(c.wire)->size); // the first one is lost
        c.answer_all();
        c.settle();
    }
    CHECK(c.session.counters().in_flight == 600);
    CHECK(heap::live_bytes() - before < 3'000'000);
    CHECK(heap::peak_bytes() - before < 4'000'000);
    lose(c);
    resume(c);
    c.settle(); // all are intact
    CHECK(c.completed == 300'000);
    CHECK(c.session.counters().in_flight == 0);
}

TEST_CASE("an idle session is back at its memory of before a burst") {
    const auto keep_alive = GENERATE(0s, 60s);
    const auto what = GENERATE(0, 1, 2, 3, 4, 5);
    CAPTURE(keep_alive.count(), what);
    tern::connect_options options = resumable(protocol_version::v5);
    options.keep_alive = keep_alive;
    client c(protocol_version::v5, options);
    const auto free_test_memory = [&] {
        c.wire = c.bytes = c.replies = {};
        for (std::string* s : {&c.wire, &c.bytes, &c.replies})
            s->shrink_to_fit();
        std::vector<tern::message_token>().swap(c.tokens);
    };
    free_test_memory();
    const std::size_t before = heap::live_bytes();
    c.now += 1s;
    if (what < 3) { // messages with this QoS
        for (unsigned i = 1; i <= 100'000; ++i)
            publish(c, static_cast<unsigned>(what), op_id{i});
        c.settle();
    } else if (what == 3) { // received messages
        receive_all(c);
        c.release_all();
        c.poll(c);
        c.settle();
        for (unsigned id = 1; id <= most; ++id)
            c.answer(tern::pubrel{static_cast<tern::packet_id>(id)});
        c.settle();
    } else if (what == 4) { // cancelled messages and drains, with a lost connection
        lose(c);
        for (unsigned i = 1; i <= 100'000; ++i)
            publish(c, i % 3, op_id{i});
        for (const std::uint64_t op : shuffled(100'000))
            REQUIRE(c.session.cancel(op_id{op}, c.now));
        for (unsigned i = 1; i <= 50'000; ++i)
            REQUIRE(c.session.drain(op_id{i}, c.now + 1h, c.now) == tern::errc::none);
        c.poll(c);
        resume(c);
        c.settle();
    } else { // unreleased messages of an earlier connection
        receive_all(c);
        lose(c);
        resume(c);
        release_in_random_order(c, c.tokens);
        for (unsigned id = 1; id <= most; ++id)
            c.answer(tern::pubrel{static_cast<tern::packet_id>(id)});
        c.settle();
    }
    free_test_memory();
    if (what < 4) CHECK(heap::live_bytes() > before + 8'000); // otherwise the lost connection has freed most of it
    for (const tern::time_point end = c.now + 1h; c.session.next_deadline() <= end;) {
        c.now = c.session.next_deadline();
        c.session.on_deadline(c.now);
        c.settle();
    }
    free_test_memory();
    CHECK(heap::live_bytes() <= before + 4'096);
    CHECK(c.session.is_connected());
}
