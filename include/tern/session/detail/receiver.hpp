// Incoming messages: QoS 2 duplicates are dropped, topic aliases resolved, acknowledgements sent in the order
// in which the messages came.
//
//     QoS 1   PUBLISH -> deliver; released -> PUBACK
//     QoS 2   PUBLISH -> deliver; released -> PUBREC; PUBREL -> PUBCOMP, the identifier is free
//             PUBLISH again before PUBREL -> PUBREC, not delivered [MQTT-4.3.3-10]
#pragma once

#include "tern/codec/publish.hpp"
#include "tern/session/detail/ring.hpp"
#include "tern/session/event.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::detail {

class receiver {
public:
    /// An acknowledgement that may be sent now.
    struct ack {
        tern::packet_id packet_id = 0;
        bool exactly_once = false; // PUBREC, otherwise PUBACK
    };

    /// A new connection, on which the broker may have so many messages unacknowledged and use so many aliases.
    void start(std::uint16_t receive_maximum, std::uint16_t alias_maximum) {
        receive_maximum_ = receive_maximum;
        aliases_.clear();
        alias_maximum_ = alias_maximum;
        first_token_ += pending_.size(); // tokens of the last connection mean nothing any more
        pending_.clear();
        unacknowledged_ = 0;
    }

    /// There is no session any more: nothing that came before can come again.
    void forget() noexcept {
        known_.clear();
        known_count_ = 0;
    }

    /// Whether there is anything to remember for the session.
    bool empty() const noexcept { return known_count_ == 0; }

    /// Takes in a PUBLISH. `deliver` says whether it is for the application, then with its token.
    errc on_publish(publish& p, bool& deliver, message_token& token) {
        if (const errc error = resolve_alias(p.message); error != errc::none) return error;
        token = message_token::none;
        deliver = true;
        if (p.message.qos == qos::at_most_once) return errc::none;
        const bool exactly_once = p.message.qos == qos::exactly_once;
        if (exactly_once && is_known(p.packet_id)) {
            deliver = false;
            if (!is_pending(p.packet_id)) push({p.packet_id, true}, true);
            return errc::none;
        }
        if (unacknowledged_ == receive_maximum_) return errc::receive_maximum_exceeded;
        ++unacknowledged_;
        if (exactly_once) set_known(p.packet_id, true);
        token = push({p.packet_id, exactly_once}, false);
        return errc::none;
    }

    /// PUBREL: the broker will not send the message again. False if the identifier is not known.
    bool on_pubrel(tern::packet_id id) noexcept {
        if (!is_known(id)) return false;
        set_known(id, false);
        if (unacknowledged_ != 0) --unacknowledged_;
        return true;
    }

    /// The application is done with the message.
    void release(message_token token) noexcept {
        const std::uint64_t index = static_cast<std::uint64_t>(token) - first_token_;
        if (token != message_token::none && index < pending_.size()) pending_[index].released = true;
    }

    /// Takes out the next acknowledgement, if it is its turn [MQTT-4.6.0-2, MQTT-4.6.0-3].
    bool next_ack(ack& next) noexcept {
        if (pending_.empty() || !pending_.front().released) return false;
        next = pending_.pop_front().packet;
        ++first_token_;
        if (!next.exactly_once && unacknowledged_ != 0) --unacknowledged_;
        return true;
    }

private:
    struct pending_ack {
        ack packet;
        bool released = false;
    };

    message_token push(ack packet, bool released) {
        pending_.push_back({packet, released});
        return static_cast<message_token>(first_token_ + pending_.size() - 1);
    }

    bool is_pending(tern::packet_id id) const noexcept {
        for (std::size_t i = 0; i != pending_.size(); ++i)
            if (pending_[i].packet.exactly_once && pending_[i].packet.packet_id == id) return true;
        return false;
    }

    bool is_known(tern::packet_id id) const noexcept {
        return !known_.empty() && (known_[id / 64] >> (id % 64) & 1) != 0;
    }
    void set_known(tern::packet_id id, bool known) {
        if (known_.empty()) known_.resize(65'536 / 64);
        const std::uint64_t bit = std::uint64_t{1} << (id % 64);
        if (known) known_[id / 64] |= bit;
        else known_[id / 64] &= ~bit;
        known ? ++known_count_ : --known_count_;
    }

    // A topic alias stands for the topic with which it came last on this connection [§3.3.2.3.4].
    errc resolve_alias(message_view& message) {
        const auto alias = message.properties.topic_alias;
        if (!alias) return errc::none;
        if (*alias == 0 || *alias > alias_maximum_) return errc::invalid_topic_alias;
        if (*alias > aliases_.size()) aliases_.resize(*alias);
        std::string& topic = aliases_[*alias - 1U];
        if (!message.topic.empty()) topic = message.topic;
        else if (topic.empty()) return errc::invalid_topic_alias;
        message.topic = topic;
        return errc::none;
    }

    ring<pending_ack> pending_; // in order of arrival
    std::uint64_t first_token_ = 1;
    std::vector<std::uint64_t> known_; // a bit per QoS 2 identifier before its PUBREL
    std::size_t known_count_ = 0;
    std::vector<std::string> aliases_;
    std::uint32_t alias_maximum_ = 0;
    std::uint32_t unacknowledged_ = 0;
    std::uint32_t receive_maximum_ = 65'535;
};

} // namespace tern::detail
