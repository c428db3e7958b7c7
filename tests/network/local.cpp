// The transport over Unix domain sockets, phase by phase.
#include "tern/transport/local.hpp"

#include "outcome.hpp"
#include "tern/client/engine.hpp"
#include "tern/testing/run_until.hpp"

#include <asio.hpp>

#if defined(ASIO_HAS_LOCAL_SOCKETS) && !defined(_WIN32)

#include <array>
#include <chrono>
#include <cstddef>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <stdlib.h> // NOLINT(modernize-deprecated-headers): mkdtemp
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace local_tests {
namespace {

using namespace std::chrono_literals;
using tern::errc;
using tern::testing::run_until;
using protocol = asio::local::stream_protocol;

static_assert(tern::readable_transport<tern::local>);
static_assert(tern::transport<tern::basic_local<asio::io_context::executor_type>>);
static_assert(!tern::timed_transport<tern::local>);

// A directory with the socket of a broker.
struct fixture {
    fixture() {
        REQUIRE(::mkdtemp(directory.data()) != nullptr);
        path = directory + "/broker.sock";
        acceptor = protocol::acceptor(io, protocol::endpoint(path));
    }
    ~fixture() {
        ::unlink(path.c_str());
        ::rmdir(directory.c_str());
    }
    fixture(const fixture&) = delete;
    fixture& operator=(const fixture&) = delete;

    void start(outcome& opened, std::string_view where, std::chrono::milliseconds limit = 0ms) {
        stream.async_open({.path = where}, {.connect = limit}, *opened);
        CHECK_FALSE(opened.done);
    }
    std::error_code open(std::string_view where, std::chrono::milliseconds limit = 0ms) {
        outcome opened;
        start(opened, where, limit);
        REQUIRE(run_until(io, [&] { return opened.done; }));
        return opened.error;
    }
    std::error_code open() { return open(path); }

    asio::io_context io;
    std::string directory = "/tmp/tern-XXXXXX";
    std::string path;
    protocol::acceptor acceptor{io};
    tern::local stream{io.get_executor()};
};

std::error_code system_error(int number) {
    return {number, asio::error::get_system_category()};
}

TEST_CASE("A Unix socket connects to a path repeatedly, and carries bytes both ways") {
    fixture w;
    for (int i = 0; i != 3; ++i) {
        REQUIRE(w.open() == std::error_code{});
        CHECK(w.stream.opening_phase() == tern::connection_phase::connecting);
        CHECK(w.stream.socket().non_blocking());
        protocol::socket accepted = w.acceptor.accept();
        std::array<char, 8> buffer{};
        std::error_code error;
        CHECK(w.stream.read_some(asio::buffer(buffer), error) == 0);
        CHECK(error == asio::error::would_block);
        outcome ready;
        w.stream.async_wait_read(*ready);
        asio::write(accepted, asio::buffer("abc", 3));
        REQUIRE(run_until(w.io, [&] { return ready.done; }));
        CHECK(w.stream.read_some(asio::buffer(buffer), error) == 3);
        CHECK(w.stream.write_some(asio::buffer("de", 2), error) == 2);
        outcome written;
        w.stream.async_write_some(asio::buffer("f", 1), *written);
        REQUIRE(run_until(w.io, [&] { return written.done; }));
        w.stream.shutdown_send();
        std::string received;
        asio::read(accepted, asio::dynamic_buffer(received), error);
        CHECK(error == asio::error::eof);
        CHECK(received == "def");
        outcome read; // the other direction is still open
        w.stream.async_read_some(asio::buffer(buffer), *read);
        asio::write(accepted, asio::buffer("g", 1));
        REQUIRE(run_until(w.io, [&] { return read.done; }));
        CHECK(read.size == 1);
        if (i == 1) w.stream.close(); // opening also works with an open socket
    }
}

#if defined(__linux__)
TEST_CASE("A Unix socket can be in the abstract namespace of Linux") {
    fixture w;
    const std::string name = "tern-" + w.directory;
    CHECK(w.open("@" + name) == asio::error::connection_refused);
    const protocol::acceptor acceptor(w.io, protocol::endpoint(std::string(1, '\0') + name));
    CHECK(w.open("@" + name) == std::error_code{});
}
#endif

TEST_CASE("What is wrong with the path of a Unix socket is the error of the opening") {
    fixture w;
    CHECK(w.open("") == tern::misuse(errc::empty_path));
    CHECK(w.open("@") == tern::misuse(errc::empty_path));
    CHECK(w.open(w.directory + "/other.sock") == system_error(ENOENT));
    CHECK(w.open(w.path + "/a") == system_error(ENOTDIR));
    CHECK(w.open(w.directory) == asio::error::connection_refused);
    CHECK(w.open("/" + std::string(200, 'a')) == asio::error::name_too_long);
    CHECK(w.open("@" + std::string(200, 'a')) == asio::error::name_too_long);
    CHECK(w.open(w.path + std::string("\0", 1)) == asio::error::invalid_argument);
    CHECK(w.open() == std::error_code{});
    const bool is_root = ::geteuid() == 0; // who may use every path
    if (is_root) REQUIRE(::seteuid(65534) == 0);
    ::chmod(w.path.c_str(), 0);
    CHECK(w.open() == asio::error::access_denied);
    if (is_root) REQUIRE(::seteuid(0) == 0);
    ::chmod(w.path.c_str(), 0700);
    w.acceptor.close(); // the path stays
    CHECK(w.open() == asio::error::connection_refused);
}

// Connects until the queue of the acceptor is full.
struct full_queue {
    explicit full_queue(fixture& w) {
        w.acceptor.listen(0);
        for (;;) {
            sockets.emplace_back(w.io, protocol());
            sockets.back().non_blocking(true);
            const protocol::endpoint remote(w.path);
            if (tern::detail::connect_native_socket(sockets.back().native_handle(), remote.data(), remote.size()))
                break;
        }
    }
    std::vector<protocol::socket> sockets;
};

#if defined(__linux__) // other systems refuse the connection
TEST_CASE("A Unix socket waits until the broker's queue has room, up to the connect timeout") {
    fixture w;
    const full_queue full(w);
    const auto start = std::chrono::steady_clock::now();
    CHECK(w.open(w.path, 50ms) == tern::violation(errc::connect_timeout));
    CHECK(std::chrono::steady_clock::now() - start >= 50ms);
    outcome opened;
    w.start(opened, w.path);
    w.io.restart();
    w.io.run_for(50ms);
    CHECK_FALSE(opened.done);
    const protocol::socket accepted = w.acceptor.accept();
    REQUIRE(run_until(w.io, [&] { return opened.done; }));
    CHECK(opened.error == std::error_code{});
}

TEST_CASE("Closing a Unix socket aborts the open operation") {
    fixture w;
    const full_queue full(w);
    outcome opened;
    w.start(opened, w.path, 1h);
    const int steps = GENERATE(0, 1, 2, 3);
    for (int i = 0; i != steps; ++i)
        w.io.run_one_for(5ms);
    w.stream.close();
    REQUIRE(run_until(w.io, [&] { return opened.done; }));
    CHECK(opened.error == asio::error::operation_aborted);
    CHECK_FALSE(w.stream.socket().is_open());
    w.io.restart();
    w.io.run(); // no timer is left
}
#endif

TEST_CASE("Programs that the process executes inherit no Unix socket") {
    fixture w;
    REQUIRE(w.open() == std::error_code{});
    CHECK((::fcntl(w.stream.socket().native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("Closing a Unix socket ends the connection although another process has a copy") {
    fixture w;
    REQUIRE(w.open() == std::error_code{});
    protocol::socket accepted = w.acceptor.accept();
    const int copy = ::dup(w.stream.socket().native_handle());
    w.stream.close();
    std::array<char, 1> buffer{};
    outcome read;
    accepted.async_read_some(asio::buffer(buffer), *read);
    REQUIRE(run_until(w.io, [&] { return read.done; }, 1s));
    CHECK(read.error == asio::error::eof);
    ::close(copy);
}

TEST_CASE("A Unix socket can be moved while it is open, and a context destroyed while it opens") {
    std::optional<fixture> w(std::in_place);
    REQUIRE(w->open() == std::error_code{});
    tern::local other = std::move(w->stream);
    CHECK(other.socket().is_open());
    w->stream = std::move(other);
    const auto alive = std::make_shared<int>(0);
    w->stream.async_open({.path = w->path}, {.connect = 1h}, [alive](std::error_code) { FAIL("completed"); });
    w.reset();
    CHECK(alive.use_count() == 1);
}

// The bytes of CONNECT arrive, and CONNACK connects the client.
TEST_CASE("A client connects over a Unix socket, which its events name") {
    fixture w;
    tern::basic_client<tern::local> client(w.io);
    outcome connected;
    client.async_connect({.host = "", .path = w.path, .scheme = "unix", .client_id = "c"},
                         [&](std::error_code error, const auto&) { (*connected)(error); });
    protocol::socket accepted(w.io);
    outcome accept;
    w.acceptor.async_accept(accepted, *accept);
    REQUIRE(run_until(w.io, [&] { return accept.done; }));
    asio::write(accepted, asio::buffer("\x20\x03\0\0\0", 5));
    REQUIRE(run_until(w.io, [&] { return connected.done; }));
    CHECK(connected.error == std::error_code{});
    std::string host;
    client.async_next_event([&](std::error_code, const tern::connection_event& e) { host = e.host; });
    REQUIRE(run_until(w.io, [&] { return !host.empty(); }));
    CHECK(host == w.path);
}

} // namespace
} // namespace local_tests

#endif
