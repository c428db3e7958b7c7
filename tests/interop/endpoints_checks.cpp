// The checks of each endpoint, by `any_client`.
#include "endpoints.hpp"
#include "proxy.hpp"
#include "tern/client/any_client_tls.hpp"
#include "tern/testing/run_until.hpp"

#include <asio/io_context.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace interop {
namespace {

using namespace std::chrono_literals;
using tern::protocol_version;
using tern::qos;

constexpr std::chrono::seconds limit{30}; // for each step
constexpr std::array all_qos{qos::at_most_once, qos::at_least_once, qos::exactly_once};

std::string name_of(qos level) {
    return "QoS " + std::to_string(static_cast<int>(level));
}

[[noreturn]] void fail_check(const std::string& what) {
    throw std::runtime_error(what);
}
void require_success(std::error_code error, const std::string& what) {
    if (error) fail_check(what + ": " + error.message());
}

// No two payloads, and no two parts of one, are alike.
std::string make_payload(std::size_t size, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::string payload(size, '\0');
    for (char& byte : payload)
        byte = static_cast<char>(random() & 0xFFU);
    return payload;
}

std::string with_port(std::string url, std::uint16_t from, std::uint16_t to) {
    const std::string old = ":" + std::to_string(from);
    if (const std::size_t place = url.find(old); place != std::string::npos)
        url.replace(place, old.size(), ":" + std::to_string(to));
    return url;
}

// A client of an endpoint, with a name and a topic that no other client has, and a session of an hour.
class endpoint_client {
public:
    endpoint_client(const running_endpoint& of, protocol_version version)
        : endpoint_(of)
        , version_(version)
        , name_("client-" + std::to_string(++names)) {
        watch();
    }

    asio::io_context& context() { return io_; }
    tern::any_client& client() { return client_; }
    const std::string& topic() const { return name_; }

    void until(const std::string& what, const std::function<bool()>& condition) {
        if (tern::testing::run_until(io_, condition, limit)) return;
        fail_check("no " + what + " within 30 s; connections: " + std::to_string(client_.counters().connections) +
                   ", attempts that failed: " + std::to_string(failed_attempts_) +
                   "; the last end: " + last_end_.message());
    }

    // Subscribing again would hide a lost session. It also makes repetitions harder to detect, see docs/departures.md.
    void keep_subscriptions() { resubscribes_ = false; }

    // Connects, through a network that cuts connections if a port of it is given, and subscribes.
    void connect(std::uint16_t port_of_network = 0) {
        const std::uint16_t port = port_of_network != 0 ? port_of_network : endpoint_.first_port;
        const auto proxy = tern::proxy_options::parse(with_port(endpoint_.proxy, endpoint_.first_port, port));
        const auto url = tern::broker_url::parse(with_port(endpoint_.url, endpoint_.first_port, port));
        if (!proxy || !url) fail_check("an invalid URL");
        client_.transport().set_options(*proxy);
        client_.transport().set_options(tern::tcp_options{.no_delay = true});
        client_.transport().set_options(endpoint_.tls);
        tern::connect_options options = url->options({.version = version_, .client_id = name_});
        options.clean_start = false;
        options.resubscribe = resubscribes_;
        if (version_ == protocol_version::v5) options.properties.session_expiry_interval = 3600s;
        options.reconnect.first_delay = 2ms;
        options.reconnect.longest_delay = 50ms;
        awaits("CONNACK", [&](auto done) {
            client_.async_connect(options, [done](std::error_code error, const auto&) { done(error); });
        });
        awaits("SUBACK", [&](auto done) {
            client_.async_subscribe({.filter = topic(), .max_qos = qos::exactly_once},
                                    [done](std::error_code error, const auto&) { done(error); });
        });
    }

    void disconnect() {
        awaits("the end", [&](auto done) {
            client_.async_disconnect([done](std::error_code error, const auto&...) { done(error); });
        });
    }

    // Publishes a message to itself.
    void echo(qos level, const std::string& payload) {
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
            tern::testing::run_until(io_, [&] { return received.has_value(); }, 100ms);
        }
        if (!received) fail_check("the subscription was not renewed within 30 s");
    }

    void echo_each_qos(std::size_t bytes) {
        for (const qos level : all_qos)
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
    void awaits(const std::string& what, Start start) {
        const auto result = std::make_shared<std::optional<std::error_code>>();
        start([result](std::error_code error) { *result = error; });
        until(what, [&] { return result->has_value(); });
        require_success(**result, what);
    }

    const running_endpoint& endpoint_;
    protocol_version version_;
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

void check_messages(running_endpoint& endpoint, protocol_version version, std::size_t bytes) {
    endpoint_client c(endpoint, version);
    c.connect();
    const other_client other(c.context(), endpoint.port_of_other_client);
    c.echo_each_qos(bytes);
    c.disconnect();
}

void check_restart(running_endpoint& endpoint, protocol_version version) {
    endpoint_client c(endpoint, version);
    c.connect();
    c.echo_each_qos(1000);
    c.ping(); // a broker that saves its sessions without the last PUBREC would send that message again
    endpoint.kill_broker();
    c.until("end of the connection", [&] { return !c.client().is_connected(); });
    endpoint.restart_broker();
    c.until("new connection", [&] { return c.client().is_connected(); });
    c.await_renewal();
    c.echo_each_qos(1000);
    c.disconnect();
}

// Messages with each QoS, whose connections are cut. Those of QoS 1 and 2 arrive unless their outcome is unknown, those
// of QoS 0 and 2 arrive at most once, and none is damaged.
class messages_with_cuts {
public:
    messages_with_cuts(endpoint_client& c, repetitions expected) : c_(c), repetitions_(expected) {}

    // Publishes some more messages. Returns false once there are no more.
    bool publish_some(std::uint32_t some) {
        if (published_ == 0) receive();
        const std::uint32_t end = published_ + std::min(some, count - published_);
        const bool has_more = published_ != end;
        while (published_ != end)
            publish(published_++);
        return has_more;
    }

    bool are_completed() const { return completed_ == published_ || !failure_.empty(); }

    void await_completion() {
        c_.until("completion of all messages", [&] { return are_completed(); });
    }

    // To be called on an undisturbed connection.
    void finish() {
        publish(count);
        c_.until("message of QoS 1 or 2",
                 [&] { return (completed_ == count + 1 && expected_.empty()) || !failure_.empty(); });
        if (!failure_.empty()) fail_check(failure_);
    }

private:
    static constexpr std::uint32_t count = 30; // few, because many connections end in their handshake

    static qos level_of(std::uint32_t number) { return number == count ? qos::at_least_once : all_qos[number % 3]; }
    static std::string payload_of(std::uint32_t number) {
        return std::to_string(1000 + number) + make_payload(number * 150, number);
    }

    void publish(std::uint32_t number) {
        const qos level = level_of(number);
        c_.client().async_publish({.topic = c_.topic(), .payload = payload_of(number), .qos = level},
                                  [this, number, level](std::error_code error, const auto&) {
                                      ++completed_;
                                      if (!error && level != qos::at_most_once && arrivals_[number] == 0)
                                          expected_[number] = true;
                                      // After an unanswered CONNECT it is unknown whether the session is the same.
                                      if (error && error.category() != tern::outcome_unknown_category())
                                          failure_ = name_of(level) + ": " + error.message();
                                  });
    }

    void receive() {
        c_.client().async_receive([this](std::error_code error, const tern::received_message& m) {
            if (error) return;
            arrive(m.payload);
            receive();
        });
    }

    // Whether a repetition of such a message is a failure.
    bool arrives_once(qos level) const {
        if (level == qos::exactly_once) return repetitions_ == repetitions::with_dup;
        return level == qos::at_most_once;
    }

    void arrive(std::string_view payload) {
        const auto number =
            static_cast<std::uint32_t>(std::strtoul(std::string(payload.substr(0, 4)).c_str(), nullptr, 10)) - 1000;
        if (number > count || payload != payload_of(number)) {
            failure_ = "a damaged message";
            return;
        }
        expected_.erase(number);
        if (++arrivals_[number] > 1 && arrives_once(level_of(number)))
            failure_ = name_of(level_of(number)) + ": a message arrived twice";
    }

    endpoint_client& c_;
    repetitions repetitions_;
    std::map<std::uint32_t, int> arrivals_;
    std::map<std::uint32_t, bool> expected_; // completed, and not yet received
    std::uint32_t published_ = 0;
    std::uint32_t completed_ = 0;
    std::string failure_;
};

// Closes the transport of a client between any two of its handlers, where no proxy of TCP can cut.
void cut_in_client(endpoint_client& c, messages_with_cuts& messages) {
    std::mt19937 random(1);
    while (messages.publish_some(3)) {
        auto handlers = random() % 12;
        c.until("completion", [&] { return messages.are_completed() || handlers-- == 0; });
        c.client().transport().close();
        c.until("end of the connection", [&] { return !c.client().is_connected(); });
        c.until("new connection", [&] { return c.client().is_connected(); });
    }
    messages.await_completion();
}

void check_cuts(running_endpoint& endpoint, protocol_version version) {
    endpoint_client c(endpoint, version);
    c.keep_subscriptions();
    messages_with_cuts messages(c, endpoint.repeats);
    const other_client other(c.context(), endpoint.port_of_other_client);
    if (endpoint.first_port == 0) {
        c.connect();
        cut_in_client(c, messages);
        messages.finish();
        return;
    }
    proxy network(c.context(), endpoint.first_port, 1);
    network.set_longest_life(endpoint.longest_life);
    c.connect(network.port());
    network.set_faults(proxy::faults::injected);
    c.client().transport().close();
    messages.publish_some(std::numeric_limits<std::uint32_t>::max());
    messages.await_completion();
    network.set_faults(proxy::faults::none);
    messages.finish();
    if (network.totals().cuts() == 0) fail_check("no cuts"); // there are more bytes than any connection lasts for
    c.client().cancel();
    c.until("end", [&] { return !c.client().is_connected(); });
}

} // namespace

void run_check(endpoint_check check, running_endpoint& endpoint, protocol_version version) {
    switch (check) {
    case endpoint_check::small_messages: return check_messages(endpoint, version, 64);
    case endpoint_check::large_messages: return check_messages(endpoint, version, std::size_t{1} << 20U);
    case endpoint_check::restart: return check_restart(endpoint, version);
    case endpoint_check::random_cuts: return check_cuts(endpoint, version);
    }
}

} // namespace interop
