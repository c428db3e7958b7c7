// Every failure has its error, and the client can be used afterwards.
#include "scripted_broker.hpp"

#include <asio/bind_cancellation_slot.hpp>

namespace {

using namespace std::string_view_literals;

// Checks that the client works with a scripted broker: it connects, publishes, receives and disconnects.
void works(scripted_broker_fixture& w) {
    w.server.connected(w.client);
    const auto published = publishes(w.client, {.topic = "t", .payload = "p", .qos = qos::at_least_once});
    w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id});
    CHECK(wait(w.io, published) == std::error_code{});
    const auto received = receives(w.client);
    w.server.send(publish{.message = {.topic = "t", .payload = "p"}});
    CHECK(wait(w.io, received) == std::error_code{});
    const auto disconnected = disconnects(w.client);
    w.server.expect<disconnect>();
    CHECK(wait(w.io, disconnected) == std::error_code{});
}

// ---- connecting

struct bad_connack {
    std::string_view name;
    std::string_view bytes;
    errc error; ///< `none`: the connection ends without an error of Tern
    protocol_version version = v5;
};

constexpr bad_connack bad_connacks[] = {
    {"nothing", ""sv, errc::none},
    {"half of it", "\x20\x03\x00"sv, errc::none},
    {"HTTP", "HTTP/1.1 400 Bad Request\r\n"sv, errc::http_answer},
    {"SSH", "SSH-2.0-OpenSSH_9.2\r\n"sv, errc::ssh_answer},
    {"an alert of TLS", "\x15\x03\x01\x00\x02\x02\x46"sv, errc::tls_answer},
    {"a handshake of TLS", "\x16\x03\x03\x00\x2A"sv, errc::tls_answer},
    {"nearly HTTP", "HTTP-"sv, errc::invalid_flags},
    {"the beginning of HTTP", "HTT"sv, errc::none},
    {"zeros", "\0\0\0\0"sv, errc::invalid_packet_type},
    {"a fifth length byte", "\x20\xFF\xFF\xFF\xFF\x01"sv, errc::malformed_variable_byte_integer},
    {"PUBLISH", "\x30\x04\x00\x01t\x00"sv, errc::unexpected_packet},
    {"PUBLISH with QoS 3", "\x36\x06\x00\x01t\x00\x01\x00"sv, errc::invalid_qos},
    {"PINGRESP", "\xD0\x00"sv, errc::unexpected_packet},
    {"AUTH", "\xF0\x00"sv, errc::unexpected_authentication},
    {"AUTH in 3.1.1", "\xF0\x00"sv, errc::invalid_packet_type, v3_1_1},
    {"reserved flags", "\x20\x03\x02\x00\x00"sv, errc::invalid_connack_flags},
    {"unknown reason", "\x20\x03\x00\x7F\x00"sv, errc::invalid_reason_code},
    {"unknown return code", "\x20\x02\x00\x06"sv, errc::invalid_reason_code, v3_1_1},
    {"empty", "\x20\x00"sv, errc::truncated_packet},
    {"too long", "\x20\x04\x00\x00\x00\x00"sv, errc::trailing_bytes},
    {"properties beyond the end", "\x20\x03\x00\x00\x7F"sv, errc::truncated_packet},
    {"session present without a session", "\x20\x03\x01\x00\x00"sv, errc::session_present_after_clean_start},
};

TEST_CASE("Each invalid answer to CONNECT has its error, and the client can be used again") {
    for (const bad_connack& row : bad_connacks) {
        INFO(row.name);
        scripted_broker_fixture w;
        const auto a = connects(w.client, {.version = row.version, .client_id = "c"});
        const auto m = receives(w.client);
        w.server.expect<tern::connect>();
        if (!row.bytes.empty()) w.server.send_bytes(std::string(row.bytes));
        if (row.error == errc::none) {
            w.server.close();
            CHECK(wait(w.io, a) == violation(errc::closed_before_connack));
        } else {
            CHECK(wait(w.io, a) == violation(row.error));
            CHECK(w.server.sees_end());
        }
        CHECK(m.error() == a.error());
        works(w);
    }
}

TEST_CASE("A CONNACK that claims a huge size times out or exceeds Maximum Packet Size") {
    scripted_broker_fixture w;
    connect_options options{.client_id = "c", .connack_timeout = 50ms};
    errc expected = errc::connack_timeout;
    SECTION("without a limit the client waits for the packet") {
        options.maximum_packet_size = packet_size_max;
    }
    SECTION("with a limit the client refuses the packet") {
        options.properties.maximum_packet_size = 1000;
        expected = errc::packet_too_large;
    }
    const auto a = connects(w.client, options);
    w.server.expect<tern::connect>();
    w.server.send_bytes("\x20\xFF\xFF\xFF\x7F");
    CHECK(wait(w.io, a) == violation(expected));
    works(w);
}

TEST_CASE("A refused CONNACK completes with the refusal and the packet") {
    SECTION("3.1.1: its five return codes") {
        constexpr std::array refusals{reason_code::unsupported_protocol_version,
                                      reason_code::client_identifier_not_valid, reason_code::server_unavailable,
                                      reason_code::bad_user_name_or_password, reason_code::not_authorized};
        for (std::size_t i = 0; i != refusals.size(); ++i) {
            scripted_broker_fixture w;
            const auto a = connects(w.client, {.version = v3_1_1, .client_id = "c"});
            w.server.expect<tern::connect>();
            w.server.send_bytes({'\x20', '\x02', '\0', static_cast<char>(i + 1)});
            CHECK(wait(w.io, a) == refusals[i]);
            CHECK(a.error().category() == refusal_category());
            CHECK(a.result().reason_code == refusals[i]);
            works(w);
        }
    }
    SECTION("5.0") {
        for (const reason_code refusal :
             {reason_code::unspecified_error, reason_code::bad_user_name_or_password, reason_code::not_authorized,
              reason_code::server_busy, reason_code::banned, reason_code::use_another_server}) {
            scripted_broker_fixture w;
            const auto a = connects(w.client);
            w.server.expect<tern::connect>();
            w.server.send(connack{.reason_code = refusal, .properties = {.reason_string = "no"}});
            CHECK(wait(w.io, a) == refusal);
            CHECK(a.result().reason_code == refusal);
            CHECK(a.result().properties.reason_string == "no");
            works(w);
        }
    }
    SECTION("5.0, by a broker that supports only 3.1.1") {
        scripted_broker_fixture w;
        const auto a = connects(w.client);
        w.server.expect<tern::connect>();
        w.server.send_bytes(std::string("\x20\x02\x00\x01"sv));
        CHECK(wait(w.io, a) == reason_code::unsupported_protocol_version);
        works(w);
    }
}

TEST_CASE("A wrong password is refused, the right one is accepted") {
    const auto version = GENERATE(v3_1_1, v5);
    const auto refusal = GENERATE(reason_code::bad_user_name_or_password, reason_code::not_authorized);
    broker_fixture w(
        {.on_connect = [&](const tern::connect& c) { return c.password == "right" ? reason_code::success : refusal; }});
    const connect_options right{.version = version, .client_id = "c", .user_name = "user", .password = "right"};
    connect_options wrong = right;
    wrong.password = "wrong";
    const auto a = connects(w.client, wrong);
    CHECK(wait(w.io, a) == refusal);
    CHECK(a.result().reason_code == refusal);
    works(w.io, w.client, right);
    CHECK(w.server.violations().empty());
}

TEST_CASE("A connect that takes too long times out") {
    scripted_broker_fixture w;
    const auto a = connects(
        w.client, {.client_id = "c", .resolve_timeout = 10ms, .connect_timeout = 20ms, .connack_timeout = 30ms});
    CHECK(wait(w.io, a) == violation(errc::connack_timeout));
    // The transport applies these.
    CHECK(w.counts->timeouts == open_timeouts{.resolve = 10ms, .connect = 20ms, .tls = 10s, .upgrade = 10s});
    works(w);
}

TEST_CASE("A disconnect while connecting stops the attempt") {
    scripted_broker_fixture w;
    w.counts->opening_hangs = GENERATE(false, true);
    const bool at_once = GENERATE(false, true);
    const auto a = connects(w.client);
    if (!at_once) settle(w.io);
    const auto b = disconnects(w.client);
    CHECK(wait(w.io, b) == std::error_code{});
    CHECK(a.error() == misuse(errc::disconnected));
    w.counts->opening_hangs = false;
    works(w);
}

TEST_CASE("A client that is connected or connecting cannot connect") {
    scripted_broker_fixture w;
    const auto first = connects(w.client);
    CHECK(wait(w.io, connects(w.client)) == misuse(errc::already_connected));
    w.server.expect<tern::connect>();
    w.server.send(connack{});
    CHECK(wait(w.io, first) == std::error_code{});
    CHECK(wait(w.io, connects(w.client)) == misuse(errc::already_connected));
    CHECK(w.client.is_connected());
    CHECK(wait(w.io, disconnects(w.client)) == std::error_code{});
    works(w);
}

TEST_CASE("Requests without a connection are refused") {
    broker_fixture w;
    const auto check = [&] {
        CHECK(wait(w.io, subscribes(w.client, {.filter = "t"})) == misuse(errc::not_connected));
        CHECK(wait(w.io, unsubscribes(w.client, "t")) == misuse(errc::not_connected));
        CHECK(wait(w.io, receives(w.client)) == misuse(errc::not_connected));
        CHECK(wait(w.io, pings(w.client)) == misuse(errc::not_connected));
        CHECK_FALSE(w.client.try_receive());
    };
    check();
    works(w.io, w.client);
    for (int i = 0; i != 2; ++i) {
        check();
        CHECK(wait(w.io, publishes(w.client, {.topic = "t"})) == misuse(errc::not_connected));
        CHECK(w.client.try_publish({.topic = "t"}) == misuse(errc::not_connected));
        CHECK(wait(w.io, disconnects(w.client)) == std::error_code{}); // no connection exists
        CHECK(wait(w.io, drains(w.client)) == std::error_code{});
    }
    works(w.io, w.client);
}

// ---- while connected

struct bad_packet {
    std::string_view name;
    std::string_view bytes;
    errc error; ///< `none`: the connection ends without an error of Tern
};

constexpr bad_packet bad_packets[] = {
    {"nothing", ""sv, errc::none},
    {"half a packet", "\x30\x10\x00\x01t"sv, errc::none},
    {"half a length", "\x30\xFF"sv, errc::none},
    {"garbage", "garbage!"sv, errc::invalid_flags},
    {"PUBLISH with QoS 3", "\x36\x06\x00\x01t\x00\x01\x00"sv, errc::invalid_qos},
    {"PUBLISH with a wildcard", "\x30\x04\x00\x01#\x00"sv, errc::invalid_topic_name},
    {"PUBLISH whose topic is longer than the packet", "\x30\x04\xFF\xFFt\x00"sv, errc::truncated_packet},
    {"PUBLISH without a topic", "\x30\x03\x00\x00\x00"sv, errc::empty_topic},
    {"packet of 256 MB", "\x30\xFF\xFF\xFF\x7F"sv, errc::packet_too_large},
    {"packet above the limit", "\x30\xE9\x07"sv, errc::packet_too_large},
    {"second CONNACK", "\x20\x03\x00\x00\x00"sv, errc::unexpected_packet},
    {"CONNECT", "\x10\x0D\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00"sv, errc::unexpected_packet},
    {"PINGREQ", "\xC0\x00"sv, errc::unexpected_packet},
    {"PUBREC for SUBSCRIBE", "\x50\x02\x00\x01"sv, errc::unexpected_acknowledgement},
    {"SUBACK without reason codes", "\x90\x03\x00\x01\x00"sv, errc::reason_count_mismatch},
    {"SUBACK with too many", "\x90\x05\x00\x01\x00\x00\x00"sv, errc::reason_count_mismatch},
};

TEST_CASE("Each packet that the broker may not send has its error, and the client can be used again") {
    for (const bad_packet& row : bad_packets) {
        INFO(row.name);
        scripted_broker_fixture w;
        w.server.connected(w.client, {.client_id = "c", .properties = {.maximum_packet_size = 1000}});
        const auto s = subscribes(w.client, {.filter = "t"});
        CHECK(w.server.expect<tern::subscribe>().packet_id == 1);
        const auto m = receives(w.client);
        if (!row.bytes.empty()) w.server.send_bytes(std::string(row.bytes));
        if (row.error == errc::none) {
            w.server.close();
            CHECK(wait(w.io, m) == asio::error::eof);
        } else {
            CHECK(wait(w.io, m) == violation(row.error));
            CHECK(w.server.expect<disconnect>().reason_code == answer_to(row.error));
            CHECK(w.server.sees_end());
        }
        CHECK(s.error() == (row.error == errc::none ? errc::disconnected : row.error));
        works(w);
    }
}

TEST_CASE("A refused request completes with the refusal and the answer") {
    scripted_broker_fixture w;
    w.server.connected(w.client);
    const auto a = publishes(w.client, {.topic = "t", .qos = qos::at_least_once});
    w.server.send(puback{.packet_id = w.server.expect<publish>().packet_id,
                         .reason_code = reason_code::quota_exceeded,
                         .properties = {.reason_string = "full"}});
    CHECK(wait(w.io, a) == reason_code::quota_exceeded);
    CHECK(a.result().reason_code == reason_code::quota_exceeded);
    CHECK(a.result().properties.reason_string == "full");

    const auto b = publishes(w.client, {.topic = "t", .qos = qos::exactly_once});
    w.server.send(
        pubrec{.packet_id = w.server.expect<publish>().packet_id, .reason_code = reason_code::not_authorized});
    CHECK(wait(w.io, b) == reason_code::not_authorized);

    answer<acknowledgement> c;
    const std::array several{subscription{.filter = "a"}, subscription{.filter = "b"}, subscription{.filter = "c"}};
    w.client.async_subscribe(several, c.handler());
    const std::array codes{reason_code::granted_qos_1, reason_code::not_authorized, reason_code::quota_exceeded};
    w.server.send(suback{.packet_id = w.server.expect<tern::subscribe>().packet_id, .reason_codes = codes});
    CHECK(wait(w.io, c) == reason_code::not_authorized);
    CHECK(c.result().reason_codes == reason_codes_view(codes));

    const auto d = unsubscribes(w.client, "a");
    const std::array unknown{reason_code::no_subscription_existed};
    w.server.send(unsuback{.packet_id = w.server.expect<tern::unsubscribe>().packet_id, .reason_codes = unknown});
    CHECK(wait(w.io, d) == std::error_code{});
    CHECK(d.result().reason_code == reason_code::no_subscription_existed);
    CHECK(w.client.is_connected());
}

// ---- arguments

const std::string too_long(65'536, 'x');

TEST_CASE("Options that the standard forbids are refused before anything is sent") {
    struct row {
        connect_options options;
        errc error;
    };
    const message_view good_will{.topic = "w"};
    const row rows[] = {
        {{.host = "mqtt://localhost", .client_id = "c"}, errc::host_is_url},
        {{.client_id = "c", .keep_alive = -1s}, errc::invalid_keep_alive},
        {{.client_id = "c", .keep_alive = 65'536s}, errc::invalid_keep_alive},
        {{.client_id = "c", .reconnect = {.first_delay = 0ms}}, errc::invalid_reconnect_delay},
        {{.client_id = "c", .reconnect = {.longest_delay = -1ms}}, errc::invalid_reconnect_delay},
        {{.client_id = "c", .reconnect = {.classify = nullptr}}, errc::missing_classify},
        {{.client_id = "c", .resolve_timeout = -1ms}, errc::invalid_resolve_timeout},
        {{.client_id = "c", .connect_timeout = -1ms}, errc::invalid_connect_timeout},
        {{.client_id = "c", .connack_timeout = 10'000h}, errc::invalid_connack_timeout},
        {{.client_id = "c", .ack_timeout = -1ms}, errc::invalid_ack_timeout},
        {{.client_id = "c", .max_in_flight = 0}, errc::invalid_max_in_flight},
        {{.client_id = "c", .inbox_limit = 0}, errc::invalid_inbox_limit},
        {{.client_id = "c", .inbox_bytes = 0}, errc::invalid_inbox_bytes},
        {{.client_id = "c", .properties = {.receive_maximum = 0}}, errc::invalid_property_value},
        {{.client_id = "c", .properties = {.maximum_packet_size = 0}}, errc::invalid_property_value},
        {{.client_id = "c", .will = good_will, .will_delay_interval = -1s}, errc::invalid_property_value},
        {{.client_id = "c", .properties = {.session_expiry_interval = -1s}}, errc::invalid_property_value},
        {{.client_id = "c", .properties = {.session_expiry_interval = session_never_expires + 1s}},
         errc::invalid_property_value},
        {{.client_id = too_long}, errc::string_too_long},
        {{.client_id = "\xFF"}, errc::malformed_utf8},
        {{.client_id = "\0"sv}, errc::null_character},
        {{.client_id = "c", .user_name = too_long}, errc::string_too_long},
        {{.client_id = "c", .user_name = "u", .password = too_long}, errc::string_too_long},
        {{.client_id = "c", .will = message_view{.topic = ""}}, errc::empty_will_topic},
        {{.client_id = "c", .will = message_view{.topic = "#"}}, errc::invalid_topic_name},
        {{.client_id = "c", .will = message_view{.topic = "w", .payload = too_long}}, errc::string_too_long},
        {{.client_id = "c", .will = message_view{.topic = "w", .qos = static_cast<qos>(3)}}, errc::invalid_will_flags},
        {{.version = v3_1_1, .client_id = "", .clean_start = false}, errc::empty_client_id},
        {{.version = v3_1_1, .client_id = "c", .password = "p"}, errc::password_without_user_name},
        {{.version = v3_1_1, .client_id = "c", .properties = {.receive_maximum = 1}}, errc::requires_v5},
        {{.version = v3_1_1, .client_id = "c", .will = good_will, .will_delay_interval = std::chrono::seconds{1}},
         errc::requires_v5},
    };
    scripted_broker_fixture w;
    for (const row& each : rows) {
        INFO("row " << &each - rows);
        CHECK(wait(w.io, connects(w.client, each.options)) == misuse(each.error));
    }
    CHECK(w.counts->opens == 0);
    works(w);
}

TEST_CASE("Requests that the standard or the broker forbids are refused before anything is sent") {
    scripted_broker_fixture w;
    w.server.connected(w.client, {.client_id = "c"},
                       {.properties = {.maximum_qos = qos::at_least_once,
                                       .retain_available = false,
                                       .maximum_packet_size = 100'000,
                                       .topic_alias_maximum = 2,
                                       .wildcard_subscription_available = false,
                                       .subscription_identifier_available = false,
                                       .shared_subscription_available = false}});
    const int writes = w.counts->writes;
    const std::string huge(100'000, 'x');
    const std::uint32_t identifiers[] = {1};

    struct publish_row {
        message_view message;
        errc error;
    };
    const publish_row messages[] = {
        {{.topic = ""}, errc::empty_topic},
        {{.topic = "a/+"}, errc::invalid_topic_name},
        {{.topic = "#"}, errc::invalid_topic_name},
        {{.topic = too_long}, errc::string_too_long},
        {{.topic = "\xC0\x80"}, errc::malformed_utf8},
        {{.topic = "a\0"sv}, errc::null_character},
        {{.topic = "t", .qos = static_cast<qos>(3)}, errc::invalid_qos},
        {{.topic = "t", .qos = qos::exactly_once}, errc::qos_not_supported},
        {{.topic = "t", .retain = true}, errc::retain_not_supported},
        {{.topic = "t", .payload = huge}, errc::packet_too_large},
        {{.topic = "t", .properties = {.topic_alias = 3}}, errc::invalid_topic_alias},
        {{.topic = "t", .properties = {.message_expiry_interval = -1s}}, errc::invalid_property_value},
        {{.topic = "t", .properties = {.message_expiry_interval = std::chrono::seconds::max()}},
         errc::invalid_property_value},
        {{.topic = "t", .properties = {.response_topic = "+"}}, errc::invalid_response_topic},
        {{.topic = "t", .properties = {.subscription_identifiers = identifiers}}, errc::property_not_allowed},
    };
    for (const publish_row& each : messages) {
        INFO("message " << &each - messages);
        CHECK(wait(w.io, publishes(w.client, each.message)) == misuse(each.error));
        CHECK(w.client.try_publish(each.message) == misuse(each.error));
    }

    struct subscribe_row {
        subscription one;
        errc error;
    };
    const subscribe_row subscriptions[] = {
        {{.filter = ""}, errc::empty_topic},
        {{.filter = "a#"}, errc::invalid_topic_filter},
        {{.filter = too_long}, errc::string_too_long},
        {{.filter = "\xFF"}, errc::malformed_utf8},
        {{.filter = "t", .max_qos = static_cast<qos>(3)}, errc::invalid_subscription_qos},
        {{.filter = "a/#"}, errc::wildcard_subscriptions_not_supported},
        {{.filter = "$share/g/t"}, errc::shared_subscriptions_not_supported},
    };
    for (const subscribe_row& each : subscriptions) {
        INFO("subscription " << &each - subscriptions);
        const auto a = subscribes(w.client, each.one);
        wait(w.io, a);
        if (each.error == errc::invalid_topic_filter)
            CHECK((a.error() == each.error || a.error() == errc::wildcard_subscriptions_not_supported));
        else
            CHECK(a.error() == misuse(each.error));
    }
    answer<acknowledgement> none;
    w.client.async_subscribe(std::span<const subscription>{}, none.handler());
    CHECK(wait(w.io, none) == misuse(errc::empty_subscription_list));
    answer<acknowledgement> identified;
    const std::array one{subscription{.filter = "t"}};
    w.client.async_subscribe(one, subscribe_options{.properties = {.subscription_identifier = 1}},
                             identified.handler());
    CHECK(wait(w.io, identified) == misuse(errc::subscription_identifiers_not_supported));

    CHECK(wait(w.io, unsubscribes(w.client, "")) == misuse(errc::empty_topic));
    CHECK(wait(w.io, unsubscribes(w.client, "#/a")) == misuse(errc::invalid_topic_filter));
    CHECK(wait(w.io, unsubscribes(w.client, too_long)) == misuse(errc::string_too_long));
    answer<acknowledgement> no_filter;
    w.client.async_unsubscribe(std::span<const std::string_view>{}, no_filter.handler());
    CHECK(wait(w.io, no_filter) == misuse(errc::empty_subscription_list));

    CHECK(wait(w.io, disconnects(w.client, {.properties = {.server_reference = "other"}})) ==
          misuse(errc::property_not_allowed));
    CHECK(wait(w.io, disconnects(w.client, {.properties = {.session_expiry_interval = std::chrono::seconds{1}}})) ==
          misuse(errc::invalid_property_value));
    CHECK(wait(w.io, disconnects(w.client, {.reason_code = static_cast<reason_code>(0x01)})) ==
          misuse(errc::invalid_reason_code));

    CHECK(w.counts->writes == writes);
    CHECK(w.client.is_connected());
    CHECK(wait(w.io, disconnects(w.client)) == std::error_code{});
    works(w);
}

TEST_CASE("Options and requests that 3.1.1 cannot express are refused") {
    scripted_broker_fixture w;
    w.server.connected(w.client, {.version = v3_1_1, .client_id = "c"});
    CHECK(wait(w.io, publishes(w.client, {.topic = "t", .properties = {.content_type = "x"}})) ==
          misuse(errc::requires_v5));
    CHECK(wait(w.io, subscribes(w.client, {.filter = "t", .no_local = true})) == misuse(errc::requires_v5));
    CHECK(wait(w.io, disconnects(w.client, {.reason_code = reason_code::disconnect_with_will_message})) ==
          misuse(errc::invalid_reason_code));
    CHECK(wait(w.io, publishes(w.client, {.topic = "t"})) == std::error_code{});
}

TEST_CASE("The largest values that are allowed are sent") {
    broker_fixture w;
    w.connect({.client_id = std::string_view(too_long).substr(1)});
    const std::string_view topic = std::string_view(too_long).substr(1);
    w.subscribe(topic);
    const std::string payload(3'000'000, 'p');
    CHECK(wait(w.io, publishes(w.client, {.topic = topic, .payload = payload, .qos = qos::at_least_once})) ==
          std::error_code{});
    const auto m = receives(w.client);
    CHECK(wait(w.io, m) == std::error_code{});
    CHECK(m.result().topic == topic);
    CHECK((m.result().payload == payload));
    CHECK(w.server.violations().empty());
}

} // namespace
