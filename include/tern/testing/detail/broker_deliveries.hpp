// The messages on their way from the broker to one client, over any number of connections.
//
//     queued --> PUBLISH sent --PUBACK--> gone                                   QoS 1
//                     |--PUBREC--> PUBREL sent --PUBCOMP--> gone                 QoS 2
//
// `in_flight_` is in the order of the first PUBLISH, which is the order of every repetition [MQTT-4.6.0-5].
// The first `sent_` of them have been sent on this connection; they fill the client's Receive Maximum
// [MQTT-3.3.4-9].
#pragma once

#include "tern/codec/publish.hpp"
#include "tern/testing/detail/broker_link.hpp"
#include "tern/testing/detail/broker_message.hpp"
#include "tern/testing/detail/broker_rule.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace tern::testing::detail {

struct broker_delivery {
    broker_message message;
    tern::qos qos = tern::qos::at_most_once;
    bool retain = false;
    std::vector<std::uint32_t> subscription_identifiers = {};
    tern::packet_id packet_id = 0;
    bool released = false; // PUBREL has been sent
};

class broker_deliveries {
public:
    // Sends the message or keeps it for later. The link is null while the client is away.
    void push(broker_delivery delivery, broker_link* link, broker_time now) {
        if (delivery.qos != qos::at_most_once) {
            queue_.push_back(std::move(delivery));
            if (link) pump(*link, now);
        } else if (link && !delivery.message.is_expired(now)) {
            (void)send(delivery, false, *link, now);
        }
    }

    // On a new connection all that is unacknowledged is sent again [MQTT-4.4.0-1].
    void on_connected(broker_link& link, broker_time now) {
        sent_ = 0;
        pump(link, now);
    }

    // Each returns the rule that the acknowledgement breaks.

    broker_rule on_puback(const puback& ack, broker_link& link, broker_time now) {
        const std::size_t at = find(ack.packet_id);
        if (at == sent_) return rules::unknown_id;
        if (in_flight_[at].qos != qos::at_least_once) return rules::wrong_kind;
        if (waits_before(at)) return rules::puback_order;
        remove(at);
        pump(link, now);
        return {};
    }

    broker_rule on_pubrec(const pubrec& ack, broker_link& link, broker_time now) {
        const std::size_t at = find(ack.packet_id);
        if (at == sent_) return rules::unknown_id;
        if (in_flight_[at].qos != qos::exactly_once) return rules::wrong_kind;
        if (in_flight_[at].released) return rules::acknowledged_twice;
        if (waits_before(at)) return rules::pubrec_order;
        if (is_failure(ack.reason_code)) { // that was the last of it [MQTT-4.4.0-2]
            remove(at);
            pump(link, now);
        } else {
            in_flight_[at].released = true;
            link.send(pubrel{.packet_id = ack.packet_id});
        }
        return {};
    }

    broker_rule on_pubcomp(const pubcomp& ack, broker_link& link, broker_time now) {
        const std::size_t at = find(ack.packet_id);
        if (at == sent_) return rules::unknown_id;
        if (in_flight_[at].qos != qos::exactly_once) return rules::wrong_kind;
        if (!in_flight_[at].released) return rules::early_pubcomp;
        remove(at);
        pump(link, now);
        return {};
    }

private:
    // Sends as much as the client's Receive Maximum allows.
    void pump(broker_link& link, broker_time now) {
        while (sent_ != in_flight_.size()) {
            const broker_delivery& next = in_flight_[sent_];
            if (next.released)
                link.send(pubrel{.packet_id = next.packet_id});
            else if (sent_ >= link.receive_maximum)
                return;
            else if (!send(next, true, link, now)) {
                forget(sent_);
                continue;
            }
            ++sent_;
        }
        while (!queue_.empty() && sent_ < link.receive_maximum) {
            broker_delivery next = std::move(queue_.front());
            queue_.pop_front();
            if (next.message.is_expired(now)) // [MQTT-3.3.2-5]
                continue;
            next.packet_id = unused_id();
            if (!send(next, false, link,
                      now)) // too large for the client: as if it had been sent [MQTT-3.1.2-25]
                continue;
            is_used_[next.packet_id] = true;
            in_flight_.push_back(std::move(next));
            ++sent_;
        }
    }

    static bool send(const broker_delivery& delivery, bool dup, broker_link& link, broker_time now) {
        publish p{.message = delivery.message.view(now), .dup = dup, .packet_id = delivery.packet_id};
        p.message.qos = delivery.qos;
        p.message.retain = delivery.retain;
        p.message.properties.subscription_identifiers = delivery.subscription_identifiers;
        if (link.version == protocol_version::v3_1_1) p.message.properties = {};
        return link.send(p);
    }

    // Among those that were sent on this connection; `sent_` if there is none.
    std::size_t find(packet_id id) const {
        std::size_t at = 0;
        while (at != sent_ && in_flight_[at].packet_id != id)
            ++at;
        return at;
    }

    // Whether an earlier message of the same QoS waits for the same acknowledgement.
    bool waits_before(std::size_t at) const {
        return std::any_of(
            in_flight_.begin(), in_flight_.begin() + static_cast<std::ptrdiff_t>(at),
            [&](const broker_delivery& each) { return each.qos == in_flight_[at].qos && !each.released; });
    }

    void remove(std::size_t at) {
        forget(at);
        --sent_;
    }
    void forget(std::size_t at) {
        is_used_[in_flight_[at].packet_id] = false;
        in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(at));
    }

    packet_id unused_id() { // there is one: Receive Maximum is at most 65,535, and 0 is not an identifier
        if (is_used_.empty()) is_used_.resize(65'536);
        do
            ++last_id_;
        while (last_id_ == 0 || is_used_[last_id_]);
        return last_id_;
    }

    std::deque<broker_delivery> in_flight_;
    std::size_t sent_ = 0;
    std::deque<broker_delivery> queue_;
    std::vector<bool> is_used_;
    packet_id last_id_ = 0;
};

} // namespace tern::testing::detail
