// PUBACK, PUBREC, PUBREL and PUBCOMP: the four packets that answer a PUBLISH have one shape [§3.4 to §3.7].
#pragma once

#include "tern/codec/cursor.hpp"
#include "tern/codec/properties.hpp"
#include "tern/reason_code.hpp"
#include "tern/types.hpp"

#include <optional>
#include <string_view>

namespace tern {

/// The properties of an acknowledgement [§3.4.2.2]. 5.0 only.
struct ack_properties {
    std::optional<std::string_view> reason_string = {};
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const ack_properties&, const ack_properties&) = default;

    using fields =
        detail::field_list<detail::field<property_id::reason_string, &ack_properties::reason_string>,
                           detail::field<property_id::user_property, &ack_properties::user_properties>>;
};

/// One of the four steps by which a message is acknowledged. 3.1.1 knows neither reason code nor properties.
template <packet_type Type>
struct publish_ack {
    static constexpr packet_type type = Type;

    tern::packet_id packet_id = 0;
    tern::reason_code reason_code = tern::reason_code::success;
    ack_properties properties = {};

    friend constexpr bool operator==(const publish_ack&, const publish_ack&) = default;
};

using puback = publish_ack<packet_type::puback>;   ///< a QoS 1 message has arrived [§3.4]
using pubrec = publish_ack<packet_type::pubrec>;   ///< a QoS 2 message has arrived [§3.5]
using pubrel = publish_ack<packet_type::pubrel>;   ///< and its sender will not send it again [§3.6]
using pubcomp = publish_ack<packet_type::pubcomp>; ///< and its receiver forgets the packet identifier [§3.7]

namespace detail {

template <packet_type Type>
TERN_INLINE constexpr errc check(const publish_ack<Type>& p, protocol_version version) noexcept {
    if (!is_valid(p.reason_code, Type, version)) return errc::invalid_reason_code;
    return p.packet_id == 0 ? errc::zero_packet_id : errc::none;
}

template <class Sink, packet_type Type>
TERN_INLINE constexpr void put_body(Sink& sink, const publish_ack<Type>& p, protocol_version version) {
    sink.two_bytes(p.packet_id);
    const bool empty = Sink::simple || is_empty(p.properties);
    if (p.reason_code == reason_code::success && empty) return; // both may be left out
    if (version == protocol_version::v5) sink.byte(static_cast<std::uint8_t>(p.reason_code));
    if (!empty) put_properties(sink, p.properties, version);
}

// What may follow the packet identifier.
template <packet_type Type>
TERN_NOINLINE constexpr errc get_reason(std::string_view bytes, publish_ack<Type>& p,
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
TERN_INLINE constexpr void get_body(reader& in, publish_ack<Type>& p, std::uint8_t,
                                    protocol_version version) {
    p.packet_id = in.id();
    if (in.at_end()) [[likely]]
        return;
    const errc error = get_reason(in.rest(), p, version);
    if (error != errc::none) in.fail(error);
}

} // namespace detail
} // namespace tern
