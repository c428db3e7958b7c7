// The negotiation with an HTTP proxy: requests, answers in all pieces, refusals, hostile answers.
#include "tern/transport/detail/http_connect.hpp"

#include "catch.hpp"
#include "negotiation_test.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace http_connect_tests {
namespace {

using negotiation_tests::play_all;
using negotiation_tests::verdict;
using tern::errc;
using tern::http_errc;
using tern::detail::http_connect;
using namespace std::string_literals;

const tern::endpoint target{.host = "broker.test", .port = 1883};
const std::string plain_request = "CONNECT broker.test:1883 HTTP/1.1\r\nHost: broker.test:1883\r\n\r\n";

std::string request(const tern::endpoint& to, const tern::proxy_options& proxy = {}) {
    http_connect machine(proxy, to);
    return negotiation_tests::written_by(machine, 7);
}

verdict answer(const std::string& bytes) {
    return play_all(http_connect({}, target), {{plain_request, bytes}});
}

TEST_CASE("CONNECT names the broker, with an IPv6 address in brackets and without its zone") {
    CHECK(request(target) == plain_request);
    CHECK(request({.host = "192.0.2.1", .port = 1}) == "CONNECT 192.0.2.1:1 HTTP/1.1\r\nHost: 192.0.2.1:1\r\n\r\n");
    CHECK(request({.host = "::1", .port = 8883}) == "CONNECT [::1]:8883 HTTP/1.1\r\nHost: [::1]:8883\r\n\r\n");
    CHECK(request({.host = "fe80::1%eth0", .port = 1}) == "CONNECT [fe80::1]:1 HTTP/1.1\r\nHost: [fe80::1]:1\r\n\r\n");
}

TEST_CASE("CONNECT has basic credentials [RFC 7617 §2]") {
    const std::string start = "CONNECT broker.test:1883 HTTP/1.1\r\nHost: broker.test:1883\r\n";
    CHECK(request(target, {.user_name = "Aladdin", .password = "open sesame"}) ==
          start + "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
    CHECK(request(target, {.user_name = "u"}) == start + "Proxy-Authorization: Basic dTo=\r\n\r\n");
    CHECK(request(target, {.password = "a\r\nb"}) == start + "Proxy-Authorization: Basic OmENCmI=\r\n\r\n");
}

TEST_CASE("A target or a user name that would change the request is refused") {
    CHECK(http_connect::validate({}, target) == errc::none);
    CHECK(http_connect::validate({}, {.host = ""}) == errc::empty_host);
    for (const std::string_view host : {"a b", "a\r\nX: y", "a/b", "[::1]", "a\x7F"})
        CHECK(http_connect::validate({}, {.host = host}) == errc::invalid_host);
    CHECK(http_connect::validate({.user_name = "a:b"}, target) == errc::invalid_argument);
    CHECK(http_connect::validate({.user_name = "a", .password = "b:c"}, target) == errc::none);
}

TEST_CASE("Every 2xx answer opens the tunnel, and the bytes after its head come from the broker") {
    const verdict open{.is_ready = true};
    CHECK(answer("HTTP/1.1 200 Connection established\r\n\r\n") == open);
    CHECK(answer("HTTP/1.0 200\r\n\r\n") == open);
    CHECK(answer("HTTP/1.1 204 No Content\r\nX: y\r\nContent-Length: 3\r\n\r\n") == open);
    CHECK(answer("HTTP/1.1 200 OK\nA: b\n\n") == open);
    CHECK(answer("HTTP/1.1 200 OK\r\n\r\n \x02\0\0"
                 "HTTP/1.1 500"s) == verdict{.is_ready = true, .leftover = " \x02\0\0HTTP/1.1 500"s});
    CHECK(answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx") ==
          verdict{.is_ready = true, .leftover = "x"});
    CHECK(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") ==
          verdict{.is_ready = true, .leftover = "0\r\n\r\n"});
}

TEST_CASE("A refusal of the proxy is an error with its status") {
    for (const int status : {101, 300, 302, 400, 403, 407, 429, 500, 502, 503, 504, 999}) {
        const std::string line = "HTTP/1.1 " + std::to_string(status) + " Refused\r\n";
        const verdict refused = answer(line + "Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nno");
        CHECK(tern::http_status(refused.error) == status);
        CHECK_FALSE(refused.is_ready);
        CHECK(refused.leftover.empty());
    }
    CHECK(answer("HTTP/1.1 407 x\r\n\r\n").error.message() == "HTTP status 407");
}

TEST_CASE("An answer that is not HTTP is an error at its first wrong byte") {
    CHECK(answer("\x05").error == http_errc::malformed_response);
    CHECK(answer(" \x02\0\0"s).error == http_errc::malformed_response);
    CHECK(answer("\x15\x03\x01").error == http_errc::malformed_response);
    CHECK(answer("SSH-2.0-x\r\n").error == http_errc::malformed_response);
    CHECK(answer("HTTP/2.0 200 OK\r\n\r\n").error == http_errc::malformed_response);
    CHECK(answer("HTTP/1.1 2x0 OK\r\n\r\n").error == http_errc::malformed_response);
    CHECK(answer("HTTP/1.1 020 OK\r\n\r\n").error == http_errc::malformed_response);
}

TEST_CASE("An answer without an end is an error at 16 KiB") {
    http_connect machine({}, target);
    (void)negotiation_tests::written_by(machine, SIZE_MAX);
    std::error_code error;
    machine.read("HTTP/1.1 200 OK\r\nX: ", {}, error);
    std::size_t size = 0;
    for (; !error && size != 1'000; ++size)
        machine.read(std::string(100, 'x'), {}, error);
    CHECK(error == http_errc::response_too_large);
    CHECK(size < 170);
    CHECK_FALSE(machine.is_ready());
}

TEST_CASE("A password of the proxy is freed when it is written") {
    http_connect machine({.user_name = "user", .password = "secret"}, target);
    CHECK(machine.output().find("Basic ") != std::string_view::npos);
    (void)negotiation_tests::written_by(machine, 5);
    CHECK(machine.output().data() != nullptr);
    CHECK(machine.output().empty());
}

} // namespace
} // namespace http_connect_tests
