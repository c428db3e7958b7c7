// Delivers the changes of the connection. CONNACK completes the connect operation. Events enter the history of the
// newest events, and complete the operations that wait for the next one. The cursor of an operation advances when its
// handler is called, so that the operation can be cancelled until then. The end of the run completes connect and
// disconnect operations, and those that wait for it.
#pragma once

#include "tern/client/connect_result.hpp"
#include "tern/client/detail/delivery/event_history.hpp"
#include "tern/client/detail/delivery/event_log.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/pending.hpp"
#include "tern/client/event_position.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/event.hpp"
#include "tern/session/session.hpp"

#include <asio/error.hpp>

#include <memory>
#include <system_error>
#include <utility>

namespace tern::detail {

class connection_delivery {
public:
    using connect_op = operation_ptr<operation_of<connect_result>>;
    using next_event_op = operation_ptr<operation_of<connection_event>>;

    /// Waits at the position of a listener, or without one at the client's own.
    TERN_COLD void next_event(next_event_op op, event_position* position, pending& operations) {
        event_cursor& at = position ? events_.cursor_of(*position) : own_;
        op->at = &at;
        events_.begin(at);
        if (!events_.has_next(at)) return operations.add_next_event(op.release());
        ++at.reserved;
        operations.complete_new(op.release(), {}, location::event);
    }
    /// Passes the next event to a completed operation. Its handler is called next.
    TERN_COLD void hand_over(operation* op) noexcept {
        as_next_event(op)->result() = events_.read(cursor_of(op));
        op->where = location::done;
    }
    /// Cancels a completed operation. Its event stays for the next one at the same cursor.
    TERN_COLD void cancel(operation* op, pending& operations) noexcept {
        op->where = location::done;
        op->error = asio::error::operation_aborted;
        --cursor_of(op).reserved;
        complete_waiting(operations);
    }

    /// Cancels the operations that wait for an event.
    TERN_COLD void cancel_all(pending& operations) noexcept {
        while (operations.awaits_event())
            operations.complete(operations.take_next_event(), asio::error::operation_aborted);
    }

    /// After a refusal the operation waits for the end of the run.
    TERN_COLD void deliver(const connected& e, pending& operations) {
        auto* const op = static_cast<connect_op::pointer>(operations.connect());
        if (!op) return;
        op->result() = copy_or_strip<connect_result>(e.packet);
        if (!e.error) operations.complete(operations.take_connect(), {});
    }

    TERN_COLD void deliver(const connection_event_view& e, pending& operations) noexcept {
        events_.push(e) ? complete_waiting(operations) : complete_with(e, operations);
    }

    /// Completes the connect operation at the end of the run. No error means that the application requested the end.
    /// Returns whether there was one.
    TERN_COLD bool end_connect(std::error_code error, pending& operations) {
        auto* const op = static_cast<connect_op::pointer>(operations.connect());
        if (!op) return false;
        if (error.category() != refusal_category()) op->result() = {}; // discards the result of an earlier attempt
        operations.complete(operations.take_connect(), error ? error : misuse(errc::disconnected));
        return true;
    }
    /// Completes the operations that wait for the end of the run. If the run was cancelled, disconnect operations were
    /// started after that, which has disconnected as they request.
    TERN_COLD void end_run(std::error_code error, pending& operations) noexcept {
        end_of_last_run_ = error == asio::error::operation_aborted ? std::error_code{} : error;
        end_disconnects(end_of_last_run_, operations);
        while (operations.awaits_stopped())
            operations.complete(operations.take_stopped(), end_of_last_run_);
    }
    void end_disconnects(std::error_code error, pending& operations) noexcept {
        while (operations.is_disconnecting())
            operations.complete(operations.take_disconnect(), error);
    }
    /// Waits for the end of the run.
    TERN_COLD void wait_stopped(operation_ptr<operation_of<>> op, const session& from, pending& operations) noexcept {
        if (from.is_idle()) return operations.complete_new(op.release(), end_of_last_run_);
        operations.add_stopped(op.release());
    }
    /// The client is destroyed. Operations that have completed no longer need their positions, the others are aborted.
    TERN_COLD void shut_down(pending& operations) noexcept {
        operations.for_each_ready([&](operation* op) {
            if (op->where == location::event) hand_over(op);
        });
        while (operation* const op = operations.take_any())
            operations.complete(op, asio::error::operation_aborted);
    }

    /// Adds a line about an event to the log.
    TERN_COLD void log(const connection_event_view& e, const session& from, pending& operations) noexcept {
        if (!log_) return;
        operation* const line = log_->line_about(e, from.client_id(), from.target());
        if (line) operations.complete(line, {});
    }
    /// Returns the log. It is null until the application uses it.
    std::shared_ptr<event_log>& log() noexcept { return log_; }
    TERN_COLD void silence_log() {
        if (log_) log_->set({}, {});
    }

private:
    static next_event_op::pointer as_next_event(operation* op) noexcept {
        return static_cast<next_event_op::pointer>(op);
    }
    static event_cursor& cursor_of(operation* op) noexcept { return *as_next_event(op)->at; }

    // Completes the operations that wait, as long as there are events for them.
    TERN_COLD void complete_waiting(pending& operations) noexcept {
        operations.for_each_next_event([&](operation* op) {
            if (!events_.has_next(cursor_of(op))) return;
            ++cursor_of(op).reserved;
            operations.complete_with_event(operations.take_next_event(op));
        });
    }
    // The event cannot be kept. One operation at each cursor completes with it.
    TERN_COLD void complete_with(const connection_event_view& e, pending& operations) noexcept {
        operations.for_each_next_event([&](operation* op) {
            if (!events_.skip_last(cursor_of(op))) return;
            as_next_event(op)->result() = copy_or_strip<connection_event>(e);
            operations.complete(operations.take_next_event(op), {});
        });
    }

    event_history events_;
    event_cursor own_;                // the client's own position
    std::error_code end_of_last_run_; // none: the application requested the end, or there was no run
    std::shared_ptr<event_log> log_;
};

} // namespace tern::detail
