// Reads and writes the property block of any packet [§2.2.2] from the `fields` of its property struct.
#pragma once

#include "tern/detail/bytes.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/property.hpp"
#include "tern/topic.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace tern::detail {

// The properties of PUBLISH are written and read by code for each property, which is fast. Those of the other packets
// are written and read by one function for each type, which is small.
template <class Properties>
inline constexpr bool is_frequent_properties = std::is_same_v<Properties, message_properties>;

// Checks an integer against the values that the standard allows.
template <property_id Id>
constexpr errc check_value(std::uint32_t value) noexcept {
    constexpr property_row row = find_property_row(Id);
    if (value < row.least)
        return Id == property_id::topic_alias ? errc::invalid_topic_alias : errc::invalid_property_value;
    const bool too_large = (row.type == wire_type::byte && value > 1) ||
                           (row.type == wire_type::variable && value > variable_byte_integer_max);
    return too_large ? errc::invalid_property_value : errc::none;
}

// The same for an identifier that is known at run time only.
TERN_COLD constexpr errc check_value(property_id id, std::uint32_t value) noexcept {
    const property_row row = find_property_row(id);
    const bool too_large = (row.type == wire_type::byte && value > 1) ||
                           (row.type == wire_type::variable && value > variable_byte_integer_max);
    return value < row.least || too_large ? errc::invalid_property_value : errc::none;
}

// The number that stands for a value on the wire.
template <class T>
constexpr std::uint32_t number_of(const T& value) noexcept {
    if constexpr (is_interval<T>)
        return static_cast<std::uint32_t>(value.count());
    else
        return static_cast<std::uint32_t>(value);
}

// Whether the wire type can hold the value. Only an interval may be negative or too long.
template <class T>
constexpr bool fits(const T& value, wire_type type) noexcept {
    if constexpr (is_interval<T>)
        return value.count() >= 0 &&
               value.count() <= (type == wire_type::two_bytes ? 0xFFFF : std::int64_t{0xFFFF'FFFF});
    else
        return true;
}

// A response topic must be a topic name [MQTT-3.3.2-13, MQTT-3.3.2-14].
TERN_NOINLINE constexpr errc check_response_topic(std::string_view topic) noexcept {
    const errc error = check_topic_name(topic);
    const bool is_string = error == errc::empty_topic || error == errc::invalid_topic_name;
    return is_string ? errc::invalid_response_topic : error;
}

// ---- writing

// The functions that write take and return the sink as a value, so that it can stay in a register.

template <property_id Id, class Sink, class T>
TERN_INLINE constexpr Sink put_value(Sink sink, const T& value) {
    sink.byte(static_cast<std::uint8_t>(Id));
    constexpr wire_type type = wire_type_of(Id);
    if constexpr (Sink::checks && (type == wire_type::byte || type == wire_type::two_bytes ||
                                   type == wire_type::four_bytes || type == wire_type::variable)) {
        if (!fits(value, type)) sink.fail(errc::invalid_property_value);
        if (const errc error = check_value<Id>(number_of(value)); error != errc::none) sink.fail(error);
    }
    if constexpr (type == wire_type::byte) sink.byte(static_cast<std::uint8_t>(value));
    if constexpr (type == wire_type::two_bytes) sink.two_bytes(value);
    if constexpr (type == wire_type::four_bytes) sink.four_bytes(number_of(value));
    if constexpr (type == wire_type::variable) sink.variable(value);
    if constexpr (type == wire_type::binary) sink.binary(value);
    if constexpr (Id == property_id::response_topic) {
        if constexpr (Sink::checks)
            if (const errc error = check_response_topic(value); error != errc::none) sink.fail(error);
        sink.checked_string(value);
    } else if constexpr (type == wire_type::string) {
        sink.string(value);
    }
    if constexpr (type == wire_type::string_pair) {
        sink.string(value.key);
        sink.string(value.value);
    }
    return sink;
}

template <property_id Id, class Sink, class T>
TERN_INLINE constexpr Sink put_field(Sink sink, const std::optional<T>& value) {
    return value ? put_value<Id>(sink, *value) : sink;
}

template <property_id Id, class Sink, class T, class Wire>
TERN_INLINE constexpr Sink put_items(Sink sink, const sequence<T, Wire>& items) {
    return items.fold(sink, [](Sink s, const T& item) { return put_value<Id>(s, item); });
}
template <property_id Id, class Sink, class T, class Wire>
TERN_INLINE constexpr Sink put_field(Sink sink, const sequence<T, Wire>& items) {
    return items.extent() != 0 ? put_items<Id>(sink, items) : sink;
}

template <class Sink, class Properties, class... Field>
TERN_INLINE constexpr Sink put_fields(Sink sink, const Properties& properties, field_list<Field...>) {
    ((sink = put_field<Field::id>(sink, properties.*Field::member)), ...);
    return sink;
}

TERN_COLD constexpr void put_rare_number(rare_sink& sink, std::uint32_t value, property_id id) {
    if (const errc error = check_value(id, value); error != errc::none) sink.fail(error);
    switch (wire_type_of(id)) {
    case wire_type::byte: return sink.byte(static_cast<std::uint8_t>(value));
    case wire_type::two_bytes: return sink.two_bytes(static_cast<std::uint16_t>(value));
    case wire_type::four_bytes: return sink.four_bytes(value);
    default: return sink.variable(value);
    }
}

template <class T>
TERN_COLD constexpr void put_rare_value(rare_sink& sink, const T& value, property_id id) {
    sink.byte(static_cast<std::uint8_t>(id));
    if constexpr (std::is_same_v<T, user_property>) {
        sink.string(value.key);
        sink.string(value.value);
    } else if constexpr (std::is_same_v<T, std::string_view>) {
        if (wire_type_of(id) == wire_type::binary) return sink.binary(value);
        if (id == property_id::response_topic)
            if (const errc error = check_response_topic(value); error != errc::none) sink.fail(error);
        sink.string(value);
    } else {
        if (!fits(value, wire_type_of(id))) sink.fail(errc::invalid_property_value);
        put_rare_number(sink, number_of(value), id);
    }
}

template <class T>
TERN_COLD constexpr void put_rare_field(rare_sink& sink, const std::optional<T>& value, property_id id) {
    if (value) put_rare_value(sink, *value, id);
}
template <class T, class Wire>
TERN_COLD constexpr void put_rare_field(rare_sink& sink, const sequence<T, Wire>& items, property_id id) {
    for (const T& item : items)
        put_rare_value(sink, item, id);
}

template <class Properties, class... Field>
TERN_COLD constexpr void put_rare_fields(rare_sink& sink, const Properties& properties, field_list<Field...>) {
    (put_rare_field(sink, properties.*Field::member, Field::id), ...);
}

template <class Properties>
TERN_COLD constexpr void put_properties(rare_sink& sink, const Properties& properties, protocol_version version) {
    rare_sink measured;
    put_rare_fields(measured, properties, typename Properties::fields{});
    if (measured.error() != errc::none) return sink.fail(measured.error());
    if (version >= protocol_version::v5) {
        sink.variable(measured.size());
        put_rare_fields(sink, properties, typename Properties::fields{});
    } else if (measured.size() != 0) {
        sink.fail(errc::requires_v5);
    }
}

// Stores a length before the `size` bytes that begin at `content`. The caller has reserved one byte for it,
// which almost always suffices; otherwise the content moves.
constexpr char* put_length_before(char* content, std::size_t size) {
    if (size < 0x80) [[likely]] {
        content[-1] = static_cast<char>(size);
        return content + size;
    }
    const std::size_t more = variable_size(static_cast<std::uint32_t>(size)) - 1;
    std::copy_backward(content, content + size, content + size + more);
    char* length = content - 1;
    (void)put_variable(length, static_cast<std::uint32_t>(size));
    return content + size + more;
}

/// Writes the property length and the properties. 3.1.1 has neither, so the struct must be empty. The version
/// is compared with `>=`: the result is added to the size without a branch.
template <class Sink, class Properties>
TERN_INLINE constexpr void put_properties(Sink& sink, const Properties& properties, protocol_version version) {
    using fields = typename Properties::fields;
    if constexpr (Sink::checks) {
        const sizer before = sink;
        sink = put_fields(before, properties, fields{});
        const std::uint64_t size = sink.since(before);
        if (version >= protocol_version::v5) [[likely]]
            sink.variable(static_cast<std::uint32_t>(size)); // if this is too large, so is the packet
        else if (size != 0)
            sink.fail(errc::requires_v5);
    } else if (version >= protocol_version::v5) {
        char* const content = sink.position() + 1;
        writer inner{content};
        inner = put_fields(inner, properties, fields{});
        sink.set_position(put_length_before(content, static_cast<std::size_t>(inner.position() - content)));
    }
}

// ---- reading

template <property_id Id>
TERN_INLINE constexpr auto get_value(reader& in) {
    constexpr wire_type type = wire_type_of(Id);
    if constexpr (type == wire_type::binary) {
        return in.binary();
    } else if constexpr (Id == property_id::response_topic) {
        const std::string_view topic = in.binary();
        if (in.error() == errc::none)
            if (const errc error = check_response_topic(topic); error != errc::none) in.fail(error);
        return topic;
    } else if constexpr (type == wire_type::string) {
        return in.string();
    } else if constexpr (type == wire_type::string_pair) {
        const std::string_view key = in.string();
        return user_property{key, in.string()};
    } else {
        std::uint32_t value = 0;
        if constexpr (type == wire_type::byte) value = in.byte();
        if constexpr (type == wire_type::two_bytes) value = in.two_bytes();
        if constexpr (type == wire_type::four_bytes) value = in.four_bytes();
        if constexpr (type == wire_type::variable) value = in.variable();
        if (in.error() == errc::none)
            if (const errc error = check_value<Id>(value); error != errc::none) in.fail(error);
        return value;
    }
}

template <property_id Id, class T>
TERN_INLINE constexpr void get_field(reader& in, std::optional<T>& member, std::string_view) {
    if (member) return in.fail(errc::duplicate_property);
    member.emplace(static_cast<T>(get_value<Id>(in)));
}

template <property_id Id, class T, class Wire>
TERN_INLINE constexpr void get_field(reader& in, sequence<T, Wire>& member, std::string_view block) {
    get_value<Id>(in);
    member = sequence<T, Wire>::from_wire(block);
}

TERN_COLD constexpr std::uint32_t get_rare_number(reader& in, property_id id) {
    std::uint32_t value = 0;
    switch (wire_type_of(id)) {
    case wire_type::byte: value = in.byte(); break;
    case wire_type::two_bytes: value = in.two_bytes(); break;
    case wire_type::four_bytes: value = in.four_bytes(); break;
    default: value = in.variable(); break;
    }
    if (in.error() != errc::none) return 0;
    if (const errc error = check_value(id, value); error != errc::none) in.fail(error);
    return value;
}

TERN_COLD constexpr std::string_view get_rare_text(reader& in, property_id id) {
    if (wire_type_of(id) == wire_type::binary) return in.binary();
    if (id == property_id::response_topic) return get_value<property_id::response_topic>(in);
    return in.string();
}

template <class T>
TERN_COLD constexpr void get_rare_field(reader& in, std::optional<T>& member, property_id id, std::string_view) {
    if (member) return in.fail(errc::duplicate_property);
    if constexpr (std::is_same_v<T, std::string_view>)
        member.emplace(get_rare_text(in, id));
    else
        member.emplace(static_cast<T>(get_rare_number(in, id)));
}
template <class T, class Wire>
TERN_COLD constexpr void get_rare_field(reader& in, sequence<T, Wire>& member, property_id id, std::string_view block) {
    if constexpr (std::is_same_v<T, user_property>) {
        get_rare_text(in, id);
        get_rare_text(in, id);
    } else {
        get_rare_number(in, id);
    }
    member = sequence<T, Wire>::from_wire(block);
}

template <class Properties, class... Field>
constexpr void get_fields(reader& in, Properties& properties, std::string_view block, field_list<Field...>) {
    while (!in.at_end()) {
        const std::uint32_t id = in.variable();
        const auto is = [id](property_id each) { return id == static_cast<std::uint32_t>(each); };
        bool known = false;
        if constexpr (is_frequent_properties<Properties>)
            known = ((is(Field::id) && (get_field<Field::id>(in, properties.*Field::member, block), true)) || ...);
        else
            known = ((is(Field::id) && (get_rare_field(in, properties.*Field::member, Field::id, block), true)) || ...);
        if (!known) in.fail(errc::property_not_allowed);
    }
}

template <class Properties>
TERN_NOINLINE constexpr errc read_properties(std::string_view block, Properties& properties) {
    reader in{block};
    get_fields(in, properties, block, typename Properties::fields{});
    return in.error();
}

/// Reads the properties after their length, which is not 0.
template <class Properties>
TERN_INLINE constexpr void get_property_block(reader& in, Properties& properties, std::uint32_t size) {
    if (const errc error = read_properties(in.bytes(size), properties); error != errc::none) in.fail(error);
}

/// Reads the property length and the properties. 3.1.1 has neither.
template <class Properties>
TERN_INLINE constexpr void get_properties(reader& in, Properties& properties, protocol_version version) {
    if (version == protocol_version::v3_1_1) return;
    if (const std::uint32_t size = in.variable(); size != 0) get_property_block(in, properties, size);
}

} // namespace tern::detail
