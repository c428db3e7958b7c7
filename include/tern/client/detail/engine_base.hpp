// The interface of the engine that a client uses. It is independent of the transport. A file that only uses a client
// compiles neither the engine nor the session. The file that constructs the client compiles them.
#pragma once

#include "tern/client/authentication_step.hpp"
#include "tern/client/connect_attempt.hpp"
#include "tern/client/connect_result.hpp"
#include "tern/client/detail/delivery/event_log.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/transport/exclusive_use.hpp"
#include "tern/client/detail/transport/tap.hpp"
#include "tern/client/event_position.hpp"
#include "tern/client/message_sink.hpp"
#include "tern/client/received_message.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/session/connection_terms.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/session/subscription_state.hpp"

#include <asio/execution/outstanding_work.hpp>
#include <asio/prefer.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern::detail {

/// The lifetime of an engine.
///
///     idle --connect--> alive --stopped--> idle
///     each of these --the client is destroyed--> destroyed
///     each of these --the execution context is shut down--> context_shut_down
enum class lifetime : std::uint8_t {
    idle,              ///< No connection is requested.
    alive,             ///< A run is in progress, with or without a connection.
    destroyed,         ///< The client is destroyed. Operations of the transport keep the engine alive.
    context_shut_down, ///< The executor no longer calls handlers.
};

/// The executor has outstanding work while an operation is pending, and during a run.
template <class Executor>
class outstanding_work {
public:
    template <class Owner>
    TERN_INLINE void update(lifetime l, bool is_pending, Owner& owner) noexcept {
        if (l != lifetime::alive && !is_pending)
            end();
        else if (!work_ && l != lifetime::context_shut_down)
            begin(owner.get_executor());
    }
    TERN_COLD void end() noexcept { work_.reset(); }

private:
    using work =
        std::decay_t<decltype(asio::prefer(std::declval<Executor>(), asio::execution::outstanding_work.tracked))>;

    TERN_COLD void begin(const Executor& executor) noexcept {
        work_.emplace(asio::prefer(executor, asio::execution::outstanding_work.tracked));
    }

    std::optional<work> work_;
};

/// Whether the request of a message needs the exact time. Other requests use the time of the turn.
inline bool needs_exact_time(const message_view& message, const publish_options& options) noexcept {
    return options.time_to_live.count() != 0 || message.properties.message_expiry_interval;
}
/// Whether a message is written immediately, while it is still in the cache.
inline bool is_large(const message_view& message) noexcept {
    return message.payload.size() >= std::size_t{64} * 1024;
}

template <class Executor>
class engine_base : public message_owner {
public:
    using executor_type = Executor;
    using connect_op = operation_ptr<operation_of<connect_result>>;
    using ack_op = operation_ptr<operation_of<acknowledgement>>;
    using event_op = operation_ptr<operation_of<connection_event>>;
    using receive_op = operation_ptr<operation_of<received_message>>;
    using receive_some_op = operation_ptr<operation_of<std::size_t>>;
    using plain_op = operation_ptr<operation_of<>>;

    virtual executor_type get_executor() noexcept = 0;
    /// Returns the memory of operations.
    operation_pool& pool() noexcept { return pool_; }
    /// Excludes other threads while the result lives. The caller of what follows enters first.
    exclusive_use::scope enter() { return exclusive_use::scope(use_); }
    /// Returns the address of the transport. The client knows its type.
    virtual void* transport_address() noexcept = 0;

    virtual bool is_connected() const noexcept = 0;
    virtual tern::counters counters() const noexcept = 0;
    virtual connection_terms connection() const = 0;
    virtual std::vector<subscription_state> subscriptions() = 0;

    virtual void set_before_connect(std::function<void(connect_attempt)> hook) = 0;
    virtual void set_authenticator(std::function<void(authentication_step)> hook) = 0;
    virtual void set_packet_tap(std::shared_ptr<tap> t) = 0;
    virtual void set_message_callback(std::function<void(const received&)> callback) = 0;
    virtual void set_message_sink(std::shared_ptr<message_sink> sink) = 0;
    /// Returns the log. Its first user makes it.
    virtual std::shared_ptr<event_log>& log() noexcept = 0;
    virtual received_message keep(const received& message) = 0;

    /// Joins the turn that the calling thread runs, as it does in handlers: the turn repeats its work. Returns false if
    /// the thread runs none.
    TERN_INLINE bool join_turn() noexcept {
        if (turn_thread_.load(std::memory_order_relaxed) != exclusive_use::this_thread()) [[unlikely]]
            return false;
        turn_ = turn::requested;
        return true;
    }
    /// Requests a turn: the current one, or otherwise the next one on the executor. Throws if allocation fails.
    void request_turn() {
        if (!join_turn()) schedule_turn();
    }
    /// Enters for a request that the turn of the calling thread processes, or otherwise a new one.
    TERN_INLINE exclusive_use::scope enter_for_request() {
        return join_turn() ? exclusive_use::scope() : enter_from_outside();
    }

    // ---- requests; the client calls `enter_for_request` before each

    virtual void connect(connect_op op, const connect_options& options) = 0;
    virtual void publish(ack_op op, const message_view& message, const publish_options& options) = 0;
    virtual std::error_code try_publish(const message_view& message, const publish_options& options) = 0;
    virtual void subscribe(ack_op op, const subscriptions_view& list, const subscribe_properties& properties) = 0;
    virtual void unsubscribe(ack_op op, const filters_view& list, const unsubscribe_properties& properties) = 0;
    virtual void receive(receive_op op) = 0;
    virtual void receive_some(receive_some_op op, std::span<received_message> into) = 0;
    virtual std::optional<received_message> try_receive() = 0;
    virtual void ping(plain_op op) = 0;
    virtual void reauthenticate(plain_op op) = 0;
    virtual void drain(plain_op op, std::chrono::milliseconds timeout) = 0;
    virtual void disconnect(plain_op op, const tern::disconnect& packet) = 0;
    /// Without a position, waits at the client's own.
    virtual void next_event(event_op op, event_position* position) = 0;
    virtual void wait_stopped(plain_op op) = 0;

    /// Precedes a request whose operation has a time limit. Returns false if it has completed the operation, because
    /// the limit is out of range.
    virtual bool prepare_limit(ack_op& op, std::chrono::milliseconds limit) = 0;
    /// Follows the request.
    virtual void set_limit(operation* op, std::chrono::milliseconds limit) = 0;

    void publish_within(ack_op op, const message_view& message, const publish_options& options) {
        within(std::move(op), options.timeout, [&](ack_op& o) { publish(std::move(o), message, options); });
    }
    void subscribe_within(ack_op op, const subscriptions_view& list, const subscribe_options& options) {
        within(std::move(op), options.timeout, [&](ack_op& o) { subscribe(std::move(o), list, options.properties); });
    }
    void unsubscribe_within(ack_op op, const filters_view& list, const unsubscribe_options& options) {
        within(std::move(op), options.timeout, [&](ack_op& o) { unsubscribe(std::move(o), list, options.properties); });
    }
    void subscribe_one(ack_op op, const subscription& one, const subscribe_options& options) {
        subscribe_within(std::move(op), std::span<const subscription>(&one, 1), options);
    }
    void unsubscribe_one(ack_op op, std::string_view filter, const unsubscribe_options& options) {
        unsubscribe_within(std::move(op), std::span<const std::string_view>(&filter, 1), options);
    }

    // ---- ends

    /// Passes the result to an operation that has ended. Its handler is called next.
    virtual void hand_over(operation* op) = 0;
    /// Ends an operation whose cancellation slot was signalled. A request that was already sent continues without it.
    virtual void cancel(operation* op) = 0;
    /// Ends all operations with `operation_aborted`.
    virtual void cancel_all() = 0;
    /// Ends all operations with `operation_aborted`, without the session, because the client is destroyed.
    virtual void shut_down() = 0;

protected:
    engine_base() = default;
    ~engine_base() = default;

    enum class turn : std::uint8_t {
        running,   ///< It does its work.
        requested, ///< It has to repeat its work.
    };

    // Makes a request. Nothing may fail once the engine has the operation.
    template <class Request>
    void within(ack_op op, std::chrono::milliseconds limit, Request make) {
        operation* const begun = op.get();
        if (limit.count() == 0) return make(op);
        if (!prepare_limit(op, limit)) return;
        make(op);
        set_limit(begun, limit);
    }

    virtual void schedule_turn() = 0;
    TERN_NOINLINE exclusive_use::scope enter_from_outside() {
        exclusive_use::scope inside(use_);
        schedule_turn();
        return inside;
    }

    operation_pool pool_;
    exclusive_use use_;
    std::atomic<const void*> turn_thread_ = nullptr; // the thread that runs a turn; other threads may read it
    turn turn_ = turn::running;                      // valid during a turn
};

/// Makes the engine of a client, with the given transport or with one constructed from the executor. `make_engine.hpp`
/// defines both functions.
template <class Transport, class Executor>
std::shared_ptr<engine_base<Executor>> make_engine(const Executor& executor);
template <class Transport, class Executor>
std::shared_ptr<engine_base<Executor>> make_engine_on(Transport transport);

} // namespace tern::detail
