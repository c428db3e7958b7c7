// The log of a client: one line for each event.
#include "network_test.hpp"
#include "tern/session/event_text.hpp"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace log_tests {

using lines = std::vector<std::string>;

struct log_fixture : virtual_time_fixture {
    explicit log_fixture(log_level minimum = log_level::debug) {
        client.set_log(minimum, [this](log_level level, std::string_view line) {
            written.push_back(std::string(to_string(level)) + ": " + std::string(line));
        });
    }

    lines written;
};

TEST_CASE("Each event has a line with its level, the client identifier, the endpoint and the event's sentence") {
    log_fixture w;
    w.connect();
    w.net.run_for(1h);
    w.cut();
    w.accepts_again();
    REQUIRE(w.runs_until([&] { return w.client.is_connected(); }));
    w.server.forget();
    CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    const std::string who = R"(client "c" at "localhost" port 1883: )";
    const std::string reset = make_error_code(asio::error::connection_reset).message();
    CHECK(w.written == lines{
                           "debug: " + who + R"(connecting to "localhost" port 1883, attempt 1)",
                           "info: " + who + R"(connected to "localhost" port 1883)",
                           "warning: " + who + "disconnected while connected, " + reset,
                           "debug: " + who + R"(connecting to "localhost" port 1883, attempt 1)",
                           "info: " + who + R"(connected to "localhost" port 1883, session present)",
                           "info: " + who + "disconnected while connected",
                           "info: " + who + "stopped",
                       });
    for (const std::string& line : w.written) {
        const connection_event event = w.next_event();
        CHECK(line.ends_with(to_string(event)));
    }
}

TEST_CASE("Lines below the minimum are not written, and an empty function removes the log") {
    log_fixture w(log_level::warning);
    w.connect();
    w.cut();
    w.accepts_again();
    REQUIRE(w.runs_until([&] { return w.client.is_connected(); }));
    CHECK(w.written.size() == 1);
    w.client.set_log(log_level::debug, {});
    w.client.cancel();
    w.net.run_ready();
    CHECK(w.written.size() == 1);
}

TEST_CASE("A run that ends with an error is the only line of the level error") {
    log_fixture w(log_level::error);
    const auto a = connects_as(w.client);
    w.server.expect<tern::connect>();
    w.server.send(connack{.reason_code = reason_code::banned});
    CHECK(w.wait(a) == reason_code::banned);
    CHECK(w.written == lines{R"(error: client "c" at "localhost" port 1883: stopped, banned)"});
    w.connect();
    w.client.cancel();
    w.net.run_ready();
    CHECK(w.written == lines{R"(error: client "c" at "localhost" port 1883: stopped, banned)"});
}

TEST_CASE("An identifier that the broker assigns is shown, and a line without one says so") {
    log_fixture w;
    w.server.connected(w.client, {}, {.properties = {.assigned_client_identifier = "from-the-broker"}});
    REQUIRE(w.written.size() == 2);
    CHECK(w.written[0].starts_with(R"(debug: client without identifier at "localhost" port 1883: connecting)"));
    CHECK(w.written[1].starts_with(R"(info: client "from-the-broker" at "localhost" port 1883: connected)"));
}

TEST_CASE("The endpoint of a line is that of its attempt, also if the hook has chosen it") {
    log_fixture w(log_level::warning);
    const std::array more{endpoint{"second.test", 2}};
    auto options = w.lasting();
    options.host = "first.test";
    options.more_endpoints = more;
    CHECK(w.wait(connects(w.client, options)));
    w.client.set_before_connect([](connect_attempt attempt) { // the first attempt only
        if (attempt.target().host == "first.test")
            CHECK(attempt.proceed({.target = endpoint{.path = "/run/third.sock", .scheme = "unix"}}) ==
                  std::error_code{});
        else
            attempt.proceed();
    });
    CHECK(w.wait(connects(w.client, options)));
    REQUIRE(w.written.size() == 6);
    CHECK(w.written[0].starts_with(R"(warning: client "c" at "first.test" port 1883: disconnected)"));
    CHECK(w.written[1].starts_with(R"(warning: client "c" at "second.test" port 2: disconnected)"));
    CHECK(w.written[2].starts_with(R"(error: client "c" at "second.test" port 2: stopped)"));
    CHECK(w.written[3].starts_with(R"(warning: client "c" at "/run/third.sock": disconnected)"));
    CHECK(w.written[4].starts_with(R"(warning: client "c" at "second.test" port 2: disconnected)"));
}

TEST_CASE("A log that begins during a run knows the endpoint") {
    virtual_time_fixture w;
    w.connect();
    lines written;
    w.client.set_log(log_level::info, [&](log_level, std::string_view line) { written.emplace_back(line); });
    w.client.cancel();
    w.net.run_ready();
    REQUIRE(written.size() == 2);
    CHECK(written[0].starts_with(R"(client "c" at "localhost" port 1883: disconnected)"));
}

TEST_CASE("Text of the broker and names cannot begin a line or control a terminal") {
    log_fixture w;
    const std::string forged = "x\nerror: client \"c\": \x1B[2J\u202E\r\x01";
    w.server.connected(w.client, {}, {.properties = {.assigned_client_identifier = forged}});
    w.server.send(tern::disconnect{.reason_code = reason_code::server_busy,
                                   .properties = {.reason_string = forged, .server_reference = forged}});
    REQUIRE(w.runs_until([&] { return !w.client.is_connected(); }));
    auto options = w.lasting();
    options.client_id = "other\nline";
    CHECK(w.wait(connects(w.client, options)) != errc::already_connected);
    REQUIRE(w.written.size() >= 6);
    for (const std::string& line : w.written)
        for (const char c : line)
            if (static_cast<unsigned char>(c) < 0x20 || c == '\x7F') FAIL("a control character in " << line);
    CHECK(w.written[1].starts_with(
        R"(info: client "x\u{A}error: client \"c\": \u{1B}[2J\u{202E}\u{D}\u{1}" at "localhost" port 1883: )"));
    CHECK(w.written[2].find(R"(, reason "x\u{A}error)") != std::string::npos);
    CHECK(w.written.back().find(R"(client "other\u{A}line")") != std::string::npos);
}

struct noisy_category : std::error_category {
    const char* name() const noexcept override { return "noisy"; }
    std::string message(int) const override { return "two\nlines"; }
};

TEST_CASE("The message of an error cannot begin a line") {
    log_fixture w(log_level::error);
    static const noisy_category noisy;
    w.client.set_before_connect([](connect_attempt attempt) { attempt.fail({1, noisy}); });
    CHECK(w.wait(connects(w.client)));
    CHECK(w.written == lines{R"(error: client "c" at "localhost" port 1883: stopped, two\u{A}lines)"});
}

TEST_CASE("The function is never called inside a function of the client") {
    log_fixture w;
    w.connect();
    w.written.clear();
    w.client.cancel();
    const auto disconnected = disconnects(w.client);
    CHECK(w.written.empty());
    w.net.run_ready();
    CHECK(w.written.size() == 2);
}

TEST_CASE("The function may destroy the client, at any line, and is then not called again") {
    const auto last = GENERATE(1, 2, 3, 4);
    virtual_time_fixture w;
    std::optional<network_client> client(std::move(w.client));
    const auto alive = std::make_shared<int>();
    int calls = 0;
    client->set_log(log_level::debug, [&, alive](log_level, std::string_view) {
        if (++calls == last) client.reset();
    });
    const auto a = connects(*client);
    if (last > 1) {
        w.server.accepts();
        REQUIRE(w.wait(a) == std::error_code{});
        w.net.run_ready();
        w.cut();
    }
    w.net.run_for(1h);
    CHECK(calls == last);
    CHECK_FALSE(client);
    CHECK(a.called());
    CHECK(alive.use_count() == 1);
}

TEST_CASE("The function may set another function, which receives the lines that follow") {
    log_fixture w;
    lines rest;
    w.client.set_log(log_level::debug, [&](log_level, std::string_view line) {
        w.written.emplace_back(line);
        w.client.set_log(log_level::debug, [&](log_level, std::string_view next) { rest.emplace_back(next); });
    });
    const auto a = connects(w.client);
    w.client.cancel(); // several lines wait to be written
    CHECK(w.wait(a) == asio::error::operation_aborted);
    CHECK(w.written.size() == 1);
    CHECK(rest.size() == 2);
}

TEST_CASE("The function may use the client, and what it throws leaves the executor without harm") {
    virtual_time_fixture w;
    int calls = 0;
    w.client.set_log(log_level::debug, [&](log_level, std::string_view) {
        (void)w.client.try_publish({.topic = "log", .qos = qos::at_least_once});
        if (++calls == 1) throw std::runtime_error("the log");
    });
    const auto a = connects(w.client);
    CHECK_THROWS_AS(w.net.run_ready(), std::runtime_error);
    w.server.accepts();
    CHECK(w.wait(a) == std::error_code{});
    CHECK(w.server.expect<publish>().message.topic == "log");
    CHECK(w.server.expect<publish>().message.topic == "log");
    CHECK(calls == 2);
}

TEST_CASE("A function that owns its client is destroyed with the log") {
    virtual_time_fixture w;
    auto owner = std::make_shared<network_client>(std::move(w.client));
    const std::weak_ptr<network_client> watch = owner;
    owner->set_log(log_level::info, [owner](log_level, std::string_view) {});
    auto* const raw = owner.get();
    owner.reset();
    CHECK_FALSE(watch.expired());
    raw->set_log(log_level::info, {}); // the last owner is the function that this removes
    CHECK(watch.expired());
}

} // namespace log_tests
