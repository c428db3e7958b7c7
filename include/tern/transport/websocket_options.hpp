// Options of a WebSocket connection.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tern {

/// A header field of an HTTP request.
struct http_header {
    std::string name;
    std::string value;
};

/// The options of a WebSocket connection. They apply from the next opening on.
struct websocket_options {
    /// Further headers of the upgrade request, for example `{"Authorization", "Bearer …"}`. A `Host` replaces the one
    /// that follows from the endpoint. Headers of the upgrade itself are refused with
    /// `websocket_errc::reserved_header`.
    std::vector<http_header> headers = {};

    /// The largest message of the server in bytes, over all its fragments. 0: no limit. A message may contain many
    /// packets of MQTT, and is never held in memory as a whole. A larger one is refused with status code 1009.
    std::uint64_t max_message_bytes = 0;
};

/// The answer of a server that refused the upgrade.
struct websocket_refusal {
    int status = 0;            ///< of HTTP, for example 401; 0 if there is none
    std::string location = {}; ///< the value of Location, for example of a redirect
};

} // namespace tern
