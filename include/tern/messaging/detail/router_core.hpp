// The core of a message router: it is the sink of its client. It finds the inboxes of a message, and keeps the message
// until all of them are done with it. It has one subscription for each filter.
//
//     SUBSCRIBE is due          with the first inbox of a filter; for all filters when a run begins after another one
//     ... again, without an     when the client refuses the identifier: 3.1.1, or the broker does not support it
//     identifier
//     UNSUBSCRIBE is due        when the last inbox of a filter is destroyed, unless the broker has refused the filter
//     the client renews         all of them when the broker has lost the session
#pragma once

#include "tern/client/message_sink.hpp"
#include "tern/error.hpp"
#include "tern/messaging/detail/inbox_core.hpp"
#include "tern/messaging/detail/router_listener.hpp"
#include "tern/messaging/detail/router_pump.hpp"
#include "tern/messaging/detail/subscription_table.hpp"
#include "tern/messaging/inbox_options.hpp"
#include "tern/messaging/subscription_inbox.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/event.hpp"
#include "tern/topic.hpp"

#include <asio/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::detail {

template <class Client>
class router_core final : public message_sink, public router_pump<typename Client::executor_type> {
public:
    using executor_type = typename Client::executor_type;

private:
    using pump = router_pump<executor_type>;
    using inbox = inbox_core<executor_type>;
    using entry = subscription_entry<executor_type>;

public:
    using inbox_type = subscription_inbox<executor_type>;
    using subscribe_op = waiting_for<inbox_type>;
    using event_callback = std::function<void(const router_event&)>;

    router_core(Client& client, const router_options& options)
        : pump(client.get_executor())
        , client_(&client)
        , options_(options) {}
    ~router_core() override = default;

    /// Null after its end.
    Client* client() const noexcept { return client_; }
    const router_counters& counters() const noexcept { return counters_; }
    void set_event_callback(event_callback f) {
        auto fresh = f ? std::make_shared<event_callback>(std::move(f)) : nullptr;
        on_event_.swap(fresh);
    }
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
        entry* const present = table_.find(filter);
        if (present && !present->has_options_of(wanted)) return fail(std::move(op), misuse(errc::invalid_argument));
        if (present && present->state == entry_state::refused) return fail(std::move(op), present->refusal);
        entry& e = present ? *present : table_.add(filter, wanted);
        try {
            add_reader(e, *op, options);
            if (!present) request(e);
        } catch (...) {
            if (!present) e.state = entry_state::refused; // nothing was sent
            op->result ? void(op->result = {}) : remove_if_unread(e);
            throw;
        }
        if (e.state == entry_state::granted) return this->end(*op.release(), {});
        op->owner = &subscribing_;
        e.waiting.push_back(*op.release());
    }
    /// Requests a granted filter again, although the client may renew it, too: the listeners learn when it is granted.
    void renew(std::string_view filter) {
        entry* const e = table_.find(filter);
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
    /// The router is destroyed. Subscription objects that outlive it receive nothing more.
    void close() noexcept {
        const auto self = this->shared_from_this();
        if (!client_) return;
        table_.for_each([&](entry& e) { unsubscribe(e); });
        try {
            client_->set_message_sink(nullptr); // which ends everything
        } catch (const std::bad_alloc&) {       // NOLINT(bugprone-empty-catch): it is removed nevertheless
        }
    }

    // ---- from the client

    message_route on_message(const received& e) override {
        find_readers(e);
        if (readers_.empty()) return on_unmatched();
        if (e.dup && e.qos == qos::at_least_once && replace_copy(e)) return message_route::held;
        const auto held = std::make_shared<held_message>(e);
        for (inbox* const reader : readers_)
            reader->reserve();
        this->schedule();
        ++counters_.received; // the rest cannot fail
        std::size_t shed = 0;
        for (inbox* const reader : readers_) {
            const inbox_admission a = reader->admit(e);
            if (a == inbox_admission::dropped) ++counters_.dropped;
            if (a == inbox_admission::shed) ++shed;
            if (a == inbox_admission::dropped || a == inbox_admission::shed) continue;
            ++held->takers;
            reader->push(held, a);
        }
        counters_.shed += shed;
        if (held->takers == 0) return shed == 0 ? message_route::finished : refuse(e.token);
        if (e.token == message_token::none) return message_route::held;
        ++counters_.held;
        held_bytes_ += held->content.owned_bytes();
        return message_route::held;
    }
    delivery wanted_delivery() const noexcept override {
        const bool is_full = counters_.held >= options_.hard_limit || held_bytes_ >= options_.hard_bytes;
        return is_full ? delivery::full : delivery::open;
    }
    void on_event(const connection_event_view& e) noexcept override {
        if (e.change == connection_change::connected) on_connected(e.session_present);
        if (e.change == connection_change::subscription_refused) on_refused(e.filter, e.error);
        if (e.change == connection_change::stopped) {
            run_ = run_state::ended;
            table_.for_each_inbox([&](inbox& i) { i.end_run(e.error ? e.error : misuse(errc::disconnected)); });
        }
        for (std::size_t i = 0; i != listeners_.size(); ++i)
            if (listeners_[i]) listeners_[i]->on_event(e);
        if (!listeners_.empty()) this->try_schedule();
    }
    void on_client_end(client_end end) noexcept override {
        const auto self = this->shared_from_this();
        if (end == client_end::replaced) table_.for_each_inbox([&](inbox& i) { counters_.released += i.close(); });
        client_ = nullptr;
        end_all(end);
    }

    // ---- from inboxes

    void release(held_message& m) noexcept override {
        if (--m.takers != 0 || m.token == message_token::none) return;
        --counters_.held;
        held_bytes_ -= m.content.owned_bytes();
        if (client_) client_->acknowledge(m.token);
    }

private:
    enum class run_state : std::uint8_t {
        first, ///< No run has ended since the router was made, or the subscriptions were requested again since then.
        ended, ///< A run has ended: the next one may have none of the subscriptions.
        begun, ///< Another run has begun: the subscriptions are due.
    };

    static constexpr router_listener* no_listener = nullptr;

    // Cancels SUBSCRIBE.
    struct subscribing_owner final : handler_owner {
        explicit subscribing_owner(router_core& c) noexcept : core(c) {}
        void cancel(waiting_handler& op) override {
            core.schedule();
            core.cancel_subscribe(static_cast<subscribe_op&>(op));
        }
        router_core& core;
    };

    void fail(waiting_ptr<inbox_type> op, std::error_code error) noexcept { this->end(*op.release(), error); }

    // ---- entries

    void remove_if_unread(entry& e) noexcept {
        if (!e.readers.empty()) return;
        unsubscribe(e);
        while (waiting_handler* const op = e.waiting.pop_front())
            this->end(*op, asio::error::operation_aborted);
        table_.erase(e);
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
        e->refusal = error;
        for (std::size_t i = 0; i != listeners_.size(); ++i)
            if (listeners_[i]) listeners_[i]->on_renewed(*e->filter, error);
        e = table_.find(identifier);
        if (!e) return; // a listener has dropped its inbox
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
    void unsubscribe(entry& e) noexcept {
        if (!client_ || e.state == entry_state::refused) return;
        try {
            client_->async_unsubscribe(*e.filter, [](std::error_code, const acknowledgement&) {});
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): then its messages are unmatched
        }
    }
    void cancel_subscribe(subscribe_op& op) noexcept {
        table_.find(op.result.filter())->waiting.remove(op);
        op.owner = nullptr;
        op.result = {}; // the last one of a filter unsubscribes
        this->end(op, asio::error::operation_aborted);
    }

    // ---- connections

    void on_connected(bool session_present) noexcept {
        if (!session_present) table_.for_each_inbox([](inbox& i) { i.forget_identifiers(); });
        if (run_ != run_state::ended) return;
        run_ = run_state::begun;
        this->try_schedule();
    }
    void request_all_again() noexcept {
        run_ = run_state::first;
        if (!client_) return;
        identifiers_ = identifier_use::used; // the broker may be another one
        table_.for_each([&](entry& e) { request_again(e); });
    }
    void request_again(entry& e) noexcept {
        try {
            request(e);
        } catch (const std::bad_alloc&) {
            e.state = entry_state::refused;
            e.refusal = std::make_error_code(std::errc::not_enough_memory);
            report_refusal(e);
        }
    }
    void on_refused(std::string_view filter, std::error_code error) noexcept {
        entry* const e = table_.find(filter);
        if (!e) return;
        e->refusal = error;
        report_refusal(*e);
    }
    void report_refusal(entry& e) noexcept {
        e.is_refusal_new = true;
        this->try_schedule();
    }
    void end_all(client_end end) noexcept {
        for (std::size_t i = 0; i != listeners_.size(); ++i)
            if (listeners_[i]) listeners_[i]->on_client_end(end);
        handler_list subscribing;
        table_.for_each([&](entry& e) {
            while (waiting_handler* const op = e.waiting.pop_front())
                subscribing.push_back(*op);
        });
        table_.for_each_inbox([](inbox& i) { i.end_forever(asio::error::operation_aborted); });
        if (end == client_end::context_shut_down) this->shut_down();
        while (waiting_handler* const op = subscribing.pop_front()) {
            op->owner = nullptr;
            end == client_end::context_shut_down ? op->drop() : this->end(*op, asio::error::operation_aborted);
        }
        if (end == client_end::context_shut_down)
            while (inbox* const reader = inbox_with_callback())
                reader->drop_callback();
    }
    // A callback that is destroyed may destroy inboxes.
    inbox* inbox_with_callback() noexcept {
        inbox* found = nullptr;
        table_.for_each_inbox([&](inbox& i) { found = i.has_callback() ? &i : found; });
        return found;
    }

    // ---- messages

    // A message with identifiers is routed by them alone, unless they are of an earlier process, whose session goes on.
    void find_readers(const received& e) {
        readers_.clear();
        bool is_routed = false;
        for (const std::uint32_t id : e.properties.subscription_identifiers) {
            if (router_identifiers::is_of_earlier_process(id)) continue;
            is_routed = true;
            if (entry* const found = table_.find(id)) add_readers(*found);
        }
        if (!is_routed) table_.for_each_match(e.topic, [&](entry& matching) { add_readers(matching); });
    }
    void add_readers(const entry& e) { readers_.insert(readers_.end(), e.readers.begin(), e.readers.end()); }

    message_route on_unmatched() noexcept {
        ++counters_.unmatched;
        return options_.unmatched == unmatched_action::pass ? message_route::passed : message_route::finished;
    }
    // A message that came again takes the place of the copy that inboxes hold. The earlier connection is over, and with
    // it the earlier acknowledgement.
    bool replace_copy(const received& e) noexcept {
        for (inbox* const reader : readers_)
            if (held_message* const copy = reader->find_copy(e)) {
                if (client_) client_->acknowledge(copy->token);
                copy->token = e.token;
                return true;
            }
        return false;
    }
    // No inbox has taken the message. In 3.1.1 it cannot be refused.
    message_route refuse(message_token token) {
        if constexpr (requires { client_->reject(token, reason_code::quota_exceeded); })
            if (client_ && !client_->reject(token, reason_code::quota_exceeded)) return message_route::held;
        return message_route::finished;
    }

    // ---- the pump

    void report() override {
        if (run_ == run_state::begun) request_all_again();
        for (std::size_t i = 0; i != listeners_.size(); ++i)
            if (listeners_[i]) listeners_[i]->on_pump();
        std::erase(listeners_, no_listener);
        for (;;) {
            const router_event event = table_.next_event();
            if (event.filter.empty()) return;
            const auto f = on_event_; // it may set another one
            if (f) (*f)(event);
        }
    }
    std::weak_ptr<router_core> weak() { return std::static_pointer_cast<router_core>(this->shared_from_this()); }

    Client* client_;
    router_options options_;
    router_counters counters_;
    std::size_t held_bytes_ = 0;
    subscription_table<executor_type> table_;
    std::vector<inbox*> readers_; // of the present message
    std::vector<router_listener*> listeners_;
    subscribing_owner subscribing_{*this};
    identifier_use identifiers_ = identifier_use::used;
    run_state run_ = run_state::first;
    std::shared_ptr<event_callback> on_event_;
};

} // namespace tern::detail
