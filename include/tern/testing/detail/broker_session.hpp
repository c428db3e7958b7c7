// What the broker keeps of a client between connections [§4.1], and who subscribes to what.
#pragma once

#include "tern/codec/subscribe.hpp"
#include "tern/message.hpp"
#include "tern/testing/detail/broker_arrivals.hpp"
#include "tern/testing/detail/broker_deliveries.hpp"
#include "tern/testing/detail/broker_link.hpp"
#include "tern/testing/detail/broker_message.hpp"
#include "tern/topic_map.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace tern::testing::detail {

struct broker_session {
    std::string client_id;
    broker_link* link = nullptr;          // null while the client is away
    std::uint32_t expiry_interval = 0;    // seconds; 0xFFFFFFFF: never
    std::optional<broker_time> ends = {}; // while the client is away
    std::optional<message> will = {};
    std::uint32_t will_delay_interval = 0;    // seconds
    std::optional<broker_time> will_due = {}; // while the client is away
    std::set<std::string, std::less<>> filters = {};
    broker_deliveries deliveries = {};
    broker_arrivals arrivals = {};
    std::size_t match = 0; // where a message's matches have this session's, if they have
};

struct broker_subscription {
    broker_session* session = nullptr;
    tern::qos qos = tern::qos::at_most_once;
    bool no_local = false;
    bool retain_as_published = false;
    std::optional<std::uint32_t> identifier = {};
};

// All subscriptions of all sessions.
class broker_subscriptions {
public:
    // Subscribes, or replaces the subscription to the same filter [MQTT-3.8.4-3]; tells whether there was
    // none.
    bool add(broker_session& session, const subscription& s, std::optional<std::uint32_t> identifier) {
        const broker_subscription added{&session, s.max_qos, s.no_local, s.retain_as_published, identifier};
        const auto subscribers = filters_.insert(s.filter, subscribers_of{is_shared(s.filter)});
        if (!subscribers) // `$share/x` of 3.1.1, which this broker takes for a share in vain
            return false;
        session.filters.emplace(s.filter);
        for (broker_subscription& each : (*subscribers)->list) {
            if (each.session == &session) {
                each = added;
                return false;
            }
        }
        (*subscribers)->list.push_back(added);
        return true;
    }

    // Tells whether there was a subscription.
    bool remove(broker_session& session, std::string_view filter) {
        const auto own = session.filters.find(filter);
        if (own == session.filters.end()) return false;
        auto& list = filters_.find(filter)->list;
        std::erase_if(list, [&](const broker_subscription& each) { return each.session == &session; });
        if (list.empty()) filters_.erase(filter);
        session.filters.erase(own);
        return true;
    }

    void remove_all(broker_session& session) {
        while (!session.filters.empty())
            remove(session, std::string(*session.filters.begin()));
    }

    // Visits each subscription that gets the message: of a shared one, the next in turn, and one that is
    // connected if there is any. `visit(subscription, is_shared)`.
    template <class Visit>
    void for_each_match(std::string_view topic, Visit visit) {
        filters_.for_each_match(topic, [&](subscribers_of& subscribers) {
            if (!subscribers.shared) {
                for (const broker_subscription& each : subscribers.list)
                    visit(each, false);
            } else {
                visit(subscribers.in_turn(), true);
            }
        });
    }

private:
    struct subscribers_of {
        bool shared = false;
        std::vector<broker_subscription> list = {};
        std::size_t turn = 0;

        const broker_subscription& in_turn() {
            for (std::size_t i = 0; i != list.size(); ++i) {
                const broker_subscription& next = list[turn++ % list.size()];
                if (next.session->link) return next;
            }
            return list[turn++ % list.size()];
        }
    };

    topic_map<subscribers_of> filters_;
};

} // namespace tern::testing::detail
