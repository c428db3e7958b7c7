// A client that does everything right, over connections that are lost at any moment, is never accused, and every
// message arrives as often as its QoS says.
#include "raw_client.hpp"
#include "tern/testing/detail/broker_conversation.hpp"
#include "tern/testing/detail/broker_core.hpp"

#include <map>
#include <random>

namespace tern::broker_tests {
namespace {

using testing::detail::broker_conversation;
using testing::detail::broker_core;

// Publishes to itself and acknowledges. What it sends and what it is sent passes the link piece by piece.
class right_client {
public:
    // The message with this number. Some messages of QoS 2 are alike.
    static qos qos_of(int number) { return number % 2 == 0 ? qos::at_least_once : qos::exactly_once; }
    static std::string payload_of(int number) {
        return number % 2 != 0 && number % 7 < 4 ? "open" : std::to_string(number);
    }

    right_client(broker_core& core, protocol_version version, unsigned seed)
        : core_(core)
        , version_(version)
        , random_(seed) {}

    void run(int messages) {
        int published = 0;
        while (published != messages || !flights_.empty() || !incoming_.empty()) {
            connect_again();
            for (int step = 0; step != 40; ++step) {
                if (published != messages && flights_.size() < 5) start(++published);
                step % 2 == 0 ? pass_up() : pass_down();
                if (published == messages && flights_.empty() && incoming_.empty()) break;
            }
            // Whatever is still on its way is lost with the connection.
            conversation_->on_lost(now_);
        }
        connect_again();
        for (int step = 0; step != 200; ++step)
            step % 2 == 0 ? pass_up() : pass_down();
        CHECK(core_.violations().empty());
        for (const auto& each : core_.violations())
            UNSCOPED_INFO(each.statement << " " << each.text);
    }

    std::map<std::string, int> received; // by payload

private:
    struct flight {
        publish packet;
        std::string payload;
        bool released = false;
    };

    void connect_again() {
        conversation_.emplace(core_, now_);
        up_.clear();
        down_.clear();
        input_.clear();
        connect p = lasting("c", version_);
        if (version_ == v5) p.properties.receive_maximum = static_cast<std::uint16_t>(1 + random_() % 4);
        send(p);
        const std::array<subscription, 1> list{{{.filter = "#", .max_qos = qos::exactly_once}}};
        if (!subscribed_) send(subscribe{.packet_id = 60'000, .subscriptions = list});
        while (!input_has_connack()) {
            pass_up();
            pass_down();
        }
        if (!present_) incoming_.clear();
        const bool pubrels_last = random_() % 2 == 0; // no order is asked for between these and PUBLISH
        for (flight& each : flights_) {
            each.packet.dup = true;
            if (!each.released)
                send_message(each);
            else if (!pubrels_last)
                send(pubrel{.packet_id = each.packet.packet_id});
        }
        for (const flight& each : flights_)
            if (each.released && pubrels_last) send(pubrel{.packet_id = each.packet.packet_id});
    }
    bool input_has_connack() const { return connected_; }

    void start(int number) {
        flight& f = flights_.emplace_back();
        f.payload = payload_of(number);
        f.packet = make_publish("t", f.payload, qos_of(number), unused_id());
        send_message(f);
    }
    void send_message(flight& f) {
        f.packet.message.payload = f.payload; // which has moved with its flight
        send(f.packet);
    }
    packet_id unused_id() {
        for (packet_id id = 1;; ++id)
            if (std::ranges::none_of(flights_, [&](const flight& f) { return f.packet.packet_id == id; }))
                return id;
    }

    template <packet Packet>
    void send(const Packet& p) {
        if (Packet::type == packet_type::connect) connected_ = false;
        up_ += bytes_of(p, version_);
    }
    std::string some_of(std::string& bytes) {
        const std::size_t size = std::min<std::size_t>(bytes.size(), random_() % 40);
        const std::string some = bytes.substr(0, size);
        bytes.erase(0, size);
        return some;
    }
    void pass_up() { conversation_->on_bytes(some_of(up_), now_); }
    void pass_down() {
        down_ += conversation_->link().take_output();
        input_ += some_of(down_);
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
        FAIL("not expected: packet type " << static_cast<int>(Packet::type));
    }
    void on(const connack& p) {
        connected_ = true;
        present_ = p.session_present;
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
    void on(const puback& p) { forget(p.packet_id); }
    void on(const pubcomp& p) { forget(p.packet_id); }
    void on(const pubrec& p) {
        for (flight& each : flights_) {
            if (each.packet.packet_id == p.packet_id) {
                each.released = true;
                send(pubrel{.packet_id = p.packet_id});
            }
        }
    }
    void forget(packet_id id) {
        std::erase_if(flights_, [&](const flight& each) { return each.packet.packet_id == id; });
    }

    broker_core& core_;
    protocol_version version_;
    std::minstd_rand random_;
    testing::detail::broker_time now_{std::chrono::hours(1)};
    std::optional<broker_conversation> conversation_;
    std::string up_;   // on its way to the broker
    std::string down_; // on its way to the client
    std::string input_;
    std::deque<flight> flights_;
    std::vector<packet_id> incoming_;
    bool connected_ = false;
    bool present_ = false;
    bool subscribed_ = false;
};

TEST_CASE("Who does everything right is never accused, whenever connections are lost [MQTT-4.4.0-1] "
          "[MQTT-4.6.0-1]") {
    const auto version = GENERATE(v3_1_1, v5);
    for (unsigned seed = 1; seed != 60; ++seed) {
        INFO("seed " << seed);
        broker_core core({});
        right_client client(core, version, seed);
        client.run(60);
        REQUIRE(core.violations().empty());
        std::map<std::string, int> sent;
        for (int number = 1; number <= 60; ++number)
            ++sent[right_client::payload_of(number)];
        for (int number = 1; number <= 60; ++number) {
            const std::string payload = right_client::payload_of(number);
            const int count = client.received[payload];
            INFO("message " << payload << " received " << count << " times");
            const bool once = right_client::qos_of(number) == qos::exactly_once;
            REQUIRE((once ? count == sent[payload] : count >= sent[payload]));
        }
    }
}

TEST_CASE("Who sends the same content twice is not accused of a new identifier [MQTT-4.4.0-1]") {
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
