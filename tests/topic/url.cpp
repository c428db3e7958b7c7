// URLs of brokers: their parts, defaults, decoding and errors, and random texts.
#include "tern/url.hpp"

#include "catch.hpp"
#include "tern/session/options.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

namespace {

using tern::broker_url;
using tern::errc;

errc error_of(std::string_view text) {
    return broker_url::parse(text).error();
}

bool is_parsed_as(std::string_view text, const tern::endpoint& expected) {
    const auto url = broker_url::parse(text);
    return url && url->endpoint() == expected;
}

bool has_credentials(std::string_view text, std::optional<std::string_view> user_name,
                     std::optional<std::string_view> password) {
    const auto url = broker_url::parse(text);
    return url && url->user_name() == user_name && url->password() == password;
}

bool is_described_as(std::string_view text, std::string_view expected) {
    return broker_url::parse(text)->description() == expected;
}

TEST_CASE("A URL begins with a scheme, which has a default port") {
    CHECK(is_parsed_as("mqtt://h", {.host = "h", .port = 1883, .scheme = "mqtt"}));
    CHECK(is_parsed_as("tcp://h", {.host = "h", .port = 1883, .scheme = "mqtt"}));
    CHECK(is_parsed_as("mqtts://h", {.host = "h", .port = 8883, .scheme = "mqtts"}));
    CHECK(is_parsed_as("SSL://h", {.host = "h", .port = 8883, .scheme = "mqtts"}));
    CHECK(is_parsed_as("tls://h/", {.host = "h", .port = 8883, .scheme = "mqtts"}));
    CHECK(is_parsed_as("ws://h", {.host = "h", .port = 80, .scheme = "ws"}));
    CHECK(is_parsed_as("wss://h/", {.host = "h", .port = 443, .path = "/", .scheme = "wss"}));
    CHECK(error_of("http://h") == errc::unknown_scheme);
    CHECK(error_of("mqttx://h") == errc::unknown_scheme);
}

TEST_CASE("A URL has a host name or an address, and a port") {
    CHECK(is_parsed_as("mqtt://broker.example:1", {.host = "broker.example", .port = 1, .scheme = "mqtt"}));
    CHECK(is_parsed_as("mqtt://192.0.2.1:65535", {.host = "192.0.2.1", .port = 65535, .scheme = "mqtt"}));
    CHECK(is_parsed_as("mqtt://[::1]", {.host = "::1", .port = 1883, .scheme = "mqtt"}));
    CHECK(is_parsed_as("mqtt://[2001:db8::192.0.2.1]:1884",
                       {.host = "2001:db8::192.0.2.1", .port = 1884, .scheme = "mqtt"}));
    CHECK(is_parsed_as("mqtt://[fe80::1%25eth0]:1", {.host = "fe80::1%eth0", .port = 1, .scheme = "mqtt"}));
    CHECK(is_parsed_as("mqtt://[fe80::1%eth0]:1", {.host = "fe80::1%eth0", .port = 1, .scheme = "mqtt"}));
    CHECK(error_of("mqtt://h:") == errc::invalid_port);
    CHECK(error_of("mqtt://h:0") == errc::invalid_port);
    CHECK(error_of("mqtt://h:65536") == errc::invalid_port);
    CHECK(error_of("mqtt://h:+1") == errc::invalid_port);
    CHECK(error_of("mqtt://h:4294967297") == errc::invalid_port);
    CHECK(error_of("mqtt://h:1x") == errc::invalid_port);
    CHECK(error_of("mqtt://h:99999999999999999999") == errc::invalid_port);
    CHECK(error_of("mqtt://::1") == errc::invalid_port);
    CHECK(error_of("mqtt://h:1:2") == errc::invalid_port);
    CHECK(error_of("mqtt://") == errc::empty_host);
    CHECK(error_of("mqtt://:1883") == errc::empty_host);
    CHECK(error_of("mqtt:h") == errc::empty_host);
    CHECK(error_of("ws:///path") == errc::empty_host);
    CHECK(error_of("mqtt://[::1") == errc::invalid_host);
    CHECK(error_of("mqtt://[::1]x") == errc::invalid_host);
    CHECK(error_of("mqtt://[]") == errc::invalid_host);
    CHECK(error_of("mqtt://[host]") == errc::invalid_host);
    CHECK(error_of("mqtt://[a:b]") == errc::invalid_host);
    CHECK(error_of("mqtt://a]") == errc::invalid_host);
    CHECK(error_of("mqtt://a%2Fb") == errc::invalid_host);
    CHECK(error_of("mqtt://a\\b") == errc::invalid_host);
}

TEST_CASE("User name and password are decoded, and may be missing") {
    CHECK(has_credentials("mqtt://h", std::nullopt, std::nullopt));
    CHECK(has_credentials("mqtt://@h", std::nullopt, std::nullopt));
    CHECK(has_credentials("mqtt://u@h", "u", std::nullopt));
    CHECK(has_credentials("mqtt://u:@h", "u", ""));
    CHECK(has_credentials("mqtt://:p@h", "", "p"));
    CHECK(has_credentials("mqtt://u:p:q@h:1", "u", "p:q"));
    CHECK(has_credentials("mqtt://u:p@q@h", "u", "p@q"));
    CHECK(has_credentials("mqtt://%75%3A:%40%2f%25@h", "u:", "@/%"));
    CHECK(has_credentials("mqtt://%C3%A4:\xC3\xA4@h", "\xC3\xA4", "\xC3\xA4"));
    CHECK(error_of("mqtt://u%:p@h") == errc::invalid_percent_encoding);
    CHECK(error_of("mqtt://u:p%2@h") == errc::invalid_percent_encoding);
    CHECK(error_of("mqtt://u:%g0@h") == errc::invalid_percent_encoding);
    CHECK(error_of("mqtt://u:%0g@h") == errc::invalid_percent_encoding);
    CHECK(error_of("mqtt://u:a%0Db@h") == errc::invalid_percent_encoding);
    CHECK(error_of("mqtt://u%0A@h") == errc::invalid_percent_encoding);
    CHECK(error_of("mqtt://u%00@h") == errc::invalid_percent_encoding);
}

TEST_CASE("Only WebSocket has a path in its URL, which stays encoded") {
    CHECK(is_parsed_as("ws://h/a%20b/c?d=e&f", {.host = "h", .port = 80, .path = "/a%20b/c?d=e&f", .scheme = "ws"}));
    CHECK(is_parsed_as("wss://h:8?q=/", {.host = "h", .port = 8, .path = "/?q=/", .scheme = "wss"}));
    CHECK(is_parsed_as("ws://h/@x:1", {.host = "h", .port = 80, .path = "/@x:1", .scheme = "ws"}));
    CHECK(error_of("ws://h/\xC3\xA4") == errc::invalid_url);
    CHECK(error_of("mqtt://h/topic") == errc::url_with_path);
    CHECK(error_of("mqtts://h?a") == errc::url_with_path);
    CHECK(error_of("mqtt://h#a") == errc::url_with_fragment);
    CHECK(error_of("ws://h/#") == errc::url_with_fragment);
}

TEST_CASE("The URL of a Unix socket has a path instead of a host") {
    CHECK(is_parsed_as("unix:/run/m.sock", {.host = "", .port = 0, .path = "/run/m.sock", .scheme = "unix"}));
    CHECK(is_parsed_as("unix:///run/m.sock", {.host = "", .port = 0, .path = "/run/m.sock", .scheme = "unix"}));
    CHECK(is_parsed_as("mqtt+unix:///run/m", {.host = "", .port = 0, .path = "/run/m", .scheme = "unix"}));
    CHECK(is_parsed_as("unix:@name", {.host = "", .port = 0, .path = "@name", .scheme = "unix"}));
    CHECK(is_parsed_as("unix:a/b", {.host = "", .port = 0, .path = "a/b", .scheme = "unix"}));
    CHECK(is_parsed_as("unix:/a%20b%3F", {.host = "", .port = 0, .path = "/a b?", .scheme = "unix"}));
    CHECK(has_credentials("mqtt+unix://u:p@/run/m", "u", "p"));
    CHECK(error_of("unix:") == errc::empty_path);
    CHECK(error_of("unix://") == errc::empty_path);
    CHECK(error_of("unix:@") == errc::empty_path);
    CHECK(error_of("unix://h/run/m") == errc::invalid_host);
    CHECK(error_of("unix://:1/run/m") == errc::invalid_host);
    CHECK(error_of("unix:/a?b") == errc::invalid_url);
    CHECK(error_of("unix:/a%00b") == errc::invalid_percent_encoding);
}

TEST_CASE("A text without a scheme, or with white space, is not a URL") {
    CHECK(error_of("") == errc::invalid_url);
    CHECK(error_of("://h") == errc::invalid_url);
    CHECK(error_of("localhost") == errc::invalid_url);
    CHECK(error_of("/run/m") == errc::invalid_url);
    CHECK(error_of("localhost:1883") == errc::unknown_scheme);
    CHECK(error_of("1mqtt://h") == errc::invalid_url);
    CHECK(error_of("mq tt://h") == errc::invalid_url);
    CHECK(error_of(" mqtt://h") == errc::invalid_url);
    CHECK(error_of("mqtt://h\r\n") == errc::invalid_url);
    CHECK(error_of({"mqtt://h\0", 9}) == errc::invalid_url);
    CHECK(error_of("mqtt://h\x7F") == errc::invalid_url);
}

TEST_CASE("The description of a URL has no secrets") {
    CHECK(is_described_as("mqtts://u:p@h", "mqtts://h:8883"));
    CHECK(is_described_as("mqtt://u:p@[::1]:65535", "mqtt://[::1]:65535"));
    CHECK(is_described_as("wss://h:70/a?token=secret", "wss://h:70/a"));
    CHECK(is_described_as("mqtt+unix://u:p@/a%20b", "unix:/a b"));
}

template <class Url>
concept gives_views_of_temporaries = requires { std::declval<Url>().endpoint(); } || requires {
    std::declval<Url>().options();
} || requires { std::declval<Url>().user_name(); } || requires { std::declval<Url>().password(); };
static_assert(!gives_views_of_temporaries<broker_url> && !gives_views_of_temporaries<const broker_url>);

TEST_CASE("A URL fills the options that are not set") {
    const auto url = broker_url::parse("wss://user:secret@host:444/path");
    REQUIRE(url);
    const tern::connect_options all = url->options();
    CHECK(all.host == "host");
    CHECK(all.port == 444);
    CHECK(all.path == "/path");
    CHECK(all.scheme == "wss");
    CHECK(all.user_name == "user");
    CHECK(all.password == "secret");
    const tern::connect_options some = url->options({.client_id = "c", .user_name = "other"});
    CHECK(some.client_id == "c");
    CHECK(some.user_name == "other");
    CHECK(some.password == "secret");
}

TEST_CASE("A copied or moved URL owns its text") {
    std::optional<broker_url> first = broker_url::parse("mqtt://user:secret@host-with-a-long-name.example").value();
    const broker_url copy = *first;
    const broker_url moved = std::move(*first);
    first.reset();
    CHECK(copy == moved);
    CHECK(moved.endpoint().host == "host-with-a-long-name.example");
    CHECK(moved.scheme() == "mqtt");
}

TEST_CASE("A URL that was not parsed has no host") {
    const broker_url none;
    CHECK(none.endpoint().host.empty());
    CHECK(broker_url::parse("mqtt://h:0")->endpoint().host.empty());
}

// Whatever is accepted can be used in a header, a CONNECT packet and a path.
void check_accepted(const broker_url& url) {
    const tern::endpoint e = url.endpoint();
    const bool is_unix = e.scheme == "unix";
    CHECK(e.host.empty() == is_unix);
    CHECK((e.port == 0) == is_unix);
    CHECK((is_unix || e.path.empty() || e.path.front() == '/'));
    const std::string all = std::string(e.host) + std::string(e.path) + std::string(url.user_name().value_or("")) +
                            std::string(url.password().value_or("")) + url.description();
    for (const char c : all)
        if (c == '\0' || c == '\r' || c == '\n') FAIL("a character that ends a header");
    for (const char c : e.host)
        if (static_cast<unsigned char>(c) <= ' ' || c == '/' || c == '[' || c == '@') FAIL("an invalid host");
}

TEST_CASE("Random texts are refused, or have only valid parts") {
    const std::string_view starts[] = {"", "mqtt://", "ws://h/", "unix:", "mqtt+unix://", "mqtts://u:p@"};
    const std::string_view alphabet = "ah1:/@%25[]?#.0A \r\n\t\\=+\x7F\x80";
    std::mt19937 random(7);
    int accepted = 0;
    for (int i = 0; i != 200'000; ++i) {
        std::string text(starts[random() % std::size(starts)]);
        for (std::size_t size = random() % 12; size != 0; --size)
            text += random() % 50 == 0 ? static_cast<char>(random() % 256) : alphabet[random() % alphabet.size()];
        const auto url = broker_url::parse(text);
        if (!url) continue;
        ++accepted;
        check_accepted(*url);
    }
    CHECK(accepted > 1'000);
}

TEST_CASE("Every change of one character of a URL is refused, or leaves valid parts") {
    for (const std::string_view good : {"mqtt://user:p%40ss@host:1883", "wss://[fe80::1%25a]:1/a?b", "unix:/a%20b"})
        for (std::size_t i = 0; i != good.size(); ++i)
            for (int c = 0; c != 256; ++c) {
                std::string text(good);
                text[i] = static_cast<char>(c);
                if (const auto url = broker_url::parse(text)) check_accepted(*url);
                text.resize(i);
                if (const auto url = broker_url::parse(text)) check_accepted(*url);
            }
}

} // namespace
