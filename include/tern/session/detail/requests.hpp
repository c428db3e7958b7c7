// What the owner of a session asks of it, and the passing of time.
#pragma once

#include "tern/session/session.hpp"

#include <algorithm>
#include <cstddef>

namespace tern {

inline errc session::check_limits(const message_view& message) const noexcept {
    if (message.qos > limits_.maximum_qos) return errc::qos_not_supported;    // [MQTT-3.2.2-11]
    if (message.retain && !limits_.retain) return errc::retain_not_supported; // [MQTT-3.2.2-14]
    if (!message.properties.subscription_identifiers.empty())
        return errc::property_not_allowed; // [MQTT-3.3.4-6]
    return aliases_.check(message);        // [MQTT-3.2.2-17, MQTT-3.2.2-18]
}

inline errc session::publish(const message_view& message, op_id op, time_point now) {
    now_ = now;
    if (state_ != state::connected) return errc::not_connected;
    if (static_cast<unsigned>(message.qos) > 2) return errc::invalid_qos;
    if (const errc error = check_limits(message); error != errc::none) return error;
    if (!message.properties.topic_alias) return sender_.publish(out_, message, op, now);
    const errc error = sender_.publish(out_, aliases_.to_send(message), op, now);
    if (error == errc::none) aliases_.on_sent(message);
    return error;
}

inline errc session::subscribe(const subscriptions_view& subscriptions,
                               const subscribe_properties& properties, op_id op, time_point now) {
    now_ = now;
    if (state_ != state::connected) return errc::not_connected;
    if (properties.subscription_identifier && !limits_.subscription_identifiers)
        return errc::subscription_identifiers_not_supported;
    for (const subscription& s : subscriptions) {
        if (!limits_.wildcards && has_wildcard(s.filter)) return errc::wildcard_subscriptions_not_supported;
        if (!limits_.shared_subscriptions && is_shared(s.filter))
            return errc::shared_subscriptions_not_supported;
    }
    const tern::subscribe packet{.subscriptions = subscriptions, .properties = properties};
    return sender_.request(out_, packet, subscriptions.size(), op, now);
}

inline errc session::unsubscribe(const filters_view& filters, const unsubscribe_properties& properties,
                                 op_id op, time_point now) {
    now_ = now;
    if (state_ != state::connected) return errc::not_connected;
    const tern::unsubscribe packet{.filters = filters, .properties = properties};
    return sender_.request(out_, packet, filters.size(), op, now);
}

inline errc session::ping(op_id op, time_point now) {
    now_ = now;
    if (state_ != state::connected) return errc::not_connected;
    send(pingreq{});
    ping_end_ = out_.queued();
    keep_alive_.on_pingreq(now);
    pings_.push_back(op);
    return errc::none;
}

inline void session::release(message_token token, time_point now) {
    now_ = now;
    receiver_.release(token);
    if (state_ == state::connected) send_acks();
}

inline void session::commit_read(std::size_t count, time_point now) {
    now_ = now;
    if (count == 0 || (state_ != state::handshake && state_ != state::connected)) return; // of no interest
    in_.commit(count);
    keep_alive_.on_received(now);
}

inline void session::commit_write(std::size_t count, time_point now) {
    now_ = now;
    if (count == 0 || out_.empty()) return;
    keep_alive_.on_sent(out_.written() >= ping_end_, now);
    out_.commit(count);
    if (state_ == state::closing && !cause_) closing_deadline_ = now + closing_time; // it is slow, not dead
}

inline time_point session::next_deadline() const noexcept {
    switch (state_) {
    case state::connecting:
    case state::handshake: return connect_deadline_;
    case state::connected:
        return std::min({keep_alive_.ping_due(), keep_alive_.dead_at(), sender_.deadline()});
    case state::closing: return wants_close() ? time_point::max() : closing_deadline_;
    case state::idle:
    case state::closed: break;
    }
    return time_point::max();
}

inline void session::on_deadline(time_point now) {
    now_ = now;
    if (now < next_deadline()) return;
    switch (state_) {
    case state::connecting:
    case state::handshake: return close(violation(errc::connect_timeout), true);
    case state::closing:
        give_up_ = true;
        if (!cause_) cause_ = std::make_error_code(std::errc::timed_out); // DISCONNECT was not written
        return;
    case state::idle:
    case state::closed: return;
    case state::connected: break;
    }
    if (now >= keep_alive_.dead_at()) return close(violation(errc::ping_timeout), true);
    if (now >= sender_.deadline() && !sender_.on_deadline(out_, now))
        return fail(errc::acknowledgement_timeout);
    if (now >= keep_alive_.ping_due()) (void)ping(op_id::none, now);
}

} // namespace tern
