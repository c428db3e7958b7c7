// What a session does with the packets that come.
#pragma once

#include "tern/detail/inline.hpp"
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

// The shortest acknowledgement.
template <class Packet>
TERN_INLINE inline void session::send_success(tern::packet_id id) {
    const auto place = out_.encode_as<true>(Packet{.packet_id = id}, version_, detail::shortest_ack);
    if (place.size > limits_.maximum_packet_size) [[unlikely]]
        return close(violation(errc::packet_too_large), true);
    out_.queue(place);
}

inline polled_event session::poll_event() {
    polled_event next; // the only one that is returned, so that no event is copied
    sender_.send_next(out_, now_);
    const bool news = !told_.empty() || pings_lost_;
    if (news && tell_news(next)) return next;
    if (op_id op{}; sender_.next_written(out_, op)) {
        complete(next, op);
        return next;
    }
    if (has_ends() && tell_end(next)) return next;
    read_packets(next);
    if (next) return next;
    send_acks();
    if (!told_.empty()) // a subscription was not renewed
        tell_front(next);
    else if (has_ends()) // there may have been acknowledgements that nobody waited for
        tell_end(next);
    return next;
}

// What has become of the connection, and with it of those who waited for PINGRESP.
TERN_NOINLINE inline bool session::tell_news(polled_event& next) {
    if (std::exchange(telling_, false)) told_.drop_front();
    if (!told_.empty()) return tell_front(next);
    told_.clear();
    while (pings_lost_ && !pings_.empty())
        if (const op_id op = pings_.pop_front(); op != op_id::none) return complete(next, op, lost_cause_);
    pings_lost_ = false;
    return false;
}

// What ends without another packet.
TERN_NOINLINE inline bool session::tell_end(polled_event& next) {
    if (detail::send_queue::ended_message m; sender_.queue().next_ended(m))
        return complete(next, m.op, misuse(m.error));
    if (state_ == state::ending && next_failed(next)) return true;
    return !drains_.empty() && next_drained(next);
}

TERN_INLINE inline bool session::on_publish(const frame& frame, polled_event& next) {
    received& message = next.emplace<received>(tern::publish{});
    bool deliver = false;
    errc error = detail::decode_into<tern::publish>(message, frame, version_);
    if (error == errc::none) error = receiver_.on_publish(message, deliver, message.token);
    if (deliver) {
        ++messages_received_;
        return true;
    }
    next.reset();
    return error != errc::none && reject(error);
}

inline void session::read_packets(polled_event& next) {
    while (state_ == state::connected ? reading_ : state_ == state::handshake) {
        const auto found = next_frame(in_.bytes(), maximum_packet_size_);
        if (!found) return fail(found.error());
        if (!found->complete) return in_.expect(found->size);
        const bool told = state_ == state::handshake                    ? on_first_packet(found->frame, next)
                          : found->frame.type() == packet_type::publish ? on_publish(found->frame, next)
                                                                        : on_packet(found->frame, next);
        in_.consume(found->size); // the event borrows from it until it is overwritten
        if (told) return;
        sender_.send_next(out_, now_);
    }
}

// What may come at first is CONNACK and nothing else [MQTT-3.2.0-1]. True if there is something to tell: then it is in
// `next`.
TERN_NOINLINE inline bool session::on_first_packet(frame frame, polled_event& next) {
    asked_ = false;
    if (frame.type() == packet_type::connack) return on_connack(frame, next);
    return frame.type() == packet_type::auth ? on_auth() : reject(errc::unexpected_packet);
}

// Anything but a message; as above.
TERN_INLINE inline bool session::on_packet(frame frame, polled_event& next) {
    switch (frame.type()) {
    case packet_type::puback: return on_publish_ack<puback>(frame, next);
    case packet_type::pubrec: return on_publish_ack<pubrec>(frame, next);
    case packet_type::pubrel: return on_publish_ack<pubrel>(frame, next);
    case packet_type::pubcomp: return on_publish_ack<pubcomp>(frame, next);
    case packet_type::suback: return on_filter_ack<suback>(frame, next);
    case packet_type::unsuback: return on_filter_ack<unsuback>(frame, next);
    case packet_type::pingresp: return on_pingresp(frame, next);
    case packet_type::disconnect: return on_disconnect(frame);
    case packet_type::auth: return on_auth();
    default: return reject(errc::unexpected_packet); // what only a client sends, or a second CONNACK
    }
}

template <class Packet>
TERN_INLINE inline bool session::on_publish_ack(const frame& frame, polled_event& next) {
    Packet packet;
    if (const errc error = detail::decode_into(packet, frame, version_); error != errc::none)
        return reject(error);
    if (!may_say(packet.properties)) return false;
    const bool v5 = version_ == protocol_version::v5;
    const tern::packet_id id = packet.packet_id;
    detail::sender::outcome outcome;
    if constexpr (Packet::type == packet_type::pubrel) {
        bool known = false;
        if (const errc broken = receiver_.on_pubrel(id, known); broken != errc::none) return reject(broken);
        if (known || !v5)
            send_success<pubcomp>(id);
        else
            send(pubcomp{id, reason_code::packet_identifier_not_found});
        return false;
    } else if constexpr (Packet::type == packet_type::pubrec) {
        outcome = sender_.on_pubrec(out_, packet, now_);
    } else if constexpr (Packet::type == packet_type::pubcomp) {
        outcome = sender_.on_pubcomp(out_, id);
    } else {
        outcome = sender_.on_ack(out_, detail::exchange_state::publish_1, id);
    }
    if (outcome.unknown && Packet::type == packet_type::pubrec)
        send(pubrel{id, v5 ? reason_code::packet_identifier_not_found : reason_code::success});
    if (outcome.error != errc::none) fail(outcome.error);
    if (outcome.finished) round_trip_time_ = now_ - outcome.sent_at;
    if (!outcome.finished || outcome.op == op_id::none) return false;
    // With PUBCOMP the message has arrived, whatever it says.
    const bool refused = Packet::type != packet_type::pubcomp && is_failure(packet.reason_code);
    completed& done = next.emplace<completed>(outcome.op);
    if (refused) done.error = packet.reason_code;
    done.answer.reason_code = packet.reason_code;
    done.answer.properties = packet.properties;
    return true;
}

template <class Packet>
bool session::on_filter_ack(const frame& frame, polled_event& next) {
    const auto packet = decode<Packet>(frame, version_);
    if (!packet) return reject(packet.error());
    if (!may_say(packet->properties)) return false;
    constexpr bool subscribed = Packet::type == packet_type::suback;
    const std::string request{sender_.packet_of(out_, packet->packet_id)};
    const auto expected =
        subscribed ? detail::exchange_state::subscribe : detail::exchange_state::unsubscribe;
    const auto outcome = sender_.expect_ack(expected, packet->packet_id);
    if (outcome.error != errc::none) fail(outcome.error);
    if (!outcome.finished) return false;
    round_trip_time_ = now_ - outcome.sent_at;

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
    if (outcome.op == op_id::none || outcome.op == detail::sender::renewal) return false;
    next.emplace<completed>(done);
    return true;
}

inline bool session::on_pingresp(const frame& frame, polled_event& next) {
    if (const auto packet = decode<pingresp>(frame, version_); !packet) return reject(packet.error());
    const time_point asked = keep_alive_.asked();
    if (!keep_alive_.on_pingresp(now_)) return false;
    round_trip_time_ = now_ - asked;
    const op_id op = pings_.pop_front();
    return op != op_id::none && complete(next, op);
}

inline bool session::on_disconnect(const frame& frame) {
    const auto packet = decode<tern::disconnect>(frame, version_);
    if (!packet) return reject(packet.error());
    if (version_ == protocol_version::v3_1_1) return reject(errc::unexpected_packet);
    if (packet->properties.session_expiry_interval)
        return reject(errc::property_not_allowed); // [MQTT-3.14.2-2]
    if (packet->reason_code == reason_code::disconnect_with_will_message)
        return reject(errc::invalid_reason_code); // only a client says that [MQTT-3.14.2-1]
    keep_last_words(packet->properties);
    const bool says_why = packet->reason_code != reason_code::normal_disconnection;
    close(says_why ? make_error_code(packet->reason_code) : violation(errc::closed_by_peer), true);
    return false;
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
        const std::size_t most = std::min<std::size_t>(size, limits_.maximum_packet_size / 2);
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
inline bool session::next_drained(polled_event& next) {
    const bool drained = over_ || sender_.has_no_publish();
    for (std::size_t n = drains_.size(); n != 0; --n) {
        const draining d = drains_.pop_front();
        if (drained) return complete(next, d.op);
        if (d.deadline <= now_) return complete(next, d.op, misuse(errc::drain_timeout));
        drains_.push_back(d);
    }
    return false;
}

// It is over: what was unfinished fails, then the session is idle again.
inline bool session::next_failed(polled_event& next) {
    const std::error_code error = cause_ ? cause_ : misuse(errc::disconnected);
    for (op_id op{}; sender_.next_failed(out_, op, has_state_);)
        if (op != op_id::none) return complete(next, op, error);
    if (!drains_.empty()) return complete(next, drains_.pop_front().op, error);
    if (!has_state_) forget_session();
    tell({.change = connection_change::stopped, .error = cause_});
    state_ = state::idle;
    return tell_front(next);
}

// All at once, when nothing else is left to be done: acknowledgements whose turn it is.
inline void session::send_acks() {
    for (detail::receiver::ack next; state_ == state::connected && receiver_.next_ack(next);) {
        if (next.exactly_once)
            send_success<pubrec>(next.packet_id);
        else
            send_success<puback>(next.packet_id);
        receiver_.take_ack(next); // now: without memory it is still due
    }
}

// Acknowledgements must not explain themselves to a client that does not want it [MQTT-3.1.2-29].
TERN_NOINLINE inline bool session::may_say_little(const ack_properties& properties) {
    if (detail::is_empty(properties)) return true;
    fail(errc::unwanted_problem_information);
    return false;
}

// Sends a small packet that is right by its making. A broker that does not even take that is of no use
// [MQTT-3.2.2-15].
template <packet Packet>
void session::send(const Packet& packet) {
    const auto length = *detail::measure(packet, version_);
    if (detail::with_header(length) > limits_.maximum_packet_size)
        return close(violation(errc::packet_too_large), true);
    out_.queue(out_.encode(packet, version_, length));
}

} // namespace tern
