// Application messages: `message_view` borrows, `message` owns.
#pragma once

#include "tern/property.hpp"
#include "tern/types.hpp"

#include <cstdint>
#include <array>
#include <memory>
#include <optional>
#include <string_view>

namespace tern {

/// The properties of a message [§3.3.2.3]. 5.0 only.
struct message_properties {
    std::optional<payload_format> payload_format_indicator = {};
    std::optional<std::uint32_t> message_expiry_interval = {}; ///< seconds until the message is worthless
    std::optional<std::uint16_t> topic_alias = {};
    std::optional<std::string_view> response_topic = {};
    std::optional<std::string_view> correlation_data = {};
    std::optional<std::string_view> content_type = {};
    subscription_identifiers_view subscription_identifiers = {}; ///< set by the broker only
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const message_properties&, const message_properties&) = default;

    using fields = detail::field_list<
        detail::field<property_id::payload_format_indicator, &message_properties::payload_format_indicator>,
        detail::field<property_id::message_expiry_interval, &message_properties::message_expiry_interval>,
        detail::field<property_id::topic_alias, &message_properties::topic_alias>,
        detail::field<property_id::response_topic, &message_properties::response_topic>,
        detail::field<property_id::correlation_data, &message_properties::correlation_data>,
        detail::field<property_id::content_type, &message_properties::content_type>,
        detail::field<property_id::subscription_identifier, &message_properties::subscription_identifiers>,
        detail::field<property_id::user_property, &message_properties::user_properties>>;
};

/// A message that is published, received or left as a will. Borrows everything it points to.
///
/// The payload is any sequence of bytes; see `as_payload` for bytes that are not `char`.
struct message_view {
    std::string_view topic = {};
    std::string_view payload = {};
    tern::qos qos = tern::qos::at_most_once;
    bool retain = false; ///< publish: keep as the topic's retained message; received: it was retained
    message_properties properties = {};

    friend constexpr bool operator==(const message_view&, const message_view&) = default;
};

/// Views a contiguous range of trivially copyable objects, such as a `std::vector<std::byte>`, as a payload.
template <class Range>
std::string_view as_payload(const Range& range) noexcept {
    const auto bytes = std::as_bytes(std::span(range));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A message that owns what its members point to, in a single block of memory.
struct message : message_view {
    message() = default;
    explicit message(const message_view& other) : message_view(other) { own(); }
    message(const message& other) : message_view(other) { own(); }
    message(message&& other) noexcept : message_view(other), block_(std::move(other.block_)) {
        static_cast<message_view&>(other) = {};
    }
    message& operator=(const message& other) { return *this = message(other); }
    message& operator=(message&& other) noexcept {
        message_view::operator=(other);
        block_ = std::move(other.block_);
        if (this != &other) static_cast<message_view&>(other) = {};
        return *this;
    }
    ~message() = default;

private:
    // Copies all that is pointed to into one block, and points there.
    void own() {
        std::size_t size = topic.size() + payload.size();
        for (const auto* text : texts())
            if (*text) size += (*text)->size();
        size += wire_size(properties.user_properties) + wire_size(properties.subscription_identifiers);
        block_ = std::make_unique_for_overwrite<char[]>(size);
        char* p = block_.get();
        topic = take(p, topic);
        payload = take(p, payload);
        for (auto* text : texts())
            if (*text) *text = take(p, **text);
        properties.user_properties = take(p, properties.user_properties);
        properties.subscription_identifiers = take(p, properties.subscription_identifiers);
    }

    std::array<std::optional<std::string_view>*, 3> texts() noexcept {
        return {&properties.response_topic, &properties.correlation_data, &properties.content_type};
    }

    static std::string_view take(char*& p, std::string_view text) noexcept {
        const std::string_view copy{p, text.size()};
        p += text.copy(p, text.size());
        return copy;
    }

    template <class T, class Wire>
    static std::size_t wire_size(const sequence<T, Wire>& items) noexcept {
        std::size_t size = 0;
        for (const T& item : items)
            size += Wire::size(item);
        return size;
    }

    template <class T, class Wire>
    static sequence<T, Wire> take(char*& p, const sequence<T, Wire>& items) noexcept {
        const char* const begin = p;
        for (const T& item : items)
            Wire::put(p, item);
        return sequence<T, Wire>::from_wire({begin, static_cast<std::size_t>(p - begin)});
    }

    std::unique_ptr<char[]> block_;
};

} // namespace tern
