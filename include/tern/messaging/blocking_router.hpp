// Subscriptions with inboxes, and requests, for programs without Asio of their own: the calls wait for their results.
#pragma once

#include "tern/fwd.hpp"
#include "tern/messaging/blocking_client.hpp"
#include "tern/messaging/inbox_options.hpp"
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/request_options.hpp"
#include "tern/messaging/requester.hpp"
#include "tern/messaging/subscription_inbox.hpp"
#include "tern/messaging/subscription_message.hpp"
#include "tern/payload.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern {
namespace detail {

/// Objects that live in the thread of a blocking client. They are destroyed there.
template <class Client, class T>
class in_client_thread {
public:
    in_client_thread() = default;
    in_client_thread(Client& client, std::unique_ptr<T> object) noexcept
        : client_(&client)
        , object_(std::move(object)) {}
    in_client_thread(in_client_thread&&) noexcept = default;
    in_client_thread& operator=(in_client_thread&& other) noexcept {
        in_client_thread taken(std::move(other));
        std::swap(client_, taken.client_);
        object_.swap(taken.object_);
        return *this;
    }
    in_client_thread(const in_client_thread&) = delete;
    in_client_thread& operator=(const in_client_thread&) = delete;
    ~in_client_thread() {
        if (!object_) return;
        const auto destroy = [this](auto&) { object_.reset(); };
        (void)client_->call(destroy); // in the client's own thread it is an error: then the object ends here
    }

    Client& client() const noexcept { return *client_; }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_.get(); }
    explicit operator bool() const noexcept { return object_ != nullptr; }

private:
    Client* client_ = nullptr;
    std::unique_ptr<T> object_;
};

} // namespace detail

/// A subscription of a `basic_blocking_router`: a `subscription_inbox` whose functions wait. Any thread may call them.
/// Destroy it before the router and the client.
template <class Transport>
class basic_blocking_inbox {
    using client_type = basic_blocking_client<Transport>;
    using inbox_type = subscription_inbox<>;
    using milliseconds = std::chrono::milliseconds;

public:
    basic_blocking_inbox() = default;
    basic_blocking_inbox(client_type& of, inbox_type inbox)
        : inbox_(of, std::make_unique<inbox_type>(std::move(inbox))) {}

    std::string_view filter() const noexcept { return inbox_->filter(); }

    /// Waits for the next message, see `subscription_inbox::async_receive`. A call that ends by its time limit loses no
    /// message. In manual mode pass the message to `acknowledge`.
    call_result<subscription_message> receive(milliseconds timeout = {}) {
        return inbox_.client().template await<subscription_message>(
            timeout, [inbox = &*inbox_](auto&, auto handler) { inbox->async_receive(std::move(handler)); });
    }
    /// Acknowledges a message of an inbox in manual mode.
    void acknowledge(subscription_message& message) {
        (void)inbox_.client().call([&](auto&) { message.acknowledge(); });
    }

private:
    detail::in_client_thread<client_type, inbox_type> inbox_;
};

/// A `message_router` and a `requester` for a `basic_blocking_client`, whose functions wait for their results. Any
/// thread may call them. Destroy it before the client.
///
///     tern::blocking_router router{client};
///     auto temperatures = router.subscribe({.filter = "home/+/temperature"}, 5s);
///     if (!temperatures) return report(temperatures.error);
///     while (auto m = temperatures->receive(1min))
///         std::cout << m->levels[0] << ": " << m->payload << '\n';
template <class Transport>
class basic_blocking_router {
    using milliseconds = std::chrono::milliseconds;

public:
    using client_type = basic_blocking_client<Transport>;
    using inbox_type = basic_blocking_inbox<Transport>;

    explicit basic_blocking_router(client_type& of, const router_options& options = {}) {
        std::unique_ptr<objects> made;
        (void)of.call([&](auto& c) { made = std::make_unique<objects>(c, options); });
        objects_ = {of, std::move(made)};
    }

    /// Subscribes with an inbox, see `message_router::async_subscribe`.
    call_result<inbox_type> subscribe(const inbox_options& options, milliseconds timeout = {}) {
        auto made = objects_.client().template await<subscription_inbox<>>(
            timeout,
            [o = &*objects_, filter = std::string(options.filter), wanted = options](auto&, auto handler) mutable {
                wanted.filter = filter;
                o->router.async_subscribe(wanted, std::move(handler));
            });
        if (!made) return {made.error, {}};
        return {made.error, inbox_type(objects_.client(), std::move(*made))};
    }
    /// Publishes a request, and waits for the response or until the request's time limit, see
    /// `requester::async_request`. The properties of the options must live until then.
    call_result<subscription_message> request(std::string_view topic, payload_view payload,
                                              const request_options& options = {}) {
        return objects_.client().template await<subscription_message>(
            {}, [o = &*objects_, topic = std::string(topic), content = std::string(payload.text()), options](
                    auto&, auto handler) { o->requests.async_request(topic, content, options, std::move(handler)); });
    }
    /// Returns the counters of the router.
    call_result<router_counters> counters() {
        return objects_.client().call([o = &*objects_](auto&) { return o->router.counters(); });
    }

private:
    using router_type = message_router<typename client_type::client_type>;
    struct objects {
        objects(typename client_type::client_type& c, const router_options& options)
            : router(c, options)
            , requests(router) {}
        router_type router;
        requester<typename client_type::client_type> requests;
    };

    detail::in_client_thread<client_type, objects> objects_;
};

} // namespace tern
