// A client that sends the packets that the test gives it, valid or not, and checks the answers.
#pragma once

#include "catch.hpp"
#include "tern/codec/packet.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/network.hpp"
#include "tern/testing/run_until.hpp"

#include <asio.hpp>

#include <array>
#include <chrono>
#include <deque>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::broker_tests {

using testing::broker;
using testing::broker_options;
using testing::link_options;
using testing::run_until;

inline constexpr auto v3_1_1 = protocol_version::v3_1_1;
inline constexpr auto v5 = protocol_version::v5;

template <packet Packet>
std::string bytes_of(const Packet& p, protocol_version version) {
    const auto size = encoded_size(p, version);
    REQUIRE(size.error() == errc::none);
    std::string bytes(*size, '\0');
    REQUIRE(encode(p, version, bytes));
    return bytes;
}

inline publish make_publish(std::string_view topic, std::string_view payload, qos quality = qos::at_most_once,
                            packet_id id = 0) {
    return {.message = {.topic = topic, .payload = payload, .qos = quality}, .packet_id = id};
}
inline publish again(publish p) {
    p.dup = true;
    return p;
}
inline publish retained(publish p) {
    p.message.retain = true;
    return p;
}

// A CONNECT whose session survives the connection.
inline connect lasting(std::string_view id, protocol_version version) {
    connect p{.version = version, .clean_start = false, .client_id = id};
    if (version == v5) p.properties.session_expiry_interval = session_never_expires;
    return p;
}

template <class Stream>
class raw_client_on {
public:
    raw_client_on(asio::io_context& io, Stream stream, protocol_version v)
        : version(v)
        , io_(io)
        , state_(std::make_shared<state>(std::move(stream))) {}
    raw_client_on(raw_client_on&&) = default;
    ~raw_client_on() {
        if (state_) close();
    }

    protocol_version version;

    void send_bytes(std::string bytes) {
        auto kept = std::make_shared<std::string>(std::move(bytes));
        asio::async_write(state_->stream, asio::buffer(*kept),
                          [kept, state = state_](std::error_code, std::size_t) { state->writing = false; });
        state_->writing = true;
        REQUIRE(run_until(io_, [&] { return !state_->writing; }));
    }

    template <packet... Packet>
    void send(const Packet&... p) { // all in one write
        send_bytes((bytes_of(p, version) + ...));
    }

    // Receives the next packet, which must be of this type. It borrows from the client, which keeps all packets.
    template <packet Packet>
    Packet expect() {
        const any_packet next = receive();
        INFO("packet type " << next.index() + 1);
        REQUIRE(std::holds_alternative<Packet>(next));
        return std::get<Packet>(next);
    }

    // Checks by a ping that the broker has handled all earlier packets without sending anything.
    void expect_nothing() {
        send(pingreq{});
        expect<pingresp>();
    }

    any_packet receive() {
        REQUIRE(run_until(io_, [&] { return at_packet() || !read(); }));
        REQUIRE(at_packet());
        const std::size_t size = next_frame(state_->input)->size;
        const std::string& kept = state_->received.emplace_back(state_->input.substr(0, size));
        state_->input.erase(0, size);
        const auto p = decode(next_frame(kept)->frame, version);
        REQUIRE(p.error() == errc::none);
        return *p;
    }

    // Waits for a packet or for the end of the stream.
    bool is_at_end() {
        REQUIRE(run_until(io_, [&] { return at_packet() || !read(); }));
        return !at_packet();
    }

    // Expects the broker to close without sending another packet.
    bool is_closed() {
        return run_until(io_, [&] { return !at_packet() && !read(); });
    }

    // Reads until no handler is ready.
    void expect_end_or_silence() {
        read();
        io_.restart();
        while (io_.poll_one() != 0 && read()) {
        }
    }

    // Sends the bytes `times` times without reading. Returns whether all writes complete.
    bool try_send_bytes(const std::string& bytes, int times, bool run = true) {
        const auto kept = std::make_shared<std::string>(bytes);
        while (times-- != 0) {
            state_->writing = true;
            asio::async_write(state_->stream, asio::buffer(*kept),
                              [kept, state = state_](std::error_code, std::size_t) { state->writing = false; });
            io_.restart();
            if (run) io_.poll();
            if (state_->writing) return false;
        }
        return true;
    }

    void close() {
        std::error_code ignored;
        if constexpr (requires { state_->stream.close(ignored); })
            state_->stream.close(ignored);
        else
            state_->stream.close();
    }

    // Sends CONNECT, and requires a CONNACK that accepts it.
    connack connects(const connect& p) {
        version = p.version;
        send(p);
        const auto answer = expect<connack>();
        REQUIRE(answer.reason_code == reason_code::success);
        return answer;
    }

    std::vector<reason_code> subscribes(std::initializer_list<subscription> list,
                                        const subscribe_properties& properties = {}) {
        const std::vector<subscription> subscriptions(list);
        send(subscribe{.packet_id = 99, .subscriptions = subscriptions, .properties = properties});
        const auto answer = expect<suback>();
        REQUIRE(answer.packet_id == 99);
        std::vector<reason_code> codes;
        for (const reason_code code : answer.reason_codes)
            codes.push_back(code);
        return codes;
    }

    // Receives a message and acknowledges it.
    publish receives(std::string_view topic, std::string_view payload) {
        const auto p = expect<publish>();
        CHECK(p.message.topic == topic);
        CHECK(p.message.payload == payload);
        if (p.message.qos == qos::at_least_once) send(puback{.packet_id = p.packet_id});
        if (p.message.qos == qos::exactly_once) {
            send(pubrec{.packet_id = p.packet_id});
            CHECK(expect<pubrel>().packet_id == p.packet_id);
            send(pubcomp{.packet_id = p.packet_id});
        }
        return p;
    }

private:
    struct state {
        explicit state(Stream s) : stream(std::move(s)) {}
        Stream stream;
        std::array<char, 4096> buffer = {};
        std::string input;
        std::deque<std::string> received; // never shrinks, because packets borrow from it
        bool reading = false;
        bool writing = false;
        bool ended = false;
    };

    bool at_packet() const {
        const auto next = next_frame(state_->input);
        REQUIRE(next);
        return next->complete;
    }

    // Starts a read unless one is pending; returns false at the end of the stream.
    bool read() {
        if (!state_->reading && !state_->ended) {
            state_->reading = true;
            state_->stream.async_read_some(asio::buffer(state_->buffer),
                                           [s = state_](std::error_code error, std::size_t size) {
                                               s->reading = false;
                                               s->ended = static_cast<bool>(error);
                                               s->input.append(s->buffer.data(), size);
                                           });
        }
        return !state_->ended;
    }

    asio::io_context& io_;
    std::shared_ptr<state> state_;
};

using raw_client = raw_client_on<tern::testing::link>;
using raw_tcp_client = raw_client_on<asio::ip::tcp::socket>;

// A broker and its clients.
struct broker_fixture {
    explicit broker_fixture(broker_options options = {}) : server(io.get_executor(), std::move(options)) {
        net.listen("localhost", server);
    }

    raw_client client(protocol_version version = v5, const link_options& options = {}) {
        net.next(options);
        tern::testing::link stream(net);
        bool connected = false;
        stream.async_open({}, {}, [&](std::error_code error) { connected = !error; });
        REQUIRE(run_until(io, [&] { return connected; }));
        return {io, std::move(stream), version};
    }
    raw_tcp_client tcp_client(protocol_version version = v5) {
        asio::ip::tcp::socket stream(io);
        stream.connect({asio::ip::address_v4::loopback(), server.listen()});
        return {io, std::move(stream), version};
    }
    // A connected client with a clean session.
    raw_client connected(std::string_view id, protocol_version version = v5) {
        return connected({.version = version, .client_id = id});
    }
    raw_client connected(const connect& p) {
        raw_client made = client(p.version);
        made.connects(p);
        return made;
    }

    // The statement of the only violation; empty without one.
    std::string broken() const {
        const auto& all = server.violations();
        CHECK(all.size() <= 1);
        return all.empty() ? "" : all.front().statement;
    }

    asio::io_context io;
    testing::network net{io};
    broker server;
};

} // namespace tern::broker_tests
