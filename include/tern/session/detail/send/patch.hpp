// Changes to packets that lie encoded in the log: small patches in place instead of encoding the packet again.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern::detail {

/// The length of an acknowledgement of success, which holds only a packet identifier.
inline constexpr measured shortest_ack{.remaining_length = 2, .simple = true};
inline constexpr std::uint32_t shortest_ack_bytes = 4;

inline qos qos_of(const char* publish) noexcept {
    return static_cast<qos>(static_cast<unsigned char>(*publish) >> 1U & 3U);
}

/// Decodes a PUBLISH that was encoded here, and therefore is valid.
TERN_COLD inline publish decode_publish(std::string_view packet, protocol_version version) noexcept {
    return *decode<publish>(next_frame(packet)->frame, version);
}

inline void set_dup(char* packet, bool dup) noexcept {
    if (dup)
        *packet |= static_cast<char>(dup_bit);
    else
        *packet &= static_cast<char>(~dup_bit);
}

/// Sets the packet identifier of a PUBLISH, SUBSCRIBE or UNSUBSCRIBE.
inline void set_packet_id(char* packet, packet_id id) noexcept {
    const char* p = packet + 1;
    take_checked_variable(p);
    if (static_cast<unsigned char>(*packet) >> 4U == static_cast<unsigned>(packet_type::publish))
        take_checked_string(p);
    char* const bytes = packet + (p - packet);
    bytes[0] = static_cast<char>(id >> 8U);
    bytes[1] = static_cast<char>(id);
}

/// Reduces the message expiry interval of a PUBLISH that has one by the time it has waited [MQTT-3.3.2-6], in whole
/// seconds. The rest of the time counts when it waits again.
TERN_COLD inline void age_expiry_interval(char* packet, time_point& counted_from, time_point now) noexcept {
    const char* p = packet + 1;
    take_checked_variable(p);
    take_checked_string(p);
    if ((static_cast<unsigned char>(*packet) & 0x06U) != 0) p += 2; // the packet identifier
    take_checked_variable(p);
    if (*p == static_cast<char>(property_id::payload_format_indicator))
        p += 2; // the only property that is encoded before the interval
    char* const bytes = packet + (p + 1 - packet);
    std::uint32_t interval = 0;
    for (int i = 0; i != 4; ++i)
        interval = interval << 8U | static_cast<unsigned char>(bytes[i]);
    const auto waited = std::chrono::floor<std::chrono::seconds>(now - counted_from);
    counted_from += waited;
    interval -= static_cast<std::uint32_t>(std::clamp<std::int64_t>(waited.count(), 0, interval));
    for (int i = 4; i-- != 0; interval >>= 8U)
        bytes[i] = static_cast<char>(interval);
}

} // namespace tern::detail
