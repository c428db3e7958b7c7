// Deadlines of the broker: its core and its conversations on virtual time, without I/O.
#include "raw_client.hpp"
#include "tern/testing/detail/broker_conversation.hpp"
#include "tern/testing/detail/broker_core.hpp"

namespace tern::broker_tests {
namespace {

using namespace std::chrono_literals;
using testing::detail::broker_conversation;
using testing::detail::broker_core;

struct virtual_time_fixture {
    explicit virtual_time_fixture(broker_options options = {}) : core(std::move(options)) {}

    void pass(std::chrono::milliseconds time) {
        now += time;
        core.on_deadline(now);
    }

    testing::detail::broker_time now{1h};
    broker_core core;
};

class virtual_client {
public:
    explicit virtual_client(virtual_time_fixture& fixture, const connect& p)
        : version_(p.version)
        , fixture_(fixture)
        , conversation_(fixture.core, fixture.now) {
        send(p);
        session_present = expect<connack>().session_present;
    }
    explicit virtual_client(virtual_time_fixture& fixture)
        : fixture_(fixture)
        , conversation_(fixture.core, fixture.now) {}

    template <packet Packet>
    void send(const Packet& p) {
        conversation_.on_bytes(bytes_of(p, version_), fixture_.now);
    }
    template <packet Packet>
    Packet expect() {
        output_ += conversation_.link().take_output();
        const auto next = next_frame(output_);
        REQUIRE(next);
        REQUIRE(next->complete);
        received_.push_back(output_.substr(0, next->size));
        output_.erase(0, next->size);
        const auto p = decode<Packet>(next_frame(received_.back())->frame, version_);
        REQUIRE(p.error() == errc::none);
        return *p;
    }
    bool has_packet() {
        output_ += conversation_.link().take_output();
        return !output_.empty();
    }
    void subscribes(std::string_view filter) {
        const std::array<subscription, 1> list{{{.filter = filter, .max_qos = qos::at_least_once}}};
        send(subscribe{.packet_id = 1, .subscriptions = list});
        expect<suback>();
    }
    void lose() { conversation_.on_lost(fixture_.now); }
    bool on_deadline() {
        conversation_.on_deadline(fixture_.now);
        return conversation_.link().is_ended();
    }

    bool session_present = false;

private:
    protocol_version version_ = v5;
    virtual_time_fixture& fixture_;
    broker_conversation conversation_;
    std::string output_;
    std::deque<std::string> received_;
};

TEST_CASE("Silence for one and a half times the keep alive ends the connection [v311:MQTT-3.1.2-24, "
          "v5:MQTT-3.1.2-22]") {
    const auto version = GENERATE(v3_1_1, v5);
    virtual_time_fixture fixture;
    virtual_client client(fixture, {.version = version, .keep_alive = 10s, .client_id = "c"});
    fixture.pass(14'999ms);
    CHECK_FALSE(client.on_deadline());
    client.send(pingreq{});
    client.expect<pingresp>();
    fixture.pass(14'999ms);
    CHECK_FALSE(client.on_deadline());
    CHECK(fixture.core.violations().empty());
    fixture.pass(1ms);
    CHECK(client.on_deadline());
    CHECK(fixture.core.violations().empty()); // the network may have lost packets of the client
    if (version == v5) CHECK(client.expect<disconnect>().reason_code == reason_code::keep_alive_timeout);
    CHECK_FALSE(client.has_packet());
}

TEST_CASE("A keep alive of 0 disables the timeout") {
    virtual_time_fixture fixture;
    virtual_client client(fixture, {.client_id = "c"});
    fixture.pass(100h);
    CHECK_FALSE(client.on_deadline());
}

TEST_CASE("The server's keep alive replaces the client's [v5:MQTT-3.1.2-21, v5:MQTT-3.2.2-21]") {
    broker_options options;
    options.limits.server_keep_alive = 2s;
    virtual_time_fixture fixture(options);
    virtual_client client(fixture, {.keep_alive = 10s, .client_id = "c"});
    fixture.pass(3s);
    CHECK(client.on_deadline());
}

TEST_CASE("A client that does not send CONNECT is disconnected [§3.1.4]") {
    virtual_time_fixture fixture;
    virtual_client client(fixture);
    fixture.pass(29s);
    CHECK_FALSE(client.on_deadline());
    fixture.pass(1s);
    CHECK(client.on_deadline());
    CHECK(fixture.core.violations().empty());
}

TEST_CASE("A session ends when its expiry interval has passed [v5:MQTT-3.1.2-23, v5:MQTT-4.1.0-2]") {
    virtual_time_fixture fixture;
    const connect p{.clean_start = false, .client_id = "c", .properties = {.session_expiry_interval = 60s}};
    virtual_client(fixture, p).lose();
    CHECK(fixture.core.next_deadline() == fixture.now + 60s);
    fixture.pass(59'999ms);
    {
        virtual_client client(fixture, p);
        CHECK(client.session_present);
        CHECK_FALSE(fixture.core.next_deadline());
        fixture.pass(1h); // a session does not expire while its connection is open
        client.lose();
    }
    SECTION("detected by the timer") {
        fixture.pass(60s);
    }
    SECTION("detected when the client reconnects") {
        fixture.now += 60s;
    }
    CHECK_FALSE(virtual_client(fixture, p).session_present);
}

TEST_CASE("A session without expiry is kept indefinitely [§3.1.2.11.2]") {
    const auto version = GENERATE(v3_1_1, v5);
    virtual_time_fixture fixture;
    virtual_client(fixture, lasting("c", version)).lose();
    CHECK_FALSE(fixture.core.next_deadline());
    fixture.pass(24h * 365);
    CHECK(virtual_client(fixture, lasting("c", version)).session_present);
}

connect delayed_will(std::chrono::seconds delay, std::chrono::seconds session_expiry) {
    return {.clean_start = false,
            .client_id = "c",
            .will = message_view{.topic = "will", .payload = "gone"},
            .will_delay_interval = delay,
            .properties = {.session_expiry_interval = session_expiry}};
}

TEST_CASE("A will is published after its delay, or at the end of the session [v311:MQTT-3.1.2-8, v5:MQTT-3.1.2-8, "
          "v5:MQTT-3.1.3-9]") {
    virtual_time_fixture fixture;
    virtual_client witness(fixture, {.client_id = "witness"});
    witness.subscribes("will");
    SECTION("the delay passes") {
        virtual_client(fixture, delayed_will(10s, 60s)).lose();
        fixture.pass(9'999ms);
        CHECK_FALSE(witness.has_packet());
        fixture.pass(1ms);
        CHECK(witness.expect<publish>().message.payload == "gone");
        fixture.pass(1h);
    }
    SECTION("the session expires before") {
        virtual_client(fixture, delayed_will(60s, 10s)).lose();
        fixture.pass(10s);
        CHECK(witness.expect<publish>().message.payload == "gone");
        fixture.pass(1h);
    }
    SECTION("the client reconnects before") {
        virtual_client(fixture, delayed_will(10s, 60s)).lose();
        fixture.pass(9s);
        virtual_client client(fixture, {.clean_start = false, .client_id = "c"});
        CHECK(client.session_present);
        fixture.pass(1h);
    }
    SECTION("the client takes over its own connection with the same will") {
        virtual_client older(fixture, delayed_will(10s, 60s));
        virtual_client newer(fixture, delayed_will(10s, 60s)); // takes over
        fixture.pass(1h);
        newer.send(disconnect{});
    }
    SECTION("the client reconnects with a clean start, which ends the session") {
        virtual_client(fixture, delayed_will(10s, 60s)).lose();
        virtual_client client(fixture, {.clean_start = true, .client_id = "c"});
        CHECK(witness.expect<publish>().message.payload == "gone");
        fixture.pass(1h);
    }
    CHECK_FALSE(witness.has_packet());
}

TEST_CASE("A message expires, and is forwarded with the rest of its expiry interval [v5:MQTT-3.3.2-5, "
          "v5:MQTT-3.3.2-6]") {
    virtual_time_fixture fixture;
    {
        virtual_client client(fixture, lasting("c", v5));
        client.subscribes("t");
        client.lose();
    }
    virtual_client sender(fixture, {.client_id = "s"});
    publish p = make_publish("t", "x", qos::at_least_once, 1);
    p.message.retain = true;
    p.message.properties.message_expiry_interval = 60s;
    sender.send(p);
    SECTION("in time") {
        fixture.pass(20'500ms);
        virtual_client client(fixture, lasting("c", v5));
        CHECK(client.expect<publish>().message.properties.message_expiry_interval == 40s);
        sender.expect<puback>();
        sender.subscribes("t");
        CHECK(sender.expect<publish>().message.properties.message_expiry_interval == 40s);
    }
    SECTION("too late") {
        fixture.pass(60s);
        virtual_client client(fixture, lasting("c", v5));
        CHECK_FALSE(client.has_packet());
        sender.expect<puback>();
        sender.subscribes("t");
        CHECK_FALSE(sender.has_packet());
    }
}

TEST_CASE("A message in flight does not expire [v5:MQTT-4.3.3-7]") {
    virtual_time_fixture fixture;
    publish p = make_publish("t", "x", qos::at_least_once, 1);
    p.message.properties.message_expiry_interval = 60s;
    {
        virtual_client client(fixture, lasting("c", v5));
        client.subscribes("t");
        client.send(p);
        client.expect<publish>();
        client.lose();
    }
    fixture.pass(2min);
    virtual_client client(fixture, lasting("c", v5));
    const auto repeated = client.expect<publish>();
    CHECK(repeated.dup);
    CHECK(repeated.message.properties.message_expiry_interval == 0s);
}

} // namespace
} // namespace tern::broker_tests
