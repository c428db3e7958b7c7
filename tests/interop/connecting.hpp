// Shared by the tests of the ways to a broker: real proxies, and a client that does everything on its way.
#pragma once

#include "catch.hpp"
#include "process.hpp"
#include "server.hpp"
#include "tern/client/any_client.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/any.hpp"

#include <asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

namespace connecting_tests {

using namespace std::chrono_literals;
using interop::free_port;
using interop::microsocks;
using interop::mosquitto;
using interop::server;
using interop::tinyproxy;
using tern::qos;
using tern::testing::run_until;

constexpr std::chrono::seconds timeout{20};

// A client that has a session of an hour.
class session_client {
public:
    explicit session_client(std::string_view proxy) {
        const auto options = tern::proxy_options::parse(proxy);
        REQUIRE(options);
        client.transport().set_options(*options);
        client.transport().set_options(tern::tcp_options{.no_delay = true});
    }

    std::error_code connect(const std::string& text, tern::protocol_version version) {
        const auto url = tern::broker_url::parse(text);
        REQUIRE(url);
        tern::connect_options options = url->options({.version = version, .client_id = "ways"});
        options.reconnect.first_delay = 10ms;
        options.clean_start = version == tern::protocol_version::v5;
        if (version == tern::protocol_version::v5) options.properties.session_expiry_interval = 3600s;
        bool is_done = false;
        std::error_code result;
        client.async_connect(options, [&](std::error_code error, const auto&) {
            result = error;
            is_done = true;
        });
        REQUIRE(run_until(io, [&] { return is_done; }, timeout));
        return result;
    }

    // Publishes a message to itself.
    void echoes(qos level, const std::string& payload) {
        std::string received;
        bool is_published = false;
        client.async_publish({.topic = "ways", .payload = payload, .qos = level},
                             [&](std::error_code error, auto&&...) {
                                 CHECK_FALSE(error);
                                 is_published = true;
                             });
        client.async_receive([&](std::error_code error, const tern::received_message& m) {
            CHECK_FALSE(error);
            received = m.payload;
        });
        REQUIRE(run_until(io, [&] { return is_published && !received.empty(); }, timeout));
        CHECK((received == payload));
    }

    void subscribes() {
        bool is_done = false;
        client.async_subscribe({.filter = "ways", .max_qos = qos::exactly_once}, [&](std::error_code error, auto&&...) {
            CHECK_FALSE(error);
            is_done = true;
        });
        REQUIRE(run_until(io, [&] { return is_done; }, timeout));
    }

    void reconnects(mosquitto& broker) {
        broker.kill();
        REQUIRE(run_until(io, [&] { return !client.is_connected(); }, timeout));
        broker.restart();
        REQUIRE(run_until(io, [&] { return client.is_connected(); }, timeout));
    }

    asio::io_context io;
    tern::any_client client{io};
};

// All that a client does, on this way to the broker.
template <class... Options>
void check_way(mosquitto& broker, const std::string& url, std::string_view proxy, std::size_t payload_bytes,
               const Options&... options) {
    for (const auto version : {tern::protocol_version::v3_1_1, tern::protocol_version::v5}) {
        session_client c(proxy);
        (c.client.transport().set_options(options), ...);
        const std::error_code error = c.connect(url, version);
        INFO(error.message());
        REQUIRE_FALSE(error);
        c.subscribes();
        for (int i = 0; i != 2; ++i) {
            for (const qos level : {qos::at_most_once, qos::at_least_once, qos::exactly_once}) {
                c.echoes(level, "hello");
                c.echoes(level, std::string(payload_bytes, static_cast<char>('a' + i)));
            }
            if (i == 0) c.reconnects(broker);
        }
    }
}

} // namespace connecting_tests
