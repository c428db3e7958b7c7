// The core of a message router: it is the sink of its client. It finds the inboxes of a message, and keeps the message
// until all of them are done with it.
#pragma once

#include "tern/client/message_sink.hpp"
#include "tern/error.hpp"
#include "tern/messaging/detail/inbox_core.hpp"
#include "tern/messaging/detail/router_subscriptions.hpp"
#include "tern/messaging/detail/subscription_table.hpp"
#include "tern/messaging/inbox_options.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/event.hpp"

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
class router_core final : public message_sink, public router_subscriptions<Client> {
    using base = router_subscriptions<Client>;
    using base::client_, base::counters_, base::listeners_, base::run_, base::table_;
    using typename base::entry, typename base::inbox, typename base::run_state;

public:
    using event_callback = std::function<void(const router_event&)>;

    router_core(Client& client, const router_options& options) : base(client), options_(options) {}
    ~router_core() override = default;

    void set_event_callback(event_callback f) {
        auto fresh = f ? std::make_shared<event_callback>(std::move(f)) : nullptr;
        on_event_.swap(fresh);
    }
    /// The router is destroyed. Subscription objects that outlive it receive nothing more.
    void close() noexcept {
        const auto self = this->shared_from_this();
        if (!client_) return;
        table_.for_each([&](entry& e) {
            if (base::is_at_broker(e)) this->unsubscribe(e);
        });
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
        if (e.change == connection_change::connected) this->on_connected(e.session_present);
        if (e.change == connection_change::subscription_refused) this->on_refused(e.filter, e.error);
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
    // A broker may give an identifier more than once.
    void add_readers(const entry& e) {
        if (e.readers.empty() || std::ranges::count(readers_, e.readers.front()) != 0) return;
        readers_.insert(readers_.end(), e.readers.begin(), e.readers.end());
    }

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
        if (run_ == run_state::begun) this->request_all_again();
        this->unsubscribe_dropped();
        for (std::size_t i = 0; i != listeners_.size(); ++i)
            if (listeners_[i]) listeners_[i]->on_pump();
        std::erase(listeners_, base::no_listener);
        for (;;) {
            const router_event event = table_.next_event();
            if (event.filter.empty()) return;
            const auto f = on_event_; // it may set another one
            if (f) (*f)(event);
        }
    }

    router_options options_;
    std::size_t held_bytes_ = 0;
    std::vector<inbox*> readers_; // of the present message
    std::shared_ptr<event_callback> on_event_;
};

} // namespace tern::detail
