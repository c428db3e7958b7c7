// A session and a broker that answers late and in any order, with thousands of random schedules. The broker checks
// every packet against the rules for clients. The test checks that every message and every operation completes exactly
// once, and that no state is left over.
#include "catch.hpp"
#include "session_driver.hpp"
#include "support/heap.hpp"

#include <deque>
#include <map>
#include <random>
#include <set>

namespace {

using namespace std::chrono_literals;
using tern::protocol_version;

struct schedule {
    unsigned seed;
    protocol_version version;
    std::uint16_t window;
    std::uint16_t receive_maximum;
    bool repeats; // 3.1.1: both sides resend on the same connection
};

class run : session_driver {
public:
    explicit run(const schedule& s) : s_(s), random_(s.seed) {}

    void all() {
        tern::connect_options options{.version = s_.version, .client_id = "c", .keep_alive = 0s};
        options.max_in_flight = s_.window;
        options.connack_timeout = 0s;
        options.ack_timeout = s_.repeats ? 20s : 0s;
        if (v5()) options.properties.receive_maximum = s_.receive_maximum;
        REQUIRE(session.connect(options, now) == tern::errc::none);
        open_transport();
        for (int step = 0; step != 300; ++step)
            one_step(true);
        for (int step = 0; !is_quiet(); ++step) {
            REQUIRE(step < 20'000);
            one_step(false);
        }
        // No state is left over.
        CHECK(unfinished_.empty());
        CHECK(used_ids_.empty());
        CHECK(unacknowledged_ == 0);
        CHECK(inbound_.empty());
        CHECK(delivered_ == sent_to_client_);
        CHECK(arrived_ == published_);
        if (session.next_deadline() != tern::time_point::max()) { // a quiet session frees memory
            now = session.next_deadline();
            session.on_deadline(now);
        }
        CHECK(session.next_deadline() == tern::time_point::max());
        CHECK(session.is_connected());
        // The whole window is available again.
        const tern::message_view m{.topic = "z", .qos = tern::qos::at_least_once};
        for (unsigned i = 0; i != s_.window + 1U && i != 100; ++i)
            REQUIRE(session.publish(m, {}, now) == tern::errc::none);
        std::string wire;
        write_to(wire, *this);
        const std::size_t size = *tern::encoded_size(tern::publish{m, false, 1}, s_.version);
        CHECK(wire.size() == size * std::min<std::size_t>(s_.window, 100));
    }

    void operator()(const tern::event& e) {
        if (const auto* c = std::get_if<tern::completed>(&e)) {
            REQUIRE(unfinished_.erase(c->op) == 1);
            unanswered_pings_.erase(c->op);
            REQUIRE(!c->error);
        } else if (const auto* r = std::get_if<tern::received>(&e)) {
            if (r->qos == tern::qos::exactly_once)
                REQUIRE(delivered_.insert(std::string{r->payload}).second);
            else
                delivered_.insert(std::string{r->payload});
            if (r->token != tern::message_token::none) held_.push_back(r->token);
        } else {
            REQUIRE(!std::holds_alternative<tern::completed>(e));
            REQUIRE(session.is_connected() == (session.counters().connections == 1));
        }
    }

private:
    struct inbound { // a message to the client
        tern::packet_id id;
        unsigned qos;
        bool received = false; // PUBREC has arrived
        std::string payload;
    };

    bool v5() const { return s_.version == protocol_version::v5; }
    unsigned below(unsigned n) { return static_cast<unsigned>(random_() >> 4) % n; }
    bool is_quiet() {
        return unfinished_.empty() && held_.empty() && due_.empty() && inbound_.empty() && to_client_.empty() &&
               session.pending_write().empty() && from_client_.empty();
    }

    void one_step(bool busy) {
        switch (below(busy ? 10 : 7)) {
        case 0:
        case 1: {
            std::string wire;
            write_to(wire, *this, below(2) == 0 ? 1 + below(40) : SIZE_MAX);
            from_client_ += wire;
            understand();
            break;
        }
        case 2: {
            const std::size_t count = std::min<std::size_t>(to_client_.size(), 1 + below(60));
            read(std::string(to_client_, 0, count), *this);
            to_client_.erase(0, count);
            break;
        }
        case 3: release(); break;
        case 4:
        case 5: answer(); break;
        case 6:
            if (!unanswered_pings_.empty()) break; // a late PINGRESP would end the connection
            now += std::chrono::milliseconds(below(8'000));
            session.on_deadline(now);
            poll(*this);
            if (s_.repeats && !inbound_.empty() && below(10) == 0) { // the broker resends a message
                const inbound& m = inbound_[below(static_cast<unsigned>(inbound_.size()))];
                if (m.qos == 2 && !m.received) send(m, true);
            }
            break;
        case 7:
        case 8: request(); break;
        case 9: publish_to_client(); break;
        }
        REQUIRE(wants_close() == false);
    }

    void request() {
        if (!session.is_connected()) return;
        const tern::op_id op{++number_};
        const unsigned kind = below(6);
        if (s_.repeats && (kind == 3 || kind == 4)) return; // a late answer to a request closes the connection
        const std::string payload = std::to_string(number_);
        if (kind <= 2) {
            const tern::message_view m{.topic = "a", .payload = payload, .qos = static_cast<tern::qos>(kind)};
            REQUIRE(session.publish(m, op, now) == tern::errc::none);
            published_.insert(payload);
        } else if (kind == 3) {
            const tern::subscription s{.filter = "a"};
            REQUIRE(session.subscribe(std::span(&s, 1), {}, op, now) == tern::errc::none);
        } else if (kind == 4) {
            const std::string_view u = "u";
            REQUIRE(session.unsubscribe(std::span(&u, 1), {}, op, now) == tern::errc::none);
        } else {
            REQUIRE(session.ping(op, now) == tern::errc::none);
            unanswered_pings_.insert(op);
        }
        unfinished_.insert(op);
        poll(*this);
    }

    void release() {
        if (held_.empty()) return;
        const std::size_t which = below(static_cast<unsigned>(held_.size()));
        session.release(held_[which]);
        held_[which] = held_.back();
        held_.pop_back();
        poll(*this);
    }

    // The broker processes the bytes that the client has written.
    void understand() {
        for (;;) {
            const auto found = tern::next_frame(from_client_);
            REQUIRE(found);
            if (!found->complete) return;
            const auto packet = tern::decode(found->frame, s_.version);
            REQUIRE(packet);
            std::visit([&](const auto& p) { on(p); }, *packet);
            from_client_.erase(0, found->size);
        }
    }

    template <class Packet>
    void on(const Packet&) {
        FAIL("a packet that clients must not send");
    }
    void on(const tern::connect&) {
        REQUIRE(number_ == 0);
        put(to_client_, tern::connack{}, s_.version);
    }
    void on(const tern::pingreq&) { due_.push_back({tern::packet_type::pingresp, 0}); }
    void on(const tern::subscribe& p) { take_id(p.packet_id, tern::packet_type::suback); }
    void on(const tern::unsubscribe& p) { take_id(p.packet_id, tern::packet_type::unsuback); }
    void on(const tern::publish& p) {
        const std::string payload{p.message.payload};
        if (p.message.qos == tern::qos::at_most_once) {
            REQUIRE(arrived_.insert(payload).second);
            return;
        }
        const bool twice = p.message.qos == tern::qos::exactly_once;
        const auto ack = twice ? tern::packet_type::pubrec : tern::packet_type::puback;
        if (p.dup) { // never in 5.0 [MQTT-4.4.0-1]
            REQUIRE(s_.repeats);
            REQUIRE(!v5());
            if (arrived_.contains(payload)) {
                due_.push_back({ack, p.packet_id});
                return;
            }
        }
        REQUIRE(arrived_.insert(payload).second);
        take_id(p.packet_id, ack);
        REQUIRE(++unacknowledged_ <= s_.window); // [MQTT-3.3.4-7]
    }
    void on(const tern::pubrel& p) { due_.push_back({tern::packet_type::pubcomp, p.packet_id}); }

    void take_id(tern::packet_id id, tern::packet_type ack) {
        REQUIRE(id != 0);
        REQUIRE(used_ids_.insert(id).second); // [MQTT-2.2.1-3]
        due_.push_back({ack, id});
    }

    // The client's acknowledgements of the broker's messages.
    void on(const tern::puback& p) {
        REQUIRE(p.packet_id == take_next_ack(1));
        std::erase_if(inbound_, [&](const inbound& m) { return m.id == p.packet_id; });
    }
    void on(const tern::pubrec& p) {
        const auto m = std::find_if(inbound_.begin(), inbound_.end(), [&](auto& i) { return i.id == p.packet_id; });
        if (m == inbound_.end() || m->received) { // a second PUBREC, for a resent message
            REQUIRE(s_.repeats);
            return;
        }
        REQUIRE(p.packet_id == take_next_ack(2));
        m->received = true;
        due_.push_back({tern::packet_type::pubrel, p.packet_id});
    }
    void on(const tern::pubcomp& p) {
        const auto erased =
            std::erase_if(inbound_, [&](const inbound& m) { return m.id == p.packet_id && m.received; });
        REQUIRE(erased == 1);
    }
    // The oldest unacknowledged message of this QoS [MQTT-4.6.0-2, MQTT-4.6.0-3].
    tern::packet_id take_next_ack(unsigned qos) {
        for (const inbound& m : inbound_)
            if (m.qos == qos && !m.received) return m.id;
        return 0;
    }

    // The broker sends a random one of the answers that are due.
    void answer() {
        if (due_.empty()) return;
        const std::size_t which = below(static_cast<unsigned>(due_.size()));
        const auto [type, id] = due_[which];
        due_.erase(due_.begin() + static_cast<std::ptrdiff_t>(which));
        const tern::reason_code code{};
        switch (type) {
        case tern::packet_type::pingresp: put(to_client_, tern::pingresp{}, s_.version); break;
        case tern::packet_type::puback:
            put(to_client_, tern::puback{id}, s_.version);
            free_id(id, true);
            break;
        case tern::packet_type::pubrec: put(to_client_, tern::pubrec{id}, s_.version); break;
        case tern::packet_type::pubcomp:
            put(to_client_, tern::pubcomp{id}, s_.version);
            free_id(id, true);
            break;
        case tern::packet_type::pubrel: put(to_client_, tern::pubrel{id}, s_.version); break;
        case tern::packet_type::suback:
            put(to_client_, tern::suback{id, std::span(&code, 1)}, s_.version);
            free_id(id, false);
            break;
        case tern::packet_type::unsuback:
            put(to_client_, tern::unsuback{id, std::span(&code, v5() ? 1 : 0)}, s_.version);
            free_id(id, false);
            break;
        default: FAIL("not an answer");
        }
    }
    void free_id(tern::packet_id id, bool message) {
        if (used_ids_.erase(id) != 0 && message) --unacknowledged_;
    }

    void publish_to_client() {
        if (!session.is_connected()) return;
        std::set<tern::packet_id> used;
        for (const inbound& m : inbound_)
            used.insert(m.id);
        inbound m{static_cast<tern::packet_id>(1 + below(30)), below(3), false, "m" + std::to_string(++number_)};
        if (m.qos != 0 && (used.contains(m.id) || inbound_.size() >= s_.receive_maximum)) return;
        if (m.qos == 0) m.id = 0;
        sent_to_client_.insert(m.payload);
        send(m, false);
        if (m.qos != 0) inbound_.push_back(m);
    }
    void send(const inbound& m, bool dup) {
        put(to_client_,
            tern::publish{{.topic = "m", .payload = m.payload, .qos = static_cast<tern::qos>(m.qos)}, dup, m.id},
            s_.version);
    }

    schedule s_;
    std::minstd_rand random_;
    std::uint64_t number_ = 0;

    std::set<tern::op_id> unfinished_, unanswered_pings_;
    std::vector<tern::message_token> held_;
    std::set<std::string> delivered_, sent_to_client_; // payloads
    std::set<std::string> arrived_, published_;

    std::string from_client_, to_client_;
    std::set<tern::packet_id> used_ids_;
    std::deque<std::pair<tern::packet_type, tern::packet_id>> due_;
    std::deque<inbound> inbound_; // in the order of sending
    unsigned unacknowledged_ = 0;
};

} // namespace

TEST_CASE("every operation completes once with random schedules of a conforming broker [v311:MQTT-4.3.2-1, "
          "v311:MQTT-4.3.3-1, v311:MQTT-4.6.0-2, v311:MQTT-4.6.0-3, v5:MQTT-2.2.1-3, v5:MQTT-3.3.4-7, "
          "v5:MQTT-4.3.2-1, v5:MQTT-4.3.3-1, v5:MQTT-4.3.3-10, v5:MQTT-4.6.0-2, v5:MQTT-4.6.0-3]") {
    const std::size_t before = heap::live_bytes();
    unsigned seed = 1;
    for (int i = 0; i != 150; ++i) {
        for (const std::uint16_t window : {std::uint16_t{1}, std::uint16_t{3}, std::uint16_t{65'535}}) {
            for (const std::uint16_t receive_maximum : {std::uint16_t{1}, std::uint16_t{20}}) {
                for (int way = 0; way != 3; ++way) {
                    const auto version = way == 0 ? protocol_version::v5 : protocol_version::v3_1_1;
                    const schedule s{++seed, version, window, receive_maximum, way == 2};
                    CAPTURE(s.seed, way, window, receive_maximum);
                    run(s).all();
                }
            }
        }
    }
    CHECK(heap::live_bytes() <= before + 10'000); // after 2,700 runs
}
