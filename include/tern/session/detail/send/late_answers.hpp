// Answers that do not come: the procedure that runs when the clock of the watched exchange has run out.
//
//     watched, no answer for `ack_timeout`   a PINGREQ follows as a probe
//     PINGRESP to the probe has come         3.1.1, PUBLISH or PUBREL: sent again, and the exchange is late
//                                            otherwise: `ack_timeout` begins again
//     no answer for another `ack_timeout`    no request was answered on this connection: the connection ends
//                                            otherwise: the exchange is late
//     late                                   PUBLISH: an event; 3.1.1: sent again, each time after twice the time
//                                            SUBSCRIBE, UNSUBSCRIBE: the operation ends
//     late for `longest_answer_time`         the operation ends, the exchange goes on
//                                            a request of the session itself: it is repeated
//     such exchanges fill half the window    the connection ends, and the session resumes on the next one
//
// A late exchange is no longer watched. If PINGRESP does not come, keep_alive.hpp ends the connection.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/send/outgoing.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace tern::detail {

/// What follows for the connection.
enum class late_result : std::uint8_t {
    wait,   ///< it goes on
    report, ///< the same, and messages have become late
    probe,  ///< PINGREQ is to be sent, then `on_probe_sent` to be called
    close,  ///< it must end
};

class late_answers {
public:
    late_answers(outgoing& out, transmission& link) noexcept : out_(out), link_(link) {}

    /// The next time at which `on_deadline` is to be called.
    static time_point deadline(const outgoing& out, const transmission& link) noexcept {
        const bool is_late = link.late && !out.exchanges().empty();
        return is_late ? (std::min)(link.answer_due(), link.late->deadline) : link.answer_due();
    }

    /// Calls `repeat(exchange)` for each request of the session itself that has waited for too long.
    template <class Repeat>
    TERN_COLD late_result on_deadline(time_point now, Repeat repeat) {
        const late_result result = check_watched(now);
        if (result == late_result::close || !link_.late || now < link_.late->deadline) return result;
        const late_result of_late = check_late(now, repeat);
        return result == late_result::probe && of_late != late_result::close ? result : (std::max)(result, of_late);
    }

    /// PINGREQ was queued up to this position. Before its PINGRESP come this number of others.
    TERN_COLD void on_probe_sent(packet_log::position end, std::size_t others) {
        late_state& late = link_.late ? *link_.late : link_.late.emplace();
        late.probe = probe_state::sent;
        late.probe_end = end;
        late.pings_before_probe = static_cast<std::uint32_t>(others);
    }

    /// PINGRESP has come.
    TERN_COLD void on_pingresp(time_point now) {
        if (!link_.late || link_.late->probe != probe_state::sent) return;
        late_state& late = *link_.late;
        if (late.pings_before_probe-- != 0) return;
        late.probe = probe_state::answered;
        link_.answered_at = now;
        link_.answered_end = (std::max)(link_.answered_end, late.probe_end);
        if (link_.watched == 0) return;
        link_.ack_deadline = link_.when_late == ack_timeout_action::resend ? now : now + link_.ack_timeout;
    }

    /// The owner takes no message, and has not since this time: the answers behind it cannot be read. Ends the
    /// operations that have waited for `ack_timeout` since then. Their exchanges go on. A packet that waits to be
    /// written can not be taken back, because the owner may be writing it: its time begins when that is done, or when a
    /// request has had its turn in careful mode. `number`: of the first queued message that has come later.
    TERN_COLD void end_unreadable(time_point since, std::uint64_t number, time_point now) {
        out_.queue().reserve_completions(out_.exchanges().size() + out_.queue().size());
        for (const exchange* e = out_.exchanges().first(); e; e = out_.exchanges().next(*e)) {
            if (e->op == op_id::none || e->op == own_request) continue;
            const bool is_unwritten = e->is_sent() ? e->end > out_.log().written() : !e->was_offered();
            if (is_unwritten || (std::max)(since, e->sent_at) + link_.ack_timeout > now) continue;
            out_.queue().add_completion(out_.abandon(*e), outcome_unknown(errc::inbox_full));
        }
        out_.queue().check_all(out_.log(), [&](const queued_message& m) {
            const bool waits = m.number < number && m.op != op_id::none && qos_of(out_.log().bytes(m.packet)) != qos{};
            return waits ? errc::inbox_full : errc::none;
        });
    }

private:
    TERN_COLD late_result check_watched(time_point now) {
        late_result result = late_result::wait;
        while (now >= link_.answer_due()) {
            const exchange* const e = out_.exchanges().at(link_.watched);
            if (e->is_withheld()) { // it has no answer
                link_.watch_next(*e);
                continue;
            }
            // Not later, because it may be sent by then, or an answer to a large packet may make it due earlier.
            link_.ack_deadline = now + link_.ack_timeout;
            if (!e->is_sent() || (link_.late && link_.late->probe == probe_state::sent)) return result;
            if (e->end > out_.log().written()) out_.mark_written(*e, now); // it is not even written
            const bool is_probed =
                link_.late && link_.late->probe == probe_state::answered && e->end <= link_.late->probe_end;
            const bool resends = is_probed && link_.when_late == ack_timeout_action::resend && !e->is_request();
            const time_point due = resends ? e->sent_at + link_.ack_timeout : due_at(*e);
            if (now < due) {
                link_.ack_deadline = (std::min)(link_.ack_deadline, due);
                return result;
            }
            if (!is_probed) return late_result::probe;
            if (!resends && !link_.has_answers) return late_result::close;
            link_.watch_next(*e);
            if (make_late(*e, resends, now)) result = late_result::report;
            link_.ack_deadline = now; // the next one may be late, too
        }
        return result;
    }

    time_point due_at(const exchange& e) const noexcept {
        return (std::max)(e.sent_at, link_.answered_at) + link_.ack_timeout + time_to_pass(link_.answered_end, e.end);
    }

    // Returns whether the exchange is to be reported.
    TERN_COLD bool make_late(const exchange& e, bool resends, time_point now) {
        late_state& late = *link_.late;
        late.exchanges.reserve(1);
        late_exchange l{.id = e.id, .end = e.end, .since = now, .next = now + longest_answer_time};
        if (resends)
            resend(l, e, now);
        else if (e.is_request() && e.op != own_request)
            end_operation(e);
        else
            l.is_reported = true;
        late.exchanges.next_reserved() = l;
        late.deadline = (std::min)(late.deadline, l.next);
        return l.is_reported;
    }

    TERN_COLD void resend(late_exchange& l, const exchange& e, time_point now) {
        const packet_id watched = link_.watched;
        const time_point ack_deadline = link_.ack_deadline;
        out_.mark_earlier(e, reach::sent);
        resending(out_, link_).send_again(e, now);
        link_.watched = watched; // not this one
        link_.ack_deadline = ack_deadline;
        l.end = e.end;
        l.resends = static_cast<std::uint8_t>((std::min)(l.resends + 1, 16));
        l.next = (std::min)(now + link_.ack_timeout * (1 << l.resends), l.since + longest_answer_time);
    }

    template <class Repeat>
    TERN_COLD late_result check_late(time_point now, Repeat repeat) {
        late_state& late = *link_.late;
        late_result result = late_result::wait;
        late.deadline = (time_point::max)();
        for (std::size_t n = late.exchanges.size(); n != 0; --n) {
            late_exchange l = late.exchanges.pop_front();
            const exchange* const e = out_.exchanges().find(l.id);
            if (!e || e->end != l.end) { // it was answered
                if (l.next == (time_point::max)()) --late.abandoned;
                continue;
            }
            if (now >= l.next && e->end > out_.log().written()) {
                l.next = now + link_.ack_timeout; // it has not left
            } else if (now >= l.next) {
                if (!link_.has_answers) return late_result::close;
                if (e->op == own_request) {
                    repeat(*e);
                    continue; // the exchange stays, but nothing waits for it
                }
                const late_result checked = check_late(l, *e, now);
                if (checked == late_result::close) return checked;
                result = (std::max)(result, checked);
            }
            late.deadline = (std::min)(late.deadline, l.next);
            late.exchanges.next_reserved() = l;
        }
        if (late.deadline != (time_point::max)()) // bounds how often all of them are looked at
            late.deadline = (std::max)(late.deadline, now + link_.ack_timeout / 16);
        return result;
    }

    TERN_COLD late_result check_late(late_exchange& l, const exchange& e, time_point now) {
        if (now >= l.since + longest_answer_time) {
            end_operation(e);
            l.next = (time_point::max)();
            return ++link_.late->abandoned * 2U >= link_.window ? late_result::close : late_result::wait;
        }
        resend(l, e, now);
        return std::exchange(l.is_reported, true) ? late_result::wait : late_result::report;
    }

    TERN_COLD void end_operation(const exchange& e) {
        out_.queue().reserve_completions(1);
        const op_id op = out_.abandon(e);
        out_.queue().add_completion(op, outcome_unknown(errc::acknowledgement_timeout));
    }

    outgoing& out_;
    transmission& link_;
};

} // namespace tern::detail
