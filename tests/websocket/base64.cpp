// Base64 (RFC 4648).
#include "tern/transport/detail/base64.hpp"

#include "catch.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace base64_test {

using namespace std::string_view_literals;

constexpr bool encodes(std::string_view bytes, std::string_view expected) {
    std::array<char, 64> buffer{};
    const char* const end = tern::detail::put_base64(bytes, buffer.data());
    const auto size = static_cast<std::size_t>(end - buffer.data());
    return size == tern::detail::base64_size(bytes.size()) && std::string_view(buffer.data(), size) == expected;
}

// RFC 4648 §10
static_assert(encodes("", ""));
static_assert(encodes("f", "Zg=="));
static_assert(encodes("fo", "Zm8="));
static_assert(encodes("foo", "Zm9v"));
static_assert(encodes("foob", "Zm9vYg=="));
static_assert(encodes("fooba", "Zm9vYmE="));
static_assert(encodes("foobar", "Zm9vYmFy"));

// RFC 7617 §2: credentials
static_assert(encodes("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));

static_assert(encodes("\xFF\xFE\xFD"sv, "//79"));
static_assert(encodes("\0\0\0\0"sv, "AAAAAA=="));
static_assert(encodes("\xFB\xF0"sv, "+/A="));

TEST_CASE("all 64 digits of base64 are those of the standard [RFC 4648 §4]") {
    std::string bytes;
    std::string expected;
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (unsigned value = 0; value != 64; ++value) {
        bytes += {static_cast<char>(value << 2U), '\0', static_cast<char>(value)};
        expected += std::string{digits[value], 'A', 'A', digits[value]};
    }
    CHECK(tern::detail::to_base64(bytes) == expected);
}

} // namespace base64_test
