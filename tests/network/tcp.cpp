// The TCP transport, phase by phase.
#include "tern/transport/tcp.hpp"

#include "outcome.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/time.hpp"
#include "test_names.hpp"

#include <asio.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

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

    // Accepts all connections from now on.
    void make_room() {
        acceptor.async_accept([this](const std::error_code& error, asio::ip::tcp::socket) {
            if (!error) make_room();
        });
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

// ---- the resolver of the application

TEST_CASE("A resolver of the application replaces the system's for names, but not for addresses") {
    tcp_fixture w;
    std::vector<std::string> names;
    w.stream.set_resolver([&](tern::name_lookup lookup) {
        names.push_back(lookup.host());
        CHECK(lookup.port() == w.port);
        lookup.complete({{asio::ip::address_v4::loopback(), lookup.port()}});
    });
    CHECK(w.open("broker.test") == std::error_code{});
    CHECK(w.open("127.0.0.1") == std::error_code{});
    CHECK(names == std::vector<std::string>{"broker.test"});
    w.stream.set_resolver([](tern::name_lookup lookup) { lookup.fail(asio::error::host_not_found_try_again); });
    CHECK(w.open("broker.test") == asio::error::host_not_found_try_again);
    w.stream.set_resolver([](tern::name_lookup lookup) { lookup.complete({}); });
    CHECK(w.open("broker.test") == asio::error::host_not_found);
    w.stream.set_resolver([](tern::name_lookup) {});
    CHECK(w.open("broker.test") == std::errc::operation_canceled);
    w.stream.set_resolver([](const tern::name_lookup&) { throw std::system_error(asio::error::access_denied); });
    CHECK(w.open("broker.test") == asio::error::access_denied);
    w.stream.set_resolver(nullptr);
    CHECK(w.open("localhost") == std::error_code{});
}

TEST_CASE("A resolver of the application can answer later, in another thread, and too late") {
    tcp_fixture w;
    std::vector<tern::name_lookup> lookups;
    w.stream.set_resolver([&](tern::name_lookup lookup) { lookups.push_back(std::move(lookup)); });
    CHECK(w.open("broker.test", {.resolve = 1ms}) == violation(errc::resolve_timeout));
    outcome opened;
    w.start(opened, "broker.test");
    REQUIRE(run_until(w.io, [&] { return lookups.size() == 2; }));
    std::thread resolver([&] {
        lookups.front().fail(asio::error::host_not_found);
        lookups.back().complete({{asio::ip::address_v4::loopback(), w.port}});
    });
    REQUIRE(run_until(w.io, [&] { return opened.done; }));
    resolver.join();
    CHECK(opened.error == std::error_code{});
}

TEST_CASE("An exception of a function of the application ends the opening and propagates out of the context") {
    tcp_fixture w;
    outcome opened;
    SECTION("the resolver") {
        w.stream.set_resolver([](const tern::name_lookup&) { throw std::runtime_error("resolver"); });
    }
    SECTION("the function that receives a new socket") {
        w.stream.set_resolver(
            [&](tern::name_lookup lookup) { lookup.complete({{asio::ip::address_v4::loopback(), lookup.port()}}); });
        w.stream.set_on_socket_opened([](auto&, auto&) { throw std::runtime_error("socket"); });
    }
    w.start(opened, "broker.test");
    CHECK_THROWS_AS(run_until(w.io, [&] { return opened.done; }), std::runtime_error);
    REQUIRE(run_until(w.io, [&] { return opened.done; }));
    CHECK(opened.error == std::errc::interrupted);
}

// ---- options

// The option of the connected socket.
template <class Option>
auto option_of(tcp_fixture& w) {
    Option option;
    w.stream.socket().get_option(option);
    return option.value();
}

TEST_CASE("The options of TCP apply to each new socket") {
    tcp_fixture w;
#if defined(TCP_KEEPIDLE) || !defined(_WIN32)
    const tern::tcp_keep_alive keep_alive{.idle = 7s, .interval = 3s, .probes = 2};
#else
    const tern::tcp_keep_alive keep_alive{}; // MinGW's headers have no names for its times
#endif
    w.stream.set_options({.no_delay = false,
                          .keep_alive = keep_alive,
                          .receive_buffer_bytes = 20'000,
                          .send_buffer_bytes = 30'000,
                          .local_address = asio::ip::make_address("127.0.0.7")});
    for (int i = 0; i != 2; ++i) {
        REQUIRE(w.open() == std::error_code{});
        CHECK_FALSE(option_of<asio::ip::tcp::no_delay>(w));
        CHECK(option_of<asio::socket_base::keep_alive>(w));
        CHECK(w.stream.socket().local_endpoint().address() == asio::ip::make_address("127.0.0.7"));
#if defined(__linux__)
        CHECK(option_of<asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>>(w) == 7);
        CHECK(option_of<asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>>(w) == 3);
        CHECK(option_of<asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>>(w) == 2);
        CHECK(option_of<asio::socket_base::receive_buffer_size>(w) == 20'000);
        CHECK(option_of<asio::socket_base::send_buffer_size>(w) == 30'000);
#endif
    }
    w.stream.set_options({});
    REQUIRE(w.open() == std::error_code{});
    CHECK(option_of<asio::ip::tcp::no_delay>(w));
    CHECK_FALSE(option_of<asio::socket_base::keep_alive>(w));
}

TEST_CASE("An option that the system refuses is an error of the opening") {
    tcp_fixture w;
    w.stream.set_options({.local_address = asio::ip::make_address("::1")});
    CHECK(w.open("127.0.0.1") == asio::error::address_family_not_supported);
    w.stream.set_options({.keep_alive = tern::tcp_keep_alive{.probes = -1}});
    CHECK(w.open("127.0.0.1") != std::error_code{});
    w.stream.set_options({.user_timeout = -1ms});
    CHECK(w.open("127.0.0.1") != std::error_code{});
    w.stream.set_options({.device = "no-such-device"});
    CHECK(w.open("127.0.0.1") != std::error_code{});
    w.stream.set_options({});
    CHECK(w.open("127.0.0.1") == std::error_code{});
}

#if defined(_WIN32)
constexpr int address_not_available = WSAEADDRNOTAVAIL;
#else
constexpr int address_not_available = EADDRNOTAVAIL;
#endif

TEST_CASE("A function of the application sets options of each new socket before it connects") {
    tcp_fixture w;
    int sockets = 0;
    w.stream.set_on_socket_opened([&](auto& socket, const asio::ip::tcp::endpoint& remote) {
        ++sockets;
        CHECK(remote == w.acceptor.local_endpoint());
        socket.set_option(asio::socket_base::linger(true, 5));
        std::error_code error;
        CHECK(socket.remote_endpoint(error) == asio::ip::tcp::endpoint());
    });
    for (int i = 1; i != 3; ++i) {
        CHECK(w.open() == std::error_code{});
        CHECK(sockets == i);
        asio::socket_base::linger linger;
        w.stream.socket().get_option(linger);
        CHECK(linger.timeout() == 5);
    }
    w.stream.set_on_socket_opened(
        [](auto& socket, auto&) { socket.bind({asio::ip::make_address("192.0.2.1"), 0}); }); // it throws
    CHECK(w.open() == std::error_code(address_not_available, asio::error::get_system_category()));
    w.stream.set_on_socket_opened([&](auto&, auto&) { w.stream.close(); });
    CHECK(w.open() == asio::error::operation_aborted);
    w.stream.set_on_socket_opened(nullptr);
    CHECK(w.open() == std::error_code{});
}

#if defined(__linux__)

// ---- other processes

// Runs the context until as many look-ups of slow names have begun.
void begin_lookups(asio::io_context& io, int lookups) {
    while (test_names::slow_lookups < lookups) {
        io.restart();
        io.poll();
        std::this_thread::yield();
    }
}

TEST_CASE("Programs that the process executes inherit no descriptor of a client's context") {
    const auto descriptors = [] {
        std::set<int> open;
        for (int i = 0; i != 256; ++i)
            if (::fcntl(i, F_GETFD) != -1) open.insert(i);
        return open;
    };
    asio::io_context peer;
    asio::ip::tcp::acceptor acceptor(peer, {asio::ip::address_v4::loopback(), 0});
    const std::set<int> before = descriptors();
    asio::io_context io;
    tern::tcp stream(io.get_executor());
    outcome opened;
    stream.async_open({.host = "localhost", .port = acceptor.local_endpoint().port()}, {.resolve = 5s}, *opened);
    REQUIRE(run_until(io, [&] { return opened.done; }));
    REQUIRE(opened.error == std::error_code{});
    int found = 0;
    for (const int each : descriptors())
        if (!before.contains(each)) {
            ++found;
            CHECK((::fcntl(each, F_GETFD) & FD_CLOEXEC) != 0);
        }
    CHECK(found >= 2); // the socket and the reactor
}

TEST_CASE("Closing TCP ends the connection although another process has a copy of the socket") {
    tcp_fixture w;
    REQUIRE(w.open() == std::error_code{});
    asio::ip::tcp::socket accepted = w.acceptor.accept();
    const int copy = ::dup(w.stream.socket().native_handle());
    w.stream.close();
    std::array<char, 1> buffer{};
    outcome read;
    accepted.async_read_some(asio::buffer(buffer), *read);
    REQUIRE(run_until(w.io, [&] { return read.done; }, 1s));
    CHECK(read.error == asio::error::eof);
    ::close(copy);
}

// Runs a function in a child process, and returns whether it returned true there.
template <class Function>
bool in_child(asio::io_context& io, Function function) {
    io.notify_fork(asio::execution_context::fork_prepare);
    const pid_t child = ::fork();
    if (child == 0) {
        io.notify_fork(asio::execution_context::fork_child);
        ::_exit(function() ? 0 : 1);
    }
    io.notify_fork(asio::execution_context::fork_parent);
    int status = -1;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_CASE("After a fork the child can destroy its copy, and the connection of the parent stays") {
    std::optional<tcp_fixture> w(std::in_place);
    REQUIRE(w->open() == std::error_code{});
    asio::ip::tcp::socket accepted = w->acceptor.accept();
    CHECK(in_child(w->io, [&] {
        w->stream.close();
        return !w->stream.socket().is_open();
    }));
    asio::write(accepted, asio::buffer("x", 1));
    std::array<char, 8> buffer{};
    outcome read;
    w->stream.async_read_some(asio::buffer(buffer), *read);
    REQUIRE(run_until(w->io, [&] { return read.done; }));
    CHECK(read.error == std::error_code{});
    CHECK(read.size == 1);
}

// ThreadSanitizer does not support threads that begin after a fork.
#if !defined(__has_feature)
#define __has_feature(name) 0
#endif
#if !__has_feature(thread_sanitizer)
TEST_CASE("After a fork both processes can look up names, also those that waited") {
    tcp_fixture w;
    std::unique_lock slow(test_names::slow);
    const int before = test_names::slow_lookups;
    std::array<outcome, 5> opened;
    std::vector<tern::tcp> streams;
    for (std::size_t i = 0; i != opened.size(); ++i)
        streams.emplace_back(w.io.get_executor());
    for (std::size_t i = 0; i != opened.size(); ++i)
        streams[i].async_open({.host = std::to_string(i) + ".slow.test", .port = w.port}, {}, *opened[i]);
    begin_lookups(w.io, before + 4);
    slow.unlock();
    const auto all_open = [&] {
        return run_until(w.io, [&] {
            return std::ranges::all_of(opened, [](const outcome& each) { return each.done && !each.error; });
        });
    };
    CHECK(in_child(w.io, all_open));
    CHECK(all_open());
}
#endif

// ---- exhausted resources

TEST_CASE("A descriptor that cannot be opened is an error of the opening") {
    tcp_fixture w;
    CHECK(w.open() == std::error_code{}); // the context has its own descriptors
    w.stream.close();
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit none{3, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    const std::error_code error = w.open();
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(error == asio::error::no_descriptors);
    CHECK(w.open() == std::error_code{});
}

#if defined(__GLIBC__)

TEST_CASE("A thread that cannot be started is an error of the opening") {
    tcp_fixture w;
    pthread_attr_t before;
    REQUIRE(pthread_getattr_default_np(&before) == 0);
    pthread_attr_t endless = before;
    REQUIRE(pthread_attr_setstacksize(&endless, SIZE_MAX / 8 * 7) == 0);
    REQUIRE(pthread_setattr_default_np(&endless) == 0);
    const std::error_code error = w.open("localhost");
    REQUIRE(pthread_setattr_default_np(&before) == 0);
    CHECK(error == std::errc::resource_unavailable_try_again);
    CHECK(w.open("localhost") == std::error_code{});
}

#endif

// ---- names

TEST_CASE("Connecting to an address needs no resolver") {
    tcp_fixture w;
    const std::lock_guard slow(test_names::slow);
    outcome late;
    w.start(late, "slow.test", {.resolve = 10ms});
    REQUIRE(run_until(w.io, [&] { return late.done; }));
    CHECK(w.open("127.0.0.1", {.resolve = 1ms}) == std::error_code{});
    CHECK(w.open("::1") != asio::error::operation_aborted);
}

TEST_CASE("A slow name delays no other name") {
    tcp_fixture w;
    const std::lock_guard slow(test_names::slow);
    const int before = test_names::slow_lookups;
    outcome late;
    w.start(late, "slow.test");
    begin_lookups(w.io, before + 1);
    tern::tcp other(w.io.get_executor());
    outcome opened;
    other.async_open({.host = "localhost", .port = w.port}, {.resolve = 5s}, *opened);
    REQUIRE(run_until(w.io, [&] { return opened.done; }));
    CHECK(opened.error == std::error_code{});
    CHECK_FALSE(late.done);
    w.stream.close();
}

TEST_CASE("Four names are looked up at once, further ones wait, and each name is looked up once") {
    tcp_fixture w;
    std::unique_lock slow(test_names::slow);
    const int before = test_names::slow_lookups;
    const std::array names{"1.slow.test", "1.slow.test", "2.slow.test", "2.slow.test", "3.slow.test",
                           "4.slow.test", "5.slow.test", "5.slow.test", "6.slow.test"};
    std::vector<tern::tcp> streams;
    for (std::size_t i = 0; i != names.size(); ++i)
        streams.emplace_back(w.io.get_executor());
    std::vector<outcome> opened(names.size());
    for (std::size_t i = 0; i != names.size(); ++i)
        streams[i].async_open({.host = names[i], .port = w.port}, {}, *opened[i]);
    begin_lookups(w.io, before + 4);
    w.io.run_for(20ms);
    CHECK(test_names::slow_lookups == before + 4);
    streams.back().close(); // its look-up has not begun
    slow.unlock();
    REQUIRE(run_until(w.io, [&] { return std::ranges::all_of(opened, &outcome::done); }));
    CHECK(opened.back().error == asio::error::operation_aborted);
    opened.pop_back();
    for (const outcome& each : opened)
        CHECK(each.error == std::error_code{});
    CHECK(test_names::slow_lookups == before + 5);
}

TEST_CASE("A context does not run until an abandoned look-up ends, but its destructor waits for it") {
    std::optional<tcp_fixture> w(std::in_place);
    std::unique_lock slow(test_names::slow);
    const int before = test_names::slow_lookups;
    outcome late;
    w->start(late, "slow.test");
    begin_lookups(w->io, before + 1);
    w->stream.close();
    w->io.restart();
    w->io.run();
    CHECK(late.error == asio::error::operation_aborted);
    std::atomic<bool> destroyed = false;
    std::thread destroying([&] {
        w.reset();
        destroyed = true;
    });
    std::this_thread::sleep_for(20ms);
    CHECK_FALSE(destroyed);
    slow.unlock();
    destroying.join();
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

TEST_CASE("TCP tries the addresses of a name in turn, and its error is that of the last one") {
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
    opens("second"); // a broker has answered there
    opens("first");
}

// ---- the race of addresses

TEST_CASE("The families of addresses alternate, and the address that answered last comes first (RFC 8305 §4)") {
    const auto address = [](const char* text) { return asio::ip::tcp::endpoint(asio::ip::make_address(text), 1883); };
    const auto sorted = [&](const tern::detail::address_order& order, std::initializer_list<const char*> texts) {
        tern::detail::address_list list;
        for (const char* const each : texts)
            list.push_back(address(each));
        order.sort(list);
        std::string text;
        for (const auto& each : list)
            text += (text.empty() ? "" : " ") + each.address().to_string();
        return text;
    };
    tern::detail::address_order order;
    CHECK(sorted(order, {"::1", "::2", "::3", "1.1.1.1", "2.2.2.2"}) == "::1 1.1.1.1 ::2 2.2.2.2 ::3");
    CHECK(sorted(order, {"1.1.1.1", "2.2.2.2", "::1"}) == "1.1.1.1 ::1 2.2.2.2");
    CHECK(sorted(order, {"1.1.1.1"}) == "1.1.1.1");
    order.on_connected(address("::1"));
    CHECK(sorted(order, {"::1", "::2", "1.1.1.1"}) == "1.1.1.1 ::2 ::1");
    order.on_connected(address("1.1.1.1"));
    CHECK(sorted(order, {"::1", "::2", "1.1.1.1"}) == "::2 ::1 1.1.1.1");
    order.on_read();
    CHECK(sorted(order, {"::1", "::2", "1.1.1.1"}) == "1.1.1.1 ::1 ::2");
    CHECK(sorted(order, {"::1", "::2"}) == "::1 ::2");
    order.on_connected(address("::1"));
    CHECK(sorted(order, {"::1", "::2", "1.1.1.1"}) == "1.1.1.1 ::2 ::1");
    order.on_connected(address("1.1.1.1"));
    CHECK(sorted(order, {"::1", "::2", "1.1.1.1"}) == "::2 ::1 1.1.1.1");
    order.on_other_connected();
    order.on_read(); // on the connection to another host
    CHECK(sorted(order, {"::1", "::2", "1.1.1.1"}) == "::2 ::1 1.1.1.1");
    for (int i = 0; i != 100; ++i)
        order.on_connected(asio::ip::tcp::endpoint(asio::ip::address_v4(static_cast<unsigned>(i)), 1883));
    CHECK(sorted(order, {"1.1.1.1", "2.2.2.2"}) == "1.1.1.1 2.2.2.2"); // the oldest are forgotten
}

// The addresses of a name, and when an attempt to connect to each has begun.
struct race {
    explicit race(tcp_fixture& w) : fixture(w) {
        w.stream.set_resolver([this](tern::name_lookup lookup) { lookup.complete(addresses); });
        w.stream.set_on_socket_opened([this](auto&, const asio::ip::tcp::endpoint& to) {
            begun.emplace_back(to, std::chrono::steady_clock::now());
        });
    }
    void add(const char* text) { addresses.emplace_back(asio::ip::make_address(text), fixture.port); }

    tcp_fixture& fixture;
    std::vector<asio::ip::tcp::endpoint> addresses;
    std::vector<std::pair<asio::ip::tcp::endpoint, std::chrono::steady_clock::time_point>> begun;
};

TEST_CASE("A dead address costs 250 ms, a refusing one nothing (RFC 8305 §5)") {
    tcp_fixture w;
    race r(w);
    const full_address dead(w.io, asio::ip::make_address("127.0.0.98"), w.port);
    const full_address dead_too(w.io, asio::ip::make_address("127.0.0.99"), w.port);
    r.add("127.0.0.98");
    r.add("127.0.0.97"); // refuses
    r.add("127.0.0.99");
    r.add("127.0.0.1");
    CHECK(w.open("racing.test", {.connect = 1h}) == std::error_code{});
    REQUIRE(r.begun.size() == 4);
    CHECK(w.stream.socket().remote_endpoint() == r.addresses[3]);
    CHECK(r.begun[1].second - r.begun[0].second >= 250ms);
    CHECK(r.begun[3].second - r.begun[2].second >= 250ms);
    w.stream.socket().send(asio::buffer("x", 1));
    asio::ip::tcp::socket accepted = w.acceptor.accept();
    std::array<char, 1> byte{};
    CHECK(asio::read(accepted, asio::buffer(byte)) == 1);
}

TEST_CASE("An attempt that began earlier can win the race") {
    tcp_fixture w;
    race r(w);
    std::optional<full_address> slow(std::in_place, w.io, asio::ip::make_address("127.0.0.98"), w.port);
    const full_address dead(w.io, asio::ip::make_address("127.0.0.99"), w.port);
    r.add("127.0.0.98");
    r.add("127.0.0.99");
    outcome opened;
    w.start(opened, "racing.test", {.connect = 1h});
    REQUIRE(run_until(w.io, [&] { return r.begun.size() == 2; }));
    slow->make_room();
    REQUIRE(run_until(w.io, [&] { return opened.done; }));
    CHECK_FALSE(opened.error);
    CHECK(w.stream.socket().remote_endpoint() == r.addresses[0]);
}

TEST_CASE("Each address of a race has its own time limit, and closing ends the race") {
    tcp_fixture w;
    race r(w);
    const full_address dead(w.io, asio::ip::make_address("127.0.0.98"), w.port);
    const full_address dead_too(w.io, asio::ip::make_address("127.0.0.99"), w.port);
    r.add("127.0.0.98");
    r.add("127.0.0.99");
    const auto begin = std::chrono::steady_clock::now();
    CHECK(w.open("racing.test", {.connect = 400ms}) == violation(errc::connect_timeout));
    CHECK(std::chrono::steady_clock::now() - begin >= 650ms);
    CHECK(r.begun.size() == 2);
    outcome opened;
    w.start(opened, "racing.test", {.connect = 1h});
    REQUIRE(run_until(w.io, [&] { return r.begun.size() == 4; }));
    w.stream.close();
    REQUIRE(run_until(w.io, [&] { return opened.done; }));
    CHECK(opened.error == asio::error::operation_aborted);
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
