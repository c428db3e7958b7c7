// A run that begins when the present one has ended, because `async_connect` followed `cancel` or `async_disconnect`.
//
// Until then the session refuses requests, because it cannot tell them from those of the run that ends. Receive
// operations wait for the next run.
#pragma once

#include "tern/client/connect_result.hpp"
#include "tern/client/detail/delivery/message_delivery.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/pending.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/options.hpp"
#include "tern/session/owned_connect_options.hpp"

#include <asio/error.hpp>

#include <new>
#include <system_error>
#include <utility>

namespace tern::detail {

class next_run {
public:
    using connect_op = operation_ptr<operation_of<connect_result>>;

    /// Lets the operation wait. The receive operations that wait already end with the present run.
    TERN_COLD void wait(connect_op& op, const connect_options& options, pending& operations,
                        message_delivery& messages) {
        options_.emplace(options);
        const bool disconnects = operations.is_disconnecting();
        messages.end(disconnects ? misuse(errc::disconnected) : std::error_code(asio::error::operation_aborted), {});
        operations.add_next_connect(op.release());
    }

    /// Begins the run, if one waits, with `connect(op, options)`. Receive operations end if that fails.
    template <class Connect>
    TERN_COLD void begin(pending& operations, message_delivery& messages, Connect connect) {
        const auto options = std::move(options_);
        if (!operations.next_connect()) return;
        connect_op op(static_cast<connect_op::pointer>(operations.take_next_connect()));
        try {
            connect(op, options->view());
        } catch (const std::bad_alloc&) {
            operations.complete(op.release(), std::make_error_code(std::errc::not_enough_memory));
        }
        if (!operations.connect()) messages.end(misuse(errc::not_connected), {});
    }

    /// Ends the operation that waits.
    TERN_COLD static void end(std::error_code error, pending& operations) noexcept {
        if (operations.next_connect()) operations.complete(operations.take_next_connect(), error);
    }

private:
    heap_optional<owned_connect_options> options_;
};

} // namespace tern::detail
