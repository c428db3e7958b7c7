// The runs of a client: from `async_connect` until the session has stopped.
//
// If `async_connect` follows `cancel` or `async_disconnect`, the present run may still be ending. The next run begins
// when it has ended. Until then the session refuses requests, because it cannot tell them from those of the run that
// ends. Receive operations wait for the next run.
#pragma once

#include "tern/client/connect_result.hpp"
#include "tern/client/detail/delivery/connection_delivery.hpp"
#include "tern/client/detail/delivery/message_delivery.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/pending.hpp"
#include "tern/codec/control.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/options.hpp"
#include "tern/session/owned_connect_options.hpp"
#include "tern/session/session.hpp"
#include "tern/session/time.hpp"

#include <asio/error.hpp>

#include <cstdint>
#include <new>
#include <system_error>
#include <utility>

namespace tern::detail {

/// Whether a request to connect has begun a run.
enum class run_start : std::uint8_t {
    begun,
    not_begun, ///< it was refused, or it waits
};

class runs {
public:
    using connect_op = connection_delivery::connect_op;

    runs(session& s, pending& operations, message_delivery& messages, connection_delivery& connection) noexcept
        : session_(s)
        , operations_(operations)
        , messages_(messages)
        , connection_(connection) {}
    runs(const runs&) = delete;
    runs& operator=(const runs&) = delete;
    ~runs() = default;

    /// Begins a run, or lets the operation wait for the end of the present one.
    TERN_COLD run_start connect(connect_op& op, const connect_options& options, time_point now) {
        const bool waits = session_.is_ending() && !operations_.next_connect();
        if (!waits) return begin(op, options, now);
        next_.emplace(options);
        // The receive operations that wait already end with the present run.
        const bool disconnects = operations_.is_disconnecting();
        messages_.end(disconnects ? misuse(errc::disconnected) : std::error_code(asio::error::operation_aborted), {});
        operations_.add_next_connect(op.release());
        return run_start::not_begun;
    }

    TERN_COLD void disconnect(operation_ptr<operation_of<>> op, const tern::disconnect& packet, time_point now) {
        if (const errc error = session_.disconnect(packet, now); error != errc::none)
            return operations_.complete_new(op.release(), misuse(error));
        end_next(misuse(errc::disconnected));
        operations_.add_disconnect(op.release());
    }

    /// The present run has ended. No error means that the application requested the end.
    TERN_COLD void on_stopped(std::error_code error) {
        const bool is_reported = connection_.end_connect(error, operations_);
        if (!operations_.next_connect()) messages_.end(error, is_reported ? std::error_code{} : error);
        connection_.end_run(error, operations_);
    }

    /// Begins the run that waits, if there is one. Receive operations end if that fails.
    TERN_COLD run_start begin_next(time_point now) {
        const auto options = std::move(next_);
        if (!operations_.next_connect()) return run_start::not_begun;
        connect_op op(static_cast<connect_op::pointer>(operations_.take_next_connect()));
        run_start start = run_start::not_begun;
        try {
            start = begin(op, options->view(), now);
        } catch (const std::bad_alloc&) {
            operations_.complete(op.release(), std::make_error_code(std::errc::not_enough_memory));
        }
        if (start == run_start::not_begun) messages_.end(misuse(errc::not_connected), {});
        return start;
    }

    /// Ends the operation that waits.
    TERN_COLD void end_next(std::error_code error) noexcept {
        if (operations_.next_connect()) operations_.complete(operations_.take_next_connect(), error);
    }

private:
    run_start begin(connect_op& op, const connect_options& options, time_point now) {
        if (const errc error = session_.connect(options, now); error != errc::none) {
            operations_.complete_new(op.release(), misuse(error));
            return run_start::not_begun;
        }
        messages_.start(options);
        operations_.add_connect(op.release());
        return run_start::begun;
    }

    session& session_;
    pending& operations_;
    message_delivery& messages_;
    connection_delivery& connection_;
    heap_optional<owned_connect_options> next_;
};

} // namespace tern::detail
