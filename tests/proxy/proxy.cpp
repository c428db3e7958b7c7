// The layer of proxies: in memory, with scripted proxies and virtual time, and over TCP.
#include "tern/transport/proxy.hpp"

#include "network/network_test.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/http_error.hpp"
#include "tern/transport/tcp.hpp"

#include <asio.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace proxy_tests {
namespace {

using tern::errc;
using tern::proxy_errc;
using tern::proxy_options;
using tern::testing::run_until;
using namespace std::string_literals;

using link_proxy = tern::basic_proxy<tern_link>;
using tcp_proxy = tern::basic_proxy<tern::tcp>;
static_assert(tern::transport<link_proxy> && tern::timed_transport<link_proxy> && tern::seeded_transport<link_proxy>);
static_assert(!tern::readable_transport<link_proxy> && !tern::writes_at_once<link_proxy>);
static_assert(tern::readable_transport<tcp_proxy> && tern::writes_at_once<tcp_proxy>);
static_assert(!tern::timed_transport<tcp_proxy> && tern::transport<tern::basic_proxy<tcp_proxy>>);

const std::string http_request = "CONNECT broker.test:1883 HTTP/1.1\r\nHost: broker.test:1883\r\n\r\n";
const std::string http_answer = "HTTP/1.1 200 OK\r\n\r\n";
const proxy_options http{.protocol = tern::proxy_protocol::http_connect, .host = "proxy", .port = 3128};
const proxy_options socks{.protocol = tern::proxy_protocol::socks5, .host = "proxy", .port = 1080};

// A proxy and a broker, with the connections that each has accepted.
struct fixture {
    fixture() {
        net.listen("proxy", [this](tern_link stream) { take(proxied, std::move(stream)); });
        net.listen("broker.test", [this](tern_link stream) { take(direct, std::move(stream)); });
        client.set_options(http);
    }
    static void take(std::vector<std::unique_ptr<tern_link>>& all, tern_link stream) {
        all.push_back(std::make_unique<tern_link>(std::move(stream)));
    }
    void start(const tern::endpoint& where = {.host = "broker.test"}, const tern::open_timeouts& timeouts = {}) {
        client.close();
        net.run_ready();
        opened = {};
        client.async_open(where, timeouts, *opened);
        CHECK_FALSE(opened.done);
        net.run_ready();
    }
    // What arrives next; "nothing" if the read stays outstanding.
    template <class Stream>
    std::string read_from(Stream& stream, std::size_t most) {
        reading& present = *readings.emplace_back(std::make_unique<reading>());
        present.bytes.resize(most);
        stream.async_read_some(asio::buffer(present.bytes), *present.result);
        CHECK_FALSE(present.result.done);
        net.run_ready();
        if (!present.result.done) return "nothing";
        return present.result.error ? present.result.error.message() : present.bytes.substr(0, present.result.size);
    }
    std::string request() { return read_from(*proxied.back(), 1'000); }
    std::string read(std::size_t most = 100) { return read_from(client, most); }
    void answer(std::string_view bytes) {
        outcome written;
        asio::async_write(*proxied.back(), asio::buffer(bytes), *written);
        net.run_ready();
        CHECK(written.done);
    }
    struct reading {
        std::string bytes;
        outcome result;
    };

    std::vector<std::unique_ptr<reading>> readings; // an outstanding one needs its buffer
    network net{1};
    std::vector<std::unique_ptr<tern_link>> proxied;
    std::vector<std::unique_ptr<tern_link>> direct;
    outcome opened;
    link_proxy client{tern_link(net)};
};

TEST_CASE("Without a proxy, or for a host in no_proxy, the layer only forwards") {
    fixture w;
    SECTION("no proxy") {
        w.client.set_options({});
    }
    SECTION("no_proxy") {
        proxy_options options = http;
        options.no_proxy = "localhost,.test";
        w.client.set_options(options);
    }
    w.start();
    REQUIRE(w.opened.done);
    CHECK_FALSE(w.opened.error);
    CHECK(w.direct.size() == 1);
    CHECK(w.proxied.empty());
    asio::async_write(*w.direct.back(), asio::buffer("hello", 5), asio::detached);
    CHECK(w.read() == "hello");
    outcome written;
    w.client.async_write_some(asio::buffer("a", 1), *written);
    w.net.run_ready();
    CHECK(written.size == 1);
}

TEST_CASE("An HTTP proxy opens a tunnel to the broker, whose first bytes may come with its answer") {
    fixture w;
    for (int i = 0; i != 2; ++i) {
        w.start();
        CHECK(w.client.opening_phase() == tern::connection_phase::connecting);
        CHECK(w.request() == http_request);
        CHECK_FALSE(w.opened.done);
        w.answer(http_answer + "early");
        REQUIRE(w.opened.done);
        CHECK_FALSE(w.opened.error);
        CHECK(w.read(2) == "ea");
        CHECK(w.read() == "rly");
        w.answer("late");
        CHECK(w.read() == "late");
        CHECK(w.read() == "nothing"); // the read is outstanding
        w.client.close();
        w.net.run_ready();
    }
    CHECK(w.direct.empty());
}

TEST_CASE("A SOCKS5 proxy connects to the broker by name") {
    fixture w;
    proxy_options options = socks;
    options.user_name = "user";
    options.password = "secret";
    w.client.set_options(options);
    w.start({.host = "broker.test", .port = 1883});
    CHECK(w.request() == "\5\2\0\2"s);
    w.answer("\5\2");
    CHECK(w.request() == "\1\4user\6secret");
    w.answer("\1\0"s);
    CHECK(w.request() == "\5\1\0\3\x0B"s + "broker.test\x07\x5B");
    w.answer("\5\0\0\1\0\0\0\0\0\0"s + "early");
    REQUIRE(w.opened.done);
    CHECK_FALSE(w.opened.error);
    CHECK(w.read() == "early");
}

TEST_CASE("Options of a proxy apply from the next opening on") {
    fixture w;
    w.start();
    w.client.set_options({});
    CHECK(w.request() == http_request);
    w.answer(http_answer);
    CHECK(w.opened.done);
    w.start();
    CHECK(w.opened.done);
    CHECK(w.direct.size() == 1);
}

TEST_CASE("The refusal of a proxy is the error of the opening") {
    fixture w;
    w.start();
    (void)w.request();
    w.answer("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    REQUIRE(w.opened.done);
    CHECK(tern::http_status(w.opened.error) == 407);
    w.client.set_options(socks);
    w.start();
    (void)w.request();
    w.answer("\5\xFF");
    REQUIRE(w.opened.done);
    CHECK(w.opened.error == proxy_errc::no_acceptable_method);
    w.client.close();
    w.net.forget("proxy");
    w.start();
    CHECK(w.opened.error == asio::error::host_not_found);
    w.net.refuse("proxy");
    w.start();
    CHECK(w.opened.error == asio::error::connection_refused);
}

TEST_CASE("A request that a proxy cannot be sent is an error of the caller") {
    fixture w;
    w.start({.host = "a b"});
    CHECK(w.opened.error == tern::misuse(errc::invalid_host));
    proxy_options options = socks;
    options.user_name = std::string(256, 'a');
    options.password = "b";
    w.client.set_options(options);
    w.start();
    CHECK(w.opened.error == tern::misuse(errc::invalid_argument));
    CHECK(w.proxied.empty());
}

TEST_CASE("The negotiation with a proxy has the limit of the connection") {
    fixture w;
    w.start({.host = "broker.test"}, {.connect = 10s});
    (void)w.request();
    w.net.run_for(9s);
    w.answer("HTTP/1.1 200 OK\r\n");
    CHECK_FALSE(w.opened.done);
    w.net.run_for(2s);
    REQUIRE(w.opened.done);
    CHECK(w.opened.error == tern::violation(errc::connect_timeout));
    w.start(); // without a limit
    w.net.run_for(1h);
    CHECK_FALSE(w.opened.done);
}

TEST_CASE("A connection that ends at any byte of the negotiation is an error, and the next attempt succeeds") {
    const std::string answer = http_answer;
    for (std::size_t cut = 0; cut != answer.size(); ++cut) {
        fixture w;
        w.start();
        (void)w.request();
        w.answer(std::string_view(answer).substr(0, cut));
        CHECK_FALSE(w.opened.done);
        w.proxied.back()->end(cut % 2 == 0 ? ending::reset : ending::close);
        w.net.run_ready();
        REQUIRE(w.opened.done);
        CHECK(w.opened.error == (cut % 2 == 0 ? asio::error::connection_reset : std::error_code(asio::error::eof)));
        w.client.close();
        w.start();
        (void)w.request();
        w.answer(answer);
        REQUIRE(w.opened.done);
        CHECK_FALSE(w.opened.error);
    }
}

TEST_CASE("Closing aborts an opening at each of its steps") {
    for (int steps = 0; steps != 12; ++steps) {
        fixture w;
        w.client.async_open({.host = "broker.test"}, {.connect = 1h}, *w.opened);
        for (int i = 0; i != steps; ++i) {
            w.net.context().restart();
            w.net.context().poll_one();
            if (w.proxied.size() == 1 && i == 8) w.answer(http_answer);
        }
        const bool was_done = w.opened.done;
        w.client.close();
        w.net.run_ready();
        REQUIRE(w.opened.done);
        if (!was_done) CHECK(w.opened.error == asio::error::operation_aborted);
        w.start();
        (void)w.request();
        w.answer(http_answer + "x");
        REQUIRE(w.opened.done);
        CHECK(w.opened.error == std::error_code{});
        CHECK(w.read() == "x");
    }
}

TEST_CASE("Closing aborts a read of the bytes that came with the answer") {
    fixture w;
    w.start();
    (void)w.request();
    w.answer(http_answer + "x");
    std::array<char, 8> buffer{};
    outcome read;
    w.client.async_read_some(asio::buffer(buffer), *read);
    w.client.close();
    w.net.run_ready();
    REQUIRE(read.done);
    CHECK(read.error == asio::error::operation_aborted);
}

TEST_CASE("A layer of a proxy can be moved, and destroyed while it negotiates") {
    fixture w;
    w.start();
    (void)w.request();
    w.answer(http_answer + "x");
    link_proxy other(std::move(w.client));
    w.client = std::move(other);
    CHECK(w.read() == "x");
    w.start();
    w.client = link_proxy(tern_link(w.net));
    w.net.run_ready();
    CHECK(w.opened.error == asio::error::operation_aborted);
}

// ---- over TCP

// A connection through a proxy over TCP, whose answer other bytes follow.
struct tcp_proxy_fixture {
    void open(std::string_view following) {
        asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
        client.set_options({.protocol = tern::proxy_protocol::http_connect,
                            .host = "127.0.0.1",
                            .port = acceptor.local_endpoint().port()});
        outcome opened;
        client.async_open({.host = "broker.test", .port = 1883}, {.connect = 10s}, *opened);
        outcome accept;
        acceptor.async_accept(accepted, *accept);
        REQUIRE(run_until(io, [&] { return accept.done; }));
        asio::write(accepted, asio::buffer(http_answer + std::string(following)));
        REQUIRE(run_until(io, [&] { return opened.done; }));
        REQUIRE_FALSE(opened.error);
    }

    asio::io_context io;
    tcp_proxy client{io.get_executor()};
    asio::ip::tcp::socket accepted{io};
};

TEST_CASE("Over TCP, bytes that came with the answer complete a wait at once") {
    tcp_proxy_fixture f;
    f.open("early");

    std::array<char, 3> buffer{};
    std::error_code error;
    for (const std::size_t expected : {std::size_t{3}, std::size_t{2}}) {
        outcome ready;
        f.client.async_wait_read(*ready);
        CHECK_FALSE(ready.done);
        REQUIRE(run_until(f.io, [&] { return ready.done; }));
        CHECK_FALSE(ready.error);
        CHECK(f.client.read_some(asio::buffer(buffer), error) == expected);
        CHECK_FALSE(error);
    }
    CHECK(f.client.read_some(asio::buffer(buffer), error) == 0);
    CHECK(error == asio::error::would_block);
    CHECK(f.client.write_some(asio::buffer("abc", 3), error) == 3);
    outcome ready;
    f.client.async_wait_read(*ready);
    asio::write(f.accepted, asio::buffer("x", 1));
    REQUIRE(run_until(f.io, [&] { return ready.done; }));
    CHECK(f.client.read_some(asio::buffer(buffer), error) == 1);
}

TEST_CASE("Over TCP, a wait for bytes that are read before it completes is no error") {
    tcp_proxy_fixture f;
    f.open("early");

    std::array<char, 5> buffer{};
    std::error_code error;
    outcome ready;
    f.client.async_wait_read(*ready);
    CHECK(f.client.read_some(asio::buffer(buffer), error) == 5);
    REQUIRE(run_until(f.io, [&] { return ready.done; }));
    CHECK_FALSE(ready.error);
}

} // namespace
} // namespace proxy_tests
