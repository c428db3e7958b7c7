// The client: what an application uses.
#pragma once

#include "tern/client/connect_result.hpp"
#include "tern/client/detail/engine.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/tcp.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>

#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern {
namespace detail {

// Tells a completion token from an argument after which the token was left out.
template <class T, class Argument>
concept other_than = !std::is_same_v<std::remove_cvref_t<T>, Argument>;

} // namespace detail

/// An MQTT client, for 3.1.1 and 5.0.
///
/// It is an I/O object as Asio's are: operations are started by functions that begin with `async_`, take any
/// completion token, and complete on the handler's associated executor, never inside the call that started
/// them. The last parameter may be left out if the executor has a default completion token.
///
/// **Lifetimes.** Everything passed by view must live until the operation has been started: for callbacks,
/// futures and a directly awaited operation that is the call itself. Results own what they hold. A client
/// that was moved from can only be assigned to or destroyed; pending operations go with the client.
///
/// **Errors** are `std::error_code`s: `usage_category()` (an `errc`; the request was refused and nothing was
/// sent), `protocol_category()` (an `errc`; the broker broke a rule or fell silent), `refusal_category()` (a
/// `reason_code` of the broker), and those of the transport. When the connection ends, whatever was
/// unfinished completes with the reason why.
///
/// **Cancellation.** Each operation can be cancelled by itself through its handler's cancellation slot, with
/// any type of cancellation, and then completes with `asio::error::operation_aborted`. What was handed to the
/// session is still sent and acknowledged; other operations and the connection are not affected, but for
/// `async_connect`, which gives up connecting: its handler can connect again. Destroying the client closes
/// the connection without DISCONNECT, so that the broker publishes the will, and completes everything with
/// `operation_aborted`.
///
/// **Threads.** Distinct clients are independent. One client must be used from one thread at a time, its
/// executor's: give it a strand if the context runs in several threads.
///
///     using asio::use_awaitable;
///     tern::client client{co_await asio::this_coro::executor};
///     co_await client.async_connect({.host = "localhost", .client_id = "sensor-1"}, use_awaitable);
///     co_await client.async_publish({.topic = "home/temperature", .payload = "21.5"}, use_awaitable);
///     co_await client.async_disconnect(use_awaitable);
///
/// `Transport` is a template that is rebound to `Executor`, see the concept `transport`.
template <class Transport, class Executor = asio::any_io_executor>
class basic_client {
public:
    using executor_type = Executor;
    using transport_type = typename Transport::template rebind_executor<Executor>::other;

    /// The same client with another executor, as Asio's `as_default_on` wants it.
    template <class Other>
    struct rebind_executor {
        using other = basic_client<Transport, Other>;
    };

    /// A client that is not connected.
    explicit basic_client(const Executor& executor) : basic_client(transport_type(executor)) {}

    /// The same on the executor of a context, such as an `asio::io_context`.
    template <class Context>
        requires std::is_convertible_v<Context&, asio::execution_context&>
    explicit basic_client(Context& context) : basic_client(Executor(context.get_executor())) {}

    /// The same with a transport of its own.
    explicit basic_client(transport_type transport)
        : engine_(std::make_shared<engine_type>(std::move(transport))) {}

    basic_client(basic_client&&) noexcept = default;
    basic_client& operator=(basic_client&& other) noexcept {
        basic_client taken(std::move(other));
        engine_.swap(taken.engine_);
        return *this;
    }
    basic_client(const basic_client&) = delete;
    basic_client& operator=(const basic_client&) = delete;
    ~basic_client() {
        if (engine_) engine_->shut_down();
    }

    executor_type get_executor() const noexcept { return engine_->get_executor(); }

    /// The transport, to set its options.
    transport_type& transport() noexcept { return engine_->transport_layer(); }

    /// Whether the broker has accepted the connection and it has not ended.
    bool is_connected() const noexcept { return engine_->is_connected(); }

    /// Connects to a broker [§3.1].
    ///
    /// Completes when CONNACK has come. A refusal completes with its `reason_code` as the error (3.1.1's
    /// return codes 1 to 5 under their 5.0 names) and with the packet. After an error the client can be used
    /// again.
    ///
    /// Precondition: not connected, otherwise `errc::already_connected`.
    /// Signature: `void(std::error_code, connect_result)`.
    /// Errors: `errc` for options that the standard forbids; `errc::connect_timeout` after
    /// `options.connect_timeout`; errors of the resolver and the transport; `errc` for what the broker did
    /// wrong.
    ///
    ///     auto ack = co_await client.async_connect(
    ///         {.host = "localhost", .client_id = "sensor-1",
    ///          .will = tern::message_view{.topic = "sensor-1/state", .payload = "gone", .retain = true}},
    ///         asio::use_awaitable);
    ///     if (!ack.session_present) { /* subscribe */ }
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_connect(const connect_options& options, Token&& token = Token()) {
        return start<&engine_type::connect, Token, connect_result>(token, options);
    }

    /// Publishes a message [§3.3].
    ///
    /// Completes: QoS 0 when the message was handed to the operating system, QoS 1 with PUBACK, QoS 2 with
    /// PUBCOMP. An acknowledgement that refuses the message completes with its `reason_code` as the error.
    /// Messages of one QoS are sent in the order of the calls; all that are published in one turn of the
    /// executor leave in one write. QoS 1 and 2 wait while the broker's Receive Maximum is reached.
    ///
    /// Precondition: connected, otherwise `errc::not_connected`. The topic is a topic name without wildcards.
    /// Signature: `void(std::error_code, acknowledgement)`.
    /// Errors: `errc` for a message that the standard or the broker's limits forbid, before anything is sent;
    /// `reason_code`; why the connection ended: then nothing is known of the message.
    ///
    ///     co_await client.async_publish({.topic = "home/kitchen/temperature", .payload = "21.5",
    ///                                    .qos = tern::qos::at_least_once, .retain = true},
    ///                                   asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_publish(const message_view& message, Token&& token = Token()) {
        return start<&engine_type::publish, Token, acknowledgement>(token, message);
    }

    /// Publishes a message without telling what becomes of it: `async_publish` with nobody waiting.
    ///
    /// Returns why the message was refused, or no error if it was queued to be sent. What is queued takes
    /// memory until the broker takes it. Whoever disconnects right after it does not know whether a QoS 1 or
    /// 2 message has left, see `async_disconnect`.
    [[nodiscard]] std::error_code try_publish(const message_view& message) {
        return engine_->try_publish(message);
    }

    /// Subscribes to one topic filter [§3.8].
    ///
    /// Completes with SUBACK: `reason_code` is the granted QoS or, as the error too, the refusal.
    ///
    /// Precondition: connected, otherwise `errc::not_connected`.
    /// Signature: `void(std::error_code, acknowledgement)`.
    /// Errors: `errc` for a filter or options that the standard or the broker's limits forbid; `reason_code`;
    /// why the connection ended.
    ///
    ///     co_await client.async_subscribe({.filter = "home/+", .max_qos = tern::qos::exactly_once},
    ///                                     asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_subscribe(const subscription& one, Token&& token = Token()) {
        return start<&engine_type::subscribe_one, Token, acknowledgement>(token, one);
    }

    /// Subscribes to several topic filters with one packet, and with properties in 5.0.
    ///
    /// `reason_codes` of the result has one code per filter, in their order. If any filter was refused the
    /// first refusal is the error; the others are subscribed all the same.
    ///
    ///     const std::array<tern::subscription, 2> filters{{{.filter = "a/#"}, {.filter = "b/+"}}};
    ///     auto ack = co_await client.async_subscribe(filters, asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
        requires detail::other_than<Token, subscribe_properties>
    auto async_subscribe(std::span<const subscription> several, Token&& token = Token()) {
        return async_subscribe(several, subscribe_properties{}, std::forward<Token>(token));
    }
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_subscribe(std::span<const subscription> several, const subscribe_properties& properties,
                         Token&& token = Token()) {
        return start<&engine_type::subscribe, Token, acknowledgement>(token, several, properties);
    }

    /// Ends the subscription to one topic filter [§3.10].
    ///
    /// Completes with UNSUBACK. Messages on their way still come.
    ///
    /// Precondition, signature and errors: as `async_subscribe`.
    ///
    ///     co_await client.async_unsubscribe("home/+/temperature", asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_unsubscribe(std::string_view filter, Token&& token = Token()) {
        return start<&engine_type::unsubscribe_one, Token, acknowledgement>(token, filter);
    }

    /// A braced list of two literals would be taken for the two ends of one string: use a named array.
    template <class Token>
    void async_unsubscribe(std::initializer_list<std::string_view>, Token&&) = delete;

    /// Ends the subscriptions to several topic filters with one packet, and with properties in 5.0.
    template <class Token = typename asio::default_completion_token<Executor>::type>
        requires detail::other_than<Token, unsubscribe_properties>
    auto async_unsubscribe(std::span<const std::string_view> several, Token&& token = Token()) {
        return async_unsubscribe(several, unsubscribe_properties{}, std::forward<Token>(token));
    }
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_unsubscribe(std::span<const std::string_view> several,
                           const unsubscribe_properties& properties, Token&& token = Token()) {
        return start<&engine_type::unsubscribe, Token, acknowledgement>(token, several, properties);
    }

    /// Waits for the next message.
    ///
    /// Completes with a message in the order of their coming; several waiting operations are served in their
    /// order. When the application gets a QoS 1 or 2 message it is acknowledged. Messages that nobody waits
    /// for are kept, `options.inbox_limit` of them; then the client stops reading until one is taken, and
    /// what the broker has sent behind them, acknowledgements too, waits with it. Messages that are left when
    /// the connection has ended can still be taken.
    ///
    /// Precondition: connected or connecting, or messages are left; otherwise `errc::not_connected`.
    /// Signature: `void(std::error_code, message)`.
    /// Errors: why the connection ended, also to the first that asks after the end; `errc::disconnected` after
    /// `async_disconnect`.
    ///
    ///     tern::message m = co_await client.async_receive(asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_receive(Token&& token = Token()) {
        return start<&engine_type::receive, Token, message>(token);
    }

    /// Takes the next message if there is one; as `async_receive`, without waiting.
    std::optional<message> try_receive() { return engine_->try_receive(); }

    /// Sends PINGREQ [§3.12]; the client does so by itself to keep the connection alive.
    ///
    /// Completes with PINGRESP.
    ///
    /// Precondition: connected, otherwise `errc::not_connected`.
    /// Signature: `void(std::error_code)`.
    /// Errors: why the connection ended, `errc::ping_timeout` among them.
    ///
    ///     co_await client.async_ping(asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_ping(Token&& token = Token()) {
        return start<&engine_type::ping, Token>(token);
    }

    /// Sends DISCONNECT after everything that is on its way, and closes the connection [§3.14].
    ///
    /// The broker discards the will. It has a second to read what was sent and to close; then the client
    /// does. Completes when the connection is closed. What was not acknowledged by then completes with
    /// `errc::disconnected`: QoS 1 and 2 messages that were sent, and those that still waited because the
    /// broker's Receive Maximum or `max_in_flight` was reached, which are not sent any more. To lose nothing,
    /// wait for the publishes first. While connecting, it gives up connecting.
    ///
    /// Precondition: connected or connecting, otherwise `errc::not_connected`.
    /// Signature: `void(std::error_code)`.
    /// Errors: why the connection ended before DISCONNECT was written, `std::errc::timed_out` if the broker
    /// took nothing for three seconds.
    ///
    ///     co_await client.async_disconnect(asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
        requires detail::other_than<Token, tern::disconnect>
    auto async_disconnect(Token&& token = Token()) {
        return async_disconnect(disconnect{}, std::forward<Token>(token));
    }

    /// The same with a reason code and properties of 5.0: `reason_code::disconnect_with_will_message` lets
    /// the broker publish the will.
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_disconnect(const disconnect& packet, Token&& token = Token()) {
        return start<&engine_type::disconnect, Token>(token, packet);
    }

private:
    using engine_type = detail::engine<transport_type>;

    // What begins an operation when the completion token wants it to begin.
    template <auto Begin, class... Result>
    struct initiation {
        using executor_type = Executor;
        executor_type get_executor() const noexcept { return engine->get_executor(); }

        template <class Handler, class... Argument>
        void operator()(Handler&& handler, const Argument&... arguments) const {
            using operation = detail::operation_for<std::decay_t<Handler>, Executor, Result...>;
            engine->schedule(); // now: nothing may fail when the engine has got the operation
            auto op = operation::make(std::forward<Handler>(handler), engine->get_executor(),
                                      [to = engine](detail::operation* o) { to->cancel(o); });
            (engine->*Begin)(std::move(op), arguments...);
        }

        engine_type* engine;
    };

    // `Token` is what the public function deduced: a token that has a name is copied, not moved.
    template <auto Begin, class Token, class... Result, class... Argument>
    auto start(std::remove_reference_t<Token>& token, const Argument&... arguments) {
        return asio::async_initiate<Token, void(std::error_code, Result...)>(
            initiation<Begin, Result...>{engine_.get()}, token, arguments...);
    }

    std::shared_ptr<engine_type> engine_;
};

/// The client over TCP.
using client = basic_client<tcp>;

} // namespace tern
