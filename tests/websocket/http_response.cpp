// The head of an HTTP response (RFC 9112), as servers send it after a WebSocket upgrade and proxies after CONNECT.
#include "tern/transport/detail/http_response.hpp"

#include "catch.hpp"
#include "support/heap.hpp"
#include "tern/transport/http_error.hpp"

#include <cstddef>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace http_response_test {

using namespace std::string_literals;
using tern::detail::http_progress;
using tern::detail::http_response;

struct outcome {
    http_progress progress = http_progress::reading;
    int status = 0;
    std::size_t consumed = 0;
    std::string location;
    std::size_t locations = 0;

    friend bool operator==(const outcome&, const outcome&) = default;
};

// Reads pieces of the given sizes, and then the rest in one piece.
outcome read_in(const std::vector<std::size_t>& sizes, std::string_view bytes,
                std::size_t limit = http_response::default_limit) {
    http_response response(limit);
    outcome result;
    std::size_t next = 0;
    while (response.progress() == http_progress::reading && result.consumed != bytes.size()) {
        const std::size_t size = next < sizes.size() ? sizes[next++] : std::string_view::npos;
        const std::string piece(bytes.substr(result.consumed, size));
        result.consumed += response.read(piece);
    }
    result.progress = response.progress();
    if (result.progress != http_progress::complete) return result;
    result.status = response.status();
    result.location = response.field("Location");
    result.locations = response.count("location");
    return result;
}

// Reads the bytes in one piece, byte by byte, and cut at each byte. The results must be the same.
outcome read_all_ways(const std::string& bytes, std::size_t limit = http_response::default_limit) {
    const outcome whole = read_in({}, bytes, limit);
    CHECK(read_in(std::vector<std::size_t>(bytes.size(), 1), bytes, limit) == whole);
    for (std::size_t cut = 1; cut < bytes.size(); ++cut)
        if (!(read_in({cut}, bytes, limit) == whole)) FAIL_CHECK("cut at " << cut);
    return whole;
}

void accepts(const std::string& head, int status) {
    INFO(head);
    const outcome read = read_all_ways(head + "rest");
    CHECK(read.progress == http_progress::complete);
    CHECK(read.status == status);
    CHECK(read.consumed == head.size());
}

// Also if the rest of a correct head follows: an error is found without waiting for it.
void refuses(const std::string& head) {
    INFO(head);
    CHECK(read_all_ways(head).progress == http_progress::malformed);
}

void incomplete(const std::string& head) {
    INFO(head);
    CHECK(read_all_ways(head).progress == http_progress::reading);
}

TEST_CASE("the status line has a version, a status and perhaps a reason [RFC 9112 §4]") {
    accepts("HTTP/1.1 101 Switching Protocols\r\n\r\n", 101);
    accepts("HTTP/1.0 200 Connection established\r\n\r\n", 200);
    accepts("HTTP/1.1 407 \r\n\r\n", 407);
    accepts("HTTP/1.1 599\r\n\r\n", 599);
    accepts("HTTP/1.9 999 \xC3\xA4\tx\r\n\r\n", 999);

    refuses("\r\nHTTP/1.1 200 OK\r\n\r\n");
    refuses("HTTP/2 200");
    refuses("HTTP/1 200");
    refuses("HTTP/1.x 200");
    refuses("http/1.1 200 OK\r\n\r\n");
    refuses("HTTP/1.1  200 OK\r\n\r\n");
    refuses("HTTP/1.1\t200 OK\r\n\r\n");
    refuses("HTTP/1.1 20 OK\r\n\r\n");
    refuses("HTTP/1.1 2000 OK\r\n\r\n");
    refuses("HTTP/1.1 099 OK\r\n\r\n");
    refuses("HTTP/1.1 2x0 OK\r\n\r\n");
    refuses("HTTP/1.1 -20 OK\r\n\r\n");
    refuses("HTTP/1.1 200\tOK\r\n\r\n");
    refuses("HTTP/1.1 200OK\r\n\r\n");
    refuses("\x16\x03\x01"s);     // TLS
    refuses("\x20\x02\x00\x00"s); // MQTT
    refuses("SSH-2.0-OpenSSH\r\n");
}

TEST_CASE("every prefix of a correct head waits for the rest") {
    const std::string head = "HTTP/1.1 302 Found\r\nLocation: /x\r\n y\r\nServer:\r\n\r\n";
    for (std::size_t size = 0; size != head.size(); ++size)
        CHECK(read_in({}, head.substr(0, size)).progress == http_progress::reading);
    accepts(head, 302);
}

TEST_CASE("lines end with CRLF or LF, never with CR [RFC 9112 §2.2]") {
    accepts("HTTP/1.1 200 OK\n\n", 200);
    accepts("HTTP/1.1 200 OK\r\nA: b\n\r\n", 200);
    accepts("HTTP/1.1 200 OK\nA: b\r\n\n", 200);
    refuses("HTTP/1.1 200 OK\r\rA: b\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nA\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\n\r\r\n");
}

TEST_CASE("the name of a field is a token directly before its colon [RFC 9112 §5.1]") {
    accepts("HTTP/1.1 200 OK\r\nA:b\r\n\r\n", 200);
    accepts("HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n", 200);
    refuses("HTTP/1.1 200 OK\r\nA : b\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\n: b\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nA b: c\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nA(: c\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nA\xE4: c\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nA\0: c\r\n\r\n"s);
    refuses("HTTP/1.1 200 OK\r\nno colon\r\n\r\n");
}

TEST_CASE("a value has no control character except the tab [RFC 9110 §5.5]") {
    for (int c = 0; c != 256; ++c) {
        if (c == '\r' || c == '\n') continue;
        const std::string head = "HTTP/1.1 200 OK\r\nA: x"s + static_cast<char>(c) + "y\r\n\r\n";
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            refuses(head);
        else
            accepts(head, 200);
    }
    refuses("HTTP/1.1 200 O\0K\r\n\r\n"s);
    refuses("HTTP/1.1 200 O\x1BK\r\n\r\n"s);
}

TEST_CASE("whitespace around a value is not part of it [RFC 9112 §5]") {
    const std::string begin = "HTTP/1.1 302 Found\r\n";
    CHECK(read_all_ways(begin + "Location:/a\r\n\r\n").location == "/a");
    CHECK(read_all_ways(begin + "Location: \t /a b \t\r\n\r\n").location == "/a b");
    CHECK(read_all_ways(begin + "Location: \r\n\r\n").location.empty());
    CHECK(read_all_ways(begin + "Location: \r\n\r\n").locations == 1);
    CHECK(read_all_ways(begin + "Location:\r\n\r\n").locations == 1);
}

TEST_CASE("a folded value is joined with whitespace [RFC 9112 §5.2]") {
    const std::string begin = "HTTP/1.1 302 Found\r\n";
    CHECK(read_all_ways(begin + "Location: /a\r\n /b\r\n\r\n").location == "/a /b");
    CHECK(read_all_ways(begin + "Location:\r\n\t/b\n /c: d\r\nA: b\r\n\r\n").location == "/b /c: d");
    CHECK(read_all_ways(begin + "Location: /a\r\n \r\n\r\n").location == "/a");
    refuses(begin + " Location: /a\r\n\r\n");
}

TEST_CASE("the names of fields are compared without regard to case") {
    const std::string begin = "HTTP/1.1 302 Found\r\n";
    CHECK(read_all_ways(begin + "LOCATION: /a\r\n\r\n").location == "/a");
    CHECK(read_all_ways(begin + "lOcAtIoN: /a\r\n\r\n").location == "/a");
    CHECK(read_all_ways(begin + "X-Location: /a\r\n\r\n").locations == 0);
    CHECK(read_all_ways(begin + "Location-X: /a\r\n\r\n").locations == 0);
    CHECK(read_all_ways(begin + "A: Location: /a\r\n\r\n").locations == 0);
    CHECK(read_all_ways(begin + "Location: /a\r\nA: b\r\nlocation: /c\r\n\r\n").locations == 2);
    CHECK(read_all_ways(begin + "Location: /a\r\nA: b\r\nlocation: /c\r\n\r\n").location == "/a");
}

TEST_CASE("a list may be in one field line or in several [RFC 9110 §5.3]") {
    http_response response;
    response.read("HTTP/1.1 101 x\r\nConnection: keep-alive , UPGRADE\r\nconnection:close\r\nA: ,,b,\r\n\r\n");
    REQUIRE(response.progress() == http_progress::complete);
    CHECK(response.has_token("connection", "upgrade"));
    CHECK(response.has_token("Connection", "Keep-Alive"));
    CHECK(response.has_token("Connection", "close"));
    CHECK(response.has_token("A", "b"));
    CHECK_FALSE(response.has_token("Connection", "up"));
    CHECK_FALSE(response.has_token("Connection", "keep-alive , upgrade"));
    CHECK_FALSE(response.has_token("Upgrade", "upgrade"));
    CHECK_FALSE(response.has_token("A", "c"));
    CHECK(response.count("connection") == 2);

    response.clear_fields();
    CHECK(response.status() == 101);
    CHECK(response.count("connection") == 0);
}

TEST_CASE("bytes after the head are not part of it") {
    const std::string head = "HTTP/1.1 101 x\r\nA: b\r\n\r\n";
    for (const std::string& rest : {""s, "\r\n"s, "\x82\x00"s, std::string(100'000, '\0')}) {
        http_response response;
        CHECK(response.read(head + rest) == head.size());
        CHECK(response.progress() == http_progress::complete);
    }
}

TEST_CASE("interim responses are skipped, except 101 [RFC 9110 §15.2]") {
    const std::string hints = "HTTP/1.1 103 Early Hints\r\nLocation: /hint\r\n\r\n";
    const std::string go_on = "HTTP/1.1 100\n\n";
    const std::string answer = "HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n";
    const outcome read = read_all_ways(go_on + hints + answer + "rest");
    CHECK(read.status == 302);
    CHECK(read.location == "/a");
    CHECK(read.locations == 1);
    CHECK(read.consumed == go_on.size() + hints.size() + answer.size());
    accepts(hints + "HTTP/1.1 101 x\r\n\r\n", 101);
    incomplete(hints);
    refuses(hints + "\r\n");

    std::string endless;
    while (endless.size() < 500)
        endless += go_on;
    CHECK(read_all_ways(endless, 300).progress == http_progress::too_large);
}

TEST_CASE("a head above the limit is too large, whichever part is") {
    const std::string head = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    CHECK(read_all_ways(head, head.size()).progress == http_progress::complete);
    for (std::size_t limit = 0; limit != head.size(); ++limit)
        CHECK(read_all_ways(head, limit).progress == http_progress::too_large);
    for (const char* const begin : {"HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nA: "}) {
        http_response response;
        const std::string bytes = begin + std::string(20'000, 'x');
        CHECK(response.read(bytes) == http_response::default_limit + 1);
        CHECK(response.progress() == http_progress::too_large);
    }
}

TEST_CASE("random bytes neither crash the parser nor depend on their split") {
    const std::string alphabet = "HTTP/1.1 200 OK\r\n\r\n\n:\t,Aa\0\x7F\xFF"s;
    std::mt19937 random(1);
    for (int round = 0; round != 300; ++round) {
        std::string bytes = "HTTP/1.1 200";
        while (bytes.size() != 60)
            bytes += alphabet[random() % alphabet.size()];
        bytes.resize(random() % 60);
        read_all_ways(bytes);
    }
}

TEST_CASE("the memory of a head is bounded, and freed with its fields") {
    http_response response;
    const std::size_t before = heap::live_bytes();
    heap::reset_peak();
    while (response.progress() == http_progress::reading)
        response.read(response.status() == 0 ? "HTTP/1.1 200 OK\r\n" : "A: bbbbbbbbbbbbbbbbb\r\n");
    CHECK(response.progress() == http_progress::too_large);
    CHECK(heap::peak_bytes() - before <= 3 * http_response::default_limit);
    response.clear_fields();
    CHECK(heap::live_bytes() == before);
}

TEST_CASE("the error of an answer contains its status") {
    const std::error_code not_found = tern::http_status_error(404);
    CHECK(not_found.message() == "HTTP status 404");
    CHECK(not_found.category().name() == "tern.http"s);
    CHECK(tern::http_status(not_found) == 404);
    const std::error_code malformed = tern::http_errc::malformed_response;
    CHECK(malformed.message() == "the server did not answer in HTTP/1");
    CHECK(malformed == tern::http_errc::malformed_response);
    CHECK(tern::http_status(malformed) == 0);
    CHECK(tern::http_status(std::make_error_code(std::errc::timed_out)) == 0);
}

TEST_CASE("a failed allocation is reported") {
    const std::string head = "HTTP/1.1 200 OK\r\nA: " + std::string(1'000, 'x') + "\r\n\r\n";
    std::size_t failed = 0;
    for (std::size_t nth = 1;; ++nth) {
        http_response response;
        heap::fail(nth, 1);
        try {
            response.read(head);
        } catch (const std::bad_alloc&) {
            ++failed;
        }
        const bool reached = heap::failures() != 0;
        heap::stop_failing();
        if (!reached) break;
    }
    CHECK(failed > 1);
}

} // namespace http_response_test
