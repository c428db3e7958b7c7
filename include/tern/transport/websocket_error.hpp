// Errors of WebSocket (RFC 6455): the rule that is broken. The category says "tern.websocket".
#pragma once

#include "tern/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace tern {

enum class websocket_errc : std::uint8_t {
    none,

    // the request: nothing was sent
    invalid_host,    ///< The host contains a character that a Host header cannot.
    invalid_path,    ///< The path or query contains a character that must be percent-encoded, or a fragment.
    invalid_header,  ///< An extra header is not a token and a value without control characters.
    reserved_header, ///< An extra header belongs to the upgrade itself, or Host is present twice.

    // the answer to the upgrade
    not_upgraded,          ///< The answer has no `Upgrade: websocket`, or no `Connection: Upgrade`.
    wrong_accept,          ///< Sec-WebSocket-Accept does not match the key.
    subprotocol_refused,   ///< The server has not selected the subprotocol mqtt.
    unrequested_extension, ///< The server uses an extension.

    // frames
    reserved_bits,
    reserved_opcode,
    masked_frame,
    fragmented_control_frame,
    control_frame_too_long,
    length_not_minimal,
    length_out_of_range,
    unexpected_continuation,
    unfinished_message,
    text_frame,
    message_too_large,
    invalid_close_frame,
    invalid_close_reason,
};

namespace detail {

constexpr std::string_view text_of(websocket_errc error) noexcept {
    using enum websocket_errc;
    switch (error) {
    case none: return "no error";
    case invalid_host: return "the host contains a character that is not allowed";
    case invalid_path: return "the path contains a character that is not allowed";
    case invalid_header: return "an extra header contains a character that is not allowed";
    case reserved_header: return "an extra header belongs to the upgrade";
    case not_upgraded: return "the server has not upgraded the connection to WebSocket";
    case wrong_accept: return "Sec-WebSocket-Accept does not match the key";
    case subprotocol_refused: return "the server has not selected the subprotocol mqtt";
    case unrequested_extension: return "the server uses an extension that was not requested";
    case reserved_bits: return "reserved bits of a frame are set";
    case reserved_opcode: return "the opcode of a frame is reserved";
    case masked_frame: return "a frame from the server is masked";
    case fragmented_control_frame: return "a control frame is fragmented";
    case control_frame_too_long: return "a control frame is longer than 125 bytes";
    case length_not_minimal: return "the length of a frame has more bytes than needed";
    case length_out_of_range: return "the length of a frame is 2^63 or more";
    case unexpected_continuation: return "a frame continues a message, but none has begun";
    case unfinished_message: return "a message begins within another";
    case text_frame: return "a text frame, where MQTT allows only binary ones";
    case message_too_large: return "a message is larger than the limit";
    case invalid_close_frame: return "a close frame without a valid status code";
    case invalid_close_reason: return "the reason of a close frame is not valid UTF-8";
    }
    return "unknown error";
}

} // namespace detail

/// The category of broken rules of WebSocket; the value is a `websocket_errc`.
inline const std::error_category& websocket_category() noexcept {
    static const struct : std::error_category {
        const char* name() const noexcept override { return "tern.websocket"; }
        std::string message(int value) const override {
            return std::string(detail::text_of(static_cast<websocket_errc>(value)));
        }
        std::error_condition default_error_condition(int value) const noexcept override {
            const auto error = static_cast<websocket_errc>(value);
            if (error <= websocket_errc::reserved_header) return failure_class::permanent;
            if (error <= websocket_errc::unrequested_extension) return failure_class::lasting;
            return {value, *this};
        }
    } category;
    return category;
}

inline std::error_code make_error_code(websocket_errc error) noexcept {
    return {static_cast<int>(error), websocket_category()};
}

} // namespace tern

template <>
struct std::is_error_code_enum<tern::websocket_errc> : std::true_type {};
