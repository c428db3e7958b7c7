// Delivers the changes of the connection. CONNACK completes the connect operation. Events complete the operations that
// wait for the next one, or enter a queue of the newest events. The end of the run completes connect and disconnect
// operations.
#pragma once

#include "tern/client/connect_result.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/pending.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/event.hpp"
#include "tern/session/session.hpp"

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
        if (operations.awaits_event() || events_.empty()) return operations.add_next_event(op.release());
        op->result() = events_.pop_front();
        operations.complete(op.release(), {});
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
        if (operations.awaits_event()) {
            auto* const op = static_cast<next_event_op::pointer>(operations.take_next_event());
            op->result() = std::move(copy);
            return operations.complete(op, {});
        }
        if (events_.size() == most_events) events_.pop_front();
        try {
            events_.reserve(1);
        } catch (const std::bad_alloc&) {
            if (events_.empty()) return;
            events_.pop_front();
        }
        events_.push_back(std::move(copy));
    }

    /// Completes the connect operation at the end of the run. No error means that the application requested the end.
    TERN_COLD void end_connect(std::error_code error, pending& operations) {
        auto* const op = static_cast<connect_op::pointer>(operations.connect());
        if (!op) return;
        if (error.category() != refusal_category()) op->result() = {}; // discards the result of an earlier attempt
        operations.complete(operations.take_connect(), error ? error : misuse(errc::disconnected));
    }
    void end_disconnects(std::error_code error, pending& operations) noexcept {
        while (operations.is_disconnecting())
            operations.complete(operations.take_disconnect(), error);
    }

private:
    static constexpr std::size_t most_events = 64; // beyond this number the oldest are dropped

    ring<connection_event> events_;
};

} // namespace tern::detail
