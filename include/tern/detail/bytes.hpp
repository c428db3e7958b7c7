// The bytes of packets: how values are encoded [§1.5], and three cursors over them.
//
// `reader` takes fields from a packet, `sizer` checks and measures fields that are to be written, `writer`
// stores them. An encoder is one function template over a sink. It runs first with a sizer and then with a
// writer, so one description says what is measured, checked and written.
//
// Bytes are `char`: the only type that a `string_view` can refer to in a constant expression.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/detail/utf8.hpp"
#include "tern/error.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace tern::detail {

// These functions read bytes that have been checked, or write into space that has been measured.

constexpr std::size_t checked_length(const char* p) noexcept {
    return static_cast<std::size_t>(static_cast<unsigned char>(p[0]) << 8 | static_cast<unsigned char>(p[1]));
}

constexpr std::string_view take_checked_string(const char*& p) noexcept {
    const std::string_view text{p + 2, checked_length(p)};
    p += 2 + text.size();
    return text;
}

constexpr std::uint32_t take_checked_variable(const char*& p) noexcept {
    std::uint32_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        const auto byte = static_cast<unsigned char>(*p++);
        value |= static_cast<std::uint32_t>(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) return value;
    }
}

// Copies `size` bytes, which are one to two blocks, as two blocks that overlap.
template <std::size_t Block>
void copy_blocks(const char* from, std::size_t size, char* to) noexcept {
    struct block {
        char bytes[Block];
    } first, last;
    std::memcpy(&first, from, Block);
    std::memcpy(&last, from + size - Block, Block);
    std::memcpy(to, &first, Block);
    std::memcpy(to + size - Block, &last, Block);
}

// Copies a text without a call to memcpy: most texts in packets are short.
TERN_INLINE inline void copy_text(const char* from, std::size_t size, char* to) noexcept {
    if (size - 8 <= 8) [[likely]] { // 8 to 16
        copy_blocks<8>(from, size, to);
    } else if (size - 4 <= 3) { // 4 to 7
        copy_blocks<4>(from, size, to);
    } else if (size > 16) {
        for (std::size_t i = 0; i < size - 16; i += 16)
            std::memcpy(to + i, from + i, 16);
        std::memcpy(to + size - 16, from + size - 16, 16);
    } else if (size != 0) { // 1 to 3
        const char middle = from[size / 2], last = from[size - 1];
        to[0] = from[0];
        to[size / 2] = middle;
        to[size - 1] = last;
    }
}

// Copies 17 to 64 bytes.
TERN_INLINE inline void copy_halves(const char* from, std::size_t size, char* to) noexcept {
    if (size <= 32) return copy_blocks<16>(from, size, to);
    copy_blocks<16>(from, 32, to);
    const char* const from_end = from + size;
    char* const to_end = to + size;
    copy_blocks<16>(from_end - 32, 32, to_end - 32);
}

// The functions that store take and return the position as a value, so that it can stay in a register.

// A payload.
TERN_INLINE constexpr char* put_bytes(char* p, std::string_view bytes) noexcept {
    if (std::is_constant_evaluated())
        std::copy(bytes.begin(), bytes.end(), p);
    else if (bytes.size() - 17 <= 64 - 17) [[likely]]
        copy_halves(bytes.data(), bytes.size(), p);
    else if (bytes.size() <= 16)
        copy_text(bytes.data(), bytes.size(), p);
    else
        std::memcpy(p, bytes.data(), bytes.size());
    return p + bytes.size();
}

TERN_INLINE constexpr char* put_two_bytes(char* p, std::uint16_t value) noexcept {
    p[0] = static_cast<char>(value >> 8);
    p[1] = static_cast<char>(value);
    return p + 2;
}

// A string, or binary data: the length and then the bytes. Calls no function, whatever the length.
TERN_INLINE constexpr char* put_string(char* p, std::string_view text) noexcept {
    const std::size_t size = text.size();
    char* const to = put_two_bytes(p, static_cast<std::uint16_t>(size));
    if (std::is_constant_evaluated())
        std::copy(text.begin(), text.end(), to);
    else
        copy_text(text.data(), size, to);
    return to + size;
}

TERN_INLINE constexpr std::size_t variable_size(std::uint32_t value) noexcept {
    if (value < 0x80) [[likely]]
        return 1;
    return value < 0x4000 ? 2 : value < 0x20'0000 ? 3 : 4;
}

TERN_INLINE constexpr char* put_variable(char* p, std::uint32_t value) noexcept {
    while (value >= 0x80) [[unlikely]] {
        *p++ = static_cast<char>(value | 0x80);
        value >>= 7;
    }
    *p++ = static_cast<char>(value);
    return p;
}

// ---- cursors

/// Reads fields from a packet and never beyond its end. The first error is kept: every later read returns
/// zero or an empty view, and `error()` returns that error.
class reader {
public:
    constexpr explicit reader(std::string_view bytes) noexcept : p_(bytes.data()), end_(p_ + bytes.size()) {}

    constexpr errc error() const noexcept { return error_; }
    constexpr bool at_end() const noexcept { return p_ == end_; }
    constexpr std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - p_); }

    /// Records an error, unless there is one already, and skips the rest.
    TERN_INLINE constexpr void fail(errc error) noexcept {
        if (error_ == errc::none) error_ = error;
        p_ = end_;
    }

    TERN_INLINE constexpr std::string_view bytes(std::size_t count) noexcept {
        if (!require(count)) return {};
        const std::string_view found{p_, count};
        p_ += count;
        return found;
    }
    TERN_INLINE constexpr std::string_view rest() noexcept { return bytes(left()); }

    TERN_INLINE constexpr std::uint8_t byte() noexcept { return require(1) ? next() : std::uint8_t{0}; }
    TERN_INLINE constexpr std::uint16_t two_bytes() noexcept {
        if (!require(2)) return 0;
        p_ += 2;
        return static_cast<std::uint16_t>(checked_length(p_ - 2));
    }
    constexpr std::uint32_t four_bytes() noexcept {
        if (!require(4)) return 0;
        p_ += 4;
        return static_cast<std::uint32_t>(checked_length(p_ - 4) << 16 | checked_length(p_ - 2));
    }

    TERN_INLINE constexpr std::uint32_t variable() noexcept {
        if (!at_end() && (*p_ & 0x80) == 0) [[likely]]
            return next();
        const long_variable found = find_variable(p_, end_);
        if (found.error != errc::none)
            fail(found.error);
        else
            p_ += found.size;
        return found.value;
    }

    TERN_INLINE constexpr std::string_view binary() noexcept { return bytes(two_bytes()); }

    TERN_INLINE constexpr std::string_view string() noexcept {
        const std::string_view text = binary();
        if (const errc error = check_text<true>(text); error != errc::none) fail(error);
        return text;
    }

    TERN_INLINE constexpr packet_id id() noexcept {
        const packet_id value = two_bytes();
        if (value == 0) fail(errc::zero_packet_id);
        return value;
    }

    /// Fails if bytes are left. Call it where the packet must end.
    TERN_INLINE constexpr void finish() noexcept {
        if (!at_end()) fail(errc::trailing_bytes);
    }

private:
    struct long_variable {
        std::uint32_t value = 0;
        std::uint8_t size = 0;
        errc error = errc::none;
    };
    // Static, so that a reader needs no address and stays in registers.
    TERN_NOINLINE static constexpr long_variable find_variable(const char* p, const char* end) noexcept {
        std::uint32_t value = 0;
        for (std::uint8_t i = 0; i != 4; ++i, ++p) {
            if (p == end) return {.error = errc::truncated_packet};
            value |= static_cast<std::uint32_t>(*p & 0x7F) << 7 * i;
            if (*p & 0x80) continue;
            if (*p == 0 && i != 0) // not the shortest form [MQTT-1.5.5-1]
                break;
            return {value, static_cast<std::uint8_t>(i + 1)};
        }
        return {.error = errc::malformed_variable_byte_integer};
    }

    TERN_INLINE constexpr bool require(std::size_t count) noexcept {
        if (count <= left()) return true;
        fail(errc::truncated_packet);
        return false;
    }
    TERN_INLINE constexpr std::uint8_t next() noexcept { return static_cast<std::uint8_t>(*p_++); }

    const char* p_;
    const char* end_;
    errc error_ = errc::none;
};

/// The sink that measures, and checks each field by itself. The first error is kept. The size has 64 bits on
/// every platform, so that no sum of fields wraps before it is found too large.
class sizer {
public:
    static constexpr bool checks = true;
    static constexpr bool simple = false;

    constexpr errc error() const noexcept {
        if (size_ <= variable_byte_integer_max) [[likely]]
            return errc::none;
        return has_error() ? static_cast<errc>(size_ >> error_shift) : errc::packet_too_large;
    }
    /// Whether there is no error, and the size fits in one byte as a Variable Byte Integer.
    constexpr bool is_short() const noexcept { return size_ < 0x80; }
    /// Valid if there is no error.
    constexpr std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(size_); }
    /// The growth of the size since `before`. Not 0 if there was an error, either.
    constexpr std::uint64_t since(sizer before) const noexcept { return size_ - before.size_; }
    TERN_INLINE constexpr void fail(errc reason) noexcept {
        if (!has_error()) size_ |= static_cast<std::uint64_t>(reason) << error_shift;
    }

    TERN_INLINE constexpr void byte(std::uint8_t) noexcept { size_ += 1; }
    TERN_INLINE constexpr void two_bytes(std::uint16_t) noexcept { size_ += 2; }
    TERN_INLINE constexpr void four_bytes(std::uint32_t) noexcept { size_ += 4; }
    TERN_INLINE constexpr void variable(std::uint32_t value) noexcept { size_ += variable_size(value); }
    TERN_INLINE constexpr void bytes(std::string_view content) noexcept { size_ += content.size(); }
    /// A string that the caller has checked.
    TERN_INLINE constexpr void checked_string(std::string_view text) noexcept { size_ += 2 + text.size(); }
    TERN_INLINE constexpr void binary(std::string_view content) noexcept {
        if (content.size() > string_max) fail(errc::string_too_long);
        size_ += 2 + content.size();
    }
    TERN_INLINE constexpr void string(std::string_view text) noexcept {
        if (const errc error = check_text<true>(text); error != errc::none) fail(error);
        checked_string(text);
    }

private:
    constexpr bool has_error() const noexcept { return size_ >> error_shift != 0; }

    static constexpr int error_shift = 56;
    std::uint64_t size_ = 0; // the error is in its highest byte, so that one register holds both
};

/// The sink that stores, into space that a sizer has measured.
class writer {
public:
    static constexpr bool checks = false;
    static constexpr bool simple = false;

    constexpr explicit writer(char* p) noexcept : p_(p) {}

    constexpr char* position() const noexcept { return p_; }
    constexpr void set_position(char* p) noexcept { p_ = p; }
    TERN_INLINE constexpr void fail(errc) noexcept {} // the sizer has reported it

    TERN_INLINE constexpr void byte(std::uint8_t value) noexcept { *p_++ = static_cast<char>(value); }
    TERN_INLINE constexpr void two_bytes(std::uint16_t value) noexcept { p_ = put_two_bytes(p_, value); }
    TERN_INLINE constexpr void four_bytes(std::uint32_t value) noexcept {
        p_[0] = static_cast<char>(value >> 24);
        p_[1] = static_cast<char>(value >> 16);
        p_[2] = static_cast<char>(value >> 8);
        p_[3] = static_cast<char>(value);
        p_ += 4;
    }
    TERN_INLINE constexpr void variable(std::uint32_t value) noexcept { p_ = put_variable(p_, value); }
    TERN_INLINE constexpr void bytes(std::string_view content) noexcept { p_ = put_bytes(p_, content); }
    TERN_INLINE constexpr void binary(std::string_view content) noexcept { p_ = put_string(p_, content); }
    TERN_INLINE constexpr void string(std::string_view text) noexcept { binary(text); }
    TERN_INLINE constexpr void checked_string(std::string_view text) noexcept { binary(text); }

private:
    char* p_;
};

/// The sink for packets that are rare: it measures and checks, and also stores if it has space. One type for both keeps
/// the code small.
class rare_sink {
public:
    static constexpr bool checks = true;
    static constexpr bool simple = false;

    constexpr explicit rare_sink(char* p = nullptr) noexcept : p_(p) {}

    constexpr errc error() const noexcept { return size_.error(); }
    constexpr bool is_short() const noexcept { return size_.is_short(); }
    constexpr std::uint32_t size() const noexcept { return size_.size(); }
    constexpr char* position() const noexcept { return p_; }
    constexpr void fail(errc reason) noexcept { size_.fail(reason); }

    TERN_COLD constexpr void byte(std::uint8_t value) noexcept {
        size_.byte(value);
        if (p_) *p_++ = static_cast<char>(value);
    }
    TERN_COLD constexpr void two_bytes(std::uint16_t value) noexcept {
        size_.two_bytes(value);
        if (p_) p_ = put_two_bytes(p_, value);
    }
    constexpr void four_bytes(std::uint32_t value) noexcept {
        two_bytes(static_cast<std::uint16_t>(value >> 16));
        two_bytes(static_cast<std::uint16_t>(value));
    }
    TERN_COLD constexpr void variable(std::uint32_t value) noexcept {
        size_.variable(value);
        if (p_) p_ = put_variable(p_, value);
    }
    TERN_COLD constexpr void binary(std::string_view content) noexcept {
        size_.binary(content);
        if (p_) p_ = put_string(p_, content);
    }
    TERN_COLD constexpr void string(std::string_view text) noexcept {
        if (const errc error = check_text<true>(text); error != errc::none) fail(error);
        binary(text);
    }

private:
    sizer size_;
    char* p_;
};

// The sinks for a packet that is simple (`is_simple`): it has no properties, only their length in 5.0, which is 0.
class simple_sizer : public sizer {
public:
    static constexpr bool simple = true;

    TERN_INLINE constexpr void no_properties(protocol_version version) noexcept {
        if (version >= protocol_version::v5) byte(0); // added to the size without a branch
    }
};
class simple_writer : public writer {
public:
    using writer::writer;
    static constexpr bool simple = true;

    TERN_INLINE constexpr void no_properties(protocol_version version) noexcept {
        if (version >= protocol_version::v5) [[likely]]
            byte(0);
    }
};

} // namespace tern::detail
