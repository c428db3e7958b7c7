// What a session does with the packets that come.
#pragma once

#include "tern/session/session.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tern {

inline std::optional<event> session::poll_event() {
    if (consumed_ != 0) in_.consume(std::exchange(consumed_, 0));
    sender_.send_next(out_, now_);
    if (std::exchange(telling_, false)) told_.pop_front();
    if (!told_.empty()) return tell_next();
    while (!lost_pings_.empty())
        if (const op_id op = lost_pings_.pop_front(); op != op_id::none) return completed{op, lost_cause_};
    if (op_id op{}; sender_.next_written(out_, op)) return completed{.op = op};
    if (detail::send_queue::ended_message m; sender_.queue().next_ended(m))
        return completed{m.op, misuse(m.error)};
    if (state_ == state::ending)
        if (auto e = next_failed()) return e;
    if (auto e = next_drained()) return e;
    return next_packet();
}

inline std::optional<event> session::next_packet() {
    while (state_ == state::handshake || (state_ == state::connected && reading_)) {
        const auto found = next_frame(in_.bytes(), maximum_packet_size_);
        if (!found) {
            fail(found.error());
            break;
        }
        if (!found->complete) break;
        if (auto e = on_packet(found->frame)) {
            consumed_ = found->size; // later: the event borrows from it
            return e;
        }
        in_.consume(found->size);
        sender_.send_next(out_, now_);
    }
    return std::nullopt;
}

inline std::optional<event> session::on_packet(const frame& frame) {
    const packet_type type = frame.type();
    if (type == packet_type::auth) {
        fail(version_ == protocol_version::v5 ? errc::unexpected_authentication : errc::invalid_packet_type);
        return std::nullopt;
    }
    if (state_ == state::handshake) { // nothing but CONNACK may come [MQTT-3.2.0-1]
        asked_ = false;
        if (type == packet_type::connack) return on_connack(frame);
        fail(errc::unexpected_packet);
        return std::nullopt;
    }
    switch (type) {
    case packet_type::publish: return on_publish(frame);
    case packet_type::puback: return on_publish_ack<puback>(frame);
    case packet_type::pubrec: return on_publish_ack<pubrec>(frame);
    case packet_type::pubrel: return on_publish_ack<pubrel>(frame);
    case packet_type::pubcomp: return on_publish_ack<pubcomp>(frame);
    case packet_type::suback: return on_filter_ack<suback>(frame);
    case packet_type::unsuback: return on_filter_ack<unsuback>(frame);
    case packet_type::pingresp: return on_pingresp(frame);
    case packet_type::disconnect: return on_disconnect(frame);
    default:
        fail(errc::unexpected_packet);
        return std::nullopt; // what only a client sends, or a second CONNACK
    }
}

inline std::optional<event> session::on_publish(const frame& frame) {
    auto packet = decode<tern::publish>(frame, version_);
    if (!packet) {
        fail(packet.error());
        return std::nullopt;
    }
    tern::publish p = *packet;
    bool deliver = false;
    message_token token{};
    if (const errc error = receiver_.on_publish(p, deliver, token); error != errc::none) {
        fail(error);
        return std::nullopt;
    }
    if (!deliver) {
        send_acks();
        return std::nullopt;
    }
    ++counters_.messages_received;
    return received{p.message, p.dup, token};
}

template <class Packet>
std::optional<event> session::on_publish_ack(const frame& frame) {
    const auto packet = decode<Packet>(frame, version_);
    if (!packet) {
        fail(packet.error());
        return std::nullopt;
    }
    if (!may_say(packet->properties)) return std::nullopt;
    const bool v5 = version_ == protocol_version::v5;
    const tern::packet_id id = packet->packet_id;
    detail::sender::outcome outcome;
    std::error_code error;
    if constexpr (Packet::type == packet_type::pubrel) {
        bool known = false;
        if (const errc e = receiver_.on_pubrel(id, known); e != errc::none)
            fail(e);
        else
            send(pubcomp{id, !known && v5 ? reason_code::packet_identifier_not_found : reason_code::success});
        return std::nullopt;
    } else if constexpr (Packet::type == packet_type::pubrec) {
        outcome = sender_.on_pubrec(out_, *packet, now_);
        if (is_failure(packet->reason_code)) error = packet->reason_code;
    } else if constexpr (Packet::type == packet_type::pubcomp) {
        outcome = sender_.on_pubcomp(out_, id); // the message arrived with PUBREC, whatever this says
    } else {
        outcome = sender_.on_ack(out_, detail::exchange_state::publish_1, id);
        if (is_failure(packet->reason_code)) error = packet->reason_code;
    }
    if (outcome.unknown && Packet::type == packet_type::pubrec)
        send(pubrel{id, v5 ? reason_code::packet_identifier_not_found : reason_code::success});
    if (outcome.error != errc::none) fail(outcome.error);
    if (outcome.finished) counters_.round_trip_time = now_ - outcome.sent_at;
    if (!outcome.finished || outcome.op == op_id::none) return std::nullopt;
    return completed{
        outcome.op, error, {.reason_code = packet->reason_code, .properties = packet->properties}};
}

template <class Packet>
std::optional<event> session::on_filter_ack(const frame& frame) {
    const auto packet = decode<Packet>(frame, version_);
    if (!packet) {
        fail(packet.error());
        return std::nullopt;
    }
    if (!may_say(packet->properties)) return std::nullopt;
    constexpr bool subscribed = Packet::type == packet_type::suback;
    const std::string request{sender_.packet_of(out_, packet->packet_id)};
    const auto expected =
        subscribed ? detail::exchange_state::subscribe : detail::exchange_state::unsubscribe;
    const auto outcome = sender_.expect_ack(expected, packet->packet_id);
    if (outcome.error != errc::none) fail(outcome.error);
    if (!outcome.finished) return std::nullopt;
    counters_.round_trip_time = now_ - outcome.sent_at;

    completed done{outcome.op, {}, {.reason_codes = packet->reason_codes, .properties = packet->properties}};
    const bool has_codes = subscribed || version_ == protocol_version::v5;
    if (has_codes && packet->reason_codes.size() != outcome.filters) {
        done.error = violation(errc::reason_count_mismatch);
        fail(errc::reason_count_mismatch);
    } else if (has_codes) {
        done.answer.reason_code = packet->reason_codes.front();
        for (const reason_code code : packet->reason_codes) {
            if (!is_failure(code)) continue;
            done.error = done.answer.reason_code = code;
            break;
        }
        if (subscribed) keep_granted(request, packet->reason_codes, outcome.op == detail::sender::renewal);
    }
    if (!subscribed) forget_filters(request);
    (void)sender_.on_ack(out_, expected, packet->packet_id); // now: without memory it would be forgotten
    if (outcome.op == detail::sender::renewal && state_ == state::connected) renew_subscriptions();
    if (outcome.op == op_id::none || outcome.op == detail::sender::renewal) return std::nullopt;
    return done;
}

inline std::optional<event> session::on_pingresp(const frame& frame) {
    if (const auto packet = decode<pingresp>(frame, version_); !packet) {
        fail(packet.error());
        return std::nullopt;
    }
    const time_point asked = keep_alive_.asked();
    if (!keep_alive_.on_pingresp(now_)) return std::nullopt;
    counters_.round_trip_time = now_ - asked;
    const op_id op = pings_.pop_front();
    if (op == op_id::none) return std::nullopt;
    return completed{.op = op};
}

inline std::optional<event> session::on_disconnect(const frame& frame) {
    const auto packet = decode<tern::disconnect>(frame, version_);
    if (!packet || version_ == protocol_version::v3_1_1) {
        fail(packet ? errc::unexpected_packet : packet.error());
    } else if (packet->properties.session_expiry_interval) {
        fail(errc::property_not_allowed); // [MQTT-3.14.2-2]
    } else if (packet->reason_code == reason_code::disconnect_with_will_message) {
        fail(errc::invalid_reason_code); // only a client says that [MQTT-3.14.2-1]
    } else {
        reason_string_ = packet->properties.reason_string.value_or("");
        server_reference_ = packet->properties.server_reference.value_or("");
        const bool says_why = packet->reason_code != reason_code::normal_disconnection;
        close(says_why ? make_error_code(packet->reason_code) : violation(errc::closed_by_peer), true);
    }
    return std::nullopt;
}

// What the broker grants is made again when it has lost the session. If it refuses that, the application is told.
inline void session::keep_granted(std::string_view subscribe_packet, const reason_codes_view& codes,
                                  bool renewed) {
    const auto packet = *decode<tern::subscribe>(next_frame(subscribe_packet)->frame, version_);
    auto code = codes.begin();
    for (const subscription& s : packet.subscriptions) {
        if (!is_failure(*code)) {
            subscriptions_.add(s, packet.properties.subscription_identifier);
        } else if (renewed) {
            subscriptions_.remove(s.filter);
            tell({.change = connection_change::subscription_refused, .error = *code, .filter = s.filter});
        }
        ++code;
    }
}

// One SUBSCRIBE at a time: the next one follows SUBACK.
inline void session::renew_subscriptions() {
    constexpr std::size_t size = 8'192;
    while (subscriptions_.has_more()) {
        std::vector<std::string> refused;
        errc error = errc::none;
        const std::size_t most = std::min(size, limits_.maximum_packet_size / 2);
        subscriptions_.next(most,
                            [&](const subscriptions_view& list, const subscribe_properties& properties) {
                                error = subscribe(list, properties, detail::sender::renewal, now_);
                                if (error == errc::none) return;
                                for (const subscription& s : list)
                                    refused.emplace_back(s.filter);
                            });
        if (error == errc::none) return;
        for (const std::string& filter : refused) {
            subscriptions_.remove(filter);
            tell({.change = connection_change::subscription_refused,
                  .error = misuse(error),
                  .filter = filter});
        }
    }
    renewal_due_ = false;
}

// What is unsubscribed is not made again.
inline void session::forget_filters(std::string_view unsubscribe_packet) {
    const auto packet = *decode<tern::unsubscribe>(next_frame(unsubscribe_packet)->frame, version_);
    for (const std::string_view filter : packet.filters)
        subscriptions_.remove(filter);
}

// Those that wait for the end of all messages.
inline std::optional<event> session::next_drained() {
    if (drains_.empty()) return std::nullopt;
    const bool drained = over_ || sender_.has_no_publish();
    for (std::size_t n = drains_.size(); n != 0; --n) {
        const draining d = drains_.pop_front();
        if (drained) return completed{.op = d.op};
        if (d.deadline <= now_) return completed{d.op, misuse(errc::drain_timeout)};
        drains_.push_back(d);
    }
    return std::nullopt;
}

// It is over: what was unfinished fails, then the session is idle again.
inline std::optional<event> session::next_failed() {
    const std::error_code error = cause_ ? cause_ : misuse(errc::disconnected);
    for (op_id op{}; sender_.next_failed(out_, op, has_state_);)
        if (op != op_id::none) return completed{op, error};
    if (!drains_.empty()) return completed{drains_.pop_front().op, error};
    if (!has_state_) forget_session();
    tell({.change = connection_change::stopped, .error = cause_});
    state_ = state::idle;
    return tell_next();
}

inline void session::send_acks() {
    for (detail::receiver::ack next; state_ == state::connected && receiver_.next_ack(next);) {
        if (next.exactly_once)
            send(pubrec{next.packet_id});
        else
            send(puback{next.packet_id});
    }
}

// Acknowledgements must not explain themselves to a client that does not want it [MQTT-3.1.2-29].
inline bool session::may_say(const ack_properties& properties) {
    if (wants_problem_information_ || detail::is_empty(properties)) return true;
    fail(errc::unwanted_problem_information);
    return false;
}

// Sends a small packet that is right by its making. A broker that does not even take that is of no use
// [MQTT-3.2.2-15].
template <packet Packet>
void session::send(const Packet& packet) {
    const std::size_t length = *detail::measure(packet, version_);
    if (detail::with_header(length) > limits_.maximum_packet_size)
        return close(violation(errc::packet_too_large), true);
    out_.queue(out_.encode(packet, version_, length));
}

} // namespace tern
