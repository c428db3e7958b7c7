// The rules that a client can violate on a connection, each with its statement in the standard and the reason code with
// which a 5.0 broker answers.
//
// Some rules are converted from an errc. The others are defined here, because the standard has separate statements for
// clients.
#pragma once

#include "tern/error.hpp"
#include "tern/reason_code.hpp"
#include "tern/types.hpp"

#include <string_view>

namespace tern::testing::detail {

struct broker_rule {
    errc error = errc::none;
    std::string_view clause_v5 = {};
    std::string_view clause_v3_1_1 = {};
    std::string_view text = {};
    reason_code answer = reason_code::protocol_error;

    constexpr broker_rule() = default;
    constexpr broker_rule(errc e) // NOLINT(google-explicit-constructor)
        : error(e)
        , clause_v5(clause(e, protocol_version::v5))
        , clause_v3_1_1(clause(e, protocol_version::v3_1_1))
        , text(to_string(e))
        , answer(answer_to(e)) {}
    constexpr broker_rule(errc e, std::string_view v5, std::string_view v3_1_1, std::string_view sentence)
        : error(e)
        , clause_v5(v5)
        , clause_v3_1_1(v3_1_1)
        , text(sentence)
        , answer(answer_to(e)) {}
    constexpr broker_rule(errc e, std::string_view v5, std::string_view v3_1_1, std::string_view sentence,
                          reason_code code)
        : error(e)
        , clause_v5(v5)
        , clause_v3_1_1(v3_1_1)
        , text(sentence)
        , answer(code) {}

    constexpr explicit operator bool() const noexcept { return error != errc::none; }
};

namespace rules {

// ---- connection
inline constexpr broker_rule connect_first{errc::unexpected_packet, "MQTT-3.1.0-1", "MQTT-3.1.0-1",
                                           "the first packet is not CONNECT"};
inline constexpr broker_rule connect_once{errc::unexpected_packet, "MQTT-3.1.0-2", "MQTT-3.1.0-2", "a second CONNECT"};
inline constexpr broker_rule server_packet{errc::unexpected_packet, "§2.1.2", "§2.2.1",
                                           "a packet that only a server sends"};
inline constexpr broker_rule auth_without_method{errc::unexpected_packet, "MQTT-4.12.0-7", "§2.2.1",
                                                 "AUTH without an authentication method in CONNECT"};
inline constexpr broker_rule auth_other_method{errc::unexpected_authentication, "MQTT-4.12.0-5", "§2.2.1",
                                               "AUTH without the authentication method of CONNECT"};
inline constexpr broker_rule auth_out_of_turn{errc::unexpected_packet, "§4.12", "§2.2.1",
                                              "AUTH at a moment when the broker has not asked for it"};
inline constexpr broker_rule before_connack{errc::unexpected_packet, "MQTT-3.1.2-30", "",
                                            "another packet than AUTH or DISCONNECT before the end of authentication"};
inline constexpr broker_rule after_disconnect{errc::unexpected_packet, "MQTT-3.14.4-1", "MQTT-3.14.4-2",
                                              "bytes after DISCONNECT"};
inline constexpr broker_rule session_expiry_raised{
    errc::invalid_property_value, "§3.14.2.2.2", "",
    "a session expiry interval in DISCONNECT although it was 0 in CONNECT"};
inline constexpr broker_rule server_reference{errc::property_not_allowed, "§3.14.2.2.5", "",
                                              "a server reference from a client"};
// This is not a violation, because the broker cannot know whether the client has sent packets in time.
inline constexpr broker_rule keep_alive{errc::ping_timeout, "MQTT-3.1.2-22", "MQTT-3.1.2-24",
                                        "no packet arrived for one and a half times the keep alive",
                                        reason_code::keep_alive_timeout};

// ---- messages from the client
inline constexpr broker_rule id_in_use{errc::unexpected_packet, "MQTT-2.2.1-3", "MQTT-2.3.1-2",
                                       "the packet identifier is in use", reason_code::protocol_error};
inline constexpr broker_rule other_content{errc::unexpected_packet, "MQTT-4.4.0-1", "MQTT-4.4.0-1",
                                           "a PUBLISH is resent with other content", reason_code::protocol_error};
inline constexpr broker_rule dup_missing{errc::invalid_flags, "MQTT-3.3.1-1", "MQTT-3.3.1-1",
                                         "a PUBLISH is resent without DUP", reason_code::protocol_error};
inline constexpr broker_rule new_with_dup_1{errc::invalid_flags, "MQTT-4.3.2-2", "MQTT-4.3.2-1",
                                            "DUP is set on a new QoS 1 message", reason_code::protocol_error};
inline constexpr broker_rule new_with_dup_2{errc::invalid_flags, "MQTT-4.3.3-2", "MQTT-4.3.3-1",
                                            "DUP is set on a new QoS 2 message", reason_code::protocol_error};
inline constexpr broker_rule publish_after_pubrel{errc::unexpected_packet, "MQTT-4.3.3-6", "MQTT-4.3.3-1",
                                                  "a PUBLISH is resent after its PUBREL"};
inline constexpr broker_rule resent{errc::unexpected_packet, "MQTT-4.4.0-1", "",
                                    "a packet is resent on the same connection"};
inline constexpr broker_rule publish_order{errc::unexpected_packet, "MQTT-4.6.0-1", "MQTT-4.6.0-1",
                                           "PUBLISH packets are resent in another order"};
inline constexpr broker_rule pubrel_order{errc::unexpected_acknowledgement, "MQTT-4.6.0-4", "MQTT-4.6.0-4",
                                          "PUBREL packets do not follow the order of the PUBREC packets"};
inline constexpr broker_rule early_pubrel{errc::unexpected_packet, "MQTT-4.3.3-4", "MQTT-4.3.3-1",
                                          "PUBREL before PUBREC"};
inline constexpr broker_rule receive_maximum{errc::receive_maximum_exceeded, "MQTT-3.3.4-7", "",
                                             "more unacknowledged messages than the receive maximum"};
inline constexpr broker_rule maximum_qos{errc::qos_not_supported, "MQTT-3.2.2-11", "",
                                         "the QoS is above the maximum QoS"};
inline constexpr broker_rule retain_available{errc::retain_not_supported, "MQTT-3.2.2-14", "",
                                              "a retained message although retain is not available"};
inline constexpr broker_rule maximum_packet_size{errc::packet_too_large, "MQTT-3.2.2-15", "",
                                                 "the packet is larger than the maximum packet size"};
inline constexpr broker_rule topic_alias_maximum{errc::invalid_topic_alias, "MQTT-3.2.2-17", "",
                                                 "a topic alias above the topic alias maximum"};
inline constexpr broker_rule topic_alias_unknown{errc::empty_topic, "§3.3.2.1", "",
                                                 "an empty topic with a topic alias that was never set"};
inline constexpr broker_rule identifier_in_publish{errc::property_not_allowed, "MQTT-3.3.4-6", "",
                                                   "a subscription identifier in a PUBLISH to the broker",
                                                   reason_code::protocol_error};

// ---- acknowledgements from the client
inline constexpr broker_rule unknown_id{errc::unexpected_acknowledgement, "MQTT-2.2.1-5", "MQTT-2.3.1-6",
                                        "an acknowledgement for a packet identifier that is not in use"};
inline constexpr broker_rule wrong_kind{errc::unexpected_acknowledgement, "MQTT-3.3.4-1", "MQTT-3.3.4-1",
                                        "the acknowledgement does not match the QoS of the message"};
inline constexpr broker_rule acknowledged_twice{errc::unexpected_acknowledgement, "MQTT-4.3.3-8", "MQTT-4.3.3-2",
                                                "a second PUBREC for one PUBLISH"};
inline constexpr broker_rule early_pubcomp{errc::unexpected_acknowledgement, "MQTT-4.3.3-11", "MQTT-4.3.3-2",
                                           "PUBCOMP before PUBREL"};
inline constexpr broker_rule puback_order{errc::unexpected_acknowledgement, "MQTT-4.6.0-2", "MQTT-4.6.0-2",
                                          "PUBACK packets do not follow the order of the PUBLISH packets"};
inline constexpr broker_rule pubrec_order{errc::unexpected_acknowledgement, "MQTT-4.6.0-3", "MQTT-4.6.0-3",
                                          "PUBREC packets do not follow the order of the PUBLISH packets"};

} // namespace rules
} // namespace tern::testing::detail
