// Topic names and topic filters: what is allowed in them, and which filter matches which name [§4.7].
//
// Names and filters are bytes: nothing is normalised, "a" and "A" differ, and so do "a" and "/a".
#pragma once

#include "tern/result.hpp"
#include "tern/utf8.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace tern {
namespace detail {

inline constexpr std::string_view share_prefix = "$share/";

// Removes and returns the first level of a topic; `rest` becomes what follows its separator.
constexpr std::string_view take_level(std::string_view& rest) noexcept {
    const std::size_t separator = rest.find('/');
    const std::string_view level = rest.substr(0, separator);
    rest = separator == std::string_view::npos ? std::string_view{} : rest.substr(separator + 1);
    return level;
}

} // namespace detail

/// Whether the filter is a shared subscription, `$share/{share name}/{filter}` [§4.8.2].
constexpr bool is_shared(std::string_view filter) noexcept {
    return filter.starts_with(detail::share_prefix);
}

/// Whether the filter contains a wildcard.
constexpr bool has_wildcard(std::string_view filter) noexcept {
    return filter.find_first_of("+#") != std::string_view::npos;
}

/// The part of a filter that is matched: for `$share/{share name}/{filter}` the filter, else all of it.
constexpr std::string_view without_share(std::string_view filter) noexcept {
    if (!is_shared(filter)) return filter;
    filter.remove_prefix(detail::share_prefix.size());
    const std::size_t separator = filter.find('/');
    return separator == std::string_view::npos ? std::string_view{} : filter.substr(separator + 1);
}

/// Checks a topic name, to which messages are published: a non-empty string without wildcards
/// [MQTT-3.3.2-2, MQTT-4.7.3-1].
constexpr errc check_topic_name(std::string_view name) noexcept {
    if (name.empty()) return errc::empty_topic;
    return detail::check_text<false>(name);
}

/// Checks a topic filter, to which one subscribes: a non-empty string, wildcards only as whole levels
/// and '#' only as the last [MQTT-4.7.1-1, MQTT-4.7.1-2], a share name that is complete
/// [MQTT-4.8.2-1, MQTT-4.8.2-2].
constexpr errc check_topic_filter(std::string_view filter) noexcept {
    if (filter.empty()) return errc::empty_topic;
    if (const errc error = check_string(filter); error != errc::none) return error;
    if (is_shared(filter)) {
        std::string_view share = filter.substr(detail::share_prefix.size());
        const std::size_t separator = share.find('/');
        if (separator == 0 || separator == std::string_view::npos || separator + 1 == share.size())
            return errc::invalid_topic_filter;
        if (has_wildcard(share.substr(0, separator))) return errc::invalid_topic_filter;
        filter = share.substr(separator + 1);
    }
    for (std::size_t at = filter.find_first_of("+#"); at != std::string_view::npos;
         at = filter.find_first_of("+#", at + 1)) {
        const bool first = at == 0 || filter[at - 1] == '/';
        const bool last = at + 1 == filter.size();
        if (!first || !(last || (filter[at] == '+' && filter[at + 1] == '/'))) return errc::invalid_topic_filter;
    }
    return errc::none;
}

/// Whether a message published to `name` belongs to a subscription to `filter`; both must be valid.
///
/// A filter that begins with a wildcard does not match a name that begins with '$' [MQTT-4.7.2-1].
/// A shared subscription matches as its inner filter does.
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
    while (f != filter_end) {
        if (*f == '#') return true;
        if (*f == '+') {
            n = std::find(n, name_end, '/');
            ++f;
        } else if (n != name_end && *f == *n) {
            ++f, ++n;
        } else {
            return n == name_end && std::string_view(f, filter_end) == "/#"; // matches its parent level too
        }
    }
    return n == name_end;
}

/// A topic name that has been checked. Borrows its characters.
class topic_name {
public:
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

/// A topic filter that has been checked. Borrows its characters.
class topic_filter {
public:
    static constexpr result<topic_filter> parse(std::string_view text) noexcept {
        if (const errc error = check_topic_filter(text); error != errc::none) return error;
        return topic_filter{text};
    }
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
void this_literal_is_not_a_valid_topic(); // never defined, not constexpr: calling it stops the compiler
}

inline namespace literals {

/// `"home/kitchen/temperature"_topic`: a topic name, checked by the compiler.
consteval topic_name operator""_topic(const char* text, std::size_t size) {
    const auto name = topic_name::parse({text, size});
    if (!name) detail::this_literal_is_not_a_valid_topic();
    return *name;
}

/// `"home/+/temperature"_filter`: a topic filter, checked by the compiler.
consteval topic_filter operator""_filter(const char* text, std::size_t size) {
    const auto filter = topic_filter::parse({text, size});
    if (!filter) detail::this_literal_is_not_a_valid_topic();
    return *filter;
}

} // namespace literals
} // namespace tern
