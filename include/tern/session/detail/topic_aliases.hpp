// Topic aliases: numbers that stand for a topic on one connection, in one direction [§3.3.2.3.4].
#pragma once

#include "tern/error.hpp"
#include "tern/message.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tern::detail {

class topic_aliases {
public:
    /// A new connection, where no alias stands for anything [MQTT-3.3.2-7].
    void start(std::uint16_t maximum) noexcept {
        aliases_.clear();
        maximum_ = maximum;
    }
    /// The same, for outgoing messages: the application need not know that the connection is a new one. An alias
    /// stands for what it did, and the broker is told its topic anew.
    void go_on(std::uint16_t maximum) noexcept {
        for (alias& a : aliases_)
            a.sent = false;
        maximum_ = maximum;
    }

    /// What is wrong with the message's alias, if there is one. For a message that is sent later it has only to
    /// stand for something.
    errc check(const message_view& message, bool at_once = true) const noexcept {
        if (!message.properties.topic_alias) return errc::none;
        const std::size_t number = *message.properties.topic_alias;
        if (number == 0 || (at_once && number > maximum_)) return errc::invalid_topic_alias;
        const bool known = number <= aliases_.size() && !aliases_[number - 1].topic.empty();
        return message.topic.empty() && !known ? errc::unknown_topic_alias : errc::none;
    }

    /// A message with a good alias has come: if it has a topic, the alias stands for it from now on; if not,
    /// it gets the one for which the alias stands.
    void on_received(message_view& message) {
        if (!message.properties.topic_alias) return;
        message.topic = find(message).topic;
        message.properties.topic_alias.reset(); // it means nothing to the application
    }

    /// How a message with a good alias is to be sent. One that is sent later, or may have to be sent again, goes
    /// without: on another connection the alias would mean nothing. So the broker may not have heard of an alias
    /// that is known here, and then it gets the topic too.
    message_view to_send(message_view message, bool at_once = true) const noexcept {
        const std::size_t number = *message.properties.topic_alias;
        const alias* const a = number <= aliases_.size() ? &aliases_[number - 1] : nullptr;
        const std::string_view topic = message.topic.empty() ? std::string_view{a->topic} : message.topic;
        const bool repeatable = !at_once || message.qos != qos::at_most_once;
        if (repeatable || !a || !a->sent || a->topic != topic) message.topic = topic;
        if (repeatable) message.properties.topic_alias.reset();
        return message;
    }
    /// The alias of a message that is to be sent, so that `on_sent` needs no memory.
    void reserve(const message_view& message) {
        const std::size_t number = *message.properties.topic_alias;
        if (number > aliases_.size()) aliases_.resize(number);
        aliases_[number - 1].topic.reserve(message.topic.size());
    }
    /// That message has been sent, or will be.
    void on_sent(const message_view& message, bool at_once) {
        alias& a = find(message);
        if (at_once && message.qos == qos::at_most_once) a.sent = true;
    }

private:
    struct alias {
        std::string topic;
        bool sent = false; // so the broker knows it
    };

    alias& find(const message_view& message) {
        const std::size_t number = *message.properties.topic_alias;
        if (number > aliases_.size()) aliases_.resize(number);
        alias& a = aliases_[number - 1];
        if (!message.topic.empty() && message.topic != a.topic) {
            a.topic = message.topic;
            a.sent = false;
        }
        return a;
    }

    std::vector<alias> aliases_;
    std::size_t maximum_ = 0;
};

} // namespace tern::detail
