// The payload of a message, as functions of the client accept it: text, or any bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

namespace tern {

/// A view of a payload. It converts from text, and from contiguous bytes, such as a `std::vector<std::byte>`, an array
/// of `unsigned char`, a `std::vector<char>`, or a `std::span<const std::byte>`. It borrows the bytes.
///
/// An array of `char` and a `const char*` are text that ends at the first NUL. Pass other `char`s as a
/// `std::string_view` or a `std::span<const char>`.
class payload_view {
public:
    template <class Text>
        requires std::is_convertible_v<const Text&, std::string_view>
    // NOLINTNEXTLINE(google-explicit-constructor)
    constexpr payload_view(const Text& text) noexcept : text_(text) {}

    payload_view(std::nullptr_t) = delete;

    template <class Bytes>
        requires(std::is_convertible_v<const Bytes&, std::span<const char>> &&
                 !std::is_convertible_v<const Bytes&, std::string_view>)
    // NOLINTNEXTLINE(google-explicit-constructor)
    payload_view(const Bytes& bytes) noexcept : text_(as_text(std::span<const char>(bytes))) {}

    template <class Bytes>
        requires std::is_convertible_v<const Bytes&, std::span<const std::byte>>
    // NOLINTNEXTLINE(google-explicit-constructor)
    payload_view(const Bytes& bytes) noexcept : text_(as_text(std::span<const std::byte>(bytes))) {}

    template <class Bytes>
        requires std::is_convertible_v<const Bytes&, std::span<const unsigned char>>
    // NOLINTNEXTLINE(google-explicit-constructor)
    payload_view(const Bytes& bytes) noexcept : text_(as_text(std::span<const unsigned char>(bytes))) {}

    /// Returns the bytes in the form of `message_view::payload`.
    constexpr std::string_view text() const noexcept { return text_; }

private:
    template <class Byte>
    static std::string_view as_text(std::span<const Byte> bytes) noexcept {
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    std::string_view text_;
};

} // namespace tern
