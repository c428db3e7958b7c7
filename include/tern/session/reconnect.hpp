// When and where the client connects again: the policy and the classification of failures.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/reason_code.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace tern {

/// Changes for an attempt to connect. A member that is not set changes nothing.
struct connect_overrides {
    std::optional<std::string_view> user_name = {}; ///< from now on
    std::optional<std::string_view> password = {};  ///< from now on
    std::optional<endpoint> target = {};            ///< for this attempt, instead of the endpoint whose turn it is
};

/// A failure of an attempt, or the end of a connection.
struct connection_failure {
    std::error_code error = {};
    /// The broker has accepted this user name and password before, in this run.
    bool had_accepted_credentials = false;
    /// A CONNECT of this client had no answer since the last connection that held for 30 s. A broker that was asleep
    /// may process it late, and disconnect the client's own later connection as taken over.
    bool has_abandoned_connect = false;
};

/// Tern's classification. Permanent are the refusals that waiting does not change, such as wrong credentials, a bad
/// client identifier, a protocol version that the broker does not speak, or another client that took the session over
/// (two clients with the same identifier would disconnect each other without end), a session after a clean start,
/// errors of the caller, and what the category of an error itself calls permanent, such as a certificate of the broker
/// that is not trusted. Lasting are credentials that have worked before, because the database of the broker may be
/// down, and a session of the broker that this client does not know, because it may expire. Everything else is
/// transient.
TERN_COLD inline failure_class classify_failure(const connection_failure& failure) noexcept {
    const std::error_code& error = failure.error;
    if (error.category() == usage_category() || error == errc::session_present_after_clean_start)
        return failure_class::permanent;
    if (error == errc::unexpected_session_present) return failure_class::lasting; // its session may expire
    if (error == failure_class::permanent) return failure_class::permanent;
    if (error == failure_class::lasting) return failure_class::lasting;
    if (error.category() != refusal_category()) return failure_class::transient;
    switch (static_cast<reason_code>(error.value())) {
    case reason_code::bad_user_name_or_password:
    case reason_code::not_authorized:
        return failure.had_accepted_credentials ? failure_class::lasting : failure_class::permanent;
    case reason_code::session_taken_over:
        return failure.has_abandoned_connect ? failure_class::lasting : failure_class::permanent;
    case reason_code::unsupported_protocol_version:
    case reason_code::client_identifier_not_valid:
    case reason_code::banned:
    case reason_code::bad_authentication_method:
    case reason_code::topic_name_invalid:
    case reason_code::packet_too_large:
    case reason_code::payload_format_invalid:
    case reason_code::retain_not_supported:
    case reason_code::qos_not_supported:
    case reason_code::server_moved: return failure_class::permanent;
    default: return failure_class::transient;
    }
}

/// How the client reconnects after the connection is lost.
struct reconnect_policy {
    bool enabled = true;
    /// Also repeats the first connect. Otherwise it fails when all endpoints have been tried once.
    bool retry_first = false;
    /// The longest wait before the second round of attempts. It doubles with each round, up to `longest_delay`.
    std::chrono::milliseconds first_delay{1'000};
    std::chrono::milliseconds longest_delay{60'000};
    /// How many rounds in a row may fail. A connection that the broker ends by a violation within 30 s counts as one.
    /// 0: any number.
    unsigned max_rounds = 0;
    /// How many redirects the client follows in a row, without a connection that held for 30 s.
    unsigned max_redirects = 4;
    /// Follows a Server Reference of CONNACK or DISCONNECT with `reason_code::use_another_server` or `server_moved`.
    /// The function returns whether the client may go to this endpoint, with its credentials, instead of the endpoint
    /// that sent it there. Scheme and path are those of that endpoint, and so is the port if the reference has none:
    /// TLS stays TLS. If it is null, references are only reported, in `connection_event::server_reference`.
    ///
    /// Servers to use for now are tried once each, and are not used again when their connection has ended. A broker
    /// that has moved is tried before the endpoints of the options for the rest of the run. If all fail, the client
    /// goes on with these. The broker that redirects a client which is connected publishes its will.
    ///
    ///     .follow_redirect = [](const tern::endpoint& e) { return e.host.ends_with(".broker.example"); }
    bool (*follow_redirect)(const endpoint&) = nullptr;
    /// Classifies a failure. A function of yours can call `classify_failure` for the failures that it does not handle.
    failure_class (*classify)(const connection_failure&) = &classify_failure;
};

} // namespace tern
