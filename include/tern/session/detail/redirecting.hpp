// Redirects: a broker that refuses or ends the connection names other servers [§4.11]. The client goes there if the
// application lets it. References that it does not follow are reported.
#pragma once

#include "tern/detail/allocation_failure.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/detail/server_reference.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/event.hpp"

#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

class redirecting {
public:
    explicit redirecting(session_core& core) noexcept : s_(core) {}

    /// The connection has ended for this reason. Returns whether the next attempt goes where the broker has said. If an
    /// allocation fails, it does not.
    TERN_COLD bool follow(const std::error_code& cause, std::string_view references) noexcept {
        bool follows = false;
        return succeeds_in_allocating([&] { follows = follow_any(cause, references); }) && follows;
    }

private:
    static constexpr std::size_t most_references = 16; // of one packet

    TERN_COLD bool follow_any(const std::error_code& cause, std::string_view references) {
        reconnect_schedule& schedule = s_.connector.schedule();
        const bool moved = cause == make_error_code(reason_code::server_moved);
        if (!moved && cause != make_error_code(reason_code::use_another_server)) return false;
        if (references.empty() || !schedule.follows_redirects()) return false;
        growing_array<stored_endpoint> targets;
        const endpoint present = schedule.target();
        const bool is_possible = !is_unix_socket(present) && schedule.may_redirect(s_.now);
        for_each_reference(references, present, most_references,
                           [&](std::string_view text, const std::optional<endpoint>& target) {
                               if (!target) return ignore(text, violation(errc::invalid_server_reference));
                               if (!is_possible || !schedule.may_go_to(*target))
                                   return ignore(text, misuse(errc::redirect_not_allowed));
                               targets.push_back(stored_endpoint(*target));
                           });
        if (targets.empty()) return false;
        schedule.redirect(std::move(targets), moved ? redirect_kind::moved : redirect_kind::temporary, s_.now);
        return true;
    }

    TERN_COLD void ignore(std::string_view text, std::error_code why) {
        s_.events.push({.change = connection_change::redirect_ignored, .error = why, .server_reference = text});
    }

    session_core& s_;
};

} // namespace tern::detail
