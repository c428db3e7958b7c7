// The proxies tinyproxy (HTTP) and microsocks (SOCKS5), with Mosquitto behind. `endpoints.cpp` checks the ways without
// a proxy.
#include "connecting.hpp"

#include "tern/transport/http_error.hpp"
#include "tern/transport/proxy_error.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

namespace connecting_tests {
namespace {

using tern::proxy_errc;

constexpr std::size_t large = std::size_t{1} << 20U;
// Mosquitto sends at most 4 KiB to a client over WebSocket in each round of its loop.
constexpr std::size_t small = 10'000;

mosquitto make_broker() {
    return mosquitto("allow_anonymous true\n");
}

// Mosquitto with a listener for WebSocket.
struct websocket_broker {
    websocket_broker() {
        for (int attempt = 0; !mosquitto; ++attempt) { // another process may take the port
            port = free_port();
            try {
                mosquitto = std::make_unique<interop::mosquitto>(
                    "allow_anonymous true\nlistener " + std::to_string(port) + " 127.0.0.1\nprotocol websockets\n");
            } catch (const std::runtime_error&) {
                if (attempt == 5) throw;
            }
        }
    }

    std::uint16_t port = 0;
    std::unique_ptr<interop::mosquitto> mosquitto;
};

std::string tcp_url(const mosquitto& broker) {
    return "mqtt://localhost:" + std::to_string(broker.port());
}

TEST_CASE("tinyproxy carries a client to Mosquitto, also after a restart") {
    mosquitto broker = make_broker();
    const server open = tinyproxy("");
    check_way(broker, tcp_url(broker), "http://127.0.0.1:" + open.port(), large);
    const server closed = tinyproxy("BasicAuth user secret\n");
    check_way(broker, tcp_url(broker), "http://user:s%65cret@127.0.0.1:" + closed.port(), large);
}

TEST_CASE("microsocks carries a client to Mosquitto, also after a restart") {
    mosquitto broker = make_broker();
    const server open = microsocks({});
    check_way(broker, tcp_url(broker), "socks5h://127.0.0.1:" + open.port(), large);
    const server closed = microsocks({"-u", "user", "-P", "secret"});
    check_way(broker, tcp_url(broker), "socks5://user:secret@localhost:" + closed.port(), large);
}

TEST_CASE("WebSocket carries a client to Mosquitto through proxies") {
    websocket_broker broker;
    const std::string url = "ws://127.0.0.1:" + std::to_string(broker.port) + "/mqtt";
    const server http = tinyproxy("");
    check_way(*broker.mosquitto, url, "http://127.0.0.1:" + http.port(), small);
    const server socks = microsocks({});
    check_way(*broker.mosquitto, url, "socks5://127.0.0.1:" + socks.port(), small);
}

TEST_CASE("Refusals of real proxies are errors that name the reason") {
    mosquitto broker = make_broker();
    const auto error = [&](const std::string& proxy, const std::string& url) {
        return session_client(proxy).connect(url, tern::protocol_version::v5);
    };
    const server http = tinyproxy("BasicAuth user secret\nConnectPort " + std::to_string(broker.port()) + "\n");
    const std::string http_url = "http://user:secret@127.0.0.1:" + http.port();
    CHECK_FALSE(error(http_url, tcp_url(broker)));
    CHECK(tern::http_status(error("http://127.0.0.1:" + http.port(), tcp_url(broker))) == 407);
    CHECK(tern::http_status(error("http://user:wrong@127.0.0.1:" + http.port(), tcp_url(broker))) == 401);
    CHECK(tern::http_status(error(http_url, "mqtt://localhost:1")) == 403);

    const server socks = microsocks({"-u", "user", "-P", "secret"});
    const std::string socks_url = "socks5://user:secret@127.0.0.1:" + socks.port();
    CHECK_FALSE(error(socks_url, tcp_url(broker)));
    CHECK(error("socks5://127.0.0.1:" + socks.port(), tcp_url(broker)) == proxy_errc::no_acceptable_method);
    CHECK(error("socks5://user:wrong@127.0.0.1:" + socks.port(), tcp_url(broker)) == proxy_errc::authentication_failed);
    CHECK(error(socks_url, "mqtt://127.0.0.1:1") == proxy_errc::connection_refused);
}

} // namespace
} // namespace connecting_tests
