// Topic aliases of outgoing messages [§3.3.2.3.4].
//
// The application need not know that a connection is a new one: an alias stands for the same topic there, and the
// first message that uses it carries the topic again [MQTT-3.3.2-7].
#pragma once

#include "tern/error.hpp"
#include "tern/message.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tern::detail {

class outgoing_aliases {
public:
    /// A connection begins, on which the broker allows this number of aliases and has not received any.
    void start_connection(std::uint16_t maximum) noexcept {
        for (alias& a : aliases_)
            a.sent = false;
        maximum_ = maximum;
    }

    /// Checks the alias of a message that has one. A message that is sent later only needs an alias that is set.
    errc check(const message_view& message, bool at_once) const noexcept {
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
    void reserve(const message_view& message) {
        const std::size_t number = *message.properties.topic_alias;
        if (number > aliases_.size()) aliases_.resize(number);
        aliases_[number - 1].topic.reserve(message.topic.size());
    }
    /// The message has been sent or queued.
    void on_sent(const message_view& message, bool at_once) {
        alias& a = aliases_[*message.properties.topic_alias - 1U];
        if (!message.topic.empty() && message.topic != a.topic) {
            a.topic = message.topic;
            a.sent = false;
        }
        if (at_once && message.qos == qos::at_most_once) a.sent = true;
    }

private:
    friend struct session_inspector;

    struct alias {
        std::string topic;
        bool sent = false; // on this connection
    };

    std::vector<alias> aliases_; // by their numbers less one
    std::size_t maximum_ = 0;
};

} // namespace tern::detail
