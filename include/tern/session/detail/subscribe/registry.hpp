// The subscriptions that the broker has granted, which are made again when it has lost the session. Lasting state.
#pragma once

#include "tern/codec/subscribe.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/memory/heap_optional.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tern::detail {

/// Whether the granted subscriptions have to be made again.
enum class renewal : std::uint8_t {
    none,
    due, ///< the broker has lost the session, or may have, and not all subscriptions are renewed yet
};

/// How far the renewal has come on one connection: the filter with which it goes on, if there is more.
using renewal_cursor = heap_optional<std::string>;

class subscription_registry {
public:
    bool empty() const noexcept { return granted_.empty(); }
    void clear() noexcept { granted_.clear(); }

    TERN_COLD void record_granted(const subscription& s, std::optional<std::uint32_t> identifier) {
        granted& g = granted_[std::string{s.filter}];
        g.options = s;
        g.options.filter = {}; // the key has it
        g.identifier = identifier;
    }
    void remove(std::string_view filter) noexcept {
        if (const auto found = granted_.find(filter); found != granted_.end()) granted_.erase(found);
    }

    tern::detail::renewal renewal() const noexcept { return renewal_; }
    void set_renewal(tern::detail::renewal r) noexcept { renewal_ = r; }

    /// Where a renewal of all subscriptions begins.
    void start(renewal_cursor& cursor) const {
        cursor.reset();
        if (!empty()) cursor.emplace();
    }
    bool has_more(const renewal_cursor& cursor) const noexcept {
        return cursor && granted_.lower_bound(*cursor) != granted_.end();
    }

    /// Passes the next subscriptions that fit into one SUBSCRIBE of about this size to `send(list, properties)`, and
    /// moves the cursor. `send` must not change the registry.
    template <class Send>
    TERN_COLD void next(renewal_cursor& cursor, std::size_t size, Send send) const {
        std::vector<subscription> list;
        subscribe_properties properties;
        auto i = granted_.lower_bound(*cursor);
        for (std::size_t used = 0; i != granted_.end(); ++i) {
            const auto& [filter, g] = *i;
            used += filter.size() + 3;
            if (!list.empty() && (g.identifier != properties.subscription_identifier || used > size)) break;
            properties.subscription_identifier = g.identifier;
            list.push_back(g.options);
            list.back().filter = filter;
        }
        if (i != granted_.end())
            cursor.emplace(i->first);
        else
            cursor.reset();
        send(subscriptions_view(list), properties);
    }

private:
    friend struct session_inspector;

    struct granted {
        subscription options;
        std::optional<std::uint32_t> identifier;
    };

    std::map<std::string, granted, std::less<>> granted_;
    tern::detail::renewal renewal_ = tern::detail::renewal::none;
};

} // namespace tern::detail
