// The small words of MQTT: protocol version, packet type, quality of service, packet identifier.
#pragma once

#include <cstdint>

namespace tern {

/// The version of the protocol, with the value that CONNECT carries as its protocol level.
enum class protocol_version : std::uint8_t { v3_1_1 = 4, v5 = 5 };

/// The quality of service of a message [§4.3].
enum class qos : std::uint8_t {
    at_most_once = 0,  ///< sent once, never acknowledged: may be lost
    at_least_once = 1, ///< acknowledged: may arrive more than once
    exactly_once = 2,  ///< acknowledged in two steps: arrives exactly once
};

/// The control packet types [§2.1.2], with the value of the upper half of a packet's first byte.
enum class packet_type : std::uint8_t {
    connect = 1,
    connack = 2,
    publish = 3,
    puback = 4,
    pubrec = 5,
    pubrel = 6,
    pubcomp = 7,
    subscribe = 8,
    suback = 9,
    unsubscribe = 10,
    unsuback = 11,
    pingreq = 12,
    pingresp = 13,
    disconnect = 14,
    auth = 15,
};

/// Whether a packet was received or sent.
enum class packet_direction : std::uint8_t { received, sent };

/// Identifies one unfinished exchange in one direction; never 0 on the wire [§2.2.1].
using packet_id = std::uint16_t;

/// How often the broker sends retained messages when a subscription is made [§3.8.3.1]. 5.0 only.
enum class retain_handling : std::uint8_t {
    send = 0,        ///< at every subscribe
    send_if_new = 1, ///< only if the subscription did not exist
    do_not_send = 2, ///< never
};

/// What a publisher says of its payload [§3.3.2.3.2]. 5.0 only.
enum class payload_format : std::uint8_t { unspecified = 0, utf8 = 1 };

/// The largest value of a Variable Byte Integer, and so of a packet's remaining length [§1.5.5].
inline constexpr std::uint32_t variable_byte_integer_max = 268'435'455;

/// The largest length of a string or of binary data on the wire, in bytes [§1.5.4].
inline constexpr std::uint32_t string_max = 65'535;

} // namespace tern
