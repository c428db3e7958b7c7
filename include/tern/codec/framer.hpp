// Finds packets in a stream of bytes [§2.1]. Looks at the first byte and the remaining length only, and
// refuses what cannot become a good packet as soon as that is known.
#pragma once

#include "tern/codec/cursor.hpp"
#include "tern/result.hpp"
#include "tern/types.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern {

/// One packet as it lies in a buffer: the first byte and what follows the remaining length.
struct frame {
    std::uint8_t first_byte = 0;
    std::string_view body = {};

    constexpr packet_type type() const noexcept { return static_cast<packet_type>(first_byte >> 4); }
    constexpr std::uint8_t flags() const noexcept { return first_byte & 0x0F; }
};

/// What `next_frame` found at the beginning of a buffer.
struct framing {
    bool complete = false;
    std::size_t size = 0; ///< complete: bytes of the whole packet; else: bytes that are needed to go on
    tern::frame frame = {};
};

namespace detail {

// The first byte of every packet of this type but PUBLISH, whose flags vary.
constexpr std::uint8_t fixed_first_byte(packet_type type) noexcept {
    const bool two =
        type == packet_type::pubrel || type == packet_type::subscribe || type == packet_type::unsubscribe;
    return static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4 | (two ? 2U : 0U));
}

constexpr errc error_of_first_byte(unsigned byte) noexcept {
    const auto type = static_cast<packet_type>(byte >> 4);
    if (byte < 0x10) return errc::invalid_packet_type;
    if (type != packet_type::publish)
        return byte == fixed_first_byte(type) ? errc::none : errc::invalid_flags;
    if ((byte & 0x06) == 0x06) return errc::invalid_qos;                // [MQTT-3.3.1-4]
    return (byte & 0x0E) == 0x08 ? errc::dup_at_most_once : errc::none; // [MQTT-3.3.1-2]
}

inline constexpr auto first_byte_errors = [] {
    std::array<errc, 256> errors{};
    for (unsigned byte = 0; byte != errors.size(); ++byte)
        errors[byte] = error_of_first_byte(byte);
    return errors;
}();

} // namespace detail

/// Whether the lower half of a first byte is what the standard demands for its type [MQTT-2.1.3-1].
constexpr errc check_first_byte(std::uint8_t first_byte) noexcept {
    return detail::first_byte_errors[first_byte];
}

namespace detail {

// What `next_frame` gives when the header, which is good, has this size.
constexpr result<framing> frame_behind(std::size_t header, std::size_t remaining, std::string_view bytes,
                                       std::size_t maximum_packet_size) noexcept {
    const std::size_t size = header + remaining;
    if (size > maximum_packet_size) return errc::packet_too_large;
    if (bytes.size() < size) return framing{.size = size};
    return framing{.complete = true,
                   .size = size,
                   .frame = {static_cast<std::uint8_t>(bytes[0]), {bytes.data() + header, remaining}}};
}

// The remaining length has more than one byte, or is not there.
TERN_NOINLINE constexpr result<framing> long_frame(std::string_view bytes,
                                                   std::size_t maximum_packet_size) noexcept {
    if (bytes.empty()) return framing{.size = 2};
    if (const errc error = check_first_byte(static_cast<std::uint8_t>(bytes[0])); error != errc::none)
        return error;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    if (bytes.size() >= 3 && byte(2) != 0 && byte(2) < 0x80) {
        const unsigned remaining = (byte(1) & 0x7FU) | static_cast<unsigned>(byte(2)) << 7;
        return frame_behind(3, remaining, bytes, maximum_packet_size);
    }
    reader in{bytes};
    in.byte();
    const std::size_t remaining = in.variable();
    if (in.error() == errc::truncated_packet) return framing{.size = bytes.size() + 1};
    if (in.error() != errc::none) return in.error();
    return frame_behind(bytes.size() - in.left(), remaining, bytes, maximum_packet_size);
}

} // namespace detail

/// Looks for a packet at the beginning of `bytes`.
///
/// Returns the packet if it is complete, how many bytes are needed if not, and an error if no good packet
/// can come of it or if it would be larger than `maximum_packet_size` bytes. To be called again with more
/// bytes, or behind the packet.
TERN_INLINE constexpr result<framing>
next_frame(std::string_view bytes, std::size_t maximum_packet_size = variable_byte_integer_max + 5) noexcept {
    if (bytes.size() < 2 || (bytes[1] & 0x80) != 0) return detail::long_frame(bytes, maximum_packet_size);
    if (const errc error = check_first_byte(static_cast<std::uint8_t>(bytes[0])); error != errc::none)
        return error;
    return detail::frame_behind(2, static_cast<unsigned char>(bytes[1]), bytes, maximum_packet_size);
}

} // namespace tern
