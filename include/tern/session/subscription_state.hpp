// What the program wants of a topic filter, and what the broker has granted.
#pragma once

#include "tern/codec/subscribe.hpp"
#include "tern/types.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace tern {

/// How far a subscription is.
enum class subscription_status : std::uint8_t {
    requested, ///< The program has requested it, and the broker has not answered.
    granted,   ///< The broker has granted it.
    renewing,  ///< The broker has lost it, or may have: the client requests it again.
    refused,   ///< The broker did not renew it. The client tries again in the next new session.
    ending,    ///< The program does not want it any longer, and the broker may still have it.
};

/// A subscription of a client.
struct subscription_state {
    std::string filter;
    subscription_status status = subscription_status::requested;
    // What the program wants, as in `subscription`.
    qos max_qos = qos::at_least_once;
    bool no_local = false;
    bool retain_as_published = false;
    tern::retain_handling retain_handling = tern::retain_handling::send;
    std::optional<std::uint32_t> identifier = {}; ///< the Subscription Identifier
    // The terms that the broker has granted.
    std::optional<qos> granted_qos = {}; ///< the maximum QoS; none if the broker has not granted it, or has lost it
    /// The connection on which the broker has granted or renewed it, counted as in `counters::connections`; 0: none.
    std::uint64_t connection = 0;

    friend bool operator==(const subscription_state&, const subscription_state&) = default;
};

} // namespace tern
