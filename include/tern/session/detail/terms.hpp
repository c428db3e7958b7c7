// The terms of the present or last connection, decoded from its CONNACK when the application asks for them.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/packet.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/connection_terms.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace tern::detail {

TERN_COLD inline void apply_properties(connection_terms_view& terms, const connack_properties& p) {
    terms.maximum_qos = p.maximum_qos.value_or(terms.maximum_qos);
    terms.receive_maximum = p.receive_maximum.value_or(terms.receive_maximum);
    terms.topic_alias_maximum = p.topic_alias_maximum.value_or(terms.topic_alias_maximum);
    terms.maximum_packet_size = p.maximum_packet_size.value_or(terms.maximum_packet_size);
    terms.retain_available = p.retain_available.value_or(true);
    terms.wildcard_subscription_available = p.wildcard_subscription_available.value_or(true);
    terms.subscription_identifier_available = p.subscription_identifier_available.value_or(true);
    terms.shared_subscription_available = p.shared_subscription_available.value_or(true);
    terms.assigned_client_identifier = p.assigned_client_identifier;
    terms.response_information = p.response_information;
    terms.server_reference = p.server_reference;
    terms.reason_string = p.reason_string;
    terms.user_properties = p.user_properties;
}

/// Before the first CONNACK of a run: the defaults of the standard, and what the client asks for.
TERN_COLD inline connection_terms_view terms_of(const session_core& s) {
    const bool v5 = s.version() == protocol_version::v5;
    connection_terms_view terms{.version = s.version(),
                                .subscription_identifier_available = v5,
                                .shared_subscription_available = v5,
                                .client_id = s.lasting.client_id()};
    connack packet;
    constexpr std::uint8_t first_byte = fixed_first_byte<packet_type::connack>;
    if (s.connack_body) packet = *decode<connack>(frame{first_byte, *s.connack_body}, s.version());
    terms.session_present = packet.session_present;
    terms.keep_alive = s.settings.keep_alive_with(packet.properties.server_keep_alive);
    if (!v5) {
        terms.session_expiry_interval = s.settings.clean_start ? std::chrono::seconds{0} : session_never_expires;
        return terms;
    }
    const std::chrono::seconds own_expiry{s.settings.session_expiry_interval};
    terms.session_expiry_interval = packet.properties.session_expiry_interval.value_or(own_expiry);
    if (!s.settings.wants_response_information) packet.properties.response_information.reset(); // [MQTT-3.1.2-28]
    apply_properties(terms, packet.properties);
    return terms;
}

} // namespace tern::detail
