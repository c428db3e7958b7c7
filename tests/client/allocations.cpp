// A client in its steady state allocates nothing during 2,000 messages. The test counts over TCP in the client's
// thread. The broker acknowledges all messages and sends as many as requested, in a thread of its own.
#include "catch.hpp"
#include "support/heap.hpp"
#include "tern/client/any_client.hpp"
#include "tern/codec/packet.hpp"
#include "tern/tern.hpp"

#include <asio.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace tern;
using asio::use_awaitable;

constexpr std::size_t window = 20;

// Accepts one connection, acknowledges all messages, and answers SUBSCRIBE with as many messages as its identifier
// says, with the requested QoS, `window` at a time.
class answering_broker {
public:
    explicit answering_broker(protocol_version v) : version_(v), thread_([this] { run(); }) {}
    ~answering_broker() { thread_.join(); }
    answering_broker(const answering_broker&) = delete;
    answering_broker& operator=(const answering_broker&) = delete;

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    std::size_t to_send = 0; // set before SUBSCRIBE, also the next one
    std::string payload = "0123456789";

private:
    template <class Packet>
    void put(const Packet& p) {
        const std::size_t before = out_.size();
        out_.resize(before + *encoded_size(p, version_));
        (void)encode(p, version_, std::span<char>(out_).subspan(before));
    }

    void run() {
        asio::ip::tcp::socket socket = acceptor_.accept();
        std::string in;
        std::array<char, 4096> room{};
        std::error_code error;
        while (!error) {
            in.append(room.data(), socket.read_some(asio::buffer(room), error));
            for (;;) {
                const auto found = next_frame(in);
                if (!found || !found->complete) break;
                std::visit([&](const auto& p) { on(p); }, *decode(found->frame, version_));
                in.erase(0, found->size);
            }
            send();
            if (!out_.empty() && !error) asio::write(socket, asio::buffer(out_), error);
            out_.clear();
        }
    }

    void on(const auto&) {}
    void on(const tern::connect&) { put(connack{}); }
    void on(const publish& p) {
        if (p.message.qos == qos::at_least_once) put(puback{p.packet_id});
        if (p.message.qos == qos::exactly_once) put(pubrec{p.packet_id});
    }
    void on(const pubrel& p) { put(pubcomp{p.packet_id}); }
    void on(const subscribe& p) {
        qos_ = p.subscriptions.front().max_qos;
        const std::array codes{static_cast<reason_code>(qos_)};
        put(suback{.packet_id = p.packet_id, .reason_codes = codes});
        left_ = to_send;
    }
    void on(const puback&) { --unacknowledged_; }
    void on(const pubrec& p) { put(pubrel{p.packet_id}); }
    void on(const pubcomp&) { --unacknowledged_; }

    void send() {
        for (; left_ != 0 && unacknowledged_ < window; --left_) {
            if (qos_ != qos::at_most_once) ++unacknowledged_;
            last_id_ = static_cast<packet_id>(last_id_ % 60'000 + 1);
            put(publish{.message = {.topic = "bench/topic/0123", .payload = payload, .qos = qos_},
                        .packet_id = qos_ == qos::at_most_once ? packet_id{0} : last_id_});
        }
    }

    protocol_version version_;
    asio::io_context io_;
    asio::ip::tcp::acceptor acceptor_{io_, {asio::ip::address_v4::loopback(), 0}};
    std::string out_;
    qos qos_ = qos::at_most_once;
    std::size_t left_ = 0;
    std::size_t unacknowledged_ = 0;
    packet_id last_id_ = 0;
    std::thread thread_;
};

template <class Client>
struct basic_allocation_fixture {
    explicit basic_allocation_fixture(protocol_version v) : version(v) {
        bool connected = false;
        client.async_connect({.host = "127.0.0.1", .port = server.port(), .version = v, .client_id = "c"},
                             [&](std::error_code error, const connect_result&) {
                                 REQUIRE(!error);
                                 connected = true;
                             });
        run_until([&] { return connected; });
    }
    basic_allocation_fixture(const basic_allocation_fixture&) = delete;
    basic_allocation_fixture& operator=(const basic_allocation_fixture&) = delete;
    ~basic_allocation_fixture() { client.cancel(); }

    template <class Done>
    void run_until(Done done) {
        while (!done())
            REQUIRE(io.run_one_for(std::chrono::seconds(10)) == 1);
    }

    // Counts a message. The number of messages in flight varies at random. The client allocates whenever it reaches a
    // new maximum, and stops allocating when the maximum does not grow any more.
    void count() {
        ++messages;
        const std::size_t allocations = heap::allocations();
        if (std::exchange(allocations_seen, allocations) != allocations) last_allocation = messages;
    }
    bool is_steady() const { return messages - last_allocation >= 2'000; }
    void run() {
        run_until([&] { return is_steady() || messages == total; });
        CHECK(is_steady());
    }

    static constexpr std::size_t total = 40'000;

    protocol_version version;
    answering_broker server{version};
    asio::io_context io{1};
    Client client{io};
    message_view message{.topic = "bench/topic/0123", .payload = "0123456789"};
    std::size_t started = 0;
    std::size_t messages = 0;
    std::size_t allocations_seen = 0;
    std::size_t last_allocation = 0; // the value of `messages` at that time
};

using allocation_fixture = basic_allocation_fixture<tern::client>;

template <class Fixture>
struct publish_again {
    Fixture* w;

    void operator()(const std::error_code& error, const acknowledgement&) const {
        REQUIRE(!error);
        w->count();
        start();
    }
    void start() const {
        if (w->started++ < Fixture::total) w->client.async_publish(w->message, *this);
    }
};

// The same with a time limit for each operation.
template <class Fixture>
struct publish_within {
    Fixture* w;

    void operator()(const std::error_code& error, const acknowledgement&) const {
        REQUIRE(!error);
        w->count();
        start();
    }
    void start() const {
        if (w->started++ < Fixture::total)
            w->client.async_publish(w->message, {.timeout = std::chrono::hours(1)}, *this);
    }
};

template <class Fixture>
asio::awaitable<void> publish_in_turn(Fixture& w) {
    while (w.started++ < Fixture::total) {
        co_await w.client.async_publish(w.message, use_awaitable);
        w.count();
    }
}

template <class Fixture>
struct try_again {
    Fixture* w;

    void operator()(const std::error_code& error) const {
        REQUIRE(!error);
        while (w->messages != w->started)
            w->count();
        start();
    }
    void start() const {
        if (w->started == Fixture::total) return;
        for (std::size_t i = 0; i != window; ++i, ++w->started)
            REQUIRE(!w->client.try_publish(w->message));
        w->client.async_drain(std::chrono::milliseconds{0}, *this);
    }
};

template <class Fixture>
asio::awaitable<void> receive_in_turn(Fixture& w) {
    for (;;) {
        const received_message m = co_await w.client.async_receive(use_awaitable);
        w.count();
    }
}

template <class Fixture>
asio::awaitable<void> receive_some(Fixture& w) {
    std::vector<received_message> batch(16);
    for (;;) {
        const std::size_t count = co_await w.client.async_receive_some(batch, use_awaitable);
        for (std::size_t i = 0; i != count; ++i)
            w.count();
    }
}

TEMPLATE_TEST_CASE("Publishing allocates nothing in the steady state", "", tern::client, tern::any_client) {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    const auto level = GENERATE(qos::at_most_once, qos::at_least_once, qos::exactly_once);
    basic_allocation_fixture<TestType> w{version};
    w.message.qos = level;
    SECTION("callbacks") {
        for (std::size_t i = 0; i != window; ++i)
            publish_again<basic_allocation_fixture<TestType>>{&w}.start();
        w.run();
    }
    SECTION("callbacks, with time limits") {
        for (std::size_t i = 0; i != window; ++i)
            publish_within<basic_allocation_fixture<TestType>>{&w}.start();
        w.run();
    }
    SECTION("coroutines") {
        for (std::size_t i = 0; i != window; ++i)
            asio::co_spawn(w.io, publish_in_turn(w), asio::detached);
        w.run();
    }
    SECTION("try_publish") {
        try_again<basic_allocation_fixture<TestType>>{&w}.start();
        w.run();
    }
}

TEMPLATE_TEST_CASE("Receiving allocates nothing in the steady state", "", tern::client, tern::any_client) {
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    const auto level = GENERATE(qos::at_most_once, qos::at_least_once, qos::exactly_once);
    basic_allocation_fixture<TestType> w{version};
    w.server.to_send = w.total;
    const auto subscribe = [&] {
        w.client.async_subscribe({.filter = "#", .max_qos = level},
                                 [](std::error_code error, const acknowledgement&) { REQUIRE(!error); });
    };
    SECTION("message callback") {
        w.client.set_message_callback([&](const received&) { w.count(); });
        subscribe();
        w.run();
    }
    SECTION("one by one") {
        asio::co_spawn(w.io, receive_in_turn(w), asio::detached);
        subscribe();
        w.run();
    }
    SECTION("several at a time") {
        asio::co_spawn(w.io, receive_some(w), asio::detached);
        subscribe();
        w.run();
    }
}

// ---- memory that is used no longer

// The bytes in use since `before`. Blocks that another thread has allocated may make both numbers wrap.
std::ptrdiff_t grown_since(std::size_t before) {
    return static_cast<std::ptrdiff_t>(heap::live_bytes() - before);
}

constexpr auto ignored = [](std::error_code, const auto&...) {};

// Subscribes, and runs until the broker's messages have come. `received` counts them.
void receive_all(allocation_fixture& w, std::size_t count, const std::size_t& received) {
    w.server.to_send = count;
    const std::size_t before = received;
    w.client.async_subscribe({.filter = "#"}, ignored);
    w.run_until([&] { return received == before + count; });
}

TEST_CASE("Cancelled operations leave no memory behind") {
    allocation_fixture w{protocol_version::v5};
    asio::cancellation_signal signal;
    std::size_t ended = 0;
    const auto handler = [&] {
        return asio::bind_cancellation_slot(signal.slot(), [&](std::error_code error, const auto&...) {
            CHECK(error == asio::error::operation_aborted);
            ++ended;
        });
    };
    w.message.qos = qos::at_least_once;
    const auto cancel_some = [&](auto start) {
        for (std::size_t i = 0; i != window; ++i) {
            const std::size_t before = ended;
            start();
            signal.emit(asio::cancellation_type::total);
            w.run_until([&] { return ended != before; });
        }
        bool drained = false; // and all messages are acknowledged
        w.client.async_drain(std::chrono::milliseconds{0}, [&](std::error_code) { drained = true; });
        w.run_until([&] { return drained; });
    };
    const auto check = [&](auto start) {
        for (int i = 0; i != 10; ++i)
            cancel_some(start);
        const std::size_t before = heap::live_bytes();
        for (int i = 0; i != 250; ++i)
            cancel_some(start);
        CHECK(grown_since(before) <= 4096);
    };
    SECTION("of messages that were sent") {
        check([&] { w.client.async_publish(w.message, handler()); });
    }
    SECTION("that the session has taken back") {
        check([&] {
            CHECK(!w.client.try_publish(w.message)); // so that there is something to wait for
            w.client.async_drain(std::chrono::milliseconds{0}, handler());
        });
    }
    SECTION("that wait for a message") {
        check([&] { w.client.async_receive(handler()); });
    }
}

asio::awaitable<void> receive_and_keep(allocation_fixture& w, std::vector<received_message>& kept, std::size_t& count) {
    for (;;) {
        kept.push_back(co_await w.client.async_receive(use_awaitable));
        ++count;
    }
}

TEST_CASE("The client keeps little of the memory of a burst of messages") {
    allocation_fixture w{protocol_version::v5};
    std::vector<received_message> kept;
    std::size_t count = 0;
    asio::co_spawn(w.io, receive_and_keep(w, kept, count), asio::detached);
    receive_all(w, 1, count);
    const std::size_t before = heap::live_bytes();
    receive_all(w, 40'000, count);
    CHECK(grown_since(before) > 5'000'000);
    kept.clear();
    kept.shrink_to_fit();
    receive_all(w, 1, count); // the next message uses what the application has returned
    CHECK(grown_since(before) < 2'500'000);
}

TEST_CASE("The client keeps no buffer of the size of a large packet") {
    allocation_fixture w{protocol_version::v5};
    std::size_t count = 0;
    w.client.set_message_callback([&](const received&) { ++count; });
    w.server.payload = std::string(12'000'000, 'x');
    const std::size_t before = heap::live_bytes();
    receive_all(w, 1, count);
    CHECK(grown_since(before) < 5'000'000);
}

} // namespace
