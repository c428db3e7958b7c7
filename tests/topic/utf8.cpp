// Strings, compared with a decoder that follows the definition of UTF-8 instead of its tables.
#include "catch.hpp"
#include "tern/topic.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace {

using tern::check_string;
using tern::check_topic_name;
using tern::errc;

static_assert(check_string("") == errc::none);
static_assert(check_string("caf\u00E9 \u20AC \U0001F426") == errc::none);
static_assert(check_string("caf\xE9") == errc::malformed_utf8);
static_assert(check_string({"\0", 1}) == errc::null_character);
static_assert(check_string("A\xF0\xAA\x9B\x94") == errc::none, "the example of §1.5.4.1: A and U+2A6D4");
static_assert(check_string("12345678\xED\xA0\x80") == errc::malformed_utf8);

// The reference: reads a code point of as many bytes as the first byte announces, and then checks its value.
errc expected(std::string_view text, bool wildcards) {
    std::size_t at = 0;
    while (at != text.size()) {
        const unsigned first = static_cast<unsigned char>(text[at]);
        const int ones = std::countl_one(static_cast<unsigned char>(first));
        if (ones == 1 || ones > 4) return errc::malformed_utf8;
        const std::size_t size = ones == 0 ? 1 : static_cast<std::size_t>(ones);
        std::uint32_t code_point = ones == 0 ? first : first & (0xFFU >> (ones + 1));
        for (std::size_t i = 1; i != size; ++i) {
            if (at + i == text.size()) return errc::malformed_utf8;
            const unsigned next = static_cast<unsigned char>(text[at + i]);
            if (next >> 6 != 2) return errc::malformed_utf8;
            code_point = code_point << 6 | (next & 0x3F);
        }
        const std::uint32_t lowest[] = {0, 0x80, 0x800, 0x1'0000};
        if (code_point < lowest[size - 1]) return errc::malformed_utf8;                // overlong
        if (code_point >= 0xD800 && code_point <= 0xDFFF) return errc::malformed_utf8; // surrogate
        if (code_point > 0x10'FFFF) return errc::malformed_utf8;
        if (code_point == 0) return errc::null_character;
        if (!wildcards && (code_point == '+' || code_point == '#')) return errc::invalid_topic_name;
        at += size;
    }
    return errc::none;
}

// Checks a sequence after 0 to 7 characters of ASCII, at the end of a text and followed by more ASCII, as a
// string and as a topic name. The reference checks the sequence alone: the surrounding ASCII does not change
// its result.
class sequence_checker {
public:
    std::size_t checked = 0;
    std::size_t wrong = 0;

    void check(std::string_view sequence, bool names_too) {
        const errc string_error = expected(sequence, true);
        const errc name_error = expected(sequence, false);
        // An incomplete sequence stays invalid: no continuation byte follows it.
        for (std::size_t before = 0; before != 8; ++before) {
            char* const p = text_ + 8 - before; // the text begins here
            std::copy(sequence.begin(), sequence.end(), text_ + 8);
            std::fill_n(text_ + 8 + sequence.size(), after, 'z');
            for (const std::size_t following : {std::size_t{0}, after}) {
                const std::string_view whole(p, before + sequence.size() + following);
                report(check_string(whole) == string_error, sequence);
                if (names_too) report(check_topic_name(whole) == name_error, sequence);
            }
        }
    }

private:
    void report(bool is_correct, std::string_view sequence) {
        ++checked;
        if (is_correct || ++wrong > 10) return;
        std::string bytes;
        for (const char c : sequence)
            bytes += std::to_string(static_cast<unsigned char>(c)) + ' ';
        FAIL_CHECK("wrong for the bytes " << bytes);
    }

    static constexpr std::size_t after = 9;
    char text_[8 + 4 + after] = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'};
};

template <class... Bytes>
std::string sequence_of(Bytes... bytes) {
    return {static_cast<char>(bytes)...};
}

} // namespace

TEST_CASE("all sequences of 1 and 2 bytes are checked correctly in all positions of a word [v311:MQTT-1.5.3-1, "
          "v311:MQTT-1.5.3-2, v5:MQTT-1.5.4-1, v5:MQTT-1.5.4-2]",
          "[utf8]") {
    sequence_checker checker;
    for (int a = 0; a != 0x100; ++a)
        checker.check(sequence_of(a), true);
    for (int a = 0; a != 0x100; ++a)
        for (int b = 0; b != 0x100; ++b)
            checker.check(sequence_of(a, b), true);
    CHECK(checker.wrong == 0);
    CHECK(checker.checked == (0x100 + 0x10000) * 8 * 4);
}

// Sequences that begin with ASCII are covered by the two-byte sequences after ASCII.
TEST_CASE(
    "all sequences of 3 bytes are checked correctly in all positions of a word [v311:MQTT-1.5.3-1, v5:MQTT-1.5.4-1]",
    "[utf8]") {
    sequence_checker checker;
    char bytes[3];
    for (int a = 0x80; a != 0x100; ++a)
        for (int b = 0; b != 0x100; ++b)
            for (int c = 0; c != 0x100; ++c) {
                bytes[0] = static_cast<char>(a);
                bytes[1] = static_cast<char>(b);
                bytes[2] = static_cast<char>(c);
                checker.check({bytes, 3}, false);
            }
    CHECK(checker.wrong == 0);
}

TEST_CASE("sequences of 4 bytes with boundary values are checked correctly in all positions of a word "
          "[v311:MQTT-1.5.3-1, v5:MQTT-1.5.4-1]",
          "[utf8]") {
    sequence_checker checker;
    const int edges[] = {0x00, 0x2B, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    for (int a = 0xE0; a != 0x100; ++a)
        for (const int b : edges)
            for (const int c : edges)
                for (const int d : edges)
                    checker.check(sequence_of(a, b, c, d), true);
    CHECK(checker.wrong == 0);
}

TEST_CASE("every code point is accepted, every surrogate refused [v311:MQTT-1.5.3-1, v5:MQTT-1.5.4-1]", "[utf8]") {
    std::size_t wrong = 0;
    for (std::uint32_t c = 1; c != 0x11'0000; ++c) {
        std::string text;
        auto tail = [&](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3F)); };
        if (c < 0x80)
            text = sequence_of(c);
        else if (c < 0x800)
            text = sequence_of(0xC0 | c >> 6, tail(0));
        else if (c < 0x1'0000)
            text = sequence_of(0xE0 | c >> 12, tail(6), tail(0));
        else
            text = sequence_of(0xF0 | c >> 18, tail(12), tail(6), tail(0));
        const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        wrong += check_string(text) != (surrogate ? errc::malformed_utf8 : errc::none);
    }
    CHECK(wrong == 0);
}

TEST_CASE("a check does not read beyond the end of the text [v311:MQTT-1.5.3-1, v5:MQTT-1.5.4-1]", "[utf8]") {
    const std::string text = "0123456789\U0001F426\u20AC\u00E9 ab";
    for (std::size_t begin = 0; begin != text.size(); ++begin)
        for (std::size_t size = 0; begin + size <= text.size(); ++size) {
            const auto exact = std::make_unique<char[]>(size); // a sanitizer reports a read beyond it
            std::copy_n(text.data() + begin, size, exact.get());
            const std::string_view piece(exact.get(), size);
            CHECK(check_string(piece) == expected(piece, true));
        }
}

TEST_CASE("the first error is reported [v311:MQTT-1.5.3-1, v5:MQTT-1.5.4-1]", "[utf8]") {
    CHECK(check_topic_name("12345678+\xFF") == errc::invalid_topic_name);
    CHECK(check_topic_name("12345678\xFF+") == errc::malformed_utf8);
    CHECK(check_topic_name({"1234567+9012\0", 13}) == errc::invalid_topic_name);
    CHECK(check_topic_name({"\0 12345678901+", 14}) == errc::null_character);
}

TEST_CASE("U+0000 is refused in every position and encoding [v311:MQTT-1.5.3-2, v5:MQTT-1.5.4-2]", "[utf8]") {
    for (std::size_t size = 1; size <= 40; ++size)
        for (std::size_t at = 0; at != size; ++at)
            for (const char neighbour : {'\x01', 'a', '\x7F'}) {
                std::string text(size, neighbour);
                text[at] = '\0';
                CHECK(check_string(text) == errc::null_character);
            }
    CHECK(check_string("\xC0\x80") == errc::malformed_utf8);
}

TEST_CASE("U+FEFF is an ordinary character [v311:MQTT-1.5.3-3, v5:MQTT-1.5.4-3]", "[utf8]") {
    CHECK(check_string("\xEF\xBB\xBF") == errc::none);
    const auto name = tern::topic_name::parse("\xEF\xBB\xBF"
                                              "a/\uFEFF");
    REQUIRE(name);
    CHECK(name->text() == "\xEF\xBB\xBF"
                          "a/\xEF\xBB\xBF");
    CHECK(tern::matches("\uFEFF/+", "\uFEFF/a"));
    CHECK_FALSE(tern::matches("\uFEFF/+", "/a"));
}

TEST_CASE("strings of up to 65,535 bytes are accepted, longer ones refused [v311:MQTT-4.7.3-3, v5:MQTT-4.7.3-3]",
          "[utf8]") {
    CHECK(check_string(std::string(65'535, 'a')) == errc::none);
    CHECK(check_string(std::string(65'536, 'a')) == errc::string_too_long);
    std::string euros;
    for (int i = 0; i != 21'845; ++i)
        euros += "\u20AC";
    CHECK(euros.size() == 65'535);
    CHECK(check_string(euros) == errc::none);
    CHECK(check_string(euros + 'a') == errc::string_too_long);
    CHECK(check_string(std::string(65'534, 'a') + '\xC3') == errc::malformed_utf8);
}
