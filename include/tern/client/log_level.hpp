// The levels of a client's log.
#pragma once

#include <cstdint>
#include <iterator>
#include <string_view>

namespace tern {

/// How much a line of the log matters.
enum class log_level : std::uint8_t {
    debug,   ///< An attempt to connect begins.
    info,    ///< The client does what it was asked to do: it is connected, it tries again, it has stopped.
    warning, ///< The connection was lost, an attempt failed, or a message or a subscription needs attention.
    error,   ///< The run has ended, and the application has not requested that.
};

constexpr std::string_view to_string(log_level level) noexcept {
    constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
    const auto index = static_cast<unsigned>(level);
    return index < std::size(names) ? names[index] : "unknown level";
}

} // namespace tern
