// Any packet: encoded, decoded and told apart.
#pragma once

#include "tern/codec/ack.hpp"
#include "tern/codec/connect.hpp"
#include "tern/codec/control.hpp"
#include "tern/codec/framer.hpp"
#include "tern/codec/publish.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/result.hpp"
#include "tern/types.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>

namespace tern {

/// A packet of any type.
using any_packet = std::variant<connect, connack, publish, puback, pubrec, pubrel, pubcomp, subscribe, suback,
                                unsubscribe, unsuback, pingreq, pingresp, disconnect, auth>;

/// One of the fifteen packets.
template <class T>
concept packet = requires(const T& p, protocol_version version) {
    { T::type } -> std::convertible_to<packet_type>;
    { detail::check(p, version) } -> std::same_as<errc>;
};

namespace detail {

template <packet Packet>
constexpr std::uint8_t first_byte_of(const Packet& p) noexcept {
    if constexpr (Packet::type == packet_type::publish)
        return static_cast<std::uint8_t>(static_cast<unsigned>(Packet::type) << 4 | flags_of(p));
    else
        return fixed_first_byte(Packet::type);
}

// PUBLISH and its acknowledgements.
template <packet Packet>
inline constexpr bool is_frequent =
    Packet::type >= packet_type::publish && Packet::type <= packet_type::pubcomp;

// A frequent packet is simple if it has no properties, as most have none. Then it is checked, measured and written by a
// function of its own, in which nothing is rare, so that it calls nothing.
template <packet Packet>
constexpr bool is_simple(const Packet& p) noexcept {
    return is_unset(p.properties);
}
template <packet Packet>
constexpr errc check_simple(const Packet& p, protocol_version version) noexcept {
    return check(p, version);
}

/// What is known of a packet that may be written.
struct measured {
    std::uint32_t remaining_length = 0;
    std::uint8_t header_size = 2; // with a remaining length below 128
    bool simple = false;

    constexpr operator std::size_t() const noexcept { return remaining_length; } // NOLINT
};

template <class Sizer, packet Packet>
TERN_INLINE constexpr result<measured> measure_with(const Packet& p, protocol_version version) noexcept {
    const errc error = Sizer::simple ? check_simple(p, version) : check(p, version);
    if (error != errc::none) return error;
    Sizer sink;
    put_body(sink, p, version);
    const std::uint32_t size = sink.size();
    if (sink.is_short()) [[likely]] // asked first, as then there is no error either
        return measured{size, 2, Sizer::simple};
    if (sink.error() != errc::none) return sink.error();
    return measured{size, static_cast<std::uint8_t>(1 + variable_size(size)), Sizer::simple};
}

// The same for a packet that is simple, or that need not be.
template <bool Simple, packet Packet>
TERN_INLINE constexpr result<measured> measure_as(const Packet& p, protocol_version version) noexcept {
    return measure_with<std::conditional_t<Simple, simple_sizer, sizer>>(p, version);
}

// Checks the packet and measures it.
template <packet Packet>
constexpr result<measured> measure(const Packet& p, protocol_version version) noexcept {
    if constexpr (is_frequent<Packet>)
        if (is_simple(p)) return measure_with<simple_sizer>(p, version);
    return measure_with<sizer>(p, version);
}

TERN_INLINE constexpr std::size_t with_header(measured size) noexcept {
    return std::size_t{size.remaining_length} + size.header_size;
}

template <class Writer, packet Packet>
TERN_INLINE constexpr char* write_with(const Packet& p, protocol_version version,
                                       std::uint32_t remaining_length, char* to) noexcept {
    Writer sink{to};
    sink.byte(first_byte_of(p));
    sink.variable(remaining_length);
    put_body(sink, p, version);
    return sink.position();
}

template <bool Simple, packet Packet>
TERN_INLINE constexpr char* write_as(const Packet& p, protocol_version version,
                                     std::uint32_t remaining_length, char* to) noexcept {
    using sink = std::conditional_t<Simple && is_frequent<Packet>, simple_writer, writer>;
    return write_with<sink>(p, version, remaining_length, to);
}

// Writes a packet that `measure` has accepted; returns its end.
template <packet Packet>
constexpr char* write(const Packet& p, protocol_version version, std::size_t remaining_length,
                      char* to) noexcept {
    return write_with<writer>(p, version, static_cast<std::uint32_t>(remaining_length), to);
}

// The same, knowing all that `measure` has found.
template <packet Packet>
constexpr char* write(const Packet& p, protocol_version version, measured size, char* to) noexcept {
    return size.simple ? write_as<true>(p, version, size.remaining_length, to)
                       : write_as<false>(p, version, size.remaining_length, to);
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
    return encode_with<sizer, writer>(p, version, out);
}

} // namespace detail

/// The size in bytes of the encoded packet, or the rule that forbids to send it.
template <packet Packet>
constexpr result<std::size_t> encoded_size(const Packet& p, protocol_version version) noexcept {
    const auto measured = detail::measure(p, version);
    if (!measured) return measured.error();
    return detail::with_header(*measured);
}

/// Encodes a packet to the beginning of `out` and returns how many bytes it took.
///
/// Writes nothing if the standard forbids the packet, or with `errc::buffer_too_small` if it does not fit.
/// CONNECT says its version itself, `version` is not used for it.
template <packet Packet>
TERN_INLINE constexpr result<std::size_t> encode(const Packet& p, protocol_version version,
                                                 std::span<char> out) noexcept {
    if constexpr (detail::is_frequent<Packet>)
        if (detail::is_simple(p))
            return detail::encode_with<detail::simple_sizer, detail::simple_writer>(p, version, out);
    return detail::encode_any(p, version, out);
}

/// Encodes the packet that `Make` returns at compile time, to an array of exactly its size. A packet that
/// the standard forbids does not compile.
///
///     constexpr auto ping = tern::encode_to_array<[] { return tern::pingreq{}; }>();
template <auto Make, protocol_version Version = protocol_version::v5>
consteval auto encode_to_array() {
    constexpr std::size_t size = *encoded_size(Make(), Version);
    static_assert(size != 0, "the standard forbids this packet: encoded_size() says why");
    std::array<char, size> bytes{};
    (void)encode(Make(), Version, bytes);
    return bytes;
}

namespace detail {

// Whether there can be a packet of this type in the frame.
template <packet Packet>
constexpr errc check_frame(const frame& from, protocol_version version) noexcept {
    if (Packet::type == packet_type::auth && version == protocol_version::v3_1_1)
        return errc::invalid_packet_type;
    if (Packet::type != packet_type::publish && from.first_byte == fixed_first_byte(Packet::type)) [[likely]]
        return errc::none;
    return from.type() == Packet::type ? check_first_byte(from.first_byte) : errc::invalid_packet_type;
}

// Decodes the body of such a frame into a packet that has just been made.
template <packet Packet>
TERN_INLINE constexpr errc decode_body(Packet& p, const frame& from, protocol_version version) noexcept {
    reader in{from.body};
    get_body(in, p, from.flags(), version);
    in.finish();
    return in.error();
}

/// Decodes into a packet that has just been made.
template <packet Packet>
TERN_INLINE constexpr errc decode_into(Packet& p, const frame& from, protocol_version version) noexcept {
    const errc error = check_frame<Packet>(from, version);
    return error == errc::none ? decode_body(p, from, version) : error;
}

} // namespace detail

/// Decodes the body of a frame as a packet of the given type, which borrows from it.
///
/// The frame's type must be `Packet::type`. Copies nothing and allocates nothing.
template <packet Packet>
TERN_INLINE constexpr result<Packet> decode(const frame& from, protocol_version version) noexcept {
    result<Packet> decoded = detail::check_frame<Packet>(from, version);
    if (!decoded) return decoded; // the only one that is returned, so that the packet is never copied
    if (const errc error = detail::decode_body(*decoded, from, version); error != errc::none) decoded = error;
    return decoded;
}

/// Decodes a frame to whichever packet it holds, which borrows from it.
constexpr result<any_packet> decode(const frame& from, protocol_version version) noexcept {
    auto as = [&]<class Packet>(std::type_identity<Packet>) -> result<any_packet> {
        result<any_packet> decoded = any_packet{std::in_place_type<Packet>};
        if (const errc error = detail::decode_into(*std::get_if<Packet>(&*decoded), from, version);
            error != errc::none)
            decoded = error;
        return decoded;
    };
    switch (from.type()) {
    case packet_type::connect: return as(std::type_identity<connect>{});
    case packet_type::connack: return as(std::type_identity<connack>{});
    case packet_type::publish: return as(std::type_identity<publish>{});
    case packet_type::puback: return as(std::type_identity<puback>{});
    case packet_type::pubrec: return as(std::type_identity<pubrec>{});
    case packet_type::pubrel: return as(std::type_identity<pubrel>{});
    case packet_type::pubcomp: return as(std::type_identity<pubcomp>{});
    case packet_type::subscribe: return as(std::type_identity<subscribe>{});
    case packet_type::suback: return as(std::type_identity<suback>{});
    case packet_type::unsubscribe: return as(std::type_identity<unsubscribe>{});
    case packet_type::unsuback: return as(std::type_identity<unsuback>{});
    case packet_type::pingreq: return as(std::type_identity<pingreq>{});
    case packet_type::pingresp: return as(std::type_identity<pingresp>{});
    case packet_type::disconnect: return as(std::type_identity<disconnect>{});
    case packet_type::auth: return as(std::type_identity<auth>{});
    }
    return errc::invalid_packet_type;
}

} // namespace tern
