// Subscriptions with inboxes of their own.
#pragma once

#include "tern/client/basic_client.hpp"
#include "tern/messaging/detail/handler_queue.hpp"
#include "tern/messaging/detail/router_core.hpp"
#include "tern/messaging/inbox_options.hpp"
#include "tern/messaging/subscription_inbox.hpp"
#include "tern/messaging/subscription_message.hpp"

#include <asio/async_result.hpp>

#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern {

/// Distributes the messages of a client to subscriptions that are objects with inboxes of their own.
///
/// A client has at most one router at a time: another one ends it. Messages are routed by Subscription Identifiers if
/// the broker supports them, otherwise by their topics. Each subscription whose filter matches gets the message, and
/// the message is acknowledged once, when all of them are done with it. A broker without identifiers that sends a
/// message once for each matching subscription causes duplicates. The router uses Subscription Identifiers from
/// 134,217,728 on: use lower ones for subscriptions of your own. A message that matches nothing is acknowledged and
/// counted, or passed to the client (`router_options::unmatched`).
///
/// **Acknowledgements** of QoS 1 and 2 leave in the order of receipt over the whole client [MQTT-4.6.0-2]. So an inbox
/// that is full, and holds back its messages, holds back all later acknowledgements, and in the end all messages of QoS
/// 1 and 2: see `full_inbox_action`. It delays neither QoS 0 nor answers, pings and requests.
///
/// **Lifetimes.** The client must not be moved while the router lives. Router, client and subscription objects can be
/// destroyed in any order: see `subscription_inbox`. Destroying the router ends all of its subscriptions. If the client
/// is in no run then, a session that outlives the connection keeps them. It can be moved. The rules for executors and
/// threads are those of the client. The router may be made before the client connects, and serves all runs of the
/// client: it subscribes again when another run begins.
///
///     tern::message_router router{client};
///     auto temperatures = co_await router.async_subscribe({.filter = "home/+/temperature"}, asio::use_awaitable);
///     const tern::subscription_message m = co_await temperatures.async_receive(asio::use_awaitable);
///     assert(m.levels[0] == "kitchen");
template <class Client>
class message_router {
    using core_type = detail::router_core<Client>;
    using default_token = typename asio::default_completion_token<typename Client::executor_type>::type;

public:
    using executor_type = typename Client::executor_type;
    using client_type = Client;
    using inbox_type = subscription_inbox<executor_type>;

    explicit message_router(Client& of, const router_options& options = {})
        : core_(std::make_shared<core_type>(of, options)) {
        try {
            of.set_message_sink(core_);
        } catch (...) {
            core_->close();
            throw;
        }
    }
    message_router(message_router&&) noexcept = default;
    message_router& operator=(message_router&& other) noexcept {
        message_router taken(std::move(other));
        core_.swap(taken.core_);
        return *this;
    }
    message_router(const message_router&) = delete;
    message_router& operator=(const message_router&) = delete;
    ~message_router() {
        if (core_) core_->close();
    }

    executor_type get_executor() const noexcept { return core_->executor(); }
    /// What was counted since the router was made.
    router_counters counters() const noexcept { return core_->counters(); }

    /// Sets a function that is called with each event of the router, on the client's executor and in no function of the
    /// client. An empty function removes it. The filter of the event is valid during the call.
    void set_event_callback(std::function<void(const router_event&)> callback) {
        core_->set_event_callback(std::move(callback));
    }

    /// Subscribes to a topic filter, with an inbox.
    ///
    /// Completes with the subscription object when the broker has granted the subscription. Messages that come before
    /// SUBACK are stored. Another object with the same filter and the same options of SUBSCRIBE receives the same
    /// messages in an inbox of its own: it needs no packet, and so gets no retained messages.
    ///
    /// Precondition: a connection has been requested.
    /// Signature: `void(std::error_code, subscription_inbox<executor_type>)`.
    /// Errors: those of `basic_client::async_subscribe`; `errc::invalid_argument` for limits of 0, or if there is an
    /// object with the same filter and other options of SUBSCRIBE.
    /// Cancellation: the subscription is ended.
    template <asio::completion_token_for<void(std::error_code, inbox_type)> Token = default_token>
    auto async_subscribe(const inbox_options& options, Token&& token = Token()) {
        const auto begin = [core = core_.get()](detail::waiting_ptr<inbox_type> op, const std::string& filter,
                                                const inbox_options& rest) {
            core->subscribe(std::move(op), filter, rest);
        };
        using initiation = detail::router_initiation<executor_type, inbox_type, std::remove_const_t<decltype(begin)>>;
        return asio::async_initiate<Token, void(std::error_code, inbox_type)>(initiation{get_executor(), begin}, token,
                                                                              std::string(options.filter), options);
    }

    /// The core, for `requester` and others of this library.
    const std::shared_ptr<core_type>& core() const noexcept { return core_; }

private:
    std::shared_ptr<core_type> core_;
};

} // namespace tern
