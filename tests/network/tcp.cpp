// The TCP transport, phase by phase.
#include "tern/transport/tcp.hpp"

#include "outcome.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/time.hpp"
#include "test_names.hpp"

#include <asio.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tern::connection_phase;
using tern::errc;
using tern::violation;
using tern::testing::run_until;

static_assert(tern::transport<tern::tcp>);
static_assert(tern::transport<tern::basic_tcp<asio::io_context::executor_type>>);
static_assert(!tern::timed_transport<tern::tcp>);
static_assert(
    std::is_same_v<tern::detail::timer_of<tern::basic_tcp<asio::io_context::executor_type>>,
                   asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                              asio::io_context::executor_type>>);

struct tcp_fixture {
    void start(outcome& opened, std::string_view host, const tern::open_timeouts& timeouts = {}) {
        stream.async_open({.host = host, .port = port}, timeouts, *opened);
        CHECK_FALSE(opened.done);
    }
    std::error_code open(std::string_view host = "127.0.0.1", const tern::open_timeouts& timeouts = {}) {
        outcome opened;
        start(opened, host, timeouts);
        REQUIRE(run_until(io, [&] { return opened.done; }));
        return opened.error;
    }
    asio::ip::tcp::acceptor listens(const char* address) { return {io, {asio::ip::make_address(address), port}}; }
    std::string_view address() {
        return stream.socket().remote_endpoint().address() == asio::ip::address_v4::loopback() ? "second" : "first";
    }

    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    std::uint16_t port = acceptor.local_endpoint().port();
    tern::tcp stream{io.get_executor()};
};

// An address that neither accepts nor refuses connections, because the queue of its acceptor is full.
struct full_address {
    full_address(asio::io_context& io, const asio::ip::address& address, std::uint16_t port) : acceptor(io) {
        acceptor.open(asio::ip::tcp::v4());
        acceptor.set_option(asio::socket_base::reuse_address(true));
        acceptor.bind({address, port});
        acceptor.listen(0);
        for (int i = 0; i != 4; ++i)
            fill.emplace_back(io).async_connect(acceptor.local_endpoint(), [](std::error_code) {});
        io.restart();
        io.run_for(10ms);
    }

    asio::ip::tcp::acceptor acceptor;
    std::vector<asio::ip::tcp::socket> fill;
};

TEST_CASE("TCP connects to an address repeatedly") {
    tcp_fixture w;
    for (int i = 0; i != 3; ++i) {
        CHECK(w.open() == std::error_code{});
        CHECK(w.stream.opening_phase() == connection_phase::connecting);
        asio::ip::tcp::no_delay option;
        w.stream.socket().get_option(option);
        CHECK(option.value());
        CHECK(w.stream.socket().non_blocking());
        if (i == 1) w.stream.close(); // opening also works with an open socket
    }
}

TEST_CASE("TCP can try an address again after a failure") {
    tcp_fixture w;
    w.acceptor.close();
    CHECK(w.open() == asio::error::connection_refused);
    CHECK(w.open() == asio::error::connection_refused);
    w.acceptor = {w.io, {asio::ip::address_v4::loopback(), 0}};
    w.port = w.acceptor.local_endpoint().port();
    CHECK(w.open() == std::error_code{});
}

TEST_CASE("Closing TCP aborts the open operation") {
    tcp_fixture w;
    const std::string_view host = GENERATE("127.0.0.1", "localhost");
    outcome opened;
    w.start(opened, host, {.resolve = 1h, .connect = 1h});
    const int steps = GENERATE(0, 1, 2, 3);
    for (int i = 0; i != steps; ++i)
        w.io.run_one_for(5ms);
    const bool was_done = opened.done;
    w.stream.close();
    REQUIRE(run_until(w.io, [&] { return opened.done; }));
    if (!was_done) CHECK(opened.error == asio::error::operation_aborted);
    CHECK_FALSE(w.stream.socket().is_open());
    w.io.restart();
    w.io.run(); // no timer of an hour is left
    CHECK(w.open() == std::error_code{});
}

TEST_CASE("TCP applies the connect timeout, and waits without a limit if none is set") {
    tcp_fixture w;
    const full_address full(w.io, asio::ip::address_v4::loopback(), 0);
    w.port = full.acceptor.local_endpoint().port();
    const auto start = std::chrono::steady_clock::now();
    CHECK(w.open("127.0.0.1", {.resolve = 1h, .connect = 50ms}) == violation(errc::connect_timeout));
    CHECK(std::chrono::steady_clock::now() - start >= 50ms);
    CHECK(w.stream.opening_phase() == connection_phase::connecting);

    outcome opened; // the operation continues without a limit
    w.start(opened, "127.0.0.1");
    w.io.restart();
    w.io.run_for(100ms);
    CHECK_FALSE(opened.done);
    w.stream.close();
    REQUIRE(run_until(w.io, [&] { return opened.done; }));
    CHECK(opened.error == asio::error::operation_aborted);
}

TEST_CASE("TCP can be destroyed when its open operation is aborted but not yet complete") {
    asio::io_context io;
    outcome opened;
    {
        auto stream = std::make_unique<tern::tcp>(io.get_executor());
        stream->async_open({.host = "127.0.0.1", .port = 1}, {.connect = 1h}, *opened);
        stream->close();
        REQUIRE(run_until(io, [&] { return opened.done; }));
    }
    io.restart();
    io.run();
    CHECK(opened.error == asio::error::operation_aborted);
}

#if defined(__linux__)

TEST_CASE("Connecting to an address needs no resolver") {
    tcp_fixture w;
    const std::lock_guard slow(test_names::slow);
    outcome late;
    w.start(late, "slow.test", {.resolve = 10ms});
    REQUIRE(run_until(w.io, [&] { return late.done; })); // the only resolver of the context is still busy
    CHECK(w.open("127.0.0.1", {.resolve = 1ms}) == std::error_code{});
    CHECK(w.open("::1") != asio::error::operation_aborted);
}

TEST_CASE("TCP applies the resolve timeout, and discards a late answer") {
    tcp_fixture w;
    std::unique_lock slow(test_names::slow);
    const auto start = std::chrono::steady_clock::now();
    CHECK(w.open("slow.test", {.resolve = 20ms, .connect = 1h}) == violation(errc::resolve_timeout));
    CHECK(std::chrono::steady_clock::now() - start >= 20ms);
    CHECK(w.stream.opening_phase() == connection_phase::resolving);
    outcome again;
    w.start(again, "slow.test");
    w.io.restart();
    w.io.run_for(20ms);
    CHECK_FALSE(again.done);
    w.stream.close();
    REQUIRE(run_until(w.io, [&] { return again.done; }));
    CHECK(again.error == asio::error::operation_aborted);
    std::optional<tern::tcp> other(w.io.get_executor());
    outcome gone;
    other->async_open({.host = "slow.test", .port = w.port}, {}, *gone);
    other->close();
    REQUIRE(run_until(w.io, [&] { return gone.done; }));
    other.reset();
    slow.unlock();
    w.io.restart();
    w.io.run();
    CHECK_FALSE(w.stream.socket().is_open());
    CHECK(w.open("slow.test") == std::error_code{});
}

TEST_CASE("TCP tries the addresses of a name in turn; its error is that of the last one") {
    tcp_fixture w;
    CHECK(w.open("unknown.test") == asio::error::host_not_found);
    CHECK(w.stream.opening_phase() == connection_phase::resolving);
    CHECK(w.open("several.test") == std::error_code{});
    CHECK(w.address() == "second");
    std::optional<full_address> full(std::in_place, w.io, asio::ip::make_address("127.0.0.99"), w.port);
    CHECK(w.open("several.test", {.connect = 30ms}) == std::error_code{});
    CHECK(w.address() == "second");
    w.acceptor.close();
    CHECK(w.open("several.test", {.connect = 30ms}) == asio::error::connection_refused);
    full.reset();
    const full_address second(w.io, asio::ip::address_v4::loopback(), w.port);
    CHECK(w.open("several.test", {.connect = 30ms}) == violation(errc::connect_timeout));
}

TEST_CASE("TCP tries an address last on which nothing was read") {
    tcp_fixture w;
    const auto first = w.listens("127.0.0.99");
    const auto opens = [&](std::string_view expected) {
        CHECK(w.open("several.test") == std::error_code{});
        CHECK(w.address() == expected);
    };
    opens("first");
    opens("second");
    opens("first");
    opens("second");
    asio::ip::tcp::socket accepted(w.io);
    for (int i = 0; i != 2; ++i) // the client has closed the earlier ones
        accepted = w.acceptor.accept();
    asio::write(accepted, asio::buffer("x", 1));
    std::array<char, 8> buffer{};
    SECTION("at once") {
        outcome ready;
        w.stream.async_wait_read(*ready);
        REQUIRE(run_until(w.io, [&] { return ready.done; }));
        std::error_code error;
        CHECK(w.stream.read_some(asio::buffer(buffer), error) == 1);
    }
    SECTION("or when bytes arrive") {
        outcome read;
        w.stream.async_read_some(asio::buffer(buffer), *read);
        CHECK_FALSE(read.done);
        REQUIRE(run_until(w.io, [&] { return read.done; }));
        CHECK(read.size == 1);
    }
    opens("first"); // the order of the system holds while addresses answer
}

TEST_CASE("A context can be destroyed while TCP opens") {
    std::unique_lock slow(test_names::slow);
    const auto alive = std::make_shared<int>(0);
    {
        asio::io_context io;
        asio::co_spawn(
            io,
            [](tern::tcp stream, std::shared_ptr<int>) -> asio::awaitable<void> {
                co_await stream.async_open({.host = "slow.test"}, {.resolve = 1h}, asio::use_awaitable);
                FAIL("opened");
            }(tern::tcp(io.get_executor()), alive),
            asio::detached);
        io.poll();
        slow.unlock();
    }
    CHECK(alive.use_count() == 1);
}

#endif

} // namespace
