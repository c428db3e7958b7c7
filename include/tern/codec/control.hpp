// PINGREQ, PINGRESP, DISCONNECT and AUTH: packets about the connection itself [§3.12 to §3.15].
#pragma once

#include "tern/codec/properties.hpp"
#include "tern/detail/bytes.hpp"
#include "tern/detail/inline.hpp"
#include "tern/reason_code.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

/// PINGREQ: the client checks whether the broker responds [§3.12].
struct pingreq {
    static constexpr packet_type type = packet_type::pingreq;
    friend constexpr bool operator==(const pingreq&, const pingreq&) = default;
};

/// PINGRESP: the broker's response to PINGREQ [§3.13].
struct pingresp {
    static constexpr packet_type type = packet_type::pingresp;
    friend constexpr bool operator==(const pingresp&, const pingresp&) = default;
};

/// The properties of DISCONNECT [§3.14.2.2]. 5.0 only.
struct disconnect_properties {
    std::optional<std::chrono::seconds> session_expiry_interval = {}; ///< from the client only
    std::optional<std::string_view> reason_string = {};
    std::optional<std::string_view> server_reference = {}; ///< from the broker only
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const disconnect_properties&, const disconnect_properties&) = default;

    using fields = detail::field_list<
        detail::field<property_id::session_expiry_interval, &disconnect_properties::session_expiry_interval>,
        detail::field<property_id::reason_string, &disconnect_properties::reason_string>,
        detail::field<property_id::server_reference, &disconnect_properties::server_reference>,
        detail::field<property_id::user_property, &disconnect_properties::user_properties>>;
};

/// DISCONNECT: the last packet of a connection [§3.14]. In 3.1.1 only the client sends it, without content.
struct disconnect {
    static constexpr packet_type type = packet_type::disconnect;

    tern::reason_code reason_code = tern::reason_code::normal_disconnection;
    disconnect_properties properties = {};

    friend constexpr bool operator==(const disconnect&, const disconnect&) = default;
};

/// The properties of AUTH [§3.15.2.2].
struct auth_properties {
    std::optional<std::string_view> authentication_method = {};
    std::optional<std::string_view> authentication_data = {};
    std::optional<std::string_view> reason_string = {};
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const auth_properties&, const auth_properties&) = default;

    using fields =
        detail::field_list<detail::field<property_id::authentication_method, &auth_properties::authentication_method>,
                           detail::field<property_id::authentication_data, &auth_properties::authentication_data>,
                           detail::field<property_id::reason_string, &auth_properties::reason_string>,
                           detail::field<property_id::user_property, &auth_properties::user_properties>>;
};

/// AUTH: a step of enhanced authentication [§3.15]. 5.0 only.
struct auth {
    static constexpr packet_type type = packet_type::auth;

    tern::reason_code reason_code = tern::reason_code::success;
    auth_properties properties = {};

    friend constexpr bool operator==(const auth&, const auth&) = default;
};

namespace detail {

/// The reason codes with which only a server disconnects [§3.14.2.1].
TERN_COLD constexpr bool is_for_server_only(reason_code code) noexcept {
    switch (code) {
    case reason_code::not_authorized:
    case reason_code::server_busy:
    case reason_code::server_shutting_down:
    case reason_code::bad_authentication_method:
    case reason_code::keep_alive_timeout:
    case reason_code::session_taken_over:
    case reason_code::topic_filter_invalid: return true;
    default: return code >= reason_code::retain_not_supported;
    }
}

constexpr errc validate(const pingreq&, protocol_version) noexcept {
    return errc::none;
}
constexpr errc validate(const pingresp&, protocol_version) noexcept {
    return errc::none;
}
template <class Sink>
constexpr void put_body(Sink&, const pingreq&, protocol_version) {}
template <class Sink>
constexpr void put_body(Sink&, const pingresp&, protocol_version) {}
constexpr void get_body(reader& in, pingreq&, std::uint8_t, protocol_version) {
    in.finish();
}
constexpr void get_body(reader& in, pingresp&, std::uint8_t, protocol_version) {
    in.finish();
}

constexpr errc validate(const disconnect& p, protocol_version version) noexcept {
    return is_valid(p.reason_code, packet_type::disconnect, version) ? errc::none : errc::invalid_reason_code;
}

TERN_COLD constexpr errc validate(const auth& p, protocol_version version) noexcept {
    if (version == protocol_version::v3_1_1) return errc::requires_v5;
    if (!is_valid(p.reason_code, packet_type::auth, version)) return errc::invalid_reason_code;
    if (p.properties.authentication_method) return errc::none;
    if (p.properties.authentication_data) return errc::authentication_data_without_method;
    // Only an AUTH without content needs no method [§3.15.2.1, §3.15.2.2.2].
    const bool has_content = p.reason_code != reason_code::success || !is_empty(p.properties);
    return has_content ? errc::missing_authentication_method : errc::none;
}

// DISCONNECT and AUTH omit success together with empty properties. Only DISCONNECT may have a reason code
// without a property length [§3.14.2.2.1, §3.15.2.1].
template <class Sink, class Packet>
TERN_COLD constexpr void put_reason(Sink& sink, const Packet& p, protocol_version version) {
    const bool empty = is_empty(p.properties);
    if (p.reason_code == reason_code::success && empty) return;
    if (version == protocol_version::v5) sink.byte(static_cast<std::uint8_t>(p.reason_code));
    if (!empty || Packet::type == packet_type::auth) put_properties(sink, p.properties, version);
}

template <class Packet>
TERN_COLD constexpr void get_reason(reader& in, Packet& p, protocol_version version) {
    if (version == protocol_version::v5 && !in.at_end()) {
        p.reason_code = static_cast<reason_code>(in.byte());
        if (!in.at_end() || Packet::type == packet_type::auth) get_properties(in, p.properties, version);
    }
    in.finish();
    if (in.error() != errc::none) return;
    if (const errc error = validate(p, version); error != errc::none) in.fail(error);
}

template <class Sink>
constexpr void put_body(Sink& sink, const disconnect& p, protocol_version version) {
    put_reason(sink, p, version);
}
constexpr void get_body(reader& in, disconnect& p, std::uint8_t, protocol_version version) {
    get_reason(in, p, version);
}
template <class Sink>
constexpr void put_body(Sink& sink, const auth& p, protocol_version version) {
    put_reason(sink, p, version);
}
constexpr void get_body(reader& in, auth& p, std::uint8_t, protocol_version version) {
    get_reason(in, p, version);
}

} // namespace detail
} // namespace tern
