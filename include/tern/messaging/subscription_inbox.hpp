// A subscription with an inbox of its own.
#pragma once

#include "tern/fwd.hpp"
#include "tern/messaging/detail/handler_queue.hpp"
#include "tern/messaging/detail/inbox_core.hpp"
#include "tern/messaging/inbox_options.hpp"
#include "tern/messaging/subscription_message.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern {

/// A subscription with an inbox of its own, made by `message_router::async_subscribe`.
///
/// It receives the messages that match its filter, whatever other subscriptions the client has. The client keeps the
/// subscription over lost connections and lost sessions. Destroying the object ends it: the client sends UNSUBSCRIBE if
/// no other object has the same filter, and on its next connection if it is in no run. Messages that are still in the
/// inbox are acknowledged and counted (`router_counters::released`), and operations that wait complete with
/// `asio::error::operation_aborted`. An object that outlives its router or its client receives nothing more. Moving it
/// moves its operations. A moved-from object can only be assigned to or destroyed.
///
/// The rules of the client for completion tokens, executors, threads and cancellation apply: a receive operation that
/// is cancelled before its handler is called leaves its message in the inbox.
///
///     for (;;) {
///         const tern::subscription_message m = co_await temperatures.async_receive(asio::use_awaitable);
///         std::cout << m.levels[0] << ": " << m.payload << '\n'; // kitchen: 21.5
///     }
template <class Executor>
class subscription_inbox {
    using core_type = detail::inbox_core<Executor>;
    using default_token = typename asio::default_completion_token<Executor>::type;

public:
    using executor_type = Executor;

    /// An object without a subscription. It can only be assigned to or destroyed.
    subscription_inbox() = default;
    explicit subscription_inbox(detail::inbox_ptr<Executor> core) noexcept : core_(std::move(core)) {}

    executor_type get_executor() const noexcept { return core_->pump().executor(); }
    std::string_view filter() const noexcept { return core_->filter(); }
    /// The number of messages in the inbox.
    std::size_t size() const noexcept { return core_->size(); }
    /// Whether the object has a subscription.
    explicit operator bool() const noexcept { return core_.get() != nullptr; }

    /// Waits for the next message.
    ///
    /// Completes with a message, in the order of arrival. Several pending operations complete in the order in which
    /// they were started. In automatic mode the message is acknowledged as soon as all inboxes that have it are done
    /// with it.
    ///
    /// Signature: `void(std::error_code, subscription_message)`.
    /// Errors: the cause of the end of the client's run, `errc::disconnected` after `async_disconnect`. An operation
    /// that is started after that waits for the next run. `asio::error::operation_aborted`.
    template <asio::completion_token_for<void(std::error_code, subscription_message)> Token = default_token>
    auto async_receive(Token&& token = Token()) {
        const auto begin = [core = core_.get()](detail::waiting_ptr<subscription_message> op) {
            core->receive(std::move(op));
        };
        return start<subscription_message, Token>(token, begin);
    }

    /// Waits for the next messages, and receives all that are available, up to the size of `into`, which must live
    /// until then. Completes with their number.
    ///
    /// Signature: `void(std::error_code, std::size_t)`.
    /// Errors: as above; `errc::invalid_argument` if `into` is empty.
    template <asio::completion_token_for<void(std::error_code, std::size_t)> Token = default_token>
    auto async_receive_some(std::span<subscription_message> into, Token&& token = Token()) {
        const auto begin = [core = core_.get(), into](detail::waiting_ptr<std::size_t> op) {
            core->receive_some(std::move(op), into);
        };
        return start<std::size_t, Token>(token, begin);
    }

    /// Takes the next message if there is one, without waiting.
    std::optional<subscription_message> try_receive() { return core_->try_receive(); }

    /// Sets a function that is called with each message, on the client's executor and in no function of the client. An
    /// empty function removes it. While receive operations wait, they get the messages.
    ///
    /// In automatic mode the message is acknowledged when the function returns, or throws. In manual mode it may keep
    /// the message. It may set another function, and destroy this object, the router and the client.
    ///
    ///     temperatures.set_callback([](const tern::subscription_message& m) { show(m.levels[0], m.payload); });
    void set_callback(std::function<void(subscription_message)> callback) { core_->set_callback(std::move(callback)); }

    /// Says how messages are acknowledged that are taken from now on: see `inbox_options::acknowledge`.
    void set_acknowledgement(acknowledgement_mode mode) noexcept { core_->set_mode(mode); }

    /// The core, for `responder` and others of this library.
    core_type* core() const noexcept { return core_.get(); }

private:
    // `Token` is the type that the public function deduced. An lvalue token is copied, not moved.
    template <class Result, class Token, class Begin>
    auto start(std::remove_reference_t<Token>& token, Begin begin) {
        return asio::async_initiate<Token, void(std::error_code, Result)>(
            detail::router_initiation<Executor, Result, Begin>{get_executor(), begin}, token);
    }

    detail::inbox_ptr<Executor> core_;
};

} // namespace tern
