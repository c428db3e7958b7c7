// The options of subscriptions that are objects, and of the router that they belong to.
#pragma once

#include "tern/codec/subscribe.hpp"
#include "tern/session/options.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace tern {

/// What happens to a message of QoS 1 or 2 that finds its inbox full. One of QoS 0 is dropped in both cases.
enum class full_inbox_action : std::uint8_t {
    /// It is kept, and not acknowledged. No message is lost, but acknowledgements leave in the order of receipt
    /// [MQTT-4.6.0-2], so all later ones wait, and in the end the broker sends no more of QoS 1 and 2. An event of the
    /// router names this inbox.
    hold,
    /// It is acknowledged and dropped. In 5.0 the broker learns that by `reason_code::quota_exceeded`.
    shed,
};

/// A subscription that has an inbox. Borrows the filter, which is copied when the operation is called.
struct inbox_options {
    std::string_view filter = {};
    qos max_qos = qos::at_least_once;
    bool no_local = false;            ///< 5.0 only
    bool retain_as_published = false; ///< 5.0 only
    tern::retain_handling retain_handling = tern::retain_handling::send;
    /// How many messages the inbox stores, and how many bytes of them.
    std::size_t limit = 1'000;
    std::size_t bytes = std::size_t{16} << 20U;
    full_inbox_action when_full = full_inbox_action::hold;
    /// `automatic`: a message is acknowledged when it is taken from the inbox. `manual`: by
    /// `subscription_message::acknowledge`. The mode of the connection does not matter.
    acknowledgement_mode acknowledge = acknowledgement_mode::automatic;
};

/// What a router does with a message for which there is no inbox.
enum class unmatched_action : std::uint8_t {
    drop, ///< It is acknowledged and counted.
    /// The client delivers it: to its message callback, or to `async_receive`. Choose this if the program subscribes
    /// with the client itself, too.
    pass,
};

struct router_options {
    unmatched_action unmatched = unmatched_action::drop;
    /// How many messages of QoS 1 and 2, and how many bytes of them, all inboxes together hold unacknowledged at most.
    /// Then the client reads no more of them. In 5.0 the Receive Maximum is usually reached before.
    std::size_t hard_limit = 16'000;
    std::size_t hard_bytes = std::size_t{64} << 20U;
};

/// The events of a router.
enum class router_change : std::uint8_t {
    /// An inbox is full, and holds messages: the acknowledgements of all later ones wait. Reported again after it was
    /// half empty.
    inbox_full,
    subscription_refused, ///< The broker did not renew a subscription, after it had lost the session.
};

/// An event of a router.
struct router_event {
    router_change change = router_change::inbox_full;
    std::string_view filter = {};
    std::error_code error = {};
};

/// The counts of a router since it was made.
struct router_counters {
    std::uint64_t received = 0;  ///< messages for at least one inbox
    std::uint64_t unmatched = 0; ///< messages for which there was no inbox, whether dropped or passed to the client
    std::uint64_t dropped = 0;   ///< QoS 0, because an inbox was full
    std::uint64_t shed = 0;      ///< QoS 1 and 2, by an inbox with `full_inbox_action::shed`
    std::uint64_t released = 0;  ///< in inboxes that were destroyed
    std::size_t held = 0;        ///< QoS 1 and 2, at present not acknowledged
    std::size_t inboxes = 0;     ///< at present
};

} // namespace tern
