// The scripted peer, with a link in place of a client.
#include "tern/testing/scripted_peer.hpp"

#include "network_test.hpp"
#include "tern/codec/packet.hpp"

namespace {

using namespace tern;
using tern::connect; // not the function of the system
using tern::testing::scripted_peer;

template <packet... Packet>
std::string bytes_of(const Packet&... p) {
    std::string all;
    const auto add = [&](const auto& each) {
        std::string bytes(*encoded_size(each, protocol_version::v5), '\0');
        REQUIRE(encode(each, protocol_version::v5, bytes));
        all += bytes;
    };
    (add(p), ...);
    return all;
}

struct scripted_peer_fixture {
    scripted_peer_fixture() { net.listen("host", peer); }

    void connected() {
        client.close();
        outcome connected;
        client.async_open({.host = "host"}, {}, *connected);
        REQUIRE(net.run_until([&] { return connected.done; }));
        REQUIRE_FALSE(connected.error);
        received.emplace(client);
    }
    template <packet... Packet>
    void say(const Packet&... p) {
        const std::string bytes = bytes_of(p...);
        outcome written;
        asio::async_write(client, asio::buffer(bytes), *written);
        REQUIRE(net.run_until([&] { return written.done; }));
        net.run_ready();
    }
    // The bytes received since the last call.
    std::string heard() {
        net.run_ready();
        return std::exchange(received->text, {});
    }
    std::string failure() {
        net.run_ready();
        CHECK(peer.done());
        return peer.failure();
    }

    network net;
    scripted_peer peer{net};
    tern_link client{net};
    std::optional<sink> received;
};

const publish hello{.message = {.topic = "t", .payload = "hello", .qos = qos::at_least_once}, .packet_id = 7};

TEST_CASE("A scripted peer expects and answers") {
    scripted_peer_fixture w;
    w.net.usual({.to_server = {.pieces = GENERATE(pieces::whole, pieces::single_bytes)},
                 .to_client = {.pieces = pieces::random}});
    w.peer.expect<connect>([](const connect& c) { return c.client_id == "me"; })
        .send(connack{})
        .expect(hello)
        .reply<publish>([](const publish& p) { return puback{.packet_id = p.packet_id}; })
        .send(pingresp{}, pingresp{})
        .send_bytes("raw")
        .expect_end();
    CHECK(w.peer.status() == "step 1 of 8, expect CONNECT: waits for a connection");
    w.connected();
    w.say(connect{.client_id = "me"});
    CHECK(w.heard() == bytes_of(connack{}));
    CHECK(w.peer.status() == "step 3 of 8, expect PUBLISH");
    w.say(hello);
    CHECK(w.heard() == bytes_of(puback{.packet_id = 7}, pingresp{}, pingresp{}) + "raw");
    CHECK_FALSE(w.peer.done());
    w.client.close();
    CHECK(w.failure().empty());
    CHECK(w.peer.status() == "all 8 steps are done");
    w.peer.expect<connect>(); // a script can be extended
    CHECK_FALSE(w.peer.done());
    w.connected();
    w.say(connect{.client_id = "me"}, pingreq{});
    CHECK(w.failure().empty());
    CHECK_FALSE(w.peer.is_silent());
}

TEST_CASE("A scripted peer uses the version of CONNECT") {
    scripted_peer_fixture w;
    w.peer.expect<connect>().send(connack{}).send(connack{.properties = {.maximum_qos = qos::at_most_once}});
    w.connected();
    w.say(connect{.version = protocol_version::v3_1_1, .client_id = "me"});
    CHECK(w.heard() == std::string("\x20\x02\0\0", 4));
    CHECK(w.failure().starts_with("step 3, send CONNACK: the standard forbids to send this CONNACK: "));
}

TEST_CASE("A scripted peer describes the mismatch") {
    scripted_peer_fixture w;
    w.connected();
    SECTION("another type") {
        w.peer.expect<connect>();
        w.say(pingreq{});
        CHECK(w.failure() == "step 1, expect CONNECT: received PINGREQ \"\\xC0\\u{0}\"");
    }
    SECTION("another content") {
        w.peer.expect<publish>([](const publish& p) { return p.dup; }, "the same again");
        w.say(hello);
        CHECK(w.failure().starts_with("step 1, expect PUBLISH (the same again): received PUBLISH "));
    }
    SECTION("another byte") {
        w.peer.expect(pingreq{}).expect(hello);
        publish other = hello;
        other.packet_id = 8;
        w.say(pingreq{}, other);
        CHECK(w.failure().starts_with("step 2, expect PUBLISH: received PUBLISH "));
        CHECK(w.failure().ends_with("; they differ at byte 6"));
    }
    SECTION("bytes that are no packet") {
        w.peer.expect<connect>();
        outcome written;
        w.client.async_write_some(asio::buffer("\x01\x02", 2), *written);
        CHECK(w.failure().starts_with("step 1, expect CONNECT: received \"\\u{1}\\u{2}\", which is no packet"));
    }
    SECTION("a malformed packet") {
        w.peer.expect<publish>();
        outcome written;
        w.client.async_write_some(asio::buffer("\x30\x01\x07", 3), *written);
        CHECK(w.failure().starts_with("step 1, expect PUBLISH: received PUBLISH \"0\\u{1}\\u{7}\": "));
    }
    SECTION("the end") {
        w.peer.expect<connect>();
        w.client.close();
        CHECK(w.failure().starts_with("step 1, expect CONNECT: the connection has ended: "));
    }
    SECTION("no end") {
        w.peer.expect_end();
        w.say(disconnect{});
        CHECK(w.failure() == "step 1, expect the end of the connection: received DISCONNECT \"\\xE0\\u{0}\"");
    }
    SECTION("nothing to reply to") {
        w.peer.reply<publish>([](const publish& p) { return puback{.packet_id = p.packet_id}; });
        CHECK(w.failure() == "step 1, reply to PUBLISH: the last packet was nothing");
    }
    CHECK(w.peer.done());
}

TEST_CASE("A script spans several connections") {
    scripted_peer_fixture w;
    const auto latency = GENERATE(0ms, 10ms);
    w.net.usual({.to_client = {.latency = latency, .pieces = pieces::random}});
    w.peer.accept().expect<pingreq>().send(pingresp{}).close();
    w.peer.expect<pingreq>().send(pingresp{}, pingresp{}).reset();
    w.peer.expect<pingreq>().send(pingresp{}).stall();
    w.peer.expect<pingreq>().send(pingresp{}).accept().expect<pingreq>();
    const std::error_code ends[] = {asio::error::eof, asio::error::connection_reset, {}, {}};
    for (int i = 0; i != 4; ++i) {
        w.connected();
        w.say(pingreq{});
        w.net.run_for(latency);
        CHECK(w.heard() == (i == 1 ? bytes_of(pingresp{}, pingresp{}) : bytes_of(pingresp{})));
        CHECK(w.received->error == ends[i]);
        CHECK_FALSE(w.peer.done());
        if (!ends[i]) w.say(pingreq{}); // the peer ignores it
        w.net.run_for(1h);
        CHECK(w.received->text.empty());
    }
    w.connected();
    w.say(pingreq{});
    w.net.run_for(1s);
    CHECK(w.failure().empty());
}

TEST_CASE("A scripted peer pauses, calls and answers pings") {
    scripted_peer_fixture w;
    int calls = 0;
    const auto start = w.net.now();
    w.peer.answer_pings().pause(5s).call([&] {
        ++calls;
        w.peer.send(disconnect{});
    });
    w.peer.expect<pingreq>();
    w.connected();
    w.say(pingreq{});
    CHECK(w.heard() == bytes_of(pingresp{}));
    CHECK(w.net.run_until([&] { return calls == 1; }));
    CHECK(w.net.now() == start + 5s);
    w.say(pingreq{});
    CHECK(w.heard() == bytes_of(disconnect{}));
    CHECK(w.failure().empty());
}

TEST_CASE("A scripted peer can be used without a script") {
    scripted_peer_fixture w;
    w.connected();
    w.say(connect{.version = protocol_version::v5, .client_id = "me"}, pingreq{});
    const auto c = w.peer.take_now<connect>();
    REQUIRE(c);
    CHECK(c->client_id == "me");
    w.peer.send_bytes_now(bytes_of(connack{}));
    CHECK(w.heard() == bytes_of(connack{}));
    CHECK_FALSE(w.peer.is_silent());
    SECTION("A packet of another type is a failure") {
        CHECK_FALSE(w.peer.take_now<publish>());
        CHECK(w.peer.failure() == "step 1, received PINGREQ \"\\xC0\\u{0}\" instead of PUBLISH");
        return;
    }
    SECTION("It ends a connection") {
        CHECK(w.peer.take_now<pingreq>());
        CHECK_FALSE(w.peer.take_now<pingreq>()); // no packet has arrived
        w.peer.close_now();
        w.net.run_ready();
        CHECK(w.received->error == asio::error::eof);
    }
    SECTION("It sees the end of a connection") {
        CHECK_FALSE(w.peer.sees_end());
        w.client.close();
        w.net.run_ready();
        CHECK(w.peer.sees_end());
        CHECK(w.peer.take_now<pingreq>()); // earlier packets are still available
        w.peer.ignore_connections();
    }
    SECTION("It ignores a connection") {
        w.peer.ignore_connections();
        CHECK(w.peer.is_silent());
        CHECK_FALSE(w.peer.take_now<pingreq>());
        w.say(pingreq{});
        CHECK(w.peer.is_silent());
    }
    w.connected();
    w.say(pingreq{});
    CHECK(w.peer.take_now<pingreq>());
    CHECK(w.peer.failure() == "");
}

TEST_CASE("A scripted peer may be destroyed before its network, even in its own function") {
    scripted_peer_fixture w;
    auto other = std::make_unique<scripted_peer>(w.net);
    w.net.forget("host");
    w.net.listen("host", *other);
    const bool itself = GENERATE(false, true);
    if (itself) other->pause(1s).call([&] { other.reset(); });
    other->pause(1h).call([] { FAIL("called"); });
    w.connected();
    w.net.run_for(2s);
    CHECK(itself == !other);
    other.reset();
    w.net.run_ready();
    CHECK(w.received->error == asio::error::eof);
    w.connected();
    w.net.run_ready();
    CHECK(w.received->error == asio::error::eof);
    w.net.run_for(2h);
}

} // namespace
