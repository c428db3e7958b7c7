// The subscriptions of a message router: what it has requested of the broker. It has one for each filter.
//
//     SUBSCRIBE is due          with the first inbox of a filter; for all filters when a run begins after another one
//     ... again, without an     when the client refuses the identifier: 3.1.1, or the broker does not support it
//     identifier
//     UNSUBSCRIBE is due        when the last inbox of a filter is destroyed, unless the broker has refused the filter;
//                               if the client is in no run, on its next connection. It is due also if the session is
//                               lost, because the client renews what it had in its last run
//     the client renews         all of them when the broker has lost the session
#pragma once

#include "tern/error.hpp"
#include "tern/messaging/detail/inbox_core.hpp"
#include "tern/messaging/detail/router_listener.hpp"
#include "tern/messaging/detail/router_pump.hpp"
#include "tern/messaging/detail/subscription_table.hpp"
#include "tern/messaging/inbox_options.hpp"
#include "tern/messaging/subscription_inbox.hpp"
#include "tern/reason_code.hpp"
#include "tern/topic.hpp"

#include <asio/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::detail {

template <class Client>
class router_subscriptions : public router_pump<typename Client::executor_type> {
public:
    using executor_type = typename Client::executor_type;
    using inbox_type = subscription_inbox<executor_type>;
    using subscribe_op = waiting_for<inbox_type>;

    /// Null after its end.
    Client* client() const noexcept { return client_; }
    const router_counters& counters() const noexcept { return counters_; }
    void add_listener(router_listener& l) { listeners_.push_back(&l); }
    void remove_listener(router_listener& l) noexcept {
        std::replace(listeners_.begin(), listeners_.end(), &l, no_listener);
    }

    // ---- subscriptions

    /// Subscribes with an inbox. The operation completes with the subscription object.
    void subscribe(waiting_ptr<inbox_type> op, const std::string& filter, const inbox_options& options) {
        this->schedule();
        if (!client_) return fail(std::move(op), asio::error::operation_aborted);
        if (const errc error = check_topic_filter(filter); error != errc::none)
            return fail(std::move(op), misuse(error));
        if (options.limit == 0 || options.bytes == 0) return fail(std::move(op), misuse(errc::invalid_argument));
        const subscription wanted{
            {}, options.max_qos, options.no_local, options.retain_as_published, options.retain_handling};
        entry* const present = find_in_use(filter);
        if (present && !present->has_options_of(wanted)) return fail(std::move(op), misuse(errc::invalid_argument));
        if (present && present->state == entry_state::refused) return fail(std::move(op), present->refusal);
        entry& e = present ? *present : add_entry(filter, wanted);
        try {
            add_reader(e, *op, options);
            if (!present) request(e);
        } catch (...) {
            if (!present) e.state = entry_state::refused; // it was not requested
            op->result ? void(op->result = {}) : remove_if_unread(e);
            throw;
        }
        if (e.state == entry_state::granted) return this->end(*op.release(), {});
        op->owner = &subscribing_;
        e.waiting.push_back(*op.release());
    }
    /// Requests a granted filter again, although the client may renew it, too: the listeners learn when it is granted.
    void renew(std::string_view filter) {
        entry* const e = find_in_use(filter);
        if (e && client_) request(*e);
    }
    void remove(pumped& destroyed) noexcept override {
        auto& reader = static_cast<inbox&>(destroyed);
        const auto self = this->shared_from_this();
        counters_.released += reader.close();
        --counters_.inboxes;
        this->remove_object();
        entry* const e = table_.find(reader.filter());
        if (e && std::erase(e->readers, &reader) != 0) remove_if_unread(*e);
    }

protected:
    using pump = router_pump<executor_type>;
    using inbox = inbox_core<executor_type>;
    using entry = subscription_entry<executor_type>;

    enum class run_state : std::uint8_t {
        first, ///< No run has ended since the router was made, or the subscriptions were requested again since then.
        ended, ///< A run has ended: the next one may have none of the subscriptions.
        begun, ///< Another run has begun: the subscriptions are due.
    };

    static constexpr router_listener* no_listener = nullptr;

    explicit router_subscriptions(Client& client) : pump(client.get_executor()), client_(&client) {}
    ~router_subscriptions() = default;

    void on_connected(bool session_present) noexcept {
        if (!session_present) table_.for_each_inbox([](inbox& i) { i.forget_identifiers(); });
        if (run_ == run_state::ended) run_ = run_state::begun;
        this->try_schedule();
    }
    // Those whose last inbox was destroyed without a connection.
    void unsubscribe_dropped() noexcept {
        if (!client_ || !client_->is_connected()) return;
        table_.for_each([&](entry& e) {
            if (e.state == entry_state::dropped) unsubscribe(e);
        });
    }
    void request_all_again() noexcept {
        run_ = run_state::first;
        if (!client_) return;
        identifiers_ = identifier_use::used; // the broker may be another one
        table_.for_each([&](entry& e) {
            if (!e.readers.empty()) request_again(e);
        });
    }
    void on_refused(std::string_view filter, std::error_code error) noexcept {
        entry* const e = find_in_use(filter);
        if (!e) return;
        e->refusal = error;
        report_refusal(*e);
    }
    static bool is_at_broker(const entry& e) noexcept {
        return e.state == entry_state::subscribing || e.at_broker == broker_copy::possible;
    }
    // If the client is in no run, or allocation fails, it is due on the next connection.
    void unsubscribe(entry& e) noexcept {
        e.state = entry_state::dropped;
        e.at_broker = broker_copy::possible;
        if (!client_) return;
        try {
            client_->async_unsubscribe(*e.filter,
                                       [core = weak(), id = e.identifier](std::error_code error, const auto&) {
                                           if (const auto alive = core.lock()) alive->on_unsuback(id, error);
                                       });
            e.state = entry_state::leaving;
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): its messages are unmatched until then
        }
    }

    Client* client_;
    router_counters counters_;
    subscription_table<executor_type> table_;
    std::vector<router_listener*> listeners_;
    run_state run_ = run_state::first;

private:
    // Cancels SUBSCRIBE.
    struct subscribing_owner final : handler_owner {
        explicit subscribing_owner(router_subscriptions& c) noexcept : core(c) {}
        void cancel(waiting_handler& op) override {
            core.schedule();
            core.cancel_subscribe(static_cast<subscribe_op&>(op));
        }
        router_subscriptions& core;
    };

    void fail(waiting_ptr<inbox_type> op, std::error_code error) noexcept { this->end(*op.release(), error); }

    // ---- entries

    // The entry of a filter that has inboxes, or null.
    entry* find_in_use(std::string_view filter) noexcept {
        entry* const e = table_.find(filter);
        return e && !e->readers.empty() ? e : nullptr;
    }
    // SUBSCRIBE of the new entry takes the place of an UNSUBSCRIBE that is due.
    entry& add_entry(const std::string& filter, const subscription& wanted) {
        entry* const dropped = table_.find(filter);
        const broker_copy at_broker = dropped ? dropped->at_broker : broker_copy::none;
        if (dropped) table_.erase(*dropped);
        entry& e = table_.add(filter, wanted);
        e.at_broker = at_broker;
        return e;
    }
    void remove_if_unread(entry& e) noexcept {
        if (!e.readers.empty()) return;
        while (waiting_handler* const op = e.waiting.pop_front())
            this->end(*op, asio::error::operation_aborted);
        is_at_broker(e) ? unsubscribe(e) : table_.erase(e);
    }
    void add_reader(entry& e, subscribe_op& op, const inbox_options& options) {
        e.readers.reserve(e.readers.size() + 1);
        const auto reader =
            std::make_shared<inbox>(std::static_pointer_cast<pump>(this->shared_from_this()), e.filter, options);
        this->add_object();
        op.result = inbox_type(inbox_ptr<executor_type>(reader));
        e.readers.push_back(reader.get());
        ++counters_.inboxes;
    }

    // ---- requests

    void request(entry& e) {
        subscribe_options options;
        if (identifiers_ == identifier_use::used) options.properties.subscription_identifier = e.identifier;
        client_->async_subscribe(
            e.wanted(), options,
            [core = weak(), id = e.identifier, use = identifiers_](std::error_code error, const acknowledgement&) {
                const auto alive = core.lock();
                if (!alive) return;
                alive->on_suback(id, use, error);
                alive->run_unscheduled();
            });
        e.state = entry_state::subscribing; // if it is requested
    }
    void on_suback(std::uint32_t identifier, identifier_use use, std::error_code error) {
        entry* e = table_.find(identifier);
        if (!e || e->state != entry_state::subscribing || !client_) return;
        const bool has_no_identifiers =
            error == errc::subscription_identifiers_not_supported || error == errc::requires_v5;
        if (use == identifier_use::used && has_no_identifiers) {
            identifiers_ = identifier_use::not_supported;
            try {
                return request(*e);
            } catch (const std::bad_alloc&) {
                error = std::make_error_code(std::errc::not_enough_memory);
            }
        }
        e->state = error ? entry_state::refused : entry_state::granted;
        if (error.category() != usage_category())
            e->at_broker = is_answer(error) ? broker_copy::none : broker_copy::possible;
        e->refusal = error;
        for (std::size_t i = 0; i != listeners_.size(); ++i)
            if (listeners_[i]) listeners_[i]->on_renewed(*e->filter, error);
        e = table_.find(identifier);
        if (!e || e->readers.empty()) return; // a listener has dropped its inbox
        if (error && e->waiting.empty()) return report_refusal(*e);
        // A subscription object that is destroyed because of the error may remove the entry.
        handler_list ended;
        while (waiting_handler* const op = e->waiting.pop_front())
            ended.push_back(*op);
        while (auto* const op = static_cast<subscribe_op*>(ended.pop_front())) {
            if (error) op->result = {};
            this->end(*op, error);
        }
    }
    void on_unsuback(std::uint32_t identifier, std::error_code error) noexcept {
        entry* const e = table_.find(identifier);
        if (!e || e->state != entry_state::leaving) return;
        e->state = entry_state::dropped;
        if (!error || is_answer(error)) table_.erase(*e);
    }
    static bool is_answer(std::error_code error) noexcept { return error.category() == refusal_category(); }
    void cancel_subscribe(subscribe_op& op) noexcept {
        table_.find(op.result.filter())->waiting.remove(op);
        op.owner = nullptr;
        op.result = {}; // the last one of a filter unsubscribes
        this->end(op, asio::error::operation_aborted);
    }

    // ---- connections

    void request_again(entry& e) noexcept {
        try {
            request(e);
        } catch (const std::bad_alloc&) {
            e.state = entry_state::refused;
            e.refusal = std::make_error_code(std::errc::not_enough_memory);
            report_refusal(e);
        }
    }
    void report_refusal(entry& e) noexcept {
        e.is_refusal_new = true;
        this->try_schedule();
    }
    std::weak_ptr<router_subscriptions> weak() {
        return std::static_pointer_cast<router_subscriptions>(this->shared_from_this());
    }

    subscribing_owner subscribing_{*this};
    identifier_use identifiers_ = identifier_use::used;
};

} // namespace tern::detail
