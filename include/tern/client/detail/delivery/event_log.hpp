// The log of a client, as its engine sees it. Only programs that set a log compile the text of its lines.
//
// Each line is an operation that the engine adds to the completed ones. So the engine calls the function of the
// application as it calls handlers, in their order, and under the same rules.
#pragma once

#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/log_level.hpp"
#include "tern/detail/declare.hpp"
#include "tern/endpoint.hpp"
#include "tern/session/event.hpp"

#include <functional>
#include <memory>
#include <string_view>

namespace tern::detail {

using log_function = std::function<void(log_level, std::string_view)>;

class event_log {
public:
    event_log() = default;
    event_log(const event_log&) = delete;
    event_log& operator=(const event_log&) = delete;
    virtual ~event_log() = default;

    /// Replaces the function, also for lines that are not written yet. It may be running. With an empty function, the
    /// log is silent.
    virtual void set(log_level minimum, log_function function) = 0;
    /// Returns a line about an event of a client that has this identifier, and connects to `target`. The result is null
    /// if the event does not matter enough, or if allocation fails.
    virtual operation* line_about(const connection_event_view& e, std::string_view client_id,
                                  const endpoint& target) noexcept = 0;
};

TERN_DECLARE std::shared_ptr<event_log> make_event_log();

} // namespace tern::detail
