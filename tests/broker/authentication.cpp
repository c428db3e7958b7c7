// The broker's side of enhanced authentication [§4.12].
#include "raw_client.hpp"

namespace tern::broker_tests {
namespace authentication {

constexpr auto more = reason_code::continue_authentication;
constexpr auto again = reason_code::re_authenticate;

auth auth_of(reason_code code, std::optional<std::string_view> data = {}, std::string_view method = "m") {
    return {code, {.authentication_method = method, .authentication_data = data}};
}
connect connect_with(std::optional<std::string_view> data) {
    return {.client_id = "c", .properties = {.authentication_method = "m", .authentication_data = data}};
}

// Asks for a second step unless the data is `ok`, refuses `bad`.
broker_options two_steps() {
    broker_options options;
    options.on_authenticate = [](std::string_view client_id, std::string_view method) {
        CHECK(client_id == "c");
        if (method != "m") return testing::authentication_exchange{};
        return testing::authentication_exchange([](std::optional<std::string_view> data) {
            if (data == "bad") return testing::authentication_answer{reason_code::not_authorized, {}};
            if (data == "ok") return testing::authentication_answer{reason_code::success, "end"};
            return testing::authentication_answer{more, "challenge"};
        });
    };
    return options;
}

TEST_CASE("A client is authenticated in several steps, and again on the connection [v5:MQTT-4.12.0-2]") {
    broker_fixture fixture(two_steps());
    auto client = fixture.client();
    client.send(connect_with("1"));
    CHECK(client.expect<auth>() == auth_of(more, "challenge"));
    client.send(auth_of(more, "ok"));
    const auto answer = client.expect<connack>();
    CHECK(answer.reason_code == reason_code::success);
    CHECK(answer.properties.authentication_method == "m");
    CHECK(answer.properties.authentication_data == "end");
    client.send(auth_of(again, "1"));
    CHECK(client.expect<auth>() == auth_of(more, "challenge"));
    client.send(auth_of(more, "ok"));
    CHECK(client.expect<auth>() == auth_of(reason_code::success, "end"));
    client.expect_nothing();
    CHECK(fixture.broken().empty());
}

TEST_CASE("A client that fails is refused or disconnected [v5:MQTT-4.12.0-4, v5:MQTT-4.12.1-2]") {
    broker_fixture fixture(two_steps());
    auto client = fixture.client();
    SECTION("at once") {
        client.send(connect_with("bad"));
        CHECK(client.expect<connack>().reason_code == reason_code::not_authorized);
    }
    SECTION("in the second step") {
        client.send(connect_with("1"));
        client.expect<auth>();
        client.send(auth_of(more, "bad"));
        CHECK(client.expect<connack>().reason_code == reason_code::not_authorized);
    }
    SECTION("on the connection") {
        client.send(connect_with("ok"));
        client.expect<connack>();
        client.send(auth_of(again, "bad"));
        CHECK(client.expect<disconnect>().reason_code == reason_code::not_authorized);
    }
    SECTION("with another method") {
        auto other = connect_with("ok");
        other.properties.authentication_method = "other";
        client.send(other);
        CHECK(client.expect<connack>().reason_code == reason_code::bad_authentication_method);
    }
    CHECK(client.is_closed());
    CHECK(fixture.broken().empty());
}

TEST_CASE("Violations of a client that authenticates are reported") {
    broker_fixture fixture(two_steps());
    auto client = fixture.client();
    std::string_view expected;
    SECTION("another packet before CONNACK [v5:MQTT-3.1.2-30]") {
        expected = "MQTT-3.1.2-30";
        client.send(connect_with("1"));
        client.expect<auth>();
        client.send(pingreq{});
    }
    SECTION("another method [v5:MQTT-4.12.0-5]") {
        expected = "MQTT-4.12.0-5";
        client.send(connect_with("1"));
        client.expect<auth>();
        client.send(auth_of(more, "ok", "other"));
    }
    SECTION("an answer that was not asked for") {
        expected = "§4.12";
        client.send(connect_with("ok"));
        client.expect<connack>();
        client.send(auth_of(more, "ok"));
        client.expect<disconnect>();
    }
    SECTION("re-authentication before CONNACK") {
        expected = "§4.12";
        client.send(connect_with("1"));
        client.expect<auth>();
        client.send(auth_of(again, "ok"));
    }
    CHECK(client.is_closed());
    CHECK(fixture.broken() == expected);
}

TEST_CASE("A client may disconnect in an exchange [v5:MQTT-3.1.2-30]") {
    broker_fixture fixture(two_steps());
    auto client = fixture.client();
    client.send(connect_with("1"));
    client.expect<auth>();
    client.send(disconnect{});
    CHECK(client.is_closed());
    CHECK(fixture.broken().empty());
}

} // namespace authentication
} // namespace tern::broker_tests
