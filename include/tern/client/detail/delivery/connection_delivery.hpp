// Delivers the changes of the connection. CONNACK completes the connect operation. Events enter a queue of the newest
// events, and complete the operations that wait for the next one. An event stays in the queue until the handler of its
// operation is called, so that the operation can be cancelled until then. The end of the run completes connect and
// disconnect operations.
#pragma once

#include "tern/client/connect_result.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/pending.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/event.hpp"
#include "tern/session/session.hpp"

#include <asio/error.hpp>

#include <cstddef>
#include <new>
#include <system_error>
#include <utility>

namespace tern::detail {

class connection_delivery {
public:
    using connect_op = operation_ptr<operation_of<connect_result>>;
    using next_event_op = operation_ptr<operation_of<connection_event>>;

    TERN_COLD void next_event(next_event_op op, pending& operations) {
        if (operations.awaits_event() || reserved_ == events_.size()) return operations.add_next_event(op.release());
        ++reserved_;
        operations.complete_new(op.release(), {}, location::event);
    }
    /// Passes the next event to a completed operation. Its handler is called next.
    TERN_COLD void hand_over(operation* op) noexcept {
        as_next_event(op)->result() = events_.pop_front();
        --reserved_;
        if (events_.empty()) events_.clear(); // frees the memory: events are rare
    }
    /// Cancels a completed operation. Its event stays for the next one.
    TERN_COLD void cancel(operation* op, pending& operations) noexcept {
        op->where = location::done;
        op->error = asio::error::operation_aborted;
        --reserved_;
        complete_waiting(operations);
    }

    /// After a refusal the operation waits for the end of the run.
    TERN_COLD void deliver(const connected& e, pending& operations) {
        auto* const op = static_cast<connect_op::pointer>(operations.connect());
        if (!op) return;
        op->result() = copy_or_strip<connect_result>(e.packet);
        if (!e.error) operations.complete(operations.take_connect(), {});
    }

    TERN_COLD void deliver(const connection_event_view& e, pending& operations) {
        connection_event copy = copy_or_strip<connection_event>(e);
        if (events_.size() == most_events) events_.pop_front();
        try {
            events_.reserve(1);
        } catch (const std::bad_alloc&) {
            if (events_.empty()) return complete_with(std::move(copy), operations);
            events_.pop_front();
        }
        events_.push_back(std::move(copy));
        complete_waiting(operations);
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
    /// Completes the disconnect operations at the end of the run. If the run was cancelled, they were started after
    /// that, which has disconnected as they request.
    TERN_COLD void end_run(std::error_code error, pending& operations) noexcept {
        end_disconnects(error == asio::error::operation_aborted ? std::error_code{} : error, operations);
    }
    void end_disconnects(std::error_code error, pending& operations) noexcept {
        while (operations.is_disconnecting())
            operations.complete(operations.take_disconnect(), error);
    }

private:
    static constexpr std::size_t most_events = 64; // beyond this number the oldest are dropped

    static next_event_op::pointer as_next_event(operation* op) noexcept {
        return static_cast<next_event_op::pointer>(op);
    }
    // Completes the operations that wait, as long as there are events for them.
    TERN_COLD void complete_waiting(pending& operations) noexcept {
        for (; operations.awaits_event() && reserved_ < events_.size(); ++reserved_)
            operations.complete_with_event(operations.take_next_event());
    }
    // The event cannot be stored. Without an operation that waits, it is dropped.
    static void complete_with(connection_event e, pending& operations) noexcept {
        if (!operations.awaits_event()) return;
        operation* const op = operations.take_next_event();
        as_next_event(op)->result() = std::move(e);
        operations.complete(op, {});
    }

    ring<connection_event> events_;
    std::size_t reserved_ = 0; // events for operations whose handlers have not been called yet
};

} // namespace tern::detail
