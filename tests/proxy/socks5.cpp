// The negotiation with a SOCKS5 proxy: both dialogs in all pieces, every reply code, hostile answers.
#include "tern/transport/detail/socks5.hpp"

#include "catch.hpp"
#include "negotiation_test.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace socks5_tests {
namespace {

using namespace std::string_literals;
using negotiation_tests::dialog;
using negotiation_tests::play;
using negotiation_tests::play_all;
using negotiation_tests::verdict;
using tern::errc;
using tern::proxy_errc;
using tern::detail::socks5;

const tern::endpoint target{.host = "broker.test", .port = 0x075B};
const tern::proxy_options with_password{.user_name = "user", .password = "secret"};
const std::string greeting = "\5\1\0"s;
const std::string greeting_with_password = "\5\2\0\2"s;
const std::string login = "\1\4user\6secret"s;
const std::string request = "\5\1\0\3\x0B"s + "broker.test\x07\x5B";
const std::string success = "\5\0\0\1\x7F\0\0\1\x12\x34"s;

verdict reply(const std::string& bytes) {
    return play_all(socks5({}, target), {{greeting, "\5\0"s}, {request, bytes}});
}

std::string request_for(std::string_view host, std::uint16_t port) {
    socks5 machine({}, {.host = host, .port = port});
    (void)negotiation_tests::written_by(machine, SIZE_MAX);
    std::error_code error;
    machine.read("\5\0"s, {}, error);
    CHECK_FALSE(error);
    return negotiation_tests::written_by(machine, 2);
}

TEST_CASE("SOCKS5 without authentication [RFC 1928 §3]") {
    CHECK(reply(success) == verdict{.is_ready = true});
    CHECK(reply(success + " \2\0\0"s) == verdict{.is_ready = true, .leftover = " \2\0\0"s});
}

TEST_CASE("SOCKS5 with user name and password, if the proxy asks for them [RFC 1929]") {
    const socks5 machine(with_password, target);
    CHECK(play_all(machine, {{greeting_with_password, "\5\2"s}, {login, "\1\0"s}, {request, success + "x"}}) ==
          verdict{.is_ready = true, .leftover = "x"});
    CHECK(play_all(machine, {{greeting_with_password, "\5\0"s}, {request, success}}) == verdict{.is_ready = true});
    for (const char status : {'\1', '\2', '\xFF'})
        CHECK(play_all(machine, {{greeting_with_password, "\5\2"s}, {login, "\1"s + status}}).error ==
              proxy_errc::authentication_failed);
    for (const char version : {'\0', '\2', '\5'})
        CHECK(play_all(machine, {{greeting_with_password, "\5\2"s}, {login, version + "\0"s}}).error ==
              proxy_errc::invalid_answer);
}

TEST_CASE("SOCKS5 sends a name for the proxy to resolve, and an address as an address [RFC 1928 §5]") {
    CHECK(request_for("a", 1) == "\5\1\0\3\1a\0\1"s);
    CHECK(request_for("192.0.2.1", 8883) == "\5\1\0\1\xC0\0\2\1\x22\xB3"s);
    CHECK(request_for("2001:db8::1", 65535) == "\5\1\0\4\x20\1\x0D\xB8"s + std::string(11, '\0') + "\1\xFF\xFF");
    const std::string longest(255, 'a');
    CHECK(request_for(longest, 1) == "\5\1\0\3\xFF"s + longest + "\0\1"s);
}

TEST_CASE("Lengths that SOCKS5 cannot express are refused") {
    const auto check = [](const tern::proxy_options& proxy) { return socks5::validate(proxy, target); };
    CHECK(socks5::validate({}, target) == errc::none);
    CHECK(socks5::validate({}, {.host = ""}) == errc::empty_host);
    CHECK(socks5::validate({}, {.host = std::string(255, 'a')}) == errc::none);
    CHECK(socks5::validate({}, {.host = std::string(256, 'a')}) == errc::invalid_host);
    CHECK(check(with_password) == errc::none);
    CHECK(check({.user_name = std::string(255, 'a'), .password = std::string(255, 'b')}) == errc::none);
    CHECK(check({.user_name = std::string(256, 'a'), .password = "b"}) == errc::invalid_argument);
    CHECK(check({.user_name = "a", .password = std::string(256, 'b')}) == errc::invalid_argument);
    CHECK(check({.user_name = "a"}) == errc::invalid_argument);
    CHECK(check({.password = "b"}) == errc::invalid_argument);
    CHECK(check({.user_name = "", .password = "b"}) == errc::invalid_argument);
}

TEST_CASE("Every reply code of SOCKS5 but 0 is an error, also without the address behind it [RFC 1928 §6]") {
    for (int code = 1; code != 256; ++code) {
        const std::string start = "\5"s + static_cast<char>(code);
        const proxy_errc expected = code <= 8 ? static_cast<proxy_errc>(code) : proxy_errc::unknown_reply;
        CHECK(reply(start).error == expected);
        CHECK(reply(start + "\0\1\0\0\0\0\0\0"s).error == expected);
        CHECK(make_error_code(expected).message() != "unknown error");
    }
    CHECK(std::error_code(proxy_errc::not_allowed).category().name() == "tern.proxy"s);
    using tern::failure_class;
    CHECK(std::error_code(proxy_errc::authentication_failed) == failure_class::permanent);
    CHECK(std::error_code(proxy_errc::not_allowed) == failure_class::lasting);
    CHECK(std::error_code(proxy_errc::host_unreachable) == failure_class::transient);
    CHECK(std::error_code(200, tern::proxy_category()).message() == "unknown error");
    CHECK(std::error_code(0, tern::proxy_category()).message() == "unknown error");
}

TEST_CASE("A reply of SOCKS5 may contain any type of address") {
    CHECK(reply("\5\0\0\1"s + std::string(6, 'a') + "x") == verdict{.is_ready = true, .leftover = "x"});
    CHECK(reply("\5\0\0\4"s + std::string(18, 'a') + "x") == verdict{.is_ready = true, .leftover = "x"});
    CHECK(reply("\5\0\0\3\0pp"s + "x") == verdict{.is_ready = true, .leftover = "x"});
    CHECK(reply("\5\0\0\3\1app"s + "x") == verdict{.is_ready = true, .leftover = "x"});
    const std::string longest = "\5\0\0\3\xFF"s + std::string(257, 'a') + "x";
    CHECK(play(socks5({}, target), {{greeting, "\5\0"s}, {request, longest}}, {.read = 1}) ==
          verdict{.is_ready = true, .leftover = "x"});
    for (const char type : {'\0', '\2', '\5', '\xFF'})
        CHECK(reply("\5\0\0"s + type + std::string(300, 'a')).error == proxy_errc::invalid_answer);
    CHECK(reply("\5\0\7\1"s + std::string(6, 'a')).is_ready); // the reserved byte has no meaning
}

TEST_CASE("A method that SOCKS5 did not offer, or another protocol, is an error at once") {
    const auto error = [](const tern::proxy_options& proxy, const std::string& answer) {
        const std::string sent = proxy.user_name ? greeting_with_password : greeting;
        return play_all(socks5(proxy, target), {{sent, answer}}).error;
    };
    CHECK(error({}, "\5\xFF") == proxy_errc::no_acceptable_method);
    CHECK(error(with_password, "\5\xFF") == proxy_errc::no_acceptable_method);
    CHECK(error({}, "\5\2") == proxy_errc::invalid_answer);
    for (const char method : {'\1', '\3', '\x80', '\xFE'})
        CHECK(error(with_password, "\5"s + method) == proxy_errc::invalid_answer);
    for (const std::string other : {"\4", "\1", "HTTP/1.1 400 Bad Request\r\n\r\n", " \2\0\0"})
        CHECK(error({}, other) == proxy_errc::invalid_answer);
    CHECK(reply("\4\0\0\1"s).error == proxy_errc::invalid_answer);
}

TEST_CASE("An answer that comes before SOCKS5 has written its request is an error") {
    socks5 early({}, target);
    std::error_code error;
    early.read("\5\0"s, {}, error);
    CHECK(error == proxy_errc::invalid_answer);
    CHECK(play(socks5({}, target), {{greeting, "\5\0"s + success}}).error == proxy_errc::invalid_answer);
}

TEST_CASE("Answers with random changes never make SOCKS5 read beyond its buffers") {
    std::mt19937 random(11);
    int ready = 0;
    for (int i = 0; i != 50'000; ++i) {
        socks5 machine(with_password, target);
        std::error_code error;
        for (std::string answer : {"\5\2"s, "\1\0"s, success, std::string(300, 'x')}) {
            (void)negotiation_tests::written_by(machine, SIZE_MAX);
            if (random() % 2 == 0) answer[random() % answer.size()] = static_cast<char>(random() % 6);
            if (random() % 8 == 0) answer.resize(random() % answer.size());
            if (!error) machine.read(answer, {}, error);
        }
        ready += machine.is_ready() ? 1 : 0;
    }
    CHECK(ready > 1'000);
    CHECK(ready < 49'000);
}

} // namespace
} // namespace socks5_tests
