// The properties of 5.0 [§2.2.2]: their identifiers, how each lies in bytes, and the lists among them.
//
// Each packet has a struct of the properties it may carry, with one optional member per property; what a
// packet may not carry cannot be said. The struct's `fields` tie members to identifiers for the codec.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/detail/sequence.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

/// The standard's name of the property, or "unknown property".
constexpr std::string_view to_string(property_id id) noexcept {
    switch (id) {
    case property_id::payload_format_indicator: return "payload format indicator";
    case property_id::message_expiry_interval: return "message expiry interval";
    case property_id::content_type: return "content type";
    case property_id::response_topic: return "response topic";
    case property_id::correlation_data: return "correlation data";
    case property_id::subscription_identifier: return "subscription identifier";
    case property_id::session_expiry_interval: return "session expiry interval";
    case property_id::assigned_client_identifier: return "assigned client identifier";
    case property_id::server_keep_alive: return "server keep alive";
    case property_id::authentication_method: return "authentication method";
    case property_id::authentication_data: return "authentication data";
    case property_id::request_problem_information: return "request problem information";
    case property_id::will_delay_interval: return "will delay interval";
    case property_id::request_response_information: return "request response information";
    case property_id::response_information: return "response information";
    case property_id::server_reference: return "server reference";
    case property_id::reason_string: return "reason string";
    case property_id::receive_maximum: return "receive maximum";
    case property_id::topic_alias_maximum: return "topic alias maximum";
    case property_id::topic_alias: return "topic alias";
    case property_id::maximum_qos: return "maximum QoS";
    case property_id::retain_available: return "retain available";
    case property_id::user_property: return "user property";
    case property_id::maximum_packet_size: return "maximum packet size";
    case property_id::wildcard_subscription_available: return "wildcard subscription available";
    case property_id::subscription_identifier_available: return "subscription identifier available";
    case property_id::shared_subscription_available: return "shared subscription available";
    }
    return "unknown property";
}

/// A name and a value of the application's own; a packet may carry many, in an order that is kept.
struct user_property {
    std::string_view key = {};
    std::string_view value = {};
    friend constexpr bool operator==(const user_property&, const user_property&) = default;
};

namespace detail {

/// How a property's value lies in bytes [§1.5].
enum class wire_type : std::uint8_t {
    byte,
    two_bytes,
    four_bytes,
    variable,
    binary,
    string,
    string_pair,
    unknown
};

constexpr wire_type wire_type_of(property_id id) noexcept {
    switch (id) {
    case property_id::payload_format_indicator:
    case property_id::request_problem_information:
    case property_id::request_response_information:
    case property_id::maximum_qos:
    case property_id::retain_available:
    case property_id::wildcard_subscription_available:
    case property_id::subscription_identifier_available:
    case property_id::shared_subscription_available: return wire_type::byte;
    case property_id::server_keep_alive:
    case property_id::receive_maximum:
    case property_id::topic_alias_maximum:
    case property_id::topic_alias: return wire_type::two_bytes;
    case property_id::message_expiry_interval:
    case property_id::session_expiry_interval:
    case property_id::will_delay_interval:
    case property_id::maximum_packet_size: return wire_type::four_bytes;
    case property_id::subscription_identifier: return wire_type::variable;
    case property_id::correlation_data:
    case property_id::authentication_data: return wire_type::binary;
    case property_id::content_type:
    case property_id::response_topic:
    case property_id::assigned_client_identifier:
    case property_id::authentication_method:
    case property_id::response_information:
    case property_id::server_reference:
    case property_id::reason_string: return wire_type::string;
    case property_id::user_property: return wire_type::string_pair;
    }
    return wire_type::unknown;
}

// The functions below walk bytes that have been checked, or write into room that has been measured.

constexpr std::size_t checked_length(const char* p) noexcept {
    return static_cast<std::size_t>(static_cast<unsigned char>(p[0]) << 8 | static_cast<unsigned char>(p[1]));
}

constexpr std::string_view take_checked_string(const char*& p) noexcept {
    const std::string_view text{p + 2, checked_length(p)};
    p += 2 + text.size();
    return text;
}

constexpr std::uint32_t take_checked_variable(const char*& p) noexcept {
    std::uint32_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        const auto byte = static_cast<unsigned char>(*p++);
        value |= static_cast<std::uint32_t>(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) return value;
    }
}

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

// Copies `size` bytes, which are one to two blocks, as two blocks that overlap.
template <std::size_t Block>
void copy_blocks(const char* from, std::size_t size, char* to) noexcept {
    struct block {
        char bytes[Block];
    } first, last;
    std::memcpy(&first, from, Block);
    std::memcpy(&last, from + size - Block, Block);
    std::memcpy(to, &first, Block);
    std::memcpy(to + size - Block, &last, Block);
}

// Copies a text without the call that memcpy is: packets are made of short texts.
TERN_INLINE inline void copy_text(const char* from, std::size_t size, char* to) noexcept {
    if (size - 8 <= 8) [[likely]] { // 8 to 16
        copy_blocks<8>(from, size, to);
    } else if (size - 4 <= 3) { // 4 to 7
        copy_blocks<4>(from, size, to);
    } else if (size > 16) {
        for (std::size_t i = 0; i < size - 16; i += 16)
            std::memcpy(to + i, from + i, 16);
        std::memcpy(to + size - 16, from + size - 16, 16);
    } else if (size != 0) { // 1 to 3
        const char middle = from[size / 2], last = from[size - 1];
        to[0] = from[0];
        to[size / 2] = middle;
        to[size - 1] = last;
    }
}

// Copies 17 to 64 bytes.
TERN_INLINE inline void copy_halves(const char* from, std::size_t size, char* to) noexcept {
    if (size <= 32) return copy_blocks<16>(from, size, to);
    copy_blocks<16>(from, 32, to);
    const char* const from_end = from + size;
    char* const to_end = to + size;
    copy_blocks<16>(from_end - 32, 32, to_end - 32);
}

// What stores takes and gives the position as a value, so that it can stay in a register.

// A payload.
TERN_INLINE constexpr char* put_bytes(char* p, std::string_view bytes) noexcept {
    if (std::is_constant_evaluated())
        std::copy(bytes.begin(), bytes.end(), p);
    else if (bytes.size() - 17 <= 64 - 17) [[likely]]
        copy_halves(bytes.data(), bytes.size(), p);
    else if (bytes.size() <= 16)
        copy_text(bytes.data(), bytes.size(), p);
    else
        std::memcpy(p, bytes.data(), bytes.size());
    return p + bytes.size();
}

TERN_INLINE constexpr char* put_two_bytes(char* p, std::uint16_t value) noexcept {
    p[0] = static_cast<char>(value >> 8);
    p[1] = static_cast<char>(value);
    return p + 2;
}

// A string, or anything that has its length before it. Calls nothing, whatever the length is.
TERN_INLINE constexpr char* put_string(char* p, std::string_view text) noexcept {
    const std::size_t size = text.size();
    char* const to = put_two_bytes(p, static_cast<std::uint16_t>(size));
    if (std::is_constant_evaluated())
        std::copy(text.begin(), text.end(), to);
    else
        copy_text(text.data(), size, to);
    return to + size;
}

TERN_INLINE constexpr std::size_t variable_size(std::uint32_t value) noexcept {
    if (value < 0x80) [[likely]]
        return 1;
    return value < 0x4000 ? 2 : value < 0x20'0000 ? 3 : 4;
}

TERN_INLINE constexpr char* put_variable(char* p, std::uint32_t value) noexcept {
    while (value >= 0x80) [[unlikely]] {
        *p++ = static_cast<char>(value | 0x80);
        value >>= 7;
    }
    *p++ = static_cast<char>(value);
    return p;
}

// Finds the next property `Id` in a block that may hold others.
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

// Ties a member to its identifier.
template <property_id Id, auto Member>
struct field {
    static constexpr property_id id = Id;
    static constexpr auto member = Member;
};

template <class... Field>
struct field_list {};

constexpr bool is_set(const auto& optional) noexcept {
    return optional.has_value();
}
template <class T, class Wire>
constexpr bool is_set(const sequence<T, Wire>& items) noexcept {
    return items.extent() != 0;
}

template <class Properties, class... Field>
constexpr bool any_set(const Properties& properties, field_list<Field...>) noexcept {
    return (static_cast<unsigned>(is_set(properties.*Field::member)) | ...) !=
           0; // one branch, not one for each
}

/// Whether the struct is as it was made, as most are: so that properties cost next to nothing when absent.
template <class Properties>
constexpr bool is_unset(const Properties& properties) noexcept {
    return !any_set(properties, typename Properties::fields{});
}

} // namespace detail

/// The user properties of a packet.
///
///     const std::array properties{tern::user_property{"unit", "celsius"}};
///     tern::message_view message{.topic = "t", .properties = {.user_properties = properties}};
using user_properties_view = sequence<user_property, detail::user_property_wire>;

/// The identifiers of the subscriptions to which a received message belongs [§3.3.2.3.8].
using subscription_identifiers_view = sequence<std::uint32_t, detail::subscription_identifier_wire>;

} // namespace tern
