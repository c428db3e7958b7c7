// The broker's session state of a client [§4.1], and the subscriptions of all clients.
#pragma once

#include "tern/codec/subscribe.hpp"
#include "tern/message.hpp"
#include "tern/testing/detail/broker_arrivals.hpp"
#include "tern/testing/detail/broker_deliveries.hpp"
#include "tern/testing/detail/broker_link.hpp"
#include "tern/testing/detail/broker_message.hpp"
#include "tern/topic_map.hpp"

#include <algorithm>
#include <chrono>
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
    broker_link* link = nullptr;                // null while the client is not connected
    std::chrono::seconds expiry_interval{0};    // or `session_never_expires`
    std::optional<broker_time> expires_at = {}; // set while the client is not connected
    std::optional<message> will = {};
    std::chrono::seconds will_delay_interval{0};
    std::optional<broker_time> will_due_at = {}; // set while the client is not connected
    std::set<std::string, std::less<>> filters = {};
    broker_deliveries deliveries = {};
    broker_arrivals arrivals = {};
    std::size_t match_index = 0; // this session's index in the matches of the message that is routed
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
    // Adds a subscription, or replaces the one with the same filter [MQTT-3.8.4-3]. Returns whether it is new.
    bool add(broker_session& session, const subscription& s, std::optional<std::uint32_t> identifier) {
        const broker_subscription added{&session, s.max_qos, s.no_local, s.retain_as_published, identifier};
        const auto subscribers = filters_.insert(s.filter, subscribers_of{is_shared(s.filter)});
        if (!subscribers) // 3.1.1 allows `$share/x`, but this broker supports only complete shared filters
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

    // Returns whether there was a subscription.
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

    // Calls `visit(subscription, is_shared)` for each subscription that receives the message. Of a shared subscription
    // it visits one member: the next one that is connected, or if none is, the next one.
    template <class Visit>
    void for_each_match(std::string_view topic, Visit visit) {
        filters_.for_each_match(topic, [&](subscribers_of& subscribers) {
            if (!subscribers.shared) {
                for (const broker_subscription& each : subscribers.list)
                    visit(each, false);
            } else {
                visit(subscribers.next_subscriber(), true);
            }
        });
    }

private:
    struct subscribers_of {
        bool shared = false;
        std::vector<broker_subscription> list = {};
        std::size_t next = 0;

        const broker_subscription& next_subscriber() {
            for (std::size_t i = 0; i != list.size(); ++i) {
                const broker_subscription& candidate = list[next++ % list.size()];
                if (candidate.session->link) return candidate;
            }
            return list[next++ % list.size()];
        }
    };

    topic_map<subscribers_of> filters_;
};

} // namespace tern::testing::detail
