// A message that an inbox has received, and the levels of its topic that wildcards have matched.
#pragma once

#include "tern/message.hpp"
#include "tern/session/event.hpp"
#include "tern/topic.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tern {

/// The levels of a topic that the wildcards of a filter have matched, in their order: one for each `+`, and for `#` all
/// that is left, which is empty if the topic is the parent level.
///
///     const tern::matched_levels levels("home/+/#", "home/kitchen/oven/door");
///     assert(levels.size() == 2 && levels[0] == "kitchen" && levels[1] == "oven/door");
class matched_levels {
public:
    class iterator {
    public:
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;
        using iterator_category = std::forward_iterator_tag;
        using pointer = const std::string_view*;
        using reference = std::string_view;

        iterator() = default;
        iterator(const matched_levels& levels, std::size_t index) noexcept : levels_(&levels), index_(index) {}
        std::string_view operator*() const noexcept { return (*levels_)[index_]; }
        iterator& operator++() noexcept {
            ++index_;
            return *this;
        }
        iterator operator++(int) noexcept {
            const iterator before = *this;
            ++index_;
            return before;
        }
        friend bool operator==(const iterator&, const iterator&) = default;

    private:
        const matched_levels* levels_ = nullptr;
        std::size_t index_ = 0;
    };

    matched_levels() = default;
    /// The topic must match the filter. Borrows both.
    matched_levels(std::string_view filter, std::string_view topic) noexcept
        : filter_(without_share(filter))
        , topic_(topic) {}

    /// The number of wildcards.
    std::size_t size() const noexcept {
        std::size_t count = 0;
        for (const char c : filter_)
            if (c == '+' || c == '#') ++count;
        return count;
    }
    bool empty() const noexcept { return size() == 0; }
    /// Empty if there are not as many wildcards.
    std::string_view operator[](std::size_t index) const noexcept {
        std::string_view filter = filter_, topic = topic_;
        while (!filter.empty()) {
            const std::string_view level = filter.substr(0, filter.find('/'));
            const std::string_view name = topic.substr(0, topic.find('/'));
            const bool is_wildcard = level == "+" || level == "#";
            if (is_wildcard && index-- == 0) return level == "#" ? topic : name;
            filter.remove_prefix(level.size() + (level.size() != filter.size() ? 1 : 0));
            topic.remove_prefix(name.size() + (name.size() != topic.size() ? 1 : 0));
        }
        return {};
    }
    iterator begin() const noexcept { return {*this, 0}; }
    iterator end() const noexcept { return {*this, size()}; }

private:
    std::string_view filter_;
    std::string_view topic_;
};

namespace detail {

/// A received message that inboxes hold. It is acknowledged when all of them are done with it.
struct held_message {
    explicit held_message(const received& from) : content(from), dup(from.dup), id(from.packet_id), token(from.token) {}

    message content;
    bool dup;
    packet_id id; // 0: of an earlier session, or QoS 0
    message_token token;
    std::size_t takers = 0; // inboxes that are not done with it
};

/// The router, as a message sees it.
class message_holder {
public:
    message_holder() = default;
    message_holder(const message_holder&) = delete;
    message_holder& operator=(const message_holder&) = delete;

    /// One inbox is done with the message.
    virtual void release(held_message& message) noexcept = 0;

protected:
    ~message_holder() = default;
};

} // namespace detail

/// A message of a subscription. It keeps alive what its members borrow, and shares that with the other inboxes that
/// receive the same message. A moved-from message can only be assigned to or destroyed.
class subscription_message : public message_view {
public:
    /// The broker sent this message before. The earlier copy may not have arrived [MQTT-3.3.1-1].
    bool dup = false;
    /// What the wildcards of the filter have matched.
    matched_levels levels;

    subscription_message() = default;
    subscription_message(std::shared_ptr<detail::held_message> held, std::shared_ptr<const std::string> filter,
                         std::weak_ptr<detail::message_holder> holder) noexcept
        : message_view(held->content.view())
        , dup(held->dup)
        , levels(*filter, topic)
        , held_(std::move(held))
        , filter_(std::move(filter))
        , holder_(std::move(holder)) {}
    subscription_message(subscription_message&&) noexcept = default;
    subscription_message& operator=(subscription_message&&) noexcept = default;
    subscription_message(const subscription_message&) = delete;
    subscription_message& operator=(const subscription_message&) = delete;
    ~subscription_message() = default;

    /// Acknowledges a message of an inbox in manual mode, on the client's executor. Does nothing in automatic mode, and
    /// when it is called a second time.
    void acknowledge() {
        if (const auto holder = std::exchange(holder_, {}).lock()) holder->release(*held_);
    }

private:
    std::shared_ptr<detail::held_message> held_;
    std::shared_ptr<const std::string> filter_;
    std::weak_ptr<detail::message_holder> holder_; // set only in manual mode
};

} // namespace tern
