// The checks of each endpoint, by `any_client`.
#include "endpoint_client.hpp"
#include "endpoints.hpp"
#include "proxy.hpp"
#include "tern/client/any_client_tls.hpp"

#include <asio/io_context.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>

namespace interop {
namespace {

using namespace std::chrono_literals;
using tern::protocol_version;
using tern::qos;

// RabbitMQ answers QoS 2 with PUBACK [MQTT-4.3.3-1]: the message fails with a clear error, and the client goes on.
void check_missing_qos_2(endpoint_client& c) {
    std::optional<std::error_code> outcome;
    c.client().async_publish({.topic = "another/topic", .payload = "1", .qos = qos::exactly_once},
                             [&](std::error_code error, const auto&) { outcome = error; });
    c.until("end of QoS 2", [&] { return outcome.has_value(); });
    if (*outcome != tern::outcome_unknown(tern::errc::unexpected_acknowledgement))
        fail_check("QoS 2 ends with another error: " + outcome->message());
    c.until("connection after QoS 2", [&] { return c.client().is_connected(); });
}

void check_messages(running_endpoint& endpoint, protocol_version version, std::size_t bytes) {
    endpoint_client c(endpoint, version);
    c.connect();
    const other_client other(c.context(), endpoint.port_of_other_client);
    c.echo_each_qos(bytes);
    if (endpoint.levels.back() != qos::exactly_once) {
        check_missing_qos_2(c);
        c.await_renewal();
        c.echo_each_qos(bytes);
    }
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
    messages_with_cuts(endpoint_client& c, const running_endpoint& of) : c_(c), endpoint_(of) {}

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

    qos level_of(std::uint32_t number) const {
        return number == count ? qos::at_least_once : endpoint_.levels[number % endpoint_.levels.size()];
    }
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
        if (level == qos::exactly_once) return endpoint_.repeats == repetitions::with_dup;
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
    const running_endpoint& endpoint_;
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
    messages_with_cuts messages(c, endpoint);
    const other_client other(c.context(), endpoint.port_of_other_client);
    if (endpoint.first_port == 0) {
        c.connect();
        cut_in_client(c, messages);
        messages.finish();
        return;
    }
    proxy network(c.context(), endpoint.first_port, 1);
    network.set_longest_life(endpoint.longest_life);
    c.connect({}, network.port());
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
    case endpoint_check::retained: return check_retained(endpoint, version);
    case endpoint_check::will: return check_will(endpoint, version);
    case endpoint_check::session: return check_session(endpoint, version);
    case endpoint_check::order: return check_order(endpoint, version);
    case endpoint_check::subscriptions: return check_subscriptions(endpoint, version);
    case endpoint_check::refusal: return check_refusal(endpoint, version);
    case endpoint_check::restart: return check_restart(endpoint, version);
    case endpoint_check::random_cuts: return check_cuts(endpoint, version);
    }
}

} // namespace interop
