// The terms of a connection: the broker's CONNACK, with the standard's defaults for all that it leaves out.
#pragma once

#include "tern/message.hpp"
#include "tern/property.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

/// The terms that client and broker have agreed on for a connection [§3.2.2]. Borrows.
///
/// A limit has the value that applies, also if CONNACK leaves it out. 3.1.1 has no properties: there the members have
/// the values that it demands of every broker.
struct connection_terms_view {
    protocol_version version = protocol_version::v5;
    bool session_present = false;           ///< The broker had a session for the client.
    qos maximum_qos = qos::exactly_once;    ///< Of messages that the client publishes.
    std::uint16_t receive_maximum = 65'535; ///< The broker accepts so many unacknowledged QoS 1 and 2 messages.
    std::uint16_t topic_alias_maximum = 0;  ///< The broker accepts topic aliases up to this number.
    std::uint32_t maximum_packet_size = packet_size_max; ///< The largest packet that the broker accepts, in bytes.
    bool retain_available = true;                        ///< The broker stores retained messages.
    bool wildcard_subscription_available = true;
    bool subscription_identifier_available = true; ///< False in 3.1.1.
    bool shared_subscription_available = true;     ///< False in 3.1.1, which does not define them.
    /// The longest time without a packet from the client: the broker's Server Keep Alive, or the client's option. 0:
    /// without limit.
    std::chrono::seconds keep_alive{0};
    /// How long the broker keeps the session after the connection: the broker's value, or the client's option. 3.1.1:
    /// 0, or `session_never_expires` without clean session.
    std::chrono::seconds session_expiry_interval{0};
    /// The identifier under which the client works, also if the broker has assigned it.
    std::string_view client_id = {};
    std::optional<std::string_view> assigned_client_identifier = {};
    /// The beginning of topics for responses, if `request_response_information` asked for it and the broker has one.
    std::optional<std::string_view> response_information = {};
    std::optional<std::string_view> server_reference = {};
    std::optional<std::string_view> reason_string = {};
    user_properties_view user_properties = {};

    friend bool operator==(const connection_terms_view&, const connection_terms_view&) = default;

    /// For `owned`: calls `f` on all that the view borrows.
    template <class F>
    static void visit(connection_terms_view& view, F&& f) {
        f(view.client_id);
        f(view.assigned_client_identifier);
        f(view.response_information);
        f(view.server_reference);
        f(view.reason_string);
        f(view.user_properties);
    }
};

/// The same, as an owner of its strings.
struct connection_terms : owned<connection_terms_view> {
    using connection_terms_view::assigned_client_identifier;
    using connection_terms_view::client_id;
    using connection_terms_view::keep_alive;
    using connection_terms_view::maximum_packet_size;
    using connection_terms_view::maximum_qos;
    using connection_terms_view::reason_string;
    using connection_terms_view::receive_maximum;
    using connection_terms_view::response_information;
    using connection_terms_view::retain_available;
    using connection_terms_view::server_reference;
    using connection_terms_view::session_expiry_interval;
    using connection_terms_view::session_present;
    using connection_terms_view::shared_subscription_available;
    using connection_terms_view::subscription_identifier_available;
    using connection_terms_view::topic_alias_maximum;
    using connection_terms_view::user_properties;
    using connection_terms_view::version;
    using connection_terms_view::wildcard_subscription_available;
    using owned::owned;
};

} // namespace tern
