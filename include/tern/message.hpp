// Application messages: `message_view` borrows, `message` owns.
#pragma once

#include "tern/detail/owned.hpp"
#include "tern/property.hpp"
#include "tern/types.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tern {

/// The properties of a message [§3.3.2.3]. 5.0 only.
struct message_properties {
    std::optional<payload_format> payload_format_indicator = {};
    std::optional<std::uint32_t> message_expiry_interval = {}; ///< seconds
    std::optional<std::uint16_t> topic_alias = {};
    std::optional<std::string_view> response_topic = {};
    std::optional<std::string_view> correlation_data = {};
    std::optional<std::string_view> content_type = {};
    subscription_identifiers_view subscription_identifiers = {}; ///< only from the broker
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

/// A message to publish, a received message or a will. Borrows everything it points to.
///
/// The payload is any sequence of bytes; `as_payload` converts other types than `char`.
struct message_view {
    std::string_view topic = {};
    std::string_view payload = {};
    tern::qos qos = tern::qos::at_most_once;
    bool retain = false; ///< publish: store it as the topic's retained message; received: it was retained
    message_properties properties = {};

    friend constexpr bool operator==(const message_view&, const message_view&) = default;

    /// For `owned`: calls `f` on every member that borrows.
    template <class F>
    static void visit(message_view& view, F&& f) {
        f(view.topic);
        f(view.payload);
        if (!detail::is_unset(view.properties)) [[unlikely]]
            detail::visit_borrowed(view.properties, f, message_properties::fields{});
    }
};

/// Returns the bytes of a contiguous range of trivially copyable objects, such as a `std::vector<std::byte>`.
template <class Range>
std::string_view as_payload(const Range& range) noexcept {
    const auto bytes = std::as_bytes(std::span(range));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A message that owns the memory that its members point to.
struct message : owned<message_view> {
    using owned::owned;
};

} // namespace tern
