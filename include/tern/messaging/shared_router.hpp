// Subscriptions with inboxes, and requests, that any thread may use.
#pragma once

#include "tern/fwd.hpp"
#include "tern/message.hpp"
#include "tern/messaging/detail/shared_initiation.hpp"
#include "tern/messaging/detail/strand_owner.hpp"
#include "tern/messaging/inbox_options.hpp"
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/request_options.hpp"
#include "tern/messaging/requester.hpp"
#include "tern/messaging/shared_client.hpp"
#include "tern/messaging/subscription_inbox.hpp"
#include "tern/messaging/subscription_message.hpp"
#include "tern/payload.hpp"

#include <asio/async_result.hpp>
#include <asio/detached.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern {

/// A subscription of a `basic_shared_router`: a handle, whose copies use the same inbox. Any thread may call it.
///
/// The functions are those of `subscription_inbox`. When the last handle is destroyed, in any thread, the subscription
/// ends, and its pending operations complete with `operation_aborted`. A message that is on its way to a handler that
/// is cancelled then is passed to the handler nevertheless.
template <class Transport, class Executor>
class basic_shared_inbox {
    using shared_type = basic_shared_client<Transport, Executor>;
    using client_type = typename shared_type::client_type;
    using state = detail::strand_inbox<shared_type>;
    using default_token = typename asio::default_completion_token<Executor>::type;

public:
    /// An object without a subscription. It can only be assigned to or destroyed.
    basic_shared_inbox() = default;
    explicit basic_shared_inbox(std::shared_ptr<state> of) noexcept : state_(std::move(of)) {}

    /// Whether the object has a subscription.
    explicit operator bool() const noexcept { return state_ != nullptr; }
    std::string_view filter() const noexcept { return state_->filter; }

    /// Waits for the next message, as `subscription_inbox::async_receive`. Each message goes to one operation. In
    /// manual mode pass the message to `acknowledge`.
    ///
    /// Signature: `void(std::error_code, subscription_message)`.
    template <detail::token_of<subscription_message> Token = default_token>
    auto async_receive(Token&& token = Token()) {
        return start<subscription_message>(token,
                                           [](auto& inbox, auto handler) { inbox.async_receive(std::move(handler)); });
    }
    /// Waits for the next messages, as `subscription_inbox::async_receive_some`. `into` must live until the handler is
    /// called, and must not be used until then.
    ///
    /// Signature: `void(std::error_code, std::size_t)`.
    template <detail::token_of<std::size_t> Token = default_token>
    auto async_receive_some(std::span<subscription_message> into, Token&& token = Token()) {
        return start<std::size_t>(
            token, [into](auto& inbox, auto handler) { inbox.async_receive_some(into, std::move(handler)); });
    }
    /// Acknowledges a message of an inbox in manual mode. It passes the message to the client's strand, and returns.
    void acknowledge(subscription_message message) {
        shared_type of = state_->inbox.client();
        of.async_call([m = std::move(message)](client_type&) mutable { m.acknowledge(); }, asio::detached);
    }

private:
    // An operation does not keep the inbox: it ends with the last handle.
    template <class Result, class Token, class F>
    auto start(Token& token, F begin) {
        const auto initiate = [weak = std::weak_ptr<state>(state_), begin](client_type& c, auto handler) {
            if (const auto s = weak.lock())
                begin(s->inbox.object(), std::move(handler));
            else
                detail::abort_on_strand<Result>(c.get_executor(), std::move(handler));
        };
        shared_type of = state_->inbox.client();
        return of.template async_start<Result>(initiate, std::forward<Token>(token));
    }

    std::shared_ptr<state> state_;
};

/// A `message_router` and a `requester` for a `basic_shared_client`: a handle, whose copies use the same router. Any
/// thread may call it.
///
/// The functions are those of `message_router` and `requester`; handlers run as those of the client. An inbox keeps the
/// router, and both keep the client. When the last of them is destroyed, in any thread, the router is destroyed on the
/// client's strand, and its requests complete with `operation_aborted`. A client has one router at a time.
///
///     tern::shared_router router{client};
///     auto temperatures = router.async_subscribe({.filter = "home/+/temperature"}, asio::use_future).get();
///     auto next = temperatures.async_receive(asio::use_future); // in any thread
template <class Transport, class Executor>
class basic_shared_router {
    using routing = detail::strand_routing<basic_shared_client<Transport, Executor>>;
    using default_token = typename asio::default_completion_token<Executor>::type;

public:
    using shared_client_type = basic_shared_client<Transport, Executor>;
    using client_type = typename shared_client_type::client_type;
    using inbox_type = basic_shared_inbox<Transport, Executor>;

    explicit basic_shared_router(const shared_client_type& of, const router_options& options = {})
        : routing_(std::make_shared<routing>(of, options)) {
        const auto prepare = [weak = std::weak_ptr<routing>(routing_)](client_type& c) {
            if (const auto r = weak.lock()) r->prepare(c);
        };
        shared_client_type(of).async_call(prepare, asio::detached);
    }

    /// Subscribes with an inbox, as `message_router::async_subscribe`. The filter is copied when the function is
    /// called.
    ///
    /// Signature: `void(std::error_code, basic_shared_inbox<Transport, Executor>)`.
    template <detail::token_of<inbox_type> Token = default_token>
    auto async_subscribe(const inbox_options& options, Token&& token = Token()) {
        return start<inbox_type>(
            token, [wanted = options, filter = std::string(options.filter)](auto& r, client_type& c, auto handler) {
                inbox_options of = wanted;
                of.filter = filter;
                using handler_type = detail::strand_subscribed<inbox_type, shared_client_type, decltype(handler)>;
                r->objects(c).router.async_subscribe(of, handler_type(r, std::move(handler)));
            });
    }

    /// Publishes a request, and completes with its response, as `requester::async_request`. What is passed by view is
    /// copied when the function is called.
    ///
    /// Signature: `void(std::error_code, subscription_message)`.
    template <detail::token_of<subscription_message> Token = default_token>
    auto async_request(std::string_view topic, payload_view payload, const request_options& options,
                       Token&& token = Token()) {
        message_view content{.topic = topic, .payload = payload.text(), .qos = options.qos};
        content.properties.content_type = options.content_type;
        content.properties.user_properties = options.user_properties;
        return start<subscription_message>(
            token, [m = message(content), timeout = options.timeout](auto& r, client_type& c, auto handler) {
                request_options of{.timeout = timeout, .qos = m.qos};
                of.content_type = m.properties.content_type;
                of.user_properties = m.properties.user_properties;
                r->objects(c).requests.async_request(m.topic, m.payload, of, std::move(handler));
            });
    }
    template <detail::token_of<subscription_message> Token = default_token>
    auto async_request(std::string_view topic, payload_view payload, Token&& token = Token()) {
        return async_request(topic, payload, request_options{}, std::forward<Token>(token));
    }

    /// Completes with the counters of the router. Signature: `void(std::error_code, router_counters)`.
    template <detail::token_of<router_counters> Token = default_token>
    auto async_counters(Token&& token = Token()) {
        shared_client_type of = routing_->client();
        const auto read = [weak = std::weak_ptr<routing>(routing_)](client_type& c) {
            const auto r = weak.lock();
            return r ? r->objects(c).router.counters() : router_counters{};
        };
        return of.async_call(read, std::forward<Token>(token));
    }

private:
    // An operation does not keep the router: it ends with the last handle and inbox.
    template <class Result, class Token, class F>
    auto start(Token& token, F begin) {
        const auto initiate = [weak = std::weak_ptr<routing>(routing_), begin](client_type& c, auto handler) {
            if (const auto r = weak.lock())
                begin(r, c, std::move(handler));
            else
                detail::abort_on_strand<Result>(c.get_executor(), std::move(handler));
        };
        shared_client_type of = routing_->client();
        return of.template async_start<Result>(initiate, std::forward<Token>(token));
    }

    std::shared_ptr<routing> routing_;
};

} // namespace tern
