// A peer that says what the test wants it to say, and a client that is connected to it.
#pragma once

#include "client_test.hpp"

template <packet Packet>
std::string bytes_of(const Packet& p, protocol_version version = v5) {
    const auto size = encoded_size(p, version);
    REQUIRE(size.error() == errc::none);
    std::string bytes(*size, '\0');
    REQUIRE(encode(p, version, bytes));
    return bytes;
}

// A broker that knows nothing and does what it is told. It talks on the newest connection.
template <class Stream>
class basic_peer {
public:
    // Runs until something has happened; false if it does not.
    using runner = std::function<bool(const std::function<bool()>&)>;

    explicit basic_peer(runner run) : run_(std::move(run)) {}
    basic_peer(const basic_peer&) = delete;
    basic_peer& operator=(const basic_peer&) = delete;

    protocol_version version = v5;

    void accept(Stream stream) {
        ++connections_;
        link_ = std::make_shared<link>(std::move(stream));
        read(link_);
    }
    int connections() const { return connections_; }

    void send_bytes(std::string bytes) {
        const auto kept = std::make_shared<const std::string>(std::move(bytes));
        asio::async_write(link_->stream, asio::buffer(*kept), [kept](std::error_code, std::size_t) {});
    }
    template <packet... Packet>
    void send(const Packet&... p) {
        send_bytes((bytes_of(p, version) + ...));
    }

    // The next packet, which must be of this type. It borrows until the next call.
    template <packet Packet>
    Packet expect() {
        REQUIRE(run_([&] { return link_ && frame().complete; }));
        packet_ = link_->input.substr(0, frame().size);
        link_->input.erase(0, packet_.size());
        const auto p = decode(next_frame(packet_)->frame, version);
        REQUIRE(p.error() == errc::none);
        INFO("packet type " << p->index() + 1);
        REQUIRE(std::holds_alternative<Packet>(*p));
        return std::get<Packet>(*p);
    }
    // Whether everything that was received has been expected.
    bool is_silent() const { return link_->input.empty(); }

    // The client has closed the connection, or does so soon.
    bool sees_end() {
        return run_([&] { return link_ && link_->ended; });
    }
    void close() { std::exchange(link_, nullptr)->stream.close(); }
    // Whatever the old connection has left is of no interest.
    void forget() { link_.reset(); }

    // Accepts the next connection and everything that its CONNECT asks for.
    void accepts(const connack& packet = {}) {
        expect<tern::connect>();
        send(packet);
    }

    // Lets a client connect.
    template <class Client>
    void connected(Client& client, const connect_options& options = {.client_id = "c"},
                   const connack& packet = {}) {
        connected_as(client, once(options), packet);
    }
    template <class Client>
    void connected_as(Client& client, const connect_options& options, const connack& packet = {}) {
        version = options.version;
        link_.reset();
        const auto a = connects_as(client, options);
        accepts(packet);
        REQUIRE(run_([&] { return a.called(); }));
        REQUIRE(a.error() == std::error_code{});
    }

private:
    struct link {
        explicit link(Stream s) : stream(std::move(s)) {}
        Stream stream;
        std::array<char, 4096> buffer = {};
        std::string input;
        bool ended = false;
    };

    static void read(const std::shared_ptr<link>& on) {
        on->stream.async_read_some(asio::buffer(on->buffer), [on](std::error_code error, std::size_t size) {
            on->input.append(on->buffer.data(), size);
            if (!error) return read(on);
            on->ended = true;
            on->stream.close(); // as every broker does
        });
    }
    framing frame() const {
        const auto found = next_frame(link_->input);
        REQUIRE(found);
        return *found;
    }

    runner run_;
    std::shared_ptr<link> link_;
    std::string packet_;
    int connections_ = 0;
};

class peer : public basic_peer<tern::testing::pipe> {
public:
    explicit peer(asio::io_context& io)
        : basic_peer([&io](const std::function<bool()>& done) { return run_until(io, done); })
        , listener(io.get_executor(), [this](tern::testing::pipe stream) { accept(std::move(stream)); }) {}

    tern::testing::pipe_listener listener;
};

struct peer_world {
    asio::io_context io;
    peer server{io};
    std::shared_ptr<probe_state> counts = std::make_shared<probe_state>();
    test_client client{probe(io.get_executor(), server.listener, counts)};
};
