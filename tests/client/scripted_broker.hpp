// A broker that sends the packets that the test gives it, and a client that is connected to it.
#pragma once

#include "client_test.hpp"
#include "tern/testing/scripted_peer.hpp"

template <packet Packet>
std::string bytes_of(const Packet& p, protocol_version version = v5) {
    const auto size = encoded_size(p, version);
    REQUIRE(size.error() == errc::none);
    std::string bytes(*size, '\0');
    REQUIRE(encode(p, version, bytes));
    return bytes;
}

// A scripted peer that uses its newest connection. Its functions wait for the expected packet.
class scripted_broker {
public:
    // Runs until the condition is true; returns false if it stays false.
    using runner = std::function<bool(const std::function<bool()>&)>;

    scripted_broker(tern::testing::network& net, runner run) : peer_(net), run_(std::move(run)) {}

    void accept(tern::testing::link stream) {
        ++connections_;
        forget();
        peer_.acceptor()(std::move(stream));
    }
    int connections() const { return connections_; }

    void send_bytes(const std::string& bytes) { peer_.send_bytes_now(bytes); }
    template <packet... Packet>
    void send(const Packet&... p) {
        send_bytes((bytes_of(p, version_) + ...));
    }

    // Takes the next packet, which must be of this type. The packet borrows until the next call.
    template <packet Packet>
    Packet expect() {
        std::optional<Packet> p;
        const bool came = run_([&] {
            if (!p) p = peer_.take_now<Packet>(); // the condition may be called again
            return p || !peer_.failure().empty();
        });
        REQUIRE(peer_.failure() == "");
        REQUIRE(came);
        if constexpr (std::is_same_v<Packet, tern::connect>) version_ = p->version;
        return *p;
    }
    // Whether the test has expected all received packets.
    bool is_silent() const { return peer_.is_silent(); }

    // Expects that the client has closed the connection, or closes it soon.
    bool sees_end() {
        return run_([&] { return peer_.sees_end(); });
    }
    void close() { peer_.close_now(); }
    // Ignores unread packets of the old connection.
    void forget() { peer_.ignore_connections(); }

    // Expects the next CONNECT, and answers it.
    void accepts(const connack& packet = {}) {
        expect<tern::connect>();
        send(packet);
    }

    // Connects a client that does not reconnect, and waits for the result.
    template <class Client>
    void connected(Client& client, const connect_options& options = {.client_id = "c"}, const connack& packet = {}) {
        connected_as(client, once(options), packet);
    }
    template <class Client>
    void connected_as(Client& client, const connect_options& options, const connack& packet = {}) {
        forget();
        const auto a = connects_as(client, options);
        accepts(packet);
        REQUIRE(run_([&] { return a.called(); }));
        REQUIRE(a.error() == std::error_code{});
    }

private:
    tern::testing::scripted_peer peer_;
    runner run_;
    int connections_ = 0;
    protocol_version version_ = v5; // the version of the last CONNECT
};

struct scripted_broker_fixture {
    scripted_broker_fixture() {
        net.listen("localhost", [this](tern::testing::link stream) { server.accept(std::move(stream)); });
    }
    // Limits the bytes in transit in each direction. Beyond them the writer waits.
    void set_capacity(std::size_t bytes) {
        net.usual({.to_server = {.capacity = bytes}, .to_client = {.capacity = bytes}});
    }

    asio::io_context io;
    tern::testing::network net{io};
    scripted_broker server{net, [this](const std::function<bool()>& done) { return run_until(io, done); }};
    std::shared_ptr<probe_state> counts = std::make_shared<probe_state>();
    test_client client{probe(io.get_executor(), net, counts)};
};
