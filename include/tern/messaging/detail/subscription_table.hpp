// The topic filters of a router: their identifiers, their states, and the inboxes that read them.
#pragma once

#include "tern/codec/subscribe.hpp"
#include "tern/detail/entropy.hpp"
#include "tern/messaging/detail/handler_queue.hpp"
#include "tern/messaging/detail/inbox_core.hpp"
#include "tern/messaging/inbox_options.hpp"
#include "tern/topic_map.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tern::detail {

/// The Subscription Identifiers of all routers of a process. They begin at a random place of the upper half, because a
/// session that is resumed may have some of an earlier process. The lower half is left to the application.
class router_identifiers {
public:
    static constexpr std::uint32_t first = 0x0800'0000;
    static constexpr std::uint32_t last = 0x0FFF'FFFF;

    static std::uint32_t next() noexcept {
        return first + (begin() + count().fetch_add(1, std::memory_order_relaxed)) % size;
    }
    /// Whether the identifier is in the range of routers, and this process has not used it.
    static bool is_of_earlier_process(std::uint32_t id) noexcept {
        if (id < first) return false;
        return (id - first + size - begin()) % size >= count().load(std::memory_order_relaxed);
    }

private:
    static constexpr std::uint32_t size = last - first + 1;

    static std::uint32_t begin() noexcept {
        static const std::uint32_t place = [] {
            std::uint32_t random = 0;
            (void)fill_with_entropy({reinterpret_cast<char*>(&random), sizeof random}); // then they begin at 0
            return random % size;
        }();
        return place;
    }
    static std::atomic<std::uint32_t>& count() noexcept {
        static std::atomic<std::uint32_t> used{0};
        return used;
    }
};

/// Whether SUBSCRIBE carries the Subscription Identifier.
enum class identifier_use : std::uint8_t {
    used,
    not_supported, ///< 3.1.1, or the broker does not support it. Messages are matched by their topics.
};

/// The state of a filter at the broker, as far as the router has requested it.
enum class entry_state : std::uint8_t {
    subscribing, ///< SUBSCRIBE is not answered yet.
    granted,     ///< The broker has granted it. The client renews it.
    refused,     ///< The broker has refused it, or has not renewed it.
    dropped,     ///< Its last inbox is destroyed. UNSUBSCRIBE is due.
    leaving,     ///< Its last inbox is destroyed. UNSUBSCRIBE is not answered yet.
};

/// Whether the session at the broker may have the subscription.
enum class broker_copy : std::uint8_t { none, possible };

template <class Executor>
struct subscription_entry {
    using inbox = inbox_core<Executor>;

    /// Whether an inbox with these options can read the same subscription.
    bool has_options_of(const subscription& s) const noexcept {
        subscription own = options;
        own.filter = s.filter;
        return own == s;
    }
    subscription wanted() const noexcept {
        subscription s = options;
        s.filter = *filter;
        return s;
    }

    std::shared_ptr<const std::string> filter;
    subscription options; // without the filter
    std::uint32_t identifier = 0;
    entry_state state = entry_state::subscribing;
    broker_copy at_broker = broker_copy::none;
    std::vector<inbox*> readers;
    handler_list waiting;        // for SUBACK
    bool is_refusal_new = false; // the event about it is due
    std::error_code refusal;
};

/// Finds the filters by name, by identifier and by topic.
template <class Executor>
class subscription_table {
public:
    using entry = subscription_entry<Executor>;
    using inbox = inbox_core<Executor>;

    /// Null if there is none.
    entry* find(std::string_view filter) noexcept { return by_filter_.find(filter); }
    entry* find(std::uint32_t identifier) noexcept {
        const auto found = by_identifier_.find(identifier);
        return found == by_identifier_.end() ? nullptr : found->second;
    }
    /// The filter must be valid, and new.
    entry& add(const std::string& filter, const subscription& options) {
        entry& e = **by_filter_.insert(filter);
        try {
            e.filter = std::make_shared<const std::string>(filter);
            e.options = options;
            e.identifier = router_identifiers::next();
            by_identifier_.emplace(e.identifier, &e);
        } catch (...) {
            by_filter_.erase(filter);
            throw;
        }
        return e;
    }
    void erase(entry& e) noexcept {
        const auto filter = e.filter;
        by_identifier_.erase(e.identifier);
        by_filter_.erase(*filter);
    }

    /// Removes an event that is due. Its filter is empty if there is none. It is valid until the next call.
    router_event next_event() noexcept {
        for (auto& [id, e] : by_identifier_) {
            reported_ = e->filter;
            if (std::exchange(e->is_refusal_new, false))
                return {router_change::subscription_refused, *reported_, e->refusal};
            for (inbox* const reader : e->readers)
                if (reader->take_full_event()) return {router_change::inbox_full, *reported_, {}};
        }
        return {};
    }

    /// These functions call `f`, which must not add or erase a filter.
    template <class F>
    void for_each(F f) {
        for (auto& [id, e] : by_identifier_)
            f(*e);
    }
    template <class F>
    void for_each_inbox(F f) {
        for (auto& [id, e] : by_identifier_)
            for (inbox* const reader : e->readers)
                f(*reader);
    }
    template <class F>
    void for_each_match(std::string_view topic, F f) {
        by_filter_.for_each_match(topic, f);
    }

private:
    topic_map<entry> by_filter_;
    std::unordered_map<std::uint32_t, entry*> by_identifier_;
    std::shared_ptr<const std::string> reported_; // the filter of the last event
};

} // namespace tern::detail
