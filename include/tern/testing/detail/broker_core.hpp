// The broker without its connections: sessions, retained messages, wills and the routing of messages.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/control.hpp"
#include "tern/testing/broker_options.hpp"
#include "tern/testing/detail/broker_link.hpp"
#include "tern/testing/detail/broker_message.hpp"
#include "tern/testing/detail/broker_rule.hpp"
#include "tern/testing/detail/broker_session.hpp"
#include "tern/topic.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::testing::detail {

class broker_core {
public:
    explicit broker_core(broker_options options) : options_(std::move(options)) {}
    broker_core(const broker_core&) = delete;
    broker_core& operator=(const broker_core&) = delete;

    const broker_options& options() const noexcept { return options_; }
    const std::vector<violation>& violations() const noexcept { return violations_; }

    void report(const broker_link& link, const broker_rule& rule) {
        const bool v5 = link.version == protocol_version::v5;
        violations_.push_back({link.client_id, rule.error, std::string(v5 ? rule.clause_v5 : rule.clause_v3_1_1),
                               std::string(rule.text)});
    }

    // ---- sessions

    std::string unused_client_id() {
        std::string id;
        do
            id = "tern-" + std::to_string(++assigned_ids_);
        while (sessions_.contains(id));
        return id;
    }

    // Attaches the session of `link.client_id` to the link. Returns whether it resumes a session.
    bool attach(broker_link& link, const connect& p, broker_time now) {
        deadlines_changed_ = true;
        take_over(link.client_id, now);
        auto found = sessions_.find(link.client_id);
        if (found != sessions_.end() && (p.clean_start || is_expired(found->second, now))) { // [MQTT-3.1.2-4]
            end_session(found->second, now);
            found = sessions_.end();
        }
        const bool present = found != sessions_.end();
        broker_session& session = present ? found->second : sessions_[link.client_id];
        session.client_id = link.client_id;
        session.link = &link;
        link.session = &session;
        if (p.version == protocol_version::v5)
            session.expiry_interval = options_.limits.session_expiry_interval.value_or(
                p.properties.session_expiry_interval.value_or(std::chrono::seconds{0}));
        else
            session.expiry_interval = p.clean_start ? std::chrono::seconds{0} : session_never_expires;
        session.expires_at.reset();
        session.will_due_at.reset(); // the client is back in time [MQTT-3.1.3-9]
        session.will.reset();
        if (p.will) session.will.emplace(*p.will);
        session.will_delay_interval = p.will_delay_interval.value_or(std::chrono::seconds{0});
        // In 3.1.1 a client resends also if the broker has lost the session [3.1.1 MQTT-4.4.0-1].
        const bool resends = present || (p.version == protocol_version::v3_1_1 && !p.clean_start);
        session.arrivals.on_connected(resends ? resending::possible : resending::none);
        return present;
    }

    // The connection has ended.
    void detach(broker_link& link, connection_end cause, broker_time now) {
        if (!link.session) return;
        deadlines_changed_ = true;
        broker_session& session = *std::exchange(link.session, nullptr);
        session.link = nullptr;
        session.expires_at = expiry_of(session.expiry_interval, now);
        if (cause == connection_end::disconnected) session.will.reset(); // [MQTT-3.14.4-3]
        if (session.will) session.will_due_at = now + session.will_delay_interval;
        if (is_expired(session, now))
            end_session(session, now);
        else if (session.will_due_at && *session.will_due_at <= now)
            publish_will(session, now);
    }

    void drop(std::string_view client_id, broker_time now) {
        if (broker_link* const link = find_link(client_id)) {
            link->cut();
            detach(*link, connection_end::lost, now);
        }
    }

    // ---- messages

    // Stores the message if it is retained, and sends it to all subscribers. Returns their number.
    std::size_t route(const broker_message& m, broker_time now) {
        const message_view& view = m.content->view();
        if (view.retain) retain(m);
        struct match {
            broker_session* session;
            broker_delivery delivery;
            bool shared;
        };
        std::vector<match> matches;
        subscriptions_.for_each_match(view.topic, [&](const broker_subscription& s, bool shared) {
            broker_session& to = *s.session;
            if (s.no_local && to.client_id == m.publisher) // [MQTT-3.8.3-3]
                return;
            // Overlapping subscriptions of a client get one message, with the highest QoS and all identifiers
            // [MQTT-3.3.4-2, MQTT-3.3.4-4]. A shared subscription belongs to its group, so it gets its own.
            const bool overlaps = !shared && to.match_index < matches.size() &&
                                  matches[to.match_index].session == &to && !matches[to.match_index].shared;
            if (!overlaps) {
                if (!shared) to.match_index = matches.size();
                matches.push_back({&to, {.message = m}, shared});
            }
            broker_delivery& delivery = overlaps ? matches[to.match_index].delivery : matches.back().delivery;
            delivery.qos = (std::max)(delivery.qos, (std::min)(view.qos, s.qos)); // [MQTT-3.8.4-8]
            delivery.retain = delivery.retain || (view.retain && s.retain_as_published);
            if (s.identifier) delivery.subscription_identifiers.push_back(*s.identifier);
        });
        for (match& each : matches)
            each.session->deliveries.push(std::move(each.delivery), each.session->link, now);
        return matches.size();
    }

    bool subscribe(broker_session& session, const subscription& s, std::optional<std::uint32_t> identifier) {
        return subscriptions_.add(session, s, identifier);
    }
    bool unsubscribe(broker_session& session, std::string_view filter) {
        return subscriptions_.remove(session, filter);
    }

    // Sends the retained messages that match a new subscription.
    void send_retained(broker_session& session, const subscription& s, std::optional<std::uint32_t> identifier,
                       broker_time now) {
        std::erase_if(retained_, [&](const auto& each) { return each.second.is_expired(now); });
        for (const auto& [topic, m] : retained_) {
            if (!matches(s.filter, topic) || (s.no_local && m.publisher == session.client_id)) continue;
            broker_delivery delivery{.message = m, .qos = (std::min)(m.content->qos, s.max_qos), .retain = true};
            if (identifier) delivery.subscription_identifiers.push_back(*identifier);
            session.deliveries.push(std::move(delivery), session.link, now);
        }
    }

    // ---- time

    // The time at which on_deadline() must be called. The value may change after a call of another function.
    std::optional<broker_time> next_deadline() {
        if (std::exchange(deadlines_changed_, false)) {
            next_deadline_.reset();
            for (const auto& [id, session] : sessions_)
                for (const auto& each : {session.expires_at, session.will_due_at})
                    if (each && (!next_deadline_ || *each < *next_deadline_)) next_deadline_ = each;
        }
        return next_deadline_;
    }

    void on_deadline(broker_time now) {
        deadlines_changed_ = true;
        for (auto next = sessions_.begin(); next != sessions_.end();) {
            broker_session& session = (next++)->second;
            if (is_expired(session, now))
                end_session(session, now);
            else if (session.will_due_at && *session.will_due_at <= now)
                publish_will(session, now);
        }
    }

private:
    broker_link* find_link(std::string_view client_id) const {
        const auto found = sessions_.find(client_id);
        return found == sessions_.end() ? nullptr : found->second.link;
    }

    static bool is_expired(const broker_session& session, broker_time now) {
        return session.expires_at && *session.expires_at <= now;
    }

    // Ends an older connection of the same client [MQTT-3.1.4-3]. It ends without the client's DISCONNECT, so its will
    // is published. If the session is resumed, attach() cancels a delayed will.
    void take_over(const std::string& client_id, broker_time now) {
        broker_link* const older = find_link(client_id);
        if (!older) return;
        if (older->version == protocol_version::v5)
            older->send(disconnect{.reason_code = reason_code::session_taken_over});
        older->end();
        detach(*older, connection_end::lost, now);
    }

    // Ends the session. This publishes a delayed will [MQTT-3.1.2-8].
    void end_session(broker_session& session, broker_time now) {
        if (session.will_due_at) publish_will(session, now);
        subscriptions_.remove_all(session);
        sessions_.erase(sessions_.find(session.client_id));
    }

    void publish_will(broker_session& session, broker_time now) {
        session.will_due_at.reset();
        const broker_message will(session.will->view(), session.client_id, now);
        session.will.reset(); // [MQTT-3.1.2-10]
        route(will, now);
    }

    void retain(const broker_message& m) {
        const std::string topic(m.content->topic);
        if (m.content->payload.empty()) // [MQTT-3.3.1-6, MQTT-3.3.1-7]
            retained_.erase(topic);
        else
            retained_.insert_or_assign(topic, m);
    }

    broker_options options_;
    std::vector<violation> violations_;
    std::map<std::string, broker_session, std::less<>> sessions_;
    std::map<std::string, broker_message, std::less<>> retained_;
    broker_subscriptions subscriptions_;
    std::optional<broker_time> next_deadline_;
    bool deadlines_changed_ = false;
    unsigned assigned_ids_ = 0;
};

} // namespace tern::testing::detail
