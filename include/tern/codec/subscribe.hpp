// SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK [§3.8 to §3.11].
#pragma once

#include "tern/codec/properties.hpp"
#include "tern/codec/publish.hpp"
#include "tern/detail/bytes.hpp"
#include "tern/detail/fields.hpp"
#include "tern/detail/inline.hpp"
#include "tern/reason_code.hpp"
#include "tern/topic.hpp"
#include "tern/types.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

/// A topic filter with its subscription options [§3.8.3.1].
struct subscription {
    std::string_view filter = {};
    qos max_qos = qos::at_least_once; ///< messages of a higher QoS arrive downgraded to this one
    bool no_local = false;            ///< no messages that this client published; 5.0 only
    bool retain_as_published = false; ///< forwarded messages keep their retain flag; 5.0 only
    tern::retain_handling retain_handling = tern::retain_handling::send; ///< 5.0 only

    friend constexpr bool operator==(const subscription&, const subscription&) = default;
};

namespace detail {

enum subscription_option : std::uint8_t {
    max_qos_option = 0x03,
    no_local_option = 0x04,
    retain_as_published_option = 0x08,
    retain_handling_option = 0x30,
};
inline constexpr int retain_handling_shift = 4;

TERN_COLD constexpr std::uint8_t options_of(const subscription& s) noexcept {
    return static_cast<std::uint8_t>(static_cast<unsigned>(s.max_qos) | (s.no_local ? unsigned{no_local_option} : 0U) |
                                     (s.retain_as_published ? unsigned{retain_as_published_option} : 0U) |
                                     static_cast<unsigned>(s.retain_handling) << retain_handling_shift);
}

TERN_COLD constexpr subscription make_subscription(std::string_view filter, std::uint8_t options) noexcept {
    return {.filter = filter,
            .max_qos = static_cast<qos>(options & max_qos_option),
            .no_local = (options & no_local_option) != 0,
            .retain_as_published = (options & retain_as_published_option) != 0,
            .retain_handling =
                static_cast<retain_handling>((options & retain_handling_option) >> retain_handling_shift)};
}

// The bits that have no meaning in this version.
constexpr unsigned reserved_options(protocol_version version) noexcept {
    constexpr unsigned used = max_qos_option | no_local_option | retain_as_published_option | retain_handling_option;
    return 0xFFU & ~(version == protocol_version::v5 ? used : unsigned{max_qos_option});
}

TERN_COLD constexpr errc validate(const subscription& s, protocol_version version) noexcept {
    if (static_cast<unsigned>(s.max_qos) > 2) return errc::invalid_subscription_qos;
    if (static_cast<unsigned>(s.retain_handling) > 2) return errc::invalid_retain_handling;
    if (version == protocol_version::v3_1_1 && options_of(s) > 2) return errc::requires_v5;
    if (s.no_local && is_shared(s.filter)) return errc::no_local_on_shared_subscription;
    return check_topic_filter(s.filter, version);
}

struct subscription_wire {
    TERN_COLD static constexpr bool next(const char*& p, const char* end, subscription& item) noexcept {
        if (p == end) return false;
        const std::string_view filter = take_checked_string(p);
        item = make_subscription(filter, static_cast<std::uint8_t>(*p++));
        return true;
    }
};

struct filter_wire {
    TERN_COLD static constexpr bool next(const char*& p, const char* end, std::string_view& item) noexcept {
        if (p == end) return false;
        item = take_checked_string(p);
        return true;
    }
};

struct reason_code_wire {
    TERN_COLD static constexpr bool next(const char*& p, const char* end, reason_code& item) noexcept {
        if (p == end) return false;
        item = static_cast<reason_code>(*p++);
        return true;
    }
    static constexpr std::size_t size(reason_code) noexcept { return 1; }
    static constexpr void put(char*& p, reason_code item) noexcept { *p++ = static_cast<char>(item); }
};

} // namespace detail

/// The subscriptions that SUBSCRIBE requests [§3.8.3].
using subscriptions_view = sequence<subscription, detail::subscription_wire>;
/// The topic filters whose subscriptions UNSUBSCRIBE ends [§3.10.3].
using filters_view = sequence<std::string_view, detail::filter_wire>;
/// The result for each filter [§3.9.3, §3.11.3].
using reason_codes_view = sequence<reason_code, detail::reason_code_wire>;

/// The properties of SUBSCRIBE [§3.8.2.1]. 5.0 only.
struct subscribe_properties {
    std::optional<std::uint32_t> subscription_identifier = {}; ///< returned with each matching message
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const subscribe_properties&, const subscribe_properties&) = default;

    using fields = detail::field_list<
        detail::field<property_id::subscription_identifier, &subscribe_properties::subscription_identifier>,
        detail::field<property_id::user_property, &subscribe_properties::user_properties>>;
};

/// SUBSCRIBE: one or more subscriptions, acknowledged by one SUBACK [§3.8].
struct subscribe {
    static constexpr packet_type type = packet_type::subscribe;

    tern::packet_id packet_id = 0;
    subscriptions_view subscriptions = {};
    subscribe_properties properties = {};

    friend constexpr bool operator==(const subscribe&, const subscribe&) = default;
};

/// The properties of UNSUBSCRIBE [§3.10.2.1]. 5.0 only.
struct unsubscribe_properties {
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const unsubscribe_properties&, const unsubscribe_properties&) = default;

    using fields =
        detail::field_list<detail::field<property_id::user_property, &unsubscribe_properties::user_properties>>;
};

/// UNSUBSCRIBE: ends one or more subscriptions, acknowledged by one UNSUBACK [§3.10].
struct unsubscribe {
    static constexpr packet_type type = packet_type::unsubscribe;

    tern::packet_id packet_id = 0;
    filters_view filters = {};
    unsubscribe_properties properties = {};

    friend constexpr bool operator==(const unsubscribe&, const unsubscribe&) = default;
};

/// SUBACK or UNSUBACK: one reason code per filter, in the order of the filters.
///
/// UNSUBACK has no reason codes in 3.1.1.
template <packet_type Type>
struct filter_ack {
    static constexpr packet_type type = Type;

    tern::packet_id packet_id = 0;
    reason_codes_view reason_codes = {};
    ack_properties properties = {};

    friend constexpr bool operator==(const filter_ack&, const filter_ack&) = default;
};

/// SUBACK: the granted QoS or the refusal of each subscription; 0, 1, 2 or 0x80 in 3.1.1 [§3.9].
using suback = filter_ack<packet_type::suback>;
/// UNSUBACK: the subscriptions have ended [§3.11].
using unsuback = filter_ack<packet_type::unsuback>;

namespace detail {

TERN_COLD constexpr errc validate(const subscribe& p, protocol_version version) noexcept {
    if (p.packet_id == 0) return errc::zero_packet_id;
    if (p.subscriptions.empty()) return errc::empty_subscription_list;
    for (const subscription& s : p.subscriptions)
        if (const errc error = validate(s, version); error != errc::none) return error;
    return errc::none;
}

template <class Sink>
TERN_COLD constexpr void put_body(Sink& sink, const subscribe& p, protocol_version version) {
    sink.two_bytes(p.packet_id);
    put_properties(sink, p.properties, version);
    for (const subscription& s : p.subscriptions) {
        sink.binary(s.filter);
        sink.byte(options_of(s));
    }
}

TERN_COLD constexpr void get_body(reader& in, subscribe& p, std::uint8_t, protocol_version version) {
    p.packet_id = in.id();
    get_properties(in, p.properties, version);
    reader items = in;
    p.subscriptions = subscriptions_view::from_wire(in.rest());
    if (items.at_end()) in.fail(errc::empty_subscription_list);
    while (!items.at_end()) {
        const std::string_view filter = items.binary();
        const std::uint8_t options = items.byte();
        if (items.error() != errc::none) break;
        const bool reserved = (options & reserved_options(version)) != 0;
        const errc error =
            reserved ? errc::invalid_subscription_options : validate(make_subscription(filter, options), version);
        if (error != errc::none) items.fail(error);
    }
    if (items.error() != errc::none) in.fail(items.error());
}

TERN_COLD constexpr errc validate(const unsubscribe& p, protocol_version version) noexcept {
    if (p.packet_id == 0) return errc::zero_packet_id;
    if (p.filters.empty()) return errc::empty_subscription_list;
    for (const std::string_view filter : p.filters)
        if (const errc error = check_topic_filter(filter, version); error != errc::none) return error;
    return errc::none;
}

template <class Sink>
TERN_COLD constexpr void put_body(Sink& sink, const unsubscribe& p, protocol_version version) {
    sink.two_bytes(p.packet_id);
    put_properties(sink, p.properties, version);
    for (const std::string_view filter : p.filters)
        sink.binary(filter);
}

TERN_COLD constexpr void get_body(reader& in, unsubscribe& p, std::uint8_t, protocol_version version) {
    p.packet_id = in.id();
    get_properties(in, p.properties, version);
    reader items = in;
    p.filters = filters_view::from_wire(in.rest());
    if (items.at_end()) in.fail(errc::empty_subscription_list);
    while (!items.at_end()) {
        const std::string_view filter = items.binary();
        if (items.error() != errc::none) break;
        if (const errc error = check_topic_filter(filter, version); error != errc::none) items.fail(error);
    }
    if (items.error() != errc::none) in.fail(items.error());
}

template <packet_type Type>
constexpr bool has_reason_codes(protocol_version version) noexcept {
    return Type == packet_type::suback || version == protocol_version::v5;
}

template <packet_type Type>
TERN_COLD constexpr errc validate(const filter_ack<Type>& p, protocol_version version) noexcept {
    if (p.packet_id == 0) return errc::zero_packet_id;
    if (!has_reason_codes<Type>(version)) return p.reason_codes.empty() ? errc::none : errc::requires_v5;
    if (p.reason_codes.empty()) return errc::reason_count_mismatch;
    for (const reason_code code : p.reason_codes)
        if (!is_valid(code, Type, version)) return errc::invalid_reason_code;
    return errc::none;
}

template <class Sink, packet_type Type>
TERN_COLD constexpr void put_body(Sink& sink, const filter_ack<Type>& p, protocol_version version) {
    sink.two_bytes(p.packet_id);
    put_properties(sink, p.properties, version);
    for (const reason_code code : p.reason_codes)
        sink.byte(static_cast<std::uint8_t>(code));
}

template <packet_type Type>
TERN_COLD constexpr void get_body(reader& in, filter_ack<Type>& p, std::uint8_t, protocol_version version) {
    p.packet_id = in.id();
    get_properties(in, p.properties, version);
    if (!has_reason_codes<Type>(version)) return in.finish();
    p.reason_codes = reason_codes_view::from_wire(in.rest());
    if (in.error() != errc::none) return;
    if (const errc error = validate(p, version); error != errc::none) in.fail(error);
}

} // namespace detail
} // namespace tern
