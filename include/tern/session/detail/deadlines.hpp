// The deadlines of a session: when something is due, and what follows.
//
//     clock                        runs                              restarted by              its end
//     opening                      in the transport                  -                         the next attempt
//     CONNACK                      step handshake                    -                         the connection ends
//     authentication               a step that awaits the owner, or  each step                 the connection ends
//                                  the broker while reading
//     PINGREQ (keep_alive.hpp)     while connected                   bytes sent, received      PINGREQ
//     PINGRESP (keep_alive.hpp)    reading, PINGREQ is written       bytes received            the connection ends
//     a stalled peer (the same)    connected, bytes wait             bytes taken               the connection ends
//     answers (late_answers.hpp)   reading, a request is written     answers to older ones     PINGREQ, and more
//     unused memory                connected without PINGREQ         any call                  it is freed
//     an owner that is full        a message that it cannot take     a message that it takes   operations: `inbox_full`
//     messages before DISCONNECT   the application leaves            -                         DISCONNECT
//     DISCONNECT to be written     step flushing                     -                         the connection ends
//     a control connection         careful mode                      -                         a request is abandoned
//     the next attempt             step waiting                      -                         the attempt
//     time to live, drains         always                            -                         the operation ends
//
// Reading stops (session_core.hpp, `is_reading`) while the owner has no room and nothing waits for an answer; in front
// of a QoS 1 or 2 message for which a full owner has no room; and while too many bytes of acknowledgements wait to be
// written. What is not read cannot be late.
//
// A connection ends by one of these clocks, by a violation, by the peer, by the transport, by DISCONNECT or `stop`, and
// if an allocation fails.
//
// A deadline that the owner finds more than a second late means that the client did not run: a blocked thread, a
// suspended machine. The clocks of the connection then begin again, and PINGREQ goes out at once.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/authentication.hpp"
#include "tern/session/detail/careful.hpp"
#include "tern/session/detail/connecting.hpp"
#include "tern/session/detail/leaving.hpp"
#include "tern/session/detail/send/late_answers.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/detail/subscribe/subscribe.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <system_error>

namespace tern::detail {

class deadlines {
public:
    explicit deadlines(session_core& core) noexcept : s_(core) {}

    /// When the next one is.
    static time_point next(const session_core& s) noexcept {
        const time_point always = (std::min)(s.lasting.out.queue().deadline(), s.drains.next_deadline());
        if (!s.is_connected()) return s.awaits_close() ? always : (std::min)(always, s.connector.deadline());
        const connection& link = *s.link;
        const time_point late = late_answers::deadline(s.lasting.out, link.sending);
        const time_point other = link.is_blocked ? link.blocked->deadline : s.is_reading() ? late : (time_point::max)();
        const time_point control = link.careful ? link.careful->control_until : (time_point::max)();
        const time_point authentication = authenticating::deadline(s);
        return (std::min)({always, control, s.next_message_deadline(), next_answer(s), other, authentication});
    }

    /// Does what is due.
    TERN_COLD void run(time_point now) {
        const bool is_quiet = s_.is_connected() && now >= s_.trim_due();
        s_.enter(now);
        if (is_quiet) s_.trim();
        send_queue& queue = s_.lasting.out.queue();
        if (s_.now >= queue.deadline()) queue.on_deadline(s_.log(), s_.now);
        if (s_.is_connected()) return run_connected();
        if (s_.now < s_.connector.deadline()) return;
        const std::error_code& cause = s_.connector.cause();
        switch (s_.connector.step()) {
        case connector_step::handshake:
            if (s_.link->authentication) return check_authentication(s_.connector.deadline());
            if (is_much_later(s_.connector.deadline()))
                return s_.connector.begin_handshake(s_.now + s_.settings.connack_timeout);
            return s_.close_now(violation(errc::connack_timeout));
        case connector_step::waiting: return connecting(s_).begin_attempt();
        case connector_step::connected: return leaving(s_).go_on();
        case connector_step::flushing: // DISCONNECT was not written
            if (s_.log().empty()) return;
            return s_.close_now(cause ? cause : std::make_error_code(std::errc::timed_out));
        default: return;
        }
    }

private:
    // When PINGRESP or another answer is due.
    static time_point next_answer(const session_core& s) noexcept {
        return s.is_reading() ? (std::min)(dead_at(s), s.link->sending.answer_due()) : (time_point::max)();
    }
    static time_point dead_at(const session_core& s) noexcept {
        return s.link->alive.dead_at(s.link->sending.answered_end, s.settings.ack_timeout);
    }

    bool is_much_later(time_point deadline) const noexcept {
        return deadline != (time_point::max)() && s_.now - deadline > std::chrono::seconds(1);
    }

    TERN_COLD void run_connected() {
        connection& link = *s_.link;
        s_.update_reading();
        if (is_much_later((std::min)(link.alive.ping_due(), next_answer(s_)))) {
            link.alive.restart(s_.now);
            link.sending.restart_clock(s_.now);
            if (link.alive.ping_due() != (time_point::max)()) s_.send_ping(op_id::none);
        }
        const bool bytes_wait = !s_.log().empty();
        if (s_.now >= link.alive.stalled_at(bytes_wait) && link.alive.on_stall_deadline(s_.now))
            return s_.close_now(violation(errc::ping_timeout));
        if (s_.is_reading()) {
            if (s_.now >= dead_at(s_)) return s_.close_now(violation(errc::ping_timeout));
            check_answers();
        } else if (link.is_blocked && s_.now >= link.blocked->deadline) {
            end_unreadable();
        }
        if (s_.is_connected()) check_authentication(authenticating::deadline(s_));
        if (link.careful && s_.is_connected() && s_.now >= link.careful->control_until)
            careful_mode(s_).on_control_deadline();
        if (!s_.is_connected() || s_.now < link.alive.ping_due()) return;
        s_.trim(); // the connection is quiet
        s_.send_ping(op_id::none);
    }

    TERN_COLD void check_authentication(time_point deadline) {
        if (s_.now < deadline) return;
        is_much_later(deadline) ? authenticating(s_).restart() : authenticating(s_).on_deadline();
    }

    TERN_COLD void check_answers() {
        connection& link = *s_.link;
        if (s_.now < late_answers::deadline(s_.lasting.out, link.sending)) return;
        late_answers late(s_.lasting.out, link.sending);
        const auto repeat = [&](const exchange& e) {
            subscribing(s_.lasting.out, &link.sending, s_.lasting.subscriptions).repeat(e);
            link.sending.has_room = true; // the next poll sends it
        };
        switch (late.on_deadline(s_.now, repeat)) {
        case late_result::wait: return;
        case late_result::report:
            return s_.events.push(
                {.change = connection_change::answer_late, .error = violation(errc::acknowledgement_timeout)});
        case late_result::close: return s_.close_for_violation(errc::acknowledgement_timeout);
        case late_result::probe: break;
        }
        const std::size_t others = link.alive.unanswered();
        const exchange& watched = s_.lasting.out.exchanges().slot_of(link.sending.watched);
        if (others != 0 && link.alive.ping_end() >= watched.end)
            return late.on_probe_sent(link.alive.ping_end(), others - 1);
        s_.send_ping(op_id::none);
        late.on_probe_sent(link.alive.ping_end(), others);
    }

    // The owner has taken nothing for so long that the operations behind it end.
    TERN_COLD void end_unreadable() {
        connection& link = *s_.link;
        blocked_state& blocked = *link.blocked;
        send_queue& queue = s_.lasting.out.queue();
        late_answers(s_.lasting.out, link.sending).end_unreadable(blocked.since, blocked.number, s_.now);
        queue.reserve_completions(link.alive.unanswered() + 1);
        if (link.authentication) authenticating(s_).end_unreadable();
        link.alive.end_operations([&](op_id op) { queue.add_completion(op, outcome_unknown(errc::inbox_full)); });
        blocked.deadline = s_.now + s_.settings.ack_timeout;
        blocked.number = queue.next_number();
    }

    session_core& s_;
};

} // namespace tern::detail
