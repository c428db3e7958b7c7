// The topics that the application has given to topic aliases [§3.3.2.3.4].
//
// The application need not know that a connection is a new one: an alias stands for the same topic there, and the
// first message that uses it carries the topic again [MQTT-3.3.2-7].
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/message.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace tern::detail {

class outgoing_aliases {
public:
    /// The topic of a message that has an alias: its own, or otherwise that of the alias. Empty if there is none.
    TERN_COLD std::string_view topic_of(const message_view& message) const noexcept {
        const std::size_t number = *message.properties.topic_alias;
        if (!message.topic.empty() || number > topics_.size()) return message.topic;
        return topics_[number - 1];
    }
    /// Makes room: `remember` does not allocate for this message.
    TERN_COLD void reserve(const message_view& message) {
        const std::size_t number = *message.properties.topic_alias;
        if (number > topics_.size()) topics_.resize(number);
        topics_[number - 1].reserve(message.topic.size());
    }
    /// The message has been sent or queued.
    TERN_COLD void remember(const message_view& message) noexcept {
        if (!message.topic.empty()) topics_[*message.properties.topic_alias - std::size_t{1}] = message.topic;
    }

private:
    growing_array<std::string> topics_; // by the numbers of the aliases less one
};

} // namespace tern::detail
