// The transport that is chosen at run time: schemes, handlers of all kinds, and the client on it.
#include "tern/transport/any.hpp"

#include "network/outcome.hpp"
#include "tern/client/any_client.hpp"
#include "tern/client/client.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/served_schemes.hpp"

#include <asio.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace any_tests {
namespace {

using namespace std::chrono_literals;
using tern::errc;
using tern::testing::run_until;

static_assert(tern::transport<tern::any_transport>);
static_assert(tern::readable_transport<tern::any_transport> && tern::writes_at_once<tern::any_transport>);
static_assert(tern::transport<tern::basic_any_transport<asio::io_context::executor_type>>);
static_assert(!tern::timed_transport<tern::any_transport>);

template <class Options>
concept is_option = requires(tern::any_transport& t, Options o) { t.set_options(o); };
static_assert(is_option<tern::tcp_options> && is_option<tern::proxy_options> && !is_option<int>);

struct fixture {
    std::error_code open(const tern::endpoint& where) {
        outcome opened;
        stream.async_open(where, {.connect = 5s}, *opened);
        CHECK_FALSE(opened.done);
        REQUIRE(run_until(io, [&] { return opened.done; }));
        return opened.error;
    }
    // Opens over TCP, and returns the peer's socket.
    asio::ip::tcp::socket connected() {
        REQUIRE_FALSE(open({.host = "127.0.0.1", .port = port}));
        return acceptor.accept();
    }

    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    std::uint16_t port = acceptor.local_endpoint().port();
    tern::any_transport stream{io.get_executor()};
};

TEST_CASE("The scheme chooses the transport at each opening") {
    fixture w;
    CHECK(w.stream.opening_phase() == tern::connection_phase::resolving);
    w.stream.shutdown_send();
    w.stream.close();
    for (const std::string_view scheme : {"mqtt", "", "tcp", "MQTT"})
        CHECK_FALSE(w.open({.host = "127.0.0.1", .port = w.port, .scheme = scheme}));
    CHECK(w.stream.opening_phase() == tern::connection_phase::connecting);
    const std::error_code no_socket = w.open({.path = "/tmp/tern-there-is-no-such-socket", .scheme = "unix"});
#if defined(_WIN32) // an old Windows, and Wine, have no such sockets
    CHECK(no_socket);
#else
    CHECK(no_socket == std::error_code(ENOENT, asio::error::get_system_category()));
#endif
    CHECK(w.open({.host = "", .path = "", .scheme = "mqtt+unix"}) == tern::misuse(errc::empty_path));
    CHECK(w.open({.host = "127.0.0.1", .port = w.port, .scheme = "http"}) == tern::misuse(errc::unknown_scheme));
    w.stream.close(); // nothing is open
    CHECK_FALSE(w.open({.host = "127.0.0.1", .port = w.port}));
}

TEST_CASE("Bytes pass through the chosen transport in all ways of reading and writing") {
    fixture w;
    asio::ip::tcp::socket peer = w.connected();
    std::array<char, 8> buffer{};
    std::error_code error;
    CHECK(w.stream.read_some(asio::buffer(buffer), error) == 0);
    CHECK(error == asio::error::would_block);
    outcome ready;
    w.stream.async_wait_read(*ready);
    asio::write(peer, asio::buffer("abc", 3));
    REQUIRE(run_until(w.io, [&] { return ready.done; }));
    CHECK(w.stream.read_some(asio::buffer(buffer, 2), error) == 2);
    outcome read;
    w.stream.async_read_some(asio::buffer(buffer), *read);
    REQUIRE(run_until(w.io, [&] { return read.done; }));
    CHECK(read.size == 1);
    std::array<asio::const_buffer, 12> many; // more than one write takes
    many.fill(asio::buffer("xy", 2));
    many[0] = {};
    CHECK(w.stream.write_some(many, error) == 16);
    outcome written;
    w.stream.async_write_some(many, *written);
    REQUIRE(run_until(w.io, [&] { return written.done; }));
    CHECK(written.size == 16);
    w.stream.shutdown_send();
    std::string received;
    asio::read(peer, asio::dynamic_buffer(received), error);
    CHECK(received.size() == 32);
    peer.close();
    outcome end;
    w.stream.async_read_some(asio::buffer(buffer), *end);
    REQUIRE(run_until(w.io, [&] { return end.done; }));
    CHECK(end.error == asio::error::eof);
}

TEST_CASE("Closing aborts an operation on the chosen transport, and a moved transport goes on") {
    fixture w;
    const asio::ip::tcp::socket peer = w.connected();
    tern::any_transport other = std::move(w.stream);
    w.stream = std::move(other);
    outcome ready;
    w.stream.async_wait_read(*ready);
    w.stream.close();
    REQUIRE(run_until(w.io, [&] { return ready.done; }));
#if defined(_WIN32) // Wine has another error for a closed socket
    CHECK(ready.error);
#else
    CHECK(ready.error == asio::error::operation_aborted);
#endif
}

// ---- handlers

TEST_CASE("A handler runs on its own executor, which has work until then") {
    fixture w;
    asio::ip::tcp::socket peer = w.connected();
    asio::thread_pool pool(1);
    std::thread::id ran_in;
    std::array<char, 8> buffer{};
    w.stream.async_read_some(asio::buffer(buffer),
                             asio::bind_executor(pool, [&](std::error_code error, std::size_t size) {
                                 CHECK_FALSE(error);
                                 CHECK(size == 1);
                                 ran_in = std::this_thread::get_id();
                             }));
    asio::write(peer, asio::buffer("x", 1));
    w.io.restart();
    w.io.run();
    pool.join();
    CHECK(ran_in != std::thread::id());
    CHECK(ran_in != std::this_thread::get_id());
}

// Counts, and fails on request.
struct counts {
    int allocated = 0;
    int freed = 0;
    bool fails = false;
};
template <class T>
struct counting_allocator {
    using value_type = T;
    explicit counting_allocator(counts& c) : counted(&c) {}
    template <class U>
    counting_allocator(const counting_allocator<U>& other) : counted(other.counted) {} // NOLINT
    T* allocate(std::size_t n) {
        if (counted->fails) throw std::bad_alloc();
        ++counted->allocated;
        return std::allocator<T>().allocate(n);
    }
    void deallocate(T* p, std::size_t n) {
        ++counted->freed;
        std::allocator<T>().deallocate(p, n);
    }
    template <class U>
    bool operator==(const counting_allocator<U>& other) const {
        return counted == other.counted;
    }
    counts* counted;
};

struct counted_handler {
    using allocator_type = counting_allocator<void>;
    allocator_type get_allocator() const { return allocator_type(*all); }
    void operator()(std::error_code) const {
        CHECK(all->allocated == all->freed);
        *is_called = true;
    }
    counts* all;
    bool* is_called;
};

TEST_CASE("A handler's memory comes from its allocator, and is freed before it is called") {
    counts all;
    bool is_called = false;
    {
        fixture w;
        asio::ip::tcp::socket peer = w.connected();
        w.stream.async_wait_read(counted_handler{&all, &is_called});
        CHECK(all.allocated == 1);
        asio::write(peer, asio::buffer("x", 1));
        REQUIRE(run_until(w.io, [&] { return is_called; }));
        std::array<char, 8> buffer{};
        std::error_code error;
        w.stream.read_some(asio::buffer(buffer), error);
        all.fails = true;
        CHECK_THROWS_AS(w.stream.async_wait_read(counted_handler{&all, &is_called}), std::bad_alloc);
        all.fails = false;
        w.stream.async_wait_read(counted_handler{&all, &is_called}); // never called
        CHECK(all.freed == 1);
    }
    CHECK(all.allocated == 2);
    CHECK(all.freed == 2);
}

TEST_CASE("A signal to a handler's cancellation slot ends its operation") {
    fixture w;
    const asio::ip::tcp::socket peer = w.connected();
    asio::cancellation_signal signal;
    outcome ready;
    w.stream.async_wait_read(asio::bind_cancellation_slot(signal.slot(), *ready));
    w.io.restart();
    w.io.poll();
    CHECK_FALSE(ready.done);
    signal.emit(asio::cancellation_type::total);
    REQUIRE(run_until(w.io, [&] { return ready.done; }));
    CHECK(ready.error == asio::error::operation_aborted);
}

TEST_CASE("Coroutines and futures work on the chosen transport") {
    fixture w;
    asio::ip::tcp::socket peer = w.connected();
    asio::write(peer, asio::buffer("x", 1));
    std::array<char, 8> buffer{};
    std::size_t size = 0;
    asio::co_spawn(
        w.io,
        [&]() -> asio::awaitable<void> {
            co_await w.stream.async_wait_read(asio::use_awaitable);
            size = co_await w.stream.async_read_some(asio::buffer(buffer), asio::use_awaitable);
        },
        asio::detached);
    REQUIRE(run_until(w.io, [&] { return size == 1; }));
    auto written = w.stream.async_write_some(asio::buffer("y", 1), asio::use_future);
    w.io.restart();
    w.io.run();
    CHECK(written.get() == 1);
}

// ---- the client

// Publishes a message to itself.
void check_echo(asio::io_context& io, tern::any_client& client) {
    bool is_received = false;
    client.async_subscribe({.filter = "a", .max_qos = tern::qos::exactly_once}, asio::detached);
    client.async_publish({.topic = "a", .payload = "hello", .qos = tern::qos::exactly_once}, asio::detached);
    client.async_receive([&](std::error_code error, const tern::received_message& m) {
        CHECK_FALSE(error);
        CHECK(m.payload == "hello");
        is_received = true;
    });
    REQUIRE(run_until(io, [&] { return is_received; }));
}

TEST_CASE("Each endpoint of a client can have its own scheme") {
    asio::io_context io;
    tern::testing::broker broker(io.get_executor());
    tern::any_client client(io);
    const auto socket = tern::broker_url::parse("unix:/tmp/tern-there-is-no-such-socket");
    const auto tcp = tern::broker_url::parse("mqtt://127.0.0.1:" + std::to_string(broker.listen()));
    REQUIRE(socket);
    REQUIRE(tcp);
    const std::array more{tcp->endpoint()};
    outcome connected;
    client.async_connect(socket->options({.more_endpoints = more, .client_id = "c"}),
                         [&](std::error_code error, const auto&) { (*connected)(error); });
    REQUIRE(run_until(io, [&] { return connected.done; }));
    CHECK_FALSE(connected.error);
    check_echo(io, client);
}

TEST_CASE("A client on one transport refuses the schemes of others: nothing is sent in plain text") {
    static_assert(tern::serves_scheme<tern::tcp>("") && tern::serves_scheme<tern::tcp>("MQTT"));
    static_assert(!tern::serves_scheme<tern::tcp>("ws") && !tern::serves_scheme<tern::tcp>("http"));
    static_assert(tern::serves_scheme<tern::local>("mqtt+unix") && !tern::serves_scheme<tern::local>("mqtt"));
    static_assert(!tern::serves_scheme<tern::basic_proxy<tern::tcp>>("mqtts"));
    using tls_to_proxy = tern::basic_proxy<tern::basic_tls<tern::tcp>>; // the broker may be reached in plain text
    static_assert(!tern::serves_scheme<tls_to_proxy>("mqtts") && tern::serves_scheme<tls_to_proxy>("mqtt"));
    static_assert(!tern::serves_scheme<tern::basic_websocket<tls_to_proxy>>("wss"));
    static_assert(tern::serves_scheme<tern::any_transport>("anything"));
    for (const std::string_view scheme : {"mqtts", "wss", "unix", "other"}) {
        fixture w;
        tern::client client(w.io);
        outcome connected;
        client.async_connect({.host = "127.0.0.1", .port = w.port, .path = "/p", .scheme = scheme, .client_id = "c"},
                             [&](std::error_code error, const auto&) { (*connected)(error); });
        REQUIRE(run_until(w.io, [&] { return connected.done; }));
        CHECK(connected.error == tern::misuse(errc::unknown_scheme));
        CHECK_FALSE(client.is_connected());
        w.acceptor.non_blocking(true);
        std::error_code error;
        (void)w.acceptor.accept(error);
        CHECK(error == asio::error::would_block);
    }
}

TEST_CASE("A scheme that the program does not have ends the first connect for good") {
    const std::pair<std::string_view, errc> cases[] = {{"mqtts://127.0.0.1", errc::tls_not_included},
                                                       {"wss://127.0.0.1", errc::tls_not_included}};
    for (const auto& [text, expected] : cases) {
        asio::io_context io;
        tern::any_client client(io);
        const auto url = tern::broker_url::parse(text);
        outcome connected;
        client.async_connect(url->options({.client_id = "c", .reconnect = {.retry_first = true}}),
                             [&](std::error_code error, const auto&) { (*connected)(error); });
        REQUIRE(run_until(io, [&] { return connected.done; }));
        CHECK(connected.error == tern::misuse(expected));
    }
}

} // namespace
} // namespace any_tests
