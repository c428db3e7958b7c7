// The messages from one client to the broker: detects duplicates and violations.
//
// The broker routes a QoS 2 message when it arrives, and keeps the packet identifier until PUBREL in order to detect
// duplicates [MQTT-4.3.3-10]. It derives violations from the order of the packets. The client cannot have received an
// acknowledgement that is not yet written (see broker_link). It receives those that were written on the present
// connection in order, and may never receive one that was written on an earlier connection.
#pragma once

#include "tern/codec/publish.hpp"
#include "tern/testing/detail/broker_link.hpp"
#include "tern/testing/detail/broker_message.hpp"
#include "tern/testing/detail/broker_rule.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace tern::testing::detail {

// The messages of earlier connections that a client may send again.
enum class resending : std::uint8_t {
    none,     // The session is new to both sides.
    possible, // Also messages that never arrived, and PUBRELs for messages that the broker no longer knows.
};

class broker_arrivals {
public:
    void on_connected(resending earlier_messages) {
        ++connection_;
        resending_ = earlier_messages;
        last_packets_.clear();
        last_resent_ = {};
        exchanges_on_connection_ = 0;
    }

    // Whether a QoS 2 message with this packet identifier awaits PUBREL.
    bool has_exchange(packet_id id) const {
        return std::ranges::any_of(exchanges_, [&](const exchange& each) { return each.id == id; });
    }

    struct verdict {
        broker_rule broken_rule = {};
        bool is_new = true;
        // The acknowledgement that the client cannot have before it is written. None if it may have an earlier copy.
        std::optional<broker_link::unwritten> acknowledgement = {};
    };

    // Handles a PUBLISH with QoS 1 or 2.
    verdict on_publish(const publish& p, const broker_message& m, const broker_link& link,
                       std::size_t receive_maximum) {
        const bool twice = p.message.qos == qos::exactly_once;
        const auto open = find(p.packet_id);
        verdict result = open != exchanges_.end()              ? check_resent(p, m, *open, link)
                         : p.dup                               ? check_dup(p, link)
                         : link.has_unwritten_end(p.packet_id) ? verdict{rules::id_in_use}
                                                               : verdict{.acknowledgement = answer_to(p)};
        if (result.broken_rule) return result;
        if (result.acknowledgement && exchanges_on_connection_ + link.unwritten_publish_ends() >= receive_maximum)
            return {rules::receive_maximum};
        last_packets_[p.packet_id] = twice ? last::publish_2 : last::publish_1;
        if (!twice || !result.acknowledgement) return result;
        ++exchanges_on_connection_;
        const std::uint64_t arrival = ++last_arrival_;
        if (result.is_new) {
            exchanges_.push_back({p.packet_id, {connection_, !p.dup, arrival}, m, connection_, arrival, p.dup});
        } else {
            open->connection = connection_;
            open->arrival = arrival;
            open->is_resent = true;
        }
        return result;
    }

    // Handles PUBREL. It is not new if the packet identifier is unknown, which is allowed after a lost PUBCOMP
    // [§3.6.2.1].
    verdict on_pubrel(const pubrel& p, const broker_link& link) {
        const auto open = find(p.packet_id);
        if (open == exchanges_.end()) return on_unknown_pubrel(p, link);
        if (link.has_unwritten_pubrec(p.packet_id)) return {rules::early_pubrel};
        if (std::ranges::any_of(exchanges_, [&](const exchange& each) { return is_released_before(each, *open); }))
            return {rules::pubrel_order};
        const bool counts = open->connection == connection_;
        if (counts) --exchanges_on_connection_;
        exchanges_.erase(open);
        last_packets_[p.packet_id] = last::pubrel;
        return {.acknowledgement =
                    counts ? broker_link::unwritten::end_of_publish : broker_link::unwritten::end_of_earlier_publish};
    }

private:
    // The order of the first PUBLISH packets. If a message is unknown although it has DUP, its first PUBLISH was lost
    // with an earlier connection. It precedes the new messages of its connection.
    struct original_order {
        std::uint64_t connection = 0;
        bool is_new = false;
        std::uint64_t arrival = 0;
        friend auto operator<=>(const original_order&, const original_order&) = default;
    };
    struct exchange {
        packet_id id;
        original_order order;
        broker_message message;
        std::uint64_t connection; // on which PUBLISH arrived last
        std::uint64_t arrival;    // ascends in the order in which PUBLISH first arrived on that connection
        bool is_resent;           // whether it had DUP then
    };
    enum class last { publish_1, publish_2, pubrel };

    // Whether the client has certainly received the PUBREC of the first message before that of the second one, so that
    // it must send its PUBREL first. PUBRECs of one connection arrive in order. A message that is sent again follows
    // all earlier ones whose PUBREC the client has not received on an earlier connection.
    static bool is_released_before(const exchange& first, const exchange& second) {
        return first.arrival < second.arrival &&
               (first.connection == second.connection || (second.is_resent && first.order < second.order));
    }

    static broker_link::unwritten answer_to(const publish& p) {
        return p.message.qos == qos::exactly_once ? broker_link::unwritten::pubrec
                                                  : broker_link::unwritten::end_of_publish;
    }

    // Whether it is the same message. A client may count down the expiry interval while the message waits.
    static bool is_same(const broker_message& a, const broker_message& b) {
        message_view first = a.content->view(), second = b.content->view();
        first.properties.message_expiry_interval = second.properties.message_expiry_interval = std::nullopt;
        return first == second;
    }

    // Checks a PUBLISH whose packet identifier awaits PUBREL. It must be the same message.
    verdict check_resent(const publish& p, const broker_message& m, const exchange& open, const broker_link& link) {
        if (!is_same(open.message, m)) return {p.dup ? rules::other_content : rules::id_in_use};
        if (!p.dup) return {rules::dup_missing};
        if (open.connection == connection_) {
            if (link.version == protocol_version::v5) return {rules::resent};
            return {.is_new = false}; // 3.1.1 does not forbid it
        }
        if (open.order < last_resent_) return {rules::publish_order};
        last_resent_ = open.order;
        return {.is_new = false, .acknowledgement = answer_to(p)};
    }

    // Checks a PUBLISH with DUP whose packet identifier does not await PUBREL. The first PUBLISH or its PUBACK may have
    // been lost with a connection. Its content may equal that of a message that awaits PUBREL, since two messages may
    // have the same content.
    verdict check_dup(const publish& p, const broker_link& link) const {
        const bool twice = p.message.qos == qos::exactly_once;
        const broker_rule is_new = twice ? rules::new_with_dup_2 : rules::new_with_dup_1;
        const auto last_packet = last_packets_.find(p.packet_id);
        if (last_packet == last_packets_.end()) {
            if (resending_ == resending::none) return {is_new};
            return {.acknowledgement = answer_to(p)};
        }
        if (twice && last_packet->second == last::pubrel) return {rules::publish_after_pubrel};
        if (link.version == protocol_version::v5) return {rules::resent};
        // 3.1.1 does not forbid resending an unacknowledged QoS 1 message on the same connection.
        return !twice && last_packet->second == last::publish_1 ? verdict{} : verdict{is_new};
    }

    verdict on_unknown_pubrel(const pubrel& p, const broker_link& link) {
        const auto last_packet = last_packets_.find(p.packet_id);
        if (last_packet == last_packets_.end()) {
            if (resending_ == resending::none) return {rules::unknown_id, false};
            last_packets_[p.packet_id] = last::pubrel;
            return {.is_new = false, .acknowledgement = broker_link::unwritten::end_of_earlier_publish};
        }
        if (last_packet->second != last::pubrel) return {rules::unknown_id};
        return {link.version == protocol_version::v5 ? rules::resent : broker_rule{}, false};
    }

    std::vector<exchange>::iterator find(packet_id id) {
        return std::ranges::find_if(exchanges_, [&](const exchange& each) { return each.id == id; });
    }

    std::vector<exchange> exchanges_;                  // QoS 2 messages that await PUBREL
    std::unordered_map<packet_id, last> last_packets_; // of this connection
    std::size_t exchanges_on_connection_ = 0;          // the exchanges whose PUBLISH arrived on this connection
    std::uint64_t connection_ = 0;                     // the number of this connection in the session
    std::uint64_t last_arrival_ = 0;
    original_order last_resent_; // on this connection
    resending resending_ = resending::none;
};

} // namespace tern::testing::detail
