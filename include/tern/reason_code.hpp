// Reason codes: the answers of a broker (or a client). The return codes of 3.1.1 are a subset of them.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace tern {

/// The reason codes of 5.0 [§2.4]. A value of 0x80 or above is a failure.
///
/// Packets of 3.1.1 use the same type. The codec translates the five refusals of its CONNACK to their 5.0
/// names (see `to_return_code`); its SUBACK codes 0, 1, 2 and 0x80 have the same values here.
enum class reason_code : std::uint8_t {
    success = 0x00,
    normal_disconnection = 0x00,
    granted_qos_0 = 0x00,
    granted_qos_1 = 0x01,
    granted_qos_2 = 0x02,
    disconnect_with_will_message = 0x04,
    no_matching_subscribers = 0x10,
    no_subscription_existed = 0x11,
    continue_authentication = 0x18,
    re_authenticate = 0x19,
    unspecified_error = 0x80,
    malformed_packet = 0x81,
    protocol_error = 0x82,
    implementation_specific_error = 0x83,
    unsupported_protocol_version = 0x84,
    client_identifier_not_valid = 0x85,
    bad_user_name_or_password = 0x86,
    not_authorized = 0x87,
    server_unavailable = 0x88,
    server_busy = 0x89,
    banned = 0x8A,
    server_shutting_down = 0x8B,
    bad_authentication_method = 0x8C,
    keep_alive_timeout = 0x8D,
    session_taken_over = 0x8E,
    topic_filter_invalid = 0x8F,
    topic_name_invalid = 0x90,
    packet_identifier_in_use = 0x91,
    packet_identifier_not_found = 0x92,
    receive_maximum_exceeded = 0x93,
    topic_alias_invalid = 0x94,
    packet_too_large = 0x95,
    message_rate_too_high = 0x96,
    quota_exceeded = 0x97,
    administrative_action = 0x98,
    payload_format_invalid = 0x99,
    retain_not_supported = 0x9A,
    qos_not_supported = 0x9B,
    use_another_server = 0x9C,
    server_moved = 0x9D,
    shared_subscriptions_not_supported = 0x9E,
    connection_rate_exceeded = 0x9F,
    maximum_connect_time = 0xA0,
    subscription_identifiers_not_supported = 0xA1,
    wildcard_subscriptions_not_supported = 0xA2,
};

/// Whether the code reports a failure.
constexpr bool is_failure(reason_code code) noexcept {
    return static_cast<std::uint8_t>(code) >= 0x80;
}

namespace detail {

constexpr std::uint16_t in(packet_type type) {
    return static_cast<std::uint16_t>(1U << static_cast<unsigned>(type));
}
template <class... Type>
constexpr std::uint16_t in(packet_type first, Type... rest) {
    return static_cast<std::uint16_t>(in(first) | in(rest...));
}

struct reason_row {
    reason_code code;
    std::uint16_t packets; // one bit per packet type that may carry it
    std::string_view text;
};

struct reason_table { // Table 2-6 of 5.0
    using enum packet_type;
    using enum reason_code;
    static constexpr reason_row rows[] = {
        {success, in(connack, puback, pubrec, pubrel, pubcomp, suback, unsuback, disconnect, auth), "success"},
        {granted_qos_1, in(suback), "granted QoS 1"},
        {granted_qos_2, in(suback), "granted QoS 2"},
        {disconnect_with_will_message, in(disconnect), "disconnect with will message"},
        {no_matching_subscribers, in(puback, pubrec), "no matching subscribers"},
        {no_subscription_existed, in(unsuback), "no subscription existed"},
        {continue_authentication, in(auth), "continue authentication"},
        {re_authenticate, in(auth), "re-authenticate"},
        {unspecified_error, in(connack, puback, pubrec, suback, unsuback, disconnect), "unspecified error"},
        {malformed_packet, in(connack, disconnect), "malformed packet"},
        {protocol_error, in(connack, disconnect), "protocol error"},
        {implementation_specific_error, in(connack, puback, pubrec, suback, unsuback, disconnect),
         "implementation specific error"},
        {unsupported_protocol_version, in(connack), "unsupported protocol version"},
        {client_identifier_not_valid, in(connack), "client identifier not valid"},
        {bad_user_name_or_password, in(connack), "bad user name or password"},
        {not_authorized, in(connack, puback, pubrec, suback, unsuback, disconnect), "not authorized"},
        {server_unavailable, in(connack), "server unavailable"},
        {server_busy, in(connack, disconnect), "server busy"},
        {banned, in(connack), "banned"},
        {server_shutting_down, in(disconnect), "server shutting down"},
        {bad_authentication_method, in(connack, disconnect), "bad authentication method"},
        {keep_alive_timeout, in(disconnect), "keep alive timeout"},
        {session_taken_over, in(disconnect), "session taken over"},
        {topic_filter_invalid, in(suback, unsuback, disconnect), "topic filter invalid"},
        {topic_name_invalid, in(connack, puback, pubrec, disconnect), "topic name invalid"},
        {packet_identifier_in_use, in(puback, pubrec, suback, unsuback), "packet identifier in use"},
        {packet_identifier_not_found, in(pubrel, pubcomp), "packet identifier not found"},
        {receive_maximum_exceeded, in(disconnect), "receive maximum exceeded"},
        {topic_alias_invalid, in(disconnect), "topic alias invalid"},
        {packet_too_large, in(connack, disconnect), "packet too large"},
        {message_rate_too_high, in(disconnect), "message rate too high"},
        {quota_exceeded, in(connack, puback, pubrec, suback, disconnect), "quota exceeded"},
        {administrative_action, in(disconnect), "administrative action"},
        {payload_format_invalid, in(connack, puback, pubrec, disconnect), "payload format invalid"},
        {retain_not_supported, in(connack, disconnect), "retain not supported"},
        {qos_not_supported, in(connack, disconnect), "QoS not supported"},
        {use_another_server, in(connack, disconnect), "use another server"},
        {server_moved, in(connack, disconnect), "server moved"},
        {shared_subscriptions_not_supported, in(suback, disconnect), "shared subscriptions not supported"},
        {connection_rate_exceeded, in(connack, disconnect), "connection rate exceeded"},
        {maximum_connect_time, in(disconnect), "maximum connect time"},
        {subscription_identifiers_not_supported, in(suback, disconnect), "subscription identifiers not supported"},
        {wildcard_subscriptions_not_supported, in(suback, disconnect), "wildcard subscriptions not supported"},
    };
};

constexpr reason_row find_reason_row(reason_code code) noexcept {
    for (const reason_row& row : reason_table::rows)
        if (row.code == code) return row;
    return {code, 0, "unknown reason code"};
}

// The return codes 0 to 5 of a 3.1.1 CONNACK [3.1.1 §3.2.2.3].
inline constexpr reason_code return_codes[] = {
    reason_code::success,
    reason_code::unsupported_protocol_version,
    reason_code::client_identifier_not_valid,
    reason_code::server_unavailable,
    reason_code::bad_user_name_or_password,
    reason_code::not_authorized,
};

} // namespace detail

/// The standard's name of the code, or "unknown reason code".
constexpr std::string_view to_string(reason_code code) noexcept {
    return detail::find_reason_row(code).text;
}

/// The return code 0 to 5 of a 3.1.1 CONNACK with this meaning, if there is one [3.1.1 §3.2.2.3].
constexpr std::optional<std::uint8_t> to_return_code(reason_code code) noexcept {
    for (std::size_t i = 0; i != std::size(detail::return_codes); ++i)
        if (detail::return_codes[i] == code) return static_cast<std::uint8_t>(i);
    return std::nullopt;
}

/// The meaning of a 3.1.1 CONNACK's return code, if it is one of 0 to 5 [3.1.1 §3.2.2.3].
constexpr std::optional<reason_code> from_return_code(std::uint8_t code) noexcept {
    if (code >= std::size(detail::return_codes)) return std::nullopt;
    return detail::return_codes[code];
}

/// Whether a packet of this type and version may carry the code.
constexpr bool is_valid(reason_code code, packet_type type, protocol_version version) noexcept {
    if (code == reason_code::success) return true;
    if (version == protocol_version::v3_1_1) {
        if (type == packet_type::connack) return to_return_code(code).has_value();
        if (type == packet_type::suback)
            return code <= reason_code::granted_qos_2 || code == reason_code::unspecified_error;
        return false;
    }
    return (detail::find_reason_row(code).packets & detail::in(type)) != 0;
}

/// The category of refusals by the broker; the value is a `reason_code`.
inline const std::error_category& refusal_category() noexcept {
    static const struct : std::error_category {
        const char* name() const noexcept override { return "tern.refusal"; }
        TERN_COLD std::string message(int value) const override {
            return std::string{to_string(static_cast<reason_code>(value))};
        }
    } category;
    return category;
}

/// Enables `error == reason_code::not_authorized`.
inline std::error_code make_error_code(reason_code code) noexcept {
    return {static_cast<int>(code), refusal_category()};
}

} // namespace tern

template <>
struct std::is_error_code_enum<tern::reason_code> : std::true_type {};
