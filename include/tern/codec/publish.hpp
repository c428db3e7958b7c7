// PUBLISH: a message on its way [§3.3].
#pragma once

#include "tern/codec/cursor.hpp"
#include "tern/codec/properties.hpp"
#include "tern/detail/utf8.hpp"
#include "tern/message.hpp"
#include "tern/topic.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <cstdint>

namespace tern {

/// PUBLISH, from client to broker and from broker to client [§3.3].
///
/// The codec does not know who sends: a client's PUBLISH has no subscription identifiers [MQTT-3.3.4-6].
struct publish {
    static constexpr packet_type type = packet_type::publish;

    message_view message = {};
    bool dup = false;              ///< this may be a re-delivery
    tern::packet_id packet_id = 0; ///< 0 with QoS 0, and only then

    friend constexpr bool operator==(const publish&, const publish&) = default;
};

namespace detail {

inline constexpr unsigned retain_bit = 0x01;
inline constexpr unsigned qos_bits = 0x06;
inline constexpr unsigned dup_bit = 0x08;

constexpr std::uint8_t flags_of(const publish& p) noexcept {
    return static_cast<std::uint8_t>((p.dup ? dup_bit : 0U) | static_cast<unsigned>(p.message.qos) << 1 |
                                     (p.message.retain ? retain_bit : 0U));
}

TERN_INLINE constexpr errc check_topic(const message_view& message, protocol_version version) noexcept {
    if (is_plain<false>(message.topic)) [[likely]]
        return errc::none;
    // An alias stands for the topic [§3.3.2.3.4].
    if (message.topic.empty() && version == protocol_version::v5 && message.properties.topic_alias)
        return errc::none;
    return check_topic_name(message.topic);
}

// Who says that a payload is UTF-8 must send UTF-8 [§3.3.2.3.2], U+0000 included. Not asked of what is
// received: there it is the application that may answer with 0x99, and one bad message must not end the
// connection.
TERN_NOINLINE constexpr errc check_payload_text(std::string_view payload) noexcept {
    const char* p = payload.data();
    const char* const end = p + payload.size();
    while (p != end) {
        const std::size_t length = utf8_sequence(p, end);
        if (length == 0) return errc::payload_format_invalid;
        p += length;
    }
    return errc::none;
}
constexpr errc check_payload_format(const message_view& message) noexcept {
    const bool is_text = message.properties.payload_format_indicator == payload_format::utf8;
    return is_text ? check_payload_text(message.payload) : errc::none;
}

/// Whether it has neither properties nor anything but ASCII in its topic.
TERN_INLINE constexpr bool is_simple(const message_view& m) noexcept {
    return is_unset(m.properties) && is_plain<false>(m.topic);
}
TERN_INLINE constexpr bool is_simple(const publish& p) noexcept {
    return is_simple(p.message);
}

// What can be wrong with a simple one.
TERN_INLINE constexpr errc check_simple(const publish& p, protocol_version) noexcept {
    if (p.message.qos == qos::at_least_once || p.message.qos == qos::exactly_once) [[likely]]
        return p.packet_id == 0 ? errc::zero_packet_id : errc::none;
    if (p.message.qos != qos::at_most_once) return errc::invalid_qos;
    if (p.dup) return errc::dup_at_most_once;
    return p.packet_id != 0 ? errc::packet_id_at_most_once : errc::none;
}

constexpr errc check(const publish& p, protocol_version version) noexcept {
    const errc error = check_simple(p, version);
    return error == errc::none ? check_topic(p.message, version) : error;
}

template <class Sink>
TERN_INLINE constexpr void put_body(Sink& sink, const publish& p, protocol_version version) {
    sink.checked_string(p.message.topic); // by `check`
    if (p.message.qos != qos::at_most_once) [[likely]]
        sink.two_bytes(p.packet_id);
    put_properties(sink, p.message.properties, version);
    sink.bytes(p.message.payload);
    if constexpr (Sink::checks && !Sink::simple)
        if (const errc error = check_payload_format(p.message); error != errc::none) sink.fail(error);
}

TERN_INLINE constexpr void get_body(reader& in, publish& p, std::uint8_t flags, protocol_version version) {
    message_view& message = p.message;
    message.qos = static_cast<qos>((flags & qos_bits) >> 1);
    message.retain = (flags & retain_bit) != 0;
    p.dup = (flags & dup_bit) != 0;
    message.topic = in.binary();
    if (message.qos != qos::at_most_once) p.packet_id = in.id();
    get_properties(in, message.properties, version);
    message.payload = in.rest();
    if (in.error() != errc::none) return;
    if (const errc error = check_topic(message, version); error != errc::none) in.fail(error);
}

} // namespace detail
} // namespace tern
