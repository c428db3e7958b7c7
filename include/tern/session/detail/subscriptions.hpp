// What the broker has granted: the subscriptions that are made again when it has lost the session.
#pragma once

#include "tern/codec/subscribe.hpp"
#include "tern/session/detail/box.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tern::detail {

class subscriptions {
public:
    bool empty() const noexcept { return granted_.empty(); }
    void clear() noexcept { granted_.clear(); }

    void add(const subscription& s, std::optional<std::uint32_t> identifier) {
        granted& g = granted_[std::string{s.filter}];
        g.options = s;
        g.options.filter = {}; // which is the key
        g.identifier = identifier;
    }
    void remove(std::string_view filter) noexcept {
        if (const auto found = granted_.find(filter); found != granted_.end()) granted_.erase(found);
    }

    /// Begins to go through all of them.
    void rewind() {
        next_.reset();
        if (!empty()) next_.emplace();
    }
    bool has_more() const noexcept { return next_ && granted_.lower_bound(*next_) != granted_.end(); }

    /// The next ones that fit into one SUBSCRIBE of about this size; calls `send(list, properties)`, which may not
    /// change what is kept.
    template <class Send>
    void next(std::size_t size, Send send) {
        std::vector<subscription> list;
        subscribe_properties properties;
        auto i = granted_.lower_bound(*next_);
        for (std::size_t used = 0; i != granted_.end(); ++i) {
            const auto& [filter, g] = *i;
            used += filter.size() + 3;
            if (!list.empty() && (g.identifier != properties.subscription_identifier || used > size)) break;
            properties.subscription_identifier = g.identifier;
            list.push_back(g.options);
            list.back().filter = filter;
        }
        if (i != granted_.end())
            next_.emplace(i->first);
        else
            next_.reset();
        send(subscriptions_view(list), properties);
    }

private:
    struct granted {
        subscription options;
        std::optional<std::uint32_t> identifier;
    };

    std::map<std::string, granted, std::less<>> granted_;
    box<std::string> next_; // the filter from which on they are still to be renewed
};

} // namespace tern::detail
