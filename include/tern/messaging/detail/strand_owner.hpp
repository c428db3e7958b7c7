// Objects on the strand of a shared client that handles in any thread own: a router, and an inbox.
//
// They are used and destroyed on the strand alone. Each keeps a handle of the client, so that the client lives longer.
#pragma once

#include "tern/messaging/inbox_options.hpp"
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/requester.hpp"
#include "tern/messaging/subscription_inbox.hpp"

#include <asio/cancellation_signal.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>

#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>

namespace tern::detail {

/// Owns an object that is destroyed on the strand: at once if the last handle is destroyed there.
template <class Shared, class T>
class strand_owner {
public:
    strand_owner(const Shared& of, std::unique_ptr<T> owned) : client_(of), object_(std::move(owned)) {}
    strand_owner(const strand_owner&) = delete;
    strand_owner& operator=(const strand_owner&) = delete;
    ~strand_owner() {
        try {
            asio::dispatch(client_.get_strand(), [released = std::move(object_)]() mutable { released.reset(); });
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): this thread has destroyed it
        }
    }

    const Shared& client() const noexcept { return client_; }
    T& object() noexcept { return *object_; }
    void set(std::unique_ptr<T> owned) noexcept { object_ = std::move(owned); }
    bool is_empty() const noexcept { return !object_; }

private:
    Shared client_;
    std::unique_ptr<T> object_;
};

/// A router and a requester.
template <class Client>
struct routing_objects {
    routing_objects(Client& c, const router_options& options) : router(c, options), requests(router) {}

    message_router<Client> router;
    requester<Client> requests;
};

/// The router of a shared client. It is made on the strand.
template <class Shared>
class strand_routing {
    using client_type = typename Shared::client_type;
    using objects_type = routing_objects<client_type>;

public:
    strand_routing(const Shared& of, const router_options& options) : owner_(of, nullptr), options_(options) {}

    const Shared& client() const noexcept { return owner_.client(); }
    /// Makes the objects, unless there are some. On the strand.
    objects_type& objects(client_type& c) {
        if (owner_.is_empty()) owner_.set(std::make_unique<objects_type>(c, options_));
        return owner_.object();
    }
    /// The same. If memory is out, the first operation tries again.
    void prepare(client_type& c) noexcept {
        try {
            (void)objects(c);
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): see above
        }
    }

private:
    strand_owner<Shared, objects_type> owner_;
    router_options options_;
};

/// An inbox, and the router that it keeps.
template <class Shared>
struct strand_inbox {
    using inbox_type = subscription_inbox<typename Shared::client_type::executor_type>;

    strand_inbox(std::shared_ptr<strand_routing<Shared>> of, inbox_type subscribed)
        : routing(std::move(of))
        , filter(subscribed.filter())
        , inbox(routing->client(), std::make_unique<inbox_type>(std::move(subscribed))) {}

    std::shared_ptr<strand_routing<Shared>> routing;
    std::string filter;
    strand_owner<Shared, inbox_type> inbox;
};

/// The handler of the router's subscribe operation: passes the inbox on as a handle. It keeps neither the router nor
/// the client while it waits.
template <class Inbox, class Shared, class Handler>
class strand_subscribed {
    using state = strand_inbox<Shared>;

public:
    using cancellation_slot_type = asio::cancellation_slot;

    strand_subscribed(std::weak_ptr<strand_routing<Shared>> routing, Handler handler)
        : routing_(std::move(routing))
        , handler_(std::move(handler)) {}

    cancellation_slot_type get_cancellation_slot() const noexcept { return handler_.get_cancellation_slot(); }
    void operator()(std::error_code error, typename state::inbox_type inbox) {
        Inbox made;
        try {
            const auto routing = routing_.lock();
            if (!error && !routing) error = asio::error::operation_aborted;
            if (!error) made = Inbox(std::make_shared<state>(routing, std::move(inbox)));
        } catch (const std::bad_alloc&) {
            error = std::make_error_code(std::errc::not_enough_memory);
        }
        handler_(error, std::move(made));
    }

private:
    std::weak_ptr<strand_routing<Shared>> routing_;
    Handler handler_;
};

/// Completes an operation whose object no longer exists.
template <class Result, class Executor, class Handler>
void abort_on_strand(const Executor& strand, Handler handler) {
    asio::post(strand, [h = std::move(handler)]() mutable { h(asio::error::operation_aborted, Result()); });
}

} // namespace tern::detail
