// Enhanced authentication [§4.12] with an authenticator of the application.
#include "network_test.hpp"

#include <sstream>

namespace authentication_tests {

constexpr auto more = reason_code::continue_authentication;
constexpr auto again = reason_code::re_authenticate;

auth auth_of(reason_code code, std::optional<std::string_view> data = {}) {
    return {code, {.authentication_method = "M", .authentication_data = data}};
}
connack accepted(std::optional<std::string_view> data = {}, bool session_present = false) {
    return {.session_present = session_present,
            .properties = {.authentication_method = "M", .authentication_data = data}};
}
std::string text_of(const authentication_step& step) {
    static constexpr const char* stages[] = {"begin", "answer", "verify"};
    const bool connects = step.purpose() == authentication_purpose::connect;
    return std::string(connects ? "" : "again: ") + stages[static_cast<int>(step.stage())] + " " +
           std::string(step.method()) + (step.data() ? "=" + std::string(*step.data()) : "");
}

struct authentication_fixture : virtual_time_fixture {
    authentication_fixture() { client.set_authenticator(answering()); }

    // Answers each step at once, with its number.
    std::function<void(authentication_step)> answering() {
        return [this](authentication_step step) {
            asked.push_back(text_of(step));
            CHECK(step.answer(std::to_string(asked.size())) == std::error_code{});
        };
    }
    // Stores each step for the test.
    std::function<void(authentication_step)> storing() {
        return [this](authentication_step step) {
            asked.push_back(text_of(step));
            stored.emplace(std::move(step));
        };
    }
    static connect_options with_method(connect_options options = lasting()) {
        options.properties.authentication_method = "M";
        return options;
    }
    // Also tries the first connection again.
    static connect_options persistent() {
        connect_options options = with_method();
        options.reconnect.retry_first = true;
        return options;
    }
    void connects_authenticated(const connect_options& options = with_method()) {
        const auto a = connects_as(client, options);
        server.expect<tern::connect>();
        server.send(accepted());
        REQUIRE(wait(a) == std::error_code{});
        asked.clear();
    }
    answer<> reauthenticates() {
        answer<> a;
        client.async_reauthenticate(a.handler());
        CHECK_FALSE(a.called());
        return a;
    }
    // The authenticator has been asked this many times.
    void is_asked(std::size_t times) {
        REQUIRE(runs_until([&] { return asked.size() == times; }));
    }

    std::vector<std::string> asked;
    std::optional<authentication_step> stored;
};

TEST_CASE("An authenticator answers each step of a connection, and of a re-authentication [v5:MQTT-4.12.0-3, "
          "v5:MQTT-4.12.1-1]") {
    authentication_fixture w;
    const auto a = connects_as(w.client, w.with_method());
    CHECK(w.asked.empty()); // the call itself does not run the authenticator
    CHECK(w.server.expect<tern::connect>().properties.authentication_data == "1");
    w.server.send(auth_of(more, "x"));
    CHECK(w.server.expect<auth>() == auth_of(more, "2"));
    CHECK_FALSE(a.called());
    w.server.send(accepted("y"));
    CHECK(w.wait(a) == std::error_code{});
    CHECK(w.asked == std::vector<std::string>{"begin M", "answer M=x", "verify M=y"});
    w.asked.clear();
    const auto b = w.reauthenticates();
    CHECK(w.server.expect<auth>() == auth_of(again, "1"));
    w.server.send(auth_of(more));
    CHECK(w.server.expect<auth>() == auth_of(more, "2"));
    w.server.send(auth_of(reason_code::success, "z"));
    CHECK(w.wait(b) == std::error_code{});
    CHECK(w.asked == std::vector<std::string>{"again: begin M", "again: answer M", "again: verify M=z"});
    CHECK(w.client.is_connected());
}

TEST_CASE("An authenticator may suspend, in a coroutine, and is asked at each reconnect") {
    virtual_time_fixture w;
    int nonces = 0;
    w.client.set_authenticator([&](authentication_step step) {
        auto reply = [&, step = std::move(step)]() mutable -> asio::awaitable<void> {
            tern::testing::virtual_timer timer(w.net.get_executor(), w.net.clock());
            timer.expires_after(9s);
            co_await timer.async_wait(asio::use_awaitable);
            const std::string nonce = "nonce " + std::to_string(++nonces);
            CHECK(step.answer(nonce) == std::error_code{});
        };
        asio::co_spawn(w.client.get_executor(), std::move(reply), asio::detached);
    });
    const auto a = connects_as(w.client, authentication_fixture::with_method());
    CHECK(w.server.expect<tern::connect>().properties.authentication_data == "nonce 1");
    w.server.send(accepted());
    CHECK(w.wait(a) == std::error_code{});
    CHECK(nonces == 2);
    w.cut();
    CHECK(w.server.expect<tern::connect>().properties.authentication_data == "nonce 3");
    w.server.send(accepted({}, true));
    REQUIRE(w.runs_until([&] { return w.client.is_connected(); }));
}

TEST_CASE("A step that the authenticator fails or drops closes the connection") {
    authentication_fixture w;
    w.client.set_authenticator(w.storing());
    const auto a = connects_as(w.client, once(w.with_method()));
    w.is_asked(1);
    SECTION("the first, with an error") {
        w.stored->fail(std::make_error_code(std::errc::permission_denied));
        CHECK_FALSE(a.called());
        CHECK(w.wait(a) == std::errc::permission_denied);
    }
    SECTION("the first, without a decision") {
        w.stored.reset();
        CHECK(w.wait(a) == std::errc::operation_canceled);
    }
    SECTION("the first, without an error") {
        w.stored->fail({});
        CHECK(w.wait(a) == std::errc::operation_canceled);
    }
    SECTION("the verdict") {
        w.stored->answer();
        w.server.expect<tern::connect>();
        w.server.send(accepted("forged"));
        w.is_asked(2);
        w.stored->fail();
        CHECK(w.server.expect<disconnect>().reason_code == reason_code::unspecified_error);
        CHECK(w.wait(a) == errc::authentication_failed);
    }
    SECTION("no answer in time") {
        CHECK(w.wait(a) == errc::authentication_timeout);
        w.stored->answer("late");
    }
    SECTION("data that no packet can carry") {
        const std::string large(65'536, 'x');
        CHECK(w.stored->answer(large) == misuse(errc::string_too_long));
        CHECK(w.wait(a) == misuse(errc::string_too_long));
    }
    w.net.run_for(1min);
    CHECK_FALSE(w.client.is_connected());
}

TEST_CASE("Without an authenticator the broker may only accept or refuse the data of the options") {
    virtual_time_fixture w;
    auto options = once(authentication_fixture::with_method());
    options.properties.authentication_data = "fixed";
    const auto a = connects_as(w.client, options);
    CHECK(w.server.expect<tern::connect>().properties.authentication_data == "fixed");
    SECTION("it accepts") {
        w.server.send(accepted());
        CHECK(w.wait(a) == std::error_code{});
        answer<> b;
        w.client.async_reauthenticate(b.handler());
        CHECK(w.wait(b) == misuse(errc::authentication_not_supported));
    }
    SECTION("AUTH is a protocol error") {
        w.server.send(auth_of(more));
        CHECK(w.server.expect<disconnect>().reason_code == reason_code::protocol_error);
        CHECK(w.wait(a) == errc::unexpected_authentication);
    }
}

TEST_CASE("A re-authentication is refused when it is not possible") {
    authentication_fixture w;
    CHECK(w.wait(w.reauthenticates()) == misuse(errc::not_connected));
    SECTION("3.1.1") {
        w.server.connected(w.client, {.version = v3_1_1, .client_id = "c"});
        CHECK(w.wait(w.reauthenticates()) == misuse(errc::requires_v5));
        CHECK(w.server.is_silent());
    }
    SECTION("3.1.1 with a method: nothing is sent") {
        auto options = w.with_method({.version = v3_1_1, .client_id = "c"});
        CHECK(w.wait(connects_as(w.client, options)) == misuse(errc::requires_v5));
        CHECK(w.server.connections() == 0);
    }
    SECTION("without a method") {
        w.connect();
        CHECK(w.wait(w.reauthenticates()) == misuse(errc::authentication_not_supported));
    }
    SECTION("while another is in progress") {
        w.connects_authenticated();
        const auto first = w.reauthenticates();
        CHECK(w.wait(w.reauthenticates()) == misuse(errc::authentication_in_progress));
        CHECK_FALSE(first.called());
    }
}

TEST_CASE("A cancelled re-authentication ends alone") {
    authentication_fixture w;
    w.connects_authenticated();
    w.client.set_authenticator(w.storing());
    cancellable<> op;
    w.client.async_reauthenticate(op.handler());
    w.is_asked(1);
    SECTION("nothing was sent") {
        op.cancel();
        CHECK(w.wait(op.result) == asio::error::operation_aborted);
        w.stored->answer("late");
        w.net.run_for(1min);
        CHECK(w.server.is_silent());
    }
    SECTION("the exchange goes on without it") {
        w.stored->answer("1");
        w.server.expect<auth>();
        op.cancel();
        CHECK(w.wait(op.result) == asio::error::operation_aborted);
        w.server.send(auth_of(reason_code::success));
        w.is_asked(2);
        w.stored->answer();
        w.net.run_ready(); // it ends in the next turn
    }
    w.client.set_authenticator(w.answering());
    const auto next = w.reauthenticates();
    w.server.expect<auth>();
    w.server.send(auth_of(reason_code::success));
    CHECK(w.wait(next) == std::error_code{});
}

TEST_CASE("A step of an earlier exchange ignores further calls") {
    authentication_fixture w;
    w.client.set_authenticator(w.storing());
    const auto a = connects_as(w.client, w.persistent());
    w.is_asked(1);
    authentication_step old = std::move(*w.stored);
    w.stored.reset();
    w.cut();
    w.is_asked(2);
    SECTION("an answer") {
        old.answer("old");
    }
    SECTION("a failure") {
        old.fail();
    }
    w.net.run_for(5s);
    CHECK(w.server.is_silent());
    w.stored->answer("new");
    CHECK(w.server.expect<tern::connect>().properties.authentication_data == "new");
    w.server.send(accepted());
    w.is_asked(3);
    w.stored->answer();
    CHECK(w.wait(a) == std::error_code{});
}

TEST_CASE("The authenticator may use, end and destroy the client") {
    authentication_fixture w;
    auto client = std::make_unique<network_client>(tern::testing::link{w.net});
    SECTION("disconnect") {
        client->set_authenticator([&](authentication_step step) {
            client->async_disconnect(asio::detached);
            step.answer("late");
        });
        CHECK(w.wait(connects_as(*client, w.with_method())) == errc::disconnected);
    }
    SECTION("another authenticator") {
        client->set_authenticator([&](authentication_step step) {
            client->set_authenticator(w.answering());
            step.answer("first");
        });
        const auto a = connects_as(*client, w.with_method());
        CHECK(w.server.expect<tern::connect>().properties.authentication_data == "first");
        w.server.send(accepted("x"));
        CHECK(w.wait(a) == std::error_code{});
        CHECK(w.asked == std::vector<std::string>{"verify M=x"});
    }
    SECTION("destroy") {
        client->set_authenticator([&](authentication_step step) {
            client.reset();
            step.answer("late");
        });
        CHECK(w.wait(connects_as(*client, w.with_method())) == asio::error::operation_aborted);
    }
    SECTION("destroy in the middle of an exchange") {
        client->set_authenticator(w.storing());
        const auto a = connects_as(*client, w.with_method());
        w.is_asked(1);
        w.stored->answer("1");
        w.server.expect<tern::connect>();
        w.server.send(auth_of(more, "2"));
        w.is_asked(2);
        client.reset();
        w.stored->answer("3");
        CHECK(w.wait(a) == asio::error::operation_aborted);
    }
    SECTION("throw") {
        client->set_authenticator([&](const authentication_step&) { throw std::runtime_error("from a hook"); });
        const auto a = connects_as(*client, once(w.with_method()));
        CHECK_THROWS_AS(w.net.run_ready(), std::runtime_error);
        CHECK(w.wait(a) == std::errc::operation_canceled);
    }
}

TEST_CASE("The peer may hang up at each step of an authentication") {
    authentication_fixture w;
    const auto a = connects_as(w.client, w.persistent());
    w.server.expect<tern::connect>();
    SECTION("after CONNECT") {}
    SECTION("after AUTH") {
        w.server.send(auth_of(more, "x"));
        w.server.expect<auth>();
    }
    SECTION("before an answer to AUTH") {
        w.client.set_authenticator(w.storing());
        w.server.send(auth_of(more, "x"));
        w.is_asked(2);
    }
    SECTION("before the verdict") {
        w.client.set_authenticator(w.storing());
        w.server.send(accepted("x"));
        w.is_asked(2);
        w.stored->answer(); // the end is noticed behind CONNACK
    }
    w.cut(ending::close);
    w.client.set_authenticator(w.answering());
    w.server.expect<tern::connect>();
    w.server.send(accepted());
    REQUIRE(w.runs_until([&] { return w.client.is_connected(); }));
}

TEST_CASE("A full inbox does not hold up AUTH") {
    authentication_fixture w;
    auto options = w.with_method();
    options.inbox_limit = 1;
    w.connects_authenticated(options);
    w.server.send(incoming("1", qos::at_most_once, 0), incoming("2", qos::at_most_once, 0));
    w.net.run_for(1s);
    const auto a = w.reauthenticates();
    w.server.expect<auth>();
    w.server.send(incoming("3", qos::at_most_once, 0), auth_of(reason_code::success));
    CHECK(w.wait(a) == std::error_code{});
}

TEST_CASE("Neither events nor the log show authentication data") {
    authentication_fixture w;
    const std::string secret = "the secret data";
    std::string seen;
    w.client.set_log(log_level::debug, [&](log_level, std::string_view line) { seen += line; });
    w.client.set_authenticator([&](authentication_step step) { step.answer(secret); });
    const auto a = connects_as(w.client, w.with_method());
    w.server.expect<tern::connect>();
    w.server.send(auth_of(more, secret));
    w.server.expect<auth>();
    w.server.send(accepted(secret));
    CHECK(w.wait(a) == std::error_code{});
    w.cut();
    seen += to_string(w.next_event(connection_change::disconnected));
    CHECK(seen.find("disconnected") != std::string::npos);
    CHECK(seen.find(secret) == std::string::npos);
}

} // namespace authentication_tests
