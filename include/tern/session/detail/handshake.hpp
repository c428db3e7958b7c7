// How a session begins: CONNECT, CONNACK and what they agree upon; and how it ends.
#pragma once

#include "tern/session/session.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <system_error>

namespace tern {
namespace detail {

// The reason codes with which only a server disconnects [§3.14.2.1].
constexpr bool is_for_server_only(reason_code code) noexcept {
    switch (code) {
    case reason_code::not_authorized:
    case reason_code::server_busy:
    case reason_code::server_shutting_down:
    case reason_code::bad_authentication_method:
    case reason_code::keep_alive_timeout:
    case reason_code::session_taken_over:
    case reason_code::topic_filter_invalid: return true;
    default: return code >= reason_code::retain_not_supported;
    }
}

} // namespace detail

inline errc session::connect(const connect_options& options, time_point now) {
    now_ = now;
    if (state_ != state::idle) return errc::already_connected;
    if (options.keep_alive.count() < 0 || options.keep_alive.count() > 65'535) return errc::invalid_argument;
    for (const std::chrono::milliseconds timeout : {options.connect_timeout, options.ack_timeout})
        if (timeout.count() < 0 || timeout > std::chrono::years(1)) return errc::invalid_argument;
    if (options.max_in_flight == 0 || options.inbox_limit == 0) return errc::invalid_argument;
    if (options.properties.authentication_method) return errc::authentication_not_supported;

    const tern::connect packet{
        .version = options.version,
        .clean_start = options.clean_start,
        .keep_alive = static_cast<std::uint16_t>(options.keep_alive.count()),
        .client_id = options.client_id,
        .will = options.will,
        .will_delay_interval = options.will_delay_interval,
        .user_name = options.user_name,
        .password = options.password,
        .properties = options.properties,
    };
    const auto length = detail::measure(packet, options.version);
    if (!length) return length.error();
    connect_packet_.resize(detail::with_header(*length));
    detail::write(packet, options.version, *length, connect_packet_.data());

    if (options.clean_start || options.client_id != client_id_) { // [MQTT-3.1.2-4, MQTT-3.1.3-2]
        has_state_ = false;
        receiver_.forget();
    }
    client_id_ = options.client_id;
    version_ = options.version;
    clean_start_ = options.clean_start;
    assume_session_ = options.assume_session;
    resend_ = options.on_ack_timeout == ack_timeout_action::resend;
    keep_alive_interval_ = options.keep_alive;
    ack_timeout_ = options.ack_timeout;
    const bool v5 = options.version == protocol_version::v5;
    max_in_flight_ = options.max_in_flight.value_or(v5 ? std::uint16_t{65'535} : safe_in_flight);
    receive_maximum_ = options.properties.receive_maximum.value_or(65'535);
    topic_alias_maximum_ = options.properties.topic_alias_maximum.value_or(0);
    maximum_packet_size_ = options.properties.maximum_packet_size.value_or(variable_byte_integer_max + 5);
    session_expiry_interval_ = options.properties.session_expiry_interval.value_or(0);
    connect_deadline_ =
        options.connect_timeout.count() == 0 ? time_point::max() : now + options.connect_timeout;
    wants_problem_information_ = options.properties.request_problem_information.value_or(true);
    limits_ = {};
    established_ = false;
    give_up_ = false;
    cause_ = {};
    state_ = state::connecting;
    return errc::none;
}

inline void session::on_connected(time_point now) {
    now_ = now;
    if (state_ != state::connecting) return;
    state_ = state::handshake;
    out_.queue(out_.copy(connect_packet_));
}

inline std::optional<event> session::on_connack(const frame& frame) {
    const bool v5 = version_ == protocol_version::v5;
    auto decoded = decode<connack>(frame, version_);
    if (decoded.error() == errc::unexpected_protocol_version) {
        // A server without this version may refuse it in the form of its own [MQTT-3.1.2-2].
        const auto other = decode<connack>(frame, v5 ? protocol_version::v3_1_1 : protocol_version::v5);
        if (other && is_failure(other->reason_code)) decoded = other;
    }
    if (!decoded) {
        fail(decoded.error());
        return std::nullopt;
    }
    const connack& packet = *decoded;
    if (packet.reason_code != reason_code::success) {
        close(packet.reason_code, true);
        return connected{cause_, packet};
    }

    errc error = errc::none;
    if (packet.session_present && (clean_start_ || (v5 && !has_state_ && !assume_session_)))
        error = errc::unexpected_session_present; // [MQTT-3.2.2-2, MQTT-3.2.2-4]
    if (v5 && client_id_.empty() && !packet.properties.assigned_client_identifier)
        error = errc::missing_assigned_client_id;                                         // [MQTT-3.2.2-16]
    if (packet.properties.authentication_method) error = errc::unexpected_authentication; // [MQTT-4.12.0-6]
    if (error != errc::none) {
        fail(error);
        return std::nullopt;
    }

    if (!packet.session_present) receiver_.forget(); // [MQTT-3.2.2-5]
    if (client_id_.empty()) client_id_ = packet.properties.assigned_client_identifier.value_or("");
    apply_limits(packet.properties);
    aliases_.start(packet.properties.topic_alias_maximum.value_or(0));
    receiver_.start(receive_maximum_, topic_alias_maximum_);
    const std::uint16_t window = std::min(max_in_flight_, packet.properties.receive_maximum.value_or(65'535));
    sender_.start(version_, window, limits_.maximum_packet_size, ack_timeout_, resend_);
    const auto server_keep_alive = packet.properties.server_keep_alive; // [MQTT-3.2.2-21]
    keep_alive_.start(server_keep_alive ? std::chrono::seconds(*server_keep_alive) : keep_alive_interval_,
                      now_);
    session_expiry_interval_ = packet.properties.session_expiry_interval.value_or(session_expiry_interval_);
    keeps_session_ = v5 ? session_expiry_interval_ != 0 : !clean_start_;
    established_ = has_state_ = true;
    state_ = state::connected;
    return connected{{}, packet};
}

inline void session::apply_limits(const connack_properties& properties) {
    limits_.maximum_qos = properties.maximum_qos.value_or(qos::exactly_once);
    limits_.retain = properties.retain_available.value_or(true);
    limits_.wildcards = properties.wildcard_subscription_available.value_or(true);
    limits_.subscription_identifiers = properties.subscription_identifier_available.value_or(true);
    limits_.shared_subscriptions = properties.shared_subscription_available.value_or(true);
    limits_.maximum_packet_size = properties.maximum_packet_size.value_or(variable_byte_integer_max + 5);
}

inline errc session::disconnect(const tern::disconnect& packet, time_point now) {
    now_ = now;
    if (state_ == state::connecting || state_ == state::handshake) {
        close({}, true);
        return errc::none;
    }
    if (state_ != state::connected) return errc::not_connected;
    const auto size = encoded_size(packet, version_);
    if (!size) return size.error();
    if (*size > limits_.maximum_packet_size) return errc::packet_too_large;               // [MQTT-3.2.2-15]
    if (detail::is_for_server_only(packet.reason_code)) return errc::invalid_reason_code; // [MQTT-3.14.2-1]
    if (packet.properties.server_reference) return errc::property_not_allowed;
    const auto expiry = packet.properties.session_expiry_interval;
    if (expiry && *expiry != 0 && session_expiry_interval_ == 0)
        return errc::invalid_property_value; // §3.14.2.2.2
    send(packet);
    if (expiry) keeps_session_ = *expiry != 0;
    close({}, false);
    return errc::none;
}

inline void session::on_disconnected(std::error_code cause, time_point now) {
    now_ = now;
    if (state_ == state::idle || state_ == state::closed) return;
    const bool unsaid = !cause_ && !give_up_ && !out_.empty(); // DISCONNECT was not written
    if (state_ != state::closing || unsaid) cause_ = cause ? cause : violation(errc::closed_by_peer);
    state_ = state::closed;
    out_.drop_pending();
    in_.clear();
    consumed_ = 0;
    if (!established_) return;
    // What is unfinished is given up, and with it the state of the session, unless there was nothing.
    has_state_ = keeps_session_ && sender_.empty();
    if (!has_state_) receiver_.forget();
}

// Ends the connection: at once, or after what is queued has been written.
inline void session::close(std::error_code cause, bool give_up) {
    cause_ = cause;
    give_up_ = give_up;
    state_ = state::closing;
    closing_deadline_ = now_ + closing_time;
}

// Ends the connection because the broker broke a rule, and says so where that is possible [§4.13].
inline void session::fail(errc error) {
    const bool say = version_ == protocol_version::v5 && error != errc::unexpected_protocol_version;
    if (say) send(tern::disconnect{.reason_code = answer_to(error)});
    close(violation(error), !say);
}

} // namespace tern
