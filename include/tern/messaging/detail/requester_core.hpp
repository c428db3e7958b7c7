// The core of a requester: its response topic, and the requests that wait.
//
//     idle --a request, and a connection--> subscribing --SUBACK--> ready --disconnected--> interrupted
//     interrupted --connected, session present--> ready
//     interrupted --connected, without session--> renewing --SUBACK--> ready
//     subscribing, renewing --refused--> idle: the requests complete with the error
//
// Requests are sent in the state `ready` alone, so that no response comes before the subscription.
#pragma once

#include "tern/detail/entropy.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/messaging/detail/handler_queue.hpp"
#include "tern/messaging/detail/router_core.hpp"
#include "tern/messaging/detail/router_listener.hpp"
#include "tern/messaging/request_options.hpp"
#include "tern/messaging/subscription_message.hpp"
#include "tern/session/connection_terms.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/topic.hpp"
#include "tern/transport/time.hpp"
#include "tern/types.hpp"

#include <asio/error.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

/// Correlation Data: the random identity of the requester, and the number of the request.
class correlation {
public:
    static constexpr std::size_t size = 16;

    correlation() noexcept { (void)fill_with_entropy(std::span(bytes_).first(8)); }
    /// Valid until the next call.
    std::string_view of(std::uint64_t number) noexcept {
        std::memcpy(bytes_.data() + 8, &number, 8);
        return {bytes_.data(), size};
    }
    /// The number, if the data are of this requester.
    std::optional<std::uint64_t> number_of(std::string_view data) const noexcept {
        if (data.size() != size || data.substr(0, 8) != identity()) return std::nullopt;
        std::uint64_t number = 0;
        std::memcpy(&number, data.data() + 8, 8);
        return number;
    }
    std::string_view identity() const noexcept { return {bytes_.data(), 8}; }

private:
    std::array<char, size> bytes_{};
};

/// A request. Its message is freed when it was sent.
struct pending_request {
    waiting_for<subscription_message>* op = nullptr;
    std::optional<message> content;
    std::chrono::steady_clock::time_point deadline = (std::chrono::steady_clock::time_point::max)();
};

template <class Client>
class requester_core final : public std::enable_shared_from_this<requester_core<Client>>,
                             public router_listener,
                             public handler_owner {
    using clock = std::chrono::steady_clock;
    using executor = typename Client::executor_type;
    using router = router_core<Client>;
    using inbox = subscription_inbox<executor>;

public:
    requester_core(std::shared_ptr<router> r, const requester_options& options)
        : router_(std::move(r))
        , prefix_(options.response_prefix)
        , limit_(options.limit) {
        router_->add_listener(*this);
    }
    ~requester_core() { router_->remove_listener(*this); }

    router& of_router() noexcept { return *router_; }
    requester_counters counters() const noexcept {
        requester_counters all = counters_;
        all.waiting = pending_.size();
        return all;
    }

    void request(waiting_ptr<subscription_message> op, message content, std::chrono::milliseconds timeout) {
        router_->schedule();
        if (!router_->client()) return refuse(std::move(op), asio::error::operation_aborted);
        if (const errc error = validate(content, timeout); error != errc::none)
            return refuse(std::move(op), misuse(error));
        const std::uint64_t number = next_++;
        op->number = number;
        pending_request& added = pending_[number];
        try {
            if (timeout.count() != 0) {
                added.deadline = now() + timeout;
                deadlines_.emplace(added.deadline, number);
                set_timer();
            }
        } catch (...) {
            deadlines_.erase({added.deadline, number});
            pending_.erase(number);
            throw;
        }
        added.content = std::move(content);
        added.op = op.release();
        added.op->owner = this;
        if (state_ == response_state::ready) send_waiting(); // the others wait for the pump
    }
    void cancel(waiting_handler& op) override {
        router_->schedule();
        complete(op.number, asio::error::operation_aborted);
    }
    /// The requester is destroyed.
    void close() noexcept {
        fail_all(asio::error::operation_aborted);
        inbox_ = {};
        timer_.reset();
    }

    // ---- from the router

    void on_event(const connection_event_view& e) noexcept override {
        if (e.change == connection_change::disconnected && inbox_) state_ = response_state::interrupted;
        if (e.change == connection_change::connected && state_ == response_state::interrupted)
            state_ = e.session_present ? response_state::ready : response_state::lost;
        if (e.change == connection_change::stopped) fail_all(e.error ? e.error : misuse(errc::disconnected));
    }
    void on_renewed(std::string_view filter, std::error_code error) noexcept override {
        if (state_ == response_state::renewing && filter == topic_) on_subscribed(error);
    }
    void on_client_end(client_end end) noexcept override {
        const auto self = this->shared_from_this();
        timer_.reset();
        if (end != client_end::context_shut_down) return fail_all(asio::error::operation_aborted);
        deadlines_.clear();
        while (!pending_.empty()) { // a handler that is dropped may own the requester
            auto first = pending_.extract(pending_.begin());
            first.mapped().op->owner = nullptr;
            first.mapped().op->drop();
        }
    }
    void on_pump() override {
        Client* const client = router_->client();
        if (client) try_set_timer();
        if (!client || !client->is_connected()) return;
        try {
            if (state_ == response_state::lost && !topic_.starts_with(prefix())) { // another broker
                inbox_ = {};
                state_ = response_state::idle;
            }
            if (state_ == response_state::lost) {
                router_->renew(topic_);
                state_ = response_state::renewing;
            }
            if (state_ == response_state::idle && !pending_.empty()) subscribe();
        } catch (const std::bad_alloc&) {
            fail_all(std::make_error_code(std::errc::not_enough_memory));
        }
        if (state_ == response_state::ready) send_waiting();
    }

private:
    enum class response_state : std::uint8_t {
        idle,        ///< There is no subscription to the response topic.
        subscribing, ///< It is requested for the first time.
        ready,       ///< The broker has it.
        interrupted, ///< The connection is lost.
        lost,        ///< The next connection has no session: the subscription is due.
        renewing,    ///< It is requested again.
    };

    errc validate(const message& content, std::chrono::milliseconds timeout) const noexcept {
        if (const errc error = check_topic_name(content.topic); error != errc::none) return error;
        if (timeout.count() < 0 || timeout > std::chrono::years(1)) return errc::invalid_operation_timeout;
        return pending_.size() >= limit_ ? errc::queue_full : errc::none;
    }
    void refuse(waiting_ptr<subscription_message> op, std::error_code error) noexcept {
        router_->end(*op.release(), error);
    }
    clock::time_point now() const noexcept { return now_of(router_->client()->transport()); }

    // ---- the response topic

    // The beginning of the topic on the present connection.
    std::string prefix() const {
        const connection_terms terms = router_->client()->connection();
        std::string begin(terms.response_information.value_or(prefix_));
        if (!begin.ends_with('/')) begin += '/';
        return begin;
    }
    void subscribe() {
        if (router_->client()->connection().version != protocol_version::v5) return fail_all(misuse(errc::requires_v5));
        topic_ = prefix();
        for (const char c : correlation_.identity())
            for (const int shift : {4, 0})
                topic_ += "0123456789abcdef"[(static_cast<unsigned char>(c) >> shift) & 15];
        auto handler = [core = this->weak_from_this()](std::error_code error, inbox made) {
            if (const auto alive = core.lock()) alive->on_made(error, std::move(made));
        };
        using holder = handler_holder<decltype(handler), executor, inbox>;
        inbox_options options;
        options.limit = SIZE_MAX; // the callback takes each message at once
        options.bytes = SIZE_MAX;
        router_->subscribe(holder::make(std::move(handler), router_->executor()), topic_, options);
        state_ = response_state::subscribing;
    }
    void on_made(std::error_code error, inbox made) {
        try {
            if (!error)
                made.set_callback([core = this->weak_from_this()](subscription_message m) {
                    if (const auto alive = core.lock()) alive->on_response(std::move(m));
                });
            inbox_ = std::move(made);
        } catch (const std::bad_alloc&) {
            error = std::make_error_code(std::errc::not_enough_memory);
        }
        on_subscribed(error);
        on_pump();
    }
    void on_subscribed(std::error_code error) noexcept {
        state_ = error ? response_state::idle : response_state::ready;
        if (!error) return void(router_->try_schedule());
        inbox_ = {};
        fail_all(error);
    }

    // ---- requests

    void send_waiting() {
        for (;;) {
            const auto next = pending_.lower_bound(first_unsent_);
            if (next == pending_.end()) return;
            first_unsent_ = next->first + 1;
            try {
                send(next->first, next->second);
            } catch (const std::bad_alloc&) {
                complete(next->first, std::make_error_code(std::errc::not_enough_memory));
            }
        }
    }
    void send(std::uint64_t number, pending_request& p) {
        message_view view = p.content->view();
        view.properties.response_topic = topic_;
        view.properties.correlation_data = correlation_.of(number);
        publish_options options;
        const bool is_limited = p.deadline != (clock::time_point::max)();
        if (is_limited) options.time_to_live = std::chrono::ceil<std::chrono::milliseconds>(p.deadline - now());
        if (options.time_to_live.count() < 0 || (options.time_to_live.count() == 0 && is_limited)) return; // late timer
        router_->client()->async_publish(
            view, options,
            [core = this->weak_from_this(), number](std::error_code error, const acknowledgement& answer) {
                if (const auto alive = core.lock()) alive->on_published(number, error, answer.reason_code);
            });
        ++counters_.sent;
        p.content.reset();
    }
    // The response may have come before.
    void on_published(std::uint64_t number, std::error_code error, reason_code reason) {
        if (!error && reason == reason_code::no_matching_subscribers) error = make_error_code(reason);
        if (error == errc::message_expired) error = misuse(errc::operation_timeout);
        if (error) complete(number, error);
        router_->run_unscheduled();
    }
    void on_response(subscription_message m) noexcept {
        const auto number = correlation_.number_of(m.properties.correlation_data.value_or(""));
        if (!number || *number >= next_) {
            ++counters_.unknown;
            return;
        }
        const auto found = pending_.find(*number);
        if (found == pending_.end()) {
            ++counters_.late;
            return;
        }
        ++counters_.answered;
        found->second.op->result = std::move(m);
        complete(*number, {});
    }
    void complete(std::uint64_t number, std::error_code error) noexcept {
        const auto found = pending_.find(number);
        if (found == pending_.end()) return;
        waiting_handler& op = *found->second.op;
        deadlines_.erase({found->second.deadline, number});
        pending_.erase(found);
        if (deadlines_.empty() && timer_) { // it is work of the executor
            timer_at_ = (clock::time_point::max)();
            ++wait_;
            timer_->cancel();
        }
        router_->end(op, error);
    }
    void fail_all(std::error_code error) noexcept {
        while (!pending_.empty())
            complete(pending_.begin()->first, error);
    }

    // ---- time

    void set_timer() {
        if (deadlines_.empty()) return;
        const clock::time_point next = deadlines_.begin()->first;
        if (!timer_) timer_.emplace(make_timer_of(router_->client()->transport()));
        if (next >= timer_at_) return;
        timer_at_ = (clock::time_point::max)();
        ++wait_;
        timer_->expires_at(next);
        timer_->async_wait([core = this->weak_from_this(), wait = wait_](std::error_code) {
            if (const auto alive = core.lock()) alive->on_timer(wait);
        });
        timer_at_ = next;
    }
    // If allocation fails, the pump tries again.
    void try_set_timer() noexcept {
        try {
            set_timer();
        } catch (const std::bad_alloc&) {
            router_->try_schedule();
        }
    }
    void on_timer(std::uint64_t wait) {
        if (wait != wait_ || !router_->client() || !timer_) return; // it was replaced
        timer_at_ = (clock::time_point::max)();
        while (!deadlines_.empty() && deadlines_.begin()->first <= now()) {
            const std::uint64_t number = deadlines_.begin()->second;
            const bool is_sent = !pending_.find(number)->second.content;
            complete(number, is_sent ? outcome_unknown(errc::operation_timeout) : misuse(errc::operation_timeout));
        }
        try_set_timer();
        router_->run_unscheduled();
    }

    std::shared_ptr<router> router_;
    std::string prefix_;
    std::size_t limit_;
    correlation correlation_;
    response_state state_ = response_state::idle;
    std::string topic_; // without wildcards
    inbox inbox_;
    std::map<std::uint64_t, pending_request> pending_;
    std::uint64_t next_ = 1;
    std::uint64_t first_unsent_ = 0;
    std::set<std::pair<clock::time_point, std::uint64_t>> deadlines_;
    std::optional<timer_of<typename Client::transport_type>> timer_;
    clock::time_point timer_at_ = (clock::time_point::max)(); // when the timer expires
    std::uint64_t wait_ = 0; // the number of the present wait: a wait that was replaced has no effect
    requester_counters counters_;
};

} // namespace tern::detail
