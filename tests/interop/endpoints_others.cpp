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
        "aedes.authenticate = (client, user, password, done) => done(null, user !== 'refused')\n"
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
        write_file(file, "hosts: [localhost, closed.example]\nloglevel: warning\nanonymous_protocol: login_anon\n"
                         "host_config:\n  localhost: {auth_method: [anonymous]}\n"
                         "  closed.example: {auth_method: [internal]}\ncertfiles: [" +
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
    result.refused_user = "sensor@closed.example";
    return result;
}

// The program that starts RabbitMQ, without Debian's script, which needs another user.
fs::path rabbitmq_program() {
    std::error_code error;
    for (const fs::directory_entry& each : fs::directory_iterator("/usr/lib/rabbitmq/lib", error))
        if (fs::exists(each.path() / "sbin/rabbitmq-server")) return each.path() / "sbin/rabbitmq-server";
    throw not_available("RabbitMQ's programs are not found");
}

// With a daemon for names (epmd) of its own.
running_endpoint rabbitmq() {
    const auto names = std::make_shared<server>("epmd", [](const std::string& port, const temporary_directory&) {
        return std::vector<std::string>{"-address", "127.0.0.1", "-port", port};
    });
    const fs::path program = rabbitmq_program();
    const std::string port_of_node = to_text(free_port());
    const auto arguments = [&](const std::string& port, const temporary_directory& directory) {
        write_file(directory / "rabbitmq.conf", "listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:" + port +
                                                    "\nmqtt.allow_anonymous = true\nlog.console = true\n"
                                                    "log.console.level = error\nlog.file = false\n");
        write_file(directory / "enabled_plugins", "[rabbitmq_mqtt].");
        const auto setting = [&](const std::string& name, std::string_view file) {
            return name + "=" + (directory / file).string();
        };
        return std::vector<std::string>{setting("HOME", ""),
                                        setting("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
                                        setting("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins"),
                                        setting("RABBITMQ_MNESIA_BASE", "database"),
                                        setting("RABBITMQ_LOG_BASE", "log"),
                                        setting("RABBITMQ_PID_FILE", "pid"),
                                        "RABBITMQ_NODENAME=tern" + port + "@localhost",
                                        "RABBITMQ_DIST_PORT=" + port_of_node,
                                        "ERL_EPMD_ADDRESS=127.0.0.1",
                                        "ERL_EPMD_PORT=" + names->port(),
                                        "RUNNING_UNDER_SYSTEMD=yes", // stays one process
                                        program.string()};
    };
    running_endpoint result = alone(std::make_shared<server>("env", arguments), "mqtt://127.0.0.1:", "");
    result.restart_broker = [names, restart = result.restart_broker] { restart(); }; // keeps the daemon
    result.levels = {tern::qos::at_most_once, tern::qos::at_least_once};
    return result;
}

running_endpoint activemq() {
    constexpr std::string_view packages = "/usr/share/java/"; // Debian leaves these out of the broker's own directory
    if (!fs::exists(std::string(packages) + "mqtt-client.jar")) throw not_available("mqtt-client.jar is not installed");
    const auto arguments = [&](const std::string& port, const temporary_directory& directory) {
        fs::create_directory(directory / "lib");
        for (const std::string name : {"mqtt-client.jar", "hawtdispatch.jar", "hawtdispatch-transport.jar"})
            fs::create_symlink(std::string(packages) + name, directory / "lib" / name);
        const std::string base = (directory / "").string();
        write_file(directory / "activemq.xml",
                   "<beans xmlns='http://www.springframework.org/schema/beans'"
                   " xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'"
                   " xsi:schemaLocation='http://www.springframework.org/schema/beans"
                   " http://www.springframework.org/schema/beans/spring-beans-2.0.xsd"
                   " http://activemq.apache.org/schema/core"
                   " http://activemq.apache.org/schema/core/activemq-core.xsd'>\n"
                   "<broker xmlns='http://activemq.apache.org/schema/core' useJmx='false' dataDirectory='" +
                       base +
                       "data'>\n<plugins><simpleAuthenticationPlugin anonymousAccessAllowed='true'/></plugins>\n" +
                       "<persistenceAdapter><kahaDB directory='" + base + "store'/></persistenceAdapter>\n" +
                       "<transportConnectors><transportConnector uri='mqtt://127.0.0.1:" + port +
                       "'/></transportConnectors>\n</broker></beans>\n");
        return std::vector<std::string>{"-Xmx256m",
                                        "-Dactivemq.home=/usr/share/activemq",
                                        "-Dactivemq.base=" + base,
                                        "-Dactivemq.data=" + base + "data",
                                        "-jar",
                                        "/usr/share/activemq/bin/activemq.jar",
                                        "start",
                                        "xbean:file:" + base + "activemq.xml"};
    };
    running_endpoint result = alone(std::make_shared<server>("java", arguments), "mqtt://127.0.0.1:", "");
    result.repeats = repetitions::without_dup; // it resumes sessions, and says that they are new
    result.deletion = deletion_of_retained::leaves_an_empty_message;
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
        {"RabbitMQ, TCP",
         {"epmd", "rabbitmq-server"},
         rabbitmq,
         {{tern::protocol_version::v5, "RabbitMQ 3.10 has no MQTT 5.0"}},
         "RabbitMQ has no QoS 2"},
        {"ActiveMQ, TCP",
         {"java", "activemq"},
         activemq,
         {{tern::protocol_version::v5, "ActiveMQ has no MQTT 5.0"}},
         "ActiveMQ resumes sessions that it calls new: QoS 2 may arrive twice after cuts [MQTT-3.2.2-2]"},
    };
    return rows;
}

} // namespace interop
