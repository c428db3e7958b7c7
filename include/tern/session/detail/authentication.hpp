// Enhanced authentication [§4.12]: exchanges of AUTH before CONNACK, and on a connection that is to be authenticated
// again. The owner of the session answers each step, at once or later. The broker must do so within a time limit, too.
//
//     step        waits for                               leads to
//     idle        `reauthenticate`                        starting
//     starting    the owner to poll                       beginning, with the request `begin`
//     beginning   the owner's data                        requested: CONNECT, or AUTH 0x19 [MQTT-4.12.1-1]
//     requested   AUTH 0x18                               answering, with the request `answer`
//                 CONNACK; AUTH 0x00                      verifying, with the request `verify`
//     answering   the owner's data                        answered: AUTH 0x18 [MQTT-4.12.0-3]
//     answered    as `requested`
//     verifying   the owner                               connecting: verified; otherwise ended
//     verified    the owner to poll, then CONNACK applies idle
//     ended       the owner to poll                       idle, and the operation completes
//
//     a step before `verified`  --the owner fails, the time is over-->  failing; nothing was sent for
//                                                                        re-authentication: ended
//     failing     the owner to poll                       DISCONNECT, and the connection is closed [MQTT-4.12.1-2]
//
// AUTH in another step than `requested` or `answered`, with another method, with 0x19, or with 0x00 before CONNACK
// violates the protocol. While the broker waits for an answer, it has not accepted CONNECT: whether it did is in doubt
// again when the answer is written (`answered_end`). A CONNACK that succeeds stays in the receive buffer, and nothing
// is read behind it, until the owner has accepted the broker: an impostor gets nothing but AUTH.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/control.hpp"
#include "tern/codec/packet.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/authentication.hpp"
#include "tern/session/detail/authentication_state.hpp"
#include "tern/session/detail/send/late_state.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <chrono>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

class authenticating {
public:
    using step = authentication_progress;

    explicit authenticating(session_core& core) noexcept : s_(core) {}

    /// The transport is open, and CONNECT has a method. CONNECT waits for the owner's data.
    TERN_COLD void begin_connect() {
        connection& link = s_.link.emplace();
        link.authentication.emplace();
        link.sending.answered_end = nothing_sent;
        restart();
    }

    /// The application renews the authentication of the connection, one exchange at a time.
    TERN_COLD errc reauthenticate(op_id op) noexcept {
        if (op == own_request) return errc::invalid_argument;
        if (s_.version() == protocol_version::v3_1_1) return errc::requires_v5;
        if (!s_.is_connected()) return errc::not_connected;
        if (!s_.link->authentication) return errc::authentication_not_supported;
        authentication_state& state = *s_.link->authentication;
        if (!state.is_idle()) return errc::authentication_in_progress;
        state = {.op = op, .answer_limit = s_.now + longest_answer_time};
        return errc::none;
    }

    /// Withdraws a re-authentication of which nothing was sent.
    TERN_COLD bool cancel(op_id op) noexcept {
        if (!s_.link || !s_.link->authentication) return false;
        authentication_state& state = *s_.link->authentication;
        if (state.op != op || (state.step != step::starting && state.step != step::beginning)) return false;
        state = {.step = step::idle};
        return true;
    }

    /// The owner answers the last request. An answer for which it was not asked is ignored. If there is an error, the
    /// step goes on.
    TERN_COLD errc answer(std::optional<std::string_view> data) {
        if (!awaits_owner()) return errc::none;
        authentication_state& state = *s_.link->authentication;
        switch (state.step) {
        case step::beginning: {
            const errc error = is_connecting() ? send_connect(data) : send_auth(reason_code::re_authenticate, data);
            if (error != errc::none) return error;
            enter(step::requested);
            return errc::none;
        }
        case step::answering: {
            const errc error = send_auth(reason_code::continue_authentication, data);
            if (error == errc::none) enter(step::answered);
            return error;
        }
        default: // verifying
            if (is_connecting())
                enter(step::verified);
            else
                end({});
            return errc::none;
        }
    }

    /// The owner cannot answer, or does not accept the broker. The connection is closed when it polls.
    TERN_COLD void fail(std::error_code cause) noexcept {
        if (!awaits_owner()) return;
        if (s_.link->authentication->step == step::beginning) return withdraw(cause);
        s_.link->authentication->step = step::failing;
        s_.link->authentication->error = cause;
    }

    /// Does what waits for the owner to poll. Returns whether that is an event.
    TERN_COLD bool next(polled_event& next) {
        authentication_state& state = *s_.link->authentication;
        if (s_.link->sending.state >= send_state::leaving && state.step != step::ended) return false;
        switch (state.step) {
        case step::starting:
            enter(step::beginning);
            request(next, authentication_stage::begin, {});
            return true;
        case step::failing: close(state.error); return false;
        case step::ended: {
            const op_id op = std::exchange(state.op, op_id::none);
            state.step = step::idle;
            if (op != op_id::none) next.emplace<completed>(op, state.error);
            return op != op_id::none;
        }
        default: return false;
        }
    }

    /// AUTH of the broker. Fills in the request, or returns the violation.
    TERN_COLD errc on_auth(const frame& frame, polled_event& next) {
        if (s_.version() == protocol_version::v3_1_1) return errc::invalid_packet_type;
        connection& link = *s_.link;
        if (!link.authentication || !link.authentication->awaits_broker()) return errc::unexpected_authentication;
        const auto decoded = decode<auth>(frame, s_.version());
        if (!decoded) return decoded.error();
        const auth& packet = *decoded;
        const bool succeeds = packet.reason_code == reason_code::success;
        const bool is_expected = succeeds ? !is_connecting() : packet.reason_code != reason_code::re_authenticate;
        if (!is_expected) return errc::unexpected_authentication;
        // AUTH may be empty [§3.15.2.1]. Otherwise it has the method of CONNECT [MQTT-4.12.0-5].
        if (packet.properties.authentication_method.value_or(method()) != method())
            return errc::unexpected_authentication;
        if (!s_.settings.wants_problem_information &&
            (packet.properties.reason_string || !packet.properties.user_properties.empty()))
            return errc::unwanted_problem_information; // [MQTT-3.1.2-29]
        if (is_connecting()) {
            link.first_packet_received = false; // that is CONNACK
            link.sending.answered_end = nothing_sent;
        }
        enter(succeeds ? step::verifying : step::answering);
        request(next, succeeds ? authentication_stage::verify : authentication_stage::answer, packet.properties);
        return errc::none;
    }

    /// Why a CONNACK that succeeds has not the method of CONNECT [MQTT-4.12.0-5, MQTT-4.12.0-6].
    TERN_COLD errc check_connack(const connack_properties& properties) const noexcept {
        const auto& authentication = s_.link->authentication;
        if (!authentication) return properties.authentication_method ? errc::unexpected_authentication : errc::none;
        if (!properties.authentication_method) return errc::missing_authentication_method;
        const bool is_expected = authentication->awaits_broker() || authentication->step == step::verified;
        return is_expected && *properties.authentication_method == method() ? errc::none
                                                                            : errc::unexpected_authentication;
    }

    /// CONNACK succeeds. Returns whether it waits until the owner has accepted the broker, which the event asks for.
    TERN_COLD bool hold_connack(const connack_properties& properties, polled_event& next) {
        if (!s_.link->authentication) return false;
        if (s_.link->authentication->step == step::verified) {
            *s_.link->authentication = {.step = step::idle};
            return false;
        }
        s_.link->first_packet_received = false; // whether the session goes on is not known before
        enter(step::verifying);
        auth_properties copied{.authentication_data = properties.authentication_data,
                               .reason_string = properties.reason_string,
                               .user_properties = properties.user_properties};
        request(next, authentication_stage::verify, copied);
        return true;
    }

    // ---- time

    /// When the step of a re-authentication is late. What is not read cannot be late.
    static time_point deadline(const session_core& s) noexcept {
        const auto& authentication = s.link->authentication;
        if (!authentication || authentication->is_idle()) return (time_point::max)();
        const bool runs = authentication->awaits_owner() || (authentication->awaits_broker() && s.is_reading());
        return runs ? authentication->deadline : (time_point::max)();
    }
    /// The time of the step begins again.
    TERN_COLD void restart() noexcept {
        if (is_connecting()) return s_.connector.begin_handshake(step_end());
        s_.link->authentication->deadline = step_end();
        s_.link->authentication->bytes_received = s_.bytes_received;
    }
    /// The step has lasted too long. On a slow link the answer may be behind messages that arrive meanwhile.
    TERN_COLD void on_deadline() {
        authentication_state& state = *s_.link->authentication;
        const bool extends = !is_connecting() && state.awaits_broker() && s_.now < state.answer_limit &&
                             state.bytes_received != s_.bytes_received;
        if (extends) return restart();
        if (state.step == step::beginning)
            return withdraw(is_connecting() ? violation(errc::authentication_timeout)
                                            : misuse(errc::authentication_timeout));
        if (awaits_connack()) return s_.close_now(violation(errc::connack_timeout));
        close(violation(errc::authentication_timeout));
    }

    // ---- the end

    /// The owner takes no messages, and the answer may be behind them. The exchange goes on without its operation.
    /// There is room for its completion.
    TERN_COLD void end_unreadable() noexcept {
        authentication_state& state = *s_.link->authentication;
        if (state.awaits_broker()) complete(outcome_unknown(errc::inbox_full));
    }
    /// The connection is lost. There is room for the completion.
    TERN_COLD void end_connection() noexcept {
        authentication_state& state = *s_.link->authentication;
        const std::error_code& cause = s_.connector.cause();
        const bool is_unsent = state.step == step::starting || state.step == step::beginning;
        const std::error_code lost = is_unsent ? misuse(errc::disconnected) : outcome_unknown(errc::disconnected);
        complete(state.step == step::ended ? state.error : cause ? cause : lost);
    }

private:
    static constexpr packet_log::position nothing_sent = (std::numeric_limits<packet_log::position>::max)();

    bool is_connecting() const noexcept { return s_.link->sending.state == send_state::awaiting_connack; }
    bool awaits_owner() const noexcept {
        if (!s_.link || !s_.link->authentication || !s_.link->authentication->awaits_owner()) return false;
        return is_connecting() || s_.is_connected();
    }
    std::string_view method() const noexcept { return s_.settings.attempt->authentication->method; }

    bool awaits_connack() const noexcept { return is_connecting() && s_.link->authentication->step == step::requested; }
    // On a connection, the bytes before the packet may take their time.
    time_point step_end() const noexcept {
        const auto time = awaits_connack() ? s_.settings.connack_timeout : s_.settings.attempt->authentication->timeout;
        if (time.count() == 0) return (time_point::max)();
        const auto ahead =
            is_connecting() ? std::chrono::milliseconds{0} : time_to_pass(s_.log().written(), s_.log().queued());
        return s_.now + time + ahead;
    }
    void enter(step next) noexcept {
        s_.link->authentication->step = next;
        restart();
    }

    TERN_COLD void request(polled_event& next, authentication_stage stage, const auth_properties& from) const {
        authentication_request& asked = next.emplace<authentication_request>();
        asked.stage = stage;
        asked.purpose = is_connecting() ? authentication_purpose::connect : authentication_purpose::reauthenticate;
        asked.method = method();
        asked.data = from.authentication_data;
        asked.reason_string = from.reason_string;
        asked.user_properties = from.user_properties;
    }

    // Without data CONNECT has that of the options.
    TERN_COLD errc send_connect(std::optional<std::string_view> data) {
        tern::connect packet = *decode<tern::connect>(next_frame(s_.settings.connect_packet)->frame, s_.version());
        if (data) packet.properties.authentication_data = data;
        const auto length = measure(packet, s_.version());
        if (!length) return length.error();
        s_.log().queue(s_.log().encode(packet, s_.version(), *length));
        s_.link->connect_sent_at = s_.now;
        s_.link->sending.answered_end = s_.log().queued();
        return errc::none;
    }
    TERN_COLD errc send_auth(reason_code code, std::optional<std::string_view> data) {
        const auth packet{.reason_code = code,
                          .properties = {.authentication_method = method(), .authentication_data = data}};
        const auto size = encoded_size(packet, s_.version());
        if (!size) return size.error();
        if (const errc error = s_.link->sending.limits.check_size(*size); error != errc::none) return error;
        s_.send(packet);
        if (is_connecting()) s_.link->sending.answered_end = s_.log().queued();
        return errc::none;
    }

    // Nothing was sent. DISCONNECT must not be the first packet [MQTT-3.1.0-1].
    TERN_COLD void withdraw(std::error_code cause) noexcept { is_connecting() ? s_.close_now(cause) : end(cause); }
    // CONNECT was sent, so that DISCONNECT may follow [MQTT-3.1.2-30].
    TERN_COLD void close(std::error_code cause) {
        const bool is_violation = cause.category() == protocol_category();
        s_.send(tern::disconnect{.reason_code = is_violation ? answer_to(static_cast<errc>(cause.value()))
                                                             : reason_code::unspecified_error});
        s_.close_after_flush(cause);
    }

    void end(std::error_code error) noexcept {
        s_.link->authentication->step = step::ended;
        s_.link->authentication->error = error;
    }
    void complete(std::error_code error) noexcept {
        const op_id op = std::exchange(s_.link->authentication->op, op_id::none);
        if (op != op_id::none) s_.lasting.out.queue().add_completion(op, error);
    }

    session_core& s_;
};

} // namespace tern::detail
