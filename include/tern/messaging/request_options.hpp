// The options and counters of requests and of those who answer them.
#pragma once

#include "tern/property.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

struct requester_options {
    /// The beginning of the response topic, unless the broker gives Response Information. A random part follows.
    std::string_view response_prefix = "responses";
    /// How many requests may wait for their responses. Further ones are refused with `errc::queue_full`.
    std::size_t limit = 10'000;
};

struct request_options {
    /// The longest time to wait for the response. 0: without limit. At most a year. A request that is not sent by then
    /// is not sent later.
    std::chrono::milliseconds timeout{10'000};
    tern::qos qos = tern::qos::at_least_once;
    std::optional<std::string_view> content_type = {};
    user_properties_view user_properties = {};
};

struct requester_counters {
    std::uint64_t sent = 0;
    std::uint64_t answered = 0;
    std::uint64_t late = 0;    ///< responses that came after their request had ended, or a second time
    std::uint64_t unknown = 0; ///< messages on the response topic without correlation data of this requester
    std::size_t waiting = 0;   ///< requests, at present
};

struct responder_options {
    /// How many requests are processed at the same time. Further ones wait in the inbox.
    std::size_t concurrency = 16;
};

struct responder_counters {
    std::uint64_t received = 0;
    std::uint64_t answered = 0;   ///< among them errors
    std::uint64_t failed = 0;     ///< requests whose handler has thrown an exception
    std::uint64_t unanswered = 0; ///< no response topic, or the client did not accept the response
    std::size_t running = 0;      ///< at present
};

} // namespace tern
