// The messages on their way from one client to the broker: which are new, and which break a rule.
//
// The broker acts on a QoS 2 message when it arrives and keeps the packet identifier until PUBREL, so that it
// takes no message twice [MQTT-4.3.3-10]. What it knows of the client's mistakes it knows from the order of
// the packets: an acknowledgement that is not yet written cannot have been seen by the client (see
// broker_link), and one that was lost with a connection may be waited for for ever.
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
        last_here_.clear();
        last_repeated_ = 0;
        here_ = 0;
        for (exchange& each : open_)
            each.here = false;
    }

    // Whether a QoS 2 message with this packet identifier waits for its PUBREL.
    bool uses(packet_id id) const {
        return std::ranges::any_of(open_, [&](const exchange& each) { return each.id == id; });
    }

    struct verdict {
        broker_rule broken = {};
        bool is_new = true;
    };

    // For QoS 1 and 2.
    verdict on_publish(const publish& p, const broker_message& m, const broker_link& link,
                       std::size_t receive_maximum) {
        if (here_ + link.unseen_ends() >= receive_maximum) return {rules::receive_maximum};
        const auto open = find(p.packet_id);
        const verdict result = open != open_.end()            ? repeated(p, m, *open, link)
                               : p.dup                        ? verdict{delivered_before(p, link)}
                               : link.still_uses(p.packet_id) ? verdict{rules::id_in_use}
                                                              : verdict{};
        if (result.broken) return result;
        last_here_[p.packet_id] = p.message.qos == qos::exactly_once ? last::publish_2 : last::publish_1;
        if (p.message.qos != qos::exactly_once) return result;
        if (result.is_new) {
            open_.push_back({p.packet_id, ++last_number_, m, true});
            ++here_;
        } else { // its PUBREC is sent again: it is the last one now
            if (!std::exchange(open->here, true)) ++here_;
            std::rotate(open, open + 1, open_.end());
        }
        return result;
    }

    // For PUBREL; not new if the packet identifier is not known, which is no mistake after a lost PUBCOMP
    // [§3.6.2.1].
    verdict on_pubrel(const pubrel& p, const broker_link& link) {
        const auto open = find(p.packet_id);
        if (open == open_.end()) {
            const auto last_packet = last_here_.find(p.packet_id);
            if (last_packet == last_here_.end()) return {resumed_ ? broker_rule{} : rules::unknown_id, false};
            if (last_packet->second != last::pubrel) return {rules::unknown_id};
            return {link.version == protocol_version::v5 ? rules::sent_again : broker_rule{}, false};
        }
        if (link.pubrec_is_unseen(p.packet_id)) return {rules::early_pubrel};
        if (open != open_.begin()) return {rules::pubrel_order};
        if (open->here) --here_;
        open_.pop_front();
        last_here_[p.packet_id] = last::pubrel;
        return {};
    }

private:
    struct exchange {
        packet_id id;
        std::uint64_t number; // in the order of arrival
        broker_message message;
        bool here; // on this connection
    };
    enum class last { publish_1, publish_2, pubrel };

    // A PUBLISH whose packet identifier waits for PUBREL: it must be the same message again.
    verdict repeated(const publish& p, const broker_message& m, const exchange& open,
                     const broker_link& link) {
        const bool same = *open.message.content == *m.content;
        if (!same) return {p.dup ? rules::other_content : rules::id_in_use};
        if (!p.dup) return {rules::dup_missing};
        if (open.here && link.version == protocol_version::v5) return {rules::sent_again};
        if (!open.here && open.number < last_repeated_) return {rules::publish_order};
        last_repeated_ = std::max(last_repeated_, open.number);
        return {.is_new = false};
    }

    // A PUBLISH with DUP that does not wait for PUBREL: it may have been lost, or its PUBACK, with a
    // connection. That it is like one that waits for PUBREL says nothing: two messages may be alike.
    broker_rule delivered_before(const publish& p, const broker_link& link) const {
        const bool twice = p.message.qos == qos::exactly_once;
        const broker_rule is_new = twice ? rules::new_with_dup_2 : rules::new_with_dup_1;
        const auto last_packet = last_here_.find(p.packet_id);
        if (last_packet == last_here_.end()) return resumed_ ? broker_rule{} : is_new;
        if (twice && last_packet->second == last::pubrel) return rules::publish_after_pubrel;
        if (link.version == protocol_version::v5) return rules::sent_again;
        // 3.1.1 does not forbid to repeat a QoS 1 message that is not acknowledged yet.
        return !twice && last_packet->second == last::publish_1 ? broker_rule{} : is_new;
    }

    std::deque<exchange>::iterator find(packet_id id) {
        return std::ranges::find_if(open_, [&](const exchange& each) { return each.id == id; });
    }

    std::deque<exchange> open_; // in the order of their PUBRECs
    std::unordered_map<packet_id, last> last_here_;
    std::size_t here_ = 0; // how many of them came on this connection
    std::uint64_t last_number_ = 0;
    std::uint64_t last_repeated_ = 0;
    bool resumed_ = false;
};

} // namespace tern::testing::detail
