// A dialog between a session and a scripted broker on virtual time, line by line:
//
//     DIALOG("QoS 1: PUBLISH, PUBACK [v5:MQTT-4.3.2-3]") {
//         d.open();
//         d.publish(message("a", "x", 1), 7);
//         d.sends(tern::publish{message("a", "x", 1), false, 1});
//         d.broker(tern::puback{1});
//         d.events({done(7)});
//     }
//
// Each dialog runs in both versions. In each, the broker's bytes are delivered packet by packet, byte by byte and as
// many as possible at once, and the client's bytes are written as a whole and one by one. The result must not depend on
// that.
#pragma once

#include "catch.hpp"
#include "tern/session/session.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using namespace std::chrono_literals;

/// An event as the line of text that `dialog::events` compares.
std::string text(const tern::event& e);
std::string text(std::error_code error);
/// The step of an authentication that the owner is asked for.
std::string asked_for(const tern::authentication_request& a);

inline std::error_code error_of(std::error_code error) {
    return error;
}
inline std::error_code error_of(tern::reason_code code) {
    return code;
}
inline std::error_code error_of(tern::errc error) {
    return tern::violation(error);
}

/// A completed operation, with success or an error: a reason code of the broker, or a violation by it.
inline std::string done(unsigned op) {
    return "done " + std::to_string(op);
}
template <class Error>
std::string done(unsigned op, Error error) {
    return done(op) + ": " + text(error_of(error));
}

/// The same for an operation whose outcome is unknown.
inline std::string unknown(unsigned op, tern::errc error = tern::errc::disconnected) {
    return done(op, tern::outcome_unknown(error));
}

/// The final end of the connection, after which the session does not reconnect.
inline std::string over() {
    return "closed";
}
template <class Error>
std::string over(Error error) {
    return "closed: " + text(error_of(error));
}

/// A received message.
std::string got(const tern::message_view& message, bool dup = false);

constexpr tern::message_view message(std::string_view topic, std::string_view payload = "x", unsigned qos = 0) {
    return {.topic = topic, .payload = payload, .qos = static_cast<tern::qos>(qos)};
}
constexpr tern::publish publish_of(std::string_view topic, unsigned qos, tern::packet_id id, bool dup = false) {
    return {message(topic, "x", qos), dup, id};
}

class dialog {
public:
    enum class reading { packets, bytes, at_once };
    enum class writing { whole, bytes };
    bool writes_bytes() const { return writing_ == writing::bytes; }

    dialog(tern::protocol_version v, reading r, writing w) : version(v), reading_(r), writing_(w) {
        options.version = version;
        options.client_id = "c";
        options.maximum_packet_size = tern::packet_size_max; // CONNECT has no property of its own
        options.inbox_limit = 65'535;
        options.reconnect.enabled = false;
        options.refusal_limit = 0; // requests are sent again on every connection, also after many
    }

    bool v5() const { return version == tern::protocol_version::v5; }

    /// Performs the whole handshake: connect, CONNECT, CONNACK.
    void open(tern::connack answer = {});
    /// Performs the handshake up to CONNECT.
    void start();
    /// Performs the same for a further attempt of the session.
    void attempt();
    /// Opens the transport for the pending attempt.
    void connects();

    /// Sets options with which the session outlives its connections and reconnects.
    void resumable();
    /// Performs the next attempt when the session makes it, and requires exactly these events afterwards.
    void reopen(tern::connack answer = {.session_present = true}, std::vector<std::string> events_after = {});
    /// Advances the time until the session has a pending transport action.
    void awaits_attempt();

    // Requests of the user. Each must be accepted.
    void publish(const tern::message_view& message, unsigned op = 0) { accepts(try_publish(message, op)); }
    void subscribe(const std::vector<tern::subscription>& subscriptions, unsigned op = 0) {
        accepts(try_subscribe(subscriptions, {}, op));
    }
    void unsubscribe(const std::vector<std::string_view>& filters, unsigned op = 0) {
        accepts(try_unsubscribe(filters, {}, op));
    }
    void ping(unsigned op = 0) {
        accepts(act([&] { return session.ping(tern::op_id{op}, now); }));
    }
    void reauthenticate(unsigned op = 0) { accepts(try_reauthenticate(op)); }
    void authenticate(std::optional<std::string_view> data = {}) { accepts(try_authenticate(data)); }
    void fail_authentication(std::error_code cause) {
        deliver();
        session.fail_authentication(cause, now);
        poll();
    }
    void disconnect(const tern::disconnect& packet = {}) { accepts(try_disconnect(packet)); }
    /// Releases the message with this index in the order of delivery.
    void release(std::size_t index);

    tern::errc try_connect() {
        return act([&] { return session.connect(options, now); });
    }
    tern::errc try_publish(const tern::message_view& message, unsigned op = 0) {
        return act([&] { return session.publish(message, tern::op_id{op}, now); });
    }
    tern::errc try_publish(const tern::message_view& message, std::chrono::milliseconds time_to_live, unsigned op) {
        return act([&] { return session.publish(message, {.time_to_live = time_to_live}, tern::op_id{op}, now); });
    }
    tern::errc try_subscribe(const std::vector<tern::subscription>& subscriptions,
                             const tern::subscribe_properties& properties = {}, unsigned op = 0) {
        return act([&] { return session.subscribe(subscriptions, properties, tern::op_id{op}, now); });
    }
    tern::errc try_unsubscribe(const std::vector<std::string_view>& filters,
                               const tern::unsubscribe_properties& properties = {}, unsigned op = 0) {
        return act([&] { return session.unsubscribe(filters, properties, tern::op_id{op}, now); });
    }
    tern::errc try_disconnect(const tern::disconnect& packet = {}) {
        return act([&] { return session.disconnect(packet, now); });
    }

    tern::errc try_reauthenticate(unsigned op = 0) {
        return act([&] { return session.reauthenticate(tern::op_id{op}, now); });
    }
    tern::errc try_authenticate(std::optional<std::string_view> data) {
        return act([&] { return session.authenticate(data, now); });
    }

    bool cancel(unsigned op) {
        deliver();
        return session.cancel(tern::op_id{op}, now);
    }
    void drain(unsigned op, std::chrono::milliseconds patience = 1h) {
        accepts(act([&] { return session.drain(tern::op_id{op}, now + patience, now); }));
    }
    void stop(std::error_code cause = {}) {
        deliver();
        session.stop(cause, now);
        poll();
    }

    /// Advances the time and calls the session at its deadlines.
    void pass(std::chrono::milliseconds time);

    /// The broker sends packets or bytes.
    template <class... Packet>
    void broker(const Packet&... packet) {
        (broker_bytes(encoded(packet)), ...);
    }
    void broker_bytes(std::string_view bytes);

    /// Requires that exactly these packets have been written since the last call, or nothing.
    template <class... Packet>
    void sends(const Packet&... packet) {
        std::string expected;
        (expected.append(encoded(packet)), ...);
        sends_bytes(expected);
    }
    void sends_bytes(std::string_view expected);
    /// Writes at most `most` pending bytes and returns all bytes that were written since the last call.
    std::string written(std::size_t most = SIZE_MAX);

    /// Requires exactly these events since the last call.
    void events(const std::vector<std::string>& expected);

    /// Returns the events since the last call.
    std::vector<std::string> events_so_far();

    /// Requires that the session closes the transport and has nothing to write, and closes it.
    void closes();
    bool wants_close() {
        deliver();
        return session.pending_action() == tern::transport_action::close;
    }
    /// Requires that the session is connected and has not closed the connection.
    void stays();
    /// The transport reports the loss of the connection.
    void lost(std::error_code cause = std::make_error_code(std::errc::connection_reset));

    /// Requires that the session reports a violation by the broker: DISCONNECT in 5.0, and the end with this error.
    void fails(tern::errc error, std::vector<std::string> events_before = {});

    template <class Packet>
    std::string encoded(const Packet& packet) const {
        const auto size = tern::encoded_size(packet, version);
        INFO("encoding a packet of type " << static_cast<int>(Packet::type) << ": " << tern::to_string(size.error()));
        REQUIRE(size);
        std::string bytes(*size, '\0');
        REQUIRE(tern::encode(packet, version, bytes));
        return bytes;
    }

    tern::protocol_version version;
    tern::connect_options options;
    tern::session session;
    tern::time_point now{1000h};
    std::vector<tern::message_token> tokens;
    bool tells_all = false; // whether `events` includes the changes of the connection before its end

private:
    template <class F>
    tern::errc act(F request) {
        deliver();
        const tern::errc error = request();
        poll();
        return error;
    }
    static void accepts(tern::errc error) {
        INFO(tern::to_string(error));
        REQUIRE(error == tern::errc::none);
    }
    void deliver();
    void give(std::string_view bytes);
    void poll();

    reading reading_;
    writing writing_;
    std::string undelivered_;
    std::string written_;
    std::vector<std::string> log_;
};

inline const auto connection_reset = std::make_error_code(std::errc::connection_reset);
inline const tern::subscription filter_s{.filter = "s"};
inline const tern::reason_code one_success[1] = {};

inline tern::unsubscribe unsubscribe_of(const std::string_view& filter, tern::packet_id id) {
    return {id, std::span(&filter, 1)};
}
inline tern::filter_ack<tern::packet_type::unsuback> unsuback_of(const dialog& d, tern::packet_id id) {
    return {id, std::span(one_success, d.v5() ? 1 : 0)};
}

void run_dialog(void (*script)(dialog&));

#define DIALOG_NAMED(function, ...)                                                                                    \
    static void function(dialog& d);                                                                                   \
    TEST_CASE(__VA_ARGS__) {                                                                                           \
        run_dialog(function);                                                                                          \
    }                                                                                                                  \
    static void function([[maybe_unused]] dialog& d)
#define DIALOG(...) DIALOG_NAMED(INTERNAL_CATCH_UNIQUE_NAME(dialog_), __VA_ARGS__)
