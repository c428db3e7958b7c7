// The before-connect hook: it decides when the client connects, to which endpoint and with which credentials.
#include "network_test.hpp"

namespace {

TEST_CASE("The hook is called before each attempt, and may proceed at once") {
    virtual_time_fixture w;
    std::vector<std::string> asked;
    w.client.set_before_connect([&](connect_attempt attempt) {
        asked.push_back(std::string(attempt.target().host) + " " + std::to_string(attempt.number()) + " " +
                        attempt.last_error().message());
        attempt.proceed();
    });
    const auto none = std::error_code{}.message();
    const auto a = connects_as(w.client, w.lasting());
    CHECK(asked.empty()); // the call itself does not run the hook
    w.server.accepts();
    CHECK(w.wait(a) == std::error_code{});
    w.net.fail(tern::testing::step::connect, 1, asio::error::network_down);
    w.cut();
    w.accepts_again();
    CHECK(asked == std::vector<std::string>{"localhost 1 " + none,
                                            "localhost 1 " + make_error_code(asio::error::connection_reset).message(),
                                            "localhost 2 " + make_error_code(asio::error::network_down).message()});
    w.client.set_before_connect({});
    w.cut();
    w.accepts_again();
    CHECK(asked.size() == 3);
}

TEST_CASE("The hook may suspend, in a coroutine, and replace the password") {
    virtual_time_fixture w;
    const auto options = w.lasting();
    int tokens = 0;
    w.client.set_before_connect([&](connect_attempt attempt) {
        auto renew = [&, attempt = std::move(attempt)]() mutable -> asio::awaitable<void> {
            tern::testing::virtual_timer timer(w.net.get_executor(), w.net.clock());
            timer.expires_after(1h); // no timeout expires meanwhile
            co_await timer.async_wait(asio::use_awaitable);
            const std::string token = "token " + std::to_string(++tokens);
            CHECK(attempt.proceed({.user_name = "user", .password = token}) == std::error_code{});
        };
        asio::co_spawn(w.client.get_executor(), std::move(renew), asio::detached);
    });
    const auto a = connects_as(w.client, options);
    w.net.run_for(59min);
    CHECK(w.server.connections() == 0);
    CHECK(w.server.expect<tern::connect>().password == "token 1");
    w.server.send(connack{});
    CHECK(w.wait(a) == std::error_code{});
    w.cut();
    w.net.run_for(59min);
    CHECK(w.server.connections() == 1);
    CHECK(w.server.expect<tern::connect>().password == "token 2");
}

TEST_CASE("The hook may choose the endpoint") {
    virtual_time_fixture w;
    w.net.listen("other.test:99", [&](tern::testing::link stream) { w.server.accept(std::move(stream)); });
    w.client.set_before_connect([&](connect_attempt attempt) {
        CHECK(attempt.proceed({.target = endpoint{"other.test", 99}}) == std::error_code{});
    });
    auto options = w.lasting();
    options.host = "nowhere.test";
    w.connect(options);
    CHECK(w.next_event(connection_change::connected).host == "other.test");
}

TEST_CASE("Invalid options of the hook end the attempt") {
    virtual_time_fixture w;
    std::error_code told;
    w.client.set_before_connect([&](connect_attempt attempt) {
        told = attempt.proceed({.user_name = "\xFF"});
        attempt.proceed(); // the attempt is already decided
    });
    const auto a = connects_as(w.client);
    CHECK(w.wait(a) == misuse(errc::malformed_utf8));
    CHECK(told == a.error());
    w.client.set_before_connect({});
    w.connect();
}

TEST_CASE("The hook may fail the attempt, at once or later, or drop it") {
    virtual_time_fixture w;
    std::optional<connect_attempt> kept;
    std::error_code expected = std::make_error_code(std::errc::permission_denied);
    const auto connecting = [&](std::function<void(connect_attempt)> hook) {
        w.client.set_before_connect(std::move(hook));
        return connects_as(w.client, w.lasting());
    };
    SECTION("at once") {
        const auto a = connecting([&](connect_attempt attempt) { attempt.fail(expected); });
        CHECK(w.wait(a) == expected);
    }
    SECTION("later") {
        const auto a = connecting([&](connect_attempt attempt) { kept.emplace(std::move(attempt)); });
        w.net.run_for(1h);
        CHECK_FALSE(a.called());
        kept->fail(expected);
        CHECK_FALSE(a.called());
        CHECK(w.wait(a) == expected);
    }
    SECTION("dropped") {
        const auto a = connecting([&](const connect_attempt&) {});
        CHECK(w.wait(a) == std::errc::operation_canceled);
    }
    SECTION("without an error") {
        const auto a = connecting([&](connect_attempt attempt) { attempt.fail({}); });
        CHECK(w.wait(a) == std::errc::operation_canceled);
    }
    w.client.set_before_connect({});
    w.connect();
}

TEST_CASE("The client makes another attempt after the hook has failed one") {
    virtual_time_fixture w;
    w.connect();
    int failures = 3;
    w.client.set_before_connect([&](connect_attempt attempt) {
        if (failures-- > 0) return;
        attempt.proceed();
    });
    w.cut();
    w.accepts_again();
    CHECK(failures == -1);
}

TEST_CASE("An attempt that is over ignores further calls") {
    virtual_time_fixture w;
    std::optional<connect_attempt> kept;
    w.client.set_before_connect([&](connect_attempt attempt) { kept.emplace(std::move(attempt)); });
    auto options = w.lasting();
    SECTION("after a disconnect") {
        const auto a = connects_as(w.client, options);
        w.net.run_ready();
        REQUIRE(kept);
        CHECK(w.wait(disconnects(w.client)) == std::error_code{});
        CHECK(a.error() == errc::disconnected);
    }
    SECTION("after a cancel") {
        const auto a = connects_as(w.client, options);
        w.net.run_ready();
        REQUIRE(kept);
        w.client.cancel();
        CHECK(w.wait(a) == asio::error::operation_aborted);
    }
    SECTION("during the next attempt") {
        const auto a = connects_as(w.client, options);
        w.net.run_ready();
        auto old = std::move(*kept);
        kept.reset();
        CHECK(w.wait(disconnects(w.client)) == std::error_code{});
        const auto b = connects_as(w.client, options);
        w.net.run_ready();
        REQUIRE(kept);
        old.fail(asio::error::access_denied);
        w.net.run_for(1min);
        CHECK_FALSE(b.called());
        kept->proceed();
        w.server.accepts();
        CHECK(w.wait(b) == std::error_code{});
        CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    }
    SECTION("during the next attempt, which it does not let proceed") {
        const auto a = connects_as(w.client, options);
        w.net.run_ready();
        auto old = std::move(*kept);
        kept.reset();
        CHECK(w.wait(disconnects(w.client)) == std::error_code{});
        const auto b = connects_as(w.client, options);
        w.net.run_ready();
        REQUIRE(kept);
        SECTION("as it is") {
            old.proceed();
        }
        SECTION("with another password") {
            CHECK(old.proceed({.password = "old"}) == std::error_code{});
        }
        w.net.run_for(1min);
        CHECK(w.server.connections() == 0);
        CHECK_FALSE(b.called());
        kept->proceed();
        CHECK_FALSE(w.server.expect<tern::connect>().password);
        w.server.send(connack{});
        CHECK(w.wait(b) == std::error_code{});
        CHECK(w.wait(disconnects(w.client)) == std::error_code{});
    }
    SECTION("after the client's destruction") {
        network_client other{tern::testing::link{w.net}};
        other.set_before_connect([&](connect_attempt attempt) { kept.emplace(std::move(attempt)); });
        const auto a = connects_as(other, options);
        w.net.run_ready();
        REQUIRE(kept);
        {
            const network_client gone = std::move(other);
        }
        kept->proceed();
        CHECK(w.wait(a) == asio::error::operation_aborted);
    }
    const int before = w.server.connections();
    kept->proceed();
    kept.reset();
    w.net.run_for(1min);
    CHECK(w.server.connections() == before);
    w.client.set_before_connect({});
    w.connect();
}

TEST_CASE("The hook may use, end and destroy the client") {
    virtual_time_fixture w;
    auto client = std::make_unique<network_client>(tern::testing::link{w.net});
    SECTION("disconnect") {
        client->set_before_connect([&](connect_attempt attempt) {
            client->async_disconnect(asio::detached);
            attempt.proceed();
        });
        CHECK(w.wait(connects_as(*client)) == errc::disconnected);
    }
    SECTION("publish") {
        client->set_before_connect([&](connect_attempt attempt) {
            client->set_before_connect({});
            CHECK(client->try_publish({.topic = "t"}) == std::error_code{});
            attempt.proceed();
        });
        w.server.connected_as(*client, w.lasting());
        CHECK(w.server.expect<publish>().message.topic == "t");
    }
    SECTION("destroy") {
        client->set_before_connect([&](connect_attempt attempt) {
            client.reset();
            attempt.proceed();
        });
        CHECK(w.wait(connects_as(*client)) == asio::error::operation_aborted);
    }
    SECTION("throw") {
        client->set_before_connect([&](const connect_attempt&) { throw std::runtime_error("from a hook"); });
        const auto a = connects_as(*client);
        CHECK_THROWS_AS(w.net.run_ready(), std::runtime_error);
        CHECK(w.wait(a) == std::errc::operation_canceled);
    }
}

} // namespace
