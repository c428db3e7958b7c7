// The part of the shared client's interface that shows the client and sets the functions that it calls.
#pragma once

#include "tern/client/authentication_step.hpp"
#include "tern/client/connect_attempt.hpp"
#include "tern/client/log_level.hpp"
#include "tern/client/received_message.hpp"
#include "tern/message.hpp"
#include "tern/messaging/detail/shared_core.hpp"
#include "tern/messaging/detail/shared_initiation.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/connection_terms.hpp"
#include "tern/session/event.hpp"
#include "tern/session/subscription_state.hpp"

#include <asio/async_result.hpp>

#include <functional>
#include <memory>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern {

/// What a shared client shows, and the functions that it calls. It is the base of `basic_shared_client`, and is not
/// used by itself. The rules for threads and lifetimes of `basic_shared_client` apply.
///
/// The functions that the client calls run on its strand, and must not wait. Their arguments may go to another
/// thread: a message, an `authentication_step` and a `connect_attempt` may be answered and destroyed in any thread. An
/// answer takes effect when the strand is between two functions.
template <class Transport, class Executor>
class shared_controls {
    using core_type = detail::shared_core<Transport, Executor>;
    using owner = detail::shared_owner<core_type>;
    using default_token = typename asio::default_completion_token<Executor>::type;

public:
    /// The client on the strand, which `async_call` passes to a function.
    using client_type = typename core_type::client_type;

    /// The executor of handlers that have none.
    Executor get_executor() const noexcept { return core().get_default_executor(); }

    /// The strand of the client, on which the functions run that it calls.
    typename client_type::executor_type get_strand() const noexcept { return core().get_executor(); }

    // ---- what the client shows

    /// Completes with the counters of the client. Messages that wait in the queue of the calls count as queued.
    ///
    /// Signature: `void(std::error_code, counters)`.
    template <detail::token_of<tern::counters> Token = default_token>
    auto async_counters(Token&& token = Token()) {
        return detail::read_shared<tern::counters>(core(), token, [](core_type& c) { return c.counters(); });
    }
    /// Completes with the terms of the present connection, or of the last one, as `basic_client::connection`.
    ///
    /// Signature: `void(std::error_code, connection_terms)`.
    template <detail::token_of<connection_terms> Token = default_token>
    auto async_connection(Token&& token = Token()) {
        return detail::read_shared<connection_terms>(core(), token,
                                                     [](core_type& c) { return c.client().connection(); });
    }
    /// Completes with each topic filter, what is wanted and what the broker has granted, as
    /// `basic_client::subscriptions`.
    ///
    /// Signature: `void(std::error_code, std::vector<subscription_state>)`.
    template <detail::token_of<std::vector<subscription_state>> Token = default_token>
    auto async_subscriptions(Token&& token = Token()) {
        return detail::read_shared<std::vector<subscription_state>>(
            core(), token, [](core_type& c) { return c.client().subscriptions(); });
    }

    /// Calls a function with the client, on its strand, after the calls before it, and completes with its result. So
    /// everything of `basic_client` can be used. The function must not wait, nor destroy the client.
    ///
    /// Signature: `void(std::error_code, result)`, or `void(std::error_code)` if the function returns nothing.
    /// Errors: only `asio::error::operation_aborted`. An exception of the function propagates out of the executor's
    /// `run`, and the handler is not called.
    ///
    ///     client.async_call([](auto& c) { c.transport().set_options(options); }, asio::detached);
    template <class F, detail::token_of_call<std::decay_t<F>, core_type> Token = default_token>
    auto async_call(F&& f, Token&& token = Token()) {
        using call = detail::shared_call<core_type, std::decay_t<F>>;
        return asio::async_initiate<Token, typename call::signature>(typename call::initiation{&core()}, token,
                                                                     std::forward<F>(f));
    }

    /// Starts an operation with the client, on its strand, after the calls before it: `initiate(client, handler)` with
    /// a handler `void(std::error_code, Result)`. Completes with its result, as the other operations do: the handler's
    /// own executor and cancellation slot are used. So any thread can use the operations of `message_router` and other
    /// objects on the strand. `initiate` must not wait, nor throw another exception than `std::bad_alloc`.
    ///
    /// Signature: `void(std::error_code, Result)`.
    ///
    ///     client.async_start<tern::acknowledgement>(
    ///         [](auto& c, auto handler) { c.async_publish({.topic = "t"}, std::move(handler)); }, asio::use_future);
    template <class Result, class Initiate, detail::token_of<Result> Token = default_token>
    auto async_start(Initiate initiate, Token&& token = Token()) {
        return detail::begin_shared<Result>(core(), token, std::move(initiate));
    }

    // ---- functions that the client calls

    /// Sets a function that the client calls before each attempt to connect, as `basic_client::set_before_connect`. It
    /// runs on the strand. The attempt may proceed in any thread.
    void set_before_connect(std::function<void(connect_attempt)> hook) {
        detail::call_shared(
            core(), [f = std::move(hook)](core_type& c) mutable { c.client().set_before_connect(std::move(f)); });
    }
    /// Sets a function that the client calls for each step of an authentication, as `basic_client::set_authenticator`.
    /// It runs on the strand. The step may be answered in any thread.
    void set_authenticator(std::function<void(authentication_step)> authenticator) {
        detail::call_shared(core(), [f = std::move(authenticator)](core_type& c) mutable {
            c.client().set_authenticator(std::move(f));
        });
    }
    /// Sets a function that the client calls with a line of text for each connection event, as `basic_client::set_log`.
    /// It runs on the strand.
    void set_log(log_level minimum, std::function<void(log_level, std::string_view)> function) {
        detail::call_shared(core(), [minimum, f = std::move(function)](core_type& c) mutable {
            c.client().set_log(minimum, std::move(f));
        });
    }
    /// Sets a function that is called on the strand with each message of `try_publish` that was queued, and that the
    /// client then refused. An empty function removes it.
    ///
    ///     client.set_refusal_callback([](std::error_code error, const tern::message_view& m) {
    ///         fmt::print(stderr, "{}: {}\n", m.topic, error.message());
    ///     });
    void set_refusal_callback(std::function<void(std::error_code, const message_view&)> callback) {
        detail::call_shared(core(),
                            [f = std::move(callback)](core_type& c) mutable { c.set_refusal_callback(std::move(f)); });
    }

    // ---- received messages

    /// Sets a function that the client calls with each received message, as `basic_client::set_message_callback`. It
    /// runs on the strand, and no message, handler or write follows until it returns.
    void set_message_callback(std::function<void(const received&)> callback) {
        detail::call_shared(
            core(), [f = std::move(callback)](core_type& c) mutable { c.client().set_message_callback(std::move(f)); });
    }
    /// Copies the message, so that it outlives the call of the message callback. Call this only in a message callback.
    received_message keep(const received& message) { return core().client().keep(message); }
    /// Acknowledges the message with the given token, in manual mode. Call this in a message callback or later, in any
    /// thread.
    void acknowledge(message_token token) {
        detail::call_shared(core(), [token](core_type& c) { c.client().acknowledge(token); });
    }
    /// Refuses the message with the given token, as `basic_client::reject`. Call this in a message callback or later,
    /// in any thread. In automatic mode only a message callback may call it, for its message.
    ///
    /// Returns the reason if the message cannot be refused, see `received_message::reject`. As that function, it has no
    /// place in the order of the calls: it takes effect before it returns. In another thread than the strand it waits
    /// until the function that runs there returns.
    std::error_code reject(message_token token, reason_code code, const ack_properties& properties = {}) {
        return core().client().reject(token, code, properties);
    }

protected:
    explicit shared_controls(const Executor& executor)
        : owner_(std::make_shared<owner>(std::make_shared<core_type>(executor))) {}
    shared_controls(const shared_controls&) = default;
    shared_controls(shared_controls&&) noexcept = default;
    shared_controls& operator=(const shared_controls&) = default;
    shared_controls& operator=(shared_controls&&) noexcept = default;
    ~shared_controls() = default;

    core_type& core() const noexcept { return *owner_->core; }

private:
    std::shared_ptr<owner> owner_;
};

} // namespace tern
