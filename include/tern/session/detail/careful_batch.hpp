// The requests under way in careful mode. careful.hpp is the procedure.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/session/detail/send/closing_requests.hpp"
#include "tern/session/time.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <string>

namespace tern::detail {

struct careful_batch {
    std::size_t size = 1; ///< how many there may be
    std::size_t sent = 0;
    time_point sent_at;
    ring<packet_id> under_way; ///< those that have identifiers. Some may be answered
    bool has_at_most_once = false;
    bool awaits_pingresp = false;              ///< for messages of QoS 0, or on a control connection
    bool was_answered = false;                 ///< this batch or an earlier one
    request_kind kind = request_kind::message; ///< of the first request
    std::string name;
    time_point control_until = (time_point::max)(); ///< a control connection: nothing is sent until then
};

} // namespace tern::detail
