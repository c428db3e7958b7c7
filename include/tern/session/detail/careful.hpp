// Careful mode: the search for a request that the peer answers by closing the connection.
//
// Innocent requests are often sent beside the one that is at fault, and many connections end for other reasons. So the
// mode begins after two connections in a row that the peer ended within 30 s of CONNACK, while a request was
// unanswered. Then requests go in batches of 1, 2, 4, ... in their order, renewals first. The next batch follows when
// the last one is answered. PUBREL and acknowledgements do not wait. The mode ends when everything is answered, and the
// connection has held for 30 s.
//
//     the peer ends a connection    with one request unanswered    counts against its topic or filter
//                                   with several                   later batches have at most half the size
//                                   as a control connection        all counts return to zero
//
// Before the last attempt at a request, the connection is a control connection: for three times as long as those that
// ended, only PINGREQ is sent. If the peer ends it after all when the request has followed, nothing but the request can
// be at fault. It is abandoned on the next connection: it completes with `errc::refused_by_closing`, and further
// messages to its topic are refused for a time. A request that has counted, or was abandoned before, is sent alone, and
// renewals of this kind last.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/detail/send/closing_requests.hpp"
#include "tern/session/detail/send/publish.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/detail/subscribe/subscribe.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

/// Whether the peer has ended the connection, and not because of the time, its load, or another client.
TERN_COLD inline bool is_end_by_peer(const std::error_code& cause) noexcept {
    if (cause.category() == refusal_category()) {
        switch (static_cast<reason_code>(cause.value())) {
        case reason_code::server_busy:
        case reason_code::server_shutting_down:
        case reason_code::keep_alive_timeout:
        case reason_code::session_taken_over:
        case reason_code::administrative_action:
        case reason_code::use_another_server:
        case reason_code::server_moved:
        case reason_code::connection_rate_exceeded:
        case reason_code::maximum_connect_time: return false;
        default: return true;
        }
    }
    for (const std::errc other : {std::errc::timed_out, std::errc::host_unreachable, std::errc::network_unreachable,
                                  std::errc::network_down, std::errc::network_reset, std::errc::not_enough_memory})
        if (cause == other) return false;
    const connection_end end = end_of(cause);
    return end == connection_end::broker || end == connection_end::transport;
}

class careful_mode {
public:
    explicit careful_mode(session_core& core) noexcept : s_(core) {}

    /// Why a message to this topic is refused. A topic that was refused long ago is tried again.
    TERN_COLD errc check_topic(std::string_view topic) {
        if (!s_.closing->contains(request_kind::message, topic)) return errc::none;
        if (s_.closing->is_refused(topic, s_.now)) return errc::refused_by_closing;
        s_.closing->try_again(topic);
        if (s_.link && s_.link->sending.state == send_state::checked) begin();
        return errc::none;
    }

    /// The broker has accepted the connection, and no request was sent. Returns whether the mode is on.
    TERN_COLD bool start() {
        if (s_.closing) s_.link->sending.state = send_state::checked;
        if (s_.settings.refusal_limit == 0) return false;
        if (s_.ends_by_peer < ends_to_begin && !is_any_tried()) return false;
        begin();
        resending(s_.lasting.out, s_.link->sending).resume_later(s_.now);
        s_.closing->refuse_reached(limit(), s_.now, [&](const closing_request& r) { end_all(r); });
        go_on();
        return true;
    }

    /// Sends the next batch, if the last one is answered.
    TERN_COLD void go_on() {
        if (s_.link->sending.state != send_state::careful) return;
        careful_batch& batch = *s_.link->careful;
        if (batch.control_until != (time_point::max)() || is_unanswered(batch)) return;
        if (batch.sent != 0) on_answered(batch);
        if (batch.was_answered && has_held() && (!waits() || !is_any_tried())) return end();
        batch.size = (std::min)(batch.size, s_.closing->most_in_batch);
        while (batch.sent < batch.size && send_next(batch))
            ++batch.sent;
        batch.sent_at = s_.now;
        if (batch.has_at_most_once) send_ping();
    }

    /// The control connection has held.
    TERN_COLD void on_control_deadline() {
        careful_batch& batch = *s_.link->careful;
        const bool is_answered = s_.link->alive.unanswered() == 0; // it may not be, if the client did not run
        batch.control_until = is_answered ? (time_point::max)() : s_.now + std::chrono::seconds(1);
        go_on();
    }

    /// The connection has ended.
    TERN_COLD void on_end() noexcept {
        connection& link = *s_.link;
        if (std::exchange(link.is_end_noted, true)) return; // the end of the connection is repeated
        const bool by_peer = s_.settings.refusal_limit != 0 && is_end_by_peer(s_.connector.cause());
        const time_point::duration lasted = s_.now - s_.connector.schedule().connected_at();
        if (link.careful) return on_end_in_mode(by_peer);
        const bool is_suspicious = by_peer && lasted < suspicious_time && has_unanswered();
        s_.ends_by_peer = is_suspicious ? static_cast<std::uint8_t>(s_.ends_by_peer + 1) : std::uint8_t{0};
    }

private:
    static constexpr std::uint8_t ends_to_begin = 2;
    static constexpr std::chrono::seconds suspicious_time{30};

    // A single connection proves nothing.
    std::uint8_t limit() const noexcept { return std::max<std::uint8_t>(s_.settings.refusal_limit, 2); }

    TERN_COLD void on_end_in_mode(bool by_peer) noexcept {
        careful_batch& batch = *s_.link->careful;
        const time_point::duration lasted = s_.now - batch.sent_at;
        if (!by_peer) return;
        if (batch.control_until != (time_point::max)()) return s_.closing->acquit(limit());
        if (batch.sent == 0 || !has_unanswered() || lasted >= suspicious_time) return;
        if (batch.sent == 1)
            s_.closing->count(batch.kind, std::move(batch.name), lasted);
        else
            s_.closing->most_in_batch = batch.sent / 2;
    }

    TERN_COLD void begin() {
        careful_batch batch;
        for (const exchange* e = exchanges().first(); e; e = exchanges().next(*e))
            if (awaits_answer(*e)) batch.under_way.push_back(e->id);
        if (!s_.closing) s_.closing.emplace();
        s_.link->careful.emplace(std::move(batch));
        s_.link->sending.state = send_state::careful;
    }
    TERN_COLD void end() {
        s_.ends_by_peer = 0;
        s_.link->careful.reset();
        s_.closing->end_search();
        if (s_.closing->empty()) s_.closing.reset();
        s_.link->sending.state = s_.closing ? send_state::checked : s_.link->sending.open_state();
        s_.link->sending.has_room = true; // what waits is sent at once
    }
    bool has_held() const noexcept { return s_.now - s_.connector.schedule().connected_at() >= suspicious_time; }
    // Whether a request is to be sent that is suspected.
    TERN_COLD bool is_any_tried() const noexcept {
        const auto is_due = [&](std::string_view filter) { return s_.lasting.subscriptions.is_due(filter); };
        return s_.closing && s_.closing->any_is_tried(is_due);
    }

    void send_ping() {
        s_.send_ping(op_id::none);
        s_.link->careful->awaits_pingresp = true;
    }

    // Whether an answer to the batch is missing.
    bool is_unanswered(careful_batch& batch) noexcept {
        while (!batch.under_way.empty()) {
            const exchange* const e = exchanges().find(batch.under_way.front());
            if (e && awaits_answer(*e)) return true;
            batch.under_way.drop_front();
        }
        if (s_.link->alive.unanswered() == 0) batch.awaits_pingresp = false;
        return batch.awaits_pingresp;
    }
    void on_answered(careful_batch& batch) noexcept {
        if (batch.sent == 1) s_.closing->remove(batch.kind, batch.name);
        batch.size *= 2;
        batch.sent = 0;
        batch.has_at_most_once = false;
        batch.was_answered = true;
    }

    bool waits() const noexcept {
        return s_.link->sending.has_waiting(s_.lasting.out) || s_.lasting.subscriptions.has_due();
    }

    // Whether a request that the connection carried is unanswered. QoS 0 is not answered: then a later packet was not.
    bool has_unanswered() const noexcept {
        const transmission& sending = s_.link->sending;
        const packet_log::position written = s_.log().written();
        for (const exchange* e = exchanges().first(); e; e = exchanges().next(*e))
            if (awaits_answer(*e) && sending.is_offered(*e, written)) return true;
        return s_.lasting.out.messages_sent() != s_.link->messages_before && sending.answered_end < written;
    }
    static bool awaits_answer(const exchange& e) noexcept {
        return e.is_sent() && !e.is_withheld() && !e.awaits_pubcomp();
    }

    // Sends one request. False if there is none, if it has to wait, or if it must be alone.
    TERN_COLD bool send_next(careful_batch& batch) {
        s_.closing->reserve();
        batch.under_way.reserve(1);
        if (send_renewal(batch, renewals::innocent)) return true;
        if (has_resend()) return resend(batch);
        const bool window_open = has_window();
        if (queued_message* const m = s_.lasting.out.queue().front(window_open)) return send_queued(batch, m);
        return batch.sent == 0 && !s_.link->sending.has_waiting(s_.lasting.out) &&
               send_renewal(batch, renewals::suspected);
    }

    // Whether a request of this name may be sent now. If it is suspected, nothing else may be sent with it.
    TERN_COLD bool admit(careful_batch& batch, request_kind kind, std::string_view name) {
        if (s_.closing->contains(kind, name)) {
            if (batch.sent != 0 || needs_control(batch, kind, name)) return false;
            batch.size = 1;
        }
        if (batch.sent == 0) batch.name = name;
        if (batch.sent == 0) batch.kind = kind;
        return true;
    }
    // Whether the connection must hold for some time before the last attempt.
    bool needs_control(careful_batch& batch, request_kind kind, std::string_view name) {
        if (!s_.closing->is_last_attempt(kind, name, limit())) return false;
        const auto time = std::max<time_point::duration>(std::chrono::seconds(1), 3 * s_.closing->longest());
        const time_point until = s_.connector.schedule().connected_at() + time;
        if (s_.now >= until) return false;
        batch.control_until = until;
        send_ping();
        return true;
    }

    enum class renewals : std::uint8_t { innocent, suspected };
    bool send_renewal(careful_batch& batch, renewals which) {
        constexpr request_kind kind = request_kind::subscription;
        const auto is_wanted = [&](std::string_view filter) {
            const bool is_suspected = s_.closing->contains(kind, filter);
            if (is_suspected != (which == renewals::suspected)) return false;
            return !is_suspected || (batch.control_until == (time_point::max)() && !needs_control(batch, kind, filter));
        };
        subscribing subscriptions(s_.lasting.out, &s_.link->sending, s_.lasting.subscriptions);
        const packet_id id = subscriptions.request_one(s_.now, is_wanted, [&](std::string_view f, std::error_code e) {
            s_.events.push({.change = connection_change::subscription_refused, .error = e, .filter = f});
        });
        if (id == 0) return false;
        (void)admit(batch, kind, subscriptions.first_filter(*exchanges().find(id)));
        batch.under_way.next_reserved() = id;
        return true;
    }

    // Moves to the next exchange that is not sent on this connection. False if there is none.
    bool has_resend() noexcept {
        packet_id& cursor = s_.link->sending.resend_cursor;
        const exchange* e = exchanges().at(cursor);
        while (e && (e->is_sent() || e->is_withheld()))
            e = exchanges().next(*e);
        cursor = e ? e->id : packet_id{0};
        return e != nullptr;
    }
    TERN_COLD bool resend(careful_batch& batch) {
        const exchange& e = *exchanges().at(s_.link->sending.resend_cursor);
        if (e.is_publish() && s_.link->sending.in_flight >= s_.link->sending.window) return false;
        if (!admit(batch, kind_of(e), name_of(e))) return false;
        resending(s_.lasting.out, s_.link->sending).send_again(e, s_.now);
        batch.under_way.next_reserved() = e.id;
        return true;
    }
    bool send_queued(careful_batch& batch, queued_message* m) {
        outgoing& out = s_.lasting.out;
        if (!admit(batch, request_kind::message, topic_of(m->packet, m->version))) return false;
        out.queue().reserve_completions(1);
        publishing publisher(out, s_.link->sending);
        const bool acknowledged = out.queue().is_acknowledged(m);
        publisher.reserve(acknowledged);
        const queued_message taken = out.queue().pop(m);
        if (taken.expires <= s_.now) {
            out.queue().expire(s_.log(), taken);
            return send_next(batch);
        }
        publisher.send_queued(taken, acknowledged, s_.now);
        if (acknowledged)
            batch.under_way.next_reserved() = exchanges().last()->id;
        else
            batch.has_at_most_once = true;
        return true;
    }
    bool has_window() const noexcept {
        const transmission& sending = s_.link->sending;
        return sending.in_flight < sending.window && exchanges().size() < transmission::most_publishes;
    }

    static request_kind kind_of(const exchange& e) noexcept {
        return e.is_request() ? request_kind::subscription : request_kind::message;
    }
    std::string_view name_of(const exchange& e) noexcept {
        if (!e.is_request()) return topic_of(e.packet, s_.version());
        return subscribing(s_.lasting.out, &s_.link->sending, s_.lasting.subscriptions).first_filter(e);
    }
    std::string_view topic_of(const packet_slice& packet, protocol_version version) const noexcept {
        return decode_publish(s_.log().view(packet), version).message.topic;
    }

    // Everything of this name ends.
    TERN_COLD void end_all(const closing_request& r) {
        outgoing& out = s_.lasting.out;
        transmission& sending = s_.link->sending;
        out.queue().reserve_completions(out.queue().size() + out.exchanges().size());
        if (r.kind == request_kind::subscription && s_.lasting.subscriptions.refuse_due(r.name))
            s_.events.push({.change = connection_change::subscription_refused,
                            .error = outcome_unknown(errc::refused_by_closing),
                            .filter = r.name});
        for (const exchange *e = exchanges().first(), *after = nullptr; e; e = after) {
            after = exchanges().next(*e);
            if (e->awaits_pubcomp() || e->is_withheld() || kind_of(*e) != r.kind || name_of(*e) != r.name) continue;
            if (e->is_request()) subscribing(out, &sending, s_.lasting.subscriptions).abandon(*e);
            resending(out, sending).refuse(*e, errc::refused_by_closing);
        }
        if (r.kind == request_kind::message)
            out.queue().check_all(s_.log(), [&](const queued_message& m) {
                return topic_of(m.packet, m.version) == r.name ? errc::refused_by_closing : errc::none;
            });
    }

    const exchange_table& exchanges() const noexcept { return s_.lasting.out.exchanges(); }

    session_core& s_;
};

} // namespace tern::detail
