// Strings, topic names and topic filters: their syntax, and which filter matches which name [§1.5.4, §4.7].
//
// Names and filters are compared byte by byte without normalisation: "a" and "A" differ, and so do "a" and
// "/a" [MQTT-4.7.3-4].
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/detail/utf8.hpp"
#include "tern/result.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace tern {
namespace detail {

inline constexpr std::string_view share_prefix = "$share/";

// The index of the first '/', or the size. Not `find`: GCC cannot evaluate it at compile time with UBSan.
constexpr std::size_t first_separator(std::string_view text) noexcept {
    return static_cast<std::size_t>(std::find(text.begin(), text.end(), '/') - text.begin());
}

} // namespace detail

/// Checks a string against the rules of the standard: at most 65,535 bytes of well-formed UTF-8 without
/// U+0000 [MQTT-1.5.4-1, MQTT-1.5.4-2]. Control characters and U+FEFF are allowed [MQTT-1.5.4-3].
///
///     static_assert(tern::check_string("caf\u00E9") == tern::errc::none);
///     static_assert(tern::check_string("caf\xE9") == tern::errc::malformed_utf8);
constexpr errc check_string(std::string_view text) noexcept {
    return detail::check_text<true>(text);
}

/// Whether the filter is a shared subscription, `$share/{share name}/{filter}` [§4.8.2].
constexpr bool is_shared(std::string_view filter) noexcept {
    return filter.starts_with(detail::share_prefix);
}

/// The share name of a shared subscription [§4.8.2]; empty if the filter is not shared.
///
///     static_assert(tern::share_name("$share/workers/jobs/#") == "workers");
TERN_COLD constexpr std::string_view share_name(std::string_view filter) noexcept {
    if (!is_shared(filter)) return {};
    filter.remove_prefix(detail::share_prefix.size());
    return filter.substr(0, detail::first_separator(filter));
}

/// The part of a filter that is matched: the filter in `$share/{share name}/{filter}`, otherwise the whole
/// text.
///
///     static_assert(tern::without_share("$share/workers/jobs/#") == "jobs/#");
TERN_COLD constexpr std::string_view without_share(std::string_view filter) noexcept {
    if (!is_shared(filter)) return filter;
    filter.remove_prefix(detail::share_prefix.size());
    filter.remove_prefix(detail::first_separator(filter));
    return filter.empty() ? filter : filter.substr(1);
}

/// Whether the filter contains a wildcard [§4.7.1].
TERN_COLD constexpr bool has_wildcard(std::string_view filter) noexcept {
    return std::any_of(filter.begin(), filter.end(), [](char c) { return c == '+' || c == '#'; });
}

/// Checks a topic name, which a message is published to: a non-empty string without wildcards [MQTT-3.3.2-2,
/// MQTT-4.7.3-1].
///
///     static_assert(tern::check_topic_name("home/+") == tern::errc::invalid_topic_name);
constexpr errc check_topic_name(std::string_view name) noexcept {
    return name.empty() ? errc::empty_topic : detail::check_text<false>(name);
}

/// Checks a topic filter, which a client subscribes to: a non-empty string, wildcards only as whole levels
/// and '#' only as the last [MQTT-4.7.1-1, MQTT-4.7.1-2], a complete share name [MQTT-4.8.2-1, MQTT-4.8.2-2].
/// 3.1.1 has no shared subscriptions: `$share/` has no special meaning there.
///
///     static_assert(tern::check_topic_filter("home/#/light") == tern::errc::invalid_topic_filter);
TERN_COLD constexpr errc check_topic_filter(std::string_view filter,
                                            protocol_version version = protocol_version::v5) noexcept {
    if (filter.empty()) return errc::empty_topic;
    if (const errc error = check_string(filter); error != errc::none) return error;
    if (version == protocol_version::v5 && is_shared(filter)) {
        const std::string_view share = share_name(filter);
        filter = without_share(filter);
        if (share.empty() || has_wildcard(share) || filter.empty()) return errc::invalid_topic_filter;
    }
    for (std::size_t at = 0; at != filter.size(); ++at) {
        const char c = filter[at];
        if (c != '+' && c != '#') continue;
        const bool begins_level = at == 0 || filter[at - 1] == '/';
        const bool is_last = at + 1 == filter.size();
        const bool ends_level = is_last || (c == '+' && filter[at + 1] == '/');
        if (!begins_level || !ends_level) return errc::invalid_topic_filter;
    }
    return errc::none;
}

/// Whether a message published to `name` matches a subscription to `filter`. Both must be valid.
///
/// A filter that begins with a wildcard does not match a name that begins with '$' [MQTT-4.7.2-1]. A shared
/// subscription matches the same names as its inner filter.
///
///     static_assert(tern::matches("home/+/temperature", "home/kitchen/temperature"));
constexpr bool matches(std::string_view filter, std::string_view name) noexcept {
    filter = without_share(filter);
    if (filter.empty() || name.empty()) return false;
    if (name.front() == '$' && (filter.front() == '+' || filter.front() == '#')) return false;
    const char* f = filter.data();
    const char* const filter_end = f + filter.size();
    const char* n = name.data();
    const char* const name_end = n + name.size();
    for (; f != filter_end; ++f) {
        if (*f == '#') return true;
        if (*f == '+')
            n = std::find(n, name_end, '/');
        else if (n != name_end && *f == *n)
            ++n;
        else // "a/#" matches its parent level "a" too [§4.7.1.2]
            return n == name_end && std::string_view(f, filter_end) == "/#";
    }
    return n == name_end;
}

/// A valid topic name. Borrows its characters.
///
///     if (const auto name = tern::topic_name::parse(text))
///         publish(*name, payload);
class topic_name {
public:
    /// The name, or the error of `check_topic_name`.
    static constexpr result<topic_name> parse(std::string_view text) noexcept {
        if (const errc error = check_topic_name(text); error != errc::none) return error;
        return topic_name{text};
    }
    constexpr operator std::string_view() const noexcept { return text_; } // NOLINT(google-explicit-constructor)
    constexpr std::string_view text() const noexcept { return text_; }
    friend constexpr bool operator==(topic_name, topic_name) noexcept = default;

private:
    friend class result<topic_name>;
    constexpr topic_name() = default;
    constexpr explicit topic_name(std::string_view text) : text_(text) {}
    std::string_view text_;
};

/// A valid topic filter. Borrows its characters.
///
///     const auto filter = tern::topic_filter::parse("home/+/temperature");
///     assert(filter && filter->matches("home/kitchen/temperature"_topic));
class topic_filter {
public:
    /// The filter, or the error of `check_topic_filter`.
    static constexpr result<topic_filter> parse(std::string_view text) noexcept {
        if (const errc error = check_topic_filter(text); error != errc::none) return error;
        return topic_filter{text};
    }
    /// Whether a message published to `name` matches a subscription to this filter.
    constexpr bool matches(topic_name name) const noexcept { return tern::matches(text_, name); }
    constexpr operator std::string_view() const noexcept { return text_; } // NOLINT(google-explicit-constructor)
    constexpr std::string_view text() const noexcept { return text_; }
    friend constexpr bool operator==(topic_filter, topic_filter) noexcept = default;

private:
    friend class result<topic_filter>;
    constexpr topic_filter() = default;
    constexpr explicit topic_filter(std::string_view text) : text_(text) {}
    std::string_view text_;
};

namespace detail {

// Never defined and not constexpr: a call is a compile-time error, and the function's name is the reason.
void this_topic_is_empty();
void this_topic_is_not_valid_utf8_of_at_most_65535_bytes();
void this_topic_name_contains_a_wildcard();
void this_topic_filter_has_a_misplaced_wildcard_or_a_bad_share_name();

consteval void check_literal(errc error) {
    switch (error) {
    case errc::none: return;
    case errc::empty_topic: return this_topic_is_empty();
    case errc::invalid_topic_name: return this_topic_name_contains_a_wildcard();
    case errc::invalid_topic_filter: return this_topic_filter_has_a_misplaced_wildcard_or_a_bad_share_name();
    default: return this_topic_is_not_valid_utf8_of_at_most_65535_bytes();
    }
}

} // namespace detail

inline namespace literals {

/// `"home/kitchen/temperature"_topic`: a topic name, checked by the compiler.
consteval topic_name operator""_topic(const char* text, std::size_t size) {
    const auto name = topic_name::parse({text, size});
    detail::check_literal(name.error());
    return *name;
}

/// `"home/+/temperature"_filter`: a topic filter, checked by the compiler.
consteval topic_filter operator""_filter(const char* text, std::size_t size) {
    const auto filter = topic_filter::parse({text, size});
    detail::check_literal(filter.error());
    return *filter;
}

} // namespace literals
} // namespace tern
