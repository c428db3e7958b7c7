// One row per rule: its clauses in both versions of the standard, its text, and the reason code that reports it.
#pragma once

#include "tern/errc.hpp"
#include "tern/reason_code.hpp"

#include <cstddef>
#include <iterator>
#include <string_view>

namespace tern::detail {

struct rule_row {
    errc code;
    reason_code answer;
    std::string_view clause_v5;
    std::string_view clause_v3_1_1;
    std::string_view text;
};

struct rule_table {
    using enum errc;
    using code = reason_code;
    static constexpr rule_row rows[] = {
        {none, code::success, "", "", "no error"},
        {malformed_utf8, code::malformed_packet, "MQTT-1.5.4-1", "MQTT-1.5.3-1", "a string is not valid UTF-8"},
        {null_character, code::malformed_packet, "MQTT-1.5.4-2", "MQTT-1.5.3-2", "a string contains U+0000"},
        {string_too_long, code::malformed_packet, "§1.5.4", "§1.5.3",
         "a string or binary field is longer than 65,535 bytes"},
        {malformed_variable_byte_integer, code::malformed_packet, "MQTT-1.5.5-1", "§2.2.3",
         "a variable byte integer is longer than needed or than four bytes"},
        {invalid_packet_type, code::malformed_packet, "§2.1.2", "§2.2.1", "the packet type is not allowed"},
        {invalid_flags, code::malformed_packet, "MQTT-2.1.3-1", "MQTT-2.2.2-2",
         "reserved flags in the first byte are wrong"},
        {truncated_packet, code::malformed_packet, "§4.13.1", "MQTT-4.8.0-1",
         "a field reaches beyond the end of its packet"},
        {trailing_bytes, code::malformed_packet, "§4.13.1", "MQTT-4.8.0-1", "bytes follow the packet's content"},
        {packet_too_large, code::packet_too_large, "MQTT-3.1.2-24", "§2.2.3",
         "the packet is larger than the maximum packet size"},
        {property_not_allowed, code::malformed_packet, "§2.2.2.2", "",
         "a property is unknown or not allowed in this packet"},
        {duplicate_property, code::protocol_error, "§2.2.2.2", "", "a property is present more than once"},
        {invalid_property_value, code::protocol_error, "§2.2.2.2", "", "a property has a value that is not allowed"},
        {authentication_data_without_method, code::protocol_error, "§3.1.2.11.10", "",
         "authentication data without an authentication method"},
        {missing_authentication_method, code::protocol_error, "§3.15.2.2.2", "",
         "AUTH or CONNACK without the authentication method of CONNECT"},
        {errc::payload_format_invalid, code::payload_format_invalid, "§3.3.2.3.2", "",
         "a payload that is declared as UTF-8 is not valid UTF-8"},
        {zero_packet_id, code::protocol_error, "MQTT-2.2.1-3", "MQTT-2.3.1-1", "the packet identifier is 0"},
        {packet_id_at_most_once, code::protocol_error, "MQTT-2.2.1-2", "MQTT-2.3.1-5",
         "a packet identifier with a QoS 0 message"},
        {invalid_reason_code, code::malformed_packet, "§2.4", "MQTT-3.9.3-2",
         "the reason code is not allowed in this packet"},
        {invalid_qos, code::malformed_packet, "MQTT-3.3.1-4", "MQTT-3.3.1-4", "the QoS is 3"},
        {dup_at_most_once, code::malformed_packet, "MQTT-3.3.1-2", "MQTT-3.3.1-2", "DUP is set on a QoS 0 message"},
        {invalid_topic_name, code::malformed_packet, "MQTT-3.3.2-2", "MQTT-3.3.2-2",
         "a topic name contains a wildcard"},
        {empty_topic, code::protocol_error, "MQTT-4.7.3-1", "MQTT-4.7.3-1", "a topic name or filter is empty"},
        {invalid_response_topic, code::protocol_error, "MQTT-3.3.2-14", "",
         "a response topic is empty or contains a wildcard"},
        {invalid_topic_filter, code::malformed_packet, "MQTT-4.7.1-1", "MQTT-4.7.1-2",
         "a topic filter has a misplaced wildcard or a bad share name"},
        {empty_subscription_list, code::protocol_error, "MQTT-3.8.3-2", "MQTT-3.8.3-3",
         "SUBSCRIBE or UNSUBSCRIBE without a topic filter"},
        {invalid_subscription_options, code::malformed_packet, "MQTT-3.8.3-5", "MQTT-3-8.3-4",
         "reserved bits of the subscription options are set"},
        {invalid_subscription_qos, code::protocol_error, "§3.8.3.1", "MQTT-3-8.3-4", "the QoS of a subscription is 3"},
        {invalid_retain_handling, code::protocol_error, "§3.8.3.1", "", "the retain handling of a subscription is 3"},
        {no_local_on_shared_subscription, code::protocol_error, "MQTT-3.8.3-4", "", "no local on shared subscription"},
        {invalid_protocol_name, code::unsupported_protocol_version, "MQTT-3.1.2-1", "MQTT-3.1.2-1",
         "the protocol name is not MQTT"},
        {errc::unsupported_protocol_version, code::unsupported_protocol_version, "MQTT-3.1.2-2", "MQTT-3.1.2-2",
         "the protocol version is neither 3.1.1 nor 5.0"},
        {reserved_connect_flag, code::malformed_packet, "MQTT-3.1.2-3", "MQTT-3.1.2-3",
         "the reserved connect flag is set"},
        {invalid_will_flags, code::malformed_packet, "MQTT-3.1.2-11", "MQTT-3.1.2-11",
         "will QoS or will retain without a will, or will QoS 3"},
        {empty_will_topic, code::protocol_error, "MQTT-3.1.2-9", "MQTT-3.1.2-9", "a will without a topic"},
        {password_without_user_name, code::malformed_packet, "", "MQTT-3.1.2-22", "a password without a user name"},
        {empty_client_id, code::client_identifier_not_valid, "", "MQTT-3.1.3-7",
         "an empty client identifier without clean session"},
        {invalid_connack_flags, code::malformed_packet, "MQTT-3.2.2-1", "§3.2.2.1",
         "reserved bits of the acknowledge flags are set"},
        {session_present_on_refusal, code::protocol_error, "MQTT-3.2.2-6", "MQTT-3.2.2-4",
         "session present on a refused connection"},
        {unexpected_protocol_version, code::malformed_packet, "§3.2.2", "§3.2.2.3",
         "CONNACK has the form of the other protocol version"},
        {requires_v5, code::protocol_error, "", "§3", "3.1.1 cannot express this"},
        {buffer_too_small, code::unspecified_error, "", "", "the buffer is too small for the packet"},
        {unexpected_packet, code::protocol_error, "MQTT-3.2.0-1", "MQTT-3.2.0-1",
         "a packet that is not allowed from this side or at this moment"},
        {unexpected_session_present, code::protocol_error, "MQTT-3.2.2-4", "",
         "the broker has a session that this client does not know: set assume_session to continue it, or clean_start "
         "to discard it"},
        {session_present_after_clean_start, code::protocol_error, "MQTT-3.2.2-2", "MQTT-3.2.2-1",
         "session present although a new session was requested"},
        {unexpected_acknowledgement, code::protocol_error, "MQTT-2.2.1-5", "MQTT-2.3.1-6",
         "an acknowledgement that does not fit the state of its message"},
        {reason_count_mismatch, code::protocol_error, "MQTT-3.8.4-6", "MQTT-3.8.4-5",
         "the number of reason codes is not the number of topic filters"},
        {errc::receive_maximum_exceeded, code::receive_maximum_exceeded, "MQTT-3.3.4-9", "",
         "more unacknowledged messages than the receive maximum"},
        {errc::invalid_topic_alias, code::topic_alias_invalid, "MQTT-3.1.2-26", "",
         "a topic alias that is 0 or above the maximum"},
        {unknown_topic_alias, code::protocol_error, "§3.3.2.3.4", "",
         "a topic alias that no topic has been assigned to"},
        {topic_aliases_too_large, code::quota_exceeded, "§3.3.2.3.4", "",
         "the topics of the topic aliases take too much memory"},
        {missing_assigned_client_id, code::protocol_error, "MQTT-3.2.2-16", "",
         "no assigned client identifier in answer to an empty one"},
        {unexpected_authentication, code::protocol_error, "MQTT-4.12.0-6", "",
         "authentication that the client did not request"},
        {unwanted_problem_information, code::protocol_error, "MQTT-3.1.2-29", "",
         "a reason string or user property although the client declined them"},
        {resolve_timeout, code::unspecified_error, "", "", "the host name was not resolved in time"},
        {connect_timeout, code::unspecified_error, "", "", "the connection was not established in time"},
        {tls_timeout, code::unspecified_error, "", "", "TLS was not negotiated in time"},
        {upgrade_timeout, code::unspecified_error, "", "", "the upgrade to WebSocket was not accepted in time"},
        {connack_timeout, code::unspecified_error, "MQTT-3.1.4-5", "MQTT-3.1.4-4", "no CONNACK arrived in time"},
        {authentication_timeout, code::unspecified_error, "§4.12", "",
         "a step of the authentication was not completed in time"},
        {authentication_failed, code::unspecified_error, "§4.12", "", "the authenticator has not accepted the broker"},
        {invalid_server_reference, code::unspecified_error, "§4.11", "",
         "a server reference that is neither a host nor a host with a port"},
        {acknowledgement_timeout, code::unspecified_error, "MQTT-4.3.2-4", "MQTT-4.3.2-2",
         "an acknowledgement did not arrive in time"},
        {ping_timeout, code::unspecified_error, "MQTT-3.12.4-1", "MQTT-3.12.4-1", "no PINGRESP arrived in time"},
        {closed_by_peer, code::normal_disconnection, "§3.14", "", "the broker ended the connection normally"},
        {closed_before_connack, code::unspecified_error, "§3.2", "§3.2",
         "the broker closed the connection without CONNACK; it may require another protocol version, or TLS"},
        {http_answer, code::malformed_packet, "§3.2", "§3.2", "the server answered in HTTP, not in MQTT"},
        {tls_answer, code::malformed_packet, "§3.2", "§3.2", "the server answered in TLS, which is not in use"},
        {ssh_answer, code::malformed_packet, "§3.2", "§3.2", "the server answered in SSH, not in MQTT"},
        {not_connected, code::success, "MQTT-3.1.0-1", "MQTT-3.1.0-1", "the client is not connected"},
        {disconnected, code::success, "MQTT-3.14.4-2", "MQTT-3.14.4-2",
         "the client disconnected before the operation completed"},
        {already_connected, code::success, "MQTT-3.1.0-2", "MQTT-3.1.0-2", "the client is connected or connecting"},
        {queue_full, code::success, "", "", "the queue of outgoing messages is full"},
        {message_dropped, code::success, "", "", "the message was dropped before it was sent"},
        {message_expired, code::success, "§3.3.2.3.3", "", "the message could not be sent before it expired"},
        {errc::session_lost, code::success, "§4.1", "§4.1",
         "the broker lost the session; whether it received the message is unknown"},
        {drain_timeout, code::success, "", "", "some messages were not completed in time"},
        {operation_timeout, code::success, "", "", "the operation did not complete in its time"},
        {inbox_full, code::success, "", "",
         "the answer cannot be read, because the application does not take the messages before it"},
        {authentication_in_progress, code::success, "§4.12.1", "",
         "an authentication of this connection is in progress"},
        {redirect_not_allowed, code::success, "§4.11", "",
         "the client is not to follow the redirect, or has followed too many"},
        {refused_by_closing, code::success, "", "", "the broker closes the connection each time it receives this"},
        {packet_ids_exhausted, code::success, "MQTT-2.2.1-3", "MQTT-2.3.1-2", "all 65,535 packet identifiers are used"},
        {invalid_argument, code::success, "", "", "an argument is out of range"},
        {empty_host, code::success, "", "", "the host is empty"},
        {invalid_host, code::success, "", "", "the host contains a space or a control character"},
        {host_in_brackets, code::success, "", "", "the host is in brackets: write ::1, not [::1]"},
        {host_is_url, code::success, "", "", "the host is a URL: write only its host"},
        {host_with_port, code::success, "", "", "the host contains a port: set the port separately"},
        {empty_path, code::success, "", "", "the path of a Unix socket is empty"},
        {invalid_url, code::success, "", "", "this is not a URL, such as mqtt://user:password@host:1883"},
        {unknown_scheme, code::success, "", "", "the scheme of the URL is not supported here"},
        {tls_not_included, code::success, "", "",
         "the scheme needs TLS: include tern/client/any_client_tls.hpp in a file of the program"},
        {invalid_port, code::success, "", "", "the port of the URL is not 1 to 65,535"},
        {invalid_percent_encoding, code::success, "", "",
         "a % in the URL does not stand before two hexadecimal digits, or they mean NUL, CR or LF"},
        {url_with_fragment, code::success, "", "", "the URL has a fragment: write %23 for #"},
        {url_with_path, code::success, "", "", "the URL has a path or a query, which its scheme does not have"},
        {invalid_resolve_timeout, code::success, "", "", "resolve_timeout is negative or over a year"},
        {invalid_connect_timeout, code::success, "", "", "connect_timeout is negative or over a year"},
        {invalid_tls_timeout, code::success, "", "", "tls_timeout is negative or over a year"},
        {invalid_upgrade_timeout, code::success, "", "", "upgrade_timeout is negative or over a year"},
        {invalid_connack_timeout, code::success, "", "", "connack_timeout is negative or over a year"},
        {invalid_authentication_timeout, code::success, "", "", "authentication_timeout is negative or over a year"},
        {invalid_ack_timeout, code::success, "", "", "ack_timeout is negative or over a year"},
        {invalid_disconnect_timeout, code::success, "", "", "disconnect_timeout is negative or over a year"},
        {invalid_reconnect_delay, code::success, "", "", "a delay of reconnect is not positive or over a year"},
        {missing_classify, code::success, "", "", "reconnect.classify is null"},
        {invalid_max_in_flight, code::success, "", "", "max_in_flight is 0"},
        {invalid_max_renewal_filters, code::success, "", "", "max_renewal_filters is 0"},
        {invalid_maximum_packet_size, code::success, "", "", "maximum_packet_size is 0"},
        {invalid_inbox_limit, code::success, "", "", "inbox_limit is 0 or above inbox_hard_limit"},
        {invalid_inbox_bytes, code::success, "", "", "inbox_bytes is 0 or above inbox_hard_bytes"},
        {invalid_keep_alive, code::success, "", "", "keep_alive is not 0 to 65,535 seconds"},
        {invalid_time_to_live, code::success, "", "", "time_to_live is negative or over a year"},
        {invalid_operation_timeout, code::success, "", "", "the timeout of an operation is negative or over a year"},
        {no_acknowledgement, code::success, "§4.3.1", "§4.3.1",
         "a QoS 0 message has no acknowledgement that could refuse it"},
        {already_acknowledged, code::success, "", "", "the message is acknowledged or refused already"},
        {errc::qos_not_supported, code::qos_not_supported, "MQTT-3.2.2-11", "", "the broker does not support this QoS"},
        {errc::retain_not_supported, code::retain_not_supported, "MQTT-3.2.2-14", "",
         "the broker does not support retained messages"},
        {errc::wildcard_subscriptions_not_supported, code::wildcard_subscriptions_not_supported, "§3.2.2.3.11", "",
         "the broker does not support wildcard subscriptions"},
        {errc::shared_subscriptions_not_supported, code::shared_subscriptions_not_supported, "§3.2.2.3.13", "",
         "the broker does not support shared subscriptions"},
        {errc::subscription_identifiers_not_supported, code::subscription_identifiers_not_supported, "§3.2.2.3.12", "",
         "the broker does not support subscription identifiers"},
        {authentication_not_supported, code::bad_authentication_method, "§4.12", "",
         "the connection has no authentication method, or the client no authenticator"},
    };
};

inline constexpr rule_row unknown_rule = {errc::none, reason_code::unspecified_error, "", "", "unknown error"};

// Accepts any value: a `std::error_code` can hold any number.
constexpr const rule_row& rule(errc error) noexcept {
    const auto row = static_cast<std::size_t>(error);
    return row < std::size(rule_table::rows) ? rule_table::rows[row] : unknown_rule;
}

static_assert(
    [] {
        for (std::size_t i = 0; i != std::size(rule_table::rows); ++i)
            if (static_cast<std::size_t>(rule_table::rows[i].code) != i) return false;
        return std::size(rule_table::rows) == static_cast<std::size_t>(errc::authentication_not_supported) + 1;
    }(),
    "one row per errc, in the same order");

} // namespace tern::detail
