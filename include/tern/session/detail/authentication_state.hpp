// What a connection knows about enhanced authentication, if CONNECT has a method. authentication.hpp is the procedure.
#pragma once

#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <cstdint>
#include <system_error>

namespace tern::detail {

/// The steps of an exchange. authentication.hpp has the table of transitions.
enum class authentication_progress : std::uint8_t {
    idle,      ///< No exchange is in progress. The connection is authenticated.
    starting,  ///< The owner has not been asked for the first data.
    beginning, ///< The owner has to give the first data.
    requested, ///< CONNECT, or the AUTH that asks for re-authentication, is queued. The broker has to answer.
    answering, ///< The broker has sent AUTH. The owner has to give the data of the answer.
    answered,  ///< The client's AUTH is queued. The broker has to answer.
    verifying, ///< The broker has accepted the client. The owner has to accept the broker.
    verified,  ///< The owner has accepted the broker, and CONNACK can be applied.
    failing,   ///< The exchange has failed. The connection is closed for that reason.
    ended,     ///< A re-authentication has ended, and its operation has to complete.
};

struct authentication_state {
    authentication_progress step = authentication_progress::starting;
    op_id op = op_id::none; ///< that waits for the end of a re-authentication
    /// When the step of a re-authentication has lasted too long. Before CONNACK the connector has the deadline.
    time_point deadline = (time_point::max)();
    time_point answer_limit = (time_point::max)(); ///< until then received bytes extend the time of the broker
    std::uint64_t bytes_received = 0;              ///< when the time began
    std::error_code error = {};                    ///< failing, ended: why

    bool is_idle() const noexcept { return step == authentication_progress::idle; }
    bool awaits_broker() const noexcept {
        return step == authentication_progress::requested || step == authentication_progress::answered;
    }
    bool awaits_owner() const noexcept {
        return step == authentication_progress::beginning || step == authentication_progress::answering ||
               step == authentication_progress::verifying;
    }
};

} // namespace tern::detail
