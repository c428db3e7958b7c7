// Shared by the tests of the ways to a broker: real proxies, and a client that does everything on its way.
#pragma once

#include "catch.hpp"
#include "process.hpp"
#include "tern/client/any_client.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/any.hpp"

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace connecting_tests {

using namespace std::chrono_literals;
using interop::mosquitto;
using tern::qos;
using tern::testing::run_until;

constexpr std::chrono::seconds timeout{20};

inline std::uint16_t free_port() {
    asio::io_context io;
    return asio::ip::tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

// A program that listens on a free port.
class server {
public:
    // The arguments are made for a port and a directory.
    using make_arguments =
        std::function<std::vector<std::string>(const std::string&, const interop::temporary_directory&)>;

    server(std::string_view name, const make_arguments& arguments) {
        const std::filesystem::path program = interop::find_program(name);
        if (program.empty()) {
            std::printf("SKIPPED: %s is not installed\n", std::string(name).c_str());
            std::fflush(stdout);
            std::_Exit(0);
        }
        for (int attempt = 0; attempt != 5 && !is_running(); ++attempt) // another process may take the port
            start(program, arguments);
        if (!is_running()) throw std::runtime_error(std::string(name) + " does not start");
    }

    std::string port() const { return std::to_string(port_); }

private:
    void start(const std::filesystem::path& program, const make_arguments& arguments) {
        asio::io_context io;
        port_ = free_port();
        std::vector<std::string> words = arguments(port(), directory_);
        words.insert(words.begin(), program.string());
        process_ = std::make_unique<interop::process>(words, directory_ / "out", directory_ / "err");
        const auto end = std::chrono::steady_clock::now() + timeout;
        std::error_code refused = std::make_error_code(std::errc::connection_refused);
        while (refused && is_running() && std::chrono::steady_clock::now() < end) {
            asio::ip::tcp::socket socket(io);
            socket.connect({asio::ip::address_v4::loopback(), port_}, refused);
            std::this_thread::sleep_for(1ms);
        }
    }
    bool is_running() { return process_ && !process_->exit_status(); }

    interop::temporary_directory directory_;
    std::unique_ptr<interop::process> process_;
    std::uint16_t port_ = 0;
};

inline server tinyproxy(const std::string& configuration) {
    return server("tinyproxy", [&](const std::string& port, const interop::temporary_directory& directory) {
        const std::filesystem::path file = directory / "tinyproxy.conf";
        interop::write_file(file, "Port " + port + "\nListen 127.0.0.1\nTimeout 600\nMaxClients 20\n" + configuration);
        return std::vector<std::string>{"-d", "-c", file.string()};
    });
}

inline server microsocks(std::vector<std::string> options) {
    return server("microsocks", [&](const std::string& port, const interop::temporary_directory&) {
        std::vector<std::string> all = options;
        all.insert(all.end(), {"-i", "127.0.0.1", "-p", port});
        return all;
    });
}

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
        if (version == tern::protocol_version::v5) options.properties.session_expiry_interval = 3600;
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
