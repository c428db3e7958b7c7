// A run: from `connect` until no further attempt follows. Then what is unfinished fails, one operation after the other,
// and the session is idle.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/connecting.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/detail/settings.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"

#include <string>
#include <system_error>

namespace tern::detail {

class run {
public:
    explicit run(session_core& core) noexcept : s_(core) {}

    /// Begins a run.
    TERN_COLD errc connect(const connect_options& options) {
        if (!s_.connector.is(connector_step::idle)) return errc::already_connected;
        if (const errc error = check_options(options); error != errc::none) return error;
        if (const errc error = s_.settings.set(options); error != errc::none) return error;
        s_.connector.schedule().start(options.reconnect, first_endpoint(options), options.more_endpoints);
        s_.pubacks_for_qos_2 = 0;
        s_.is_missing_id_reported = false;
        std::string client_id(options.client_id);
        s_.lasting.set_version(options.version);
        connecting(s_).begin_attempt(); // nothing after it can fail: only now the session may be forgotten
        s_.connack_body.reset();
        s_.lasting.set_client_id(client_id, options.clean_start);
        s_.lasting.out.queue().set_options(options.queue);
        s_.connector.start_run();
        if (options.refusal_limit == 0) s_.closing.reset(); // also what an earlier run has refused
        return errc::none;
    }

    /// Ends the run without DISCONNECT.
    TERN_COLD void stop(std::error_code cause) {
        switch (s_.connector.step()) {
        case connector_step::ending: return;
        case connector_step::idle:
        case connector_step::waiting: return connecting(s_).end_run(cause);
        case connector_step::flushing:
            if (cause) s_.close_now(cause); // otherwise DISCONNECT may still be written
            break;
        case connector_step::closing:
            if (cause) s_.connector.set_cause(cause);
            break;
        default: s_.close_now(cause);
        }
        s_.connector.stop_run();
    }

    /// Fills in the end of the next unfinished operation, or `stopped`: then the session is idle again.
    TERN_COLD bool next_failed(polled_event& next) {
        const std::error_code& cause = s_.connector.cause();
        const bool session_goes_on = s_.lasting.has_session();
        for (local_completion c; fail_next(s_.lasting.out, s_.fail_cursor, cause, session_goes_on, c);)
            if (c.op != op_id::none) return fail(next, c.op, c.error);
        if (!s_.drains.empty()) return fail(next, s_.drains.pop(), end_error(false, cause));
        if (!s_.lasting.has_session()) s_.lasting.forget_session();
        s_.lasting.subscriptions.trim(s_.lasting.out.exchanges());
        s_.events.push({.change = connection_change::stopped, .error = cause});
        s_.connector.become_idle();
        s_.trim();
        return s_.events.next(next);
    }

private:
    static bool fail(polled_event& next, op_id op, const std::error_code& error) {
        next.emplace<completed>(op, error);
        return true;
    }

    session_core& s_;
};

} // namespace tern::detail
