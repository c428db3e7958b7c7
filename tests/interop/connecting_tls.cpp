// The ways to a broker with TLS: mqtts and wss by `any_client`, directly and through proxies.
#include "connecting.hpp"
#include "tern/client/any_client_tls.hpp"
#include "tern/client/basic_client.hpp"
#include "tern/client/engine.hpp"
#include "tern/transport/tls.hpp"
#include "tern/transport/tls_error.hpp"
#include "tern/transport/websocket.hpp"
#include "tls/certificates.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace connecting_tests {
namespace {

// Mosquitto with listeners for TLS, and for WebSocket over TLS.
struct tls_broker {
    tls_broker() {
        using namespace tls_test;
        certificate_spec spec = server_spec({"localhost"});
        spec.addresses = {"127.0.0.1"};
        const identity server = issue(common().root, spec);
        const std::string ca = common().root.certificate_pem();
        const std::string certificate = server.certificate_pem();
        const std::string key = server.key_pem();
        const std::string_view use = " 127.0.0.1\ncafile @/ca.pem\ncertfile @/server.pem\nkeyfile @/server.key\n";
        options.ca_pem = ca;
        for (int attempt = 0; !mosquitto; ++attempt) { // another process may take a port
            tls_port = free_port();
            websocket_port = free_port();
            std::string configuration = "allow_anonymous true\nlistener " + std::to_string(tls_port);
            configuration.append(use).append("listener ").append(std::to_string(websocket_port)).append(use);
            configuration += "protocol websockets\n";
            try {
                mosquitto = std::make_unique<interop::mosquitto>(
                    configuration, std::initializer_list<interop::mosquitto::file>{
                                       {"ca.pem", ca}, {"server.pem", certificate}, {"server.key", key}});
            } catch (const std::runtime_error&) {
                if (attempt == 5) throw;
            }
        }
    }

    std::string tls_url() const { return "mqtts://localhost:" + std::to_string(tls_port); }
    std::string websocket_url() const { return "wss://localhost:" + std::to_string(websocket_port); }

    tern::tls_options options;
    std::uint16_t tls_port = 0;
    std::uint16_t websocket_port = 0;
    std::unique_ptr<interop::mosquitto> mosquitto;
};

TEST_CASE("TLS carries a client to Mosquitto through proxies") {
    tls_broker broker;
    const std::size_t bytes = std::size_t{1} << 20U;
    const server http = tinyproxy("");
    check_way(*broker.mosquitto, broker.tls_url(), "http://127.0.0.1:" + http.port(), bytes, broker.options);
    const server socks = microsocks({});
    check_way(*broker.mosquitto, broker.tls_url(), "socks5://127.0.0.1:" + socks.port(), bytes, broker.options);
}

TEST_CASE("WebSocket over TLS carries a client to Mosquitto through a proxy") {
    tls_broker broker;
    const server http = tinyproxy("");
    check_way(*broker.mosquitto, broker.websocket_url(), "http://127.0.0.1:" + http.port(), 10'000, broker.options);
}

TEST_CASE("A client whose type says WebSocket over TLS sends and receives through Mosquitto") {
    tls_broker broker;
    asio::io_context io;
    tern::basic_client<tern::basic_websocket<tern::tls>> client(io);
    client.transport().next_layer().set_options(broker.options);
    const tern::connect_options options{.host = "localhost", .port = broker.websocket_port, .client_id = "typed"};
    const std::string payload(10'000, 'x');
    std::string received;
    std::error_code failure;
    const auto check = [&](std::error_code error, const auto&) { failure = failure ? failure : error; };
    client.async_connect(options, check);
    client.async_subscribe({.filter = "typed", .max_qos = qos::exactly_once}, check);
    client.async_publish({.topic = "typed", .payload = payload, .qos = qos::exactly_once}, check);
    client.async_receive([&](std::error_code error, const tern::received_message& m) {
        failure = failure ? failure : error;
        received = m.payload;
    });
    CHECK(run_until(io, [&] { return !received.empty() || failure; }, timeout));
    INFO(failure.message());
    CHECK_FALSE(failure);
    CHECK((received == payload));
}

TEST_CASE("The options of TLS reach the chosen transport, and by default a broker is verified") {
    tls_broker broker;
    const auto error = [&](const std::string& url, const tern::tls_context& context) {
        session_client c("");
        c.client.transport().set_options(context);
        return c.connect(url, tern::protocol_version::v5);
    };
    for (const std::string& url : {broker.tls_url(), broker.websocket_url()}) {
        CHECK(session_client("").connect(url, tern::protocol_version::v5) == tern::failure_class::permanent);
        CHECK_FALSE(error(url, tern::tls_context(broker.options)));
        tern::tls_options other = broker.options;
        other.verify_name = "other.example";
        CHECK(error(url, tern::tls_context(other)) == tern::tls_errc::wrong_host);
    }
}

} // namespace
} // namespace connecting_tests
