// Topic aliases of outgoing messages [§3.3.2.3.4].
//
// The application need not know that a connection is a new one: an alias stands for the same topic there, and the
// first message that uses it carries the topic again [MQTT-3.3.2-7].
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/session/detail/send/packet_log.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern::detail {

class outgoing_aliases {
public:
    /// A connection begins, on which the broker allows this number of aliases and has not received any.
    void start_connection(std::uint16_t maximum) noexcept {
        for (alias& a : aliases_)
            a.sent = false;
        replaced_.reset();
        maximum_ = maximum;
    }

    /// Checks the alias of a message that has one. A message that is sent later only needs an alias that is set.
    errc validate(const message_view& message, bool at_once) const noexcept {
        const std::size_t number = *message.properties.topic_alias;
        if (number == 0 || (at_once && number > maximum_)) return errc::invalid_topic_alias;
        const bool known = number <= aliases_.size() && !aliases_[number - 1].topic.empty();
        return message.topic.empty() && !known ? errc::unknown_topic_alias : errc::none;
    }

    /// The message as it is sent. A message that is sent later, or may have to be sent again, carries its topic and no
    /// alias, because the alias has no meaning on another connection. Therefore the broker may not have received an
    /// alias that is set here, and then the message carries both.
    message_view to_send(message_view message, bool at_once) const noexcept {
        const std::size_t number = *message.properties.topic_alias;
        const alias* const a = number <= aliases_.size() ? &aliases_[number - 1] : nullptr;
        const std::string_view topic = message.topic.empty() ? std::string_view{a->topic} : message.topic;
        const bool repeatable = !at_once || message.qos != qos::at_most_once;
        if (repeatable || !a || !a->sent || a->topic != topic) message.topic = topic;
        if (repeatable) message.properties.topic_alias.reset();
        return message;
    }
    /// Makes room: `on_sent` does not allocate for this message.
    void reserve(const message_view& message, packet_log::position written) {
        const std::size_t number = *message.properties.topic_alias;
        if (number > aliases_.size()) aliases_.resize(number);
        alias& a = aliases_[number - 1];
        a.topic.reserve(message.topic.size());
        if (replaces(a, message)) reserve_replaced(message.topic.size(), written);
    }
    /// The message has been sent or queued. `before`: the end of the packet before it.
    void on_sent(const message_view& message, bool at_once, packet_log::position before) {
        const std::size_t number = *message.properties.topic_alias;
        alias& a = aliases_[number - 1];
        if (!message.topic.empty() && message.topic != a.topic) {
            if (replaces(a, message)) {
                replaced& r = replaced_->back();
                r.number = number;
                r.end = before;
                r.topic.swap(a.topic);
            }
            a.topic = message.topic;
            a.sent = false;
        }
        if (at_once && message.qos == qos::at_most_once) a.sent = true;
    }

    /// The topic of the alias in a message that was sent on this connection up to this position.
    std::string_view topic_of(std::size_t number, packet_log::position end) const noexcept {
        if (replaced_)
            for (const replaced& r : *replaced_)
                if (r.number == number && end <= r.end) return r.topic;
        return aliases_[number - 1].topic;
    }

private:
    friend struct session_inspector;

    struct alias {
        std::string topic;
        bool sent = false; // on this connection
    };

    // The topic that an alias had before, of which a message may have to be sent again.
    struct replaced {
        std::size_t number = 0;
        packet_log::position end = 0; // of the last packet before the alias changed
        std::string topic;
    };

    // Whether the broker knows another topic of the alias, with which messages may have been sent.
    static bool replaces(const alias& a, const message_view& message) noexcept {
        return a.sent && !message.topic.empty() && message.topic != a.topic;
    }
    // The place for the topic that is replaced next, with room for the one that replaces it.
    TERN_COLD void reserve_replaced(std::size_t topic_size, packet_log::position written) {
        growing_array<replaced>& list = replaced_ ? *replaced_ : replaced_.emplace();
        list.erase_if([&](const replaced& r) { return r.end <= written; });
        list.push_back({}).topic.reserve(topic_size);
    }

    growing_array<alias> aliases_; // by their numbers less one
    heap_optional<growing_array<replaced>> replaced_;
    std::size_t maximum_ = 0;
};

} // namespace tern::detail
