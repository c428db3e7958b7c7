// Packets that the encoder refuses before it writes a byte.
#include "catch.hpp"
#include "codec_test.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <vector>

namespace {

using namespace codec_test;

constexpr auto v3 = protocol_version::v3_1_1;
constexpr auto v5 = protocol_version::v5;

// Returns the error. Checks that an error leaves the buffer unchanged and that measuring alone returns the
// same.
template <class Packet>
errc refusal(const Packet& p, protocol_version version = v5) {
    static std::vector<char> buffer(200'000);
    std::fill(buffer.begin(), buffer.end(), '\x5A');
    const errc error = encode(p, version, buffer).error();
    CHECK(encoded_size(p, version).error() == error);
    const bool is_unchanged = std::all_of(buffer.begin(), buffer.end(), [](char c) { return c == '\x5A'; });
    CHECK((error == errc::none || is_unchanged));
    return error;
}

const std::string longest(65'535, 'x');
const std::string too_long(65'536, 'x');

publish with(const message_properties& properties) {
    return {.message = {.topic = "t", .properties = properties}};
}

} // namespace

TEST_CASE("strings and binary data of 65,535 bytes are encoded, longer ones refused (CVE-2025-10543)") {
    const auto check = [](auto make, protocol_version version) {
        CHECK(refusal(make(std::string_view(longest)), version) == errc::none);
        CHECK(refusal(make(std::string_view(too_long)), version) == errc::string_too_long);
    };
    for (const auto version : {v3, v5}) {
        using view = std::string_view;
        CAPTURE(static_cast<int>(version));
        check([&](view s) { return connect{.version = version, .client_id = s}; }, version);
        check([&](view s) { return connect{.version = version, .user_name = s}; }, version);
        check([&](view s) { return connect{.version = version, .user_name = "u", .password = s}; }, version);
        check([&](view s) { return connect{.version = version, .will = message_view{.topic = s}}; }, version);
        check([&](view s) { return connect{.version = version, .will = message_view{.topic = "w", .payload = s}}; },
              version);
        check([&](view s) { return publish{.message = {.topic = s}}; }, version);
        const auto subscribed = [](view s) {
            static subscription one[1];
            one[0] = {.filter = s};
            return subscribe{.packet_id = 1, .subscriptions = one};
        };
        check(subscribed, version);
        const auto unsubscribed = [](view s) {
            static view one[1];
            one[0] = s;
            return unsubscribe{.packet_id = 1, .filters = one};
        };
        check(unsubscribed, version);
    }
    check([](std::string_view s) { return with({.response_topic = s}); }, v5);
    check([](std::string_view s) { return with({.correlation_data = s}); }, v5);
    check([](std::string_view s) { return with({.content_type = s}); }, v5);
    check([](std::string_view s) { return puback{.packet_id = 1, .properties = {.reason_string = s}}; }, v5);
    check([](std::string_view s) { return disconnect{.properties = {.server_reference = s}}; }, v5);
    check([](std::string_view s) { return auth{.properties = {.authentication_method = s}}; }, v5);
    check(
        [](std::string_view s) { return auth{.properties = {.authentication_method = "m", .authentication_data = s}}; },
        v5);
    static user_property pair[1];
    check(
        [](std::string_view s) {
            pair[0] = {s, ""};
            return with({.user_properties = pair});
        },
        v5);
    check(
        [](std::string_view s) {
            pair[0] = {"", s};
            return with({.user_properties = pair});
        },
        v5);
}

TEST_CASE("malformed UTF-8 and U+0000 are refused in every string [v311:MQTT-1.5.3-1, v311:MQTT-1.5.3-2, "
          "v5:MQTT-1.5.4-1, v5:MQTT-1.5.4-2, v5:MQTT-1.5.7-1]") {
    struct sample {
        std::string_view text;
        errc error;
    };
    using namespace std::string_view_literals;
    const sample samples[] = {{"\0"sv, errc::null_character},        {"a\0b"sv, errc::null_character},
                              {"\xFF"sv, errc::malformed_utf8},      {"\xED\xA0\x80"sv, errc::malformed_utf8},
                              {"\xC0\x80"sv, errc::malformed_utf8},  {"\xF4\x90\x80\x80"sv, errc::malformed_utf8},
                              {"ab\xE2\x82"sv, errc::malformed_utf8}};
    for (const auto& [text, error] : samples) {
        for (const auto version : {v3, v5}) {
            CHECK(refusal(connect{.version = version, .client_id = text}) == error);
            CHECK(refusal(connect{.version = version, .user_name = text}) == error);
            CHECK(refusal(connect{.version = version, .will = message_view{.topic = text}}) == error);
            CHECK(refusal(publish{.message = {.topic = text}}, version) == error);
            const subscription one[] = {{.filter = "good"}, {.filter = text}};
            CHECK(refusal(subscribe{.packet_id = 1, .subscriptions = one}, version) == error);
            const std::string_view filters[] = {"good", text};
            CHECK(refusal(unsubscribe{.packet_id = 1, .filters = filters}, version) == error);
        }
        CHECK(refusal(with({.response_topic = text})) == error);
        CHECK(refusal(with({.content_type = text})) == error);
        const user_property key[] = {{"good", "good"}, {text, "v"}};
        const user_property value[] = {{"good", "good"}, {"k", text}};
        CHECK(refusal(with({.user_properties = key})) == error);
        CHECK(refusal(with({.user_properties = value})) == error);
        CHECK(refusal(connect{.properties = {.authentication_method = text}}) == error);
        CHECK(refusal(connect{.properties = {.user_properties = key}}) == error);
        CHECK(refusal(connect{.will = message_view{.topic = "w", .properties = {.content_type = text}}}) == error);
        CHECK(refusal(connack{.properties = {.assigned_client_identifier = text}}) == error);
        CHECK(refusal(connack{.properties = {.response_information = text}}) == error);
        CHECK(refusal(suback{.packet_id = 1,
                             .reason_codes = std::array{reason_code::success},
                             .properties = {.reason_string = text}}) == error);
        CHECK(refusal(pubrel{.packet_id = 1, .properties = {.user_properties = value}}) == error);
        CHECK(refusal(disconnect{.properties = {.reason_string = text}}) == error);
        // Passwords, payloads and binary data are bytes, not strings.
        CHECK(refusal(connect{.password = text}) == errc::none);
        CHECK(refusal(connect{.will = message_view{.topic = "w", .payload = text}}) == errc::none);
        CHECK(refusal(publish{.message = {.topic = "t", .payload = text}}) == errc::none);
        CHECK(refusal(with({.correlation_data = text})) == errc::none);
    }
}

TEST_CASE("a CONNECT that the standard forbids is refused") {
    const message_view will{.topic = "w"};
    CHECK(refusal(connect{.version = static_cast<protocol_version>(3)}) == errc::unsupported_protocol_version);
    CHECK(refusal(connect{.version = v3, .password = "p"}) == errc::password_without_user_name);
    CHECK(refusal(connect{.version = v5, .password = "p"}) == errc::none);
    CHECK(refusal(connect{.version = v3, .clean_start = false}) == errc::empty_client_id);
    CHECK(refusal(connect{.version = v5, .clean_start = false}) == errc::none);
    CHECK(refusal(connect{.will = message_view{}}) == errc::empty_will_topic);
    CHECK(refusal(connect{.will = message_view{.topic = "a/#"}}) == errc::invalid_topic_name);
    CHECK(refusal(connect{.will = message_view{.topic = "w", .qos = static_cast<qos>(3)}}) == errc::invalid_will_flags);
    CHECK(refusal(connect{.will = message_view{.topic = "w", .qos = static_cast<qos>(4)}}) == errc::invalid_will_flags);
    CHECK(refusal(connect{.will_delay_interval = std::chrono::seconds{1}}) == errc::invalid_will_flags);
    CHECK(refusal(connect{.version = v3, .will = will, .will_delay_interval = std::chrono::seconds{1}}) ==
          errc::requires_v5);
    CHECK(refusal(connect{.will = message_view{.topic = "w", .properties = {.topic_alias = std::uint16_t{1}}}}) ==
          errc::property_not_allowed);
    const std::uint32_t identifiers[] = {1};
    CHECK(
        refusal(connect{.will = message_view{.topic = "w", .properties = {.subscription_identifiers = identifiers}}}) ==
        errc::property_not_allowed);
    CHECK(refusal(connect{.will = message_view{.topic = "w", .properties = {.response_topic = "a/+"}}}) ==
          errc::invalid_response_topic);
    CHECK(refusal(connect{.will = message_view{.topic = "w", .properties = {.response_topic = ""}}}) ==
          errc::invalid_response_topic);
    CHECK(refusal(connect{.version = v3, .will = message_view{.topic = "w", .properties = {.content_type = "c"}}}) ==
          errc::requires_v5);
    CHECK(refusal(connect{.version = v3, .properties = {.session_expiry_interval = std::chrono::seconds{0}}}) ==
          errc::requires_v5);
    CHECK(refusal(connect{.properties = {.receive_maximum = std::uint16_t{0}}}) == errc::invalid_property_value);
    CHECK(refusal(connect{.properties = {.maximum_packet_size = 0}}) == errc::invalid_property_value);
    CHECK(refusal(connect{.properties = {.authentication_data = "d"}}) == errc::authentication_data_without_method);
    CHECK(refusal(connect{.will = message_view{.topic = "w",
                                               .payload = "\xFF",
                                               .properties = {.payload_format_indicator = payload_format::utf8}}}) ==
          errc::payload_format_invalid);
}

TEST_CASE("a CONNACK that the standard forbids is refused") {
    for (const auto version : {v3, v5})
        CHECK(refusal(connack{.session_present = true, .reason_code = reason_code::not_authorized}, version) ==
              errc::session_present_on_refusal);
    CHECK(refusal(connack{.reason_code = reason_code::banned}, v3) == errc::invalid_reason_code);
    CHECK(refusal(connack{.reason_code = reason_code::granted_qos_1}) == errc::invalid_reason_code);
    CHECK(refusal(connack{.properties = {.receive_maximum = std::uint16_t{1}}}, v3) == errc::requires_v5);
    CHECK(refusal(connack{.properties = {.receive_maximum = std::uint16_t{0}}}) == errc::invalid_property_value);
    CHECK(refusal(connack{.properties = {.maximum_packet_size = 0}}) == errc::invalid_property_value);
    CHECK(refusal(connack{.properties = {.maximum_qos = qos::exactly_once}}) == errc::invalid_property_value);
    CHECK(refusal(connack{.properties = {.authentication_data = "d"}}) == errc::authentication_data_without_method);
}

TEST_CASE("a PUBLISH that the standard forbids is refused") {
    for (const auto version : {v3, v5}) {
        CAPTURE(static_cast<int>(version));
        const auto refused = [&](const publish& p) { return refusal(p, version); };
        CHECK(refused({}) == errc::empty_topic);
        CHECK(refused({.message = {.topic = "a/+"}}) == errc::invalid_topic_name);
        CHECK(refused({.message = {.topic = "#"}}) == errc::invalid_topic_name);
        CHECK(refused({.message = {.topic = "t", .qos = static_cast<qos>(3)}, .packet_id = 1}) == errc::invalid_qos);
        CHECK(refused({.message = {.topic = "t", .qos = static_cast<qos>(255)}, .packet_id = 1}) == errc::invalid_qos);
        CHECK(refused({.message = {.topic = "t"}, .dup = true}) == errc::dup_at_most_once); // [MQTT-3.3.1-2]
        CHECK(refused({.message = {.topic = "t"}, .packet_id = 1}) == errc::packet_id_at_most_once);
        CHECK(refused({.message = {.topic = "t", .qos = qos::at_least_once}}) == errc::zero_packet_id);
        CHECK(refused({.message = {.topic = "t", .qos = qos::exactly_once}}) == errc::zero_packet_id);
    }
    CHECK(refusal(publish{.message = {.properties = {.topic_alias = std::uint16_t{1}}}}, v5) == errc::none);
    CHECK(refusal(publish{.message = {.properties = {.topic_alias = std::uint16_t{1}}}}, v3) == errc::empty_topic);
    const user_property pair[] = {{"", ""}};
    CHECK(refusal(with({.user_properties = pair}), v5) == errc::none);
    CHECK(refusal(with({.user_properties = pair}), v3) == errc::requires_v5);
    CHECK(refusal(with({.payload_format_indicator = payload_format::unspecified}), v3) == errc::requires_v5);
    CHECK(refusal(with({.payload_format_indicator = static_cast<payload_format>(2)})) == errc::invalid_property_value);
    CHECK(refusal(with({.topic_alias = std::uint16_t{0}})) == errc::invalid_topic_alias); // [MQTT-3.3.2-8]
    CHECK(refusal(with({.response_topic = "a/#"})) == errc::invalid_response_topic);      // [MQTT-3.3.2-14]
    CHECK(refusal(with({.response_topic = ""})) == errc::invalid_response_topic);
    for (const std::uint32_t identifier : {0U, 268'435'456U, 0xFFFF'FFFFU}) {
        const std::uint32_t identifiers[] = {1, identifier};
        CHECK(refusal(with({.subscription_identifiers = identifiers})) == errc::invalid_property_value);
    }
}

TEST_CASE("an interval that its field of the packet cannot hold is refused [§1.5.3, §3.1.2.10]") {
    using std::chrono::seconds;
    const seconds most = session_never_expires;
    for (const seconds wrong : {seconds{-1}, seconds::min(), most + seconds{1}, seconds::max()}) {
        CAPTURE(wrong.count());
        CHECK(refusal(with({.message_expiry_interval = wrong})) == errc::invalid_property_value);
        CHECK(refusal(connect{.properties = {.session_expiry_interval = wrong}}) == errc::invalid_property_value);
        CHECK(refusal(connect{.will = message_view{.topic = "w"}, .will_delay_interval = wrong}) ==
              errc::invalid_property_value);
        CHECK(refusal(connack{.properties = {.session_expiry_interval = wrong}}) == errc::invalid_property_value);
        CHECK(refusal(connack{.properties = {.server_keep_alive = wrong}}) == errc::invalid_property_value);
        CHECK(refusal(disconnect{.properties = {.session_expiry_interval = wrong}}) == errc::invalid_property_value);
        CHECK(refusal(connect{.keep_alive = wrong}) == errc::invalid_keep_alive);
    }
    CHECK(refusal(with({.message_expiry_interval = most})) == errc::none);
    CHECK(refusal(connect{.properties = {.session_expiry_interval = most}}) == errc::none);
    CHECK(refusal(connack{.properties = {.server_keep_alive = seconds{65'535}}}) == errc::none);
    CHECK(refusal(connack{.properties = {.server_keep_alive = seconds{65'536}}}) == errc::invalid_property_value);
    CHECK(refusal(connect{.keep_alive = seconds{65'535}}) == errc::none);
    CHECK(refusal(connect{.keep_alive = seconds{65'536}}) == errc::invalid_keep_alive);
}

TEST_CASE("a payload declared UTF-8 must be UTF-8") {
    const auto send = [](std::string_view payload, payload_format format) {
        return refusal(
            publish{.message = {.topic = "t", .payload = payload, .properties = {.payload_format_indicator = format}}});
    };
    CHECK(send("\xFF", payload_format::unspecified) == errc::none);
    CHECK(send("\xFF", payload_format::utf8) == errc::payload_format_invalid);
    CHECK(send("21.5 \xC2\xB0", payload_format::utf8) == errc::none);
    CHECK(send("21.5 \xC2", payload_format::utf8) == errc::payload_format_invalid);
    CHECK(send(std::string_view("\0", 1), payload_format::utf8) ==
          errc::none); // U+0000 is forbidden in strings of MQTT, not in payloads
    CHECK(answer_to(errc::payload_format_invalid) == reason_code::payload_format_invalid);
}

TEST_CASE("an acknowledgement that the standard forbids is refused") {
    for (const auto version : {v3, v5}) {
        CHECK(refusal(puback{}, version) == errc::zero_packet_id);
        CHECK(refusal(pubrec{}, version) == errc::zero_packet_id);
        CHECK(refusal(pubrel{}, version) == errc::zero_packet_id);
        CHECK(refusal(pubcomp{}, version) == errc::zero_packet_id);
    }
    CHECK(refusal(puback{.packet_id = 1, .reason_code = reason_code::quota_exceeded}, v3) == errc::invalid_reason_code);
    CHECK(refusal(pubrec{.packet_id = 1, .reason_code = reason_code::packet_identifier_not_found}) ==
          errc::invalid_reason_code);
    CHECK(refusal(pubrel{.packet_id = 1, .reason_code = reason_code::quota_exceeded}) == errc::invalid_reason_code);
    CHECK(refusal(pubcomp{.packet_id = 1, .properties = {.reason_string = "r"}}, v3) == errc::requires_v5);
}

TEST_CASE("a SUBSCRIBE or UNSUBSCRIBE that the standard forbids is refused") {
    const auto one = [](const subscription& s, protocol_version version) {
        const subscription list[] = {s};
        return refusal(subscribe{.packet_id = 1, .subscriptions = list}, version);
    };
    const std::string_view filters[] = {"a"};
    const subscription good[] = {{.filter = "a"}};
    for (const auto version : {v3, v5}) {
        CAPTURE(static_cast<int>(version));
        CHECK(refusal(subscribe{.packet_id = 1}, version) == errc::empty_subscription_list);
        CHECK(refusal(unsubscribe{.packet_id = 1}, version) == errc::empty_subscription_list);
        CHECK(refusal(subscribe{.subscriptions = good}, version) == errc::zero_packet_id);
        CHECK(refusal(unsubscribe{.filters = filters}, version) == errc::zero_packet_id);
        const auto filter_refusal = [&](std::string_view filter) {
            CAPTURE(filter);
            const std::string_view list[] = {filter};
            const errc error = one({.filter = filter}, version);
            CHECK(refusal(unsubscribe{.packet_id = 1, .filters = list}, version) == error);
            return error;
        };
        for (const std::string_view filter : {"a+", "#/a", "a#", "+a/b"})
            CHECK(filter_refusal(filter) == errc::invalid_topic_filter);
        for (const std::string_view filter : {"$share/g", "$share//a", "$share/+/a", "$share/g/"})
            CHECK(filter_refusal(filter) == (version == v5 ? errc::invalid_topic_filter : errc::none));
        CHECK(one({.filter = ""}, version) == errc::empty_topic);
        for (const unsigned value : {3U, 4U, 7U, 64U, 255U}) // 4 would set the bit of no local
            CHECK(one({.filter = "a", .max_qos = static_cast<qos>(value)}, version) == errc::invalid_subscription_qos);
        for (const unsigned value : {3U, 4U, 16U, 255U}) // 16 would set none of the eight bits
            CHECK(one({.filter = "a", .retain_handling = static_cast<retain_handling>(value)}, version) ==
                  errc::invalid_retain_handling);
    }
    CHECK(one({.filter = "a", .no_local = true}, v3) == errc::requires_v5);
    CHECK(one({.filter = "a", .retain_as_published = true}, v3) == errc::requires_v5);
    CHECK(one({.filter = "a", .retain_handling = retain_handling::send_if_new}, v3) == errc::requires_v5);
    CHECK(one({.filter = "$share/g/a", .no_local = true}, v5) == errc::no_local_on_shared_subscription);
    CHECK(refusal(subscribe{.packet_id = 1, .subscriptions = good, .properties = {.subscription_identifier = 1}}, v3) ==
          errc::requires_v5);
    for (const std::uint32_t identifier : {0U, 268'435'456U})
        CHECK(refusal(subscribe{
                  .packet_id = 1, .subscriptions = good, .properties = {.subscription_identifier = identifier}}) ==
              errc::invalid_property_value);
    const user_property pair[] = {{"k", "v"}};
    CHECK(refusal(unsubscribe{.packet_id = 1, .filters = filters, .properties = {.user_properties = pair}}, v3) ==
          errc::requires_v5);
}

TEST_CASE("a SUBACK or UNSUBACK that the standard forbids is refused") {
    const std::array good{reason_code::success};
    const std::array bad{reason_code::success, reason_code::no_matching_subscribers};
    const std::array denied{reason_code::not_authorized};
    CHECK(refusal(suback{.reason_codes = good}) == errc::zero_packet_id);
    CHECK(refusal(unsuback{.reason_codes = good}) == errc::zero_packet_id);
    CHECK(refusal(suback{.packet_id = 1}, v3) == errc::reason_count_mismatch);
    CHECK(refusal(suback{.packet_id = 1}, v5) == errc::reason_count_mismatch);
    CHECK(refusal(unsuback{.packet_id = 1}, v5) == errc::reason_count_mismatch);
    CHECK(refusal(unsuback{.packet_id = 1, .reason_codes = good}, v3) == errc::requires_v5);
    CHECK(refusal(suback{.packet_id = 1, .reason_codes = bad}) == errc::invalid_reason_code);
    CHECK(refusal(unsuback{.packet_id = 1, .reason_codes = bad}) == errc::invalid_reason_code);
    CHECK(refusal(suback{.packet_id = 1, .reason_codes = denied}, v3) == errc::invalid_reason_code);
    CHECK(refusal(suback{.packet_id = 1, .reason_codes = good, .properties = {.reason_string = ""}}, v3) ==
          errc::requires_v5);
}

TEST_CASE("a DISCONNECT or AUTH that the standard forbids is refused") {
    CHECK(refusal(disconnect{.reason_code = reason_code::banned}) == errc::invalid_reason_code);
    CHECK(refusal(disconnect{.reason_code = reason_code::disconnect_with_will_message}, v3) ==
          errc::invalid_reason_code);
    CHECK(refusal(disconnect{.properties = {.session_expiry_interval = std::chrono::seconds{0}}}, v3) ==
          errc::requires_v5);
    CHECK(refusal(auth{}, v3) == errc::requires_v5);
    CHECK(refusal(auth{.reason_code = reason_code::unspecified_error}) == errc::invalid_reason_code);
    CHECK(refusal(auth{.reason_code = reason_code::continue_authentication}) == errc::missing_authentication_method);
    CHECK(refusal(auth{.properties = {.reason_string = "r"}}) == errc::missing_authentication_method);
    CHECK(refusal(auth{.properties = {.authentication_data = "d"}}) == errc::authentication_data_without_method);
}

TEST_CASE("the largest packet has 268,435,455 bytes after its header") {
    // Only the number of bytes is used, never the bytes.
    const auto publish_of_size = [](std::size_t size) {
        static const char byte = 0;
        return publish{.message = {.topic = "t", .payload = {&byte, size}}};
    };
    constexpr std::size_t largest_body = variable_byte_integer_max;
    CHECK(encoded_size(publish_of_size(largest_body - 3), v3).value() == packet_size_max);
    CHECK(encoded_size(publish_of_size(largest_body - 2), v3).error() == errc::packet_too_large);
    CHECK(encoded_size(publish_of_size(largest_body - 4), v5).value() == packet_size_max);
    CHECK(encoded_size(publish_of_size(largest_body - 3), v5).error() == errc::packet_too_large);

    // Properties count too. 5,000 of them share one long key.
    const std::vector<user_property> pairs(5'000, user_property{longest, ""});
    CHECK(encoded_size(with({.user_properties = pairs}), v5).error() == errc::packet_too_large);
}

TEST_CASE("a buffer that is too small by any number of bytes stays unchanged") {
    const publish p{.message = {.topic = "home/kitchen", .payload = "21.5", .qos = qos::at_least_once}, .packet_id = 7};
    const std::size_t size = encoded_size(p, v5).value();
    for (std::size_t room = 0; room <= size; ++room) {
        std::vector<char> buffer(size, '\x5A');
        const auto written = encode(p, v5, std::span(buffer).first(room));
        const bool is_unchanged = std::count(buffer.begin(), buffer.end(), '\x5A') == static_cast<long>(size);
        CHECK(written.error() == (room == size ? errc::none : errc::buffer_too_small));
        CHECK(is_unchanged == (room != size));
    }
}
