// The messages from the broker to one client, over any number of connections.
//
//     queued --> PUBLISH sent --PUBACK--> done                                   QoS 1
//                     |--PUBREC--> PUBREL sent --PUBCOMP--> done                 QoS 2
//
// `in_flight_` has the order of the first PUBLISH, which is also the order of resending [MQTT-4.6.0-5]. The first
// `sent_` of them have been sent on this connection and count against the client's Receive Maximum [MQTT-3.3.4-9].
//
// An acknowledgement may belong to a PUBLISH of an earlier connection, because the standard does not forbid to send a
// late one. The client then acknowledges the PUBLISH of this connection as well.
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
#include <set>
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
    // Sends or queues the message. The link is null while the client is not connected.
    void push(broker_delivery delivery, broker_link* link, broker_time now) {
        if (delivery.qos != qos::at_most_once) {
            queue_.push_back(std::move(delivery));
            if (link) send_pending(*link, now);
        } else if (link && !delivery.message.is_expired(now)) {
            (void)send(delivery, false, *link, now);
        }
    }

    // Resends all unacknowledged packets on a new connection [MQTT-4.4.0-1].
    void on_connected(broker_link& link, broker_time now) {
        sent_ = 0;
        earlier_.clear();
        for (const broker_delivery& each : in_flight_)
            earlier_.insert(each.packet_id);
        send_pending(link, now);
    }

    // Each of these returns the rule that the acknowledgement violates.

    broker_rule on_puback(const puback& ack, broker_link& link, broker_time now) {
        const std::size_t index = find(ack.packet_id);
        if (index == sent_) return check_unknown(ack.packet_id);
        if (in_flight_[index].qos != qos::at_least_once) return rules::wrong_kind;
        if (has_earlier_unacknowledged(index)) return rules::puback_order;
        remove(index);
        send_pending(link, now);
        return {};
    }

    broker_rule on_pubrec(const pubrec& ack, broker_link& link, broker_time now) {
        const std::size_t index = find(ack.packet_id);
        if (index == sent_) return check_unknown(ack.packet_id);
        if (in_flight_[index].qos != qos::exactly_once) return rules::wrong_kind;
        if (in_flight_[index].released)
            return earlier_.contains(ack.packet_id) ? broker_rule{} : rules::acknowledged_twice;
        if (has_earlier_unacknowledged(index)) return rules::pubrec_order;
        if (is_failure(ack.reason_code)) { // this ends the exchange [MQTT-4.4.0-2]
            remove(index);
            send_pending(link, now);
        } else {
            in_flight_[index].released = true;
            link.send(pubrel{.packet_id = ack.packet_id});
        }
        return {};
    }

    broker_rule on_pubcomp(const pubcomp& ack, broker_link& link, broker_time now) {
        const std::size_t index = find(ack.packet_id);
        if (index == sent_) return check_unknown(ack.packet_id);
        if (in_flight_[index].qos != qos::exactly_once) return rules::wrong_kind;
        if (!in_flight_[index].released) return rules::early_pubcomp;
        remove(index);
        send_pending(link, now);
        return {};
    }

private:
    // Sends as many messages as the client's Receive Maximum allows.
    void send_pending(broker_link& link, broker_time now) {
        while (sent_ != in_flight_.size()) {
            const broker_delivery& next = in_flight_[sent_];
            if (next.released)
                link.send(pubrel{.packet_id = next.packet_id});
            else if (sent_ >= link.receive_maximum)
                return;
            else if (!send(next, true, link, now)) {
                erase(sent_);
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
            if (!send(next, false, link, now)) // too large for the client: discarded [MQTT-3.1.2-25]
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

    // The index of a message that was sent on this connection, or `sent_` if there is none.
    std::size_t find(packet_id id) const {
        std::size_t index = 0;
        while (index != sent_ && in_flight_[index].packet_id != id)
            ++index;
        return index;
    }

    broker_rule check_unknown(packet_id id) const { return earlier_.contains(id) ? broker_rule{} : rules::unknown_id; }

    // Whether an earlier message of the same QoS awaits the same acknowledgement.
    bool has_earlier_unacknowledged(std::size_t index) const {
        return std::any_of(
            in_flight_.begin(), in_flight_.begin() + static_cast<std::ptrdiff_t>(index),
            [&](const broker_delivery& each) { return each.qos == in_flight_[index].qos && !each.released; });
    }

    void remove(std::size_t index) {
        erase(index);
        --sent_;
    }
    void erase(std::size_t index) {
        is_used_[in_flight_[index].packet_id] = false;
        in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(index));
    }

    // There is always an unused one, because Receive Maximum limits the messages in flight.
    packet_id unused_id() {
        if (is_used_.empty()) is_used_.resize(65'536);
        do
            ++last_id_;
        while (last_id_ == 0 || is_used_[last_id_]);
        return last_id_;
    }

    std::deque<broker_delivery> in_flight_;
    std::size_t sent_ = 0;
    std::set<packet_id> earlier_; // the messages in flight when this connection began
    std::deque<broker_delivery> queue_;
    std::vector<bool> is_used_;
    packet_id last_id_ = 0;
};

} // namespace tern::testing::detail
