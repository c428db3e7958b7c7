// A client for programs without Asio of their own: its functions wait for their results.
#pragma once

#include "tern/client/authentication_step.hpp"
#include "tern/client/connect_attempt.hpp"
#include "tern/client/connect_result.hpp"
#include "tern/client/event_position.hpp"
#include "tern/client/log_level.hpp"
#include "tern/client/received_message.hpp"
#include "tern/error.hpp"
#include "tern/fwd.hpp"
#include "tern/message.hpp"
#include "tern/messaging/detail/blocking_call.hpp"
#include "tern/messaging/shared_client.hpp"
#include "tern/payload.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/connection_terms.hpp"
#include "tern/session/event.hpp"
#include "tern/session/filter_list.hpp"
#include "tern/session/options.hpp"
#include "tern/session/subscription_list.hpp"
#include "tern/session/subscription_state.hpp"
#include "tern/session/time.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern {

/// The result of a call that waits: an error, or none and a value. The value may have details of the error, such as the
/// broker's reason.
template <class T>
struct [[nodiscard]] call_result {
    std::error_code error;
    T value{};

    bool has_value() const noexcept { return !error; }
    explicit operator bool() const noexcept { return !error; }
    T& operator*() & noexcept { return value; }
    const T& operator*() const& noexcept { return value; }
    T&& operator*() && noexcept { return std::move(value); }
    T* operator->() noexcept { return &value; }
    const T* operator->() const noexcept { return &value; }
};

/// A client whose functions wait for their results. It owns a context and one thread, in which its client runs: it
/// stays connected, reconnects and answers pings while the program does something else.
///
/// The functions are those of `basic_client`, whose documentation says when they complete and with which errors. They
/// throw only if an allocation fails.
///
/// **Time limits.** Each function that waits has a time limit of at most a year; 0 sets none. When it is reached, the
/// operation is cancelled, and the error is `errc::operation_timeout`, or for `drain` `errc::drain_timeout`. A message
/// or a request that was not sent is removed. One that was sent may still arrive: then the category is
/// `outcome_unknown_category()`. For `connect` the run ends. Nothing else is affected. A receive call that ends so
/// loses no message. A limit that is negative or longer is refused with `errc::invalid_operation_timeout`.
///
/// **Threads.** Several threads may call it at the same time. `cancel` ends the calls of all other threads. The
/// function of `set_message_callback` runs in the client's thread. It may call `try_publish`, `cancel` and the other
/// functions that do not wait. One that waits returns `std::errc::resource_deadlock_would_occur` there.
///
/// **Lifetime.** Any thread may destroy it at any time, while other threads wait in its functions: these return
/// `asio::error::operation_aborted`. As with any object, no thread may begin a call then: interrupt a thread that calls
/// in a loop with `cancel`, and join it first. The connection is closed without DISCONNECT, and the broker publishes
/// the will. The destructor joins the client's thread, unless it runs in that: then the thread ends by itself when the
/// callback has returned.
///
///     tern::blocking_client client;
///     if (auto connected = client.connect({.host = "localhost", .client_id = "sensor-1"}, 5s); !connected)
///         return report(connected.error);
///     if (auto subscribed = client.subscribe("home/+/temperature", 5s); !subscribed) return report(subscribed.error);
///     while (auto message = client.receive(1min))
///         std::cout << message->topic << ": " << message->payload << '\n';
template <class Transport>
class basic_blocking_client {
    using milliseconds = std::chrono::milliseconds;

public:
    using shared_client_type = basic_shared_client<Transport, asio::any_io_executor>;
    using client_type = typename shared_client_type::client_type;

    /// Constructs a client that is not connected, and its thread.
    basic_blocking_client() : core_(std::make_shared<core>()) {
        core_->thread = std::thread([running = core_] { run(running->io); });
    }
    basic_blocking_client(const basic_blocking_client&) = delete;
    basic_blocking_client& operator=(const basic_blocking_client&) = delete;
    ~basic_blocking_client() {
        core_->work.reset();
        core_->io.stop();
        if (core_->is_own_thread())
            core_->thread.detach();
        else
            core_->thread.join();
    }

    // ---- connections

    /// Connects to a broker, and reconnects whenever the connection is lost.
    call_result<connect_result> connect(const connect_options& options, milliseconds timeout = {}) {
        return wait<connect_result>(
            timeout, [&](shared_client_type& c, auto handler) { c.async_connect(options, std::move(handler)); });
    }
    /// Sends DISCONNECT after everything that was published before, and waits until the connection is closed.
    [[nodiscard]] std::error_code disconnect(milliseconds timeout = {}) {
        return disconnect(tern::disconnect{}, timeout);
    }
    [[nodiscard]] std::error_code disconnect(const tern::disconnect& packet, milliseconds timeout = {}) {
        return wait<detail::no_value>(timeout, [&](shared_client_type& c,
                                                   auto handler) { c.async_disconnect(packet, std::move(handler)); })
            .error;
    }
    /// Waits for the next connection event.
    call_result<connection_event> next_event(milliseconds timeout = {}) {
        return wait<connection_event>(
            timeout, [](shared_client_type& c, auto handler) { c.async_next_event(std::move(handler)); });
    }
    /// Waits for the event that follows a listener's position, and advances the position.
    call_result<connection_event> next_event(event_position& position, milliseconds timeout = {}) {
        return wait<connection_event>(
            timeout, [&](shared_client_type& c, auto handler) { c.async_next_event(position, std::move(handler)); });
    }
    /// Waits for the end of the run, and returns its cause: no error after `disconnect` or `cancel`.
    [[nodiscard]] std::error_code wait_stopped(milliseconds timeout = {}) {
        return wait<detail::no_value>(
                   timeout, [](shared_client_type& c, auto handler) { c.async_wait_stopped(std::move(handler)); })
            .error;
    }
    /// Authenticates again on this connection, and waits for its end, see `basic_client::async_reauthenticate`.
    [[nodiscard]] std::error_code reauthenticate(milliseconds timeout = {}) {
        return wait<detail::no_value>(
                   timeout, [](shared_client_type& c, auto handler) { c.async_reauthenticate(std::move(handler)); })
            .error;
    }
    /// Sets a function that is called in the client's thread for each step of an authentication, which any thread may
    /// answer, see `basic_client::set_authenticator`.
    void set_authenticator(std::function<void(authentication_step)> authenticator) {
        core_->client.set_authenticator(std::move(authenticator));
    }
    /// Sets a function that is called in the client's thread before each attempt to connect, which may proceed in any
    /// thread, see `basic_client::set_before_connect`.
    void set_before_connect(std::function<void(connect_attempt)> hook) {
        core_->client.set_before_connect(std::move(hook));
    }
    /// Sets a function that is called in the client's thread with a line of text for each connection event.
    void set_log(log_level minimum, std::function<void(log_level, std::string_view)> function) {
        core_->client.set_log(minimum, std::move(function));
    }
    /// Sends PINGREQ, and waits for the answer.
    [[nodiscard]] std::error_code ping(milliseconds timeout = {}) {
        return wait<detail::no_value>(timeout,
                                      [](shared_client_type& c, auto handler) { c.async_ping(std::move(handler)); })
            .error;
    }
    /// Ends the run immediately, as `basic_client::cancel`. Calls that wait in other threads return
    /// `asio::error::operation_aborted`. The client can connect again.
    void cancel() { core_->client.cancel(); }

    // ---- publishing

    /// Publishes a message, and waits until it is sent (QoS 0) or acknowledged (QoS 1 and 2).
    call_result<acknowledgement> publish(const message_view& message, milliseconds timeout = {}) {
        return publish(message, publish_options{.timeout = timeout});
    }
    /// The same with options, of which one is the time limit.
    call_result<acknowledgement> publish(const message_view& message, const publish_options& options) {
        return wait<acknowledgement>(
            {}, [&](shared_client_type& c, auto handler) { c.async_publish(message, options, std::move(handler)); });
    }
    call_result<acknowledgement> publish(const message& message, milliseconds timeout = {}) {
        return publish(message.view(), timeout);
    }
    call_result<acknowledgement> publish(const message& message, const publish_options& options) {
        return publish(message.view(), options);
    }
    /// Publishes a payload, which is text or bytes.
    call_result<acknowledgement> publish(std::string_view topic, payload_view payload, qos level,
                                         milliseconds timeout = {}) {
        return publish(message_view{.topic = topic, .payload = payload.text(), .qos = level}, timeout);
    }
    call_result<acknowledgement> publish(std::string_view topic, payload_view payload, milliseconds timeout = {}) {
        return publish(topic, payload, qos::at_most_once, timeout);
    }
    /// Publishes a message without waiting for its outcome: the fastest way, see `basic_shared_client::try_publish`.
    [[nodiscard]] std::error_code try_publish(const message_view& message, const publish_options& options = {}) {
        return core_->client.try_publish(message, options);
    }
    [[nodiscard]] std::error_code try_publish(const message& message, const publish_options& options = {}) {
        return core_->client.try_publish(message.view(), options);
    }
    [[nodiscard]] std::error_code try_publish(std::string_view topic, payload_view payload,
                                              qos level = qos::at_most_once) {
        return core_->client.try_publish(topic, payload, level);
    }
    /// Sets a function for messages of `try_publish` that were queued and then refused, see
    /// `basic_shared_client::set_refusal_callback`. It runs in the client's thread.
    void set_refusal_callback(std::function<void(std::error_code, const message_view&)> callback) {
        core_->client.set_refusal_callback(std::move(callback));
    }
    /// Waits until all messages that were published before have completed.
    [[nodiscard]] std::error_code drain(milliseconds timeout = {}) {
        if (!detail::is_valid_duration(timeout)) return misuse(errc::invalid_operation_timeout);
        return wait<detail::no_value>(
                   {}, [&](shared_client_type& c, auto handler) { c.async_drain(timeout, std::move(handler)); })
            .error;
    }

    // ---- subscriptions

    /// Subscribes to one topic filter, and waits for the broker's answer.
    call_result<acknowledgement> subscribe(const subscription& one, milliseconds timeout = {}) {
        return subscribe(std::span<const subscription>(&one, 1), timeout);
    }
    template <detail::filter_text Filter>
    call_result<acknowledgement> subscribe(const Filter& filter, milliseconds timeout = {}) {
        return subscribe(subscription{.filter = filter}, timeout);
    }
    template <detail::filter_text Filter>
    call_result<acknowledgement> subscribe(const Filter& filter, qos max_qos, milliseconds timeout = {}) {
        return subscribe(subscription{.filter = filter, .max_qos = max_qos}, timeout);
    }
    /// Subscribes to several topic filters with one packet. The time limit may be one of the options.
    ///
    ///     auto subscribed = client.subscribe({{.filter = "a/#"}, {.filter = "b"}}, 5s);
    call_result<acknowledgement> subscribe(std::span<const subscription> several, milliseconds timeout = {}) {
        return subscribe(several, subscribe_options{.timeout = timeout});
    }
    call_result<acknowledgement> subscribe(const subscription_list& list, milliseconds timeout = {}) {
        return subscribe(list.view(), timeout);
    }
    call_result<acknowledgement> subscribe(std::span<const subscription> several, const subscribe_options& options) {
        return wait<acknowledgement>(
            {}, [&](shared_client_type& c, auto handler) { c.async_subscribe(several, options, std::move(handler)); });
    }
    /// Ends the subscription to one topic filter, and waits for the broker's answer.
    template <detail::filter_text Filter>
    call_result<acknowledgement> unsubscribe(const Filter& filter, milliseconds timeout = {}) {
        const std::string_view text(filter);
        return unsubscribe(std::span<const std::string_view>(&text, 1), timeout);
    }
    /// Ends the subscriptions to several topic filters with one packet. The time limit may be one of the options.
    call_result<acknowledgement> unsubscribe(std::span<const std::string_view> several, milliseconds timeout = {}) {
        return unsubscribe(several, unsubscribe_options{.timeout = timeout});
    }
    template <detail::argument_of<filter_list> List>
    call_result<acknowledgement> unsubscribe(const List& list, milliseconds timeout = {}) {
        return unsubscribe(list.view(), timeout);
    }
    call_result<acknowledgement> unsubscribe(std::span<const std::string_view> several,
                                             const unsubscribe_options& options) {
        return wait<acknowledgement>({}, [&](shared_client_type& c, auto handler) {
            c.async_unsubscribe(several, options, std::move(handler));
        });
    }

    // ---- receiving

    /// Waits for the next message. It owns its contents. In manual mode any thread may acknowledge it.
    call_result<received_message> receive(milliseconds timeout = {}) {
        return wait<received_message>(timeout,
                                      [](shared_client_type& c, auto handler) { c.async_receive(std::move(handler)); });
    }
    /// Waits for the next messages, and receives all that are available, up to the size of `into`. The value is their
    /// number.
    call_result<std::size_t> receive_some(std::span<received_message> into, milliseconds timeout = {}) {
        return wait<std::size_t>(
            timeout, [&](shared_client_type& c, auto handler) { c.async_receive_some(into, std::move(handler)); });
    }
    /// Sets a function that is called in the client's thread with each received message, instead of storing messages
    /// for `receive`. An empty function removes it. It must not throw.
    void set_message_callback(std::function<void(const received&)> callback) {
        core_->client.set_message_callback(std::move(callback));
    }

    /// Refuses the message with the given token, which the message callback has, see `basic_client::reject`. Any thread
    /// may call it, and does not wait for the broker. `received_message::reject` does the same for other messages.
    std::error_code reject(message_token token, reason_code code, const ack_properties& properties = {}) {
        return core_->client.reject(token, code, properties);
    }

    // ---- the client

    /// Calls a function with the client, in the client's thread, and returns its result, which may be nothing. So
    /// everything of `basic_client` can be used. The function must not wait, and must not throw.
    ///
    ///     client.call([&](auto& c) { c.transport().set_options(options); });
    template <class F>
    auto call(F f) {
        using result = std::decay_t<std::invoke_result_t<F&, client_type&>>;
        using value = std::conditional_t<std::is_void_v<result>, detail::no_value, result>;
        auto done = wait<value>(
            {}, [&](shared_client_type& c, auto handler) { c.async_call(std::move(f), std::move(handler)); });
        if constexpr (std::is_void_v<result>)
            return done.error;
        else
            return done;
    }
    /// Starts an operation with the client, in the client's thread, and waits for its result: `initiate(client,
    /// handler)` with a handler `void(std::error_code, Result)`. It must not wait, and must not throw. The same limits
    /// apply as to the other functions that wait.
    template <class Result, class Initiate>
    call_result<Result> await(milliseconds timeout, Initiate initiate) {
        return wait<Result>(timeout, [&](shared_client_type& c, auto handler) {
            c.template async_start<Result>(std::move(initiate), std::move(handler));
        });
    }
    /// Returns the counters of the client.
    call_result<tern::counters> counters() {
        return wait<tern::counters>({},
                                    [](shared_client_type& c, auto handler) { c.async_counters(std::move(handler)); });
    }
    /// Returns the terms of the present connection, or of the last one, see `basic_client::connection`.
    call_result<connection_terms> connection() {
        return wait<connection_terms>(
            {}, [](shared_client_type& c, auto handler) { c.async_connection(std::move(handler)); });
    }
    /// Returns each topic filter, what is wanted and what the broker has granted, see `basic_client::subscriptions`.
    call_result<std::vector<subscription_state>> subscriptions() {
        return wait<std::vector<subscription_state>>(
            {}, [](shared_client_type& c, auto handler) { c.async_subscriptions(std::move(handler)); });
    }
    /// Returns a handle for operations that do not wait. It must not outlive this object.
    shared_client_type shared() const { return core_->client; }

private:
    // If memory runs out in a turn, the operations that need it have ended, and the rest continues.
    static void run(asio::io_context& io) {
        for (;;) {
            try {
                io.run();
                return;
            } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): see above
            }
        }
    }

    struct core {
        asio::io_context io{1};
        asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
        shared_client_type client{io};
        std::thread thread;

        bool is_own_thread() noexcept { return io.get_executor().running_in_this_thread(); }
    };

    // Starts an operation and waits for its end. While it waits it keeps the operation's result, not the core: the
    // destructor destroys the core, and with it the operation.
    template <class Result, class Initiate>
    call_result<Result> wait(milliseconds timeout, Initiate initiate) {
        if (core_->is_own_thread()) return {std::make_error_code(std::errc::resource_deadlock_would_occur)};
        if (!detail::is_valid_duration(timeout)) return {misuse(errc::invalid_operation_timeout)};
        const std::weak_ptr<core> alive = core_;
        const auto call = std::make_shared<detail::blocking_call<Result>>();
        initiate(core_->client, detail::blocking_handler<Result>(call));
        if (timeout.count() == 0) {
            call->wait();
            return {call->error(), call->take_result()};
        }
        if (!call->wait_for(timeout)) {
            if (const auto c = alive.lock()) asio::post(c->io, [call] { call->cancel(); });
            call->wait();
            if (call->error() == asio::error::operation_aborted)
                return {misuse(errc::operation_timeout), call->take_result()};
        }
        return {call->error(), call->take_result()};
    }

    std::shared_ptr<core> core_;
};

} // namespace tern
