// The broker's messages to the client.
#include "cuts_broker.hpp"
#include "tern/topic.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

namespace cuts {

void broker::pass_on(std::size_t number, std::string_view topic, unsigned qos, bool retain, ledger& all) {
    if (retain) retained_.push_back({std::string(topic), number, qos});
    for (const subscription& each : subscriptions_)
        if (tern::matches(each.filter, topic)) deliver(each, number, topic, qos, false, all);
}

void broker::deliver(const subscription& s, std::size_t number, std::string_view topic, unsigned qos, bool retain,
                     ledger& all) {
    record& r = all[number];
    delivery d{.number = number,
               .qos = std::min(qos, s.qos),
               .topic = std::string(topic),
               .identifier = s.identifier,
               .retain = retain};
    r.granted_qos = d.qos;
    if (r.most++ == 0) r.order = ++order_;
    if (d.qos != 0) {
        ++r.least;
        queue_.push_back(std::move(d));
        if (open_ && accepted_ && !ended_) pump();
    } else if (open_ && accepted_ && !ended_) {
        send(d, false);
    } else {
        --r.most;
    }
}

// Resends unacknowledged messages on a new connection [MQTT-4.4.0-1], as many as Receive Maximum allows
// [MQTT-3.3.4-9].
void broker::pump() {
    for (; sent_ != deliveries_.size(); ++sent_) {
        delivery& next = deliveries_[sent_];
        if (!next.released && sent_ >= receive_maximum_) return;
        send(next, true);
    }
    while (!queue_.empty() && sent_ < receive_maximum_) {
        deliveries_.push_back(std::move(queue_.front()));
        queue_.erase(queue_.begin());
        deliveries_.back().id = ++last_id_;
        send(deliveries_.back(), false);
        ++sent_;
    }
}

void broker::send(delivery& d, bool dup) {
    if (d.released) {
        put(tern::pubrel{d.id});
        d.end = output_.size();
        return;
    }
    std::string payload = std::to_string(d.number);
    tern::publish p{.dup = dup, .packet_id = d.id};
    p.message.topic = d.topic;
    p.message.payload = payload;
    p.message.qos = static_cast<tern::qos>(d.qos);
    p.message.retain = d.retain;
    if (d.identifier) p.message.properties.subscription_identifiers = std::span(&*d.identifier, 1);
    put(p);
    d.end = output_.size();
}

std::size_t broker::find_delivery(tern::packet_id id) const {
    for (std::size_t at = 0; at != sent_; ++at)
        if (deliveries_[at].id == id) return at;
    fail("an acknowledgement for an identifier that is not in use on this connection");
}

// Requires that acknowledgements follow the order of the messages [MQTT-4.6.0-2, MQTT-4.6.0-3].
void broker::check_order(std::size_t at) const {
    const delivery& d = deliveries_[at];
    if (d.end > seen_) fail("an acknowledgement before the message was read");
    for (std::size_t i = 0; i != at; ++i)
        if (deliveries_[i].qos == d.qos && !deliveries_[i].released)
            fail("acknowledgements in another order than the messages [MQTT-4.6.0-2, -3]");
}

void broker::remove_delivery(std::size_t at) {
    deliveries_.erase(deliveries_.begin() + static_cast<std::ptrdiff_t>(at));
    --sent_;
    pump();
}

void broker::on(const tern::puback& p) {
    const std::size_t at = find_delivery(p.packet_id);
    if (deliveries_[at].qos != 1) fail("PUBACK for QoS 2");
    check_order(at);
    remove_delivery(at);
}

void broker::on(const tern::pubrec& p) {
    const std::size_t at = find_delivery(p.packet_id);
    delivery& d = deliveries_[at];
    if (d.qos != 2) fail("PUBREC for QoS 1");
    if (d.released) fail("a second PUBREC [MQTT-4.3.3-8]");
    check_order(at);
    d.released = true;
    put(tern::pubrel{d.id});
    d.end = output_.size();
}

void broker::on(const tern::pubcomp& p) {
    const std::size_t at = find_delivery(p.packet_id);
    const delivery& d = deliveries_[at];
    if (d.qos != 2 || !d.released || d.end > seen_) fail("PUBCOMP before PUBREL [MQTT-4.3.3-11]");
    remove_delivery(at);
}

} // namespace cuts
