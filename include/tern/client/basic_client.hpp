// The client: what an application uses. A file that makes one includes `client.hpp`, and so in the header-only form
// compiles the engine behind it; a file that only uses one does not have to.
#pragma once

#include "tern/client/connect_attempt.hpp"
#include "tern/client/connect_result.hpp"
#include "tern/client/detail/engine_base.hpp"
#include "tern/client/detail/operations/handler_operation.hpp"
#include "tern/client/detail/transport/tap.hpp"
#include "tern/client/received_message.hpp"
#include "tern/fwd.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"

#if !defined(TERN_SEPARATE_COMPILATION)
#include "tern/client/detail/packet_tap.hpp"
#endif

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>

#include <chrono>
#include <functional>
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

// The transport of a client, for its executor. That of TCP has not to be defined for it.
template <class Transport, class Executor>
struct rebound_transport {
    using type = typename Transport::template rebind_executor<Executor>::other;
};
template <class Other, class Executor>
struct rebound_transport<basic_tcp<Other>, Executor> {
    using type = basic_tcp<Executor>;
};

// Tells a completion token from an argument after which the token was left out.
template <class T, class Argument>
concept other_than = !std::is_same_v<std::remove_cvref_t<T>, Argument>;

} // namespace detail

/// An MQTT client, for 3.1.1 and 5.0, that stays connected.
///
/// It is an I/O object as Asio's are: operations are started by functions that begin with `async_`, take any
/// completion token, and complete on the handler's associated executor, never inside the call that started
/// them. The last parameter may be left out if the executor has a default completion token.
///
/// **A life.** `async_connect` begins it. When a connection is lost the client makes a new one, as
/// `connect_options::reconnect` says, and goes on: no operation hears of it but `async_ping`. The life ends with
/// `async_disconnect`, with `cancel`, when the broker refuses the client for good, or when the policy gives up; then
/// everything unfinished completes with the reason why, and the client can connect again. `async_next_event` tells
/// of all that.
///
/// **Messages.** What is published before the first connection, or while there is none, waits in a queue that
/// `connect_options::queue` bounds. If a connection is lost in the middle:
///
/// - QoS 0: what the operating system had taken is lost or not; the rest goes out on the next connection. Never
///   sent twice.
/// - QoS 1: sent again until it is acknowledged, so it may arrive twice.
/// - QoS 2: arrives exactly once as long as the broker keeps the session; ask it to do so with
///   `clean_start = false`, in 5.0 with `session_expiry_interval`. If it has lost the session nevertheless, a
///   message of which nobody knows whether it had arrived completes with `errc::session_lost`.
///
/// Subscriptions are made again if the broker has lost the session.
///
/// **Lifetimes.** Everything passed by view must live until the operation has been started: for callbacks,
/// futures and a directly awaited operation that is the call itself. Results own what they hold. A client
/// that was moved from can only be assigned to or destroyed; pending operations go with the client.
///
/// **Errors** are `std::error_code`s: `usage_category()` (an `errc`; the request was refused and nothing was
/// sent, or the application ended it), `protocol_category()` (an `errc`; the broker broke a rule or fell silent),
/// `refusal_category()` (a `reason_code` of the broker), and those of the transport.
///
/// **Cancellation.** Each operation can be cancelled by itself through its handler's cancellation slot, with
/// any type of cancellation, and then completes with `asio::error::operation_aborted`. What still waits to be sent
/// is taken back; what has been given to the connection goes on by itself to its end, and its packet identifier
/// stays in use until then.
/// Other operations and the connection are not affected, but for `async_connect`: to cancel it is to `cancel` the
/// connection. So `async_publish(...) || timer` harms nothing. Destroying the client closes the connection without
/// DISCONNECT, so that the broker publishes the will, and completes everything with `operation_aborted`.
///
/// **Threads.** Distinct clients are independent. One client must be used from one thread at a time, its
/// executor's: give it a strand if the context runs in several threads. There is work for the executor as long as
/// an operation waits, and while the client is connected or is to be connected again.
///
///     using asio::use_awaitable;
///     tern::client client{co_await asio::this_coro::executor};
///     co_await client.async_connect({.host = "localhost", .client_id = "sensor-1"}, use_awaitable);
///     co_await client.async_publish({.topic = "home/temperature", .payload = "21.5"}, use_awaitable);
///     co_await client.async_disconnect(use_awaitable);
///
/// `Transport` is a template that is rebound to `Executor`, see the concept `transport`.
template <class Transport, class Executor>
class basic_client {
public:
    using executor_type = Executor;
    using transport_type = typename detail::rebound_transport<Transport, Executor>::type;

    /// The same client with another executor, as Asio's `as_default_on` wants it.
    template <class Other>
    struct rebind_executor {
        using other = basic_client<Transport, Other>;
    };

    /// A client that is not connected.
    explicit basic_client(const Executor& executor)
        : engine_(detail::make_engine<transport_type, Executor>(executor)) {}

    /// The same on the executor of a context, such as an `asio::io_context`.
    template <class Context>
        requires std::is_convertible_v<Context&, asio::execution_context&>
    explicit basic_client(Context& context) : basic_client(Executor(context.get_executor())) {}

    /// The same with a transport of its own.
    explicit basic_client(transport_type transport)
        : engine_(detail::make_engine_on<transport_type, Executor>(std::move(transport))) {}

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

    /// The transport, to set its options. For TCP include `transport/tcp.hpp`.
    transport_type& transport() noexcept { return *static_cast<transport_type*>(engine_->transport_address()); }

    /// Whether there is a connection that the broker has accepted.
    bool is_connected() const noexcept { return engine_->is_connected(); }

    /// What the client has done since it was made, and what waits at the moment.
    tern::counters counters() const noexcept { return engine_->counters(); }

    /// Sets a function that is called before each attempt to connect, also the first, and decides when and how it
    /// goes on; an empty function removes it.
    ///
    /// It gets a `connect_attempt`, which it may use at once or keep for later: to renew a password or a token, to
    /// choose the endpoint, or to give up. It is called on the client's executor, never inside `async_connect`.
    /// The times of `connect_options` do not run while it decides; `async_disconnect` and `cancel` do not wait for
    /// it. What it throws leaves the executor's `run`.
    ///
    ///     client.set_before_connect([&](tern::connect_attempt attempt) {
    ///         auto renew = [&, attempt = std::move(attempt)]() mutable -> asio::awaitable<void> {
    ///             const std::string token = co_await fetch_token();
    ///             attempt.proceed({.password = token}); // not reached if that throws: then the attempt fails
    ///         };
    ///         asio::co_spawn(client.get_executor(), std::move(renew), asio::detached);
    ///     });
    void set_before_connect(std::function<void(connect_attempt)> hook) { engine_->set_before_connect(std::move(hook)); }

    /// Sets a function that is told of each packet that is received or sent, from the next connection on; an empty
    /// function removes it.
    ///
    /// A received packet is told before it is acted upon, a sent one when the operating system has taken it. What
    /// the packet borrows is valid during the call. The function must not use the client and must not throw. Bytes
    /// that are no packet end the telling in their direction until the next connection. With `tern/format.hpp` a
    /// packet can be printed; passwords are not shown then:
    ///
    ///     client.set_packet_tap([](tern::packet_direction direction, const tern::any_packet& packet) {
    ///         fmt::print(stderr, "{} {}\n", direction, packet); // sent PUBLISH QoS 0, "home/door", "open" (4 bytes)
    ///     });
    void set_packet_tap(std::function<void(packet_direction, const any_packet&)> observer) {
        engine_->set_packet_tap(detail::make_packet_tap(std::move(observer)));
    }

    /// Sets a function that is called with each message that comes, instead of keeping messages for `async_receive`;
    /// an empty function removes it.
    ///
    /// This is the fastest way to receive: the message is not copied, and what it borrows is valid during the call;
    /// `keep` makes a copy. A QoS 1 or 2 message is acknowledged when the function returns, or in manual mode by
    /// `acknowledge`, or by the copy. If the function throws, that leaves the executor's `run`; a QoS 1 or 2 message is
    /// not acknowledged then but comes again, on a new connection.
    ///
    /// It is called on the client's executor, never inside a function of the client's. It may start operations, set
    /// another function and destroy the client, but must not run the executor. Messages that were kept before are still
    /// to be taken with `async_receive` or `try_receive`.
    ///
    ///     client.set_message_callback([](const tern::received& m) {
    ///         fmt::print("{}: {}\n", m.message.topic, m.message.payload);
    ///     });
    void set_message_callback(std::function<void(const received&)> callback) {
        engine_->set_message_callback(std::move(callback));
    }

    /// In a message callback: a copy of the message that outlives the call.
    received_message keep(const received& message) { return engine_->keep(message); }

    /// In a message callback or later, as `received_message::acknowledge`; `token` is the message's.
    void acknowledge(message_token token) { engine_->acknowledge(token); }

    /// Connects to a broker [§3.1], and from then on again whenever the connection is lost.
    ///
    /// Completes when the broker has accepted the first connection, with its CONNACK. By default the endpoints, and
    /// each of their addresses, are tried once before it fails; with `reconnect.retry_first` it is tried until it
    /// succeeds. A broker that refuses for good ends it at once in both cases. A refusal completes with its
    /// `reason_code` as the error (3.1.1's return codes 1 to 5 under their 5.0 names) and with the packet. After an
    /// error the client can connect again.
    ///
    /// Precondition: nobody has asked to connect, or that has ended; otherwise `errc::already_connected`.
    /// Signature: `void(std::error_code, connect_result)`.
    /// Errors, all of the last attempt: `errc` for options that the standard forbids; `errc::resolve_timeout`,
    /// `errc::connect_timeout` and `errc::connack_timeout`; errors of the resolver and the transport; `errc` for
    /// what the broker did wrong; `errc::disconnected` after `async_disconnect`; what the before-connect hook said.
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

    /// Waits for the next thing that becomes of the connection.
    ///
    /// Completes with the events of `connection_change` in their order: connecting, connected, disconnected with
    /// the cause, retrying after a delay, stopped for good, and a subscription that a broker without our session
    /// refused to renew. The newest 64 are kept until they are asked for, also when the life has ended; then it waits
    /// for the next life. Several waiting operations are served in their order.
    ///
    /// Signature: `void(std::error_code, connection_event)`.
    /// Errors: only `asio::error::operation_aborted`.
    ///
    ///     for (;;) {
    ///         const tern::connection_event event = co_await client.async_next_event(asio::use_awaitable);
    ///         fmt::print("{}\n", event); // disconnected while connected, End of file
    ///     }
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_next_event(Token&& token = Token()) {
        return start<&engine_type::next_event, Token, connection_event>(token);
    }

    /// Publishes a message [§3.3], now or as soon as it can be sent.
    ///
    /// Completes: QoS 0 when the message was handed to the operating system, QoS 1 with PUBACK, QoS 2 with
    /// PUBCOMP, on whichever connection. An acknowledgement that refuses the message completes with its
    /// `reason_code` as the error. Messages of one QoS are sent in the order of the calls; all that are published in
    /// one turn of the executor leave in one write. Messages wait while there is no connection, and QoS 1 and 2
    /// while the broker's Receive Maximum or `max_in_flight` is reached.
    ///
    /// Precondition: before or during a life; after its end `errc::not_connected`. The topic is a topic name without
    /// wildcards.
    /// Signature: `void(std::error_code, acknowledgement)`.
    /// Errors: `errc` for a message that the standard or the broker's limits forbid, before anything is sent;
    /// `errc::queue_full`, `errc::message_dropped` and `errc::message_expired`, then it has not been sent;
    /// `errc::session_lost`; `reason_code`; why the life ended: then nothing is known of the message.
    ///
    ///     co_await client.async_publish({.topic = "home/kitchen/temperature", .payload = "21.5",
    ///                                    .qos = tern::qos::at_least_once, .retain = true},
    ///                                   asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
        requires detail::other_than<Token, publish_options>
    auto async_publish(const message_view& message, Token&& token = Token()) {
        return async_publish(message, publish_options{}, std::forward<Token>(token));
    }

    /// The same with options: a message that has waited for its time to live is not sent any more.
    ///
    ///     co_await client.async_publish({.topic = "home/door", .payload = "open"}, {.time_to_live = 5s},
    ///                                   asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_publish(const message_view& message, const publish_options& options, Token&& token = Token()) {
        return start<&engine_type::publish, Token, acknowledgement>(token, message, options);
    }

    /// Publishes a message without telling what becomes of it: `async_publish` with nobody waiting.
    ///
    /// Returns why the message was refused, or no error if it was queued to be sent. Whoever disconnects right
    /// after it does not know whether a QoS 1 or 2 message has left, see `async_drain`.
    [[nodiscard]] std::error_code try_publish(const message_view& message, const publish_options& options = {}) {
        return engine_->try_publish(message, options);
    }

    /// Subscribes to one topic filter [§3.8].
    ///
    /// Completes with SUBACK: `reason_code` is the granted QoS or, as the error too, the refusal. When the
    /// connection is lost before, it is sent again on the next one.
    ///
    /// Precondition: somebody has asked to connect, and that has not ended; otherwise `errc::not_connected`.
    /// Signature: `void(std::error_code, acknowledgement)`.
    /// Errors: `errc` for a filter or options that the standard or the broker's limits forbid; `reason_code`;
    /// why the life ended.
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
    auto async_unsubscribe(std::span<const std::string_view> several, const unsubscribe_properties& properties,
                           Token&& token = Token()) {
        return start<&engine_type::unsubscribe, Token, acknowledgement>(token, several, properties);
    }

    /// Waits for the next message.
    ///
    /// Completes with a message in the order of their coming, on whichever connection; several waiting operations
    /// are served in their order. A QoS 1 or 2 message is acknowledged when the application gets it, or in manual
    /// mode by `received_message::acknowledge`. Messages that nobody waits for are kept, as many of them as
    /// `inbox_limit` and `inbox_bytes` say; then the client stops reading until one is taken, and what the broker
    /// has sent behind them, acknowledgements too, waits with it. Messages that are left at the end can still be
    /// taken.
    ///
    /// Precondition: somebody has asked to connect and that has not ended, or messages are left; otherwise
    /// `errc::not_connected`.
    /// Signature: `void(std::error_code, received_message)`.
    /// Errors: why the life ended, also to the first that asks after the end; `errc::disconnected` after
    /// `async_disconnect`.
    ///
    ///     tern::received_message m = co_await client.async_receive(asio::use_awaitable);
    ///     co_await store(m.payload);
    ///     m.acknowledge(); // with .acknowledge = tern::acknowledgement_mode::manual
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_receive(Token&& token = Token()) {
        return start<&engine_type::receive, Token, received_message>(token);
    }

    /// Waits for the next messages, and takes as many as there are, up to the size of `into`.
    ///
    /// As `async_receive` in all else, but for many messages at a time, and so cheaper. Completes with how many it
    /// has put to the beginning of `into`; without an error at least one. `into` must live until then.
    ///
    /// Signature: `void(std::error_code, std::size_t)`.
    /// Errors: as `async_receive`; `errc::invalid_argument` if `into` is empty.
    ///
    ///     std::vector<tern::received_message> batch(100);
    ///     const std::size_t count = co_await client.async_receive_some(batch, asio::use_awaitable);
    ///     for (const tern::received_message& m : std::span(batch).first(count)) { /* ... */ }
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_receive_some(std::span<received_message> into, Token&& token = Token()) {
        return start<&engine_type::receive_some, Token, std::size_t>(token, into);
    }

    /// Takes the next message if there is one; as `async_receive`, without waiting.
    std::optional<received_message> try_receive() { return engine_->try_receive(); }

    /// Sends PINGREQ [§3.12]; the client does so by itself to keep the connection alive.
    ///
    /// Completes with PINGRESP, or when this connection ends.
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

    /// Waits until every publish that was accepted has ended, well or not; also those of `try_publish`.
    ///
    /// Completes then, at once if there is none. Publishes that are started meanwhile count too.
    ///
    /// `timeout` is the longest time to wait, at most a year; 0: as long as it takes.
    /// Signature: `void(std::error_code)`.
    /// Errors: `errc::drain_timeout`; `errc::invalid_argument` for a timeout out of range; why the life ended.
    ///
    ///     co_await client.async_drain(5s, asio::use_awaitable);
    ///     co_await client.async_disconnect(asio::use_awaitable);
    template <class Token = typename asio::default_completion_token<Executor>::type>
    auto async_drain(std::chrono::milliseconds timeout, Token&& token = Token()) {
        return start<&engine_type::drain, Token>(token, timeout);
    }

    /// Sends DISCONNECT after everything that is on its way, and closes the connection [§3.14]. Valid in every
    /// state: while there is no connection, it gives up connecting or waiting for the next attempt.
    ///
    /// The broker discards the will. It has a second to read what was sent and to close; then the client
    /// does. Completes when the connection is closed, at once if there is nothing to end. What was not acknowledged
    /// by then completes with `errc::disconnected`: QoS 1 and 2 messages that were sent, and all that still waited,
    /// which are not sent any more. To lose nothing, use `async_drain` first.
    ///
    /// Signature: `void(std::error_code)`.
    /// Errors: `errc` for a packet that the standard forbids; why the connection ended before DISCONNECT was
    /// written, `std::errc::timed_out` if the broker took nothing for three seconds.
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

    /// Ends at once, whatever the client is doing: closes the connection without DISCONNECT, so that the broker
    /// publishes the will, and does not reconnect.
    ///
    /// Everything pending completes with `asio::error::operation_aborted`. When that is done the client can connect
    /// again; to wait for it, `async_disconnect`. Messages that are left can still be taken.
    void cancel() { engine_->cancel_all(); }

private:
    using engine_type = detail::engine_base<Executor>;

    // What begins an operation when the completion token wants it to begin.
    template <auto Begin, class... Result>
    struct initiation {
        using executor_type = Executor;
        executor_type get_executor() const noexcept { return engine->get_executor(); }

        template <class Handler, class... Argument>
        void operator()(Handler&& handler, const Argument&... arguments) const {
            using operation = detail::handler_operation<std::decay_t<Handler>, Executor, Result...>;
            engine->schedule(); // now: nothing may fail when the engine has got the operation
            (engine->*Begin)(operation::make(std::forward<Handler>(handler), *engine), arguments...);
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

} // namespace tern
