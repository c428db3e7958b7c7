// The requests that the peer answers by closing the connection. Some brokers refuse a topic or a filter in no other
// way.
//
// A request is known by its topic or its first filter. It counts once for each connection that the peer ended while no
// other request was unanswered. When it is abandoned, the count goes back by one: one more such connection suffices
// then. An answer ends it.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

enum class request_kind : std::uint8_t { message, subscription };

struct closing_request {
    static constexpr time_point never = (time_point::min)();

    std::string name; // the topic, or the filter
    request_kind kind = request_kind::message;
    std::uint8_t ends = 0;         // connections
    time_point refused_at = never; // when it was abandoned; the minimum: never
};

class closing_requests {
public:
    /// How long further messages to a topic are refused. Then one is tried.
    static constexpr std::chrono::minutes refusal_time{10};

    /// How many requests careful mode sends at once. Fewer after a connection ended with several unanswered.
    static constexpr std::size_t largest_batch = 1024;
    std::size_t most_in_batch = largest_batch;

    bool empty() const noexcept { return all_.empty(); }
    bool contains(request_kind kind, std::string_view name) noexcept { return find(kind, name) != nullptr; }

    /// Whether messages to this topic are refused now.
    TERN_COLD bool is_refused(std::string_view topic, time_point now) noexcept {
        const closing_request* const r = find(request_kind::message, topic);
        return r && is_refused(*r, now);
    }
    /// A message to a topic that was refused is to be sent.
    void try_again(std::string_view topic) noexcept { find(request_kind::message, topic)->refused_at = never; }
    /// Whether a message that has counted, or a filter that is due, is to be sent.
    template <class IsDue>
    TERN_COLD bool any_is_tried(IsDue is_due) const noexcept {
        return std::any_of(all_.begin(), all_.end(), [&](const closing_request& r) {
            return r.kind == request_kind::message ? r.refused_at == never : is_due(r.name);
        });
    }
    /// Nothing that has counted is to be sent any more.
    TERN_COLD void end_search() noexcept {
        most_in_batch = largest_batch;
        all_.erase_if([](const closing_request& r) { return r.refused_at == never; });
    }
    /// Whether one more connection is the last that the request may end.
    bool is_last_attempt(request_kind kind, std::string_view name, std::uint8_t limit) noexcept {
        const closing_request* const r = find(kind, name);
        return r && r->ends + 1 >= limit;
    }
    /// The longest time that one of these connections has lasted.
    time_point::duration longest() const noexcept { return longest_; }

    /// Makes room: the next `count` does not allocate.
    void reserve() { all_.reserve(all_.size() + 1); }
    /// The peer has ended a connection that lasted so long.
    TERN_COLD void count(request_kind kind, std::string name, time_point::duration lasted) noexcept {
        longest_ = (std::max)(longest_, lasted);
        closing_request* r = find(kind, name);
        if (!r) {
            if (all_.size() == most) all_.erase(all_.begin());
            r = &all_.push_back({std::move(name), kind, 0, never});
        }
        ++r->ends;
    }
    /// The broker has answered the request.
    TERN_COLD void remove(request_kind kind, std::string_view name) noexcept {
        if (closing_request* const r = find(kind, name)) all_.erase(r);
    }
    /// The peer ends connections without these requests, too.
    TERN_COLD void acquit(std::uint8_t limit) noexcept {
        longest_ = {};
        all_.erase_if([](const closing_request& r) { return r.refused_at == never; });
        for (closing_request& r : all_)
            r.ends = std::min<std::uint8_t>(r.ends, static_cast<std::uint8_t>(limit - 1));
    }
    /// Abandons what has reached the limit. `refuse(request)` is called for each.
    template <class Refuse>
    TERN_COLD void refuse_reached(std::uint8_t limit, time_point now, Refuse refuse) {
        for (closing_request& r : all_) {
            if (r.ends < limit) continue;
            refuse(r);
            r.ends = static_cast<std::uint8_t>(limit - 1);
            r.refused_at = now;
        }
    }

private:
    friend struct session_inspector;

    static constexpr std::size_t most = 16;
    static constexpr time_point never = closing_request::never;

    TERN_COLD static bool is_refused(const closing_request& r, time_point now) noexcept {
        return r.refused_at != never && now - r.refused_at < refusal_time;
    }
    TERN_COLD closing_request* find(request_kind kind, std::string_view name) noexcept {
        const auto found = std::find_if(all_.begin(), all_.end(),
                                        [&](const closing_request& r) { return r.kind == kind && r.name == name; });
        return found == all_.end() ? nullptr : &*found;
    }

    growing_array<closing_request> all_; // few
    time_point::duration longest_{0};
};

} // namespace tern::detail
