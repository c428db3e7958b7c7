// Whole clients over TLS, on a network in memory with virtual time.
#include "catch.hpp"
#include "certificates.hpp"
#include "peer.hpp"
#include "support/heap.hpp"
#include "terminator.hpp"
#include "tern/client/basic_client.hpp"
#include "tern/client/engine.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/link.hpp"
#include "tern/testing/network.hpp"
#include "tern/transport/tls.hpp"

#include <asio/error.hpp>
#include <asio/io_context.hpp>
#include <asio/write.hpp>

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace tls_client_tests {

using namespace tls_test;
using namespace std::chrono_literals;
using tern::testing::cut;
using tern::testing::ending;
using tern::testing::link_options;
using tern::testing::network;
using tern::testing::pieces;
using enum tern::tls_errc;

using transport = tern::basic_tls<tern::testing::link>;
using client = tern::basic_client<transport>;
static_assert(tern::transport<transport> && tern::timed_transport<transport> && tern::seeded_transport<transport>);
static_assert(tern::readable_transport<tern::tls> && tern::writes_at_once<tern::tls>);

// A broker behind TLS, and a client that receives what it publishes.
struct fixture {
    explicit fixture(const server_options& server = {}) : keys(make_server_context(server)) {
        net.listen("plain", broker);
        listen_with_tls(net, "broker.example", "plain", keys);
        one.transport().set_options(trusting_options());
        options.reconnect.retry_first = true;
    }

    // Connects, subscribes, and publishes a message with each QoS.
    void start() {
        one.async_connect(options, [this](std::error_code error, const tern::connect_result&) {
            connect_error = error;
            is_done = true;
            if (error) return;
            one.async_subscribe({.filter = "t", .max_qos = tern::qos::exactly_once},
                                [](std::error_code, const tern::acknowledgement&) {});
            for (int i = 0; i != 3; ++i)
                one.async_publish(
                    {.topic = "t", .payload = payload + std::to_string(i), .qos = static_cast<tern::qos>(i)},
                    [this](std::error_code failed, const tern::acknowledgement&) {
                        if (!failed) ++published;
                    });
        });
        receive();
    }
    void receive() {
        one.async_receive([this](std::error_code error, const auto& m) {
            if (error) return;
            ++received[std::string(m.payload.substr(payload.size()))];
            receive();
        });
    }
    bool has_all() const { return received.contains("1") && received.contains("2"); }
    // Runs until connecting has failed, or all messages are published and received.
    bool works() {
        return net.run_until([&] { return connect_error || (published == 3 && has_all()); }, 10min);
    }
    std::error_code fails() {
        start();
        REQUIRE(net.run_until([&] { return is_done; }, 10min));
        return connect_error;
    }

    network net;
    std::shared_ptr<SSL_CTX> keys;
    tern::testing::broker broker{net.get_executor(), {}, net.clock()};
    client one{transport{tern::testing::link{net}}};
    tern::connect_options options{.host = "broker.example",
                                  .client_id = "c",
                                  .clean_start = false,
                                  .properties = {.session_expiry_interval = 86'400s}};
    std::string payload;
    std::error_code connect_error;
    bool is_done = false;
    int published = 0;
    std::map<std::string, int> received;
};

TEST_CASE("a client works over TLS with each version, in pieces of any size") {
    for (const int tls : {TLS1_2_VERSION, TLS1_3_VERSION})
        for (const auto version : {tern::protocol_version::v3_1_1, tern::protocol_version::v5})
            for (const auto size : {pieces::whole, pieces::single_bytes, pieces::random}) {
                CAPTURE(tls, static_cast<int>(version), static_cast<int>(size));
                fixture f({.version = tls});
                f.options.version = version;
                f.options.properties = {};
                f.options.clean_start = true;
                f.net.usual({.to_server = {.pieces = size}, .to_client = {.pieces = size}});
                f.start();
                REQUIRE(f.works());
                CHECK_FALSE(f.connect_error);
                CHECK(f.received["2"] == 1);
                CHECK(f.broker.violations().empty());
            }
}

TEST_CASE("messages of 1 MiB pass through a connection with little room") {
    fixture f;
    f.payload.assign(1 << 20U, 'x');
    f.net.usual({.to_server = {.capacity = 5000}, .to_client = {.capacity = 3000}});
    f.start();
    REQUIRE(f.works());
    CHECK(f.received.size() == 3);
    CHECK(f.broker.violations().empty());
}

TEST_CASE("messages are delivered however the connection over TLS is cut") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION})
        for (const auto how : {ending::close, ending::reset, ending::stall})
            for (const bool to_server : {true, false}) {
                for (std::size_t after = 0; after < 3000; after += 61) {
                    CAPTURE(version, static_cast<int>(how), to_server, after);
                    fixture f({.version = version});
                    link_options options{.to_client = {.latency = 10ms}};
                    (to_server ? options.to_server : options.to_client).cut = cut{after, how};
                    f.net.next(options);
                    f.start();
                    REQUIRE(f.works());
                    CHECK_FALSE(f.connect_error);
                    CHECK(f.received["2"] == 1);
                    CHECK(f.broker.violations().empty());
                }
            }
}

TEST_CASE("a handshake that stalls at any byte ends with its time limit, and is repeated") {
    for (std::size_t after = 0; after < 700; after += 50) {
        CAPTURE(after);
        fixture f;
        f.options.reconnect.retry_first = false;
        f.options.tls_timeout = 3s;
        f.net.next({.to_client = {.cut = cut{after, ending::stall}}});
        const auto begin = f.net.now();
        CHECK(f.fails() == tern::violation(tern::errc::tls_timeout));
        CHECK(f.net.now() - begin == 3s);
    }
}

TEST_CASE("an attempt names the phase and the reason of its failure") {
    fixture f;
    f.options.reconnect.retry_first = false;
    f.net.next({.to_client = {.cut = cut{10, ending::close}}});
    CHECK(f.fails() == closed_in_handshake);
    CHECK(f.connect_error == tern::failure_class::transient);
    CHECK(f.one.transport().opening_phase() == tern::connection_phase::securing);
}

TEST_CASE("a certificate error is final although attempts are to be repeated") {
    fixture f;
    listen_with_tls(f.net, "wrong.example", "plain", f.keys);
    f.options.host = "wrong.example";
    CHECK(f.fails() == wrong_host);
    CHECK(f.net.count(tern::testing::step::connect) == 2); // the client's, and that of the server to the broker
}

TEST_CASE("a missing client certificate is final too, although it is reported after the handshake") {
    fixture f({.version = TLS1_3_VERSION, .client_authority = &common().root});
    CHECK(f.fails() == client_certificate_required);
    CHECK(f.one.transport().opening_phase() == tern::connection_phase::securing);
}

TEST_CASE("a failed write does not hide the alert that says why") {
    fixture f({.version = TLS1_3_VERSION, .client_authority = &common().root});
    f.options.reconnect.retry_first = false;
    f.net.usual({.to_client = {.latency = 10ms}});
    f.net.fail(tern::testing::step::write, 3, asio::error::connection_reset); // CONNECT, behind the handshake
    CHECK(f.fails() == client_certificate_required);
}

TEST_CASE("unusable options end the attempt before a connection is made") {
    fixture f;
    f.one.transport().set_options({.ca_file = "/nonexistent/ca.pem"});
    CHECK(f.fails() == unreadable_ca_file);
    CHECK(f.net.count(tern::testing::step::connect) == 0);
}

TEST_CASE("a plain server on the port is reported") {
    SECTION("one that speaks first") {
        fixture f;
        f.options.reconnect.retry_first = false;
        f.net.listen("ssh.example", [](tern::testing::link stream) {
            const auto kept = std::make_shared<tern::testing::link>(std::move(stream));
            asio::async_write(*kept, asio::buffer("SSH-2.0-server\r\n", 16), [kept](std::error_code, std::size_t) {});
        });
        f.options.host = "ssh.example";
        CHECK(f.fails() == not_tls);
    }
    SECTION("a plain broker, which closes") {
        fixture f;
        f.options.reconnect.retry_first = false;
        f.options.host = "plain";
        CHECK(f.fails() == closed_in_handshake);
    }
}

TEST_CASE("a client without TLS is closed by a server with it, and the error says that TLS may be required") {
    fixture f;
    tern::basic_client<tern::testing::link> plain{tern::testing::link{f.net}};
    std::error_code result;
    plain.async_connect({.host = "broker.example"},
                        [&](std::error_code error, const tern::connect_result&) { result = error; });
    REQUIRE(f.net.run_until([&] { return static_cast<bool>(result); }, 10min));
    CHECK(result == tern::errc::closed_before_connack);
}

TEST_CASE("a client resumes its TLS session when it reconnects, but not with new options") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        fixture f({.version = version});
        f.start();
        REQUIRE(f.works());
        CHECK_FALSE(f.one.transport().is_resumed());
        const auto reconnects = [&](ending how) {
            f.net.end_all(how);
            REQUIRE(f.net.run_until([&] { return !f.one.is_connected(); }, 10min));
            REQUIRE(f.net.run_until([&] { return f.one.is_connected(); }, 10min));
        };
        reconnects(ending::reset);
        CHECK(f.one.transport().is_resumed());
        reconnects(ending::close);
        CHECK(f.one.transport().is_resumed());
        f.one.transport().set_options(trusting_options());
        reconnects(ending::close);
        CHECK_FALSE(f.one.transport().is_resumed());
    }
}

TEST_CASE("a session survives attempts that reach no server") {
    fixture f;
    f.start();
    REQUIRE(f.works());
    f.net.forget("broker.example");
    f.net.refuse("broker.example");
    f.net.end_all(ending::reset);
    f.net.run_for(1min);
    CHECK_FALSE(f.one.is_connected());
    f.net.forget("broker.example");
    listen_with_tls(f.net, "broker.example", "plain", f.keys);
    REQUIRE(f.net.run_until([&] { return f.one.is_connected(); }, 10min));
    CHECK(f.one.transport().is_resumed());
}

TEST_CASE("options of one context are shared by many clients") {
    fixture f;
    const tern::tls_context shared(trusting_options());
    std::vector<std::unique_ptr<client>> clients;
    int connected = 0;
    for (int i = 0; i != 5; ++i) {
        clients.push_back(std::make_unique<client>(transport{tern::testing::link{f.net}}));
        clients.back()->transport().set_context(shared);
        clients.back()->async_connect({.host = "broker.example"},
                                      [&](std::error_code error, const tern::connect_result&) {
                                          if (!error) ++connected;
                                      });
    }
    CHECK(f.net.run_until([&] { return connected == 5; }, 1min));
}

TEST_CASE("an idle client over TLS stays connected for a day of virtual time") {
    fixture f;
    f.start();
    REQUIRE(f.works());
    f.net.run_for(24h);
    CHECK(f.one.is_connected());
    CHECK(f.broker.violations().empty());
}

TEST_CASE("a client disconnects in order over TLS") {
    fixture f;
    f.start();
    REQUIRE(f.works());
    bool is_disconnected = false;
    f.one.async_disconnect([&](std::error_code error, const auto&...) {
        CHECK_FALSE(error);
        is_disconnected = true;
    });
    CHECK(f.net.run_until([&] { return is_disconnected; }, 1min));
    CHECK(f.broker.violations().empty());
}

TEST_CASE("the log and the errors of a client over TLS show neither the password of its key nor a shared key") {
    const std::string_view secret = "correct horse";
    const auto text_with = [&](tern::tls_options options) {
        fixture f;
        std::string text;
        f.one.set_log(tern::log_level::debug, [&](tern::log_level, std::string_view line) { text += line; });
        f.one.transport().set_options(std::move(options));
        f.options.reconnect.retry_first = false;
        const std::error_code error = f.fails();
        CHECK(error);
        return text + std::system_error(error).what();
    };
    tern::tls_options with_key = trusting_options();
    with_key.certificate_pem = common().client.certificate_pem();
    with_key.key_pem = common().client.key_pem("another");
    with_key.key_password = secret;
    tern::tls_options with_shared_key;
    with_shared_key.psk = tern::tls_psk{"name", std::string(secret)};
    for (const std::string& text : {text_with(with_key), text_with(with_shared_key)}) {
        CHECK(text.size() > 100);
        CHECK(text.find(secret) == std::string::npos);
        CHECK(text.find("PRIVATE KEY") == std::string::npos);
    }
}

TEST_CASE("a client over TLS survives each failing or hanging operation") {
    for (const bool hangs : {false, true})
        for (std::size_t nth = 1; nth != 40; ++nth) {
            CAPTURE(hangs, nth);
            fixture f;
            using tern::testing::step;
            hangs ? f.net.hang(step::any, nth) : f.net.fail(step::any, nth, asio::error::connection_aborted);
            f.start();
            REQUIRE(f.works());
            CHECK_FALSE(f.connect_error);
            CHECK(f.received["2"] == 1);
            CHECK(f.broker.violations().empty());
        }
}

// A client on a context of its own, in which allocations fail.
struct memory_fixture {
    memory_fixture() {
        net.listen("plain", broker);
        listen_with_tls(net, "broker.example", "plain", keys);
        one->transport().set_options(trusting_options());
    }

    // Connects and publishes. Returns whether this has ended, with success or not.
    bool runs() {
        guarded([&] {
            one->async_connect(options, [this](std::error_code error, const tern::connect_result&) {
                if (error) return finish();
                one->async_publish({.topic = "t", .payload = "x", .qos = tern::qos::exactly_once},
                                   [this](std::error_code, const tern::acknowledgement&) { finish(); });
            });
        });
        const auto end = net.now() + 1h;
        while (!is_done && net.now() < end) {
            guarded([&] {
                own.restart();
                own.poll();
            });
            net.run_for(10ms);
        }
        return is_done;
    }
    void finish() { is_done = true; }
    // Only the client's allocations fail.
    template <class Function>
    void guarded(Function f) {
        const heap::tested client_code;
        try {
            f();
        } catch (const std::bad_alloc&) {
            finish(); // the operation was not started
        }
    }

    network net;
    std::shared_ptr<SSL_CTX> keys = make_server_context({});
    tern::testing::broker broker{net.get_executor(), {}, net.clock()};
    asio::io_context own{1};
    std::optional<client> one{transport{tern::testing::link{own.get_executor(), net}}};
    tern::connect_options options{.host = "broker.example", .reconnect = {.retry_first = true}};
    bool is_done = false;
};

TEST_CASE("a client over TLS survives each failing allocation") {
    std::size_t nth = 0;
    for (bool has_failed = true; has_failed;) {
        const heap::untested test;
        ++nth;
        CAPTURE(nth);
        memory_fixture f;
        heap::fail(nth, 1);
        const bool is_done = f.runs();
        has_failed = heap::failures() != 0;
        heap::stop_failing();
        REQUIRE(is_done);
        CHECK(f.broker.violations().empty());
    }
    CHECK(nth > 30);
}

} // namespace tls_client_tests
