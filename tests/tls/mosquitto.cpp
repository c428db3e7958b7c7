// Clients over TLS and a real broker: Mosquitto with a certificate, with required client certificates, and with a
// shared key.
#include "catch.hpp"
#include "certificates.hpp"
#include "interop/process.hpp"
#include "peer.hpp"
#include "support/heap.hpp"
#include "tern/client/basic_client.hpp"
#include "tern/client/engine.hpp"
#include "tern/transport/tls.hpp"

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace tls_mosquitto_tests {

using namespace tls_test;
using namespace std::chrono_literals;
using enum tern::tls_errc;
using interop::mosquitto;

const identity& server_identity() {
    static const identity own = [] {
        certificate_spec spec = server_spec({"localhost"});
        spec.addresses = {"127.0.0.1"};
        return issue(common().root, spec);
    }();
    return own;
}

std::unique_ptr<mosquitto> start(std::string_view configuration) {
    const std::string ca = common().root.certificate_pem();
    const std::string certificate = server_identity().certificate_pem();
    const std::string key = server_identity().key_pem();
    return std::make_unique<mosquitto>(
        std::string(configuration) + "allow_anonymous true\nlog_type all\nmax_inflight_messages 100\n"
                                     "persistence true\npersistence_location @/\n",
        std::initializer_list<mosquitto::file>{
            {"ca.pem", ca}, {"server.pem", certificate}, {"server.key", key}, {"psk", "sensor:0123456789abcdef\n"}});
}

constexpr std::string_view with_certificate = "cafile @/ca.pem\ncertfile @/server.pem\nkeyfile @/server.key\n";

// A client that runs an io_context while it waits.
class tls_client {
public:
    explicit tls_client(const tern::tls_options& options) : client_(context_) {
        client_.transport().set_options(options);
    }

    tern::basic_client<tern::tls>& operator*() { return client_; }
    tern::basic_client<tern::tls>* operator->() { return &client_; }

    void until(std::string_view what, const std::function<bool()>& condition) {
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        while (!condition())
            if (context_.run_one_until(deadline) == 0) FAIL("timed out waiting for " << what);
    }

    std::error_code connect(const tern::connect_options& options) {
        const auto result = std::make_shared<std::error_code>();
        const auto is_done = std::make_shared<bool>();
        client_.async_connect(options, [result, is_done](std::error_code error, const tern::connect_result&) {
            *result = error;
            *is_done = true;
        });
        until("connect", [&] { return *is_done; });
        return *result;
    }

    // Publishes with each QoS to a topic that it subscribes, and receives all.
    void exchange(const std::string& payload, const std::string& topic) {
        const auto acknowledged = std::make_shared<int>();
        const auto count = [acknowledged](std::error_code error, const tern::acknowledgement&) {
            if (!error) ++*acknowledged;
        };
        client_.async_subscribe({.filter = topic, .max_qos = tern::qos::exactly_once}, count);
        until("SUBACK", [&] { return *acknowledged == 1; });
        std::vector<std::string> received;
        for (int i = 0; i != 3; ++i) {
            client_.async_publish({.topic = topic, .payload = payload, .qos = static_cast<tern::qos>(i)}, count);
            client_.async_receive([&](std::error_code error, const tern::message& m) {
                if (!error) received.emplace_back(m.payload);
            });
            until("a message", [&] { return received.size() == static_cast<std::size_t>(i) + 1; });
            CHECK(received.back() == payload);
        }
        until("acknowledgements", [&] { return *acknowledged == 4; });
    }

    // Afterwards the broker has read everything that was sent before.
    void ping() {
        const auto is_done = std::make_shared<bool>();
        client_.async_ping([is_done](std::error_code error) { *is_done = !error; });
        until("PINGRESP", [&] { return *is_done; });
    }

    void disconnect() {
        const auto is_done = std::make_shared<bool>();
        client_.async_disconnect([is_done](std::error_code, const auto&...) { *is_done = true; });
        until("disconnect", [&] { return *is_done; });
    }

private:
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
    tern::basic_client<tern::tls> client_;
};

tern::connect_options to(const mosquitto& broker, tern::protocol_version version = tern::protocol_version::v5) {
    return {.host = "127.0.0.1", .port = broker.port(), .version = version};
}

// Options that allow TLS 1.2 at most.
tern::tls_options at_most_1_2() {
    tern::tls_options options;
    options.own_context = std::shared_ptr<SSL_CTX>(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
    SSL_CTX_set_max_proto_version(options.own_context.get(), TLS1_2_VERSION);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(options.own_context.get()), common().root.certificate());
    return options;
}

TEST_CASE("Mosquitto over TLS 1.2 and 1.3: both versions, each QoS, up to 1 MiB") {
    const auto broker = start(with_certificate);
    int topic = 0;
    for (const tern::tls_options& options : {trusting_options(), at_most_1_2()})
        for (const auto version : {tern::protocol_version::v3_1_1, tern::protocol_version::v5})
            for (const std::size_t size : {std::size_t{64}, std::size_t{20'000}, std::size_t{1} << 20U}) {
                tls_client client(options);
                REQUIRE_FALSE(client.connect(to(*broker, version)));
                client.exchange(std::string(size, 'x'), "t" + std::to_string(++topic));
                client.disconnect();
            }
    CHECK(interop::count_lines(broker->log(), {"protocol error"}) == 0);
}

TEST_CASE("Mosquitto is verified") {
    const auto broker = start(with_certificate);
    const auto outcome = [&](const tern::tls_options& options, std::string_view host = "127.0.0.1") {
        tls_client client(options);
        tern::connect_options how = to(*broker);
        how.host = host;
        how.reconnect.retry_first = true; // these errors are final
        return client.connect(how);
    };
    tern::tls_options other_name = trusting_options();
    other_name.verify_name = "broker.example";
    CHECK_FALSE(outcome(trusting_options(), "localhost"));
    CHECK(outcome(other_name) == wrong_host);
    CHECK(outcome({}) == unknown_authority); // Mosquitto sends its authority, too
    CHECK_FALSE(outcome({.verification = tern::tls_verification::none_insecure}));
}

TEST_CASE("Mosquitto requires a client certificate") {
    const auto broker = start(std::string(with_certificate) + "require_certificate true\n");
    const auto outcome = [&](tern::tls_options options, const identity* own) {
        if (own != nullptr && options.own_context) {
            SSL_CTX_use_certificate(options.own_context.get(), own->certificate());
            SSL_CTX_use_PrivateKey(options.own_context.get(), own->key());
        } else if (own != nullptr) {
            options.certificate_pem = own->certificate_pem();
            options.key_pem = own->key_pem("secret");
            options.key_password = "secret";
        }
        tls_client client(options);
        tern::connect_options how = to(*broker);
        how.reconnect.retry_first = true;
        return client.connect(how);
    };
    const identity stranger = issue(common().other_root, certificate_spec{});
    for (const bool is_1_3 : {true, false}) {
        const auto options = [&] { return is_1_3 ? trusting_options() : at_most_1_2(); };
        CHECK_FALSE(outcome(options(), &common().client));
        CHECK(outcome(options(), nullptr) == client_certificate_required);
        CHECK(outcome(options(), &stranger) == client_certificate_unknown_authority);
    }
}

TEST_CASE("Mosquitto with a shared key") {
    const auto broker = start("psk_file @/psk\npsk_hint tern\n");
    const auto outcome = [&](const std::string& name, const std::string& key, tern::tls_options options = {}) {
        options.psk = tern::tls_psk{name, key};
        tls_client client(options);
        tern::connect_options how = to(*broker);
        how.reconnect.retry_first = true;
        const std::error_code error = client.connect(how);
        if (!error) client.exchange("hello", "psk");
        return error;
    };
    const std::string key = "\x01\x23\x45\x67\x89\xab\xcd\xef"; // as in the file, which is hexadecimal
    const tern::tls_options at_most = [] {
        tern::tls_options options = at_most_1_2();
        SSL_CTX_set_cipher_list(options.own_context.get(), "PSK");
        return options;
    }();
    for (const tern::tls_options& options : {tern::tls_options{}, at_most}) {
        CHECK_FALSE(outcome("sensor", key, options));
        CHECK(outcome("sensor", key + "x", options) == psk_refused);
        CHECK(outcome("stranger", key, options) == psk_refused);
    }
}

TEST_CASE("a client over TLS reconnects after Mosquitto has restarted, and continues its session") {
    for (const auto version : {tern::protocol_version::v3_1_1, tern::protocol_version::v5}) {
        const auto broker = start(with_certificate);
        tls_client client(trusting_options());
        tern::connect_options how = to(*broker, version);
        how.client_id = "lasting";
        how.clean_start = false;
        if (version == tern::protocol_version::v5) how.properties.session_expiry_interval = 3600s;
        how.reconnect.first_delay = 20ms;
        how.reconnect.longest_delay = 100ms;
        REQUIRE_FALSE(client.connect(how));
        client.exchange("before", "restart");
        client.ping(); // the broker saves that it has PUBREC: otherwise it would publish "before" again
        broker->save();
        broker->kill();
        client.until("the loss", [&] { return !client->is_connected(); });
        broker->restart();
        client.until("the connection", [&] { return client->is_connected(); });
        client.exchange("after", "restart");
    }
}

TEST_CASE("Mosquitto resumes TLS sessions") {
    for (const tern::tls_options& options : {trusting_options(), at_most_1_2()}) {
        const auto broker = start(with_certificate);
        tls_client client(options);
        for (int i = 0; i != 3; ++i) {
            REQUIRE_FALSE(client.connect(to(*broker)));
            CHECK(client->transport().is_resumed() == (i != 0));
            client.exchange("hello", "resumption");
            client.disconnect();
        }
    }
}

TEST_CASE("in the steady state a client over TLS allocates nothing of its own") {
    const auto broker = start(with_certificate);
    tls_client client(trusting_options());
    REQUIRE_FALSE(client.connect(to(*broker)));
    int acknowledged = 0;
    const std::string payload(64, 'x');
    int goal = 0;
    const std::function<bool()> is_acknowledged = [&] { return acknowledged == goal; };
    const auto publish = [&](int count) {
        for (const int end = goal + count; goal != end;) {
            client->async_publish({.topic = "steady", .payload = payload, .qos = tern::qos::at_least_once},
                                  [&](std::error_code error, const tern::acknowledgement&) {
                                      if (!error) ++acknowledged;
                                  });
            ++goal;
            client.until("PUBACK", is_acknowledged);
        }
    };
    publish(100);
    const std::size_t before = heap::allocations();
    publish(500);
    CHECK(heap::allocations() - before < 5);
    client.disconnect();
}

TEST_CASE("a client over TLS on Mosquitto's plain port gets an error that names TLS") {
    const auto broker = start("");
    tls_client client(trusting_options());
    const std::error_code error = client.connect(to(*broker));
    CHECK((error == closed_in_handshake || error == asio::error::connection_reset));
    CHECK(client->transport().opening_phase() == tern::connection_phase::securing);
}

} // namespace tls_mosquitto_tests
