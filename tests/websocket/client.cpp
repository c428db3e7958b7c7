// A client over WebSocket in memory, with the broker of the testing library behind a WebSocket server.
#include "scenario.hpp"
#include "tern/client/engine.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/network.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/websocket.hpp"
#include "websocket_server.hpp"
#include "websocket_test.hpp"

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>
#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <system_error>

namespace client_test {

using namespace std::chrono_literals;
using namespace websocket_test;
using tern::connect_options;
using tern::protocol_version;
using tern::testing::ending;
using tern::testing::link;
using tern::testing::network;

using link_websocket = tern::basic_websocket<link>;
using websocket_client = tern::basic_client<link_websocket>;
static_assert(tern::timed_transport<link_websocket> && tern::seeded_transport<link_websocket>);
static_assert(tern::readable_transport<tern::websocket> && tern::writes_at_once<tern::websocket>);
static_assert(tern::transport<tern::basic_websocket<tern::websocket>>);

struct fixture {
    void run(asio::awaitable<void> work) {
        websocket_scenario::run(net.get_executor(), std::move(work),
                                [this](const std::function<bool()>& done) { return net.run_until(done, 10min); });
    }
    std::error_code connect(const connect_options& options) {
        std::error_code result;
        run([](websocket_client& c, const connect_options& o, std::error_code& e) -> asio::awaitable<void> {
            co_await c.async_connect(o, asio::redirect_error(asio::use_awaitable, e));
        }(client, options, result));
        return result;
    }
    // The next end of a connection.
    std::error_code lost() {
        std::error_code result;
        run([](websocket_client& c, std::error_code& e) -> asio::awaitable<void> {
            for (;;) {
                const auto event = co_await c.async_next_event(asio::use_awaitable);
                if (event.change != tern::connection_change::disconnected) continue;
                e = event.error;
                co_return;
            }
        }(client, result));
        return result;
    }
    void until(const std::function<bool()>& condition) { REQUIRE(net.run_until(condition, 10min)); }

    static connect_options at_ws() { return {.host = "ws", .client_id = "c"}; }

    network net{1};
    tern::testing::broker broker{net.get_executor(), {}, net.clock()};
    server web{net, broker};
    websocket_client client{link_websocket{link{net}}};
};

void exchange(protocol_version version, tern::testing::pieces pieces, std::size_t largest) {
    fixture f;
    f.net.usual({.to_server = {.latency = 1us, .pieces = pieces}, .to_client = {.latency = 1us, .pieces = pieces}});
    f.web.options().is_fragmenting = pieces != tern::testing::pieces::whole;
    connect_options options = fixture::at_ws();
    options.version = version;
    f.run(websocket_scenario::echo_all(f.client, options, largest));
    f.until([&] { return f.web.latest().has_ended(); });
    CHECK(f.web.count() == 1);
    REQUIRE_FALSE(f.web.latest().frames().empty());
    CHECK(f.web.latest().frames().back().payload == close_payload(1000)); // after DISCONNECT
}

TEST_CASE("a client exchanges messages of every size over WebSocket [v311:MQTT-6.0.0-2, v5:MQTT-6.0.0-2]") {
    for (const protocol_version version : {protocol_version::v3_1_1, protocol_version::v5}) {
        exchange(version, tern::testing::pieces::whole, 1U << 20U);
        exchange(version, tern::testing::pieces::random, 5'000);
        exchange(version, tern::testing::pieces::single_bytes, 126);
    }
}

TEST_CASE("a refused upgrade is the error of the connect, and its details are at the transport") {
    fixture f;
    f.web.options().answer = [](const std::string&) {
        return "HTTP/1.1 302 Found\r\nLocation: wss://other.example/mqtt\r\n\r\n"s;
    };
    const std::error_code error = f.connect(fixture::at_ws());
    CHECK(error == tern::http_status_error(302));
    CHECK(f.client.transport().refusal().status == 302);
    CHECK(f.client.transport().refusal().location == "wss://other.example/mqtt");
    CHECK(f.client.transport().opening_phase() == tern::connection_phase::upgrading);
    CHECK(f.web.count() == 1);

    f.web.options().answer = acceptance;
    CHECK_FALSE(f.connect(fixture::at_ws()));
    CHECK(f.client.transport().refusal().status == 0);
}

TEST_CASE("a server that does not select mqtt is not connected to [v311:MQTT-6.0.0-4, v5:MQTT-6.0.0-4]") {
    fixture f;
    f.web.options().answer = [](const std::string& request) {
        std::string answer = acceptance(request);
        answer.erase(answer.find("Sec-WebSocket-Protocol"));
        return answer + "\r\n";
    };
    CHECK(f.connect(fixture::at_ws()) == websocket_errc::subprotocol_refused);
    CHECK(f.web.latest().data_frames() == 0);
}

TEST_CASE("an upgrade has a time limit of its own") {
    fixture f;
    f.web.options().answer = [](const std::string&) { return ""s; };
    connect_options options = fixture::at_ws();
    options.upgrade_timeout = 3s;
    const auto begin = f.net.now();
    CHECK(f.connect(options) == tern::violation(tern::errc::upgrade_timeout));
    CHECK(f.net.now() - begin == 3s);
    CHECK(f.client.transport().refusal().status == 0);
}

TEST_CASE("headers that cannot be sent fail the connect, and nothing is sent") {
    fixture f;
    f.client.transport().set_options({.headers = {{"X", "a\r\nY: b"}}});
    CHECK(f.connect(fixture::at_ws()) == websocket_errc::invalid_header);
    CHECK(f.web.count() == 0);
    f.client.transport().set_options({});
    CHECK_FALSE(f.connect(fixture::at_ws()));
}

TEST_CASE("headers and the path are renewed for each attempt by the hook") {
    fixture f;
    int token = 0;
    std::string path;
    f.client.set_before_connect([&](tern::connect_attempt attempt) {
        const std::string number = std::to_string(++token);
        f.client.transport().set_options({.headers = {{"Authorization", "Bearer " + number}}});
        path = "/mqtt?signature=" + number;
        tern::endpoint where = attempt.target();
        where.path = path;
        CHECK_FALSE(attempt.proceed({.target = where}));
    });
    f.web.options().answer = [&](const std::string& request) {
        return token < 3 ? "HTTP/1.1 503 Unavailable\r\n\r\n"s : acceptance(request);
    };
    connect_options options = fixture::at_ws();
    options.reconnect.retry_first = true;
    CHECK_FALSE(f.connect(options));
    REQUIRE(f.web.count() == 3);
    for (std::size_t i = 0; i != 3; ++i) {
        const std::string number = std::to_string(i + 1);
        CHECK(header_of(f.web.at(i).request(), "Authorization") == "Bearer " + number);
        CHECK(f.web.at(i).request().rfind("GET /mqtt?signature=" + number + " HTTP/1.1\r\n", 0) == 0);
    }
}

TEST_CASE("a text frame ends the connection with 1003, and the client connects again [v311:MQTT-6.0.0-1, "
          "v5:MQTT-6.0.0-1]") {
    fixture f;
    REQUIRE_FALSE(f.connect(fixture::at_ws()));
    f.web.latest().send(frame{.opcode = 1, .payload = "text"}.bytes());
    CHECK(f.lost() == websocket_errc::text_frame);
    f.until([&] { return f.web.at(0).has_ended(); });
    REQUIRE_FALSE(f.web.at(0).frames().empty());
    CHECK(f.web.at(0).frames().back().payload == close_payload(1003));
    f.until([&] { return f.client.is_connected(); });
    CHECK(f.web.count() == 2);
}

TEST_CASE("Close from the server is answered, and the client connects again [RFC 6455 §5.5.1]") {
    fixture f;
    REQUIRE_FALSE(f.connect(fixture::at_ws()));
    f.web.latest().send(close_frame(1001, "restart"));
    CHECK(f.lost() == asio::error::eof);
    f.until([&] { return f.web.at(0).has_ended(); });
    REQUIRE_FALSE(f.web.at(0).frames().empty());
    CHECK(f.web.at(0).frames().back().payload == close_payload(1001));
    f.until([&] { return f.client.is_connected(); });
}

TEST_CASE("pings of a server are answered, but are no signs of life of the broker [v311:MQTT-3.1.2-24]") {
    fixture f;
    connect_options options = fixture::at_ws();
    options.keep_alive = 30s;
    REQUIRE_FALSE(f.connect(options));
    server_connection& connection = f.web.latest();
    f.web.options().is_dropping = true;
    const auto begin = f.net.now();
    for (int i = 0; i != 200 && f.client.is_connected(); ++i) {
        connection.send(ping("alive"));
        f.net.run_for(1s);
    }
    CHECK_FALSE(f.client.is_connected());
    CHECK(f.net.now() - begin < 100s);
    CHECK(connection.frames().size() > 20);
    CHECK(connection.frames().front().opcode == 10);
}

TEST_CASE("a write after Close from the server waits, and ends with the connection [RFC 6455 §5.5.1]") {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    asio::ip::tcp::socket peer(io);
    tern::websocket client(io.get_executor());
    bool is_open = false;
    const tern::endpoint where{.host = "127.0.0.1", .port = acceptor.local_endpoint().port()};
    client.async_open(where, {}, [&](std::error_code e) { is_open = !e; });
    std::string request;
    acceptor.async_accept(peer, [&](std::error_code) {
        asio::async_read_until(peer, asio::dynamic_buffer(request), "\r\n\r\n", [&](std::error_code, std::size_t) {
            asio::write(peer, asio::buffer(acceptance(request) + data("x") + close_frame(1000)));
        });
    });
    REQUIRE(tern::testing::run_until(io, [&] { return is_open; }));

    std::array<char, 100> buffer{};
    std::error_code error;
    bool is_readable = false;
    client.async_wait_read([&](std::error_code) { is_readable = true; });
    REQUIRE(tern::testing::run_until(io, [&] { return is_readable; }));
    CHECK(client.read_some(asio::buffer(buffer), error) == 1);
    CHECK_FALSE(error);
    CHECK(client.write_some(std::array{asio::buffer("abc", 3)}, error) == 0);
    CHECK(error == asio::error::would_block);
    std::error_code written;
    client.async_write_some(asio::buffer("abc", 3), [&](std::error_code e, std::size_t) { written = e; });
    CHECK(client.read_some(asio::buffer(buffer), error) == 0);
    CHECK(error == asio::error::eof);
    client.close();
    REQUIRE(tern::testing::run_until(io, [&] { return written == asio::error::operation_aborted; }));
}

// Publishes to itself over a connection that is cut, and over those that follow.
void survives_cut(const tern::testing::link_options& first_link, std::string& trouble) {
    fixture f;
    f.net.next(first_link);
    connect_options options = fixture::at_ws();
    options.clean_start = false;
    options.properties.session_expiry_interval = 3'600s;
    options.reconnect.retry_first = true;
    bool is_done = false;
    auto work = [](websocket_client& c, connect_options o, std::string& wrong, bool& done) -> asio::awaitable<void> {
        co_await c.async_connect(o, asio::use_awaitable);
        const tern::subscription all{.filter = "t", .max_qos = tern::qos::exactly_once};
        co_await c.async_subscribe(all, asio::use_awaitable);
        for (const char* const payload : {"one", "two"}) {
            const tern::message_view message{.topic = "t", .payload = payload, .qos = tern::qos::exactly_once};
            co_await c.async_publish(message, asio::use_awaitable);
            const auto received = co_await c.async_receive(asio::use_awaitable);
            if (received.payload != payload) wrong = "received another message";
        }
        std::error_code ignored; // the connection may be cut meanwhile
        co_await c.async_disconnect(asio::redirect_error(asio::use_awaitable, ignored));
        done = true;
    };
    std::string failure;
    asio::co_spawn(f.net.get_executor(), work(f.client, options, trouble, is_done), [&](const std::exception_ptr& e) {
        try {
            if (e) std::rethrow_exception(e);
        } catch (const std::exception& x) {
            failure = x.what();
        }
    });
    if (!f.net.run_until([&] { return is_done || !failure.empty(); }, 10min)) trouble = "it does not end";
    if (!failure.empty()) trouble = failure;
}

TEST_CASE("messages survive a cut at any byte of a WebSocket connection") {
    for (const auto how : {ending::reset, ending::close, ending::stall})
        for (std::size_t after = 0; after < 450; ++after) {
            std::string trouble;
            survives_cut({.to_server = {.cut = tern::testing::cut{after, how}}}, trouble);
            survives_cut({.to_client = {.cut = tern::testing::cut{after, how}}}, trouble);
            CAPTURE(after, static_cast<int>(how), trouble);
            CHECK(trouble.empty());
        }
}

} // namespace client_test
