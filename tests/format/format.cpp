// The formatters' text for every packet, and the characters that they escape.
#include "tern/format.hpp"

#include "catch.hpp"

#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

// Both have formatters for ranges and variants. Those of Tern must be preferred.
#include <fmt/ranges.h>
#include <fmt/std.h>

namespace {

using namespace tern;

template <class T>
std::string line(const T& value) {
    return fmt::format("{}", value);
}

constexpr user_property unit[] = {{"unit", "celsius"}, {"room", "kitchen"}};

} // namespace

TEST_CASE("enumerations and subscriptions are formatted by their names") {
    CHECK(line(qos::exactly_once) == "QoS 2");
    CHECK(line(protocol_version::v3_1_1) == "3.1.1");
    CHECK(line(protocol_version::v5) == "5.0");
    CHECK(line(static_cast<protocol_version>(6)) == "unknown protocol version");
    CHECK(line(packet_type::connect) == "CONNECT");
    CHECK(line(packet_type::auth) == "AUTH");
    CHECK(line(static_cast<packet_type>(0)) == "unknown packet type");
    CHECK(line(reason_code::not_authorized) == "not authorized");
    CHECK(line(static_cast<reason_code>(3)) == "unknown reason code");
    CHECK(line(errc::malformed_utf8) == "a string is not valid UTF-8");
    CHECK(line(static_cast<errc>(250)) == "unknown error");
    CHECK(line(unit[0]) == R"("unit": "celsius")");
    CHECK(line(user_properties_view{unit}) == R"("unit": "celsius", "room": "kitchen")");
    CHECK(line(subscription{.filter = "home/#"}) == R"("home/#" QoS 1)");
    CHECK(line(subscription{.filter = "a",
                            .max_qos = qos::at_most_once,
                            .no_local = true,
                            .retain_as_published = true,
                            .retain_handling = retain_handling::do_not_send}) ==
          R"("a" QoS 0, no local, retain as published, retain handling 2)");
}

TEST_CASE("PUBLISH and messages are formatted with topic, payload and properties") {
    publish p{
        .message = {.topic = "home/kitchen/temperature", .payload = "21.5", .qos = qos::at_least_once, .retain = true},
        .packet_id = 7};
    CHECK(line(p) == R"(PUBLISH QoS 1, id 7, retain, "home/kitchen/temperature", "21.5" (4 bytes))");
    p.dup = true;
    p.message.retain = false;
    p.message.properties = {
        .message_expiry_interval = std::chrono::seconds{60}, .content_type = "text/plain", .user_properties = unit};
    CHECK(line(p) == R"(PUBLISH QoS 1, id 7, dup, "home/kitchen/temperature", "21.5" (4 bytes), )"
                     R"(message expiry interval 60, content type "text/plain", "unit": "celsius", "room": "kitchen")");
    CHECK(line(message_view{.topic = "t"}) == R"(QoS 0, "t", "" (0 bytes))");
    CHECK(line(message{message_view{.topic = "t", .payload = "x"}}) == R"(QoS 0, "t", "x" (1 bytes))");
    const std::uint32_t identifiers[] = {1, 2};
    CHECK(
        line(message_view{.topic = "t",
                          .properties = {.topic_alias = std::uint16_t{3}, .subscription_identifiers = identifiers}}) ==
        R"(QoS 0, "t", "" (0 bytes), topic alias 3, subscription identifier 1, subscription identifier 2)");
}

TEST_CASE("a formatted CONNECT never contains the password or authentication data") {
    connect p{.keep_alive = std::chrono::seconds{60}, .client_id = "tern", .user_name = "me", .password = "secret"};
    CHECK(line(p) == R"(CONNECT 5.0, client id "tern", clean start, keep alive 60, user name "me", password ***)");
    p.version = protocol_version::v3_1_1;
    p.will = message_view{.topic = "gone", .payload = "bye", .retain = true};
    p.password = {};
    CHECK(line(p) == R"(CONNECT 3.1.1, client id "tern", clean session, keep alive 60, )"
                     R"(will QoS 0, retain, "gone", "bye" (3 bytes), user name "me")");
    const connect secret{.will = message_view{.topic = "w"},
                         .will_delay_interval = std::chrono::seconds{5},
                         .password = "secret",
                         .properties = {.session_expiry_interval = session_never_expires,
                                        .request_problem_information = false,
                                        .authentication_method = "m",
                                        .authentication_data = "secret"}};
    CHECK(line(secret) == R"(CONNECT 5.0, client id "", clean start, keep alive 0, will QoS 0, "w", "" (0 bytes), )"
                          "will delay interval 5, password ***, session expiry interval 4294967295, "
                          R"(request problem information no, authentication method "m", authentication data ***)");
}

TEST_CASE("the other packets are formatted with their content") {
    CHECK(line(connack{.session_present = true}) == "CONNACK success, session present");
    CHECK(line(connack{.reason_code = reason_code::not_authorized, .properties = {.reason_string = "go away"}}) ==
          R"(CONNACK not authorized, reason string "go away")");
    CHECK(line(connack{.properties = {.maximum_qos = qos::at_least_once, .retain_available = true}}) ==
          "CONNACK success, maximum QoS 1, retain available yes");
    CHECK(line(puback{.packet_id = 7}) == "PUBACK id 7");
    CHECK(line(pubrec{.packet_id = 7, .reason_code = reason_code::quota_exceeded}) == "PUBREC id 7, quota exceeded");
    CHECK(line(pubrel{.packet_id = 65535}) == "PUBREL id 65535");
    CHECK(line(pubcomp{.packet_id = 7, .properties = {.user_properties = unit}}) ==
          R"(PUBCOMP id 7, "unit": "celsius", "room": "kitchen")");
    const subscription subscriptions[] = {{"a/b", qos::at_least_once}, {"c/d", qos::exactly_once}};
    CHECK(line(subscribe{.packet_id = 10, .subscriptions = subscriptions}) ==
          R"(SUBSCRIBE id 10, "a/b" QoS 1, "c/d" QoS 2)");
    const reason_code codes[] = {reason_code::success, reason_code::granted_qos_2, reason_code::not_authorized};
    CHECK(line(suback{.packet_id = 10, .reason_codes = codes}) ==
          "SUBACK id 10, granted QoS 0, granted QoS 2, not authorized");
    const std::string_view filters[] = {"a/b", "c/d"};
    CHECK(line(unsubscribe{.packet_id = 10, .filters = filters}) == R"(UNSUBSCRIBE id 10, "a/b", "c/d")");
    const reason_code gone[] = {reason_code::success, reason_code::no_subscription_existed};
    CHECK(line(unsuback{.packet_id = 10, .reason_codes = gone}) == "UNSUBACK id 10, success, no subscription existed");
    CHECK(line(pingreq{}) == "PINGREQ");
    CHECK(line(pingresp{}) == "PINGRESP");
    CHECK(line(disconnect{}) == "DISCONNECT normal disconnection");
    CHECK(line(disconnect{.reason_code = reason_code::server_moved, .properties = {.server_reference = "b:1883"}}) ==
          R"(DISCONNECT server moved, server reference "b:1883")");
    CHECK(line(auth{.reason_code = reason_code::continue_authentication,
                    .properties = {.authentication_method = "m", .authentication_data = "secret"}}) ==
          R"(AUTH continue authentication, authentication method "m", authentication data ***)");
    CHECK(line(any_packet{puback{.packet_id = 7}}) == "PUBACK id 7");
    CHECK(line(any_packet{pingreq{}}) == "PINGREQ");
}

TEST_CASE("characters that a terminal interprets are escaped") {
    const auto topic = [](std::string_view text) { return line(publish{.message = {.topic = text}}); };
    const auto quoted = [&](std::string_view text) {
        const std::string all = topic(text);
        const std::string_view head = "PUBLISH QoS 0, ", tail = R"(, "" (0 bytes))";
        REQUIRE(all.size() > head.size() + tail.size());
        return all.substr(head.size(), all.size() - head.size() - tail.size());
    };
    CHECK(quoted("\x1B[31mred") == R"("\u{1B}[31mred")");
    CHECK(quoted("a\r\nb\tc") == R"("a\u{D}\u{A}b\u{9}c")");
    CHECK(quoted(std::string_view("\0", 1)) == R"("\u{0}")");
    CHECK(quoted("\x7F") == R"("\u{7F}")");
    CHECK(quoted("\xC2\x9B"
                 "31m") == R"("\u{9B}31m")"); // CSI as one character
    CHECK(quoted("\xE2\x80\xAE"
                 "txt") == R"("\u{202E}txt")"); // right-to-left override
    CHECK(quoted("\xEF\xBB\xBF") == R"("\u{FEFF}")");
    CHECK(quoted("say \"hi\" \\") == R"("say \"hi\" \\")");
    CHECK(quoted("caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\xA6") == "\"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\xA6\"");
    CHECK(quoted("\xFF\xC3(\xED\xA0\x80") == R"("\xFF\xC3(\xED\xA0\x80")");
    CHECK(quoted("{}") == R"("{}")");

    // No field lets a control character pass.
    std::string every;
    for (int c = 0; c != 256; ++c)
        every += static_cast<char>(c);
    const user_property pair[] = {{every, every}};
    const subscription one[] = {{.filter = every}};
    const std::string_view filters[] = {every};
    const any_packet packets[] = {
        connect{.client_id = every,
                .will = message_view{.topic = every, .payload = every, .properties = {.response_topic = every}},
                .user_name = every,
                .properties = {.authentication_method = every, .user_properties = pair}},
        connack{.properties = {.assigned_client_identifier = every,
                               .reason_string = every,
                               .response_information = every,
                               .server_reference = every}},
        publish{.message = {.topic = every,
                            .payload = every,
                            .properties = {.correlation_data = every, .content_type = every}}},
        puback{.properties = {.reason_string = every, .user_properties = pair}},
        subscribe{.subscriptions = one},
        unsubscribe{.filters = filters},
        disconnect{.properties = {.server_reference = every}},
        auth{.properties = {.authentication_method = every}},
    };
    for (const any_packet& packet : packets)
        for (const char c : line(packet)) {
            const auto byte = static_cast<unsigned char>(c);
            CHECK((byte >= 0x20 && byte != 0x7F));
        }
}

TEST_CASE("long texts and lists are abbreviated") {
    const std::string text(1'000, 'x');
    CHECK(line(message_view{.topic = "t", .payload = text}) ==
          "QoS 0, \"t\", \"" + std::string(60, 'x') + "\"... (1000 bytes)");
    const std::string exact(60, 'x');
    CHECK(line(message_view{.topic = "t", .payload = exact}) == "QoS 0, \"t\", \"" + exact + "\" (60 bytes)");
    // A character is not split.
    const std::string euro = std::string(59, 'x') + "\xE2\x82\xAC" + "yz";
    CHECK(line(message_view{.topic = "t", .payload = euro}) ==
          "QoS 0, \"t\", \"" + std::string(59, 'x') + "\xE2\x82\xAC\"... (64 bytes)");
    const std::string long_topic(65'535, 't');
    CHECK(line(message_view{.topic = long_topic}).size() < 400);
    const std::vector<reason_code> codes(1'000, reason_code::granted_qos_1);
    const std::string suback_line = line(suback{.packet_id = 1, .reason_codes = codes});
    CHECK(suback_line.ends_with("granted QoS 1, and 984 more"));
    CHECK(suback_line.size() < 400);
}

TEST_CASE("a received packet has the same text as the sent one") {
    const subscription subscriptions[] = {{"a/b", qos::at_least_once}, {"c/d", qos::exactly_once}};
    const subscribe p{.packet_id = 10, .subscriptions = subscriptions, .properties = {.user_properties = unit}};
    char buffer[100];
    const auto size = encode(p, protocol_version::v5, buffer);
    REQUIRE(size);
    const auto found = next_frame({buffer, *size});
    REQUIRE(found);
    const auto again = decode(found->frame, protocol_version::v5);
    REQUIRE(again);
    CHECK(line(*again) == line(p));
}

TEST_CASE("connection events and counters are formatted on one line") {
    using change = connection_change;
    using view = connection_event_view;
    CHECK(line(view{.change = change::connecting, .port = 1883, .attempt = 3, .host = "a.example"}) ==
          "connecting to \"a.example\" port 1883, attempt 3");
    CHECK(line(view{.change = change::connected, .host = "/run/b"}) == "connected to \"/run/b\"");
    CHECK(line(view{.change = change::connected, .session_present = true, .port = 1, .host = "h"}) ==
          "connected to \"h\" port 1, session present");
    CHECK(line(view{.change = change::disconnected, .phase = connection_phase::handshake}) ==
          "disconnected during the handshake");
    CHECK(line(view{.change = change::disconnected,
                    .phase = connection_phase::connected,
                    .error = reason_code::server_moved,
                    .reason_string = "gone\n",
                    .server_reference = "b.example"}) ==
          "disconnected while connected, server moved, reason \"gone\\u{A}\", server reference \"b.example\"");
    CHECK(line(view{.change = change::retrying, .delay = std::chrono::milliseconds(1500)}) == "retrying in 1500 ms");
    CHECK(line(connection_event(view{.change = change::stopped})) == "stopped");
    CHECK(line(view{.change = change::subscription_refused, .error = reason_code::not_authorized, .filter = "a/#"}) ==
          "subscription refused \"a/#\", not authorized");
    CHECK(line(change::subscription_refused) == "subscription refused");
    CHECK(line(view{.change = change::window_exhausted}) == "window exhausted");
    CHECK(line(view{.change = change::client_id_not_assigned,
                    .error = tern::violation(tern::errc::missing_assigned_client_id)}) ==
          "client id not assigned, no assigned client identifier in answer to an empty one");
    CHECK(line(view{.change = change::redirect_ignored,
                    .error = tern::misuse(tern::errc::redirect_not_allowed),
                    .server_reference = "b:1"})
              .starts_with("redirect ignored"));
    CHECK(line(static_cast<change>(99)) == "unknown change");
    CHECK(line(connection_phase::resolving) == "resolving");
    CHECK(line(connection_end::violation) == "violation");
    CHECK(line(packet_direction::received) == "received");
    CHECK(line(packet_direction::sent) == "sent");
    CHECK(line(counters{.messages_sent = 3,
                        .messages_resent = 1,
                        .messages_received = 2,
                        .bytes_sent = 100,
                        .bytes_received = 50,
                        .connections = 2,
                        .queued = 1,
                        .queued_bytes = 20,
                        .round_trip_time = std::chrono::milliseconds(2)}) ==
          "sent 3 (100 bytes), resent 1, received 2 (50 bytes), dropped 0, unsent 0, in flight 0, queued 1 (20 bytes), "
          "connections 2, round trip 2000 us");
}

TEST_CASE("packets are formatted to an iterator, within other text") {
    std::string out;
    fmt::format_to(std::back_inserter(out), "sent {} at {}", pingreq{}, qos::at_most_once);
    CHECK(out == "sent PINGREQ at QoS 0");
}

TEST_CASE("a value that owns its contents is formatted like its view") {
    struct derived_message : message { // as `received_message` is
        using message::message;
    };
    const message_view view{.topic = "home/door", .payload = "open"};
    CHECK(line(message(view)) == line(view));
    CHECK(line(derived_message(view)) == line(view));
    const connection_event_view change{.port = 1883, .attempt = 1, .host = "localhost"};
    CHECK(line(connection_event(change)) == line(change));
    const connack accepted{.session_present = true};
    CHECK(line(owned<connack>(accepted)) == line(accepted));
}
