// Endpoints of other brokers, and with a server or a proxy in front of Mosquitto.
#include "endpoints.hpp"
#include "process.hpp"
#include "server.hpp"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace interop {
namespace {

namespace fs = std::filesystem;

std::string to_text(std::uint16_t port) {
    return std::to_string(port);
}

std::uint16_t port_of(const server& s) {
    return static_cast<std::uint16_t>(std::stoi(s.port()));
}

// The listener of an endpoint of Mosquitto, which is behind another server.
running_endpoint start_behind(std::string_view name) {
    for (const endpoint_row& row : mosquitto_endpoints())
        if (row.name == name) return row.start();
    throw std::runtime_error("no such endpoint");
}

// The certificate and the key in one file.
std::string write_certificate(const temporary_directory& directory) {
    const std::string file = (directory / "server.pem").string();
    write_file(file, endpoint_files().certificate + endpoint_files().key);
    return file;
}

running_endpoint in_front(std::shared_ptr<server> front, running_endpoint broker, const std::string& url) {
    broker.first_port = port_of(*front);
    broker.url = url + ":" + front->port();
    broker.restart_broker = [front, restart = broker.restart_broker] { restart(); }; // keeps the server
    return broker;
}

// Terminates TLS, and forwards bytes or, in the mode http, the upgrade and what follows.
running_endpoint haproxy(std::string_view behind, std::string_view mode, std::string_view scheme) {
    running_endpoint broker = start_behind(behind);
    const auto arguments = [&](const std::string& port, const temporary_directory& directory) {
        const fs::path file = directory / "haproxy.cfg";
        write_file(file, "global\n  maxconn 200\ndefaults\n  timeout connect 5s\n  timeout client 1m\n"
                         "  timeout server 1m\n  timeout tunnel 1m\nlisten mqtt\n  mode " +
                             std::string(mode) + "\n  bind 127.0.0.1:" + port + " ssl crt " +
                             write_certificate(directory) +
                             "\n  server broker 127.0.0.1:" + to_text(broker.first_port) + "\n");
        return std::vector<std::string>{"-db", "-f", file.string()};
    };
    const auto front = std::make_shared<server>("haproxy", arguments);
    running_endpoint result = in_front(front, std::move(broker), std::string(scheme) + "://localhost");
    result.tls = trusting_client();
    return result;
}

running_endpoint nginx() {
    running_endpoint broker = start_behind("Mosquitto, WebSocket");
    const auto arguments = [&](const std::string& port, const temporary_directory& directory) {
        const fs::path file = directory / "nginx.conf";
        std::string text = "daemon off;\nmaster_process off;\nerror_log stderr;\npid " + (directory / "pid").string() +
                           ";\nevents { worker_connections 200; }\nhttp {\n  access_log off;\n";
        for (const std::string_view kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
            text += "  " + std::string(kind) + "_temp_path " + (directory / kind).string() + ";\n";
        text += "  server {\n    listen 127.0.0.1:" + port +
                ";\n    location /mqtt {\n      proxy_pass http://127.0.0.1:" + to_text(broker.first_port) +
                ";\n      proxy_http_version 1.1;\n      proxy_set_header Upgrade $http_upgrade;\n"
                "      proxy_set_header Connection upgrade;\n    }\n  }\n}\n";
        write_file(file, text);
        return std::vector<std::string>{"-e", "stderr", "-c", file.string()};
    };
    return in_front(std::make_shared<server>("nginx", arguments), std::move(broker), "ws://localhost");
}

// A proxy that the client knows of.
running_endpoint through(std::shared_ptr<server> front, running_endpoint broker, std::string_view scheme) {
    const std::string url = broker.url;
    running_endpoint result = in_front(std::move(front), std::move(broker), {});
    result.url = url;
    result.longest_life = std::chrono::seconds(1); // in 100 ms few connections through these proxies get ready
    result.proxy = std::string(scheme) + "://127.0.0.1:" + to_text(result.first_port);
    return result;
}

running_endpoint alone(std::shared_ptr<server> broker, const std::string& before_port, const std::string& after_port) {
    running_endpoint result{.url = before_port + broker->port() + after_port, .first_port = port_of(*broker)};
    result.kill_broker = [broker] { broker->kill(); };
    result.restart_broker = [broker] { broker->restart(); };
    return result;
}

// The directory of packages of npm, which `./dev interop` sets.
std::string node_directory() {
    const char* const directory = std::getenv("TERN_NODE_DIRECTORY");
    return directory != nullptr ? directory : "";
}

running_endpoint aedes() {
    constexpr std::string_view program =
        "import { createServer } from 'http'\n"
        "import { createRequire } from 'module'\n"
        "const packages = process.argv[3]\n"
        "const { Aedes } = await import(packages + '/node_modules/aedes/aedes.js')\n"
        "const { WebSocketServer, createWebSocketStream } = createRequire(packages + '/')('ws')\n"
        "const aedes = await Aedes.createBroker()\n"
        "const server = createServer()\n"
        "new WebSocketServer({ server }).on('connection', (socket, request) => {\n"
        "  const stream = createWebSocketStream(socket)\n"
        "  stream.on('error', () => {})\n"
        "  aedes.handle(stream, request)\n"
        "})\n"
        "server.listen(Number(process.argv[2]), '127.0.0.1')\n";
    if (node_directory().empty()) throw not_available("TERN_NODE_DIRECTORY is not set");
    const auto arguments = [&](const std::string& port, const temporary_directory& directory) {
        const fs::path file = directory / "aedes.mjs";
        write_file(file, program);
        return std::vector<std::string>{file.string(), port, node_directory()};
    };
    running_endpoint result = alone(std::make_shared<server>("node", arguments), "ws://127.0.0.1:", "/");
    result.repeats = repetitions::without_dup;
    return result;
}

// The directory above that of ejabberd's programs, for example /usr/lib/x86_64-linux-gnu.
std::string ejabberd_libraries() {
    for (const char* const root : {"/usr/lib", "/usr/local/lib"}) {
        std::error_code error;
        for (const fs::directory_entry& each : fs::directory_iterator(root, error))
            for (const fs::directory_entry& inner : fs::directory_iterator(each, error))
                if (inner.path().filename().string().starts_with("ejabberd-")) return each.path().string();
    }
    throw not_available("ejabberd's programs are not found");
}

// Without its script, which needs a daemon for names (epmd).
running_endpoint ejabberd() {
    const auto quoted = [](const fs::path& path) { return "\"" + path.string() + "\""; };
    const auto arguments = [&](const std::string& port, const temporary_directory& directory) {
        const fs::path file = directory / "ejabberd.yml";
        write_file(file,
                   "hosts: [localhost]\nloglevel: warning\nauth_method: [anonymous]\nanonymous_protocol: login_anon\n"
                   "certfiles: [" +
                       quoted(write_certificate(directory)) + "]\nlisten:\n  - port: " + port +
                       "\n    ip: \"127.0.0.1\"\n    module: ejabberd_http\n    tls: true\n"
                       "    request_handlers: {/mqtt: mod_mqtt}\nmodules:\n  mod_mqtt: {}\n");
        return std::vector<std::string>{"ERL_LIBS=" + ejabberd_libraries(),
                                        "HOME=" + (directory / "").string(),
                                        "erl",
                                        "-noinput",
                                        "-start_epmd",
                                        "false",
                                        "-mnesia",
                                        "dir",
                                        quoted(directory / "database"),
                                        "-ejabberd",
                                        "config",
                                        quoted(file),
                                        "log_path",
                                        quoted(directory / "ejabberd.log"),
                                        "-s",
                                        "ejabberd"};
    };
    running_endpoint result = alone(std::make_shared<server>("env", arguments), "wss://sensor:any@localhost:", "/mqtt");
    result.tls = trusting_client();
    return result;
}

} // namespace

std::span<const endpoint_row> other_endpoints() {
    static const endpoint_row rows[] = {
        {"tinyproxy, TLS",
         {"mosquitto", "tinyproxy"},
         [] {
             return through(std::shared_ptr<server>(new server(tinyproxy(""))), start_behind("Mosquitto, TLS"), "http");
         }},
        {"microsocks, WebSocket over TLS",
         {"mosquitto", "microsocks"},
         [] {
             return through(std::shared_ptr<server>(new server(microsocks({}))),
                            start_behind("Mosquitto, WebSocket over TLS"), "socks5h");
         }},
        {"haproxy with TLS", {"mosquitto", "haproxy"}, [] { return haproxy("Mosquitto, TCP", "tcp", "mqtts"); }},
        {"haproxy with WebSocket over TLS",
         {"mosquitto", "haproxy"},
         [] { return haproxy("Mosquitto, WebSocket", "http", "wss"); }},
        {"nginx with WebSocket", {"mosquitto", "nginx"}, nginx},
        {"Aedes, WebSocket",
         {"node"},
         aedes,
         {{tern::protocol_version::v5, "Aedes has no MQTT 5.0"}},
         "Aedes sends QoS 2 again without DUP: may arrive twice after cuts [MQTT-3.3.1-1]"},
        {"ejabberd, WebSocket over TLS", {"erl", "ejabberdctl"}, ejabberd},
    };
    return rows;
}

} // namespace interop
