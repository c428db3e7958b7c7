// The messages from one client to the broker: detects duplicates and violations.
//
// The broker routes a QoS 2 message when it arrives, and keeps the packet identifier until PUBREL in order to detect
// duplicates [MQTT-4.3.3-10]. It derives violations from the order of the packets: the client cannot have received an
// acknowledgement that is not yet written (see broker_link), and it may never receive one that was lost with a
// connection.
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
#include <unordered_map>
#include <utility>

namespace tern::testing::detail {

class broker_arrivals {
public:
    void on_connected(bool session_present) {
        resumed_ = session_present;
        last_packets_.clear();
        last_resent_number_ = 0;
        exchanges_on_connection_ = 0;
        for (exchange& each : exchanges_)
            each.on_this_connection = false;
    }

    // Whether a QoS 2 message with this packet identifier awaits PUBREL.
    bool has_exchange(packet_id id) const {
        return std::ranges::any_of(exchanges_, [&](const exchange& each) { return each.id == id; });
    }

    struct verdict {
        broker_rule broken_rule = {};
        bool is_new = true;
    };

    // Handles a PUBLISH with QoS 1 or 2.
    verdict on_publish(const publish& p, const broker_message& m, const broker_link& link,
                       std::size_t receive_maximum) {
        if (exchanges_on_connection_ + link.unwritten_publish_ends() >= receive_maximum)
            return {rules::receive_maximum};
        const auto open = find(p.packet_id);
        const verdict result = open != exchanges_.end()              ? check_resent(p, m, *open, link)
                               : p.dup                               ? verdict{check_dup(p, link)}
                               : link.has_unwritten_end(p.packet_id) ? verdict{rules::id_in_use}
                                                                     : verdict{};
        if (result.broken_rule) return result;
        last_packets_[p.packet_id] = p.message.qos == qos::exactly_once ? last::publish_2 : last::publish_1;
        if (p.message.qos != qos::exactly_once) return result;
        if (result.is_new) {
            exchanges_.push_back({p.packet_id, ++last_number_, m, true});
            ++exchanges_on_connection_;
        } else { // its PUBREC is resent, so it is now the last one in that order
            if (!std::exchange(open->on_this_connection, true)) ++exchanges_on_connection_;
            std::rotate(open, open + 1, exchanges_.end());
        }
        return result;
    }

    // Handles PUBREL. It is not new if the packet identifier is unknown, which is allowed after a lost PUBCOMP
    // [§3.6.2.1].
    verdict on_pubrel(const pubrel& p, const broker_link& link) {
        const auto open = find(p.packet_id);
        if (open == exchanges_.end()) {
            const auto last_packet = last_packets_.find(p.packet_id);
            if (last_packet == last_packets_.end()) return {resumed_ ? broker_rule{} : rules::unknown_id, false};
            if (last_packet->second != last::pubrel) return {rules::unknown_id};
            return {link.version == protocol_version::v5 ? rules::resent : broker_rule{}, false};
        }
        if (link.has_unwritten_pubrec(p.packet_id)) return {rules::early_pubrel};
        if (open != exchanges_.begin()) return {rules::pubrel_order};
        if (open->on_this_connection) --exchanges_on_connection_;
        exchanges_.pop_front();
        last_packets_[p.packet_id] = last::pubrel;
        return {};
    }

private:
    struct exchange {
        packet_id id;
        std::uint64_t number; // ascends in the order of arrival
        broker_message message;
        bool on_this_connection; // whether PUBLISH has arrived on this connection
    };
    enum class last { publish_1, publish_2, pubrel };

    // Checks a PUBLISH whose packet identifier awaits PUBREL. It must be the same message.
    verdict check_resent(const publish& p, const broker_message& m, const exchange& open, const broker_link& link) {
        const bool same = *open.message.content == *m.content;
        if (!same) return {p.dup ? rules::other_content : rules::id_in_use};
        if (!p.dup) return {rules::dup_missing};
        if (open.on_this_connection && link.version == protocol_version::v5) return {rules::resent};
        if (!open.on_this_connection && open.number < last_resent_number_) return {rules::publish_order};
        last_resent_number_ = std::max(last_resent_number_, open.number);
        return {.is_new = false};
    }

    // Checks a PUBLISH with DUP whose packet identifier does not await PUBREL. The first PUBLISH or its PUBACK may have
    // been lost with a connection. Its content may equal that of a message that awaits PUBREL, since two messages may
    // have the same content.
    broker_rule check_dup(const publish& p, const broker_link& link) const {
        const bool twice = p.message.qos == qos::exactly_once;
        const broker_rule is_new = twice ? rules::new_with_dup_2 : rules::new_with_dup_1;
        const auto last_packet = last_packets_.find(p.packet_id);
        if (last_packet == last_packets_.end()) return resumed_ ? broker_rule{} : is_new;
        if (twice && last_packet->second == last::pubrel) return rules::publish_after_pubrel;
        if (link.version == protocol_version::v5) return rules::resent;
        // 3.1.1 does not forbid resending an unacknowledged QoS 1 message on the same connection.
        return !twice && last_packet->second == last::publish_1 ? broker_rule{} : is_new;
    }

    std::deque<exchange>::iterator find(packet_id id) {
        return std::ranges::find_if(exchanges_, [&](const exchange& each) { return each.id == id; });
    }

    std::deque<exchange> exchanges_; // QoS 2 messages that await PUBREL, in the order of their PUBRECs
    std::unordered_map<packet_id, last> last_packets_; // of this connection
    std::size_t exchanges_on_connection_ = 0;          // the exchanges that are `on_this_connection`
    std::uint64_t last_number_ = 0;
    std::uint64_t last_resent_number_ = 0;
    bool resumed_ = false;
};

} // namespace tern::testing::detail
