// Reason codes: how a broker (or a client) answers. 3.1.1's return codes are a subset of them.
#pragma once

#include "tern/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace tern {

/// The reason codes of 5.0 [§2.4]. A value of 0x80 or above is a failure.
///
/// 3.1.1 packets use the same type: the five refusals of its CONNACK are translated to their 5.0 names
/// (see `to_return_code`), and its SUBACK codes 0, 1, 2 and 0x80 have the same values here.
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

/// Whether the code says that the request failed.
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
    std::uint8_t code;
    std::uint16_t packets; // one bit per packet type that may carry it
    std::string_view text;
};

struct reason_table { // Table 2-6 of 5.0
    using enum packet_type;
    static constexpr reason_row rows[] = {
        {0x00, in(connack, puback, pubrec, pubrel, pubcomp, suback, unsuback, disconnect, auth), "success"},
        {0x01, in(suback), "granted QoS 1"},
        {0x02, in(suback), "granted QoS 2"},
        {0x04, in(disconnect), "disconnect with will message"},
        {0x10, in(puback, pubrec), "no matching subscribers"},
        {0x11, in(unsuback), "no subscription existed"},
        {0x18, in(auth), "continue authentication"},
        {0x19, in(auth), "re-authenticate"},
        {0x80, in(connack, puback, pubrec, suback, unsuback, disconnect), "unspecified error"},
        {0x81, in(connack, disconnect), "malformed packet"},
        {0x82, in(connack, disconnect), "protocol error"},
        {0x83, in(connack, puback, pubrec, suback, unsuback, disconnect), "implementation specific error"},
        {0x84, in(connack), "unsupported protocol version"},
        {0x85, in(connack), "client identifier not valid"},
        {0x86, in(connack), "bad user name or password"},
        {0x87, in(connack, puback, pubrec, suback, unsuback, disconnect), "not authorized"},
        {0x88, in(connack), "server unavailable"},
        {0x89, in(connack, disconnect), "server busy"},
        {0x8A, in(connack), "banned"},
        {0x8B, in(disconnect), "server shutting down"},
        {0x8C, in(connack, disconnect), "bad authentication method"},
        {0x8D, in(disconnect), "keep alive timeout"},
        {0x8E, in(disconnect), "session taken over"},
        {0x8F, in(suback, unsuback, disconnect), "topic filter invalid"},
        {0x90, in(connack, puback, pubrec, disconnect), "topic name invalid"},
        {0x91, in(puback, pubrec, suback, unsuback), "packet identifier in use"},
        {0x92, in(pubrel, pubcomp), "packet identifier not found"},
        {0x93, in(disconnect), "receive maximum exceeded"},
        {0x94, in(disconnect), "topic alias invalid"},
        {0x95, in(connack, disconnect), "packet too large"},
        {0x96, in(disconnect), "message rate too high"},
        {0x97, in(connack, puback, pubrec, suback, disconnect), "quota exceeded"},
        {0x98, in(disconnect), "administrative action"},
        {0x99, in(connack, puback, pubrec, disconnect), "payload format invalid"},
        {0x9A, in(connack, disconnect), "retain not supported"},
        {0x9B, in(connack, disconnect), "QoS not supported"},
        {0x9C, in(connack, disconnect), "use another server"},
        {0x9D, in(connack, disconnect), "server moved"},
        {0x9E, in(suback, disconnect), "shared subscriptions not supported"},
        {0x9F, in(connack, disconnect), "connection rate exceeded"},
        {0xA0, in(disconnect), "maximum connect time"},
        {0xA1, in(suback, disconnect), "subscription identifiers not supported"},
        {0xA2, in(suback, disconnect), "wildcard subscriptions not supported"},
    };
};

constexpr reason_row find_reason(std::uint8_t code) noexcept {
    for (const reason_row& row : reason_table::rows)
        if (row.code == code) return row;
    return {code, 0, "unknown reason code"};
}

} // namespace detail

/// The standard's name of the code, or "unknown reason code".
constexpr std::string_view to_string(reason_code code) noexcept {
    return detail::find_reason(static_cast<std::uint8_t>(code)).text;
}

/// Whether a packet of this type and version may carry the code.
constexpr bool is_valid(reason_code code, packet_type type, protocol_version version) noexcept {
    if (code == reason_code::success) return true;
    if (version == protocol_version::v3_1_1) {
        if (type == packet_type::connack)
            return code >= reason_code::unsupported_protocol_version &&
                   code <= reason_code::server_unavailable;
        if (type == packet_type::suback)
            return code <= reason_code::granted_qos_2 || code == reason_code::unspecified_error;
        return false;
    }
    return (detail::find_reason(static_cast<std::uint8_t>(code)).packets & detail::in(type)) != 0;
}

/// The return code 0 to 5 with which a 3.1.1 CONNACK says this, if there is one [3.1.1 §3.2.2.3].
constexpr std::optional<std::uint8_t> to_return_code(reason_code code) noexcept {
    switch (code) {
    case reason_code::success: return std::uint8_t{0};
    case reason_code::unsupported_protocol_version: return std::uint8_t{1};
    case reason_code::client_identifier_not_valid: return std::uint8_t{2};
    case reason_code::server_unavailable: return std::uint8_t{3};
    case reason_code::bad_user_name_or_password: return std::uint8_t{4};
    case reason_code::not_authorized: return std::uint8_t{5};
    default: return std::nullopt;
    }
}

/// What a 3.1.1 CONNACK's return code means, if it is one of 0 to 5 [3.1.1 §3.2.2.3].
constexpr std::optional<reason_code> from_return_code(std::uint8_t code) noexcept {
    switch (code) {
    case 0: return reason_code::success;
    case 1: return reason_code::unsupported_protocol_version;
    case 2: return reason_code::client_identifier_not_valid;
    case 3: return reason_code::server_unavailable;
    case 4: return reason_code::bad_user_name_or_password;
    case 5: return reason_code::not_authorized;
    default: return std::nullopt;
    }
}

/// The category of errors that are refusals by the broker: the value is a `reason_code`.
inline const std::error_category& refusal_category() noexcept {
    static const struct : std::error_category {
        const char* name() const noexcept override { return "tern.refusal"; }
        std::string message(int value) const override {
            return std::string{to_string(static_cast<reason_code>(value))};
        }
    } category;
    return category;
}

/// Makes `error == reason_code::not_authorized` work.
inline std::error_code make_error_code(reason_code code) noexcept {
    return {static_cast<int>(code), refusal_category()};
}

} // namespace tern

template <>
struct std::is_error_code_enum<tern::reason_code> : std::true_type {};
