// Values in the frames of WebSocket (RFC 6455 §5, §7.4).
#pragma once

#include "tern/detail/utf8.hpp"
#include "tern/transport/websocket_error.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern::detail {

namespace websocket_frame {

/// Bits of the first two bytes (§5.2).
constexpr unsigned final_bit = 0x80, mask_bit = 0x80;

/// Opcodes (§5.2). Others are reserved.
constexpr unsigned continuation = 0x0, text = 0x1, binary = 0x2, close = 0x8, ping = 0x9, pong = 0xA;

/// The largest payload of Close, ping and pong (§5.5).
constexpr std::size_t most_control_bytes = 125;

} // namespace websocket_frame

/// Status codes of the closing handshake (§7.4).
namespace websocket_close_code {
constexpr std::uint16_t normal = 1000, protocol_error = 1002, unsupported_data = 1003, absent = 1005,
                        invalid_payload = 1007, message_too_big = 1009;
} // namespace websocket_close_code

/// Whether a Close frame may contain the code: those of the standard and of its registry, and the ranges of libraries
/// and applications (§7.4.2). Codes that only describe the end of a connection are not sent (§7.4.1).
constexpr bool is_valid_close_code(unsigned code) noexcept {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/// The status code with which a client answers the violation of a rule.
constexpr std::uint16_t close_code_of(websocket_errc error) noexcept {
    switch (error) {
    case websocket_errc::text_frame: return websocket_close_code::unsupported_data; // [MQTT-6.0.0-1]
    case websocket_errc::invalid_close_reason: return websocket_close_code::invalid_payload;
    case websocket_errc::message_too_large: return websocket_close_code::message_too_big;
    default: return websocket_close_code::protocol_error;
    }
}

constexpr bool is_utf8(std::string_view text) noexcept {
    const char* p = text.data();
    const char* const end = p + text.size();
    while (p != end) {
        const std::size_t size = utf8_sequence(p, end);
        if (size == 0) return false;
        p += size;
    }
    return true;
}

} // namespace tern::detail
