// A list of subscriptions that owns their topic filters.
#pragma once

#include "tern/codec/subscribe.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/message.hpp"

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>

namespace tern {

/// Subscriptions that own their topic filters. Pass it to an operation that starts later, when the strings of the
/// caller no longer exist:
///
///     tern::subscription_list filters{{.filter = "a/#"}, {.filter = own_topic}};
///     auto subscribe = client.async_subscribe(std::move(filters), asio::deferred);
class subscription_list {
public:
    subscription_list() = default;
    TERN_COLD explicit subscription_list(std::span<const subscription> items) {
        std::size_t size = 0;
        for (const subscription& each : items)
            size += each.filter.size();
        if (size != 0) text_ = detail::allocate_block(size);
        items_.reserve(items.size());
        char* p = text_.get();
        for (subscription each : items) {
            each.filter = {p, each.filter.copy(p, each.filter.size())};
            p += each.filter.size();
            items_.push_back(each);
        }
    }
    subscription_list(std::initializer_list<subscription> items)
        : subscription_list(std::span<const subscription>(items.begin(), items.size())) {}
    TERN_COLD subscription_list(const subscription_list& other) : subscription_list(other.view()) {}
    subscription_list(subscription_list&&) noexcept = default;
    TERN_COLD subscription_list& operator=(const subscription_list& other) { return *this = subscription_list(other); }
    subscription_list& operator=(subscription_list&&) noexcept = default;
    ~subscription_list() = default;

    /// The subscriptions, which must not outlive this object.
    std::span<const subscription> view() const& noexcept { return {items_.data(), items_.size()}; }
    std::span<const subscription> view() && = delete;
    std::span<const subscription> view() const&& = delete;

private:
    detail::growing_array<subscription> items_;
    detail::owned_block text_;
};

} // namespace tern
