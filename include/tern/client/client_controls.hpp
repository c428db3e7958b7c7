// The part of the client's interface that starts no operation.
#pragma once

#include "tern/client/authentication_step.hpp"
#include "tern/client/connect_attempt.hpp"
#include "tern/client/detail/engine_base.hpp"
#include "tern/client/detail/transport/tap.hpp"
#include "tern/client/log_level.hpp"
#include "tern/client/message_sink.hpp"
#include "tern/client/received_message.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/connection_terms.hpp"
#include "tern/session/event.hpp"
#include "tern/session/event_text.hpp"
#include "tern/session/subscription_state.hpp"

#if !defined(TERN_SEPARATE_COMPILATION)
#include "tern/client/detail/delivery/event_log_lines.hpp"
#include "tern/client/detail/packet_tap.hpp"
#endif

#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace tern {

/// What a client shows, and the functions that it calls. It is the base of `basic_client`, and is not used by itself.
///
/// These functions do their work at once. The rules for threads and lifetimes of `basic_client` apply.
template <class Executor>
class client_controls {
public:
    /// Returns whether there is a connection that the broker has accepted.
    bool is_connected() const noexcept {
        const auto inside = engine_->enter();
        return engine_->is_connected();
    }

    /// Returns the totals since the client was constructed, and the numbers of currently waiting items.
    tern::counters counters() const noexcept {
        const auto inside = engine_->enter();
        return engine_->counters();
    }

    /// Returns the terms of the present connection, or of the last one: the broker's CONNACK, with the standard's
    /// defaults for all that it leaves out. They are those of the newest connection after each reconnect.
    ///
    /// Before the first CONNACK of a run, these are the defaults and the client's own options.
    ///
    ///     const tern::connection_terms terms = client.connection();
    ///     if (terms.maximum_qos == tern::qos::at_most_once) { /* the broker takes QoS 0 only */ }
    connection_terms connection() const {
        const auto inside = engine_->enter();
        return engine_->connection();
    }

    /// Returns each topic filter with what the program wants, what the broker has granted, and on which connection.
    /// Throws only if allocation fails.
    std::vector<subscription_state> subscriptions() const {
        const auto inside = engine_->enter();
        return engine_->subscriptions();
    }

    /// Sets a function that the client calls before each attempt to connect, including the first. The function decides
    /// when and how the attempt proceeds. An empty function removes it.
    ///
    /// It receives a `connect_attempt`, which it can use immediately or store for later. With it, the function can
    /// renew a password or a token, select the endpoint, or fail the attempt. The client calls it on its executor,
    /// never inside `async_connect`. The timeouts of `connect_options` do not run while the function decides.
    /// `async_disconnect` and `cancel` do not wait for it. An exception that it throws propagates out of the executor's
    /// `run`.
    ///
    ///     client.set_before_connect([&](tern::connect_attempt attempt) {
    ///         auto renew = [&, attempt = std::move(attempt)]() mutable -> asio::awaitable<void> {
    ///             const std::string token = co_await fetch_token();
    ///             attempt.proceed({.password = token}); // not reached if that throws: then the attempt fails
    ///         };
    ///         asio::co_spawn(client.get_executor(), std::move(renew), asio::detached);
    ///     });
    void set_before_connect(std::function<void(connect_attempt)> hook) {
        const auto inside = engine_->enter();
        engine_->set_before_connect(std::move(hook));
    }

    /// Sets a function that the client calls for each step of an authentication with the Authentication Method of
    /// `connect_options::properties` [§4.12]: at each connection, and after `async_reauthenticate`. 5.0 only. An empty
    /// function removes it.
    ///
    /// It receives an `authentication_step`, which it can use immediately or store for later, at most for
    /// `connect_options::authentication_timeout`. At a connection the steps are: `begin`, when the transport is open;
    /// `answer`, for each AUTH of the broker; and `verify`, when the broker has accepted the client. The client sends
    /// nothing else, and delivers nothing, before the function has answered that. It calls the function on its
    /// executor, never inside one of its own functions, and the function may use and destroy the client. An exception
    /// that it throws propagates out of the executor's `run`. Neither events nor the log show the data. Without an
    /// authenticator, CONNECT has the method and data of the options, and AUTH of the broker violates the protocol.
    ///
    ///     client.set_authenticator([&](tern::authentication_step step) {
    ///         auto reply = [&, step = std::move(step)]() mutable -> asio::awaitable<void> {
    ///             const std::string data = co_await sign(step.data().value_or(""));
    ///             step.answer(data); // not reached if that throws: then the authentication fails
    ///         };
    ///         asio::co_spawn(client.get_executor(), std::move(reply), asio::detached);
    ///     });
    void set_authenticator(std::function<void(authentication_step)> authenticator) {
        const auto inside = engine_->enter();
        engine_->set_authenticator(std::move(authenticator));
    }

    /// Sets a function that the client calls with a line of text for each connection event that matters at least as
    /// much as `minimum`. An empty function removes it.
    ///
    /// A line has the client identifier, the endpoint, and the sentence that `to_string` returns for the event. It has
    /// no line break, and no password, token or other secret of the options. The client calls the function as it calls
    /// handlers: on its executor, never inside one of its own functions. The function may use and destroy the client,
    /// and set another one. An exception that it throws propagates out of the executor's `run`. If memory runs out,
    /// lines are lost.
    ///
    ///     client.set_log(tern::log_level::info, [](tern::log_level level, std::string_view line) {
    ///         std::clog << to_string(level) << ": " << line << '\n';
    ///     }); // info: client "sensor-1" at "localhost" port 1883: connected to "localhost" port 1883
    void set_log(log_level minimum, std::function<void(log_level, std::string_view line)> function) {
        const auto engine = engine_; // the function that is replaced may own the client
        const auto inside = engine->enter();
        if (!engine->log()) engine->log() = detail::make_event_log();
        engine->log()->set(minimum, std::move(function));
    }

    /// Sets a function that the client calls with each received or sent packet, from the next connection on. An empty
    /// function removes it.
    ///
    /// The client passes a received packet before it acts on the packet, and a sent packet when the operating system
    /// has accepted it. The data that the packet borrows is valid during the call. The function may set another one,
    /// and is then not called again, and it may destroy the client. It must not use the client otherwise and must not
    /// throw. Bytes that form no valid packet stop the calls in their direction until the next connection. With
    /// `tern/format.hpp` a packet can be printed, without passwords:
    ///
    ///     client.set_packet_tap([](tern::packet_direction direction, const tern::any_packet& packet) {
    ///         fmt::print(stderr, "{} {}\n", direction, packet); // sent PUBLISH QoS 0, "home/door", "open" (4 bytes)
    ///     });
    void set_packet_tap(std::function<void(packet_direction, const any_packet&)> observer) {
        const auto inside = engine_->enter();
        engine_->set_packet_tap(detail::make_packet_tap<any_packet>(std::move(observer)));
    }

    /// Sets a function that the client calls with each received message, instead of storing messages for
    /// `async_receive`. An empty function removes it.
    ///
    /// This is the fastest way to receive, because the client does not copy the message. The data that the message
    /// borrows is valid during the call. `keep` makes a copy. The client acknowledges a QoS 1 or 2 message when the
    /// function returns. In manual mode `acknowledge`, or the copy, acknowledges it. If the function throws, the
    /// exception propagates out of the executor's `run`. A QoS 1 or 2 message then stays unacknowledged and arrives
    /// again on a new connection.
    ///
    /// The client calls the function on its executor, never inside one of its own functions. The function may start
    /// operations, set another function and destroy the client. Messages stored earlier remain available through
    /// `async_receive` and `try_receive`.
    ///
    ///     client.set_message_callback([](const tern::received& m) {
    ///         fmt::print("{}: {}\n", m.topic, m.payload);
    ///     });
    void set_message_callback(std::function<void(const received&)> callback) {
        const auto inside = engine_->enter();
        engine_->set_message_callback(std::move(callback));
    }

    /// Sets an object that sees each received message and each connection event first, such as the core of a
    /// `message_router`. Null removes it. The client keeps it until it is replaced or the client is destroyed.
    void set_message_sink(std::shared_ptr<message_sink> sink) {
        const auto inside = engine_->enter();
        engine_->set_message_sink(std::move(sink));
    }

    /// Copies the message, so that it outlives the call of the message callback. Call this only in a message callback.
    received_message keep(const received& message) { return engine_->keep(message); }

    /// Acknowledges the message with the given token, as `received_message::acknowledge` does. Call this in a message
    /// callback or later.
    void acknowledge(message_token token) { engine_->acknowledge(token); }

    /// Refuses the message with the given token, as `received_message::reject` does. In automatic mode a message
    /// callback may call this for its message.
    ///
    ///     client.set_message_callback([&](const tern::received& m) {
    ///         if (!is_known(m.topic)) client.reject(m.token, tern::reason_code::topic_name_invalid);
    ///     });
    std::error_code reject(message_token token, reason_code code, const ack_properties& properties = {}) {
        return engine_->reject(token, code, properties);
    }

protected:
    explicit client_controls(std::shared_ptr<detail::engine_base<Executor>> engine) noexcept
        : engine_(std::move(engine)) {}
    client_controls(client_controls&&) noexcept = default;
    client_controls& operator=(client_controls&& other) noexcept {
        client_controls taken(std::move(other));
        engine_.swap(taken.engine_);
        return *this;
    }
    client_controls(const client_controls&) = delete;
    client_controls& operator=(const client_controls&) = delete;
    ~client_controls() {
        if (!engine_) return;
        const auto inside = engine_->enter();
        engine_->shut_down();
    }

    std::shared_ptr<detail::engine_base<Executor>> engine_;
};

} // namespace tern
