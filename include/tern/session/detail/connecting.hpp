// Connecting: from an attempt through CONNECT and CONNACK to a lost connection, and the next one.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/control.hpp"
#include "tern/codec/packet.hpp"
#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/authentication.hpp"
#include "tern/session/detail/careful.hpp"
#include "tern/session/detail/redirecting.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/detail/settings.hpp"
#include "tern/session/detail/subscribe/subscribe.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

class connecting {
public:
    explicit connecting(session_core& core) noexcept : s_(core) {}

    void on_prepared() {
        if (s_.connector.is(connector_step::preparing)) s_.connector.open();
    }
    TERN_COLD errc on_prepared(const connect_overrides& overrides) {
        if (!s_.connector.is(connector_step::preparing)) return errc::none;
        if (overrides.target)
            if (const errc error = check_endpoint(*overrides.target); error != errc::none) return error;
        if (overrides.user_name || overrides.password) {
            if (const errc error = rewrite_connect(overrides); error != errc::none) return error;
            s_.connector.schedule().on_new_credentials();
        }
        if (overrides.target) s_.connector.schedule().override_target(*overrides.target);
        s_.connector.open();
        return errc::none;
    }

    TERN_COLD void on_opened() {
        if (!s_.connector.is(connector_step::opening)) return;
        if (s_.settings.attempt->authentication) return authenticating(s_).begin_connect();
        s_.log().queue(s_.log().copy(s_.settings.connect_packet)); // first: if it throws, nothing has begun
        const auto timeout = s_.settings.connack_timeout;
        s_.connector.begin_handshake(timeout.count() == 0 ? (time_point::max)() : s_.now + timeout);
        connection& link = s_.link.emplace();
        link.connect_sent_at = s_.now;
        link.sending.answered_end = s_.log().queued(); // the end of CONNECT
    }

    /// CONNACK, which is the first packet. Fills in the event, or returns the violation.
    TERN_COLD errc on_connack(frame frame, polled_event& next) {
        const bool v5 = s_.version() == protocol_version::v5;
        auto decoded = decode<connack>(frame, s_.version());
        if (decoded.error() == errc::unexpected_protocol_version) {
            // A server without this version may refuse it in the form of its own [MQTT-3.1.2-2].
            const auto other = decode<connack>(frame, v5 ? protocol_version::v3_1_1 : protocol_version::v5);
            if (other && is_failure(other->reason_code)) decoded = other;
        }
        if (!decoded) return decoded.error();
        connack& packet = *decoded;
        if (!s_.settings.wants_response_information) packet.properties.response_information.reset(); // [MQTT-3.1.2-28]
        if (packet.reason_code != reason_code::success) {
            record_reason(packet.properties);
            s_.close_now(packet.reason_code);
            next.emplace<connected>(s_.connector.cause(), packet);
            return errc::none;
        }
        if (const errc error = check_connack(packet); error != errc::none) return error;
        if (authenticating(s_).hold_connack(packet.properties, next)) return errc::none;
        apply_connack(packet, frame.body);
        next.emplace<connected>(std::error_code{}, packet);
        return errc::none;
    }

    /// DISCONNECT of the broker. Returns a violation, or closes the connection.
    TERN_COLD errc on_disconnect(frame frame) {
        const auto packet = decode<disconnect>(frame, s_.version());
        if (!packet) return packet.error();
        if (s_.version() == protocol_version::v3_1_1) return errc::unexpected_packet;
        if (packet->properties.session_expiry_interval) return errc::property_not_allowed; // [MQTT-3.14.2-2]
        if (packet->reason_code == reason_code::disconnect_with_will_message)
            return errc::invalid_reason_code; // only a client says that [MQTT-3.14.2-1]
        record_reason(packet->properties);
        const bool has_reason = packet->reason_code != reason_code::normal_disconnection;
        s_.close_now(has_reason ? make_error_code(packet->reason_code) : violation(errc::closed_by_peer));
        return errc::none;
    }

    /// The transport is closed. If this throws, it is to be called again.
    TERN_COLD void on_disconnected(std::error_code cause) {
        connector& c = s_.connector;
        if (c.is(connector_step::idle) || c.is(connector_step::waiting) || c.is(connector_step::ending)) return;
        if (s_.link) s_.link->received.clear(); // first: if something throws, nothing of it may be decoded later
        const bool unflushed = c.is(connector_step::flushing) && !c.cause() && !s_.log().empty();
        const bool wanted = c.is(connector_step::flushing) || c.is(connector_step::closing);
        if (!wanted || unflushed) c.set_cause(cause ? cause : violation(errc::closed_by_peer));
        if (s_.link) end_connection();
        report_disconnected();
        const bool is_redirected = c.run() == run_state::running && s_.link && s_.link->reason &&
                                   redirecting(s_).follow(c.cause(), s_.link->reason->server_reference);
        if (s_.link) s_.skips_large_messages = c.cause() == errc::packet_too_large;
        if (s_.link) count_unanswered(*s_.link); // last: this may not be repeated, nor what follows
        if (s_.link && s_.link->sending.has_answers) c.schedule().on_answered();
        s_.count_disconnect();
        s_.link.reset();
        s_.trim();
        if (is_redirected) {
            c.wait_until(s_.now);
            return begin_attempt();
        }
        const auto wait = c.run() == run_state::stopping ? std::nullopt : c.schedule().on_failure(c.cause(), s_.now);
        if (!wait) return end_run(c.cause());
        c.wait_until(s_.now + *wait); // already now: from here on nothing is repeated if an allocation fails
        if (wait->count() == 0) return begin_attempt();
        s_.events.push({.change = connection_change::retrying, .attempt = c.schedule().attempt() + 1, .delay = *wait});
    }

    TERN_COLD void begin_attempt() {
        reconnect_schedule& schedule = s_.connector.schedule();
        const endpoint target = schedule.target();
        s_.events.push({.change = connection_change::connecting,
                        .port = is_unix_socket(target) ? std::uint16_t{0} : target.port,
                        .attempt = schedule.attempt() + 1,
                        .host = shown_host(target)});
        schedule.on_attempt();
        s_.connector.prepare();
    }

    /// No further attempt follows. What is unfinished fails now, one by one as the owner takes events.
    TERN_COLD void end_run(std::error_code cause) noexcept {
        s_.connector.end_run(cause);
        subscriptions().end_run();
        const exchange* const first = s_.lasting.out.exchanges().first();
        s_.fail_cursor = first ? first->id : packet_id{0};
    }

    /// Renews subscriptions, and ends those that the broker should not have, as far as possible now.
    TERN_COLD void request_due_subscriptions() {
        subscriptions().request_due(
            s_.settings.max_renewal_filters, s_.now, [&](std::string_view filter, std::error_code error) {
                s_.events.push({.change = connection_change::subscription_refused, .error = error, .filter = filter});
            });
    }

private:
    // The host of an endpoint in events.
    static std::string_view shown_host(const endpoint& e) noexcept { return is_unix_socket(e) ? e.path : e.host; }

    TERN_COLD errc check_connack(const connack& packet) const noexcept {
        const bool v5 = s_.version() == protocol_version::v5;
        const bool may_be_present = !v5 || s_.lasting.has_session() || s_.settings.assume_session ||
                                    s_.lasting.connect_outcome() == connect_outcome::unknown;
        if (const errc error = authenticating(s_).check_connack(packet.properties); error != errc::none) return error;
        if (!packet.session_present) return errc::none;
        if (s_.settings.clean_start) return errc::session_present_after_clean_start; // [MQTT-3.2.2-2]
        return may_be_present ? errc::none : errc::unexpected_session_present;       // [MQTT-3.2.2-4]
    }

    // The broker has accepted the connection. If this throws, the connection must be closed: the next CONNACK finds the
    // session status `lost`, if it was lost, and goes on with that.
    TERN_COLD void apply_connack(const connack& packet, std::string_view body) {
        lasting_state& lasting = s_.lasting;
        connection& link = *s_.link;
        const connack_properties& properties = packet.properties;
        // In a session that another process has begun, identifiers may be in use. A random one seldom is.
        if (packet.session_present && !lasting.has_session()) renumber_requests();
        if (!packet.session_present || !lasting.has_session()) lasting.mark_session_lost();
        s_.connack_body.emplace(body); // not before the lost session is known
        if (lasting.status() == session_status::kept && lasting.connect_outcome() == connect_outcome::unknown)
            lasting.begin_doubt();
        if (lasting.client_id().empty()) set_client_id(properties.assigned_client_identifier);
        const auto expiry = properties.session_expiry_interval;
        lasting.set_expiry_interval(expiry ? number_of(*expiry) : s_.settings.session_expiry_interval);
        if (lasting.status() == session_status::lost) lasting.in.forget_session(); // [MQTT-3.2.2-5]
        start_connection(link, properties);
        s_.trim(); // CONNECT is seldom needed
        lasting.subscriptions.set_connection(++s_.connections);
        s_.round_trip_time = s_.now - link.connect_sent_at;
        s_.connector.become_connected();
        const endpoint target = s_.connector.schedule().target();
        s_.events.push({.change = connection_change::connected,
                        .session_present = packet.session_present,
                        .port = is_unix_socket(target) ? std::uint16_t{0} : target.port,
                        .host = shown_host(target)});
        s_.connector.schedule().on_connected(s_.now);
        resume_session(link);
    }

    // The client uses the assigned identifier on all later connections. Without one it goes on, and connects without an
    // identifier again [MQTT-3.2.2-16].
    TERN_COLD void set_client_id(std::optional<std::string_view> assigned) {
        if (assigned) return s_.lasting.set_assigned_client_id(*assigned);
        if (s_.version() != protocol_version::v5 || s_.is_missing_id_reported) return;
        s_.events.push({.change = connection_change::client_id_not_assigned,
                        .error = violation(errc::missing_assigned_client_id)});
        s_.is_missing_id_reported = true;
    }

    TERN_COLD void renumber_requests() noexcept {
        lasting_state& lasting = s_.lasting;
        lasting.out.renumber_after(static_cast<packet_id>(s_.connector.schedule().random_below(65'535) + 1));
        lasting.subscriptions.renumber(lasting.out.exchanges());
    }

    TERN_COLD void start_connection(connection& link, const connack_properties& properties) {
        link.sending.limits = broker_limits(properties);
        if (!s_.has_qos_2()) link.sending.limits.lower_maximum_qos(qos::at_least_once);
        link.sending.window = (std::min)(s_.settings.max_in_flight, link.sending.limits.receive_maximum);
        link.sending.ack_timeout = answer_time();
        const bool may_resend = s_.version() == protocol_version::v3_1_1; // [MQTT-4.4.0-1]
        link.sending.when_late = may_resend ? s_.settings.on_ack_timeout : ack_timeout_action::wait;
        const auto keep_alive_time = s_.settings.keep_alive_with(properties.server_keep_alive);
        link.alive.start(std::chrono::duration_cast<keep_alive::seconds>(keep_alive_time), s_.now);
        const bool v5 = s_.version() == protocol_version::v5; // 3.1.1 has no Receive Maximum
        link.receiving.start(s_.lasting.in, v5 ? s_.settings.receive_maximum : UINT32_MAX,
                             v5 ? s_.settings.most_unacknowledged : UINT32_MAX, s_.settings.topic_alias_maximum);
        link.broker_keeps_session = keeps_session();
        link.messages_before = s_.lasting.out.messages_sent();
        const auto own = (std::min)(s_.settings.automatic_topic_aliases, link.sending.limits.topic_alias_maximum);
        if (own != 0) link.sending.aliases.emplace(own, link.sending.limits.maximum_packet_bytes);
    }

    TERN_COLD void resume_session(connection& link) {
        lasting_state& lasting = s_.lasting;
        session_fate fate = session_fate::resumed;
        if (lasting.status() == session_status::lost)
            fate = s_.settings.republish_qos_2 ? session_fate::lost_republish_qos_2 : session_fate::lost;
        resending resend(lasting.out, link.sending);
        resend.start(fate, s_.now);
        subscriptions().start(fate_of_subscriptions(),
                              s_.settings.resubscribe ? lost_subscriptions::renewed : lost_subscriptions::forgotten);
        lasting.mark_session_kept();
        if (careful_mode(s_).start()) return;
        request_due_subscriptions();
        resend.resume(s_.now);
    }

    // After each connection in a row on which no request was answered, answers may take twice the time.
    std::chrono::milliseconds answer_time() const noexcept {
        const auto longest = (std::max)(longest_answer_time, s_.settings.ack_timeout);
        return (std::min)(s_.settings.ack_timeout * (std::int64_t{1} << s_.unanswered_connections), longest);
    }

    subscribing subscriptions() noexcept {
        return {s_.lasting.out, s_.link ? &s_.link->sending : nullptr, s_.lasting.subscriptions};
    }
    subscriptions_fate fate_of_subscriptions() const noexcept {
        if (s_.lasting.status() == session_status::lost) return subscriptions_fate::lost;
        return s_.lasting.connect_outcome() == connect_outcome::unknown ? subscriptions_fate::unknown
                                                                        : subscriptions_fate::kept;
    }

    // Whether the broker keeps the session after this connection.
    bool keeps_session() const noexcept {
        return s_.version() == protocol_version::v5 ? s_.lasting.expiry_interval() != 0 : !s_.settings.clean_start;
    }

    template <class Properties>
    TERN_COLD void record_reason(const Properties& properties) {
        if (is_empty(properties)) return;
        s_.link->reason.emplace(connection_event_view{.reason_string = properties.reason_string.value_or(""),
                                                      .server_reference = properties.server_reference.value_or(""),
                                                      .user_properties = properties.user_properties});
    }

    errc rewrite_connect(const connect_overrides& overrides) {
        return s_.settings.rewrite_connect(overrides, s_.lasting.client_id(), s_.version(),
                                           s_.lasting.status() == session_status::kept);
    }

    void count_unanswered(const connection& link) noexcept {
        constexpr std::uint8_t most = 10; // that is longer than all answers may take
        if (link.sending.has_answers)
            s_.unanswered_connections = 0;
        else if (s_.connector.cause() == errc::acknowledgement_timeout && s_.unanswered_connections != most)
            ++s_.unanswered_connections;
    }

    // The connection is gone. The session may go on.
    TERN_COLD void end_connection() {
        connection& link = *s_.link;
        if (s_.connector.phase() == connection_phase::connected) {
            careful_mode(s_).on_end();
            if (resending(s_.lasting.out, link.sending).has_offered_subscribe()) s_.lasting.in.on_subscribed();
            resending(s_.lasting.out, link.sending).end_connection();
            subscriptions().end_connection();
            link.receiving.end_connection(s_.lasting.in);
            end_pings();
            // If the broker has not received the whole of DISCONNECT, its expiry interval has no effect.
            if (!s_.log().empty()) link.broker_keeps_session = keeps_session();
            s_.lasting.end_connection(link.broker_keeps_session);
            (void)rewrite_connect({});                                 // it was valid before
        } else if (!std::exchange(link.first_packet_received, true) && // only at the first call
                   link.sending.answered_end <= s_.log().written()) {
            s_.lasting.mark_connect_unanswered();
            s_.connector.schedule().on_unanswered_connect();
        }
        s_.log().drop_pending();
    }

    TERN_COLD void end_pings() {
        const std::error_code& cause = s_.connector.cause();
        send_queue& queue = s_.lasting.out.queue();
        queue.reserve_completions(s_.link->alive.unanswered() + 1);
        if (s_.link->authentication) authenticating(s_).end_connection();
        for (op_id op{}; s_.link->alive.next_unanswered(op);)
            queue.add_completion(op, cause ? cause : outcome_unknown(errc::disconnected));
    }

    TERN_COLD void report_disconnected() {
        const endpoint target = s_.connector.schedule().target();
        connection_event_view ended{.change = connection_change::disconnected,
                                    .phase = s_.connector.phase(),
                                    .port = is_unix_socket(target) ? std::uint16_t{0} : target.port,
                                    .host = shown_host(target),
                                    .error = s_.connector.cause()};
        if (s_.link && s_.link->reason) {
            ended.reason_string = s_.link->reason->reason_string;
            ended.server_reference = s_.link->reason->server_reference;
            ended.user_properties = s_.link->reason->user_properties;
        }
        s_.events.push(ended);
    }

    session_core& s_;
};

} // namespace tern::detail
