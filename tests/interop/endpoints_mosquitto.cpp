// The endpoints of Mosquitto alone: each kind of listener.
#include "endpoints.hpp"
#include "process.hpp"
#include "server.hpp"
#include "tls/certificates.hpp"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace interop {

const server_files& endpoint_files() {
    static const server_files files = [] {
        using namespace tls_test;
        certificate_spec spec = server_spec({"localhost"});
        spec.addresses = {"127.0.0.1"};
        const identity server = issue(common().root, spec);
        return server_files{common().root.certificate_pem(), server.certificate_pem(), server.key_pem()};
    }();
    return files;
}

tern::tls_options trusting_client() {
    return {.ca_pem = endpoint_files().ca};
}

namespace {

constexpr std::string_view certificate_lines = "cafile @/ca.pem\ncertfile @/server.pem\nkeyfile @/server.key\n";

// A Mosquitto that saves its state. `further_listener` is the configuration of a listener on a port that this chooses;
// empty: the plain one, to which `lines` belongs, is the only one.
struct started_mosquitto {
    std::shared_ptr<mosquitto> broker;
    std::uint16_t further_port = 0;
};
started_mosquitto start_mosquitto(std::string_view lines, std::string_view further_listener = {}) {
    const server_files& files = endpoint_files();
    for (int attempt = 1;; ++attempt) { // another process may take the port
        const std::uint16_t port = free_port();
        std::string configuration = "allow_anonymous true\npassword_file @/passwords\nmax_inflight_messages 1000\n"
                                    "persistence true\npersistence_location @/\n";
        configuration += lines;
        if (!further_listener.empty())
            configuration.append("listener ").append(std::to_string(port)).append(" 127.0.0.1\n");
        configuration += further_listener;
        try {
            auto broker = std::make_shared<mosquitto>(
                configuration, std::initializer_list<mosquitto::file>{{"ca.pem", files.ca},
                                                                      {"server.pem", files.certificate},
                                                                      {"server.key", files.key},
                                                                      {"passwords", ""}, // refuses every password
                                                                      {"psk", "sensor:0123456789abcdef\n"}});
            return {broker, port};
        } catch (const std::runtime_error&) {
            if (attempt == 5) throw;
        }
    }
}

running_endpoint at(const started_mosquitto& of, std::string url, std::uint16_t port, tern::tls_options tls = {}) {
    running_endpoint result{.url = std::move(url), .tls = std::move(tls), .first_port = port};
    result.kill_broker = [broker = of.broker] {
        broker->save();
        broker->kill();
    };
    result.restart_broker = [broker = of.broker] { broker->restart(); };
    return result;
}

// A URL of the plain listener's port.
running_endpoint on_first_port(std::string_view scheme, std::string_view lines, tern::tls_options tls = {}) {
    const started_mosquitto m = start_mosquitto(lines);
    const std::uint16_t port = m.broker->port();
    return at(m, std::string(scheme) + "://localhost:" + std::to_string(port), port, std::move(tls));
}

// A URL of a WebSocket listener, beside the plain one without which Mosquitto does not start.
running_endpoint on_websocket(std::string_view scheme, std::string_view lines, tern::tls_options tls = {}) {
    const started_mosquitto m = start_mosquitto({}, "protocol websockets\n" + std::string(lines));
    running_endpoint result = at(m, std::string(scheme) + "://127.0.0.1:" + std::to_string(m.further_port) + "/mqtt",
                                 m.further_port, std::move(tls));
    result.port_of_other_client = m.broker->port();
    return result;
}

running_endpoint client_certificate() {
    tern::tls_options options = trusting_client();
    options.certificate_pem = tls_test::common().client.certificate_pem();
    options.key_pem = tls_test::common().client.key_pem("secret");
    options.key_password = "secret";
    return on_first_port("mqtts", std::string(certificate_lines) + "require_certificate true\n", options);
}

running_endpoint shared_key() {
    // The file has it in hexadecimal digits.
    const tern::tls_options options{.psk = tern::tls_psk{"sensor", "\x01\x23\x45\x67\x89\xab\xcd\xef"}};
    return on_first_port("mqtts", "psk_file @/psk\npsk_hint tern\n", options);
}

running_endpoint unix_socket() {
    const started_mosquitto m = start_mosquitto("listener 0 @/broker.sock\n");
    return at(m, "mqtt+unix://" + m.broker->file_path("broker.sock").string(), 0);
}

} // namespace

std::span<const endpoint_row> mosquitto_endpoints() {
    static const endpoint_row rows[] = {
        {"Mosquitto, TCP", {"mosquitto"}, [] { return on_first_port("mqtt", ""); }},
        {"Mosquitto, TLS", {"mosquitto"}, [] { return on_first_port("mqtts", certificate_lines, trusting_client()); }},
        {"Mosquitto, client certificate", {"mosquitto"}, client_certificate},
        {"Mosquitto, PSK", {"mosquitto"}, shared_key},
        {"Mosquitto, WebSocket", {"mosquitto"}, [] { return on_websocket("ws", ""); }},
        {"Mosquitto, WebSocket over TLS",
         {"mosquitto"},
         [] { return on_websocket("wss", certificate_lines, trusting_client()); }},
        {"Mosquitto, Unix socket", {"mosquitto"}, unix_socket},
    };
    return rows;
}

} // namespace interop
