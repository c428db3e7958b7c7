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
    for (const std::chrono::milliseconds time :
         {options.resolve_timeout, options.connect_timeout, options.connack_timeout, options.ack_timeout,
          options.reconnect.first_delay, options.reconnect.longest_delay})
        if (!detail::is_time(time)) return errc::invalid_argument;
    if (options.reconnect.first_delay.count() == 0 || options.reconnect.longest_delay.count() == 0 ||
        !options.reconnect.classify)
        return errc::invalid_argument;
    if (options.host.empty()) return errc::invalid_argument;
    for (const endpoint& each : options.more_endpoints)
        if (each.host.empty()) return errc::invalid_argument;
    if (options.max_in_flight == 0 || options.inbox_limit == 0 || options.inbox_bytes == 0)
        return errc::invalid_argument;
    if (const errc error = set_connect_packet(options); error != errc::none) return error;
    reconnect_.start(options.reconnect, {options.host, options.port}, options.more_endpoints);

    const bool same_session =
        !options.clean_start && options.client_id == client_id_ && options.version == version_;
    if (!same_session) { // [MQTT-3.1.2-4, MQTT-3.1.3-2]
        forget_session();
        unanswered_ = false;
    }
    sender_.set_version(out_, options.version);
    sender_.queue().set_options(options.queue);
    client_id_ = options.client_id;
    version_ = options.version;
    clean_start_ = options.clean_start;
    assume_session_ = options.assume_session;
    resend_ = options.on_ack_timeout == ack_timeout_action::resend;
    resubscribe_ = options.resubscribe;
    republish_qos_2_ = options.republish_qos_2;
    resolve_timeout_ = options.resolve_timeout;
    connect_timeout_ = options.connect_timeout;
    connack_timeout_ = options.connack_timeout;
    ack_timeout_ = options.ack_timeout;
    const bool v5 = options.version == protocol_version::v5;
    max_in_flight_ = options.max_in_flight.value_or(v5 ? std::uint16_t{65'535} : safe_in_flight);
    begin_attempt();
    over_ = stopping_ = false;
    return errc::none;
}

// Encodes CONNECT, once for all connections.
inline errc session::set_connect_packet(const connect_options& options) {
    if (options.keep_alive.count() < 0 || options.keep_alive.count() > 65'535) return errc::invalid_argument;
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
    keep_alive_interval_ = packet.keep_alive;
    const connect_properties& properties = options.properties;
    receive_maximum_ = properties.receive_maximum.value_or(65'535);
    topic_alias_maximum_ = properties.topic_alias_maximum.value_or(0);
    maximum_packet_size_ = properties.maximum_packet_size.value_or(detail::largest_packet);
    session_expiry_interval_ = wanted_expiry_ = properties.session_expiry_interval.value_or(0);
    wants_problem_information_ = properties.request_problem_information.value_or(true);
    return errc::none;
}

// A later connection goes on with the session of the first one, under the identifier that the broker assigned; and
// with another password, if the application wants it.
inline errc session::rewrite_connect_packet(const connect_overrides& renewed) {
    tern::connect packet = *decode<tern::connect>(next_frame(connect_packet_)->frame, version_);
    if (version_ == protocol_version::v5 && has_state_) packet.clean_start = false;
    packet.client_id = client_id_;
    if (renewed.user_name) packet.user_name = renewed.user_name;
    if (renewed.password) packet.password = renewed.password;
    const auto length = detail::measure(packet, version_);
    if (!length) return length.error();
    std::string bytes(detail::with_header(*length), '\0');
    detail::write(packet, version_, *length, bytes.data());
    connect_packet_ = std::move(bytes);
    clean_start_ = packet.clean_start;
    return errc::none;
}

inline void session::begin_attempt() {
    const endpoint target = reconnect_.target();
    tell({.change = connection_change::connecting,
          .port = target.port,
          .attempt = reconnect_.attempt() + 1,
          .host = target.host});
    reconnect_.on_attempt();
    limits_ = {};
    enter(state::preparing, connection_phase::preparing, {});
}

inline transport_action session::pending_action() const noexcept {
    switch (state_) {
    case state::preparing: return transport_action::prepare;
    case state::opening: return transport_action::open;
    case state::closing: return give_up_ || out_.empty() ? transport_action::close : transport_action::none;
    default: return transport_action::none;
    }
}

inline void session::on_prepared(time_point now) {
    now_ = now;
    if (state_ == state::preparing) enter(state::opening, connection_phase::resolving, {});
}

inline errc session::on_prepared(const connect_overrides& renewed, time_point now) {
    now_ = now;
    if (state_ != state::preparing) return errc::none;
    if (renewed.target && renewed.target->host.empty()) return errc::invalid_argument;
    if (renewed.user_name || renewed.password)
        if (const errc error = rewrite_connect_packet(renewed); error != errc::none) return error;
    if (renewed.target) reconnect_.set_target(*renewed.target);
    on_prepared(now);
    return errc::none;
}

inline void session::set_opening_phase(connection_phase phase) noexcept {
    const auto is_opening = [](connection_phase p) {
        return p == connection_phase::resolving || p == connection_phase::connecting;
    };
    if (is_opening(phase_) && is_opening(phase)) phase_ = phase;
}

inline void session::on_opened(time_point now) {
    now_ = now;
    if (state_ != state::opening) return;
    enter(state::handshake, connection_phase::handshake, connack_timeout_);
    out_.queue(out_.copy(connect_packet_));
    asked_ = true;
    connect_sent_at_ = now;
}

inline bool session::on_connack(const frame& frame, polled_event& next) {
    const bool v5 = version_ == protocol_version::v5;
    auto decoded = decode<connack>(frame, version_);
    if (decoded.error() == errc::unexpected_protocol_version) {
        // A server without this version may refuse it in the form of its own [MQTT-3.1.2-2].
        const auto other = decode<connack>(frame, v5 ? protocol_version::v3_1_1 : protocol_version::v5);
        if (other && is_failure(other->reason_code)) decoded = other;
    }
    if (!decoded) return reject(decoded.error());
    const connack& packet = *decoded;
    if (packet.reason_code != reason_code::success) {
        keep_last_words(packet.properties);
        close(packet.reason_code, true);
        next.emplace<connected>(cause_, packet);
        return true;
    }

    errc error = errc::none;
    const bool may_be_present = !v5 || has_state_ || unanswered_ || assume_session_;
    if (packet.session_present && (clean_start_ || !may_be_present))
        error = errc::unexpected_session_present; // [MQTT-3.2.2-2, MQTT-3.2.2-4]
    if (v5 && client_id_.empty() && !packet.properties.assigned_client_identifier)
        error = errc::missing_assigned_client_id;                                         // [MQTT-3.2.2-16]
    if (packet.properties.authentication_method) error = errc::unexpected_authentication; // [MQTT-4.12.0-6]
    if (error != errc::none) return reject(error);
    agree(packet);
    next.emplace<connected>(std::error_code{}, packet);
    return true;
}

// The broker has accepted the connection: both sides know now what the other can do, and which session it is.
inline void session::agree(const connack& packet) {
    const connack_properties& properties = packet.properties;
    if (!packet.session_present) lost_session_ = true;
    // Of a session that another process has begun, identifiers may be in use: a random one seldom is.
    if (packet.session_present && !has_state_)
        sender_.begin_ids_behind(static_cast<packet_id>(reconnect_.below(65'535) + 1));
    if (client_id_.empty()) client_id_ = properties.assigned_client_identifier.value_or("");
    const detail::publish_limits limits{
        .maximum_qos = properties.maximum_qos.value_or(qos::exactly_once),
        .retain = properties.retain_available.value_or(true),
        .maximum_packet_size = properties.maximum_packet_size.value_or(detail::largest_packet),
    };
    limits_.wildcards = properties.wildcard_subscription_available.value_or(true);
    limits_.subscription_identifiers = properties.subscription_identifier_available.value_or(true);
    limits_.shared_subscriptions = properties.shared_subscription_available.value_or(true);
    limits_.maximum_packet_size = limits.maximum_packet_size;
    const auto keep_alive = properties.server_keep_alive.value_or(keep_alive_interval_); // [MQTT-3.2.2-21]
    keep_alive_.start(detail::keep_alive::seconds(keep_alive), now_);
    session_expiry_interval_ = properties.session_expiry_interval.value_or(wanted_expiry_);

    using detail::sender;
    sender::fate fate = sender::fate::goes_on;
    if (lost_session_) fate = republish_qos_2_ ? sender::fate::lost_republish : sender::fate::lost;
    if (lost_session_) receiver_.forget(); // [MQTT-3.2.2-5]
    aliases_.go_on(properties.topic_alias_maximum.value_or(0));
    receiver_.start(receive_maximum_, topic_alias_maximum_);
    has_state_ = true;
    keeps_session_ = agreed_to_keep();
    out_.trim(); // what CONNECT has needed
    ++connections_;
    round_trip_time_ = now_ - connect_sent_at_;
    enter(state::connected, connection_phase::connected, {});
    const endpoint target = reconnect_.target();
    tell({.change = connection_change::connected,
          .session_present = packet.session_present,
          .port = target.port,
          .host = target.host});
    reconnect_.on_connected(now_);
    const std::uint16_t window = std::min(max_in_flight_, properties.receive_maximum.value_or(65'535));
    sender_.start(out_, {limits, window, resend_, ack_timeout_}, fate, now_);
    sender_.check_requests(out_, [&](std::string_view request) { return check_request(request); });
    if (lost_session_ || unanswered_) renewal_due_ = resubscribe_;
    lost_session_ = unanswered_ = false;
    if (renewal_due_) {
        subscriptions_.rewind();
        renew_subscriptions();
    }
    sender_.resume(out_, now_);
}

// A request that has waited for the connection.
inline errc session::check_request(std::string_view packet) {
    const auto found = next_frame(packet)->frame;
    if (found.type() == packet_type::subscribe)
        return limits_.check(*decode<tern::subscribe>(found, version_));
    forget_filters(packet); // they must not be renewed behind this
    return errc::none;
}

inline errc session::disconnect(const tern::disconnect& packet, time_point now) {
    now_ = now;
    const auto size = encoded_size(packet, version_);
    if (!size) return size.error();
    if (detail::is_for_server_only(packet.reason_code)) return errc::invalid_reason_code; // [MQTT-3.14.2-1]
    if (packet.properties.server_reference) return errc::property_not_allowed;
    if (state_ != state::connected) {
        stop({}, now);
        return errc::none;
    }
    if (*size > limits_.maximum_packet_size) return errc::packet_too_large; // [MQTT-3.2.2-15]
    const auto expiry = packet.properties.session_expiry_interval;
    if (expiry && *expiry != 0 && session_expiry_interval_ == 0)
        return errc::invalid_property_value; // §3.14.2.2.2
    send_acks();
    send(packet);
    if (expiry) keeps_session_ = *expiry != 0;
    stopping_ = true;
    close({}, false);
    return errc::none;
}

inline void session::stop(std::error_code cause, time_point now) {
    now_ = now;
    switch (state_) {
    case state::ending: return;
    case state::idle:
    case state::waiting: return end(cause);
    case state::closing:
        if (!cause) break; // DISCONNECT may still be written
        cause_ = cause;
        give_up_ = true;
        break;
    default: close(cause, true);
    }
    stopping_ = true;
}

inline void session::on_disconnected(std::error_code cause, time_point now) {
    now_ = now;
    if (state_ == state::idle || state_ == state::waiting || state_ == state::ending) return;
    in_.clear(); // already now: if something throws, nothing may be taken for what came on this connection
    const bool unsaid = !cause_ && !give_up_ && !out_.empty(); // DISCONNECT was not written
    if (state_ != state::closing || unsaid) cause_ = cause ? cause : violation(errc::closed_by_peer);
    if (phase_ == connection_phase::connected) lose_connection();
    if (std::exchange(asked_, false) && out_.empty()) unanswered_ = true;
    out_.drop_pending();
    connection_event_view ended{.change = connection_change::disconnected, .phase = phase_, .error = cause_};
    if (last_words_) {
        ended.reason_string = last_words_->reason_string;
        ended.server_reference = last_words_->server_reference;
    }
    tell(ended);
    last_words_.reset();
    const auto wait = stopping_ ? std::nullopt : reconnect_.on_failure(cause_, now);
    if (!wait) return end(cause_);
    state_ = state::waiting; // already now: from here on nothing has to be repeated if there is no memory
    state_deadline_ = now + *wait;
    if (wait->count() == 0) return begin_attempt();
    tell({.change = connection_change::retrying, .attempt = reconnect_.attempt() + 1, .delay = *wait});
}

// An accepted connection is gone; the session may go on.
inline void session::lose_connection() {
    sender_.stop(out_);
    receiver_.stop();
    if (!out_.empty()) keeps_session_ = agreed_to_keep(); // the broker has not got the whole of DISCONNECT
    has_state_ = keeps_session_;
    lost_cause_ = cause_ ? cause_ : misuse(errc::disconnected);
    pings_lost_ = !pings_.empty();
    (void)rewrite_connect_packet({}); // as good as it was
}

// It is over: what is unfinished fails.
inline void session::end(std::error_code cause) {
    cause_ = cause;
    state_ = state::ending;
    state_deadline_ = time_point::max();
    over_ = true;
    sender_.give_up();
}

inline void session::forget_session() {
    has_state_ = false;
    receiver_.forget();
    subscriptions_.clear();
    sender_.forget_session(out_);
}

inline void session::enter(state next, connection_phase phase, std::chrono::milliseconds timeout) {
    state_ = next;
    phase_ = phase;
    give_up_ = false;
    cause_ = {};
    state_deadline_ = timeout.count() == 0 ? time_point::max() : now_ + timeout;
}

// Ends the connection: at once, or after what is queued has been written.
inline void session::close(std::error_code cause, bool give_up) {
    cause_ = cause;
    give_up_ = give_up;
    sender_.close(); // nothing may follow DISCONNECT [MQTT-3.14.4-1]
    state_ = state::closing;
    state_deadline_ = now_ + closing_time;
}

// Ends the connection because the broker broke a rule, and says so where that is possible [§4.13].
inline void session::fail(errc error) {
    const bool say = version_ == protocol_version::v5 && error != errc::unexpected_protocol_version;
    send_acks();
    if (say) send(tern::disconnect{.reason_code = answer_to(error)});
    close(violation(error), !say);
}

} // namespace tern
