// Enhanced authentication with Mosquitto, which has it only with a plugin: authentication_plugin.cpp.
#include "catch.hpp"
#include "process.hpp"
#include "tern/client/client.hpp"
#include "tern/testing/run_until.hpp"

#include <asio/io_context.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace authentication_interop {
namespace {

using tern::reason_code;

struct authenticated_client {
    explicit authenticated_client(std::string_view response) {
        client.set_authenticator([this, response](tern::authentication_step step) {
            seen.push_back(std::string(step.data().value_or("-")));
            if (step.stage() == tern::authentication_stage::begin)
                step.answer("hello");
            else if (step.stage() == tern::authentication_stage::answer)
                step.answer(response);
            else
                step.answer();
        });
    }

    std::error_code connect(const interop::mosquitto& broker, std::string_view method = "TERN-TEST") {
        tern::connect_options options{.host = "127.0.0.1", .port = broker.port(), .client_id = "c"};
        options.properties.authentication_method = method;
        options.reconnect.enabled = false;
        std::optional<std::error_code> ended;
        client.async_connect(options, [&](std::error_code error, const tern::connect_result&) { ended = error; });
        REQUIRE(tern::testing::run_until(io, [&] { return ended.has_value(); }));
        return *ended;
    }
    std::error_code reauthenticate() {
        std::optional<std::error_code> ended;
        client.async_reauthenticate([&](std::error_code error) { ended = error; });
        REQUIRE(tern::testing::run_until(io, [&] { return ended.has_value(); }));
        return *ended;
    }

    asio::io_context io;
    tern::client client{io};
    std::vector<std::string> seen; // the data of the broker
};

interop::mosquitto make_broker() {
    return interop::mosquitto("allow_anonymous true\nplugin " TERN_AUTHENTICATION_PLUGIN "\n");
}

TEST_CASE("Mosquitto authenticates with AUTH, at a connection and again on it [v5:MQTT-4.12.0-3, v5:MQTT-4.12.1-1]") {
    const interop::mosquitto broker = make_broker();
    authenticated_client c("response");
    CHECK(c.connect(broker) == std::error_code{});
    CHECK(c.seen == std::vector<std::string>{"-", "challenge", "welcome"});
    c.seen.clear();
    CHECK(c.reauthenticate() == std::error_code{});
    CHECK(c.seen == std::vector<std::string>{"-", "challenge", "welcome"});
    CHECK(c.client.is_connected());
}

TEST_CASE("Mosquitto refuses a wrong answer and an unknown method [v5:MQTT-4.12.0-4]") {
    const interop::mosquitto broker = make_broker();
    authenticated_client wrong("guess");
    CHECK(wrong.connect(broker) == reason_code::not_authorized);
    authenticated_client unknown("response");
    CHECK(unknown.connect(broker, "OTHER") == reason_code::bad_authentication_method);
}

} // namespace
} // namespace authentication_interop
