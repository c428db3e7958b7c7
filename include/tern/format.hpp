// Formatters for fmt: one short line per packet, for logs.
//
// Text from the network cannot control a terminal: control characters, invisible characters and those that
// change the direction of the text are escaped. Passwords and authentication data are never printed.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/detail/escape.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/property.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/event.hpp"
#include "tern/session/event_text.hpp"
#include "tern/types.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace tern::detail {

inline constexpr std::size_t payload_limit = 60;
inline constexpr std::size_t list_limit = 16;

inline std::string quoted(std::string_view text, std::size_t limit = shown_text_limit) {
    std::string shown;
    append_quoted(shown, text, limit);
    return shown;
}

// Items, separated by commas.
class line {
public:
    template <class... Args>
    void item(fmt::format_string<Args...> text, Args&&... args) {
        append(std::exchange(separator_, ", "));
        fmt::format_to(std::back_inserter(buffer_), text, std::forward<Args>(args)...);
    }
    void add(std::string_view text) {
        append(std::exchange(separator_, ", "));
        append(text);
    }
    template <class Items, class F>
    void list(const Items& items, F f) {
        std::size_t count = 0;
        for (const auto& each : items)
            if (count++ < list_limit) f(each);
        if (count > list_limit) item("and {} more", count - list_limit);
    }
    // Appends the next item with a space instead of a comma.
    void continue_item() { separator_ = " "; }
    std::string_view text() const noexcept { return {buffer_.data(), buffer_.size()}; }

private:
    void append(std::string_view text) { buffer_.append(text.data(), text.data() + text.size()); }

    fmt::memory_buffer buffer_;
    const char* separator_ = ""; // before the next item
};

constexpr std::string_view to_string(packet_direction direction) noexcept {
    return direction == packet_direction::received ? "received" : "sent";
}
inline void describe(line& out, qos value) {
    out.item("QoS {}", static_cast<unsigned>(value));
}
inline void describe(line& out, protocol_version value) {
    const bool v3_1_1 = value == protocol_version::v3_1_1;
    out.add(v3_1_1 ? "3.1.1" : value == protocol_version::v5 ? "5.0" : "unknown protocol version");
}
template <class Enum>
    requires std::is_enum_v<Enum>
void describe(line& out, Enum value) {
    out.add(to_string(value));
}
inline void describe(line& out, const user_property& p) {
    out.item("{}: {}", quoted(p.key), quoted(p.value));
}
inline void describe(line& out, const user_properties_view& items) {
    out.list(items, [&](const user_property& each) { describe(out, each); });
}
inline void describe(line& out, const subscription& s) {
    out.item("{} QoS {}", quoted(s.filter), static_cast<unsigned>(s.max_qos));
    if (s.no_local) out.add("no local");
    if (s.retain_as_published) out.add("retain as published");
    if (s.retain_handling != retain_handling::send)
        out.item("retain handling {}", static_cast<unsigned>(s.retain_handling));
}

template <property_id Id, class T>
void describe_property(line& out, const std::optional<T>& value) {
    if (!value) return;
    const std::string_view known = to_string(Id);
    const fmt::string_view name(known.data(), known.size());
    if constexpr (Id == property_id::authentication_data)
        out.item("{} ***", name);
    else if constexpr (std::is_same_v<T, std::string_view>)
        out.item("{} {}", name, quoted(*value, Id == property_id::correlation_data ? payload_limit : shown_text_limit));
    else if constexpr (std::is_same_v<T, bool>)
        out.item("{} {}", name, *value ? "yes" : "no");
    else
        out.item("{} {}", name, number_of(*value));
}
template <property_id>
void describe_property(line& out, const user_properties_view& items) {
    describe(out, items);
}
template <property_id>
void describe_property(line& out, const subscription_identifiers_view& items) {
    out.list(items, [&](std::uint32_t each) { out.item("subscription identifier {}", each); });
}
template <class Properties, class... Field>
void describe_properties(line& out, const Properties& p, field_list<Field...>) {
    (describe_property<Field::id>(out, p.*Field::member), ...);
}
template <class Properties>
void describe_properties(line& out, const Properties& p) {
    describe_properties(out, p, typename Properties::fields{});
}

inline void describe_content(line& out, const message_view& m) {
    if (m.retain) out.add("retain");
    out.item("{}", quoted(m.topic));
    out.item("{} ({} bytes)", quoted(m.payload, payload_limit), m.payload.size());
    describe_properties(out, m.properties);
}
inline void describe(line& out, const message_view& m) {
    describe(out, m.qos);
    describe_content(out, m);
}
inline void describe(line& out, const publish& p) {
    describe(out, p.message.qos);
    if (p.packet_id != 0) out.item("id {}", p.packet_id);
    if (p.dup) out.add("dup");
    describe_content(out, p.message);
}
inline void describe(line& out, const connect& p) {
    describe(out, p.version);
    out.item("client id {}", quoted(p.client_id));
    if (p.clean_start) out.add(p.version == protocol_version::v5 ? "clean start" : "clean session");
    out.item("keep alive {}", p.keep_alive.count());
    if (p.will) {
        out.add("will");
        out.continue_item();
        describe(out, *p.will);
        describe_property<property_id::will_delay_interval>(out, p.will_delay_interval);
    }
    if (p.user_name) out.item("user name {}", quoted(*p.user_name));
    if (p.password.has_value()) out.add("password ***");
}
inline void describe(line& out, const connack& p) {
    describe(out, p.reason_code);
    if (p.session_present) out.add("session present");
}
template <packet_type Type>
void describe(line& out, const publish_ack<Type>& p) {
    out.item("id {}", p.packet_id);
    if (p.reason_code != reason_code::success) out.add(to_string(p.reason_code));
}
inline void describe(line& out, const subscribe& p) {
    out.item("id {}", p.packet_id);
    out.list(p.subscriptions, [&](const subscription& each) { describe(out, each); });
}
inline void describe(line& out, const unsubscribe& p) {
    out.item("id {}", p.packet_id);
    out.list(p.filters, [&](std::string_view each) { out.item("{}", quoted(each)); });
}
template <packet_type Type>
void describe(line& out, const filter_ack<Type>& p) {
    out.item("id {}", p.packet_id);
    out.list(p.reason_codes, [&](reason_code each) {
        const bool granted = Type == packet_type::suback && each == reason_code::granted_qos_0;
        out.add(granted ? "granted QoS 0" : to_string(each));
    });
}
inline void describe(line&, const pingreq&) {}
inline void describe(line&, const pingresp&) {}
inline void describe(line& out, const disconnect& p) {
    const bool normal = p.reason_code == reason_code::normal_disconnection;
    out.add(normal ? "normal disconnection" : to_string(p.reason_code));
}
inline void describe(line& out, const auth& p) {
    describe(out, p.reason_code);
}

inline void describe(line& out, const connection_event_view& e) {
    out.add(to_string(e));
}
inline void describe(line& out, const counters& c) {
    out.item("sent {} ({} bytes)", c.messages_sent, c.bytes_sent);
    out.item("resent {}", c.messages_resent);
    out.item("received {} ({} bytes)", c.messages_received, c.bytes_received);
    out.item("dropped {}", c.messages_dropped);
    out.item("unsent {}", c.messages_unsent);
    if (c.received_refused != 0) out.item("refused {}", c.received_refused);
    out.item("in flight {}", c.in_flight);
    out.item("queued {} ({} bytes)", c.queued, c.queued_bytes);
    out.item("connections {}", c.connections);
    out.item("round trip {} us", std::chrono::duration_cast<std::chrono::microseconds>(c.round_trip_time).count());
}

template <packet Packet>
void describe_packet(line& out, const Packet& p) {
    out.add(to_string(Packet::type));
    out.continue_item();
    describe(out, p);
    if constexpr (requires { p.properties; }) describe_properties(out, p.properties);
}

template <class T>
void describe_value(line& out, const T& value) {
    if constexpr (packet<T>)
        describe_packet(out, value);
    else if constexpr (std::is_same_v<T, any_packet>)
        std::visit([&](const auto& p) { describe_packet(out, p); }, value);
    else
        describe(out, value);
}

template <class View>
View view_type(const owned<View>&);

/// A type that owns what it has a view of.
template <class T>
concept owning = requires(const T& value) { view_type(value); };

template <class T>
struct formatter {
    constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }

    template <class Context>
    auto format(const T& value, Context& context) const {
        line out;
        if constexpr (owning<T>)
            describe_value(out, value.view());
        else
            describe_value(out, value);
        return std::copy(out.text().begin(), out.text().end(), context.out());
    }
};

template <class T, class... Types>
concept one_of = (std::is_same_v<T, Types> || ...);

template <class T>
concept formattable_value =
    packet<T> || std::derived_from<T, message_view> ||
    one_of<T, connection_event_view, qos, protocol_version, packet_type, packet_direction, reason_code, errc,
           subscription, user_property, connection_change, connection_phase, connection_end, counters>;

template <class T>
concept formattable =
    formattable_value<T> || (owning<T> && formattable_value<decltype(view_type(std::declval<const T&>()))>);

} // namespace tern::detail

/// Any of the fifteen packets, on one line:
///
///     fmt::print("sent {}\n", tern::publish{.message = {.topic = "home/kitchen", .payload = "21.5"}});
///
/// prints `sent PUBLISH QoS 0, "home/kitchen", "21.5" (4 bytes)`. Properties appear if they are present; a
/// payload is limited to its first 60 bytes. Messages, subscriptions, user properties and enumerations have
/// formatters too: `QoS 1`, `5.0`, `PUBLISH`, `not authorized`, `a string is not valid UTF-8`,
/// `"home/#" QoS 1, no local`, `"unit": "celsius"`. So have connection events:
/// `connecting to "localhost" port 1883, attempt 1`, `disconnected while connected, End of file`.
template <tern::detail::formattable T>
struct fmt::formatter<T, char> : tern::detail::formatter<T> {};

/// A packet of any type, and a list of user properties: `"unit": "celsius", "room": "kitchen"`.
template <>
struct fmt::formatter<tern::any_packet> : tern::detail::formatter<tern::any_packet> {};
template <>
struct fmt::formatter<tern::user_properties_view> : tern::detail::formatter<tern::user_properties_view> {};
