// PUBLISH: a message on its way [§3.3].
#pragma once

#include "tern/codec/cursor.hpp"
#include "tern/codec/properties.hpp"
#include "tern/message.hpp"
#include "tern/topic.hpp"
#include "tern/types.hpp"
#include "tern/utf8.hpp"

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

// Almost every topic is.
TERN_INLINE constexpr bool is_plain_topic(std::string_view topic) noexcept {
    return topic.size() - 1 < string_max && is_plain<false>(topic); // not empty either
}

constexpr errc check_topic(const message_view& message, protocol_version version) noexcept {
    // An alias stands for the topic [§3.3.2.3.4].
    if (message.topic.empty() && version == protocol_version::v5 && message.properties.topic_alias)
        return errc::none;
    return check_topic_name(message.topic);
}

// A response topic is a topic name like any other [MQTT-3.3.2-13, MQTT-3.3.2-14].
TERN_NOINLINE constexpr errc check_response_topic(std::string_view topic) noexcept {
    const errc error = check_topic_name(topic);
    const bool is_string = error == errc::empty_topic || error == errc::invalid_topic_name;
    return is_string ? errc::invalid_response_topic : error;
}
constexpr errc check_response_topic(const message_properties& properties) noexcept {
    return properties.response_topic ? check_response_topic(*properties.response_topic) : errc::none;
}

TERN_INLINE constexpr errc check_topics(const message_view& message, protocol_version version) noexcept {
    const errc error = is_plain_topic(message.topic) ? errc::none : check_topic(message, version);
    return error != errc::none ? error : check_response_topic(message.properties);
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
TERN_INLINE constexpr bool is_simple(const publish& p) noexcept {
    return is_unset(p.message.properties) && is_plain_topic(p.message.topic);
}

// What can be wrong with a simple one.
TERN_INLINE constexpr errc check_simple(const publish& p, protocol_version) noexcept {
    if (static_cast<unsigned>(p.message.qos) > 2) return errc::invalid_qos;
    if (p.message.qos == qos::at_most_once) {
        if (p.dup) return errc::dup_at_most_once;
        if (p.packet_id != 0) return errc::packet_id_at_most_once;
    } else if (p.packet_id == 0) {
        return errc::zero_packet_id;
    }
    return errc::none;
}

constexpr errc check(const publish& p, protocol_version version) noexcept {
    const errc error = check_simple(p, version);
    return error == errc::none ? check_topics(p.message, version) : error;
}

template <class Sink>
TERN_INLINE constexpr void put_body(Sink& sink, const publish& p, protocol_version version) {
    sink.binary(p.message.topic); // `check` has seen that it is a string
    if (p.message.qos != qos::at_most_once) [[likely]]
        sink.two_bytes(p.packet_id);
    put_properties(sink, p.message.properties, version);
    sink.bytes(p.message.payload);
    if constexpr (Sink::checks && !Sink::simple)
        if (const errc error = check_payload_format(p.message); error != errc::none) sink.fail(error);
}

TERN_INLINE constexpr void get_body(reader& in, publish& p, std::uint8_t flags, protocol_version version) {
    message_view& message = p.message;
    if ((flags & qos_bits) == qos_bits) return in.fail(errc::invalid_qos);
    message.qos = static_cast<qos>((flags & qos_bits) >> 1);
    message.retain = (flags & retain_bit) != 0;
    p.dup = (flags & dup_bit) != 0;
    message.topic = in.binary();
    if (message.qos != qos::at_most_once) p.packet_id = in.id();
    get_properties(in, message.properties, version);
    message.payload = in.rest();
    if (in.error() != errc::none) return;
    if (p.dup && message.qos == qos::at_most_once) return in.fail(errc::dup_at_most_once);
    if (const errc error = check_topics(message, version); error != errc::none) in.fail(error);
}

} // namespace detail
} // namespace tern
