// Secrets never appear in the log, in the text of packets and events, in errors and exceptions, and in descriptions of
// URLs. Passwords, authentication data, and the credentials of URLs and proxies are secrets. A user name is not.
#include "network_test.hpp"
#include "tern/client/engine.hpp"
#include "tern/format.hpp"
#include "tern/transport/proxy.hpp"
#include "tern/transport/proxy_options.hpp"
#include "tern/transport/websocket_options.hpp"
#include "tern/url.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fmt/std.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace secret_tests {

// All secrets of these tests contain this word, encoded in base64 or for URLs, too.
constexpr std::string_view secret = "hunter2";

// Whether a part of the secret is in the text, in one of its forms.
bool is_in(std::string_view text) {
    for (const std::string_view form : {"hunter", "68756e746572", "aHVudGVy", "h1bnRlc", "odW50ZX", "%68"})
        if (text.find(form) != std::string_view::npos) return true;
    return false;
}

// All text that a program could print.
struct output {
    void add(std::string_view text) {
        ++count;
        if (is_in(text)) shown += std::string(text) + '\n';
    }
    void add(const std::error_code& error) {
        add(error.message());
        add(error.category().name());
        add(std::system_error(error).what());
    }

    std::string shown;
    int count = 0;
};

template <class T>
concept printable =
    fmt::is_formattable<T, char>::value || requires(std::ostream& out, const T& value) { out << value; };

// Types that hold secrets have no formatter that could show them.
static_assert(!printable<connect_options> && !printable<connect_overrides> && !printable<broker_url>);
static_assert(!printable<proxy_options> && !printable<websocket_options> && !printable<endpoint>);
static_assert(printable<any_packet> && printable<connection_event>);

template <class Client>
void watch(Client& client, output& out) {
    client.set_log(log_level::debug, [&](log_level, std::string_view line) { out.add(line); });
    client.set_packet_tap([&](packet_direction direction, const any_packet& packet) {
        out.add(fmt::format("{} {}", direction, packet));
        if (const auto* const p = std::get_if<tern::connect>(&packet)) CHECK(p->password == secret);
    });
}

// A client that shows all that it can: the log, packets, events and errors.
struct secrets_fixture : virtual_time_fixture {
    secrets_fixture() { watch(client, out); }

    static connect_options with_password() {
        connect_options options = lasting();
        options.user_name = "not secret";
        options.password = secret;
        return options;
    }
    void show_events() {
        for (;;) {
            cancellable<connection_event> next;
            client.async_next_event(position, next.handler());
            net.run_ready();
            if (!next.result.called()) {
                next.cancel();
                net.run_ready();
                return;
            }
            out.add(fmt::format("{}", next.result.result()));
            out.add(next.result.result().error);
        }
    }
    void show(const answer<connect_result>& a) {
        out.add(wait(a));
        out.add(fmt::format("{}", a.result().view()));
        show_events();
    }

    output out;
    event_position position;
};

TEST_CASE("A password does not appear, whatever becomes of its connection, but a user name does") {
    secrets_fixture w;
    const auto refused = connects(w.client, w.with_password());
    CHECK(w.server.expect<tern::connect>().password == secret);
    w.server.send(connack{.reason_code = reason_code::bad_user_name_or_password});
    w.show(refused);
    w.connect(w.with_password());
    w.cut();
    w.accepts_again();
    REQUIRE(w.runs_until([&] { return w.client.is_connected(); }));
    w.server.send_bytes("\xFF\xFF"); // a violation
    w.server.expect<disconnect>();
    w.cut();
    w.accepts_again();
    REQUIRE(w.runs_until([&] { return w.client.is_connected(); }));
    w.client.cancel();
    w.show_events();
    w.net.forget("localhost");
    w.show(connects(w.client, w.with_password()));
    CHECK(w.out.count > 30);
    CHECK(w.out.shown == "");
    CHECK(fmt::format("{}", tern::connect{.user_name = "not secret", .password = secret}).find("not secret") !=
          std::string::npos);
}

TEST_CASE("A password that the hook sets does not appear, valid or not") {
    secrets_fixture w;
    const std::string invalid = std::string(secret) + '\xFF';
    w.client.set_before_connect([&](connect_attempt attempt) {
        if (attempt.number() == 1)
            w.out.add(attempt.proceed({.user_name = invalid, .password = secret}));
        else
            w.out.add(attempt.proceed({.user_name = "not secret", .password = secret}));
    });
    w.show(connects(w.client, w.lasting()));
    auto options = w.lasting();
    options.reconnect.retry_first = true;
    const auto a = connects_as(w.client, options);
    w.show_events();
    w.client.set_before_connect([&](connect_attempt attempt) {
        w.out.add(attempt.proceed({.target = endpoint{.host = "user:hunter2@broker.test"}}));
    });
    w.client.cancel();
    w.show(a);
    w.show(connects(w.client, w.lasting()));
    CHECK(w.out.shown == "");
}

TEST_CASE("Options that hold secrets in the wrong place are refused without showing them") {
    secrets_fixture w;
    std::vector<connect_options> wrong(6, w.with_password());
    wrong[0].host = "mqtt://user:hunter2@broker.test:1883";
    wrong[1].host = "user:hunter2@broker.test";
    wrong[2].host = "user:hunter2@broker.test:1883";
    wrong[3].host = "hunter2@broker.test";
    wrong[4].user_name.reset();
    wrong[4].version = v3_1_1;
    wrong[5].properties.authentication_data = secret; // without a method
    for (const connect_options& each : wrong) {
        const auto a = connects(w.client, each);
        w.show(a);
        CHECK(a.error().category() == usage_category());
        try {
            auto done = w.client.async_connect(each, asio::use_future);
            w.net.run_ready();
            done.get();
            FAIL("not refused");
        } catch (const std::system_error& error) {
            w.out.add(error.what());
        }
    }
    CHECK(w.out.shown == "");
}

TEST_CASE("Authentication data and passwords do not appear in the text of packets") {
    output out;
    const connect_properties properties{.authentication_method = "SCRAM", .authentication_data = secret};
    out.add(fmt::format("{}", tern::connect{.password = secret, .properties = properties}));
    out.add(fmt::format("{}", any_packet(tern::connect{.version = v3_1_1, .user_name = "u", .password = secret})));
    out.add(
        fmt::format("{}", connack{.properties = {.authentication_method = "SCRAM", .authentication_data = secret}}));
    out.add(fmt::format("{}", auth{.properties = {.authentication_method = "SCRAM", .authentication_data = secret}}));
    CHECK(out.shown == "");
    CHECK(out.count == 4);
}

TEST_CASE("The credentials of a URL appear neither in its description nor in the errors of its changes") {
    output out;
    const std::string_view urls[] = {
        "mqtts://user:hunter2@broker.test:8883", "ws://user:hunter2@[::1]:80/path?hunter2=1",
        "mqtt+unix://user:%68unter2@/run/x.sock", "wss://hunter2@broker.test", "mqtt://us%65r:hunter2@broker.test/?x"};
    for (const std::string_view url : urls) {
        for (std::size_t at = 0; at <= url.size(); ++at) {
            for (const std::string_view change : {"", "%", "@", ":", "/", "[", "\n"}) {
                const std::string changed = std::string(url.substr(0, at)) + std::string(change) +
                                            (change.empty() ? "" : std::string(url.substr(at)));
                const auto parsed = broker_url::parse(changed);
                if (!parsed) {
                    out.add(to_string(parsed.error()));
                    out.add(misuse(parsed.error()));
                }
                // A change may move the secret to another part of the URL, such as the host.
                if (parsed && (change.empty() || parsed->password() == secret || parsed->user_name() == secret))
                    if (parsed->endpoint().host.find(secret) == std::string_view::npos &&
                        parsed->endpoint().host.find("hunter") == std::string_view::npos)
                        out.add(parsed->description());
                const auto proxy = proxy_options::parse(changed);
                if (!proxy) out.add(to_string(proxy.error()));
            }
        }
    }
    CHECK(out.count > 500);
    CHECK(out.shown == "");
}

TEST_CASE("The credentials of a proxy do not appear when it refuses them") {
    using proxied_client = basic_client<basic_proxy<tern::testing::link>>;
    tern::testing::network net;
    output out;
    std::vector<std::unique_ptr<tern::testing::link>> accepted;
    net.listen("proxy.test:3128", [&](tern::testing::link stream) {
        auto& proxy = *accepted.emplace_back(std::make_unique<tern::testing::link>(std::move(stream)));
        static constexpr std::string_view answer = "HTTP/1.1 407 hunter2\r\nContent-Length: 0\r\n\r\n";
        asio::async_write(proxy, asio::buffer(answer.data(), answer.size()), [](std::error_code, std::size_t) {});
    });
    basic_proxy<tern::testing::link> transport{tern::testing::link{net}};
    transport.set_options(*proxy_options::parse("http://user:hunter2@proxy.test:3128"));
    proxied_client client{std::move(transport)};
    watch(client, out);
    const auto a = connects(client, secrets_fixture::with_password());
    REQUIRE(net.run_until([&] { return a.called(); }, 10min));
    CHECK(a.error());
    out.add(a.error());
    CHECK(out.count > 3);
    CHECK(out.shown == "");
}

} // namespace secret_tests
