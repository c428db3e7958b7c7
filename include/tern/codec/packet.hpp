// Any packet: found in a stream of bytes [§2.1], decoded and encoded.
#pragma once

#include "tern/codec/any_packet.hpp"
#include "tern/codec/connect.hpp"
#include "tern/codec/control.hpp"
#include "tern/codec/publish.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/result.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>

namespace tern {

// ---- framing

/// One packet in a buffer: the first byte, and the bytes after the remaining length.
struct frame {
    std::uint8_t first_byte = 0;
    std::string_view body = {};

    constexpr packet_type type() const noexcept { return static_cast<packet_type>(first_byte >> 4); }
    constexpr std::uint8_t flags() const noexcept { return first_byte & 0x0F; }
};

/// The result of `next_frame`: a packet, or its beginning.
struct framing {
    bool complete = false;
    std::size_t size = 0; ///< complete: bytes of the whole packet; otherwise: bytes needed to continue
    tern::frame frame = {};
};

namespace detail {

constexpr std::uint8_t first_byte_of(packet_type type, unsigned flags) noexcept {
    return static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4 | flags);
}

// The first byte of every packet of this type but PUBLISH, whose flags vary.
template <packet_type Type>
inline constexpr std::uint8_t fixed_first_byte = first_byte_of(Type, find_packet_row(Type).flags);

constexpr errc error_of_first_byte(unsigned byte) noexcept {
    const auto type = static_cast<packet_type>(byte >> 4);
    if (byte < 0x10) return errc::invalid_packet_type;
    if (type != packet_type::publish)
        return (byte & 0x0F) == find_packet_row(type).flags ? errc::none : errc::invalid_flags;
    if ((byte & qos_bits) == qos_bits) return errc::invalid_qos;               // [MQTT-3.3.1-4]
    const bool is_dup_at_most_once = (byte & (dup_bit | qos_bits)) == dup_bit; // [MQTT-3.3.1-2]
    return is_dup_at_most_once ? errc::dup_at_most_once : errc::none;
}

inline constexpr auto first_byte_errors = [] {
    std::array<errc, 256> errors{};
    for (unsigned byte = 0; byte != errors.size(); ++byte)
        errors[byte] = error_of_first_byte(byte);
    return errors;
}();

} // namespace detail

/// Checks the packet type in a first byte, and the flags that the standard requires for it [MQTT-2.1.3-1].
constexpr errc check_first_byte(std::uint8_t first_byte) noexcept {
    return detail::first_byte_errors[first_byte];
}

namespace detail {

// The result of `next_frame` after a valid header of this size.
constexpr result<framing> frame_after(std::size_t header, std::size_t remaining, std::string_view bytes,
                                      std::size_t maximum_packet_size) noexcept {
    const std::size_t size = header + remaining;
    if (size > maximum_packet_size) return errc::packet_too_large;
    if (bytes.size() < size) return framing{.size = size};
    return framing{.complete = true,
                   .size = size,
                   .frame = {static_cast<std::uint8_t>(bytes[0]), {bytes.data() + header, remaining}}};
}

// The remaining length has more than one byte, or is missing.
TERN_NOINLINE constexpr result<framing> long_frame(std::string_view bytes, std::size_t maximum_packet_size) noexcept {
    if (bytes.empty()) return framing{.size = 2};
    if (const errc error = check_first_byte(static_cast<std::uint8_t>(bytes[0])); error != errc::none) return error;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    if (bytes.size() >= 3 && byte(2) != 0 && byte(2) < 0x80) {
        const unsigned remaining = (byte(1) & 0x7FU) | static_cast<unsigned>(byte(2)) << 7;
        return frame_after(3, remaining, bytes, maximum_packet_size);
    }
    reader in{bytes};
    in.byte();
    const std::size_t remaining = in.variable();
    if (in.error() == errc::truncated_packet) return framing{.size = bytes.size() + 1};
    if (in.error() != errc::none) return in.error();
    return frame_after(bytes.size() - in.left(), remaining, bytes, maximum_packet_size);
}

} // namespace detail

/// Finds the packet at the beginning of `bytes`. Reads only the first byte and the remaining length.
///
/// Returns the packet if it is complete and otherwise the number of bytes that are needed. Returns an error
/// as soon as the bytes cannot become a valid packet, or one of at most `maximum_packet_size` bytes. Call it
/// again with more bytes, or with those after the packet.
TERN_INLINE constexpr result<framing> next_frame(std::string_view bytes,
                                                 std::size_t maximum_packet_size = packet_size_max) noexcept {
    if (bytes.size() < 2 || (bytes[1] & 0x80) != 0) return detail::long_frame(bytes, maximum_packet_size);
    if (const errc error = check_first_byte(static_cast<std::uint8_t>(bytes[0])); error != errc::none) return error;
    return detail::frame_after(2, static_cast<unsigned char>(bytes[1]), bytes, maximum_packet_size);
}

// ---- any packet

/// One of the fifteen packets.
template <class T>
concept packet = requires(const T& p, protocol_version version) {
    { T::type } -> std::convertible_to<packet_type>;
    { detail::validate(p, version) } -> std::same_as<errc>;
};

namespace detail {

template <packet Packet>
constexpr std::uint8_t first_byte_of(const Packet& p) noexcept {
    if constexpr (Packet::type == packet_type::publish)
        return first_byte_of(Packet::type, flags_of(p));
    else
        return fixed_first_byte<Packet::type>;
}

// PUBLISH and its acknowledgements.
template <packet Packet>
inline constexpr bool is_frequent = Packet::type >= packet_type::publish && Packet::type <= packet_type::pubcomp;

// A frequent packet is simple if it has no properties; most have none. One function checks, measures and
// writes a simple packet. It has no rare branches, so it calls no other function.
template <packet Packet>
constexpr bool is_simple(const Packet& p) noexcept {
    return is_unset(p.properties);
}
template <packet Packet>
constexpr errc check_simple(const Packet& p, protocol_version version) noexcept {
    return validate(p, version);
}

/// The sizes of a valid packet.
struct measured {
    std::uint32_t remaining_length = 0;
    std::uint8_t header_size = 2; // with a remaining length below 128
    bool simple = false;

    constexpr operator std::size_t() const noexcept { return remaining_length; } // NOLINT
};

// The sinks for a packet that is not simple.
template <packet Packet>
using sizer_of = std::conditional_t<Packet::type == packet_type::publish, sizer, rare_sink>;
template <packet Packet>
using writer_of = std::conditional_t<Packet::type == packet_type::publish, writer, rare_sink>;

// What a sink has measured, or the error.
template <class Sizer>
TERN_INLINE constexpr result<measured> result_of(const Sizer& sink) noexcept {
    const std::uint32_t size = sink.size();
    if (sink.is_short()) [[likely]] // checked first: then there is no error either
        return measured{size, 2, Sizer::simple};
    if (sink.error() != errc::none) return sink.error();
    return measured{size, static_cast<std::uint8_t>(1 + variable_size(size)), Sizer::simple};
}

template <class Sizer, packet Packet>
TERN_INLINE constexpr result<measured> measure_with(const Packet& p, protocol_version version) noexcept {
    const errc error = Sizer::simple ? check_simple(p, version) : validate(p, version);
    if (error != errc::none) return error;
    Sizer sink;
    put_body(sink, p, version);
    return result_of(sink);
}

// The same for a packet that is known to be simple, or that may have properties.
template <bool Simple, packet Packet>
TERN_INLINE constexpr result<measured> measure_as(const Packet& p, protocol_version version) noexcept {
    return measure_with<std::conditional_t<Simple, simple_sizer, sizer_of<Packet>>>(p, version);
}

// Checks the packet and measures it.
template <packet Packet>
constexpr result<measured> measure(const Packet& p, protocol_version version) noexcept {
    if constexpr (is_frequent<Packet>)
        if (is_simple(p)) return measure_with<simple_sizer>(p, version);
    return measure_with<sizer_of<Packet>>(p, version);
}

TERN_INLINE constexpr std::size_t with_header(measured size) noexcept {
    return std::size_t{size.remaining_length} + size.header_size;
}

template <class Writer, packet Packet>
TERN_INLINE constexpr char* write_with(const Packet& p, protocol_version version, std::uint32_t remaining_length,
                                       char* to) noexcept {
    Writer sink{to};
    sink.byte(first_byte_of(p));
    sink.variable(remaining_length);
    put_body(sink, p, version);
    return sink.position();
}

template <bool Simple, packet Packet>
TERN_INLINE constexpr char* write_as(const Packet& p, protocol_version version, std::uint32_t remaining_length,
                                     char* to) noexcept {
    using sink = std::conditional_t<Simple && is_frequent<Packet>, simple_writer, writer_of<Packet>>;
    return write_with<sink>(p, version, remaining_length, to);
}

// Writes a packet that `measure` has accepted, and returns its end.
template <packet Packet>
constexpr char* write(const Packet& p, protocol_version version, std::size_t remaining_length, char* to) noexcept {
    return write_with<writer_of<Packet>>(p, version, static_cast<std::uint32_t>(remaining_length), to);
}

// The same with the complete result of `measure`.
template <packet Packet>
constexpr char* write(const Packet& p, protocol_version version, measured size, char* to) noexcept {
    if constexpr (is_frequent<Packet>)
        if (size.simple) return write_as<true>(p, version, size.remaining_length, to);
    return write_as<false>(p, version, size.remaining_length, to);
}

template <class Sizer, class Writer, packet Packet>
TERN_INLINE constexpr result<std::size_t> encode_with(const Packet& p, protocol_version version,
                                                      std::span<char> out) noexcept {
    const auto measured = measure_with<Sizer>(p, version);
    if (!measured) return measured.error();
    const std::size_t size = with_header(*measured);
    if (size > out.size()) return errc::buffer_too_small;
    if constexpr (Writer::simple)
        write_with<Writer>(p, version, measured->remaining_length, out.data());
    else
        write(p, version, measured->remaining_length, out.data());
    return size;
}

template <packet Packet>
TERN_NOINLINE constexpr result<std::size_t> encode_any(const Packet& p, protocol_version version,
                                                       std::span<char> out) noexcept {
    return encode_with<sizer_of<Packet>, writer_of<Packet>>(p, version, out);
}

} // namespace detail

/// The size of the encoded packet in bytes, or the rule that forbids it.
template <packet Packet>
constexpr result<std::size_t> encoded_size(const Packet& p, protocol_version version) noexcept {
    const auto measured = detail::measure(p, version);
    if (!measured) return measured.error();
    return detail::with_header(*measured);
}

/// Encodes a packet to the beginning of `out` and returns its size in bytes.
///
/// Writes nothing if the standard forbids the packet, or if it does not fit (`errc::buffer_too_small`).
/// CONNECT contains its version; `version` is not used for it.
template <packet Packet>
TERN_INLINE constexpr result<std::size_t> encode(const Packet& p, protocol_version version,
                                                 std::span<char> out) noexcept {
    if constexpr (detail::is_frequent<Packet>)
        if (detail::is_simple(p))
            return detail::encode_with<detail::simple_sizer, detail::simple_writer>(p, version, out);
    return detail::encode_any(p, version, out);
}

/// Encodes the packet that `Make` returns at compile time, to an array of exactly its size. A packet that the
/// standard forbids is a compile-time error.
///
///     constexpr auto ping = tern::encode_to_array<[] { return tern::pingreq{}; }>();
template <auto Make, protocol_version Version = protocol_version::v5>
consteval auto encode_to_array() {
    constexpr std::size_t size = *encoded_size(Make(), Version);
    static_assert(size != 0, "the standard forbids this packet: encoded_size() returns the reason");
    std::array<char, size> bytes{};
    (void)encode(Make(), Version, bytes);
    return bytes;
}

namespace detail {

// Checks whether the frame can contain a packet of this type.
template <packet Packet>
constexpr errc check_frame(const frame& from, protocol_version version) noexcept {
    if (Packet::type == packet_type::auth && version == protocol_version::v3_1_1) return errc::invalid_packet_type;
    if (Packet::type != packet_type::publish && from.first_byte == fixed_first_byte<Packet::type>) [[likely]]
        return errc::none;
    return from.type() == Packet::type ? check_first_byte(from.first_byte) : errc::invalid_packet_type;
}

// Decodes the body of a frame that `check_frame` has accepted into a default-constructed packet.
template <packet Packet>
TERN_INLINE constexpr errc decode_body(Packet& p, const frame& from, protocol_version version) noexcept {
    reader in{from.body};
    get_body(in, p, from.flags(), version);
    in.finish();
    return in.error();
}

/// Decodes into a default-constructed packet.
template <packet Packet>
TERN_INLINE constexpr errc decode_into(Packet& p, const frame& from, protocol_version version) noexcept {
    const errc error = check_frame<Packet>(from, version);
    return error == errc::none ? decode_body(p, from, version) : error;
}

/// Decodes a PUBLISH into a default-constructed object, as `get_publish` does.
template <class Publish>
TERN_INLINE constexpr errc decode_publish_into(Publish& p, const frame& from, protocol_version version) noexcept {
    if (const errc error = check_frame<publish>(from, version); error != errc::none) return error;
    reader in{from.body};
    get_publish(in, p, from.flags(), version);
    in.finish();
    return in.error();
}

} // namespace detail

/// Decodes a frame as a packet of the given type, which borrows from it. Copies and allocates nothing.
///
/// Fails with `errc::invalid_packet_type` if the frame has another type.
template <packet Packet>
TERN_INLINE constexpr result<Packet> decode(const frame& from, protocol_version version) noexcept {
    result<Packet> decoded = detail::check_frame<Packet>(from, version);
    if (!decoded) return decoded; // one object for all returns, so that the packet is never copied
    if (const errc error = detail::decode_body(*decoded, from, version); error != errc::none) decoded = error;
    return decoded;
}

namespace detail {

// A variant of all packets, which only programs that call `decode` for it compile.
template <class Any, packet Packet>
constexpr result<Any> decode_any(const frame& from, protocol_version version) noexcept {
    result<Any> decoded = Any{std::in_place_type<Packet>};
    if (const errc error = decode_into(*std::get_if<Packet>(&*decoded), from, version); error != errc::none)
        decoded = error;
    return decoded;
}

// `any_packet` lists the packets in the order of their types, which begin with 1.
template <packet... Packet>
constexpr result<std::variant<Packet...>> decode_by_type(const frame& from, protocol_version version,
                                                         std::type_identity<std::variant<Packet...>>) noexcept {
    using any = std::variant<Packet...>;
    constexpr decltype(&decode_any<any, pingreq>) decoders[] = {&decode_any<any, Packet>...};
    constexpr packet_type types[] = {Packet::type...};
    static_assert(std::equal(std::begin(types), std::end(types), std::begin(packet_table::rows),
                             std::end(packet_table::rows),
                             [](packet_type type, const packet_row& row) { return type == row.type; }));
    const std::size_t index = static_cast<std::size_t>(from.type()) - 1;
    return index < std::size(decoders) ? decoders[index](from, version) : errc::invalid_packet_type;
}

} // namespace detail

/// Decodes a frame to a packet of the type that it has, which borrows from it. A template, so that only programs that
/// call it compile the decoders of all packets.
template <std::same_as<any_packet> Any = any_packet>
constexpr result<Any> decode(const frame& from, protocol_version version) noexcept {
    return detail::decode_by_type(from, version, std::type_identity<Any>{});
}

} // namespace tern
