// The state of a virtual clock: the time, and the outstanding waits and calls in the order of their deadlines.
#pragma once

#include "tern/testing/detail/waiting.hpp"

#include <asio/error.hpp>
#include <asio/execution_context.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::testing::detail {

class clock_state final : public waiting_place {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using key = std::pair<time_point, std::uint64_t>; // deadline, then sequence number

    time_point now = time_point{} + std::chrono::hours(24); // not 0, so that earlier times exist

    key make_key(time_point at) { return {at, ++last_}; }
    void add(const key& at, waiting_ptr operation, asio::execution_context& context) {
        entries_.emplace(at, entry{std::move(operation), &context, nullptr});
    }
    // Calls the function when the clock reaches the time.
    key call_at(time_point at, std::function<void()> action) {
        const key at_key = make_key(at);
        entries_.emplace(at_key, entry{nullptr, nullptr, std::move(action)});
        return at_key;
    }
    bool waits(const key& at) const { return entries_.contains(at); }
    void cancel(const key& at) {
        if (auto found = entries_.extract(at)) complete(found.mapped().operation, asio::error::operation_aborted);
    }

    std::optional<time_point> next() const {
        return entries_.empty() ? std::nullopt : std::optional(entries_.begin()->first.first);
    }
    void advance_to(time_point to) {
        while (!entries_.empty() && entries_.begin()->first.first <= to) {
            auto due = entries_.extract(entries_.begin());
            now = (std::max)(now, due.key().first);
            complete(due.mapped().operation, {});
            if (due.mapped().action) due.mapped().action();
        }
        now = (std::max)(now, to);
    }

    void abandon(asio::execution_context& context) override {
        std::vector<waiting_ptr> abandoned; // is destroyed last, since a handler's destructor may use the clock
        for (auto i = entries_.begin(); i != entries_.end();) {
            const bool gone = i->second.context == &context;
            if (gone) abandoned.push_back(std::move(i->second.operation));
            i = gone ? entries_.erase(i) : std::next(i);
        }
    }

private:
    struct entry {
        waiting_ptr operation;
        asio::execution_context* context; // runs the handler
        std::function<void()> action;
    };

    std::map<key, entry> entries_;
    std::uint64_t last_ = 0;
};

} // namespace tern::testing::detail
