// PUBLISH, and the four packets that acknowledge it: PUBACK, PUBREC, PUBREL and PUBCOMP [§3.3 to §3.7].
#pragma once

#include "tern/codec/properties.hpp"
#include "tern/detail/bytes.hpp"
#include "tern/detail/utf8.hpp"
#include "tern/message.hpp"
#include "tern/reason_code.hpp"
#include "tern/topic.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

/// PUBLISH, from client to broker or from broker to client [§3.3].
///
/// The codec does not know the sender. A client's PUBLISH must have no subscription identifiers
/// [MQTT-3.3.4-6].
struct publish {
    static constexpr packet_type type = packet_type::publish;

    message_view message = {};
    bool dup = false;              ///< this may be a retransmission
    tern::packet_id packet_id = 0; ///< 0 if the QoS is 0, and only then

    friend constexpr bool operator==(const publish&, const publish&) = default;
};

/// The properties of an acknowledgement [§3.4.2.2]. 5.0 only.
struct ack_properties {
    std::optional<std::string_view> reason_string = {};
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const ack_properties&, const ack_properties&) = default;

    using fields = detail::field_list<detail::field<property_id::reason_string, &ack_properties::reason_string>,
                                      detail::field<property_id::user_property, &ack_properties::user_properties>>;
};

/// One of the four acknowledgements of a message. 3.1.1 has neither reason code nor properties.
template <packet_type Type>
struct publish_ack {
    static constexpr packet_type type = Type;

    tern::packet_id packet_id = 0;
    tern::reason_code reason_code = tern::reason_code::success;
    ack_properties properties = {};

    friend constexpr bool operator==(const publish_ack&, const publish_ack&) = default;
};

using puback = publish_ack<packet_type::puback>;   ///< the receiver has the QoS 1 message [§3.4]
using pubrec = publish_ack<packet_type::pubrec>;   ///< the receiver has the QoS 2 message [§3.5]
using pubrel = publish_ack<packet_type::pubrel>;   ///< its sender will not send it again [§3.6]
using pubcomp = publish_ack<packet_type::pubcomp>; ///< its receiver has released the identifier [§3.7]

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
    // A topic alias replaces the topic [§3.3.2.3.4].
    if (message.topic.empty() && version == protocol_version::v5 && message.properties.topic_alias) return errc::none;
    return check_topic_name(message.topic);
}

// A payload declared UTF-8 must be UTF-8 [§3.3.2.3.2]; U+0000 is allowed. Received payloads are not checked:
// the application may answer with reason code 0x99, and one bad message must not close the connection.
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

/// Whether the message has no properties and an ASCII topic.
TERN_INLINE constexpr bool is_simple(const message_view& m) noexcept {
    return is_unset(m.properties) && is_plain<false>(m.topic);
}
TERN_INLINE constexpr bool is_simple(const publish& p) noexcept {
    return is_simple(p.message);
}

// All checks of a simple PUBLISH.
TERN_INLINE constexpr errc check_simple(const publish& p, protocol_version) noexcept {
    if (p.message.qos == qos::at_least_once || p.message.qos == qos::exactly_once) [[likely]]
        return p.packet_id == 0 ? errc::zero_packet_id : errc::none;
    if (p.message.qos != qos::at_most_once) return errc::invalid_qos;
    if (p.dup) return errc::dup_at_most_once;
    return p.packet_id != 0 ? errc::packet_id_at_most_once : errc::none;
}

constexpr errc validate(const publish& p, protocol_version version) noexcept {
    const errc error = check_simple(p, version);
    return error == errc::none ? check_topic(p.message, version) : error;
}

template <class Sink>
TERN_INLINE constexpr void put_body(Sink& sink, const publish& p, protocol_version version) {
    sink.checked_string(p.message.topic); // in `validate`
    if (p.message.qos != qos::at_most_once) [[likely]]
        sink.two_bytes(p.packet_id);
    if constexpr (Sink::simple)
        sink.no_properties(version);
    else
        put_properties(sink, p.message.properties, version);
    sink.bytes(p.message.payload);
    if constexpr (Sink::checks && !Sink::simple)
        if (const errc error = check_payload_format(p.message); error != errc::none) sink.fail(error);
}

// The message that the members of a PUBLISH belong to. A received message has these members itself.
constexpr message_view& message_of(publish& p) noexcept {
    return p.message;
}
constexpr message_view& message_of(message_view& m) noexcept {
    return m;
}

// Reads a PUBLISH to an object with the members `dup` and `packet_id`, and a message.
template <class Publish>
TERN_INLINE constexpr void get_publish(reader& in, Publish& p, std::uint8_t flags, protocol_version version) {
    message_view& message = message_of(p);
    message.qos = static_cast<qos>((flags & qos_bits) >> 1);
    message.retain = (flags & retain_bit) != 0;
    p.dup = (flags & dup_bit) != 0;
    message.topic = in.binary();
    if (message.qos != qos::at_most_once) p.packet_id = in.id();
    if (version != protocol_version::v3_1_1)
        if (const std::uint32_t size = in.variable(); size != 0) [[unlikely]]
            get_property_block(in, message.properties, size);
    message.payload = in.rest();
    if (in.error() != errc::none) return;
    if (const errc error = check_topic(message, version); error != errc::none) in.fail(error);
}

TERN_INLINE constexpr void get_body(reader& in, publish& p, std::uint8_t flags, protocol_version version) {
    get_publish(in, p, flags, version);
}

// ---- acknowledgements

template <packet_type Type>
TERN_INLINE constexpr errc validate(const publish_ack<Type>& p, protocol_version version) noexcept {
    if (p.reason_code != reason_code::success && !is_valid(p.reason_code, Type, version))
        return errc::invalid_reason_code;
    return p.packet_id == 0 ? errc::zero_packet_id : errc::none;
}

template <class Sink, packet_type Type>
TERN_INLINE constexpr void put_body(Sink& sink, const publish_ack<Type>& p, protocol_version version) {
    sink.two_bytes(p.packet_id);
    const bool empty = Sink::simple || is_empty(p.properties);
    if (p.reason_code == reason_code::success && empty) return; // both may be omitted [§3.4.2.1]
    if (version == protocol_version::v5) sink.byte(static_cast<std::uint8_t>(p.reason_code));
    if constexpr (!Sink::simple)
        if (!empty) put_properties(sink, p.properties, version);
}

// Reads the reason code and the properties, which may follow the packet identifier.
template <packet_type Type>
TERN_NOINLINE TERN_COLD constexpr errc get_reason(std::string_view bytes, publish_ack<Type>& p,
                                                  protocol_version version) noexcept {
    reader in{bytes};
    if (version == protocol_version::v5) {
        p.reason_code = static_cast<reason_code>(in.byte());
        if (!is_valid(p.reason_code, Type, version)) in.fail(errc::invalid_reason_code);
        if (!in.at_end()) get_properties(in, p.properties, version);
    }
    in.finish();
    return in.error();
}

template <packet_type Type>
TERN_INLINE constexpr void get_body(reader& in, publish_ack<Type>& p, std::uint8_t, protocol_version version) {
    p.packet_id = in.id();
    if (in.at_end()) [[likely]]
        return;
    const errc error = get_reason(in.rest(), p, version);
    if (error != errc::none) in.fail(error);
}

} // namespace detail
} // namespace tern
