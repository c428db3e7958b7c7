// The topic filters with which the client is concerned: found by name, and listed when something is due for them.
//
// Filters lie side by side in one array, and a hash index leads to them. All links are indices, so that a session can
// be copied. Adding allocates; nothing else does.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

/// What the program wants of a filter and what the broker has, apart from the request that is unanswered.
enum class standing : std::uint8_t {
    none,      ///< not wanted, and the broker does not have it: the filter is known for the sake of a request
    granted,   ///< wanted, and the broker has it
    lost,      ///< wanted, and the broker has lost it
    uncertain, ///< wanted; the broker may have lost it, or may have it with other options
    refused,   ///< wanted, but the broker did not renew it: it is tried again in the next new session
    unwanted,  ///< not wanted any longer; the broker may still have it
    stray,     ///< it was never granted, but the broker may have it
};

struct filter_entry {
    static constexpr std::uint32_t none = 0xFFFF'FFFF; // no other filter

    std::string filter;
    std::uint32_t identifier = 0; // of the granted subscription; 0: none
    std::uint32_t decided = 0;    // the newest request that has decided about it, while others are unanswered; 0: none
    std::uint16_t unanswered = 0; // requests for the filter
    std::uint8_t options = 0;     // of the granted subscription, as in SUBSCRIBE
    qos granted_qos = {};         // the broker's answer, if it has the subscription
    tern::detail::standing standing = tern::detail::standing::none;
    std::uint32_t connection = 0; // the number of that on which it was granted
    std::uint32_t next_in_bucket = none;
    std::uint32_t previous_due = none;
    std::uint32_t next_due = none;

    /// Whether a SUBSCRIBE for the filter is due, if no request for it is unanswered.
    bool needs_subscribe() const noexcept {
        return standing == tern::detail::standing::lost || standing == tern::detail::standing::uncertain;
    }
    /// The same for an UNSUBSCRIBE.
    bool needs_unsubscribe() const noexcept {
        return standing == tern::detail::standing::unwanted || standing == tern::detail::standing::stray;
    }
};

class filter_table {
public:
    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(entries_.size()); }
    filter_entry& operator[](std::uint32_t index) noexcept { return entries_[index]; }
    const filter_entry& operator[](std::uint32_t index) const noexcept { return entries_[index]; }

    /// Null if there is no such filter.
    TERN_COLD filter_entry* find(std::string_view filter) noexcept {
        if (buckets_.empty()) return nullptr;
        for (std::uint32_t i = bucket(filter); i != filter_entry::none; i = entries_[i].next_in_bucket)
            if (entries_[i].filter == filter) return &entries_[i];
        return nullptr;
    }

    /// Adds the filter if it is not there. If an allocation fails, nothing has changed.
    TERN_COLD void add(std::string_view filter) {
        if (find(filter)) return;
        filter_entry added;
        added.filter = filter;
        if (entries_.size() == buckets_.size()) {
            buckets_.resize(buckets_.empty() ? 4 : buckets_.size() * 2);
            link_all();
        }
        entries_.push_back(std::move(added));
        link(size() - 1);
    }

    /// Removes an entry. The last one takes its place.
    TERN_COLD void erase(filter_entry& e) noexcept {
        remove_due(e);
        const std::uint32_t index = index_of(e), last = size() - 1;
        relink(index, e.next_in_bucket);
        if (index != last) move(last, index);
        entries_.pop_back();
        if (entries_.capacity() > smallest_to_shrink && entries_.size() * 4 < entries_.capacity()) shrink();
    }

    // ---- the filters for which something is due

    filter_entry* first_due() noexcept { return has_due() ? &entries_[first_due_] : nullptr; }
    const filter_entry* next_due(const filter_entry& e) const noexcept {
        return e.next_due == filter_entry::none ? nullptr : &entries_[e.next_due];
    }
    bool has_due() const noexcept { return first_due_ != filter_entry::none; }

    TERN_COLD void add_due(filter_entry& e) noexcept {
        const std::uint32_t index = index_of(e);
        if (e.previous_due != filter_entry::none || first_due_ == index) return;
        e.previous_due = last_due_;
        (last_due_ == filter_entry::none ? first_due_ : entries_[last_due_].next_due) = index;
        last_due_ = index;
    }
    TERN_COLD void remove_due(filter_entry& e) noexcept {
        if (e.previous_due == filter_entry::none && first_due_ != index_of(e)) return;
        (e.previous_due == filter_entry::none ? first_due_ : entries_[e.previous_due].next_due) = e.next_due;
        (e.next_due == filter_entry::none ? last_due_ : entries_[e.next_due].previous_due) = e.previous_due;
        e.previous_due = e.next_due = filter_entry::none;
    }

    /// Lists what is to be subscribed first, grouped by Subscription Identifier.
    TERN_COLD void sort_due() {
        growing_array<std::uint32_t> order;
        for (const filter_entry* e = first_due(); e; e = next_due(*e))
            order.push_back(index_of(*e));
        const auto is_before = [&](std::uint32_t left, std::uint32_t right) {
            const filter_entry &a = entries_[left], &b = entries_[right];
            if (a.needs_subscribe() != b.needs_subscribe()) return a.needs_subscribe();
            return a.identifier != b.identifier ? a.identifier < b.identifier : a.filter < b.filter;
        };
        std::make_heap(order.begin(), order.end(), is_before); // compiles to a fifth of the code of `std::sort`
        std::sort_heap(order.begin(), order.end(), is_before);
        for (const std::uint32_t index : order) {
            remove_due(entries_[index]);
            add_due(entries_[index]);
        }
    }

private:
    friend struct session_inspector;

    static constexpr std::size_t smallest_to_shrink = 64;

    std::uint32_t index_of(const filter_entry& e) const noexcept {
        return static_cast<std::uint32_t>(&e - entries_.data());
    }

    // The first entry of a bucket. Their number is a power of two.
    std::uint32_t& bucket(std::string_view filter) noexcept {
        return buckets_[std::hash<std::string_view>{}(filter) & (buckets_.size() - 1)];
    }
    TERN_COLD void link(std::uint32_t index) noexcept {
        std::uint32_t& first = bucket(entries_[index].filter);
        entries_[index].next_in_bucket = std::exchange(first, index);
    }
    // Replaces the link that leads to an entry.
    TERN_COLD void relink(std::uint32_t index, std::uint32_t to) noexcept {
        std::uint32_t* link = &bucket(entries_[index].filter);
        while (*link != index)
            link = &entries_[*link].next_in_bucket;
        *link = to;
    }
    TERN_COLD void link_all() noexcept {
        std::fill(buckets_.begin(), buckets_.end(), filter_entry::none);
        for (std::uint32_t i = 0; i != size(); ++i)
            link(i);
    }

    // Moves an entry to the place of one that is linked no longer.
    TERN_COLD void move(std::uint32_t from, std::uint32_t to) noexcept {
        relink(from, to);
        filter_entry& e = entries_[to] = std::move(entries_[from]);
        const bool is_due = e.previous_due != filter_entry::none || first_due_ == from;
        if (!is_due) return;
        (e.previous_due == filter_entry::none ? first_due_ : entries_[e.previous_due].next_due) = to;
        (e.next_due == filter_entry::none ? last_due_ : entries_[e.next_due].previous_due) = to;
    }

    // Most filters have been removed. If an allocation fails, the memory stays.
    TERN_COLD TERN_NOINLINE void shrink() noexcept {
        entries_.shrink_to_fit();
        std::size_t buckets = buckets_.size();
        while (buckets > 4 && buckets / 2 >= entries_.size())
            buckets /= 2;
        buckets_.resize(buckets);
        buckets_.shrink_to_fit();
        link_all();
    }

    growing_array<filter_entry> entries_;
    growing_array<std::uint32_t> buckets_;
    std::uint32_t first_due_ = filter_entry::none;
    std::uint32_t last_due_ = filter_entry::none;
};

} // namespace tern::detail
