// CONNECT, with will and credentials, and CONNACK [§3.1, §3.2].
#pragma once

#include "tern/codec/properties.hpp"
#include "tern/codec/publish.hpp"
#include "tern/detail/bytes.hpp"
#include "tern/detail/inline.hpp"
#include "tern/message.hpp"
#include "tern/reason_code.hpp"
#include "tern/topic.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

/// The properties of CONNECT [§3.1.2.11]. 5.0 only.
struct connect_properties {
    std::optional<std::chrono::seconds> session_expiry_interval = {}; ///< or `session_never_expires`
    std::optional<std::uint16_t> receive_maximum = {};
    std::optional<std::uint32_t> maximum_packet_size = {}; ///< bytes
    std::optional<std::uint16_t> topic_alias_maximum = {};
    std::optional<bool> request_response_information = {};
    std::optional<bool> request_problem_information = {};
    std::optional<std::string_view> authentication_method = {};
    std::optional<std::string_view> authentication_data = {};
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const connect_properties&, const connect_properties&) = default;

    using fields = detail::field_list<
        detail::field<property_id::session_expiry_interval, &connect_properties::session_expiry_interval>,
        detail::field<property_id::receive_maximum, &connect_properties::receive_maximum>,
        detail::field<property_id::maximum_packet_size, &connect_properties::maximum_packet_size>,
        detail::field<property_id::topic_alias_maximum, &connect_properties::topic_alias_maximum>,
        detail::field<property_id::request_response_information, &connect_properties::request_response_information>,
        detail::field<property_id::request_problem_information, &connect_properties::request_problem_information>,
        detail::field<property_id::authentication_method, &connect_properties::authentication_method>,
        detail::field<property_id::authentication_data, &connect_properties::authentication_data>,
        detail::field<property_id::user_property, &connect_properties::user_properties>>;
};

/// CONNECT: the client requests a connection [§3.1]. The packet itself contains the protocol version.
struct connect {
    static constexpr packet_type type = packet_type::connect;

    protocol_version version = protocol_version::v5;
    bool clean_start = true;            ///< clean session in 3.1.1
    std::chrono::seconds keep_alive{0}; ///< 0 disables it
    std::string_view client_id = {};
    std::optional<message_view> will = {};
    std::optional<std::chrono::seconds> will_delay_interval = {}; ///< 5.0 only
    std::optional<std::string_view> user_name = {};
    std::optional<std::string_view> password = {};
    connect_properties properties = {};

    friend constexpr bool operator==(const connect&, const connect&) = default;
};

/// The properties of CONNACK [§3.2.2.3]. 5.0 only.
struct connack_properties {
    std::optional<std::chrono::seconds> session_expiry_interval = {};
    std::optional<std::uint16_t> receive_maximum = {};
    std::optional<qos> maximum_qos = {};
    std::optional<bool> retain_available = {};
    std::optional<std::uint32_t> maximum_packet_size = {}; ///< bytes
    std::optional<std::string_view> assigned_client_identifier = {};
    std::optional<std::uint16_t> topic_alias_maximum = {};
    std::optional<std::string_view> reason_string = {};
    std::optional<bool> wildcard_subscription_available = {};
    std::optional<bool> subscription_identifier_available = {};
    std::optional<bool> shared_subscription_available = {};
    std::optional<std::chrono::seconds> server_keep_alive = {};
    std::optional<std::string_view> response_information = {};
    std::optional<std::string_view> server_reference = {};
    std::optional<std::string_view> authentication_method = {};
    std::optional<std::string_view> authentication_data = {};
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const connack_properties&, const connack_properties&) = default;

    using fields = detail::field_list<
        detail::field<property_id::session_expiry_interval, &connack_properties::session_expiry_interval>,
        detail::field<property_id::receive_maximum, &connack_properties::receive_maximum>,
        detail::field<property_id::maximum_qos, &connack_properties::maximum_qos>,
        detail::field<property_id::retain_available, &connack_properties::retain_available>,
        detail::field<property_id::maximum_packet_size, &connack_properties::maximum_packet_size>,
        detail::field<property_id::assigned_client_identifier, &connack_properties::assigned_client_identifier>,
        detail::field<property_id::topic_alias_maximum, &connack_properties::topic_alias_maximum>,
        detail::field<property_id::reason_string, &connack_properties::reason_string>,
        detail::field<property_id::wildcard_subscription_available,
                      &connack_properties::wildcard_subscription_available>,
        detail::field<property_id::subscription_identifier_available,
                      &connack_properties::subscription_identifier_available>,
        detail::field<property_id::shared_subscription_available, &connack_properties::shared_subscription_available>,
        detail::field<property_id::server_keep_alive, &connack_properties::server_keep_alive>,
        detail::field<property_id::response_information, &connack_properties::response_information>,
        detail::field<property_id::server_reference, &connack_properties::server_reference>,
        detail::field<property_id::authentication_method, &connack_properties::authentication_method>,
        detail::field<property_id::authentication_data, &connack_properties::authentication_data>,
        detail::field<property_id::user_property, &connack_properties::user_properties>>;
};

/// CONNACK: the broker accepts or refuses the connection [§3.2].
struct connack {
    static constexpr packet_type type = packet_type::connack;

    bool session_present = false;
    tern::reason_code reason_code = tern::reason_code::success;
    connack_properties properties = {};

    friend constexpr bool operator==(const connack&, const connack&) = default;

    /// For `owned`: calls `f` on every member that borrows.
    template <class F>
    static void visit(connack& packet, F&& f) {
        detail::visit_borrowed(packet.properties, f, connack_properties::fields{});
    }
};

namespace detail {

inline constexpr std::string_view protocol_name = "MQTT";

// The properties of a will: the will delay interval, and those of its message except the two that only
// PUBLISH may carry.
struct will_properties : message_properties {
    std::optional<std::chrono::seconds> will_delay_interval = {};

    using fields =
        field_list<field<property_id::will_delay_interval, &will_properties::will_delay_interval>,
                   field<property_id::payload_format_indicator, &message_properties::payload_format_indicator>,
                   field<property_id::message_expiry_interval, &message_properties::message_expiry_interval>,
                   field<property_id::content_type, &message_properties::content_type>,
                   field<property_id::response_topic, &message_properties::response_topic>,
                   field<property_id::correlation_data, &message_properties::correlation_data>,
                   field<property_id::user_property, &message_properties::user_properties>>;
};

enum connect_flag : std::uint8_t {
    reserved_flag = 0x01,
    clean_start_flag = 0x02,
    will_flag = 0x04,
    will_qos_flags = 0x18,
    will_retain_flag = 0x20,
    password_flag = 0x40,
    user_name_flag = 0x80,
};

TERN_COLD constexpr std::uint8_t connect_flags(const connect& p) noexcept {
    unsigned flags = p.clean_start ? unsigned{clean_start_flag} : 0U;
    if (p.will) {
        flags |= will_flag | static_cast<unsigned>(p.will->qos) << 3;
        if (p.will->retain) flags |= will_retain_flag;
    }
    if (p.password) flags |= password_flag;
    if (p.user_name) flags |= user_name_flag;
    return static_cast<std::uint8_t>(flags);
}

TERN_COLD constexpr errc validate(const connect& p, protocol_version) noexcept {
    const bool v5 = p.version == protocol_version::v5;
    if (!v5 && p.version != protocol_version::v3_1_1) return errc::unsupported_protocol_version;
    if (!v5 && p.password && !p.user_name) return errc::password_without_user_name;
    if (p.keep_alive.count() < 0 || p.keep_alive.count() > 65'535) return errc::invalid_keep_alive;
    if (!v5 && p.client_id.empty() && !p.clean_start) return errc::empty_client_id;
    if (p.properties.authentication_data && !p.properties.authentication_method)
        return errc::authentication_data_without_method;
    if (!p.will) return p.will_delay_interval ? errc::invalid_will_flags : errc::none;
    if (p.will->topic.empty()) return errc::empty_will_topic;
    if (static_cast<unsigned>(p.will->qos) > 2) return errc::invalid_will_flags;
    if (p.will->properties.topic_alias || !p.will->properties.subscription_identifiers.empty())
        return errc::property_not_allowed;
    return check_topic_name(p.will->topic);
}

template <class Sink>
TERN_COLD constexpr void put_body(Sink& sink, const connect& p, protocol_version) {
    sink.string(protocol_name);
    sink.byte(static_cast<std::uint8_t>(p.version));
    sink.byte(connect_flags(p));
    sink.two_bytes(static_cast<std::uint16_t>(p.keep_alive.count()));
    put_properties(sink, p.properties, p.version);
    sink.string(p.client_id);
    if (p.will) {
        const will_properties properties{p.will->properties, p.will_delay_interval};
        put_properties(sink, properties, p.version);
        sink.string(p.will->topic);
        sink.binary(p.will->payload);
        if constexpr (Sink::checks)
            if (const errc error = check_payload_format(*p.will); error != errc::none) sink.fail(error);
    }
    if (p.user_name) sink.string(*p.user_name);
    if (p.password) sink.binary(*p.password);
}

TERN_COLD constexpr void get_will(reader& in, connect& p, std::uint8_t flags) {
    will_properties properties;
    get_properties(in, properties, p.version);
    message_view& will = p.will.emplace();
    will.topic = in.string();
    will.payload = in.binary();
    will.qos = static_cast<qos>((flags & will_qos_flags) >> 3);
    will.retain = (flags & will_retain_flag) != 0;
    will.properties = static_cast<const message_properties&>(properties);
    p.will_delay_interval = properties.will_delay_interval;
}

TERN_COLD constexpr void get_body(reader& in, connect& p, std::uint8_t, protocol_version) {
    if (in.string() != protocol_name) return in.fail(errc::invalid_protocol_name);
    p.version = static_cast<protocol_version>(in.byte());
    if (p.version != protocol_version::v3_1_1 && p.version != protocol_version::v5)
        return in.fail(errc::unsupported_protocol_version);
    const std::uint8_t flags = in.byte();
    if (flags & reserved_flag) return in.fail(errc::reserved_connect_flag);
    const unsigned will_qos = flags & will_qos_flags;
    if (will_qos == will_qos_flags) return in.fail(errc::invalid_will_flags);
    if (!(flags & will_flag) && (will_qos || (flags & will_retain_flag))) return in.fail(errc::invalid_will_flags);
    p.clean_start = (flags & clean_start_flag) != 0;
    p.keep_alive = std::chrono::seconds(in.two_bytes());
    get_properties(in, p.properties, p.version);
    p.client_id = in.string();
    if (flags & will_flag) get_will(in, p, flags);
    if (flags & user_name_flag) p.user_name = in.string();
    if (flags & password_flag) p.password = in.binary();
    if (in.error() != errc::none) return;
    if (const errc error = validate(p, p.version); error != errc::none) in.fail(error);
}

TERN_COLD constexpr errc validate(const connack& p, protocol_version version) noexcept {
    if (!is_valid(p.reason_code, packet_type::connack, version)) return errc::invalid_reason_code;
    if (p.session_present && p.reason_code != reason_code::success) return errc::session_present_on_refusal;
    if (p.properties.authentication_data && !p.properties.authentication_method)
        return errc::authentication_data_without_method;
    return errc::none;
}

template <class Sink>
TERN_COLD constexpr void put_body(Sink& sink, const connack& p, protocol_version version) {
    sink.byte(p.session_present ? 1 : 0);
    sink.byte(version == protocol_version::v5 ? static_cast<std::uint8_t>(p.reason_code)
                                              : to_return_code(p.reason_code).value_or(0));
    put_properties(sink, p.properties, version);
}

// A server that supports only the other version refuses in the format of that version. The CONNACK of 3.1.1
// ends after a return code of 0 to 5, that of 5.0 continues after a reason code of 0x80 or above.
constexpr bool has_format_of_other_version(std::uint8_t code, std::size_t left, protocol_version version) noexcept {
    return version == protocol_version::v5 ? from_return_code(code) && left == 0
                                           : is_failure(reason_code{code}) && left != 0;
}

TERN_COLD constexpr void get_body(reader& in, connack& p, std::uint8_t, protocol_version version) {
    const std::uint8_t flags = in.byte();
    if (flags > 1) return in.fail(errc::invalid_connack_flags);
    p.session_present = flags == 1;
    const std::uint8_t code = in.byte();
    if (in.error() == errc::none && has_format_of_other_version(code, in.left(), version))
        return in.fail(errc::unexpected_protocol_version);
    if (version == protocol_version::v5) {
        p.reason_code = static_cast<reason_code>(code);
    } else if (const auto meaning = from_return_code(code)) {
        p.reason_code = *meaning;
    } else {
        return in.fail(errc::invalid_reason_code);
    }
    get_properties(in, p.properties, version);
    if (in.error() != errc::none) return;
    if (const errc error = validate(p, version); error != errc::none) in.fail(error);
}

} // namespace detail
} // namespace tern
