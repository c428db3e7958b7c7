// The basic types of MQTT: protocol version, packet type, quality of service, packet identifier.
#pragma once

#include "tern/detail/compiler.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

namespace tern {

/// The version of the protocol, with the value that CONNECT carries as its protocol level.
enum class protocol_version : std::uint8_t { v3_1_1 = 4, v5 = 5 };

/// The quality of service of a message [§4.3].
enum class qos : std::uint8_t {
    at_most_once = 0,  ///< sent once, not acknowledged: the message may be lost
    at_least_once = 1, ///< acknowledged: the message may arrive more than once
    exactly_once = 2,  ///< acknowledged in two steps: the message arrives exactly once
};

/// The control packet types [§2.1.2], with the value of the upper four bits of a packet's first byte.
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

namespace detail {

struct packet_row {
    packet_type type;
    std::string_view name;
    std::uint8_t flags = 0; // the lower four bits of the first byte; those of PUBLISH vary
};

struct packet_table { // Tables 2-1 and 2-2 of 5.0
    using enum packet_type;
    static constexpr packet_row rows[] = {
        {connect, "CONNECT"},   {connack, "CONNACK"},
        {publish, "PUBLISH"},   {puback, "PUBACK"},
        {pubrec, "PUBREC"},     {pubrel, "PUBREL", 2},
        {pubcomp, "PUBCOMP"},   {subscribe, "SUBSCRIBE", 2},
        {suback, "SUBACK"},     {unsubscribe, "UNSUBSCRIBE", 2},
        {unsuback, "UNSUBACK"}, {pingreq, "PINGREQ"},
        {pingresp, "PINGRESP"}, {disconnect, "DISCONNECT"},
        {auth, "AUTH"},
    };
};

static_assert(
    [] {
        for (std::size_t i = 0; i != std::size(packet_table::rows); ++i)
            if (static_cast<std::size_t>(packet_table::rows[i].type) != i + 1) return false;
        return true;
    }(),
    "one row per packet type, in the same order");

// Accepts any value: a first byte may hold the reserved type 0.
constexpr packet_row find_packet_row(packet_type type) noexcept {
    const std::size_t index = static_cast<std::size_t>(type) - 1;
    return index < std::size(packet_table::rows) ? packet_table::rows[index] : packet_row{type, "unknown packet type"};
}

} // namespace detail

/// The standard's name of the packet type, such as "CONNECT", or "unknown packet type".
constexpr std::string_view to_string(packet_type type) noexcept {
    return detail::find_packet_row(type).name;
}

/// Whether a packet was received or sent.
enum class packet_direction : std::uint8_t { received, sent };

/// Identifies one unacknowledged packet in one direction; never 0 on the wire [§2.2.1].
using packet_id = std::uint16_t;

/// When the broker sends retained messages for a subscription [§3.8.3.1]. 5.0 only.
enum class retain_handling : std::uint8_t {
    send = 0,        ///< at every SUBSCRIBE
    send_if_new = 1, ///< only if the subscription did not exist before
    do_not_send = 2, ///< never
};

/// What a publisher declares about its payload [§3.3.2.3.2]. 5.0 only.
enum class payload_format : std::uint8_t { unspecified = 0, utf8 = 1 };

/// The largest value of a Variable Byte Integer, and therefore of a packet's remaining length [§1.5.5].
inline constexpr std::uint32_t variable_byte_integer_max = 268'435'455;

/// The largest packet that MQTT can express, in bytes: a first byte, four of remaining length, and the rest.
inline constexpr std::uint32_t packet_size_max = variable_byte_integer_max + 5;

/// The largest length of a string or of binary data on the wire, in bytes [§1.5.4].
inline constexpr std::uint32_t string_max = 65'535;

} // namespace tern
