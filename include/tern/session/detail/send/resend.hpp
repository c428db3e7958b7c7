// Resending: unfinished exchanges on a later connection, late ones on the same connection, and the queue behind them.
//
// On a new connection exchanges are sent again in their order [MQTT-4.4.0-1], as far as the window allows, and before
// anything new. If the session goes on: PUBLISH, with DUP if the broker may have received it, and PUBREL. If the broker
// has lost the session, these exchanges begin again, and the others complete with `errc::session_lost`:
//
//                             not sent whole   sent whole
//     QoS 1, requests         begins again     begins again
//     QoS 2                   begins again     ends, unless `republish_qos_2` is set
//     QoS 2, PUBREC has come  -                ends
//     cancelled, abandoned    ends             ends
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/session/detail/send/operation_error.hpp"
#include "tern/session/detail/send/outgoing.hpp"
#include "tern/session/detail/send/publish.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace tern::detail {

/// What the broker has done with the session of the last connection.
enum class session_fate : std::uint8_t {
    resumed,
    lost,
    lost_republish_qos_2, ///< and QoS 2 messages that the broker may have received are published again
};

/// The requests of the session itself: renewals, and UNSUBSCRIBE for what the broker should not have. They do not
/// outlive their connection.
inline constexpr op_id own_request{UINT64_MAX};

class resending {
public:
    resending(outgoing& out, transmission& link) noexcept : out_(out), link_(link) {}

    /// The broker has accepted the connection: ends the messages that it cannot carry, and makes room for the end of
    /// all exchanges. The same for requests (`subscribing::start`) and `resume` follow.
    TERN_COLD void start(session_fate session, time_point now) {
        // Room for the end of everything: to end only some of it would be wrong.
        out_.queue().reserve_completions(out_.queue().size() + out_.exchanges().size());
        out_.queue().check_all(out_.log(), [&](const queued_message& m) { return check_publish(m.packet); });
        for (const exchange *e = out_.exchanges().first(), *after = nullptr; e; e = after) {
            after = out_.exchanges().next(*e);
            if (session != session_fate::resumed && !restart(*e, session, now)) continue;
            if (is_cancelled_before(*e)) {
                end_cancelled(*e);
                continue;
            }
            if (e->awaits_pubcomp()) ++link_.in_flight;
            if (e->is_request() || e->packet.size == 0) continue; // PUBREL, or withheld
            if (const errc error = limit_of(*e); error != errc::none) refuse(*e, error);
        }
        link_.state = link_.open_state();
    }

    /// Sends what waits for the connection.
    TERN_COLD void resume(time_point now) {
        for (const exchange* e = out_.exchanges().first(); e; e = out_.exchanges().next(*e)) {
            if (e->is_sent()) continue;
            const bool waits = e->is_publish() && (link_.resend_cursor != 0 || !link_.has_window(out_));
            if (!waits)
                send_again(*e, now);
            else if (link_.resend_cursor == 0)
                link_.resend_cursor = e->id; // this and all later messages wait
        }
        send_waiting(now);
    }

    /// Careful mode: sends PUBREL. All else waits for its turn.
    TERN_COLD void resume_later(time_point now) {
        for (const exchange* e = out_.exchanges().first(); e; e = out_.exchanges().next(*e)) {
            if (e->awaits_pubcomp())
                send_again(*e, now);
            else if (link_.resend_cursor == 0)
                link_.resend_cursor = e->id;
        }
    }

    /// Sends messages that wait for room in the window or in the log: first those that are to be sent again.
    void send_waiting(time_point now) {
        if (link_.state > send_state::open && link_.state != send_state::leaving) return;
        while (const exchange* const e = out_.exchanges().at(link_.resend_cursor)) {
            if (e->is_request() && !e->is_sent()) send_again(*e, now); // it was made in careful mode
            if (e->is_publish() && !e->is_sent()) {
                if (link_.in_flight >= link_.window || is_backlogged()) break;
                if (is_cancelled_before(*e)) {
                    out_.queue().reserve_completions(1);
                    end_cancelled(*e);
                    continue;
                }
                send_again(*e, now);
            }
            link_.resend_cursor = e->next;
        }
        while (!is_backlogged()) {
            out_.queue().reserve_completions(1);
            const bool window_open = link_.resend_cursor == 0 && link_.has_window(out_);
            const queued_message* const next = out_.queue().front(window_open);
            if (!next) return;
            publishing publisher(out_, link_);
            const bool acknowledged = out_.queue().is_acknowledged(next);
            publisher.reserve(acknowledged);
            const queued_message m = out_.queue().pop(next);
            if (m.expires <= now)
                out_.queue().expire(out_.log(), m);
            else
                publisher.send_queued(m, acknowledged, now);
        }
    }

    /// Whether a message waits only for the link, not for an acknowledgement.
    bool can_send_waiting() const noexcept {
        const bool window_open =
            link_.in_flight < link_.window && out_.exchanges().size() < transmission::most_publishes;
        if (link_.resend_cursor != 0) return window_open;
        return out_.queue().front(window_open) != nullptr;
    }

    /// Sends the packet of an exchange that was sent before, or is unsent on this connection.
    TERN_COLD void send_again(const exchange& e, time_point now) {
        link_.unwritten_packets.reserve(1);
        publishing publisher(out_, link_);
        if (e.awaits_pubcomp()) return publisher.send_pubrel(e, now);
        if (e.is_withheld()) return;
        if (e.is_publish()) {
            const bool is_repetition = e.earlier != reach::unsent;
            if (!e.is_sent()) ++link_.in_flight;
            if (is_repetition) out_.count_resent();
            set_dup(out_.log().bytes(e.packet), is_repetition); // [MQTT-3.3.1-1]
        }
        link_.send(out_, e.packet, e, transmission_state::resent, now);
    }

    /// Whether a byte of a SUBSCRIBE was written on this connection, and SUBACK has not come.
    TERN_COLD bool has_offered_subscribe() const noexcept {
        for (const exchange* e = out_.exchanges().first(); e; e = out_.exchanges().next(*e)) {
            if (e->state == exchange_state::subscribe && link_.is_offered(*e, out_.log().written())) return true;
        }
        return false;
    }

    /// The connection is lost: what was not written waits for the next one. If this throws, it is to be called again.
    TERN_COLD void end_connection() {
        link_.state = send_state::closed;
        const packet_log::position written = out_.log().written();
        for (const exchange* e = out_.exchanges().first(); e; e = out_.exchanges().next(*e))
            if (link_.is_offered(*e, written))
                out_.mark_earlier(*e, e->end <= written ? reach::sent : reach::partly_sent);
        while (!link_.unwritten_messages.empty()) {
            const transmission::unwritten_message& last = link_.unwritten_messages.back();
            if (last.end <= written) break;
            requeue_after(last.end);
            requeue(last);
            link_.unwritten_messages.pop_back();
            out_.count_unsent();
        }
        requeue_after(0);
        out_.queue().reserve_completions(link_.unwritten_messages.size());
        while (!link_.unwritten_messages.empty()) // those that were written complete before all others
            out_.queue().add_first_completion(link_.unwritten_messages.pop_back().op);
        for (const exchange* e = out_.exchanges().first(); e; e = out_.exchanges().next(*e))
            out_.mark_unsent(*e);
    }

    /// Takes back a message that was never sent. True if that succeeded. Otherwise it goes on, but is not published
    /// again. `fail_cursor` must not stay at an exchange that ends here.
    TERN_COLD static bool cancel(outgoing& out, transmission* link, packet_id& fail_cursor, op_id op) noexcept {
        if (out.queue().cancel(out.log(), op)) return true;
        if (const exchange* const e = out.find(op)) {
            if (e->is_request()) return false;
            const bool is_open = link && link->state <= send_state::open;
            if (!is_open && !e->is_sent() && !e->was_offered()) { // it begins again in a new session
                if (fail_cursor == e->id) fail_cursor = e->next;
                if (link) link->skip_in_resend(*e);
                out.end(*e);
                return true;
            }
            out.cancel(*e);
        } else if (link) {
            if (transmission::unwritten_message* const m = link->find_unwritten(out, op)) m->packet.size = 0;
        }
        return false;
    }

    /// The packet may not be sent. A message that the broker may have received stays a part of the session.
    TERN_COLD void refuse(const exchange& e, errc error) {
        out_.queue().add_completion(e.op, end_error(e.was_offered(), error));
        if (e.earlier != reach::unsent && !e.is_request())
            (void)out_.withhold(e);
        else
            link_.end(out_, e);
    }

private:
    bool is_backlogged() const noexcept { return out_.log().unwritten() >= transmission::largest_backlog; }

    // The broker has lost the session. False if the exchange has ended.
    TERN_COLD bool restart(const exchange& e, session_fate session, time_point now) {
        const bool begins_again = may_begin_again(e, session);
        if (begins_again && e.expires > now) {
            out_.restart(e, now);
            return true;
        }
        const errc error = begins_again ? errc::message_expired : errc::session_lost;
        out_.queue().add_completion(e.op, end_error(e.was_offered(), error));
        link_.end(out_, e);
        return false;
    }
    static bool may_begin_again(const exchange& e, session_fate session) noexcept {
        if (e.owner != exchange_owner::waiting || e.awaits_pubcomp()) return false;
        return e.state != exchange_state::publish_2 || e.earlier != reach::sent ||
               session == session_fate::lost_republish_qos_2;
    }

    // A message that begins again, and was cancelled before that, is not published [§4.4].
    static bool is_cancelled_before(const exchange& e) noexcept {
        return e.owner == exchange_owner::cancelled && e.is_publish() && e.earlier == reach::unsent && !e.is_sent();
    }
    TERN_COLD void end_cancelled(const exchange& e) {
        out_.queue().add_completion(e.op, end_error(e.was_offered(), errc::session_lost));
        link_.end(out_, e);
    }

    TERN_COLD errc check_publish(const packet_slice& slice) const noexcept {
        const std::string_view packet = out_.log().view(slice);
        const bool retain = (static_cast<unsigned char>(packet.front()) & 1U) != 0;
        return link_.limits.check_publish(qos_of(packet.data()), retain, packet.size());
    }
    errc limit_of(const exchange& e) const noexcept {
        return e.is_publish() ? check_publish(e.packet) : link_.limits.check_size(e.packet.size);
    }

    // A QoS 0 message that was not written goes back to the queue, with its topic instead of a topic alias, which has
    // no meaning on the next connection.
    TERN_COLD void requeue(const transmission::unwritten_message& u) {
        out_.queue().reserve();
        queued_message m{.packet = u.packet,
                         .version = out_.version(),
                         .op = u.op,
                         .expires = u.expires,
                         .expiry_counted_from = u.expiry_counted_from};
        const bool is_cancelled = m.packet.size == 0;
        if (!is_cancelled && link_.aliases) {
            const std::string packet(out_.log().view(m.packet)); // the log may move its memory
            auto p = decode_publish(packet, out_.version());
            if (const auto alias = std::exchange(p.message.properties.topic_alias, std::nullopt)) {
                if (p.message.topic.empty()) p.message.topic = link_.aliases->topic_of(*alias, u.end);
                if (const auto length = measure(p, out_.version()))
                    m.packet = out_.log().encode(p, out_.version(), *length);
            }
        }
        out_.log().retain(m.packet);
        if (!is_cancelled)
            out_.queue().push_front(m, false);
        else
            out_.queue().drop(out_.log(), m);
    }

    // The QoS 1 and 2 messages after that position of which no byte was written go back to the queue.
    TERN_COLD void requeue_after(packet_log::position position) {
        while (!link_.unwritten_packets.empty() && link_.unwritten_packets.back().end > position) {
            out_.queue().reserve();
            const transmission::unwritten_packet w = link_.unwritten_packets.pop_back();
            const exchange* const e = out_.exchanges().find(w.id);
            const bool is_unwritten = e && e->is_publish() && e->transmission == transmission_state::first &&
                                      e->end == w.end && e->earlier == reach::unsent && !e->is_withheld();
            if (is_unwritten) out_.requeue(*e);
        }
    }

    outgoing& out_;
    transmission& link_;
};

/// Ends the next unfinished operation, because the run has ended, with this cause or by the user. False if there is
/// none. What the broker may have received stays a part of the session if the session goes on, but no operation waits
/// for it any longer.
TERN_COLD inline bool fail_next(outgoing& out, packet_id& cursor, const std::error_code& cause, bool session_goes_on,
                                local_completion& next) noexcept {
    while (const exchange* const e = out.exchanges().at(cursor)) {
        cursor = e->next;
        next = {e->op, end_error(e->was_offered(), cause)};
        if (e->is_publish() && !e->was_offered() && e->owner != exchange_owner::gone) out.count_left_unsent();
        if (session_goes_on && (e->is_withheld() || (!e->is_request() && e->earlier != reach::unsent)))
            (void)out.abandon(*e);
        else
            out.end(*e);
        if (next.op != op_id::none) return true;
    }
    next.error = end_error(false, cause);
    if (!out.queue().fail_next(out.log(), next.op)) return false;
    out.count_left_unsent();
    return true;
}

} // namespace tern::detail
