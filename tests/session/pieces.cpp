// Compares the parts of a session with simple reference implementations.
#include "catch.hpp"
#include "tern/detail/containers.hpp"
#include "tern/session/detail/memory/packet_id_set.hpp"
#include "tern/session/detail/receive/incoming.hpp"
#include "tern/session/detail/send/exchange_table.hpp"
#include "tern/session/detail/send/packet_log.hpp"
#include "tern/session/read_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <set>

using namespace tern::detail;

static exchange& add(exchange_table& table) {
    table.reserve();
    return table.add(table.next_id());
}

TEST_CASE("ring is a queue") {
    std::minstd_rand random(1);
    ring<int> r;
    std::deque<int> reference;
    for (int i = 0; i != 100'000; ++i) {
        if (reference.empty() || random() % 100 < (i / 1000 % 2 == 0 ? 55U : 45U)) {
            r.push_back(i);
            reference.push_back(i);
            REQUIRE(r.back() == i);
        } else {
            REQUIRE(r.pop_front() == reference.front());
            reference.pop_front();
        }
        REQUIRE(r.size() == reference.size());
        REQUIRE(r.empty() == reference.empty());
        if (reference.empty()) continue;
        REQUIRE(r.front() == reference.front());
        const std::size_t at = random() % reference.size();
        REQUIRE(r[at] == reference[at]);
    }
    ring<int> copy = r;
    while (!copy.empty()) {
        REQUIRE(copy.pop_front() == reference.front());
        reference.pop_front();
    }
    r.clear();
    CHECK(r.empty());
    r.push_back(1);
    CHECK(r.front() == 1);
}

TEST_CASE("packet_id_set is a set") {
    std::minstd_rand random(2);
    packet_id_set s;
    std::set<tern::packet_id> reference;
    CHECK(!s.contains(1));
    s.erase(1);
    for (int i = 0; i != 200'000; ++i) {
        auto id = static_cast<tern::packet_id>(random() % (i % 3 == 0 ? 65'536 : 100));
        if (i % 5 == 0) id = static_cast<tern::packet_id>(-id);
        if (random() % 2 == 0)
            s.insert(id), reference.insert(id);
        else
            s.erase(id), reference.erase(id);
        REQUIRE(s.contains(id) == reference.contains(id));
        REQUIRE(s.empty() == reference.empty());
        const auto from = static_cast<tern::packet_id>(random());
        auto absent = from;
        while (reference.contains(absent))
            ++absent;
        if (!s.empty()) REQUIRE(s.next_absent(from) == absent);
    }
    s.clear();
    CHECK(s.empty());
    CHECK(!s.contains(*reference.begin()));
}

TEST_CASE("incoming keeps a state for each identifier") {
    std::minstd_rand random(5);
    incoming ids;
    std::map<tern::packet_id, incoming_state> reference;
    CHECK(!ids.has_open_ids());
    CHECK(ids.state_of(1) == incoming_state::none);
    ids.end_connection(1);
    ids.forget_session();
    ids.reserve_ids();
    for (int i = 0; i != 200'000; ++i) {
        const auto id = static_cast<tern::packet_id>(random() % (i % 3 == 0 ? 65'536 : 100));
        const auto state = static_cast<incoming_state>(random() % 4);
        REQUIRE(ids.state_of(id) == reference[id]);
        ids.set_state(id, reference[id], state);
        reference[id] = state;
        if (i % 1'000 != 0) continue;
        ids.end_connection(1);
        for (auto& [each, earlier] : reference) {
            if (earlier != incoming_state::none) earlier = incoming_state::earlier_connection;
            REQUIRE(ids.state_of(each) == earlier);
        }
    }
    CHECK(ids.has_open_ids());
    ids.forget_session();
    CHECK(!ids.has_open_ids());
    CHECK(ids.state_of(reference.begin()->first) == incoming_state::none);
}

TEST_CASE("exchange_table assigns identifiers in turn and keeps the order") {
    std::minstd_rand random(3);
    const auto most = GENERATE(1U, 2U, 5U, 100U, 40'000U);
    exchange_table table;
    std::map<tern::packet_id, std::uint64_t> reference; // identifier to number of the exchange
    std::map<std::uint64_t, tern::packet_id> order;
    std::vector<tern::packet_id> ids;
    tern::packet_id last = 0;
    std::uint64_t number = 0;
    CHECK(table.first() == nullptr);
    CHECK(table.find(1) == nullptr);
    for (unsigned i = 0; i != 250'000; ++i) {
        const bool filling = most == 40'000 && i < most;
        if (ids.empty() || (ids.size() < most && (filling || random() % 2 == 0))) {
            auto expected = last; // the next identifier that is not in use
            do
                ++expected;
            while (expected == 0 || reference.contains(expected));
            exchange& e = add(table);
            REQUIRE(e.id != 0);
            REQUIRE(!reference.contains(e.id));
            if (table.size() > 32'768) REQUIRE(e.id == expected); // in a smaller table the slot may be occupied
            last = e.id;
            e.op = tern::op_id{++number};
            reference[e.id] = number;
            order[number] = e.id;
            ids.push_back(e.id);
        } else {
            const std::size_t which = random() % ids.size();
            const tern::packet_id id = ids[which];
            ids[which] = ids.back();
            ids.pop_back();
            const exchange* e = table.find(id);
            REQUIRE(e);
            REQUIRE(e->op == tern::op_id{reference[id]});
            table.remove(table.writable(*e));
            order.erase(reference[id]);
            reference.erase(id);
            REQUIRE(table.find(id) == nullptr);
        }
        REQUIRE(table.size() == reference.size());
        REQUIRE(table.empty() == reference.empty());
        if (i % 10'000 == 0) {
            const exchange* e = table.first();
            for (const auto& [n, id] : order) {
                REQUIRE(e);
                REQUIRE(e->id == id);
                e = table.next(*e);
            }
            REQUIRE(!e);
        }
    }
}

TEST_CASE("exchange_table works when it is full") {
    exchange_table table;
    for (unsigned i = 1; i <= 65'535; ++i) {
        REQUIRE(!table.full());
        REQUIRE(add(table).id == i);
    }
    CHECK(table.full());
    for (const unsigned id : {30'000U, 65'535U, 1U, 64U, 63U}) {
        table.remove(table.writable(*table.find(static_cast<tern::packet_id>(id))));
        CHECK(!table.full());
        CHECK(add(table).id == id);
        CHECK(table.full());
    }
    while (const exchange* e = table.first())
        table.remove(table.writable(*e));
    CHECK(table.empty());
    CHECK(add(table).id == 64); // in turn
}

TEST_CASE("receive_buffer keeps bytes in order and grows with received bytes") {
    std::minstd_rand random(4);
    receive_buffer in;
    std::string reference;
    std::size_t largest = 0;
    char next = 0;
    for (int i = 0; i != 20'000; ++i) {
        const auto room = in.prepare();
        REQUIRE(room.size() >= 512);
        largest = std::max(largest, reference.size());
        REQUIRE(room.size() <= std::max<std::size_t>(3 * largest, 4096));
        const std::size_t count = std::min<std::size_t>(random() % 700, room.size());
        for (std::size_t k = 0; k != count; ++k) {
            room[k] = ++next;
            reference += next;
        }
        in.commit(count);
        REQUIRE(in.bytes() == reference);
        const std::size_t most = i / 2000 % 2 == 0 ? 600 : 800;
        const std::size_t consumed = std::min<std::size_t>(random() % most, reference.size());
        in.consume(consumed);
        reference.erase(0, consumed);
        REQUIRE(in.bytes() == reference);
        if (i % 1000 == 0) {
            receive_buffer copy = in;
            REQUIRE(copy.bytes() == reference);
            in = std::move(copy);
        }
    }
    in.clear();
    CHECK(in.bytes().empty());
}

TEST_CASE("receive_buffer offers space for the rest of a large packet, and no more") {
    receive_buffer in;
    in.lend(tern::read_buffer::of(64 * 1024));
    const char* begin = nullptr;
    for (int packet = 0; packet != 3; ++packet) {
        const std::size_t size = 1'000'000;
        std::size_t there = 0;
        while (there != size) {
            const auto room = in.prepare();
            REQUIRE(!room.empty());
            REQUIRE(room.size() <= (there == 0 ? 64 * 1024 : size - there));
            if (there == 0 && packet == 2) REQUIRE(room.data() == begin); // it has stopped growing
            if (there == 0) begin = room.data();
            const std::size_t count = std::min<std::size_t>(room.size(), 300'000);
            in.commit(count);
            there += count;
            in.expect(size);
        }
        in.consume(size);
    }
    in.expect(2);
    CHECK(in.prepare().size() == 64 * 1024);
    CHECK(in.reclaim().size >= 1'000'000);
}

TEST_CASE("packet_log writes queued packets in order and keeps retained ones") {
    std::minstd_rand random(5);
    constexpr auto version = tern::protocol_version::v5;
    struct retained {
        packet_slice at;
        std::string bytes;
    };
    packet_log out;
    std::string expected; // queued, not yet written
    std::vector<retained> kept;
    packet_log::position queued = 0;
    std::uint64_t number = 0;
    for (int i = 0; i != 100'000; ++i) {
        const auto kind = random() % 10;
        if (kind < 4) {
            const std::string payload =
                std::to_string(++number) + std::string(random() % (i % 100 == 0 ? 70'000 : 300), 'p');
            const tern::publish p{.message = {.topic = "t", .payload = payload}};
            const measured length = *measure(p, version);
            const auto at = out.encode(p, version, length);
            std::string bytes(with_header(length), '\0');
            REQUIRE(tern::encode(p, version, bytes));
            REQUIRE(std::string_view(out.bytes(at), at.size) == bytes);
            const bool retain = random() % 3 == 0;
            if (retain) {
                out.retain(at);
                kept.push_back({at, bytes});
            }
            if (!retain || random() % 2 == 0) {
                expected += bytes;
                queued += bytes.size();
                REQUIRE(out.queue(at) == queued);
            }
        } else if (kind == 4 && !kept.empty()) {
            const retained& again = kept[random() % kept.size()];
            REQUIRE(std::string_view(out.bytes(again.at), again.at.size) == again.bytes);
            out.queue(again.at);
            expected += again.bytes;
            queued += again.bytes.size();
        } else if (kind == 5 && !kept.empty()) {
            const std::size_t which = random() % kept.size();
            out.release(kept[which].at);
            kept[which] = kept.back();
            kept.pop_back();
        } else if (kind == 6 && i % 50 == 0) {
            packet_log copy = out; // a copy is independent of the original
            out = std::move(copy);
        } else if (kind == 7 && i % 500 == 0) {
            out.drop_pending();
            expected.clear();
            REQUIRE(out.written() == queued);
        } else if (kind >= 7) {
            std::string bytes;
            for (const std::string_view part : tern::pending_bytes(out))
                bytes += part;
            REQUIRE(bytes.empty() == expected.empty());
            REQUIRE(expected.starts_with(bytes));
            const std::size_t count = bytes.empty() ? 0 : random() % (bytes.size() + 1);
            out.commit(count);
            expected.erase(0, count);
            REQUIRE(out.written() + expected.size() == queued);
        }
        REQUIRE(out.empty() == expected.empty());
        if (kept.size() > 200) {
            for (const retained& r : kept) {
                REQUIRE(std::string_view(out.bytes(r.at), r.at.size) == r.bytes);
                out.release(r.at);
            }
            kept.clear();
        }
    }
}

TEST_CASE("pending bytes stay valid while they are written and committed piece by piece") {
    packet_log out;
    std::string expected;
    for (const std::size_t size : {100U, 70'000U, 200U, 80'000U, 5U}) {
        const std::string packet(size, static_cast<char>('a' + expected.size() % 26));
        out.queue(out.copy(packet));
        expected += packet;
    }
    std::string written;
    int pieces = 0;
    for (const std::string_view bytes : tern::pending_bytes(out)) {
        written += bytes;
        out.commit(bytes.size());
        if (++pieces == 2) { // it may be missing from the range, but not from what is written
            out.queue(out.copy("more"));
            expected += "more";
        }
    }
    CHECK(pieces >= 3);
    for (const std::string_view bytes : tern::pending_bytes(out)) {
        written += bytes;
        out.commit(bytes.size());
    }
    CHECK(written == expected);
    CHECK(out.empty());
}

TEST_CASE("packet_log reuses the memory of a packet that was never queued") {
    packet_log out;
    (void)out.copy(std::string(70'000, 'a'));
    const std::string packet(30'000, 'b');
    const auto at = out.copy(packet);
    CHECK(at.offset + at.size <= out.allocated());
    out.queue(at);
    CHECK(tern::pending_bytes(out).front() == packet);
}
