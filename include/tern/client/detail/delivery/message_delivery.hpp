// Delivers received messages to the message callback, to an operation that waits for them, or to the inbox. The client
// acknowledges a message when the application has received it, or in manual mode when the application acknowledges it.
//
// A message belongs to the inbox until the handler of its operation is called. The operation has the message before
// that only to save a copy: it returns the message to the inbox if it is cancelled.
#pragma once

#include "tern/client/detail/delivery/inbox.hpp"
#include "tern/client/detail/delivery/message_pool.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/pending.hpp"
#include "tern/client/message_sink.hpp"
#include "tern/client/received_message.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/message.hpp"
#include "tern/session/session.hpp"

#include <asio/error.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace tern::detail {

class message_delivery {
public:
    using callback = std::function<void(const received&)>;
    using receive_op = operation_ptr<operation_of<received_message>>;
    using receive_some_op = operation_ptr<operation_of<std::size_t>>;

    /// The owner's next step after the delivery of a message.
    enum class next_step : std::uint8_t {
        take_events,   ///< It continues with the next event.
        pause,         ///< It updates delivery: the inbox is full.
        call_handlers, ///< It calls handlers first: the receiving handler may start the next receive operation.
    };

    message_delivery(session& s, pending& operations, message_owner& owner) noexcept
        : session_(s)
        , operations_(operations)
        , owner_(owner) {}
    message_delivery(const message_delivery&) = delete;
    message_delivery& operator=(const message_delivery&) = delete;
    ~message_delivery() = default;

    // ---- requests

    void receive(receive_op op) {
        if (operations_.is_receiving() || inbox_.is_empty()) return wait_for_message(op.release());
        take_stored(op.get());
        operations_.complete_new(op.release(), {}, location::received);
    }

    void receive_some(receive_some_op op, std::span<received_message> into) {
        if (into.empty()) return operations_.complete_new(op.release(), misuse(errc::invalid_argument));
        op->target = into;
        op->is_batch = true;
        if (operations_.is_receiving() || inbox_.is_empty()) return wait_for_message(op.release());
        take_stored(op.get());
        operations_.complete_new(op.release(), {}, location::received);
    }

    /// Passes the messages of a completed operation to the application. Its handler is called next.
    void hand_over(operation* op) noexcept {
        for (received_message& m : messages_of(op))
            hand_over(m);
    }
    /// Drops the messages of a completed operation, because the client is destroyed.
    void drop(operation* op) noexcept {
        for (received_message& m : messages_of(op))
            m = {};
        abort(op);
    }
    /// Cancels an operation that waits for messages, or has some and is not handed over. The messages go back to the
    /// inbox, or to the operations that wait. If allocation fails, the operation completes with them nevertheless.
    TERN_COLD void cancel(operation* op) noexcept {
        if (!inbox_.put_back(messages_of(op))) return;
        if (operations_.remove(op)) operations_.complete(op, {});
        abort(op);
        while (operations_.is_receiving() && !inbox_.is_empty()) {
            take_stored(operations_.receive());
            operations_.complete_with_messages(operations_.take_receive());
        }
    }

    bool has_messages() const noexcept { return !inbox_.is_empty(); }
    /// Removes and returns the first message of the inbox.
    received_message take() {
        received_message m = inbox_.pop();
        hand_over(m);
        return m;
    }

    /// Sets the callback. The previous one may be running: in a turn it stays alive until `drop_replaced_callbacks`.
    TERN_COLD void set_callback(callback f, bool in_turn) {
        heap_optional<held_callback> fresh;
        if (f) fresh.emplace(std::move(f));
        heap_optional<held_callback> other = std::move(callback_);
        callback_ = std::move(fresh);
        if (!other || !in_turn) return;
        other->older = std::move(replaced_callbacks_);
        replaced_callbacks_ = std::move(other);
    }
    /// Destroys the callbacks that were replaced in a turn, at its end.
    void drop_replaced_callbacks() noexcept {
        while (replaced_callbacks_) [[unlikely]] { // one by one, because there may be very many
            heap_optional<held_callback> one = std::move(replaced_callbacks_);
            replaced_callbacks_ = std::move(one->older);
        }
    }

    /// Sets the object that sees each message first. Null removes it.
    TERN_COLD void set_sink(std::shared_ptr<message_sink> sink) noexcept {
        const auto replaced = sink_; // it can still acknowledge
        if (replaced) replaced->on_client_end(client_end::replaced);
        sink_ = std::move(sink);
    }
    TERN_COLD void end_sink(client_end end) noexcept {
        if (const auto ended = std::exchange(sink_, nullptr)) ended->on_client_end(end);
    }
    TERN_COLD void report(const connection_event_view& e) noexcept {
        if (sink_) sink_->on_event(e);
    }

    /// Returns a copy of a message for the application.
    received_message keep(const received& e) {
        received_message kept = copy(e);
        message_owner::hand_over(kept, owner());
        return kept;
    }

    /// Frees the memory that is not in use.
    TERN_COLD TERN_NOINLINE void trim() noexcept {
        inbox_.trim();
        messages_.trim();
    }

    bool is_manual() const noexcept { return acknowledge_ == acknowledgement_mode::manual; }
    /// Whether the application acknowledges messages, or the sink does.
    bool accepts_acknowledgements() const noexcept { return is_manual() || sink_; }

    // ---- a run

    void start(const connect_options& options) noexcept {
        inbox_.set_limits(options);
        acknowledge_ = options.acknowledge;
        unreported_end_ = {};
    }

    /// Ends the operations that wait. No error means that the application requested the end. If no operation waits, the
    /// next one reports the unreported error.
    TERN_COLD void end(std::error_code error, std::error_code unreported) {
        if (!operations_.is_receiving()) unreported_end_ = unreported;
        complete_batch();
        while (operations_.is_receiving())
            operations_.complete(operations_.take_receive(), error ? error : misuse(errc::disconnected));
    }

    // ---- messages

    /// Whether the inbox has room. If it is full, messages stay in the session's buffer, and further ones with the
    /// broker, unless an operation waits for an answer behind them.
    delivery wanted() const noexcept {
        const delivery of_sink = sink_ ? sink_->wanted_delivery() : delivery::open;
        if (of_sink == delivery::full || !inbox_.is_full()) return of_sink;
        return inbox_.is_at_hard_limit() ? delivery::full : delivery::limited;
    }
    /// Adds the number of QoS 0 messages for which the inbox had no room.
    counters with_dropped(counters all) const noexcept {
        all.received_dropped = dropped_;
        return all;
    }
    /// Delivers a message. If it throws, the message is not delivered.
    next_step deliver(const received& e) {
        if (sink_) [[unlikely]]
            if (const auto step = offer_to_sink(e)) return *step;
        if (!callback_) return store(e);
        callback_->call(e); // which may replace itself, more than once
        if (!is_manual()) session_.release(e.token);
        return next_step::take_events;
    }

    /// Completes an operation for several messages with those that it has, because no further message is available at
    /// the moment.
    void complete_batch() noexcept {
        operation* const op = operations_.receive();
        if (op && op->is_batch && as_batch(op)->result() != 0)
            operations_.complete_with_messages(operations_.take_receive());
    }

private:
    struct held_callback {
        callback call;
        heap_optional<held_callback> older = {}; // which was replaced before this one
    };

    // Returns nothing if the sink leaves the message to the application.
    TERN_NOINLINE std::optional<next_step> offer_to_sink(const received& e) {
        const auto sink = sink_;
        const message_route route = sink->on_message(e);
        if (route == message_route::passed) return std::nullopt;
        if (route == message_route::finished) session_.release(e.token);
        return sink->wanted_delivery() == delivery::open ? next_step::take_events : next_step::pause;
    }

    static receive_some_op::pointer as_batch(operation* op) noexcept {
        return static_cast<receive_some_op::pointer>(op);
    }
    static receive_op::pointer as_single(operation* op) noexcept { return static_cast<receive_op::pointer>(op); }

    // The messages that an operation has so far.
    static std::span<received_message> messages_of(operation* op) noexcept {
        if (op->is_batch) return as_batch(op)->target.first(as_batch(op)->result());
        if (op->where != location::received) return {};
        return {&as_single(op)->result(), 1};
    }
    // Ends a completed operation, whose handler is called later, without messages.
    static void abort(operation* op) noexcept {
        if (op->is_batch) as_batch(op)->result() = 0;
        op->where = location::done;
        op->error = asio::error::operation_aborted;
    }
    // The operation takes the first messages of the inbox.
    void take_stored(operation* op) noexcept {
        if (!op->is_batch) {
            as_single(op)->result() = inbox_.pop();
            return;
        }
        std::size_t& count = as_batch(op)->result();
        while (count != as_batch(op)->target.size() && !inbox_.is_empty())
            as_batch(op)->target[count++] = inbox_.pop();
    }
    auto allocator() noexcept {
        return [this](std::size_t size) { return messages_.allocate(size); };
    }

    void wait_for_message(operation* op) noexcept {
        if (!session_.is_idle()) return operations_.add_receive(op);
        operations_.complete_new(op,
                                 unreported_end_ ? std::exchange(unreported_end_, {}) : misuse(errc::not_connected));
    }

    next_step store(const received& e) {
        operation* const op = operations_.receive();
        if (!op) return store_in_inbox(e);
        if (op->is_batch) {
            std::size_t& count = as_batch(op)->result();
            assign(as_batch(op)->target[count], e);
            if (++count != as_batch(op)->target.size()) return next_step::take_events;
        } else {
            assign(as_single(op)->result(), e);
        }
        operations_.complete_with_messages(operations_.take_receive());
        return operations_.is_receiving() ? next_step::take_events : next_step::call_handlers;
    }
    TERN_NOINLINE next_step store_in_inbox(const received& e) {
        if (e.token == message_token::none && inbox_.is_at_hard_limit()) {
            ++dropped_;
            return next_step::take_events;
        }
        if (e.dup && replace_copy(e)) return next_step::take_events;
        inbox_.push(copy(e), e.packet_id);
        return inbox_.is_full() ? next_step::pause : next_step::take_events;
    }
    // A QoS 1 message that came again takes the place of the copy that the application has not taken. Returns whether
    // there is one.
    TERN_COLD TERN_NOINLINE bool replace_copy(const received& e) {
        if (e.qos != qos::at_least_once) return false;
        received_message* const m = inbox_.find_copy(e);
        if (!m || !session_.supersede(message_owner::token_of(*m))) return false;
        message_owner::set_token(*m, e.token);
        return true;
    }
    void assign(received_message& to, const received& e) {
        to.assign(e, allocator());
        message_owner::set_arrival(to, ++arrivals_);
    }

    // Makes the only copy of a message in the client.
    received_message copy(const received& e) {
        received_message copied(e, allocator());
        message_owner::set_arrival(copied, ++arrivals_);
        return copied;
    }

    // Returns the owner through which a message acknowledges itself. It is empty in automatic mode.
    std::weak_ptr<message_owner> owner() noexcept {
        return is_manual() ? owner_.weak_from_this() : std::weak_ptr<message_owner>{};
    }
    // Passes a message to the application, and releases it in automatic mode.
    TERN_INLINE void hand_over(received_message& m) noexcept {
        const message_token token = message_owner::hand_over(m, owner());
        if (!is_manual()) session_.release(token);
    }

    session& session_;
    pending& operations_;
    message_owner& owner_;
    std::uint64_t dropped_ = 0;
    std::error_code unreported_end_; // why the run ended, if no operation waited for a message
    acknowledgement_mode acknowledge_ = acknowledgement_mode::automatic;
    std::uint32_t arrivals_ = 0; // wraps around
    message_pool messages_;
    inbox inbox_;
    std::shared_ptr<message_sink> sink_; // null: none
    heap_optional<held_callback> callback_;
    heap_optional<held_callback> replaced_callbacks_; // in this turn; one of them may be running
};

} // namespace tern::detail
