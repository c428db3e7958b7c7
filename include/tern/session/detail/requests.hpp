// What the owner of a session asks of it, and the passing of time.
#pragma once

#include "tern/session/session.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace tern {

// Nothing is accepted between the end and the next `connect`.
inline errc session::accepts_requests() const noexcept {
    if (stopping_ && !over_) return errc::disconnected;
    return over_ ? errc::not_connected : errc::none;
}

inline errc session::publish(const message_view& message, const publish_options& options, op_id op,
                             time_point now) {
    now_ = now;
    // What is sent at once is accepted, too: whatever stops the session has closed the sender.
    const bool simple = options.time_to_live.count() == 0 && detail::is_simple(message);
    if (simple && sender_.sends_at_once(out_, message.qos != qos::at_most_once)) [[likely]]
        return sender_.publish_simple(out_, message, op, now);
    return publish_any(message, options, op, now);
}

TERN_NOINLINE inline errc session::publish_any(const message_view& message, const publish_options& options,
                                               op_id op, time_point now) {
    if (const errc error = accepts_requests(); error != errc::none) return error;
    time_point expires = time_point::max();
    if (options.time_to_live.count() != 0) {
        if (!detail::is_time(options.time_to_live)) return errc::invalid_argument;
        expires = now + options.time_to_live;
    }
    if (!message.properties.subscription_identifiers.empty())
        return errc::property_not_allowed; // [MQTT-3.3.4-6]
    if (!message.properties.topic_alias) return sender_.publish_any(out_, message, expires, op, now);
    if (static_cast<unsigned>(message.qos) > 2) return errc::invalid_qos;
    const bool at_once = sender_.sends_at_once(out_, message.qos != qos::at_most_once);
    if (const errc error = aliases_.check(message, at_once); error != errc::none)
        return error; // [MQTT-3.2.2-17, -18]
    aliases_.reserve(message);
    const errc error = sender_.publish_any(out_, aliases_.to_send(message, at_once), expires, op, now);
    if (error == errc::none) aliases_.on_sent(message, at_once);
    return error;
}

inline errc session::subscribe(const subscriptions_view& subscriptions,
                               const subscribe_properties& properties, op_id op, time_point now) {
    now_ = now;
    if (const errc error = accepts_requests(); error != errc::none) return error;
    if (state_ == state::idle) return errc::not_connected;
    const tern::subscribe packet{.subscriptions = subscriptions, .properties = properties};
    if (const errc error = limits_.check(packet); error != errc::none) return error;
    return sender_.request(out_, packet, subscriptions.size(), op, now);
}

inline errc session::server_limits::check(const tern::subscribe& packet) const noexcept {
    if (packet.properties.subscription_identifier && !subscription_identifiers)
        return errc::subscription_identifiers_not_supported;
    for (const subscription& s : packet.subscriptions) {
        if (!wildcards && has_wildcard(s.filter)) return errc::wildcard_subscriptions_not_supported;
        if (!shared_subscriptions && is_shared(s.filter)) return errc::shared_subscriptions_not_supported;
    }
    return errc::none;
}

inline errc session::unsubscribe(const filters_view& filters, const unsubscribe_properties& properties,
                                 op_id op, time_point now) {
    now_ = now;
    if (const errc error = accepts_requests(); error != errc::none) return error;
    if (state_ == state::idle) return errc::not_connected;
    const tern::unsubscribe packet{.filters = filters, .properties = properties};
    const errc error = sender_.request(out_, packet, filters.size(), op, now);
    if (error != errc::none || state_ != state::connected) return error;
    for (const std::string_view filter : filters)
        subscriptions_.remove(filter); // already now: it must not be renewed behind this
    return errc::none;
}

inline errc session::ping(op_id op, time_point now) {
    now_ = now;
    if (state_ != state::connected) return errc::not_connected;
    pings_.reserve(1); // an answer must find who asked
    send(pingreq{});
    ping_end_ = out_.queued();
    keep_alive_.on_pingreq(now);
    pings_.push_back(op);
    return errc::none;
}

inline void session::drain(op_id op, time_point deadline, time_point now) {
    now_ = now;
    drains_.push_back({op, deadline});
}

inline bool session::cancel(op_id op, time_point now) {
    now_ = now;
    for (std::size_t n = drains_.size(); n != 0; --n) {
        const draining d = drains_.pop_front();
        if (d.op == op) return true;
        drains_.push_back(d);
    }
    return sender_.withdraw(out_, op);
}

inline void session::commit_read(std::size_t count, time_point now) {
    now_ = now;
    if (count == 0 || (state_ != state::handshake && state_ != state::connected)) return; // of no interest
    in_.commit(count);
    bytes_received_ += count;
    keep_alive_.on_received(now);
}

inline read_buffer session::reclaim_read_buffer() noexcept {
    return in_.take_back();
}

inline void session::commit_write(std::size_t count, time_point now) {
    now_ = now;
    if (count == 0 || out_.empty()) return;
    out_.commit(count);
    keep_alive_.on_sent(out_.written() >= ping_end_, now);
    bytes_sent_ += count;
    sender_.on_written(out_, now);
    if (state_ == state::closing && !cause_) state_deadline_ = now + closing_time; // it is slow, not dead
}

inline time_point session::next_deadline() const noexcept {
    time_point deadline = sender_.queue().deadline();
    for (std::size_t i = 0; i != drains_.size(); ++i)
        deadline = std::min(deadline, drains_[i].deadline);
    switch (state_) {
    case state::idle:
    case state::ending: return deadline;
    case state::connected:
        return std::min({deadline, keep_alive_.ping_due(), keep_alive_.dead_at(), sender_.deadline()});
    case state::closing:
        if (pending_action() == transport_action::close) return deadline;
        [[fallthrough]];
    default: return std::min(deadline, state_deadline_);
    }
}

inline void session::on_deadline(time_point now) {
    now_ = now;
    if (now >= sender_.queue().deadline()) sender_.queue().on_deadline(out_, now);
    switch (state_) {
    case state::idle:
    case state::preparing:
    case state::opening:
    case state::ending: return;
    case state::connected: break;
    default:
        if (now < state_deadline_) return;
        switch (state_) {
        case state::handshake: return close(violation(errc::connack_timeout), true);
        case state::waiting: return begin_attempt();
        default:
            give_up_ = true;
            if (!cause_) cause_ = std::make_error_code(std::errc::timed_out); // DISCONNECT was not written
            return;
        }
    }
    if (now >= keep_alive_.dead_at()) return close(violation(errc::ping_timeout), true);
    if (now >= sender_.deadline() && !sender_.on_deadline(out_, now))
        return fail(errc::acknowledgement_timeout);
    if (now < keep_alive_.ping_due()) return;
    out_.trim(); // it is quiet
    (void)ping(op_id::none, now);
}

inline counters session::counters() const noexcept {
    const detail::send_queue& queue = sender_.queue();
    return {.messages_sent = sender_.sent(),
            .messages_resent = sender_.resent(),
            .messages_received = messages_received_,
            .messages_dropped = queue.dropped(),
            .bytes_sent = bytes_sent_,
            .bytes_received = bytes_received_,
            .connections = connections_,
            .in_flight = sender_.in_flight(),
            .queued = queue.size(),
            .queued_bytes = queue.bytes(),
            .round_trip_time = round_trip_time_};
}

} // namespace tern
