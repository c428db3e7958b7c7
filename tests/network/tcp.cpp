// The TCP transport, phase by phase.
#include "tern/transport/tcp.hpp"

#include "outcome.hpp"
#include "tern/testing/pipe.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/time.hpp"

#include <asio.hpp>

#include <chrono>
#include <type_traits>

namespace {

using tern::testing::run_until;

static_assert(tern::transport<tern::tcp>);
static_assert(tern::transport<tern::basic_tcp<asio::io_context::executor_type>>);
static_assert(!tern::timed_transport<tern::tcp>);
static_assert(std::is_same_v<tern::detail::timer_of<tern::basic_tcp<asio::io_context::executor_type>>,
                             asio::basic_waitable_timer<std::chrono::steady_clock,
                                                        asio::wait_traits<std::chrono::steady_clock>,
                                                        asio::io_context::executor_type>>);

struct tcp_world {
    void resolve(std::uint16_t at) {
        outcome resolved;
        stream.async_resolve("127.0.0.1", at, *resolved);
        CHECK_FALSE(resolved.done);
        REQUIRE(run_until(io, [&] { return resolved.done; }));
        REQUIRE_FALSE(resolved.error);
        REQUIRE(resolved.size >= 1);
    }
    std::error_code connect(std::size_t address = 0) {
        outcome connected;
        stream.async_connect(address, *connected);
        CHECK_FALSE(connected.done);
        REQUIRE(run_until(io, [&] { return connected.done; }));
        return connected.error;
    }

    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    std::uint16_t port = acceptor.local_endpoint().port();
    tern::tcp stream{io.get_executor()};
};

TEST_CASE("TCP connects to an address, again and again") {
    tcp_world w;
    w.resolve(w.port);
    for (int i = 0; i != 3; ++i) {
        CHECK(w.connect() == std::error_code{});
        asio::ip::tcp::no_delay option;
        w.stream.socket().get_option(option);
        CHECK(option.value());
        if (i == 1) w.stream.close(); // the addresses survive, and so does a socket that was left open
    }
}

TEST_CASE("TCP can try an address again when it has failed") {
    tcp_world w;
    w.resolve(w.port);
    w.acceptor.close();
    CHECK(w.connect() == asio::error::connection_refused);
    CHECK(w.connect() == asio::error::connection_refused);
    w.acceptor = {w.io, {asio::ip::address_v4::loopback(), 0}};
    w.resolve(w.acceptor.local_endpoint().port());
    CHECK(w.connect() == std::error_code{});
}

TEST_CASE("Closing TCP ends resolving and connecting") {
    tcp_world w;
    outcome resolved;
    w.stream.async_resolve("127.0.0.1", w.port, *resolved);
    const int steps = GENERATE(0, 1, 2);
    for (int i = 0; i != steps; ++i)
        w.io.run_one_for(std::chrono::milliseconds(5));
    const bool was_done = resolved.done;
    w.stream.close();
    REQUIRE(run_until(w.io, [&] { return resolved.done; }));
    if (!was_done) CHECK(resolved.error == asio::error::operation_aborted);

    w.resolve(w.port);
    outcome connected;
    w.stream.async_connect(0, *connected);
    w.stream.close();
    REQUIRE(run_until(w.io, [&] { return connected.done; }));
    CHECK(connected.error == asio::error::operation_aborted);
    CHECK_FALSE(w.stream.socket().is_open());
    CHECK(w.connect() == std::error_code{});
}

} // namespace
