// Three cursors over bytes: `reader` takes fields from a packet, `sizer` checks and measures fields that are to be
// written, `writer` stores them. An encoder is one function template over a sink, run first with a sizer and then
// with a writer, so what is measured, checked and written is one description.
//
// Bytes are `char`: the only type that a `string_view` can look at in a constant expression.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/detail/utf8.hpp"
#include "tern/error.hpp"
#include "tern/property.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace tern::detail {

/// Reads fields from a packet and never beyond it. The first error sticks: from then on every read gives
/// zero or nothing, and `error()` says what was wrong.
class reader {
public:
    constexpr explicit reader(std::string_view bytes) noexcept : p_(bytes.data()), end_(p_ + bytes.size()) {}

    constexpr errc error() const noexcept { return error_; }
    constexpr bool at_end() const noexcept { return p_ == end_; }
    constexpr std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - p_); }

    /// Notes an error, unless there is one already, and gives up the rest.
    TERN_INLINE constexpr void fail(errc error) noexcept {
        if (error_ == errc::none) error_ = error;
        p_ = end_;
    }

    TERN_INLINE constexpr std::string_view bytes(std::size_t count) noexcept {
        if (!has(count)) return {};
        const std::string_view taken{p_, count};
        p_ += count;
        return taken;
    }
    TERN_INLINE constexpr std::string_view rest() noexcept { return bytes(left()); }

    TERN_INLINE constexpr std::uint8_t byte() noexcept { return has(1) ? next() : std::uint8_t{0}; }
    TERN_INLINE constexpr std::uint16_t two_bytes() noexcept {
        if (!has(2)) return 0;
        p_ += 2;
        return static_cast<std::uint16_t>(checked_length(p_ - 2));
    }
    constexpr std::uint32_t four_bytes() noexcept {
        if (!has(4)) return 0;
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
        if (const errc error = check_string(text); error != errc::none) fail(error);
        return text;
    }

    TERN_INLINE constexpr packet_id id() noexcept {
        const packet_id value = two_bytes();
        if (value == 0) fail(errc::zero_packet_id);
        return value;
    }

    /// To be called when the packet must be over.
    TERN_INLINE constexpr void finish() noexcept {
        if (!at_end()) fail(errc::trailing_bytes);
    }

private:
    struct long_variable {
        std::uint32_t value = 0;
        std::uint8_t size = 0;
        errc error = errc::none;
    };
    // Not a member, so that a reader has no address and lives in registers.
    TERN_NOINLINE static constexpr long_variable find_variable(const char* p, const char* end) noexcept {
        std::uint32_t value = 0;
        for (std::uint8_t i = 0; i != 4; ++i, ++p) {
            if (p == end) return {.error = errc::truncated_packet};
            value |= static_cast<std::uint32_t>(*p & 0x7F) << 7 * i;
            if (*p & 0x80) continue;
            if (*p == 0 && i != 0) // a shorter form would do [MQTT-1.5.5-1]
                break;
            return {value, static_cast<std::uint8_t>(i + 1)};
        }
        return {.error = errc::malformed_variable_byte_integer};
    }

    TERN_INLINE constexpr bool has(std::size_t count) noexcept {
        if (count <= left()) return true;
        fail(errc::truncated_packet);
        return false;
    }
    TERN_INLINE constexpr std::uint8_t next() noexcept { return static_cast<std::uint8_t>(*p_++); }

    const char* p_;
    const char* end_;
    errc error_ = errc::none;
};

/// The sink that measures, and checks what can be wrong with a single field. The first error sticks. The size has
/// 64 bits everywhere, so that no sum of fields can wrap before it is found too large.
class sizer {
public:
    static constexpr bool checks = true;
    static constexpr bool simple = false;

    constexpr errc error() const noexcept {
        if (size_ <= variable_byte_integer_max) [[likely]]
            return errc::none;
        return noted() ? static_cast<errc>(size_ >> error_shift) : errc::packet_too_large;
    }
    /// Whether there is no error, and the size fits in one byte as a Variable Byte Integer.
    constexpr bool is_short() const noexcept { return size_ < 0x80; }
    /// To be asked when there is no error.
    constexpr std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(size_); }
    /// By how much the size has grown since; not 0 either if there was an error.
    constexpr std::uint64_t since(sizer before) const noexcept { return size_ - before.size_; }
    TERN_INLINE constexpr void fail(errc reason) noexcept {
        if (!noted()) size_ |= static_cast<std::uint64_t>(reason) << error_shift;
    }

    TERN_INLINE constexpr void byte(std::uint8_t) noexcept { size_ += 1; }
    TERN_INLINE constexpr void two_bytes(std::uint16_t) noexcept { size_ += 2; }
    TERN_INLINE constexpr void four_bytes(std::uint32_t) noexcept { size_ += 4; }
    TERN_INLINE constexpr void variable(std::uint32_t value) noexcept { size_ += variable_size(value); }
    TERN_INLINE constexpr void bytes(std::string_view content) noexcept { size_ += content.size(); }
    /// A string that has been checked.
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
    constexpr bool noted() const noexcept { return size_ >> error_shift != 0; }

    static constexpr int error_shift = 56;
    std::uint64_t size_ = 0; // with the error in its highest byte: one value, that is passed in a register
};

/// The sink that stores, into room that a sizer has measured.
class writer {
public:
    static constexpr bool checks = false;
    static constexpr bool simple = false;

    constexpr explicit writer(char* p) noexcept : p_(p) {}

    constexpr char* position() const noexcept { return p_; }
    constexpr void set_position(char* p) noexcept { p_ = p; }
    TERN_INLINE constexpr void fail(errc) noexcept {} // a sizer has seen it before

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

// The sinks for a packet of which `is_simple` has said that it has no properties.
class simple_sizer : public sizer {
public:
    static constexpr bool simple = true;
};
class simple_writer : public writer {
public:
    using writer::writer;
    static constexpr bool simple = true;
};

} // namespace tern::detail
