// The client, the main class of the public interface. A file that constructs a client includes `client.hpp`. In the
// header-only form this compiles the engine too. A file that only uses a client includes this header.
#pragma once

#include "tern/client/client_controls.hpp"
#include "tern/client/connect_result.hpp"
#include "tern/client/detail/completion_token.hpp"
#include "tern/client/detail/engine_base.hpp"
#include "tern/client/detail/operations/initiation.hpp"
#include "tern/client/detail/operations/owned_arguments.hpp"
#include "tern/client/detail/rebound_transport.hpp"
#include "tern/client/event_position.hpp"
#include "tern/client/received_message.hpp"
#include "tern/detail/inline.hpp"
#include "tern/fwd.hpp"
#include "tern/payload.hpp"
#include "tern/session/event.hpp"
#include "tern/session/filter_list.hpp"
#include "tern/session/options.hpp"
#include "tern/session/owned_connect_options.hpp"
#include "tern/session/subscription_list.hpp"
#include "tern/session/subscription_state.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>

#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern {

/// An MQTT client for 3.1.1 and 5.0 that stays connected.
///
/// It is an I/O object in Asio's sense. Functions whose names begin with `async_` start operations. They accept any
/// completion token. An operation completes on the associated executor of its handler, never inside the call that
/// started it. If the handler has an immediate executor (since Asio 1.28), an operation that is refused, or whose
/// result is stored, completes on that instead. The last parameter is optional if the executor has a default completion
/// token.
///
/// **Life cycle.** A run begins with `async_connect`. When a connection is lost, the client connects again as
/// `connect_options::reconnect` specifies, and continues. Of the operations, only `async_ping` ends with the
/// connection. A run ends with `async_disconnect`, with `cancel`, when the broker refuses the client permanently, or
/// when the reconnect policy stops. Everything unfinished then completes with the cause, and the client can connect
/// again. `async_next_event` reports all of these changes.
///
/// **Messages.** Messages published before the first connection, or between connections, wait in a queue that
/// `connect_options::queue` bounds. If a connection is lost while messages are being sent:
///
/// - QoS 0: the part that the operating system had accepted may be lost. The client sends the rest on the next
///   connection. It never sends a message twice.
/// - QoS 1: the client resends the message until the broker acknowledges it. The message may arrive twice.
/// - QoS 2: the message arrives exactly once as long as the broker keeps the session. Set `clean_start = false`, and in
///   5.0 also `session_expiry_interval`, to request this. If the broker loses the session nevertheless, a message that
///   may or may not have arrived completes with `errc::session_lost`. If it loses the session and the client does not
///   learn of it, because the CONNACK that said so was lost, a message may arrive twice.
///
/// The client renews its subscriptions if the broker has lost the session.
///
/// **Lifetimes.** Everything passed by view must live until the operation has started. For callbacks, futures and a
/// directly awaited operation this is during the call itself. An operation with a token such as `asio::deferred` starts
/// later: pass it a `message`, `owned_connect_options`, a `subscription_list` or a `filter_list` as an rvalue, which it
/// keeps. Results own their contents. A moved-from client can only be assigned to or destroyed. Pending operations move
/// with the client.
///
/// **Errors** are `std::error_code`s of these categories: `usage_category()` (an `errc`: the client refused the
/// request, or the application ended the operation, and nothing was sent), `protocol_category()` (an `errc`: the broker
/// broke a rule or stopped responding), `refusal_category()` (a `reason_code` from the broker),
/// `outcome_unknown_category()` (an `errc`: the request was sent, at least in part, and its answer will not come), and
/// the categories of the transport.
///
/// **Cancellation.** Each operation can be cancelled separately through the cancellation slot of its handler, with any
/// type of cancellation but `none`. It then completes with `asio::error::operation_aborted`. The client removes a
/// request that still waits to be sent. A request already passed to the connection continues without its operation, and
/// its packet identifier stays in use until the exchange ends. Cancellation affects neither other operations nor the
/// connection, so `async_publish(...) || timer` is safe. A receive operation that is cancelled before the client calls
/// its handler returns its messages, unacknowledged, in their order: `async_receive(...) || timer` loses none. The same
/// holds for the events of `async_next_event`. In a group of groups, such as `a || b || c`, Asio drops the result of an
/// inner group if another operation ends the outer one in between. `async_connect` is the exception: cancelling it is
/// the same as calling `cancel`. `asio::cancel_after` (Asio 1.31 and later) cancels any operation after a time. The
/// timeout of `publish_options` and the like also says whether anything was sent. Destroying the client closes the
/// connection without DISCONNECT, and the broker publishes the will. All operations complete with `operation_aborted`.
///
/// **Threads.** Distinct clients are independent. The calls to one client, and its destruction, must be ordered: by its
/// executor, by a strand, or by futures. A call that follows the future of an operation is safe in any thread while
/// another thread runs the executor, and so is destroying the client. Such a call waits until the client has called the
/// handlers that are due. A handler must therefore not wait for another thread that calls its client, and clients whose
/// handlers call each other need one strand, or one thread. Give the client a strand if several threads run its
/// context. No handler, and no other function that the client calls, may run the client's executor: what it has
/// requested begins after it has returned. The executor has outstanding work while an operation is pending, and while
/// the client is connected or is going to reconnect.
///
///     using asio::use_awaitable;
///     tern::client client{co_await asio::this_coro::executor};
///     co_await client.async_connect({.host = "localhost", .client_id = "sensor-1"}, use_awaitable);
///     co_await client.async_publish({.topic = "home/temperature", .payload = "21.5"}, use_awaitable);
///     co_await client.async_disconnect(use_awaitable);
///
/// The base `client_controls` has the functions that start no operation: state, log, callbacks, acknowledgements.
///
/// `Transport` is a template that is rebound to `Executor`, see the concept `transport`.
template <class Transport, class Executor>
class basic_client : public client_controls<Executor> {
    static_assert(detail::standalone<Executor>::value);
    using default_token = typename asio::default_completion_token<Executor>::type;

public:
    using executor_type = Executor;
    using transport_type = typename detail::rebound_transport<Transport, Executor>::type;

    /// The same client with another executor, as Asio's `as_default_on` requires.
    template <class Other>
    struct rebind_executor {
        using other = basic_client<Transport, Other>;
    };

    /// Constructs a client that is not connected.
    explicit basic_client(const Executor& executor)
        : client_controls<Executor>(detail::make_engine<transport_type, Executor>(executor)) {}

    /// Constructs a client on the executor of a context, such as an `asio::io_context`.
    template <class Context>
        requires std::is_convertible_v<Context&, asio::execution_context&>
    explicit basic_client(Context& context) : basic_client(Executor(context.get_executor())) {}

    /// Refuses a context or an executor of Boost.Asio.
    template <class Foreign>
        requires(detail::is_of_boost_asio<std::remove_cvref_t<Foreign>>())
    explicit basic_client(Foreign&&) {
        static_assert(detail::standalone<std::remove_cvref_t<Foreign>>::value);
    }

    /// Constructs a client with the given transport.
    explicit basic_client(transport_type transport)
        : client_controls<Executor>(detail::make_engine_on<transport_type, Executor>(std::move(transport))) {}

    basic_client(basic_client&&) noexcept = default;
    basic_client& operator=(basic_client&&) noexcept = default;
    basic_client(const basic_client&) = delete;
    basic_client& operator=(const basic_client&) = delete;
    ~basic_client() = default;

    executor_type get_executor() const noexcept { return engine_->get_executor(); }

    /// Returns the transport, to set its options. For TCP include `transport/tcp.hpp`.
    transport_type& transport() noexcept { return *static_cast<transport_type*>(engine_->transport_address()); }

    /// Connects to a broker [§3.1], and reconnects whenever the connection is lost.
    ///
    /// Completes when the broker has accepted the first connection, with the broker's CONNACK. By default the client
    /// tries the endpoints, and each of their addresses, once before the operation fails. With `reconnect.retry_first`
    /// it tries until it succeeds. In both cases a permanent refusal by the broker ends the operation immediately. A
    /// refusal completes with its `reason_code` as the error (3.1.1's return codes 1 to 5 under their 5.0 names) and
    /// with the packet. After an error the client can connect again.
    ///
    /// Directly after `cancel` or `async_disconnect` the old connection may still be closing. The operation then waits
    /// for the end of that run, and begins the next one. Until then other requests are refused with
    /// `errc::disconnected`, receive operations wait for the new run, and `cancel` and `async_disconnect` end the
    /// operation that waits.
    ///
    /// Precondition: no connection has been requested since the last run ended, or was cancelled or disconnected.
    /// Otherwise the error is `errc::already_connected`.
    /// Signature: `void(std::error_code, connect_result)`.
    /// Errors, all of the last attempt: `errc` for options that cannot be used, such as `errc::host_is_url`;
    /// `errc::resolve_timeout`, `errc::connect_timeout` and `errc::connack_timeout`; errors of the resolver and the
    /// transport; `errc::closed_before_connack`, often for a protocol version that the broker does not support; `errc`
    /// for protocol violations by the broker, such as `errc::tls_answer`; `errc::disconnected` after
    /// `async_disconnect`; the error that the before-connect hook has set.
    ///
    ///     auto ack = co_await client.async_connect(
    ///         {.host = "localhost", .client_id = "sensor-1",
    ///          .will = tern::message_view{.topic = "sensor-1/state", .payload = "gone", .retain = true}},
    ///         asio::use_awaitable);
    ///     if (!ack.session_present) { /* subscribe */ }
    template <detail::token_for<void(std::error_code, connect_result)> Token = default_token>
    auto async_connect(const connect_options& options, Token&& token = Token()) {
        return start<&engine_type::connect, Token, connect_result>(token, options);
    }

    /// Waits for the next connection event at the client's own position. Several listeners use `event_position`s.
    ///
    /// Completes with the events of `connection_change` in their order. The client stores the newest 64 events until
    /// they are requested, even after the run has ended. The operation then waits for the next run. Several pending
    /// operations complete in the order in which they were started, each with another event.
    ///
    /// Signature: `void(std::error_code, connection_event)`.
    /// Errors: only `asio::error::operation_aborted`.
    ///
    ///     const tern::connection_event event = co_await client.async_next_event(asio::use_awaitable);
    ///     fmt::print("{}\n", event); // disconnected while connected, End of file
    template <detail::token_for<void(std::error_code, connection_event)> Token = default_token>
    auto async_next_event(Token&& token = Token()) {
        return start<&engine_type::next_event, Token, connection_event>(token, static_cast<event_position*>(nullptr));
    }

    /// Waits for the event that follows a listener's position, and advances the position. Each listener with a position
    /// of its own sees every event.
    ///
    /// A new position begins at the oldest of the newest 64 events, apart from those that were read at the client's own
    /// position before the first use of another one. `event_position::missed` counts the events that the listener was
    /// too slow for. A cancelled operation does not advance the position.
    ///
    /// `position` must live, and must not be assigned to, until the operation completes or the client is destroyed.
    /// Signature and errors: as above.
    ///
    ///     tern::event_position position; // of this listener
    ///     const tern::connection_event event = co_await client.async_next_event(position, asio::use_awaitable);
    template <detail::token_for<void(std::error_code, connection_event)> Token = default_token>
    auto async_next_event(event_position& position, Token&& token = Token()) {
        return start<&engine_type::next_event, Token, connection_event>(token, &position);
    }

    /// Waits for the end of the run: until the client neither is connected nor is going to connect.
    ///
    /// Without a run it completes at once, with the outcome of the last one. A run that was cancelled or disconnected
    /// lasts until its connection is closed, also if `async_connect` waits for the next one.
    ///
    /// Signature: `void(std::error_code)`.
    /// Errors: the cause of the end, none after `async_disconnect` or `cancel`, unless the connection failed before
    /// DISCONNECT was written. `asio::error::operation_aborted` if the client is destroyed.
    ///
    ///     std::error_code cause;
    ///     co_await client.async_wait_stopped(asio::redirect_error(asio::use_awaitable, cause));
    template <detail::token_for<void(std::error_code)> Token = default_token>
    auto async_wait_stopped(Token&& token = Token()) {
        return start<&engine_type::wait_stopped, Token>(token);
    }

    /// Publishes a message [§3.3], immediately or as soon as it can be sent.
    ///
    /// Completes for QoS 0 when the operating system has accepted the message, for QoS 1 with PUBACK, and for QoS 2
    /// with PUBCOMP, on the current or a later connection. An acknowledgement that refuses the message completes with
    /// its `reason_code` as the error. The client sends messages of one QoS in the order of the calls. All messages
    /// published in one turn of the executor leave in one write. Messages wait while there is no connection. QoS 1 and
    /// 2 messages also wait while the broker's Receive Maximum or `max_in_flight` is reached.
    ///
    /// Precondition: before or during a run. After its end the error is `errc::not_connected`. The topic is a topic
    /// name without wildcards.
    /// Signature: `void(std::error_code, acknowledgement)`.
    /// Errors: `errc` for a message that the standard or the broker's limits forbid, before anything is sent;
    /// `errc::queue_full`, `errc::message_dropped`, `errc::message_expired` and `errc::operation_timeout`, which mean
    /// that the message was not sent; `reason_code`; the cause of the end of the run, if nothing was sent. If the
    /// message was sent, at least in part, and may have arrived, the category is `outcome_unknown_category()`:
    /// `errc::session_lost`, `errc::disconnected` at the end of the run, `errc::unexpected_acknowledgement`,
    /// `errc::acknowledgement_timeout`, `errc::operation_timeout`, `errc::inbox_full`, `errc::refused_by_closing`, a
    /// rule that the broker broke, or a limit of a later connection.
    ///
    ///     co_await client.async_publish({.topic = "home/kitchen/temperature", .payload = "21.5",
    ///                                    .qos = tern::qos::at_least_once, .retain = true},
    ///                                   asio::use_awaitable);
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_publish(const message_view& message, Token&& token = Token()) {
        static constexpr publish_options defaults{};
        return start<&engine_type::publish, Token, acknowledgement>(token, message, defaults);
    }

    /// Publishes a message with options. A message that waits longer than its time to live is not sent. An operation
    /// that takes longer than its timeout completes with `errc::operation_timeout`, see `publish_options`.
    ///
    ///     co_await client.async_publish({.topic = "home/door", .payload = "open"}, {.time_to_live = 5s},
    ///                                   asio::use_awaitable);
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_publish(const message_view& message, const publish_options& options, Token&& token = Token()) {
        return start<&engine_type::publish_within, Token, acknowledgement>(token, message, options);
    }

    /// Publishes a payload, with QoS 0 or another one, and without `retain`. The payload is text or bytes.
    ///
    ///     co_await client.async_publish("home/door", "open", asio::use_awaitable);
    ///     co_await client.async_publish("home/camera", jpeg, tern::qos::at_least_once, asio::use_awaitable);
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_publish(std::string_view topic, payload_view payload, Token&& token = Token()) {
        return async_publish(topic, payload, qos::at_most_once, std::forward<Token>(token));
    }
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_publish(std::string_view topic, payload_view payload, qos level, Token&& token = Token()) {
        return async_publish(message_view{.topic = topic, .payload = payload.text(), .qos = level},
                             std::forward<Token>(token));
    }

    /// Publishes a message without reporting its outcome, like `async_publish` without a completion handler.
    ///
    /// Returns the reason for a refusal, or no error if the message was queued. After an immediate disconnect it is
    /// unknown whether a QoS 1 or 2 message was sent, see `async_drain`.
    [[nodiscard]] std::error_code try_publish(const message_view& message, const publish_options& options = {}) {
        if (engine_->join_turn()) [[likely]]
            return engine_->try_publish(message, options);
        return try_publish_outside(message, options);
    }
    [[nodiscard]] std::error_code try_publish(std::string_view topic, payload_view payload,
                                              qos level = qos::at_most_once) {
        return try_publish(message_view{.topic = topic, .payload = payload.text(), .qos = level});
    }

    /// Subscribes to one topic filter [§3.8].
    ///
    /// Completes with SUBACK. `reason_code` is the granted QoS or the refusal, which is also the error. If the
    /// connection is lost before SUBACK, the client sends the request again on the next connection.
    ///
    /// If the operation is cancelled, the request is not sent on another connection. When the answer to a request that
    /// was sent is lost, the client itself removes what the broker should not have.
    ///
    /// Precondition: a connection has been requested, and the run has not ended. Otherwise the error is
    /// `errc::not_connected`.
    /// Signature: `void(std::error_code, acknowledgement)`.
    /// Errors: `errc` for a filter or options that the standard or the broker's limits forbid; `reason_code`;
    /// `errc::operation_timeout`, see `subscribe_options`; the cause of the end of the run.
    ///
    ///     co_await client.async_subscribe({.filter = "home/+", .max_qos = tern::qos::exactly_once},
    ///                                     asio::use_awaitable);
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_subscribe(const subscription& one, Token&& token = Token()) {
        return async_subscribe(one, subscribe_options{}, std::forward<Token>(token));
    }
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_subscribe(const subscription& one, const subscribe_options& options, Token&& token = Token()) {
        return start<&engine_type::subscribe_one, Token, acknowledgement>(token, one, options);
    }

    /// Subscribes to a topic filter with maximum QoS 1, as `subscription` has it, or another one.
    ///
    ///     co_await client.async_subscribe("home/+", asio::use_awaitable);
    ///     co_await client.async_subscribe("home/+", tern::qos::exactly_once, asio::use_awaitable);
    template <detail::filter_text Filter,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_subscribe(const Filter& filter, Token&& token = Token()) {
        return async_subscribe(subscription{.filter = filter}, std::forward<Token>(token));
    }
    template <detail::filter_text Filter,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_subscribe(const Filter& filter, qos max_qos, Token&& token = Token()) {
        return async_subscribe(subscription{.filter = filter, .max_qos = max_qos}, std::forward<Token>(token));
    }

    /// Subscribes to several topic filters with one packet.
    ///
    /// `reason_codes` of the result has one code per filter, in the order of the filters. If the broker refuses any
    /// filter, the first refusal is the error. The other subscriptions are still made.
    ///
    ///     const std::array<tern::subscription, 2> filters{{{.filter = "a/#"}, {.filter = "b/+"}}};
    ///     auto ack = co_await client.async_subscribe(filters, asio::use_awaitable);
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_subscribe(std::span<const subscription> several, Token&& token = Token()) {
        return async_subscribe(several, subscribe_options{}, std::forward<Token>(token));
    }
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_subscribe(std::span<const subscription> several, const subscribe_options& options,
                         Token&& token = Token()) {
        return start<&engine_type::subscribe_within, Token, acknowledgement>(token, several, options);
    }

    /// Ends the subscription to one topic filter [§3.10].
    ///
    /// Completes with UNSUBACK. Messages already on their way still arrive.
    ///
    /// Precondition, signature and errors: as for `async_subscribe`.
    ///
    ///     co_await client.async_unsubscribe("home/+/temperature", asio::use_awaitable);
    template <detail::filter_text Filter,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_unsubscribe(const Filter& filter, Token&& token = Token()) {
        return async_unsubscribe(filter, unsubscribe_options{}, std::forward<Token>(token));
    }
    template <detail::filter_text Filter,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_unsubscribe(const Filter& filter, const unsubscribe_options& options, Token&& token = Token()) {
        return start<&engine_type::unsubscribe_one, Token, acknowledgement>(token, std::string_view(filter), options);
    }

    /// Ends the subscriptions to several topic filters with one packet.
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_unsubscribe(std::span<const std::string_view> several, Token&& token = Token()) {
        return async_unsubscribe(several, unsubscribe_options{}, std::forward<Token>(token));
    }
    template <detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_unsubscribe(std::span<const std::string_view> several, const unsubscribe_options& options,
                           Token&& token = Token()) {
        return start<&engine_type::unsubscribe_within, Token, acknowledgement>(token, several, options);
    }

    /// Waits for the next message.
    ///
    /// Completes with a message, in the order of arrival, from the current or a later connection. Several pending
    /// operations complete in the order in which they were started. The client acknowledges a QoS 1 or 2 message when
    /// it calls the handler, or passes it to the handler's own executor. In manual mode `received_message::acknowledge`
    /// acknowledges it. Messages that no operation waits for are stored, up to `inbox_limit` and `inbox_bytes`. The
    /// client then stops reading until the application takes a message, unless an operation waits for an answer. A
    /// stored message that the broker sends again is not stored twice, unless the broker may have lost the session in
    /// between. Stored messages remain available after the end of the run.
    ///
    /// Precondition: a connection has been requested and the run has not ended, or stored messages remain. Otherwise
    /// the error is `errc::not_connected`.
    /// Signature: `void(std::error_code, received_message)`.
    /// Errors: the cause of the end of the run, also for the first operation started after the end;
    /// `errc::disconnected` after `async_disconnect`.
    ///
    ///     tern::received_message m = co_await client.async_receive(asio::use_awaitable);
    ///     co_await store(m.payload);
    ///     m.acknowledge(); // with .acknowledge = tern::acknowledgement_mode::manual
    template <detail::token_for<void(std::error_code, received_message)> Token = default_token>
    auto async_receive(Token&& token = Token()) {
        return start<&engine_type::receive, Token, received_message>(token);
    }

    /// Waits for the next messages, and receives all that are available, up to the size of `into`.
    ///
    /// Receiving many messages at a time costs less per message. In all other respects this is `async_receive`.
    /// Completes with the number of messages written to the beginning of `into`, at least one unless there is an error.
    /// `into` must live until then.
    ///
    /// Signature: `void(std::error_code, std::size_t)`.
    /// Errors: as for `async_receive`; `errc::invalid_argument` if `into` is empty.
    ///
    ///     std::vector<tern::received_message> batch(100);
    ///     const std::size_t count = co_await client.async_receive_some(batch, asio::use_awaitable);
    ///     for (const tern::received_message& m : std::span(batch).first(count)) { /* ... */ }
    template <detail::token_for<void(std::error_code, std::size_t)> Token = default_token>
    auto async_receive_some(std::span<received_message> into, Token&& token = Token()) {
        return start<&engine_type::receive_some, Token, std::size_t>(token, into);
    }

    /// Takes the next stored message if there is one, as `async_receive` does, without waiting.
    std::optional<received_message> try_receive() {
        const auto inside = engine_->enter();
        return engine_->try_receive();
    }

    /// Sends PINGREQ [§3.12]. The client also sends PINGREQ automatically to keep the connection alive.
    ///
    /// Completes with PINGRESP, or when this connection ends.
    ///
    /// Precondition: connected. Otherwise the error is `errc::not_connected`.
    /// Signature: `void(std::error_code)`.
    /// Errors: the cause of the end of the connection, which may be `errc::ping_timeout`.
    ///
    ///     co_await client.async_ping(asio::use_awaitable);
    template <detail::token_for<void(std::error_code)> Token = default_token>
    auto async_ping(Token&& token = Token()) {
        return start<&engine_type::ping, Token>(token);
    }

    /// Authenticates again on this connection [§4.12.1], with the authenticator and the method of the connection.
    /// Messages are sent and received meanwhile.
    ///
    /// Completes when the broker has accepted the client and the authenticator the broker, or when this connection
    /// ends. A re-authentication that fails after something was sent ends the connection [MQTT-4.12.1-2].
    ///
    /// Preconditions: connected, with a method and an authenticator, and no re-authentication is in progress. Otherwise
    /// the error is `errc::not_connected`, `errc::authentication_not_supported` or `errc::authentication_in_progress`.
    /// 3.1.1 has `errc::requires_v5`.
    /// Signature: `void(std::error_code)`.
    /// Errors: what the authenticator fails with; the cause of the end of the connection, which may be
    /// `errc::authentication_timeout`.
    ///
    ///     co_await client.async_reauthenticate(asio::use_awaitable);
    template <detail::token_for<void(std::error_code)> Token = default_token>
    auto async_reauthenticate(Token&& token = Token()) {
        return start<&engine_type::reauthenticate, Token>(token);
    }

    /// Waits until every accepted publish has completed, with or without an error, including those of `try_publish`.
    ///
    /// Completes when no publish is pending, immediately if there is none. Publishes started in the meantime count too.
    ///
    /// `timeout` is the longest time to wait, at most a year. 0 sets no limit.
    /// Signature: `void(std::error_code)`.
    /// Errors: `errc::drain_timeout`; `errc::invalid_argument` for a timeout out of range; the cause of the end of the
    /// run.
    ///
    ///     co_await client.async_drain(5s, asio::use_awaitable);
    ///     co_await client.async_disconnect(asio::use_awaitable);
    template <detail::token_for<void(std::error_code)> Token = default_token>
    auto async_drain(std::chrono::milliseconds timeout, Token&& token = Token()) {
        return start<&engine_type::drain, Token>(token, timeout);
    }

    /// Sends DISCONNECT after everything that is already being sent, and closes the connection [§3.14]. It is valid in
    /// every state: without a connection, it ends the current attempt or the wait for the next one.
    ///
    /// Accepted messages go out before DISCONNECT: all of QoS 0, and those of QoS 1 and 2 that the window admits, for
    /// at most `disconnect_timeout`. The broker discards the will. It has one second to read the sent bytes and to
    /// close the connection. The client closes the connection after that time. Completes when the connection is closed,
    /// immediately if there is none. Everything unacknowledged at that point completes with `errc::disconnected`: QoS 1
    /// and 2 messages that were sent, and messages that still waited, which are not sent. Use `async_drain` first to
    /// lose nothing.
    ///
    /// Afterwards `counters` say how much was left, also of what `try_publish` has queued: `messages_unsent`, and
    /// whether DISCONNECT was written: `disconnects_sent`.
    ///
    /// Signature: `void(std::error_code)`.
    /// Errors: `errc` for a packet that the standard forbids; the cause, if the connection ended before DISCONNECT was
    /// written; `std::errc::timed_out` if DISCONNECT could not be written within `disconnect_timeout`.
    ///
    ///     co_await client.async_disconnect(asio::use_awaitable);
    template <detail::token_for<void(std::error_code)> Token = default_token>
    auto async_disconnect(Token&& token = Token()) {
        return async_disconnect(disconnect{}, std::forward<Token>(token));
    }

    /// Disconnects with a reason code and properties of 5.0. With `reason_code::disconnect_with_will_message` the
    /// broker publishes the will.
    template <detail::token_for<void(std::error_code)> Token = default_token>
    auto async_disconnect(const disconnect& packet, Token&& token = Token()) {
        return start<&engine_type::disconnect, Token>(token, packet);
    }

    // ---- arguments that own their contents

    /// The same operations with arguments that own what they point to. An operation that starts later keeps an argument
    /// that is passed as an rvalue until then. It borrows from another one, which must live as long. The properties of
    /// a subscription are always borrowed.
    ///
    ///     auto publish = [&client](std::string topic) {
    ///         tern::message message({.topic = topic, .payload = "open"});
    ///         return client.async_publish(std::move(message), asio::deferred);
    ///     }("home/" + room);
    ///     co_await std::move(publish)(asio::use_awaitable);
    template <detail::argument_of<owned_connect_options> Options,
              detail::token_for<void(std::error_code, connect_result)> Token = default_token>
    auto async_connect(Options&& options, Token&& token = Token()) {
        return start<&engine_type::connect, Token, connect_result>(token,
                                                                   detail::to_keep(std::forward<Options>(options)));
    }
    template <detail::argument_of<message> Message,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_publish(Message&& message, Token&& token = Token()) {
        return async_publish(std::forward<Message>(message), publish_options{}, std::forward<Token>(token));
    }
    template <detail::argument_of<message> Message,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_publish(Message&& message, const publish_options& options, Token&& token = Token()) {
        return start<&engine_type::publish_within, Token, acknowledgement>(
            token, detail::to_keep(std::forward<Message>(message)), options);
    }
    template <detail::argument_of<message> Message>
    [[nodiscard]] std::error_code try_publish(const Message& message, const publish_options& options = {}) {
        return try_publish(message.view(), options);
    }
    template <detail::argument_of<subscription_list> List,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_subscribe(List&& list, Token&& token = Token()) {
        return async_subscribe(std::forward<List>(list), subscribe_options{}, std::forward<Token>(token));
    }
    template <detail::argument_of<subscription_list> List,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_subscribe(List&& list, const subscribe_options& options, Token&& token = Token()) {
        return start<&engine_type::subscribe_within, Token, acknowledgement>(
            token, detail::to_keep(std::forward<List>(list)), options);
    }
    template <detail::argument_of<filter_list> List,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_unsubscribe(List&& list, Token&& token = Token()) {
        return async_unsubscribe(std::forward<List>(list), unsubscribe_options{}, std::forward<Token>(token));
    }
    template <detail::argument_of<filter_list> List,
              detail::token_for<void(std::error_code, acknowledgement)> Token = default_token>
    auto async_unsubscribe(List&& list, const unsubscribe_options& options, Token&& token = Token()) {
        return start<&engine_type::unsubscribe_within, Token, acknowledgement>(
            token, detail::to_keep(std::forward<List>(list)), options);
    }

    /// Ends the run immediately, in any state. It closes the connection without DISCONNECT, and does not reconnect. The
    /// broker publishes the will.
    ///
    /// All pending operations complete with `asio::error::operation_aborted`, or in the category `outcome_unknown` if
    /// something of the message or the request was written. The client can connect again directly after this call.
    /// An `async_disconnect` that follows completes at this point, without error. Stored messages remain available.
    void cancel() {
        const auto engine = engine_; // a message callback may destroy the client
        const auto inside = engine->enter();
        engine->cancel_all();
    }

private:
    using engine_type = detail::engine_base<Executor>;
    using client_controls<Executor>::engine_;

    // `Token` is the type that the public function deduced. An lvalue token is copied, not moved.
    template <auto Begin, class Token, class... Result, class... Argument>
    auto start(std::remove_reference_t<Token>& token, Argument&&... arguments) {
        return asio::async_initiate<Token, void(std::error_code, Result...)>(
            detail::initiation<engine_type, Begin, Result...>{engine_.get()}, token,
            std::forward<Argument>(arguments)...);
    }

    // The same as `try_publish` while no turn is running.
    TERN_NOINLINE std::error_code try_publish_outside(const message_view& message, publish_options options) {
        const auto inside = engine_->enter_for_request();
        return engine_->try_publish(message, options);
    }
};

} // namespace tern
