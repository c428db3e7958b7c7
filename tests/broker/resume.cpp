// A conforming client whose connections are lost at arbitrary moments causes no violation, and each message arrives as
// often as its QoS requires.
#include "raw_client.hpp"
#include "tern/testing/detail/broker_conversation.hpp"
#include "tern/testing/detail/broker_core.hpp"

#include <map>
#include <random>

namespace tern::broker_tests {
namespace {

using testing::detail::broker_conversation;
using testing::detail::broker_core;

// Publishes messages to itself and acknowledges them. The bytes pass the connection in pieces of random size. Each
// connection has a window of another size. In 3.1.1 the client also resends at random on the same connection.
class conforming_client {
public:
    // The QoS and the payload of the message with this number. Some messages of QoS 2 have the same content.
    static qos qos_of(int number) { return number % 2 == 0 ? qos::at_least_once : qos::exactly_once; }
    static std::string payload_of(int number) {
        return number % 2 != 0 && number % 7 < 4 ? "open" : std::to_string(number);
    }

    conforming_client(broker_core& core, protocol_version version, unsigned seed)
        : core_(core)
        , version_(version)
        , random_(seed) {}

    void run(int messages) {
        int published = 0;
        while (core_.violations().empty() && (published != messages || !flights_.empty() || !incoming_.empty())) {
            reconnect();
            for (int step = 0; step != 40; ++step) {
                if (published != messages && flights_.size() < 5) start(++published);
                if (version_ == v3_1_1 && random_() % 8 == 0) resend_one();
                step % 2 == 0 ? send_piece() : receive_piece();
                if (published == messages && flights_.empty() && incoming_.empty()) break;
            }
            // Bytes in flight are lost with the connection.
            conversation_->on_lost(now_);
        }
        for (const auto& each : core_.violations())
            UNSCOPED_INFO(each.statement << " " << each.text);
        REQUIRE(core_.violations().empty());
        reconnect();
        for (int step = 0; step != 200; ++step)
            step % 2 == 0 ? send_piece() : receive_piece();
    }

    std::map<std::string, int> received; // by payload

private:
    struct flight {
        publish packet;
        std::string payload;
        bool released = false;
        bool sent = false;      // on any connection
        bool sent_here = false; // PUBLISH, on this connection
    };

    void reconnect() {
        conversation_.emplace(core_, now_);
        to_broker_.clear();
        to_client_.clear();
        input_.clear();
        connect p = lasting("c", version_);
        if (version_ == v5) p.properties.receive_maximum = static_cast<std::uint16_t>(1 + random_() % 4);
        send(p);
        const std::array<subscription, 1> list{{{.filter = "#", .max_qos = qos::exactly_once}}};
        if (!subscribed_) send(subscribe{.packet_id = 60'000, .subscriptions = list});
        while (!connected_) {
            send_piece();
            receive_piece();
        }
        if (!session_present_) incoming_.clear();
        const std::size_t maximum = version_ == v5 ? core_.options().limits.receive_maximum.value_or(65'535) : 65'535;
        window_ = std::min<std::size_t>(1 + random_() % 5, maximum);
        for (flight& each : flights_)
            each.sent_here = false;
        const bool pubrels_last = random_() % 2 == 0; // PUBREL and PUBLISH may be resent in any relative order
        if (pubrels_last) send_messages();
        for (const flight& each : flights_)
            if (each.released) send(pubrel{.packet_id = each.packet.packet_id});
        send_messages();
    }

    void start(int number) {
        flight& f = flights_.emplace_back();
        f.payload = payload_of(number);
        f.packet = make_publish("t", f.payload, qos_of(number), unused_id());
        send_messages();
    }
    // Sends as many messages as the window allows, old ones first. A PUBREL of an earlier connection takes no place.
    void send_messages() {
        std::size_t open = 0;
        for (flight& each : flights_) {
            if (!each.released && !each.sent_here) {
                if (open == window_) return;
                send_message(each);
            }
            open += each.sent_here ? 1 : 0;
        }
    }
    void send_message(flight& f) {
        f.packet.message.payload = f.payload; // the payload may have moved together with the flight
        f.packet.dup = std::exchange(f.sent, true);
        f.sent_here = true;
        send(f.packet);
    }
    void resend_one() {
        if (flights_.empty()) return;
        flight& f = flights_[random_() % flights_.size()];
        if (f.released)
            send(pubrel{.packet_id = f.packet.packet_id});
        else if (f.sent_here)
            send_message(f);
    }
    packet_id unused_id() {
        // An acknowledgement of a repetition must not be taken for that of another message.
        if (version_ == v3_1_1) return ++last_id_;
        for (packet_id id = 1;; ++id)
            if (std::ranges::none_of(flights_, [&](const flight& f) { return f.packet.packet_id == id; })) return id;
    }

    template <packet Packet>
    void send(const Packet& p) {
        if (Packet::type == packet_type::connect) connected_ = false;
        to_broker_ += bytes_of(p, version_);
    }
    std::string take_piece(std::string& bytes) {
        const std::size_t size = std::min<std::size_t>(bytes.size(), random_() % 40);
        const std::string piece = bytes.substr(0, size);
        bytes.erase(0, size);
        return piece;
    }
    void send_piece() { conversation_->on_bytes(take_piece(to_broker_), now_); }
    void receive_piece() {
        to_client_ += conversation_->link().take_output();
        input_ += take_piece(to_client_);
        for (;;) {
            const auto next = next_frame(input_);
            REQUIRE(next);
            if (!next->complete) return;
            const auto p = decode(next->frame, version_);
            REQUIRE(p);
            std::visit([&](const auto& each) { on(each); }, *p);
            input_.erase(0, next->size);
        }
    }

    template <class Packet>
    void on(const Packet&) {
        FAIL("unexpected packet type " << static_cast<int>(Packet::type));
    }
    void on(const connack& p) {
        connected_ = true;
        session_present_ = p.session_present;
    }
    void on(const suback&) { subscribed_ = true; }
    void on(const publish& p) {
        const bool known = std::ranges::find(incoming_, p.packet_id) != incoming_.end();
        if (!known || p.message.qos != qos::exactly_once) ++received[std::string(p.message.payload)];
        if (p.message.qos == qos::at_least_once) {
            send(puback{.packet_id = p.packet_id});
        } else {
            if (!known) incoming_.push_back(p.packet_id);
            send(pubrec{.packet_id = p.packet_id});
        }
    }
    void on(const pubrel& p) {
        std::erase(incoming_, p.packet_id);
        send(pubcomp{.packet_id = p.packet_id});
    }
    void on(const puback& p) { erase_flight(p.packet_id); }
    void on(const pubcomp& p) { erase_flight(p.packet_id); }
    void on(const pubrec& p) {
        for (flight& each : flights_) {
            if (each.packet.packet_id == p.packet_id) {
                each.released = true;
                send(pubrel{.packet_id = p.packet_id});
            }
        }
    }
    void erase_flight(packet_id id) {
        std::erase_if(flights_, [&](const flight& each) { return each.packet.packet_id == id; });
        send_messages();
    }

    broker_core& core_;
    protocol_version version_;
    std::minstd_rand random_;
    testing::detail::broker_time now_{std::chrono::hours(1)};
    std::optional<broker_conversation> conversation_;
    std::string to_broker_; // in flight
    std::string to_client_; // in flight
    std::string input_;
    std::deque<flight> flights_;
    std::vector<packet_id> incoming_;
    std::size_t window_ = 0;
    packet_id last_id_ = 0;
    bool connected_ = false;
    bool session_present_ = false;
    bool subscribed_ = false;
};

TEST_CASE("A conforming client causes no violation, whenever its connections are lost [v311:MQTT-4.4.0-1, "
          "v311:MQTT-4.6.0-1, v5:MQTT-4.4.0-1, v5:MQTT-4.6.0-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    for (unsigned seed = 1; seed != 60; ++seed) {
        INFO("seed " << seed);
        broker_options options;
        if (seed % 3 != 0) options.limits.receive_maximum = static_cast<std::uint16_t>(seed % 3);
        broker_core core(options);
        conforming_client client(core, version, seed);
        client.run(60);
        REQUIRE(core.violations().empty());
        std::map<std::string, int> sent;
        for (int number = 1; number <= 60; ++number)
            ++sent[conforming_client::payload_of(number)];
        for (int number = 1; number <= 60; ++number) {
            const std::string payload = conforming_client::payload_of(number);
            const int count = client.received[payload];
            INFO("message " << payload << " received " << count << " times");
            const bool once = conforming_client::qos_of(number) == qos::exactly_once;
            REQUIRE((once ? count == sent[payload] : count >= sent[payload]));
        }
    }
}

TEST_CASE("Two messages with the same content are not taken for one with a new identifier [v311:MQTT-4.4.0-1, "
          "v5:MQTT-4.4.0-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    broker_fixture fixture;
    auto witness = fixture.connected("w", version);
    witness.subscribes({{.filter = "door", .max_qos = qos::at_most_once}});
    {
        auto client = fixture.connected(lasting("c", version));
        client.send(make_publish("door", "open", qos::exactly_once, 1));
        client.expect<pubrec>();
        client.close(); // PUBREL 1 and PUBLISH 2 are lost
    }
    auto client = fixture.connected(lasting("c", version));
    const publish second = again(make_publish("door", "open", qos::exactly_once, 2));
    SECTION("PUBLISH first") {
        client.send(second, pubrel{.packet_id = 1});
        CHECK(client.expect<pubrec>().packet_id == 2);
        CHECK(client.expect<pubcomp>().packet_id == 1);
    }
    SECTION("PUBREL first") {
        client.send(pubrel{.packet_id = 1}, second);
        CHECK(client.expect<pubcomp>().packet_id == 1);
        CHECK(client.expect<pubrec>().packet_id == 2);
    }
    client.send(pubrel{.packet_id = 2});
    CHECK(client.expect<pubcomp>().packet_id == 2);
    witness.receives("door", "open");
    witness.receives("door", "open");
    CHECK(fixture.broken().empty());
}

} // namespace
} // namespace tern::broker_tests
