// A message of the broker. Its receivers share it, and its expiry interval counts down.
#pragma once

#include "tern/message.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tern::testing::detail {

using broker_time = std::chrono::steady_clock::time_point;

// The end of an expiry interval. There is none if it is `session_never_expires`.
inline std::optional<broker_time> expiry_of(std::chrono::seconds interval, broker_time now) {
    if (interval == session_never_expires) return std::nullopt;
    return now + interval;
}

struct broker_message {
    broker_message() = default;
    broker_message(const message_view& m, std::string_view from, broker_time now) : publisher(from) {
        message_view plain = m;
        plain.properties.topic_alias.reset(); // belongs to one connection [MQTT-3.3.2-7]
        plain.properties.subscription_identifiers = {};
        if (const auto interval = m.properties.message_expiry_interval) expires = now + *interval;
        content = std::make_shared<message>(plain);
    }

    bool is_expired(broker_time now) const noexcept { return expires && *expires <= now; }

    // The message as it is forwarded, with the rest of its expiry interval [MQTT-3.3.2-6].
    message_view view(broker_time now) const {
        message_view view = content->view();
        if (expires) {
            const auto left = std::chrono::ceil<std::chrono::seconds>(*expires - now);
            view.properties.message_expiry_interval = (std::max)(left, std::chrono::seconds{0});
        }
        return view;
    }

    std::shared_ptr<const message> content;
    std::string publisher; // the client identifier
    std::optional<broker_time> expires;
};

} // namespace tern::testing::detail
