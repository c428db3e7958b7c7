// The properties of 5.0 [§2.2.2]: one table of their identifiers, types and names, and the lists among them.
//
// Each packet has a struct of the properties that it may carry, with one optional member per property. A
// property that the packet may not carry has no member. The struct's `fields` say which member has which
// identifier: the codec, the formatters and the copying into owned memory follow them.
#pragma once

#include "tern/detail/bytes.hpp"
#include "tern/detail/fields.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace tern {

/// Table 2-4 of 5.0. All identifiers are Variable Byte Integers of one byte.
enum class property_id : std::uint8_t {
    payload_format_indicator = 0x01,
    message_expiry_interval = 0x02,
    content_type = 0x03,
    response_topic = 0x08,
    correlation_data = 0x09,
    subscription_identifier = 0x0B,
    session_expiry_interval = 0x11,
    assigned_client_identifier = 0x12,
    server_keep_alive = 0x13,
    authentication_method = 0x15,
    authentication_data = 0x16,
    request_problem_information = 0x17,
    will_delay_interval = 0x18,
    request_response_information = 0x19,
    response_information = 0x1A,
    server_reference = 0x1C,
    reason_string = 0x1F,
    receive_maximum = 0x21,
    topic_alias_maximum = 0x22,
    topic_alias = 0x23,
    maximum_qos = 0x24,
    retain_available = 0x25,
    user_property = 0x26,
    maximum_packet_size = 0x27,
    wildcard_subscription_available = 0x28,
    subscription_identifier_available = 0x29,
    shared_subscription_available = 0x2A,
};

namespace detail {

/// How a property's value is encoded [§1.5].
enum class wire_type : std::uint8_t {
    byte,        ///< one byte, 0 or 1
    two_bytes,   ///< Two Byte Integer
    four_bytes,  ///< Four Byte Integer
    variable,    ///< Variable Byte Integer
    binary,      ///< Binary Data
    string,      ///< UTF-8 Encoded String
    string_pair, ///< UTF-8 String Pair
    unknown      ///< not a property of 5.0
};

struct property_row {
    property_id id;
    wire_type type;
    std::string_view name;
    std::uint32_t least = 0; // the smallest value that the standard allows
};

struct property_table {
    using enum property_id;
    using enum wire_type;
    static constexpr property_row rows[] = {
        {payload_format_indicator, byte, "payload format indicator"},
        {message_expiry_interval, four_bytes, "message expiry interval"},
        {content_type, string, "content type"},
        {response_topic, string, "response topic"},
        {correlation_data, binary, "correlation data"},
        {subscription_identifier, variable, "subscription identifier", 1},
        {session_expiry_interval, four_bytes, "session expiry interval"},
        {assigned_client_identifier, string, "assigned client identifier"},
        {server_keep_alive, two_bytes, "server keep alive"},
        {authentication_method, string, "authentication method"},
        {authentication_data, binary, "authentication data"},
        {request_problem_information, byte, "request problem information"},
        {will_delay_interval, four_bytes, "will delay interval"},
        {request_response_information, byte, "request response information"},
        {response_information, string, "response information"},
        {server_reference, string, "server reference"},
        {reason_string, string, "reason string"},
        {receive_maximum, two_bytes, "receive maximum", 1},
        {topic_alias_maximum, two_bytes, "topic alias maximum"},
        {topic_alias, two_bytes, "topic alias", 1},
        {maximum_qos, byte, "maximum QoS"},
        {retain_available, byte, "retain available"},
        {user_property, string_pair, "user property"},
        {maximum_packet_size, four_bytes, "maximum packet size", 1},
        {wildcard_subscription_available, byte, "wildcard subscription available"},
        {subscription_identifier_available, byte, "subscription identifier available"},
        {shared_subscription_available, byte, "shared subscription available"},
    };
};

constexpr property_row find_property_row(property_id id) noexcept {
    for (const property_row& row : property_table::rows)
        if (row.id == id) return row;
    return {id, wire_type::unknown, "unknown property"};
}

// The types by identifier: a received list is searched with them.
inline constexpr auto wire_types = [] {
    std::array<wire_type, 0x2B> types{};
    for (std::size_t id = 0; id != types.size(); ++id)
        types[id] = find_property_row(static_cast<property_id>(id)).type;
    return types;
}();

constexpr wire_type wire_type_of(property_id id) noexcept {
    const auto index = static_cast<std::size_t>(id);
    return index < wire_types.size() ? wire_types[index] : wire_type::unknown;
}

} // namespace detail

/// The standard's name of the property, or "unknown property".
constexpr std::string_view to_string(property_id id) noexcept {
    return detail::find_property_row(id).name;
}

/// A name and a value that the application chooses. A packet may carry many; their order is kept.
struct user_property {
    std::string_view key = {};
    std::string_view value = {};
    friend constexpr bool operator==(const user_property&, const user_property&) = default;
};

namespace detail {

constexpr void skip_checked_value(property_id id, const char*& p) noexcept {
    switch (wire_type_of(id)) {
    case wire_type::byte: p += 1; break;
    case wire_type::two_bytes: p += 2; break;
    case wire_type::four_bytes: p += 4; break;
    case wire_type::variable: take_checked_variable(p); break;
    case wire_type::string_pair: take_checked_string(p); [[fallthrough]];
    case wire_type::string:
    case wire_type::binary: take_checked_string(p); break;
    case wire_type::unknown: break;
    }
}

// Finds the next property `Id` in a checked block that may hold others.
template <property_id Id>
constexpr bool find_property(const char*& p, const char* end) noexcept {
    while (p != end) {
        const auto id = static_cast<property_id>(*p++);
        if (id == Id) return true;
        skip_checked_value(id, p);
    }
    return false;
}

struct user_property_wire {
    static constexpr wire_type type = wire_type::string_pair;

    static constexpr bool next(const char*& p, const char* end, user_property& item) noexcept {
        if (!find_property<property_id::user_property>(p, end)) return false;
        item.key = take_checked_string(p);
        item.value = take_checked_string(p);
        return true;
    }
    static constexpr std::size_t size(const user_property& item) noexcept {
        return 5 + item.key.size() + item.value.size();
    }
    static constexpr void put(char*& p, const user_property& item) noexcept {
        *p++ = static_cast<char>(property_id::user_property);
        p = put_string(p, item.key);
        p = put_string(p, item.value);
    }
};

struct subscription_identifier_wire {
    static constexpr wire_type type = wire_type::variable;

    static constexpr bool next(const char*& p, const char* end, std::uint32_t& item) noexcept {
        if (!find_property<property_id::subscription_identifier>(p, end)) return false;
        item = take_checked_variable(p);
        return true;
    }
    static constexpr std::size_t size(std::uint32_t item) noexcept { return 1 + variable_size(item); }
    static constexpr void put(char*& p, std::uint32_t item) noexcept {
        *p++ = static_cast<char>(property_id::subscription_identifier);
        p = put_variable(p, item);
    }
};

// An interval, which is a number of seconds on the wire. All other members hold only values of their wire types.
template <class T>
inline constexpr bool is_interval = std::is_same_v<T, std::chrono::seconds>;

// Whether a member of this type can hold every value of the wire type.
template <class T>
constexpr bool can_hold(std::type_identity<std::optional<T>>, wire_type type) noexcept {
    if constexpr (std::is_same_v<T, std::string_view>)
        return type == wire_type::string || type == wire_type::binary;
    else if constexpr (is_interval<T>)
        return type == wire_type::four_bytes || type == wire_type::two_bytes;
    else if constexpr (sizeof(T) == 4)
        return type == wire_type::four_bytes || type == wire_type::variable;
    else
        return type == (sizeof(T) == 2 ? wire_type::two_bytes : wire_type::byte);
}
template <class T, class Wire>
constexpr bool can_hold(std::type_identity<sequence<T, Wire>>, wire_type type) noexcept {
    return type == Wire::type;
}

template <class Struct, class T>
std::type_identity<T> member_type(T Struct::*);

/// Ties a member of a property struct to its identifier.
template <property_id Id, auto Member>
struct field {
    static constexpr property_id id = Id;
    static constexpr auto member = Member;

    static_assert(can_hold(decltype(member_type(Member)){}, wire_type_of(Id)),
                  "the member's type is not that of the property");
};

} // namespace detail

/// The user properties of a packet.
///
///     const std::array properties{tern::user_property{"unit", "celsius"}};
///     tern::message_view message{.topic = "t", .properties = {.user_properties = properties}};
using user_properties_view = sequence<user_property, detail::user_property_wire>;

/// The Session Expiry Interval of a session that never expires [§3.1.2.11.2].
inline constexpr std::chrono::seconds session_never_expires{0xFFFF'FFFF};

/// The identifiers of the subscriptions that a received message matches [§3.3.2.3.8].
using subscription_identifiers_view = sequence<std::uint32_t, detail::subscription_identifier_wire>;

} // namespace tern
