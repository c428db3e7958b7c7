// Two clients exchange messages through a broker that is killed repeatedly and a network that cuts connections every
// few milliseconds. No message is lost, and those of QoS 2 arrive exactly once.
//
// Guarantees of the broker. Mosquitto acknowledges messages that it has only in memory. If it is killed at an arbitrary
// moment it loses hundreds of them. With `autosave_on_changes`, which does not count all changes, it still loses some
// and delivers others twice. No client can compensate for that. But a save replaces the file atomically and contains
// all earlier changes. Before each kill, the test therefore stops the traffic, makes the broker save, kills it, and
// discards everything that the broker has sent meanwhile. The restarted broker has a state that is at least as new as
// the clients' knowledge, with messages in flight in all states, so a lost message is the client's fault.
//
// The test avoids three more faults of Mosquitto 2.0.11 that would look like the client's:
// - proxy.hpp describes the first.
// - A restarted broker takes messages beyond `max_inflight_messages` for unsent, even if it has sent PUBREL for them.
//   The limit is therefore high, and the publisher is never more than `window` messages ahead of the subscriber.
// - A session is not saved if its last CONNECT had Clean Start. All clients therefore connect twice before the first
//   kill.
//
// Assertions: each publish completes once and without an error. Each message arrives, those of QoS 2 once, in the order
// of publishing (QoS 1: in the order of their first arrivals). Sessions are never lost.
#include "interop_client.hpp"
#include "proxy.hpp"
#include "tern/testing/run_until.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

namespace {

using namespace interop;
using clock = std::chrono::steady_clock;
using tern::protocol_version;

// The maximum number of messages in flight from publisher to subscriber, for one QoS and version.
constexpr std::uint64_t window = 75;
constexpr const char* configuration = "persistence true\n"
                                      "persistence_location @/\n"
                                      "autosave_interval 0\n"
                                      "max_inflight_messages 10000\n"
                                      "set_tcp_nodelay true\n"
                                      "allow_anonymous true\n";

unsigned environment(const char* name, unsigned default_value) {
    const char* const value = std::getenv(name);
    return value ? static_cast<unsigned>(std::strtoul(value, nullptr, 10)) : default_value;
}

// The size of the test. `./dev soak` sets a duration.
const auto messages = environment("TERN_SOAK_MESSAGES", 20'000); // of each QoS and version
const auto kills = environment("TERN_SOAK_KILLS", 50);
const std::chrono::seconds duration{environment("TERN_SOAK_SECONDS", 0)}; // instead of a number of messages
const auto seed = environment("TERN_SOAK_SEED", 1);

// Some payloads need several reads and writes.
std::string payload_of(std::uint64_t number) {
    return std::to_string(number) + std::string(number % 50 == 0 ? 2'000 : 0, '.');
}

// The messages of one QoS from one client to another.
struct flow {
    qos level;
    std::string topic;
    std::uint64_t sent = 0;
    std::uint64_t arrived = 0;
    std::uint64_t duplicates = 0;
    std::set<std::uint64_t> unacknowledged = {};
};

class route {
public:
    route(test_environment& w, const proxy& network, protocol_version version, std::string& failure)
        : name_(version == v5 ? "5.0" : "3.1.1")
        , failure_(failure)
        , publisher_(w, version, "publisher-" + name_)
        , subscriber_(w, version, "subscriber-" + name_)
        , flows_{flow{qos::at_least_once, w.unique(name_ + "/1")}, flow{qos::exactly_once, w.unique(name_ + "/2")}} {
        for (interop_client* const p : {&publisher_, &subscriber_}) {
            p->options.port = network.port();
            p->options.clean_start = version == v5; // in 5.0 the expiry interval keeps the session
            p->options.properties = keep_session(version);
            p->options.reconnect = {.first_delay = 1ms, .longest_delay = 20ms};
            p->options.max_in_flight = 100;
            p->options.resubscribe = false; // resubscribing would hide a lost session
            p->connects();
        }
        for (const flow& f : flows_)
            subscriber_.subscribes({.filter = f.topic, .max_qos = f.level});
    }

    void start() {
        publish();
        receive();
    }

    /// Publishes no further messages.
    void stop() { is_stopped_ = true; }

    std::uint64_t arrived() const { return flows_[0].arrived + flows_[1].arrived; }

    bool is_done() const {
        for (const flow& f : flows_)
            if ((!is_stopped_ && f.sent != messages) || f.arrived != f.sent || !f.unacknowledged.empty()) return false;
        return true;
    }

    interop_client& publisher() { return publisher_; }
    interop_client& subscriber() { return subscriber_; }

    std::string figures() {
        const auto from = publisher_.client().counters();
        const auto to = subscriber_.client().counters();
        std::string text = name_ + ": ";
        for (const flow& f : flows_)
            text += "QoS " + std::to_string(static_cast<int>(f.level)) + " " + std::to_string(f.sent) + " sent, " +
                    std::to_string(f.arrived) + " arrived, " + std::to_string(f.unacknowledged.size()) +
                    " unacknowledged; ";
        return text + std::to_string(flows_[0].duplicates) + " duplicates, " + std::to_string(from.messages_resent) +
               " resent, connected " + std::to_string(from.connections) + " and " + std::to_string(to.connections) +
               " times\n";
    }

private:
    void fail(const std::string& what) {
        if (failure_.empty()) failure_ = name_ + ": " + what;
    }

    void publish() {
        for (flow& f : flows_)
            while ((duration.count() != 0 || f.sent != messages) && !is_stopped_ && f.sent - f.arrived < window &&
                   f.unacknowledged.size() < window)
                publish_next(f);
    }

    void publish_next(flow& f) {
        const std::uint64_t number = f.sent++;
        f.unacknowledged.insert(number);
        publisher_.client().async_publish({.topic = f.topic, .payload = payload_of(number), .qos = f.level},
                                          [this, &f, number](std::error_code error, const tern::acknowledgement&) {
                                              const std::string which =
                                                  "publish " + f.topic + " " + std::to_string(number);
                                              if (f.unacknowledged.erase(number) == 0) fail(which + " completes twice");
                                              // A CONNECT without an answer leaves the session in doubt: then PUBCOMP
                                              // does not prove that the message has arrived.
                                              const auto in_doubt = tern::outcome_unknown(tern::errc::session_lost);
                                              if (error && (f.level != qos::exactly_once || error != in_doubt))
                                                  return fail(which + ": " + error.message());
                                              publish();
                                          });
    }

    void receive() {
        subscriber_.client().async_receive([this](std::error_code error, const auto& message) {
            if (error) {
                if (!is_done()) fail("receive: " + error.message());
                return;
            }
            for (flow& f : flows_)
                if (message.topic == f.topic) check_message(f, message);
            publish();
            receive();
        });
    }

    void check_message(flow& f, const tern::message& message) {
        std::uint64_t number = 0;
        std::from_chars(message.payload.data(), message.payload.data() + message.payload.size(), number);
        if (message.payload != payload_of(number) || message.qos != f.level)
            fail(f.topic + " differs from the sent message: " + std::string{message.payload.substr(0, 40)});
        else if (number == f.arrived)
            ++f.arrived;
        else if (number < f.arrived && f.level == qos::at_least_once)
            ++f.duplicates;
        else
            fail(f.topic + " " + std::to_string(number) + " instead of " + std::to_string(f.arrived));
    }

    std::string name_;
    std::string& failure_;
    interop_client publisher_;
    interop_client subscriber_;
    std::array<flow, 2> flows_;
    bool is_stopped_ = false;
};

class soak {
public:
    void run() {
        reconnect_all();
        network_.set_faults(proxy::faults::injected);
        for (route* const r : routes_)
            r->start();
        const std::uint64_t step = std::uint64_t{20'000} * 4 / (50 + 1);
        const std::uint64_t all = std::uint64_t{messages} * 4;
        for (auto next_report = start_ + 1min; !is_finished();) {
            const std::uint64_t goal = duration.count() != 0 ? arrived() + step : all * (kills_ + 1) / (kills + 1);
            wait("messages", [&] { return arrived() >= goal; });
            kill_and_restart();
            if (clock::now() > next_report) {
                print_figures();
                next_report += 1min;
            }
        }
        if (duration.count() != 0)
            for (route* const r : routes_)
                r->stop();
        for (route* const r : routes_)
            wait("the last messages", [&] { return r->is_done(); });
        finish();
        print_figures();
    }

private:
    bool is_finished() const { return duration.count() != 0 ? clock::now() - start_ > duration : kills_ == kills; }

    void kill_and_restart() {
        // Clients and proxy run in this thread, so no byte is forwarded while it waits for the broker.
        broker_.save();
        broker_.kill();
        network_.on_broker_killed();
        ++kills_;
        const std::size_t expected_rejections = network_.totals().rejected + kills_ % 4;
        wait("rejected connections", [&] { return network_.totals().rejected >= expected_rejections; });
        broker_.restart();
        network_.on_broker_restarted();
    }

    // Replaces all connections with new ones.
    void reconnect_all() {
        std::array<std::uint64_t, 4> before{};
        for (std::size_t i = 0; i != peers_.size(); ++i)
            before[i] = peers_[i]->client().counters().connections;
        network_.on_broker_killed();
        network_.on_broker_restarted();
        for (std::size_t i = 0; i != peers_.size(); ++i)
            wait("a new connection",
                 [&] { return peers_[i]->is_connected() && peers_[i]->client().counters().connections > before[i]; });
    }

    // Requires that no message or acknowledgement is left, and disconnects.
    void finish() {
        network_.set_faults(proxy::faults::none);
        reconnect_all();
        for (interop_client* const p : peers_)
            p->pings();
        for (const route* const r : routes_)
            CHECK(r->is_done());
        for (interop_client* const p : peers_)
            p->disconnects();
        if (!failure_.empty()) FAIL(failure_);
    }

    std::uint64_t arrived() const { return v3_1_1_route_.arrived() + v5_route_.arrived(); }

    template <class Predicate>
    void wait(std::string_view what, Predicate condition) {
        const bool in_time = tern::testing::run_until(
            environment_.context(), [&] { return !failure_.empty() || condition(); }, std::chrono::seconds(60));
        if (in_time && failure_.empty()) return;
        print_figures();
        if (!failure_.empty()) FAIL(failure_);
        FAIL("timed out waiting for " << what);
    }

    void print_figures() {
        const auto& totals = network_.totals();
        const std::chrono::duration<double> time = clock::now() - start_;
        std::printf("%.1f s, seed %u: %u kills; %zu connections, %zu of them rejected; %zu resets, %zu closes, "
                    "%zu stalls\n",
                    time.count(), seed, kills_, totals.connections, totals.rejected, totals.resets, totals.closes,
                    totals.stalls);
        for (route* const r : routes_)
            std::printf("  %s", r->figures().c_str());
        std::fflush(stdout);
    }

    mosquitto broker_{configuration};
    test_environment environment_{broker_};
    proxy network_{environment_.context(), broker_.port(), seed};
    std::string failure_;
    route v3_1_1_route_{environment_, network_, v3_1_1, failure_};
    route v5_route_{environment_, network_, v5, failure_};
    const std::array<route*, 2> routes_{&v3_1_1_route_, &v5_route_};
    const std::array<interop_client*, 4> peers_{&v3_1_1_route_.publisher(), &v3_1_1_route_.subscriber(),
                                                &v5_route_.publisher(), &v5_route_.subscriber()};
    unsigned kills_ = 0;
    clock::time_point start_ = clock::now();
};

TEST_CASE("3.1.1 and 5.0: no message is lost when connections are cut and the broker is killed [v311:MQTT-4.3.2-1, "
          "v311:MQTT-4.3.3-1, v311:MQTT-4.4.0-1, v311:MQTT-4.6.0-1, v5:MQTT-4.3.2-1, v5:MQTT-4.3.3-1, "
          "v5:MQTT-4.4.0-1, v5:MQTT-4.6.0-1]") {
    soak().run();
}

} // namespace
