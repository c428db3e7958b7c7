// The error of an operation that ends without the broker's answer to it. The category says whether the message, or the
// request, may have arrived:
//
//     how the operation ends                         no byte was written           a byte was written
//     a limit of the broker                          usage                         outcome unknown
//     its time to live is over                       usage                         outcome unknown
//     the broker has lost the session                usage; mostly begins again    outcome unknown, or begins again
//     the run ends: the user wants it                usage                         outcome unknown
//     the run ends: with a cause                     the cause                     outcome unknown
//     the broker closes whenever it comes            usage                         outcome unknown
//     no answer in time, or it cannot be read        usage                         outcome unknown
//     an answer of the wrong kind                    -                             outcome unknown
//     cancelled, the connection ends                 usage                         goes on, then as above
//
// A message that was written in part counts as written here, although the broker cannot have processed it.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"

#include <system_error>

namespace tern::detail {

/// `offered`: a byte of the packet was written, on any connection.
TERN_COLD inline std::error_code end_error(bool offered, errc error) noexcept {
    return offered ? outcome_unknown(error) : misuse(error);
}

/// The run has ended with this cause, or without one because the user wants it. A reason code of the broker, or an
/// error of the transport, is no answer to a request that was sent: only a rule keeps its name.
TERN_COLD inline std::error_code end_error(bool offered, const std::error_code& cause) noexcept {
    if (!offered) return cause ? cause : misuse(errc::disconnected);
    const std::error_category& category = cause.category();
    const bool is_rule = category == protocol_category() || category == usage_category();
    return outcome_unknown(cause && is_rule ? static_cast<errc>(cause.value()) : errc::disconnected);
}

} // namespace tern::detail
