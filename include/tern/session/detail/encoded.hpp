// What is done to packets that lie encoded in the outbox: little patches instead of encoding them again.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/error.hpp"
#include "tern/session/event.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern::detail {

/// The longest that the standard has.
inline constexpr std::uint32_t largest_packet = variable_byte_integer_max + 5;

/// What a broker lets a client publish.
struct publish_limits {
    qos maximum_qos = qos::exactly_once;
    bool retain = true;
    std::uint32_t maximum_packet_size = largest_packet;

    /// What is wrong with a message whose packet has this size.
    errc check(qos level, bool retained, std::size_t size) const noexcept {
        if (level > maximum_qos) return errc::qos_not_supported;                 // [MQTT-3.2.2-11]
        if (retained && !retain) return errc::retain_not_supported;              // [MQTT-3.2.2-14]
        return size > maximum_packet_size ? errc::packet_too_large : errc::none; // [MQTT-3.2.2-15]
    }
    errc check(std::string_view packet) const noexcept;
};

/// A packet identifier is all that there is in an acknowledgement of success.
inline constexpr measured shortest_ack{.remaining_length = 2, .simple = true};

inline qos qos_of(const char* publish) noexcept {
    return static_cast<qos>(static_cast<unsigned char>(*publish) >> 1U & 3U);
}
inline errc publish_limits::check(std::string_view packet) const noexcept {
    return check(qos_of(packet.data()), (static_cast<unsigned char>(packet.front()) & 1U) != 0,
                 packet.size());
}

/// A PUBLISH that was encoded here, so that nothing is wrong with it.
inline publish decode_publish(std::string_view packet, protocol_version version) noexcept {
    return *decode<publish>(next_frame(packet)->frame, version);
}

inline void set_dup(char* packet, bool dup) noexcept {
    if (dup)
        *packet |= static_cast<char>(dup_bit);
    else
        *packet &= static_cast<char>(~dup_bit);
}

/// Gives a PUBLISH, SUBSCRIBE or UNSUBSCRIBE its identifier.
inline void set_packet_id(char* packet, packet_id id) noexcept {
    const char* p = packet + 1;
    take_checked_variable(p);
    if (static_cast<unsigned char>(*packet) >> 4U == static_cast<unsigned>(packet_type::publish))
        take_checked_string(p);
    char* const place = packet + (p - packet);
    place[0] = static_cast<char>(id >> 8U);
    place[1] = static_cast<char>(id);
}

/// Takes the time that has passed off the message expiry interval of a PUBLISH that has one [MQTT-3.3.2-6].
inline void count_down(char* packet, time_point::duration passed) noexcept {
    const char* p = packet + 1;
    take_checked_variable(p);
    take_checked_string(p);
    if ((static_cast<unsigned char>(*packet) & 0x06U) != 0) p += 2; // the packet identifier
    take_checked_variable(p);
    if (*p == static_cast<char>(property_id::payload_format_indicator))
        p += 2; // the only one that comes before
    char* const place = packet + (p + 1 - packet);
    std::uint32_t interval = 0;
    for (int i = 0; i != 4; ++i)
        interval = interval << 8U | static_cast<unsigned char>(place[i]);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(passed).count();
    interval -= static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, interval));
    for (int i = 4; i-- != 0; interval >>= 8U)
        place[i] = static_cast<char>(interval);
}

} // namespace tern::detail
