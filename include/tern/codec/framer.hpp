// Finds packets in a stream of bytes [§2.1]. Looks at the first byte and the remaining length only, and
// refuses what cannot become a good packet as soon as that is known.
#pragma once

#include "tern/codec/cursor.hpp"
#include "tern/result.hpp"
#include "tern/types.hpp"

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

// The first byte of every packet of this type but PUBLISH.
constexpr std::uint8_t fixed_first_byte(packet_type type) noexcept {
    constexpr unsigned with_two = 1U << 6 | 1U << 8 | 1U << 10; // PUBREL, SUBSCRIBE, UNSUBSCRIBE
    const unsigned shift = static_cast<unsigned>(type);
    return static_cast<std::uint8_t>(shift << 4 | (with_two >> shift & 1U) << 1);
}

} // namespace detail

/// Whether the lower half of a first byte is what the standard demands for its type [MQTT-2.1.3-1].
constexpr errc check_first_byte(std::uint8_t first_byte) noexcept {
    const auto type = static_cast<packet_type>(first_byte >> 4);
    if (type == packet_type::publish) return (first_byte & 0x06) == 0x06 ? errc::invalid_qos : errc::none;
    if (first_byte == detail::fixed_first_byte(type) && first_byte >= 0x10) return errc::none;
    return first_byte < 0x10 ? errc::invalid_packet_type : errc::invalid_flags;
}

/// Looks for a packet at the beginning of `bytes`.
///
/// Returns the packet if it is complete, how many bytes are needed if not, and an error if no good packet
/// can come of it or if it would be larger than `maximum_packet_size` bytes. To be called again with more
/// bytes, or behind the packet.
constexpr result<framing>
next_frame(std::string_view bytes, std::size_t maximum_packet_size = variable_byte_integer_max + 5) noexcept {
    if (bytes.empty()) return framing{.size = 2};
    const auto first_byte = static_cast<std::uint8_t>(bytes[0]);
    if (const errc error = check_first_byte(first_byte); error != errc::none) return error;
    detail::reader in{bytes};
    in.byte();
    const std::size_t remaining = in.variable();
    if (in.error() == errc::truncated_packet) return framing{.size = bytes.size() + 1};
    if (in.error() != errc::none) return in.error();
    const std::size_t header = bytes.size() - in.left();
    const std::size_t size = header + remaining;
    if (size > maximum_packet_size) return errc::packet_too_large;
    if (bytes.size() < size) return framing{.size = size};
    return framing{.complete = true,
                   .size = size,
                   .frame = {first_byte, std::string_view(bytes.data() + header, remaining)}};
}

} // namespace tern
