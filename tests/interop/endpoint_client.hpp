// A client of an endpoint, as the checks use it, and the checks that other files define.
#pragma once

#include "endpoints.hpp"
#include "tern/client/any_client_tls.hpp"
#include "tern/testing/run_until.hpp"

#include <asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace interop {

inline constexpr std::chrono::seconds step_limit{30};

inline std::string name_of(tern::qos level) {
    return "QoS " + std::to_string(static_cast<int>(level));
}

[[noreturn]] inline void fail_check(const std::string& what) {
    throw std::runtime_error(what);
}
inline void require_success(std::error_code error, const std::string& what) {
    if (error) fail_check(what + ": " + error.message());
}

// No two payloads, and no two parts of one, are alike.
inline std::string make_payload(std::size_t size, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::string payload(size, '\0');
    for (char& byte : payload)
        byte = static_cast<char>(random() & 0xFFU);
    return payload;
}

inline std::string with_port(std::string url, std::uint16_t from, std::uint16_t to) {
    const std::string old = ":" + std::to_string(from);
    if (const std::size_t place = url.find(old); place != std::string::npos)
        url.replace(place, old.size(), ":" + std::to_string(to));
    return url;
}

// A client of an endpoint, with a name and a topic that no other client has, and a session of an hour.
class endpoint_client {
public:
    endpoint_client(const running_endpoint& of, tern::protocol_version version)
        : endpoint_(of)
        , version_(version)
        , name_("client-" + std::to_string(++names)) {
        watch();
    }

    asio::io_context& context() { return io_; }
    tern::any_client& client() { return client_; }
    const std::string& topic() const { return name_; }

    void until(const std::string& what, const std::function<bool()>& condition) {
        if (tern::testing::run_until(io_, condition, step_limit)) return;
        fail_check("no " + what + " within 30 s; connections: " + std::to_string(client_.counters().connections) +
                   ", attempts that failed: " + std::to_string(failed_attempts_) +
                   "; the last end: " + last_end_.message());
    }

    // Subscribing again would hide a lost session. It also makes repetitions harder to detect, see docs/departures.md.
    void keep_subscriptions() { resubscribes_ = false; }

    // Connects, through a network that cuts connections if a port of it is given.
    std::error_code try_connect(const tern::connect_options& wanted = {}, std::uint16_t port_of_network = 0) {
        const std::uint16_t port = port_of_network != 0 ? port_of_network : endpoint_.first_port;
        const auto proxy = tern::proxy_options::parse(with_port(endpoint_.proxy, endpoint_.first_port, port));
        const auto url = tern::broker_url::parse(with_port(endpoint_.url, endpoint_.first_port, port));
        if (!proxy || !url) fail_check("an invalid URL");
        client_.transport().set_options(*proxy);
        client_.transport().set_options(tern::tcp_options{.no_delay = true});
        client_.transport().set_options(endpoint_.tls);
        tern::connect_options options = url->options(wanted);
        options.version = version_;
        options.client_id = name_;
        options.clean_start = false;
        options.resubscribe = resubscribes_;
        if (version_ == tern::protocol_version::v5)
            options.properties.session_expiry_interval = std::chrono::seconds(3600);
        options.reconnect.first_delay = std::chrono::milliseconds(2);
        options.reconnect.longest_delay = std::chrono::milliseconds(50);
        return result_of("CONNACK", [&](auto done) {
            client_.async_connect(options, [done](std::error_code error, const auto&) { done(error); });
        });
    }

    // Connects and subscribes to its own topic.
    void connect(const tern::connect_options& wanted = {}, std::uint16_t port_of_network = 0) {
        require_success(try_connect(wanted, port_of_network), "CONNACK");
        subscribe({.filter = topic(), .max_qos = tern::qos::exactly_once});
    }

    template <class Subscriptions>
    void subscribe(const Subscriptions& wanted) {
        awaits("SUBACK", [&](auto done) {
            client_.async_subscribe(wanted, [done](std::error_code error, const auto&) { done(error); });
        });
    }
    void subscribe(const tern::subscription& wanted) { subscribe<tern::subscription>(wanted); }

    void publish(const tern::message_view& message) {
        awaits("acknowledgement", [&](auto done) {
            client_.async_publish(message, [done](std::error_code error, const auto&) { done(error); });
        });
    }

    // The next message, which need not have come yet.
    tern::received_message next_message(const std::string& what) {
        std::optional<tern::received_message> received;
        receive(received);
        until(what, [&] { return received.has_value(); });
        return std::move(*received);
    }

    // Closes the connection without DISCONNECT.
    void vanish() {
        client_.cancel();
        awaits("the end", [&](auto done) { client_.async_wait_stopped([done](std::error_code) { done({}); }); });
    }

    void disconnect() {
        awaits("the end", [&](auto done) {
            client_.async_disconnect([done](std::error_code error, const auto&...) { done(error); });
        });
    }

    // Publishes a message to itself.
    void echo(tern::qos level, const std::string& payload) {
        std::optional<tern::received_message> received;
        bool is_published = false;
        std::error_code failure;
        client_.async_publish({.topic = topic(), .payload = payload, .qos = level},
                              [&](std::error_code error, const auto&) {
                                  is_published = true;
                                  failure = error;
                              });
        receive(received);
        until("message of " + name_of(level), [&] { return (is_published && received) || failure; });
        require_success(failure, name_of(level));
        if (received->qos != level) fail_check(name_of(received->qos) + " instead of " + name_of(level));
        if (received->payload != payload) fail_check(name_of(level) + ": another payload");
    }

    // Waits until the broker knows the subscription that the client has renewed: it need not before its SUBACK.
    void await_renewal() {
        std::optional<tern::received_message> received;
        receive(received, messages::all);
        for (int attempt = 0; attempt != 300 && !received; ++attempt) {
            client_.async_publish({.topic = topic(), .payload = question}, [](std::error_code, const auto&) {});
            tern::testing::run_until(io_, [&] { return received.has_value(); }, std::chrono::milliseconds(100));
        }
        if (!received) fail_check("the subscription was not renewed within 30 s");
    }

    void echo_each_qos(std::size_t bytes) {
        for (const tern::qos level : endpoint_.levels)
            echo(level, make_payload(bytes, static_cast<std::uint32_t>(level)));
    }

    // Afterwards the broker has read everything that was sent before.
    void ping() {
        awaits("PINGRESP", [&](auto handler) { client_.async_ping(handler); });
    }

private:
    static inline unsigned names = 0;
    static constexpr std::string_view question = "is the subscription there?";

    enum class messages {
        all,
        no_question, // skips those of `await_renewal`
    };
    void receive(std::optional<tern::received_message>& to, messages wanted = messages::no_question) {
        client_.async_receive([this, &to, wanted](std::error_code error, tern::received_message m) {
            if (error) return;
            if (wanted == messages::no_question && m.payload == question)
                receive(to, wanted);
            else
                to = std::move(m);
        });
    }

    void watch() {
        client_.async_next_event([this](std::error_code error, const tern::connection_event& e) {
            if (error) return;
            if (e.change == tern::connection_change::disconnected) {
                last_end_ = e.error;
                if (e.phase != tern::connection_phase::connected) ++failed_attempts_;
            }
            watch();
        });
    }

    // Starts an operation with a handler of an error, and waits for its end.
    template <class Start>
    std::error_code result_of(const std::string& what, Start start) {
        const auto result = std::make_shared<std::optional<std::error_code>>();
        start([result](std::error_code error) { *result = error; });
        until(what, [&] { return result->has_value(); });
        return **result;
    }
    template <class Start>
    void awaits(const std::string& what, Start start) {
        require_success(result_of(what, std::move(start)), what);
    }

    const running_endpoint& endpoint_;
    tern::protocol_version version_;
    std::string name_;
    bool resubscribes_ = true;
    std::error_code last_end_;
    unsigned failed_attempts_ = 0;
    asio::io_context io_;
    tern::any_client client_{io_};
};

// Keeps a broker busy, see `port_of_other_client`.
class other_client {
public:
    other_client(asio::io_context& io, std::uint16_t port) : client_(io) {
        if (port == 0) return;
        const tern::connect_options options{.host = "127.0.0.1", .port = port, .client_id = "other"};
        client_.async_connect(options, [this](std::error_code error, const auto&) { ping(error); });
    }

private:
    void ping(std::error_code error) {
        if (!error) client_.async_ping([this](std::error_code e) { ping(e); });
    }

    tern::any_client client_;
};

// The features of MQTT, in endpoints_features.cpp.
void check_retained(running_endpoint& endpoint, tern::protocol_version version);
void check_will(running_endpoint& endpoint, tern::protocol_version version);
void check_session(running_endpoint& endpoint, tern::protocol_version version);
void check_order(running_endpoint& endpoint, tern::protocol_version version);
void check_subscriptions(running_endpoint& endpoint, tern::protocol_version version);
void check_refusal(running_endpoint& endpoint, tern::protocol_version version);

} // namespace interop
