// The options of a proxy: URLs, the environment, and the hosts that are reached without it.
#include "catch.hpp"
#include "tern/transport/detail/no_proxy.hpp"
#include "tern/transport/proxy_options.hpp"

#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace proxy_options_tests {
namespace {

using tern::errc;
using tern::proxy_options;
using tern::proxy_protocol;
using tern::detail::is_in_no_proxy;

TEST_CASE("The URL of a proxy has a protocol, a host, and credentials") {
    const auto http = proxy_options::parse("http://us%40er:p%3Ass@proxy.test:3128/");
    REQUIRE(http);
    CHECK(http->protocol == proxy_protocol::http_connect);
    CHECK(http->host == "proxy.test");
    CHECK(http->port == 3128);
    CHECK(http->user_name == "us@er");
    CHECK(http->password == "p:ss");
    CHECK(proxy_options::parse("http://h")->port == 80);
    for (const std::string_view url : {"socks5://[::1]", "SOCKS5H://[::1]"}) {
        const auto socks = proxy_options::parse(url);
        REQUIRE(socks);
        CHECK(socks->protocol == proxy_protocol::socks5);
        CHECK(socks->host == "::1");
        CHECK(socks->port == 1080);
        CHECK_FALSE(socks->user_name);
    }
    CHECK(proxy_options::parse("")->protocol == proxy_protocol::none);
}

TEST_CASE("A URL that does not name a proxy is refused") {
    const auto error = [](std::string_view url) { return proxy_options::parse(url).error(); };
    CHECK(error("https://h") == errc::unknown_scheme);
    CHECK(error("socks4://h") == errc::unknown_scheme);
    CHECK(error("mqtt://h") == errc::unknown_scheme);
    CHECK(error("h:3128") == errc::unknown_scheme);
    CHECK(error("proxy") == errc::invalid_url);
    CHECK(error("http://") == errc::empty_host);
    CHECK(error("http://h:0") == errc::invalid_port);
    CHECK(error("http://h/path") == errc::url_with_path);
    CHECK(error("http://h#f") == errc::url_with_fragment);
    CHECK(error("http://u:p%0D%0AX@h") == errc::invalid_percent_encoding);
}

TEST_CASE("The environment names a proxy, in lower case before upper case") {
    std::map<std::string, std::string> variables;
    const auto read = [&](const std::string& name) { return variables[name]; };
    CHECK(proxy_options::from_environment(read)->protocol == proxy_protocol::none);
    variables["http_proxy"] = "http://plain";
    CHECK(proxy_options::from_environment(read)->protocol == proxy_protocol::none);
    variables["ALL_PROXY"] = "socks5://4";
    CHECK(proxy_options::from_environment(read)->host == "4");
    variables["all_proxy"] = "socks5://3";
    CHECK(proxy_options::from_environment(read)->host == "3");
    variables["HTTPS_PROXY"] = "http://2";
    CHECK(proxy_options::from_environment(read)->host == "2");
    variables["https_proxy"] = "user:secret@proxy.test:3128";
    variables["NO_PROXY"] = "a";
    const auto options = proxy_options::from_environment(read);
    CHECK(options->protocol == proxy_protocol::http_connect);
    CHECK(options->host == "proxy.test");
    CHECK(options->password == "secret");
    CHECK(options->no_proxy == "a");
    variables["no_proxy"] = "b";
    CHECK(proxy_options::from_environment(read)->no_proxy == "b");
    variables["https_proxy"] = "http://proxy:secret";
    CHECK(proxy_options::from_environment(read).error() == errc::invalid_port);
    CHECK((proxy_options::from_environment() || true)); // whatever this process has
}

TEST_CASE("no_proxy lists names with their subdomains") {
    CHECK(is_in_no_proxy("broker.test", "broker.test", 1));
    CHECK(is_in_no_proxy("broker.test", "Broker.TEST.", 1));
    CHECK(is_in_no_proxy("test", "broker.test", 1));
    CHECK(is_in_no_proxy(".test", "broker.test", 1));
    CHECK(is_in_no_proxy("*.test.", "broker.test", 1));
    CHECK(is_in_no_proxy("a, b,\ttest ,c", "broker.test", 1));
    CHECK_FALSE(is_in_no_proxy("oker.test", "broker.test", 1));
    CHECK_FALSE(is_in_no_proxy("broker.test.example", "broker.test", 1));
    CHECK_FALSE(is_in_no_proxy("", "broker.test", 1));
    CHECK_FALSE(is_in_no_proxy(",.,*.,", "broker.test", 1));
    CHECK(is_in_no_proxy("*", "broker.test", 1));
    CHECK(is_in_no_proxy("a *", "::1", 1));
}

TEST_CASE("no_proxy lists addresses and networks, in any notation") {
    CHECK(is_in_no_proxy("127.0.0.1", "127.0.0.1", 1));
    CHECK(is_in_no_proxy("[::1]", "0:0:0:0:0:0:0:1", 1));
    CHECK(is_in_no_proxy("::1", "::1", 1));
    CHECK(is_in_no_proxy("10.0.0.0/8", "10.255.1.2", 1));
    CHECK(is_in_no_proxy("10.1.2.128/25", "10.1.2.129", 1));
    CHECK(is_in_no_proxy("2001:db8::/33", "2001:db8:7fff::1", 1));
    CHECK(is_in_no_proxy("0.0.0.0/0", "192.0.2.1", 1));
    CHECK_FALSE(is_in_no_proxy("10.0.0.0/8", "11.0.0.1", 1));
    CHECK_FALSE(is_in_no_proxy("10.1.2.128/25", "10.1.2.127", 1));
    CHECK_FALSE(is_in_no_proxy("2001:db8::/33", "2001:db8:8000::1", 1));
    CHECK_FALSE(is_in_no_proxy("0.0.0.0/0", "::1", 1));
    CHECK_FALSE(is_in_no_proxy("10.0.0.0/33", "10.0.0.0", 1));
    CHECK_FALSE(is_in_no_proxy("0.0.1", "127.0.0.1", 1));
    CHECK_FALSE(is_in_no_proxy("1", "127.0.0.1", 1));
}

TEST_CASE("An entry of no_proxy can be for one port") {
    CHECK(is_in_no_proxy("broker.test:1883", "broker.test", 1883));
    CHECK_FALSE(is_in_no_proxy("broker.test:1883", "broker.test", 8883));
    CHECK(is_in_no_proxy("[::1]:1883", "::1", 1883));
    CHECK_FALSE(is_in_no_proxy("[::1]:1883", "::1", 8883));
    CHECK(is_in_no_proxy("127.0.0.1:1", "127.0.0.1", 1));
    CHECK_FALSE(is_in_no_proxy("broker.test:", "broker.test", 1));
    CHECK_FALSE(is_in_no_proxy("broker.test:x", "broker.test", 1));
}

TEST_CASE("Random lists of no_proxy are harmless") {
    std::mt19937 random(3);
    const std::string_view alphabet = "a.*1:/[]%, \t0f-";
    for (int i = 0; i != 50'000; ++i) {
        std::string list;
        for (std::size_t size = random() % 20; size != 0; --size)
            list += alphabet[random() % alphabet.size()];
        const bool without_star = list.find('*') == std::string::npos;
        if (without_star) CHECK_FALSE(is_in_no_proxy(list, "broker.test", 1));
        (void)is_in_no_proxy(list, "127.0.0.1", 1);
        (void)is_in_no_proxy(list, "::1", 1);
    }
}

} // namespace
} // namespace proxy_options_tests
