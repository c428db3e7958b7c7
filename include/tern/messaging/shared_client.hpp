// A client that any thread may call: a handle, whose copies use the same client.
#pragma once

#include "tern/client/client.hpp"
#include "tern/client/event_position.hpp"
#include "tern/client/received_message.hpp"
#include "tern/error.hpp"
#include "tern/fwd.hpp"
#include "tern/message.hpp"
#include "tern/messaging/detail/shared_core.hpp"
#include "tern/messaging/detail/shared_initiation.hpp"
#include "tern/messaging/detail/shared_operation.hpp"
#include "tern/messaging/detail/shared_starts.hpp"
#include "tern/messaging/shared_controls.hpp"
#include "tern/payload.hpp"
#include "tern/session/event.hpp"
#include "tern/session/filter_list.hpp"
#include "tern/session/options.hpp"
#include "tern/session/owned_connect_options.hpp"
#include "tern/session/subscription_list.hpp"
#include "tern/topic.hpp"

#include <asio/async_result.hpp>

#include <chrono>
#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern {

/// A client that any thread may call at any time, also while handlers of it run in other threads.
///
/// It is a handle: its copies use the same `basic_client`, which runs on a strand of the given executor, so any number
/// of threads may run the context. The functions are those of `basic_client`, whose documentation says when they
/// complete, with which errors, and what happens to messages. The differences are:
///
/// **Calls** only copy what they are given and return: they never wait for the network or for a handler. What is passed
/// by view is copied when the operation is started. Calls take effect in their order: those of one thread, and those of
/// two threads if one call has ended before the other begins.
///
/// **Handlers** run on their associated executors. Without one, a handler runs on `get_executor()`, so that several
/// may run at the same time if several threads run the context. No lock and no strand is held meanwhile: a handler may
/// call any function, wait for another thread that does, and destroy the last handle. The functions that are not
/// handlers run on the strand, and must not wait: those of `async_call` and of the functions `set_…`, which are
/// documented with the base `shared_controls`.
///
/// **Publishing** is fast from many threads: messages are appended to a queue, which the strand takes over once for all
/// messages that were published meanwhile. The limits of `connect_options::queue`, or its defaults before the first
/// connect, apply to this queue and to the client's together.
///
/// **Cancellation.** The cancellation slot of a handler works in the thread of the handler's executor. A receive
/// operation that is cancelled before its handler is called loses no message: another receive operation gets it.
///
/// **Lifetime.** Any thread may destroy or assign a handle, also in a handler. When the last one is destroyed, the
/// client is destroyed on its strand, and all operations complete with `operation_aborted`. Until then the functions
/// that run on the strand may still be called. Destroy all handles before the execution context. A moved-from handle
/// can only be assigned to or destroyed. One handle object, as any object, must not be destroyed while another thread
/// uses the same object: give each thread a copy.
///
///     tern::shared_client client{pool.get_executor()};
///     client.async_connect({.host = "localhost", .client_id = "sensor-1"}, asio::use_future).get();
///     std::thread producer([client]() mutable {
///         if (auto error = client.try_publish({.topic = "home/temperature", .payload = "21.5"})) report(error);
///     });
template <class Transport, class Executor>
class basic_shared_client : public shared_controls<Transport, Executor> {
    static_assert(detail::standalone<Executor>::value);
    using core_type = detail::shared_core<Transport, Executor>;
    using controls = shared_controls<Transport, Executor>;
    using default_token = typename asio::default_completion_token<Executor>::type;

public:
    using executor_type = Executor;
    /// The client on the strand, which `async_call` passes to a function.
    using client_type = typename core_type::client_type;

    template <class Other>
    struct rebind_executor {
        using other = basic_shared_client<Transport, Other>;
    };

    /// Constructs a client that is not connected.
    explicit basic_shared_client(const Executor& executor) : controls(executor) {}

    /// Constructs a client on the executor of a context, such as an `asio::thread_pool`.
    template <class Context>
        requires std::is_convertible_v<Context&, asio::execution_context&>
    explicit basic_shared_client(Context& context) : basic_shared_client(Executor(context.get_executor())) {}

    /// Refuses a context or an executor of Boost.Asio.
    template <class Foreign>
        requires(detail::is_of_boost_asio<std::remove_cvref_t<Foreign>>())
    explicit basic_shared_client(Foreign&&) {
        static_assert(detail::standalone<std::remove_cvref_t<Foreign>>::value);
    }

    // ---- connections

    /// Connects, and reconnects, as `basic_client::async_connect`.
    ///
    /// Signature: `void(std::error_code, connect_result)`.
    template <detail::token_of<connect_result> Token = default_token>
    auto async_connect(const connect_options& options, Token&& token = Token()) {
        return start<detail::start_connect, connect_result>(token, options);
    }
    /// The same with options that are kept until the operation starts, for completion tokens that start it later.
    template <detail::token_of<connect_result> Token = default_token>
    auto async_connect(owned_connect_options options, Token&& token = Token()) {
        return start<detail::start_connect, connect_result>(token, std::move(options));
    }

    /// Sends DISCONNECT after everything that was published before, and ends the run, as
    /// `basic_client::async_disconnect`.
    ///
    /// Signature: `void(std::error_code)`.
    template <detail::token_of<> Token = default_token>
    auto async_disconnect(Token&& token = Token()) {
        return async_disconnect(disconnect{}, std::forward<Token>(token));
    }
    template <detail::token_of<> Token = default_token>
    auto async_disconnect(const disconnect& packet, Token&& token = Token()) {
        return start<detail::start_disconnect>(token, packet);
    }

    /// Waits for the next connection event, as `basic_client::async_next_event`.
    ///
    /// Signature: `void(std::error_code, connection_event)`.
    template <detail::token_of<connection_event> Token = default_token>
    auto async_next_event(Token&& token = Token()) {
        return begin<connection_event>(token,
                                       [](client_type& c, auto handler) { c.async_next_event(std::move(handler)); });
    }
    /// Waits for the event that follows a listener's position, and advances the position just before it calls the
    /// handler, in the thread of the handler. One operation at a time may use a position. A cancelled one loses no
    /// event.
    template <detail::token_of<connection_event> Token = default_token>
    auto async_next_event(event_position& position, Token&& token = Token()) {
        return start<detail::start_next_event, connection_event>(token, &position);
    }

    /// Waits for the end of the run, as `basic_client::async_wait_stopped`. Signature: `void(std::error_code)`.
    template <detail::token_of<> Token = default_token>
    auto async_wait_stopped(Token&& token = Token()) {
        return begin<>(token, [](client_type& c, auto handler) { c.async_wait_stopped(std::move(handler)); });
    }

    /// Sends PINGREQ, as `basic_client::async_ping`. Signature: `void(std::error_code)`.
    template <detail::token_of<> Token = default_token>
    auto async_ping(Token&& token = Token()) {
        return begin<>(token, [](client_type& c, auto handler) { c.async_ping(std::move(handler)); });
    }

    /// Authenticates again on this connection, as `basic_client::async_reauthenticate`.
    /// Signature: `void(std::error_code)`.
    template <detail::token_of<> Token = default_token>
    auto async_reauthenticate(Token&& token = Token()) {
        return begin<>(token, [](client_type& c, auto handler) { c.async_reauthenticate(std::move(handler)); });
    }

    /// Ends the run immediately, as `basic_client::cancel`, after the calls before it. All operations complete.
    void cancel() {
        detail::call_shared(core(), [](core_type& c) { c.client().cancel(); });
    }

    // ---- publishing

    /// Publishes a message, as `basic_client::async_publish`.
    ///
    /// Signature: `void(std::error_code, acknowledgement)`.
    /// Errors: also `errc::queue_full` if too many messages wait in the queue of the calls.
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_publish(const message_view& message, Token&& token = Token()) {
        static constexpr publish_options defaults{};
        return async_publish(message, defaults, std::forward<Token>(token));
    }
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_publish(const message_view& message, const publish_options& options, Token&& token = Token()) {
        return asio::async_initiate<Token, void(std::error_code, acknowledgement)>(publish_initiation{&core()}, token,
                                                                                   message, options);
    }
    /// Publishes a payload, which is text or bytes, with QoS 0 or another one.
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_publish(std::string_view topic, payload_view payload, Token&& token = Token()) {
        return async_publish(topic, payload, qos::at_most_once, std::forward<Token>(token));
    }
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_publish(std::string_view topic, payload_view payload, qos level, Token&& token = Token()) {
        return async_publish(message_view{.topic = topic, .payload = payload.text(), .qos = level},
                             std::forward<Token>(token));
    }

    /// Publishes a message that owns its contents. It is kept until the operation starts.
    template <detail::owning_message Message, detail::token_of<acknowledgement> Token = default_token>
    auto async_publish(Message&& message, Token&& token = Token()) {
        return async_publish(std::forward<Message>(message), publish_options{}, std::forward<Token>(token));
    }
    template <detail::owning_message Message, detail::token_of<acknowledgement> Token = default_token>
    auto async_publish(Message&& message, const publish_options& options, Token&& token = Token()) {
        return asio::async_initiate<Token, void(std::error_code, acknowledgement)>(
            publish_initiation{&core()}, token, std::forward<Message>(message), options);
    }

    /// Publishes a message without reporting its outcome, as `basic_client::try_publish`. This is the fastest way.
    ///
    /// Returns no error if the message was queued, or the reason for a refusal: an invalid topic or QoS, or
    /// `errc::queue_full`. A refusal that only the client on the strand can decide, such as a limit of the broker, is
    /// reported by `set_refusal_callback`, and counted in `counters::messages_dropped`.
    [[nodiscard]] std::error_code try_publish(const message_view& message, const publish_options& options = {}) {
        if (const errc error = detail::check_queued(message); error != errc::none) [[unlikely]]
            return misuse(error);
        if (!detail::is_unset(message.properties)) [[unlikely]]
            return detail::try_publish_owned(core(), message, options);
        return core().try_publish(message, options);
    }
    template <detail::owning_message Message>
    [[nodiscard]] std::error_code try_publish(const Message& message, const publish_options& options = {}) {
        return try_publish(message.view(), options);
    }
    [[nodiscard]] std::error_code try_publish(std::string_view topic, payload_view payload,
                                              qos level = qos::at_most_once) {
        return try_publish(message_view{.topic = topic, .payload = payload.text(), .qos = level});
    }

    /// Waits until every message that was published before has completed, as `basic_client::async_drain`.
    /// Signature: `void(std::error_code)`.
    template <detail::token_of<> Token = default_token>
    auto async_drain(std::chrono::milliseconds timeout, Token&& token = Token()) {
        return begin<>(token, [timeout](client_type& c, auto handler) { c.async_drain(timeout, std::move(handler)); });
    }

    // ---- subscriptions

    /// Subscribes to one topic filter, as `basic_client::async_subscribe`.
    ///
    /// Signature: `void(std::error_code, acknowledgement)`.
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_subscribe(const subscription& one, Token&& token = Token()) {
        return async_subscribe(one, subscribe_options{}, std::forward<Token>(token));
    }
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_subscribe(const subscription& one, const subscribe_options& options, Token&& token = Token()) {
        return start<detail::start_subscribe, acknowledgement>(token, one, options);
    }
    template <detail::filter_text Filter, detail::token_of<acknowledgement> Token = default_token>
    auto async_subscribe(const Filter& filter, Token&& token = Token()) {
        return async_subscribe(subscription{.filter = filter}, std::forward<Token>(token));
    }
    template <detail::filter_text Filter, detail::token_of<acknowledgement> Token = default_token>
    auto async_subscribe(const Filter& filter, qos max_qos, Token&& token = Token()) {
        return async_subscribe(subscription{.filter = filter, .max_qos = max_qos}, std::forward<Token>(token));
    }

    /// Subscribes to several topic filters with one packet.
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_subscribe(std::span<const subscription> several, Token&& token = Token()) {
        return async_subscribe(several, subscribe_options{}, std::forward<Token>(token));
    }
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_subscribe(std::span<const subscription> several, const subscribe_options& options,
                         Token&& token = Token()) {
        return start<detail::start_subscribe, acknowledgement>(token, several, options);
    }
    /// The same with a list that is kept until the operation starts, for completion tokens that start it later.
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_subscribe(subscription_list list, Token&& token = Token()) {
        return async_subscribe(std::move(list), subscribe_options{}, std::forward<Token>(token));
    }
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_subscribe(subscription_list list, const subscribe_options& options, Token&& token = Token()) {
        return start<detail::start_subscribe, acknowledgement>(token, std::move(list), options);
    }

    /// Ends the subscription to one topic filter, as `basic_client::async_unsubscribe`.
    ///
    /// Signature: `void(std::error_code, acknowledgement)`.
    template <detail::filter_text Filter, detail::token_of<acknowledgement> Token = default_token>
    auto async_unsubscribe(const Filter& filter, Token&& token = Token()) {
        return async_unsubscribe(filter, unsubscribe_options{}, std::forward<Token>(token));
    }
    template <detail::filter_text Filter, detail::token_of<acknowledgement> Token = default_token>
    auto async_unsubscribe(const Filter& filter, const unsubscribe_options& options, Token&& token = Token()) {
        return start<detail::start_unsubscribe, acknowledgement>(token, std::string_view(filter), options);
    }

    /// Ends the subscriptions to several topic filters with one packet.
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_unsubscribe(std::span<const std::string_view> several, Token&& token = Token()) {
        return async_unsubscribe(several, unsubscribe_options{}, std::forward<Token>(token));
    }
    template <detail::token_of<acknowledgement> Token = default_token>
    auto async_unsubscribe(std::span<const std::string_view> several, const unsubscribe_options& options,
                           Token&& token = Token()) {
        return start<detail::start_unsubscribe, acknowledgement>(token, several, options);
    }

    /// The same with a list that is kept until the operation starts, for completion tokens that start it later.
    template <detail::argument_of<filter_list> List, detail::token_of<acknowledgement> Token = default_token>
    auto async_unsubscribe(List&& list, Token&& token = Token()) {
        return async_unsubscribe(std::forward<List>(list), unsubscribe_options{}, std::forward<Token>(token));
    }
    template <detail::argument_of<filter_list> List, detail::token_of<acknowledgement> Token = default_token>
    auto async_unsubscribe(List&& list, const unsubscribe_options& options, Token&& token = Token()) {
        return start<detail::start_unsubscribe, acknowledgement>(token, std::forward<List>(list), options);
    }

    // ---- receiving

    /// Waits for the next message, as `basic_client::async_receive`. Each message goes to one operation.
    ///
    /// In manual mode any thread may call `received_message::acknowledge` and `received_message::reject`.
    ///
    /// Signature: `void(std::error_code, received_message)`.
    template <detail::token_of<received_message> Token = default_token>
    auto async_receive(Token&& token = Token()) {
        return start<detail::start_receive<core_type, received_message>, received_message>(token);
    }

    /// Waits for the next messages, up to the size of `into`, as `basic_client::async_receive_some`. `into` must live
    /// until the handler is called, and must not be used until then.
    ///
    /// Signature: `void(std::error_code, std::size_t)`.
    template <detail::token_of<std::size_t> Token = default_token>
    auto async_receive_some(std::span<received_message> into, Token&& token = Token()) {
        return start<detail::start_receive<core_type, std::size_t>, std::size_t>(token, into);
    }

private:
    using controls::core;
    using publish_initiation = detail::shared_publish_initiation<core_type>;

    // Starts an operation when the completion token requests it: `Start` is made from copies of the arguments.
    template <class Start, class... Result, class Token, class... Argument>
    auto start(Token& token, Argument&&... arguments) {
        return detail::start_shared<Start, Result...>(core(), token, std::forward<Argument>(arguments)...);
    }
    template <class... Result, class Token, class F>
    auto begin(Token& token, F f) {
        return detail::begin_shared<Result...>(core(), token, std::move(f));
    }
};

} // namespace tern
