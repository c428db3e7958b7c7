// What becomes of exchanges and queued messages: when they have been written, and when the connection ends, the
// session, or the patience with a broker that does not answer.
#pragma once

#include "tern/session/detail/sender.hpp"

#include <utility>

namespace tern::detail {

inline void sender::set_version(outbox& out, protocol_version version) {
    queue_.check_all(out, [&](queued_message& m) { // without memory it is done only for some
        if (m.version == version) return errc::none;
        return encode_again(out, m, decode_publish(out.view(m.packet), m.version), version);
    });
    version_ = version;
}

inline void sender::start(outbox& out, const terms& t, fate session, time_point now) {
    queue_.reserve_ends(queue_.size() +
                        exchanges_.size()); // so that all can end: half of this would be wrong
    terms_ = t;
    terms_.resend = t.resend && version_ == protocol_version::v3_1_1; // [MQTT-4.4.0-1]
    connected_ = true;
    deadline_ = time_point::max();
    read_since_ = time_point::min();
    queue_.check_all(out, [&](const queued_message& m) { return t.limits.check(out.view(m.packet)); });
    for (exchange *e = exchanges_.first(), *after = nullptr; e; e = after) {
        after = exchanges_.next(*e);
        if (session != fate::goes_on && !begin_anew(out, *e, session == fate::lost_republish, now)) continue;
        if (e->state == exchange_state::pubrel)
            ++in_flight_;
        else if (const errc error = limit_of(out, *e); error != errc::none)
            refuse(out, *e, error);
    }
}

template <class Check>
void sender::check_requests(outbox& out, Check check) {
    for (exchange *e = exchanges_.first(), *after = nullptr; e; e = after) {
        after = exchanges_.next(*e);
        if (is_resendable(*e)) continue;
        if (const errc error = check(out.view(e->packet)); error != errc::none) refuse(out, *e, error);
    }
}

inline void sender::resume(outbox& out, time_point now) {
    for (exchange* e = exchanges_.first(); e; e = exchanges_.next(*e)) {
        if (e->sent) continue;
        if (is_publish(*e) && (resend_from_ != 0 || !may_send(out)))
            resend_from_ = resend_from_ != 0 ? resend_from_ : e->id; // this and all later ones must wait
        else
            send_again(out, *e, now);
    }
    send_waiting(out, now);
}

inline void sender::send_waiting(outbox& out, time_point now) {
    if (!connected_) return;
    while (exchange* e = exchanges_.at(resend_from_)) {
        if (is_publish(*e) && !e->sent) {
            if (in_flight_ >= terms_.window || out.unwritten() >= largest_backlog) break;
            send_again(out, *e, now);
        }
        resend_from_ = e->after;
    }
    while (out.unwritten() < largest_backlog) {
        queue_.reserve_ends(1);
        const queued_message* const next = queue_.front(resend_from_ == 0 && may_send(out));
        if (!next) return;
        const bool acknowledged = queue_.is_acknowledged(next);
        reserve(out, acknowledged);
        queued_message m = queue_.pop(next);
        if (m.expires <= now) {
            queue_.expire(out, m);
            continue;
        }
        if (m.counts_from != time_point::max())
            count_down(out.bytes(m.packet), now - std::exchange(m.counts_from, now));
        if (acknowledged) {
            char* const packet = out.bytes(m.packet);
            const packet_id id = exchanges_.next_id();
            set_packet_id(packet, id);
            copy_times(m, send_acknowledged(out, m.packet, id, qos_of(packet), m.op, now));
        } else {
            copy_times(m, send_at_most_once(out, m.packet, m.op));
            out.release(m.packet);
        }
    }
}

inline void sender::send_again(outbox& out, exchange& e, time_point now) {
    unwritten_packets_.reserve(1);
    e.fresh = false;
    if (e.state == exchange_state::pubrel) return send_pubrel(out, e, now);
    if (limit_of(out, e) != errc::none) return;
    if (is_publish(e)) {
        if (!e.sent) ++in_flight_;
        if (e.tried) ++resent_;
        set_dup(out.bytes(e.packet), e.tried); // [MQTT-3.3.1-1]
    }
    send(out, e.packet, e, now);
}

inline void sender::on_written(outbox& out, time_point now) {
    while (!unwritten_packets_.empty() && unwritten_packets_.front().end <= out.written()) {
        const unwritten_packet w = unwritten_packets_.pop_front();
        exchange& e = exchanges_.slot_of(w.id);
        if (e.sent_at_position == w.end) e.sent_at = now; // no other packet ends there
    }
    if (!queue_.empty() || resend_from_ != 0) send_waiting(out, now);
}

inline bool sender::next_written(outbox& out, op_id& op) noexcept {
    while (!unwritten_messages_.empty() && unwritten_messages_.front().end <= out.written()) {
        op = unwritten_messages_.front().op;
        unwritten_messages_.drop_front();
        if (op != op_id::none) return true;
    }
    return false;
}

inline void sender::stop(outbox& out) {
    connected_ = false;
    for (exchange *e = exchanges_.first(), *after = nullptr; e; e = after) {
        after = exchanges_.next(*e);
        if (e->sent && e->sent_at_position - e->packet.size < out.written()) e->tried = true;
        e->sent = false;
        if (e->op == renewal) forget(out, *e);
    }
    in_flight_ = 0;
    has_room_ = false;
    resend_from_ = 0;
    deadline_ = time_point::max();
    while (!unwritten_messages_.empty() && unwritten_messages_.back().end > out.written()) {
        requeue_behind(out, unwritten_messages_.back().end);
        requeue(out, unwritten_messages_.back());
        unwritten_messages_.pop_back();
        --sent_;
    }
    requeue_behind(out, 0);
}

inline void sender::forget_session(outbox& out) noexcept {
    for (exchange *e = exchanges_.first(), *after = nullptr; e; e = after) {
        after = exchanges_.next(*e);
        if (e->op == op_id::none) forget(out, *e);
    }
}

inline bool sender::next_failed(outbox& out, op_id& op, bool session_goes_on) noexcept {
    while (exchange* const e = exchanges_.at(resend_from_)) {
        op = std::exchange(e->op, op_id::none);
        if (session_goes_on && is_resendable(*e) && e->tried) {
            give_up(*e);
            resend_from_ = e->after;
        } else {
            forget(out, *e);
        }
        if (op != op_id::none) return true;
    }
    return queue_.next_failed(out, op);
}

inline bool sender::begin_anew(outbox& out, exchange& e, bool republish, time_point now) {
    const bool unknown = e.state == exchange_state::publish_2 && e.tried && !republish;
    e.tried = false;
    if (!unknown && !e.given_up && e.state != exchange_state::pubrel && e.expires > now) {
        if (e.counts_from != time_point::max())
            count_down(out.bytes(e.packet), now - std::exchange(e.counts_from, now));
        return true;
    }
    const bool expired = is_publish(e) && !unknown && !e.given_up;
    queue_.add_ended(e.op, expired ? errc::message_expired : errc::session_lost);
    forget(out, e);
    return false;
}

inline errc sender::limit_of(const outbox& out, const exchange& e) const noexcept {
    if (is_publish(e)) return terms_.limits.check(out.view(e.packet));
    return e.packet.size > terms_.limits.maximum_packet_size ? errc::packet_too_large : errc::none;
}

inline void sender::refuse(outbox& out, exchange& e, errc error) {
    queue_.add_ended(std::exchange(e.op, op_id::none), error);
    if (e.tried && is_resendable(e))
        give_up(e);
    else
        forget(out, e);
}

inline void sender::requeue(outbox& out, const unwritten_message& u) {
    queue_.reserve();
    queued_message m{.packet = u.packet,
                     .version = version_,
                     .op = u.op,
                     .expires = u.expires,
                     .counts_from = u.counts_from};
    bool keep = m.packet.size != 0;
    if (keep && version_ == protocol_version::v5) {
        auto p = decode_publish(out.view(m.packet), version_);
        keep = !p.message.topic.empty();
        if (keep && std::exchange(p.message.properties.topic_alias, std::nullopt))
            m.packet = out.encode(p, version_, *measure(p, version_)); // it only gets smaller
    }
    out.retain(m.packet);
    if (keep)
        queue_.push_front(m, false);
    else
        queue_.drop(out, m);
}

inline void sender::requeue_behind(outbox& out, outbox::position position) {
    while (!unwritten_packets_.empty() && unwritten_packets_.back().end > position) {
        queue_.reserve();
        const unwritten_packet w = unwritten_packets_.pop_back();
        exchange* const e = exchanges_.find(w.id);
        if (!e || !e->fresh || e->sent_at_position != w.end || e->tried) continue;
        --sent_;
        const queued_message m{.packet = e->packet,
                               .version = version_,
                               .op = e->op,
                               .expires = e->expires,
                               .counts_from = e->counts_from};
        const bool withdrawn = e->withdrawn;
        out.retain(m.packet);
        forget(out, *e);
        if (withdrawn)
            queue_.drop(out, m);
        else
            queue_.push_front(m, true);
    }
}

inline errc sender::encode_again(outbox& out, queued_message& m, const tern::publish& p,
                                 protocol_version version) {
    const auto length = measure(p, version);
    if (!length) return length.error();
    const outbox::place at = out.encode(p, version, *length);
    out.retain(at);
    out.release(m.packet);
    m.packet = at;
    m.version = version;
    return errc::none;
}

inline bool sender::withdraw(outbox& out, op_id op) noexcept {
    if (op == op_id::none) return false;
    if (queue_.withdraw(out, op)) return true;
    if (!connected_) { // a request that waits for the connection is one of the newest exchanges
        for (exchange* e = exchanges_.last(); e && !e->tried; e = exchanges_.previous(*e)) {
            if (e->op != op || e->sent) continue;
            forget(out, *e);
            return true;
        }
    }
    for (std::size_t i = unwritten_messages_.size(); i-- != 0;)
        if (unwritten_messages_[i].op == op) unwritten_messages_[i].packet.size = 0;
    for (std::size_t i = unwritten_packets_.size(); i-- != 0;)
        if (exchange* const e = exchanges_.find(unwritten_packets_[i].id); e && e->op == op)
            e->withdrawn = true;
    return false;
}

inline void sender::save_memory(outbox& out) {
    constexpr std::size_t small = std::size_t{1} << 20U;
    const std::size_t in_use = out.retained() + static_cast<std::size_t>(out.unwritten());
    if (out.allocated() < small + 4 * in_use || out.allocated() < 2 * saved_memory_) return;
    queue_.check_all(out, [&](queued_message& m) {
        const outbox::place old = std::exchange(m.packet, out.copy(out.view(m.packet)));
        out.retain(m.packet);
        out.release(old);
        return errc::none;
    });
    saved_memory_ = out.allocated();
}

inline bool sender::on_deadline(outbox& out, time_point now) {
    time_point oldest = time_point::max();
    for (exchange* e = exchanges_.first(); e; e = exchanges_.next(*e)) {
        if (!e->sent) continue;
        if (e->sent_at_position > out.written()) e->sent_at = now; // it has not even been written
        if (std::max(e->sent_at, read_since_) + terms_.ack_timeout <= now) {
            if (!terms_.resend || !is_resendable(*e)) return false;
            e->tried = true;
            send_again(out, *e, now);
        }
        oldest = std::min(oldest, std::max(e->sent_at, read_since_));
    }
    const time_point soonest = now + terms_.ack_timeout / 16;
    deadline_ = oldest == time_point::max() ? oldest : std::max(oldest + terms_.ack_timeout, soonest);
    return true;
}

} // namespace tern::detail
