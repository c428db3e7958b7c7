// Valid packets: their bytes and their content.
//
// `both_ways`: the encoder makes the same bytes. `read_only`: the format is allowed, but longer than
// necessary.
#pragma once

#include "hex.hpp"
#include "tern/codec/packet.hpp"

#include <chrono>
#include <string_view>

namespace vectors {

using namespace tern;

inline constexpr auto v3 = protocol_version::v3_1_1;
inline constexpr auto v5 = protocol_version::v5;

enum direction : bool { read_only, both_ways };

struct good {
    std::string_view name;
    protocol_version version;
    std::string_view bytes;
    any_packet packet;
    direction ways = both_ways;
};

// The lists of the packets below.
inline constexpr user_property one_user_property[] = {{"k", "v"}};
inline constexpr user_property three_user_properties[] = {{"b", "2"}, {"a", "1"}, {"b", "2"}};
inline constexpr user_property empty_user_property[] = {{"", ""}};
inline constexpr std::uint32_t three_identifiers[] = {1, 128, 268'435'455};
inline constexpr subscription two_subscriptions[] = {{"a/b", qos::at_least_once}, {"c/d", qos::exactly_once}};
inline constexpr subscription all_options_subscription[] = {{.filter = "a/#",
                                                             .max_qos = qos::exactly_once,
                                                             .no_local = true,
                                                             .retain_as_published = true,
                                                             .retain_handling = retain_handling::do_not_send}};
inline constexpr subscription if_new_subscription[] = {
    {.filter = "+", .max_qos = qos::at_most_once, .retain_handling = retain_handling::send_if_new}};
inline constexpr subscription shared_subscription[] = {{"$share/g/#", qos::at_most_once}};
inline constexpr std::string_view one_filter[] = {"a"};
inline constexpr std::string_view two_filters[] = {"a/b", "c/d"};
inline constexpr std::string_view unusual_filters[] = {"/", "+/+", "$SYS/#"};
inline constexpr reason_code granted_all[] = {reason_code::granted_qos_0, reason_code::granted_qos_1,
                                              reason_code::granted_qos_2, reason_code::unspecified_error};
inline constexpr reason_code granted_one[] = {reason_code::granted_qos_1};
inline constexpr reason_code subscribe_failures[] = {
    reason_code::not_authorized, reason_code::topic_filter_invalid, reason_code::quota_exceeded,
    reason_code::shared_subscriptions_not_supported, reason_code::wildcard_subscriptions_not_supported};
inline constexpr reason_code unsubscribed[] = {reason_code::success, reason_code::no_subscription_existed,
                                               reason_code::not_authorized};
inline constexpr reason_code success_only[] = {reason_code::success};

inline constexpr connect full_connect_v3{
    .version = v3,
    .clean_start = false,
    .keep_alive = std::chrono::seconds{10},
    .client_id = "id",
    .will = message_view{.topic = "w", .payload = "bye", .qos = qos::at_least_once, .retain = true},
    .user_name = "u",
    .password = "p"};

constexpr connect with(const connect_properties& properties) {
    return {.properties = properties};
}
constexpr connect with_will(const message_properties& properties,
                            std::optional<std::chrono::seconds> delay = std::nullopt) {
    return {.will = message_view{.topic = "w", .properties = properties}, .will_delay_interval = delay};
}
constexpr connack with(const connack_properties& properties) {
    return {.properties = properties};
}
constexpr publish with(const message_properties& properties) {
    return {.message = {.topic = "t", .properties = properties}};
}

inline constexpr good good_vectors[] = {
    // CONNECT, 3.1.1
    {"CONNECT, all defaults", v3, "10 0C 0004 'MQTT' 04 02 0000 0000"_hex, connect{.version = v3}},
    {"CONNECT with a client id", v3, "10 0D 0004 'MQTT' 04 02 003C 0001 'c'"_hex,
     connect{.version = v3, .keep_alive = std::chrono::seconds{60}, .client_id = "c"}},
    {"[v311:MQTT-3.1.3-1] CONNECT, all fields in order", v3,
     "10 1C 0004 'MQTT' 04 EC 000A 0002 'id' 0001 'w' 0003 'bye' 0001 'u' 0001 'p'"_hex, full_connect_v3},
    {"the example of 3.1.1 figure 3.6: clean session, will QoS 1, user name, password", v3,
     "10 15 0004 'MQTT' 04 CE 000A 0000 0001 'w' 0000 0000 0000"_hex,
     connect{.version = v3,
             .keep_alive = std::chrono::seconds{10},
             .will = message_view{.topic = "w", .qos = qos::at_least_once},
             .user_name = "",
             .password = ""}},
    {"CONNECT with a user name only", v3, "10 0F 0004 'MQTT' 04 82 0000 0000 0001 'u'"_hex,
     connect{.version = v3, .user_name = "u"}},
    {"CONNECT with a will of QoS 2", v3, "10 12 0004 'MQTT' 04 16 0000 0000 0001 'w' 0001 00"_hex,
     connect{.version = v3,
             .will = message_view{.topic = "w", .payload = std::string_view("\0", 1), .qos = qos::exactly_once}}},
    {"CONNECT, longest keep alive", v3, "10 0C 0004 'MQTT' 04 02 FFFF 0000"_hex,
     connect{.version = v3, .keep_alive = std::chrono::seconds{65535}}},

    // CONNECT, 5.0
    {"CONNECT, all defaults", v5, "10 0D 0004 'MQTT' 05 02 0000 00 0000"_hex, connect{}},
    {"CONNECT without clean start and client id", v5, "10 0D 0004 'MQTT' 05 00 0000 00 0000"_hex,
     connect{.clean_start = false}},
    {"CONNECT with a password alone [5.0 §3.1.2.9]", v5, "10 10 0004 'MQTT' 05 42 0000 00 0000 0001 FF"_hex,
     connect{.password = "\xFF"}},
    {"the example of 5.0 figure 3-6: session expiry interval 10", v5,
     "10 12 0004 'MQTT' 05 02 000A 05 11 0000000A 0000"_hex,
     connect{.keep_alive = std::chrono::seconds{10},
             .properties = {.session_expiry_interval = std::chrono::seconds{10}}}},
    {"[v5:MQTT-3.1.3-1] CONNECT, all fields in order", v5,
     "10 1E 0004 'MQTT' 05 EE 000A 00 0002 'id' 00 0001 'w' 0003 'bye' 0001 'u' 0001 'p'"_hex,
     connect{.keep_alive = std::chrono::seconds{10},
             .client_id = "id",
             .will = message_view{.topic = "w", .payload = "bye", .qos = qos::at_least_once, .retain = true},
             .user_name = "u",
             .password = "p"}},
    {"CONNECT, Session Expiry Interval", v5, "10 12 0004 'MQTT' 05 02 0000 05 11 FFFFFFFF 0000"_hex,
     with(connect_properties{.session_expiry_interval = session_never_expires})},
    {"CONNECT, Receive Maximum", v5, "10 10 0004 'MQTT' 05 02 0000 03 21 0001 0000"_hex,
     with(connect_properties{.receive_maximum = std::uint16_t{1}})},
    {"CONNECT, Maximum Packet Size", v5, "10 12 0004 'MQTT' 05 02 0000 05 27 00000001 0000"_hex,
     with(connect_properties{.maximum_packet_size = 1})},
    {"CONNECT, Topic Alias Maximum", v5, "10 10 0004 'MQTT' 05 02 0000 03 22 0000 0000"_hex,
     with(connect_properties{.topic_alias_maximum = std::uint16_t{0}})},
    {"CONNECT, Request Response Information", v5, "10 0F 0004 'MQTT' 05 02 0000 02 19 01 0000"_hex,
     with(connect_properties{.request_response_information = true})},
    {"CONNECT, Request Problem Information", v5, "10 0F 0004 'MQTT' 05 02 0000 02 17 00 0000"_hex,
     with(connect_properties{.request_problem_information = false})},
    {"CONNECT, Authentication Method", v5, "10 11 0004 'MQTT' 05 02 0000 04 15 0001 'm' 0000"_hex,
     with(connect_properties{.authentication_method = "m"})},
    {"CONNECT, Authentication Data", v5, "10 15 0004 'MQTT' 05 02 0000 08 15 0001 'm' 16 0001 FF 0000"_hex,
     with(connect_properties{.authentication_method = "m", .authentication_data = "\xFF"})},
    {"CONNECT, User Property", v5, "10 14 0004 'MQTT' 05 02 0000 07 26 0001 'k' 0001 'v' 0000"_hex,
     with(connect_properties{.user_properties = one_user_property})},
    {"will, Will Delay Interval", v5, "10 18 0004 'MQTT' 05 06 0000 00 0000 05 18 00000005 0001 'w' 0000"_hex,
     with_will({}, std::chrono::seconds{5})},
    {"will, Payload Format Indicator", v5, "10 15 0004 'MQTT' 05 06 0000 00 0000 02 01 01 0001 'w' 0000"_hex,
     with_will({.payload_format_indicator = payload_format::utf8})},
    {"will, Message Expiry Interval", v5, "10 18 0004 'MQTT' 05 06 0000 00 0000 05 02 0000003C 0001 'w' 0000"_hex,
     with_will({.message_expiry_interval = std::chrono::seconds{60}})},
    {"will, Content Type", v5, "10 17 0004 'MQTT' 05 06 0000 00 0000 04 03 0001 'c' 0001 'w' 0000"_hex,
     with_will({.content_type = "c"})},
    {"will, Response Topic", v5, "10 17 0004 'MQTT' 05 06 0000 00 0000 04 08 0001 'r' 0001 'w' 0000"_hex,
     with_will({.response_topic = "r"})},
    {"will, Correlation Data", v5, "10 17 0004 'MQTT' 05 06 0000 00 0000 04 09 0001 00 0001 'w' 0000"_hex,
     with_will({.correlation_data = std::string_view("\0", 1)})},
    {"will, User Property", v5, "10 1A 0004 'MQTT' 05 06 0000 00 0000 07 26 0001 'k' 0001 'v' 0001 'w' 0000"_hex,
     with_will({.user_properties = one_user_property})},

    // CONNACK
    {"CONNACK, accepted", v3, "20 02 00 00"_hex, connack{}},
    {"CONNACK, session present", v3, "20 02 01 00"_hex, connack{.session_present = true}},
    {"CONNACK 1", v3, "20 02 00 01"_hex, connack{.reason_code = reason_code::unsupported_protocol_version}},
    {"CONNACK 2", v3, "20 02 00 02"_hex, connack{.reason_code = reason_code::client_identifier_not_valid}},
    {"CONNACK 3", v3, "20 02 00 03"_hex, connack{.reason_code = reason_code::server_unavailable}},
    {"CONNACK 4", v3, "20 02 00 04"_hex, connack{.reason_code = reason_code::bad_user_name_or_password}},
    {"CONNACK 5", v3, "20 02 00 05"_hex, connack{.reason_code = reason_code::not_authorized}},
    {"CONNACK, accepted", v5, "20 03 00 00 00"_hex, connack{}},
    {"CONNACK, session present", v5, "20 03 01 00 00"_hex, connack{.session_present = true}},
    {"CONNACK, banned", v5, "20 03 00 8A 00"_hex, connack{.reason_code = reason_code::banned}},
    {"CONNACK, Session Expiry Interval", v5, "20 08 00 00 05 11 00000000"_hex,
     with(connack_properties{.session_expiry_interval = std::chrono::seconds{0}})},
    {"CONNACK, Receive Maximum", v5, "20 06 00 00 03 21 FFFF"_hex,
     with(connack_properties{.receive_maximum = std::uint16_t{65535}})},
    {"CONNACK, Maximum QoS", v5, "20 05 00 00 02 24 01"_hex,
     with(connack_properties{.maximum_qos = qos::at_least_once})},
    {"CONNACK, Retain Available", v5, "20 05 00 00 02 25 00"_hex, with(connack_properties{.retain_available = false})},
    {"CONNACK, Maximum Packet Size", v5, "20 08 00 00 05 27 00000400"_hex,
     with(connack_properties{.maximum_packet_size = 1024})},
    {"CONNACK, Assigned Client Identifier", v5, "20 09 00 00 06 12 0003 'abc'"_hex,
     with(connack_properties{.assigned_client_identifier = "abc"})},
    {"CONNACK, Topic Alias Maximum", v5, "20 06 00 00 03 22 000A"_hex,
     with(connack_properties{.topic_alias_maximum = std::uint16_t{10}})},
    {"CONNACK, Reason String", v5, "20 07 00 87 04 1F 0001 'r'"_hex,
     connack{.reason_code = reason_code::not_authorized, .properties = {.reason_string = "r"}}},
    {"CONNACK, Wildcard Subscription Available", v5, "20 05 00 00 02 28 00"_hex,
     with(connack_properties{.wildcard_subscription_available = false})},
    {"CONNACK, Subscription Identifiers Available", v5, "20 05 00 00 02 29 01"_hex,
     with(connack_properties{.subscription_identifier_available = true})},
    {"CONNACK, Shared Subscription Available", v5, "20 05 00 00 02 2A 00"_hex,
     with(connack_properties{.shared_subscription_available = false})},
    {"CONNACK, Server Keep Alive", v5, "20 06 00 00 03 13 0000"_hex,
     with(connack_properties{.server_keep_alive = std::chrono::seconds{0}})},
    {"CONNACK, Response Information", v5, "20 07 00 00 04 1A 0001 'i'"_hex,
     with(connack_properties{.response_information = "i"})},
    {"CONNACK, Server Reference", v5, "20 07 00 9D 04 1C 0001 's'"_hex,
     connack{.reason_code = reason_code::server_moved, .properties = {.server_reference = "s"}}},
    {"CONNACK, Authentication Method", v5, "20 07 00 00 04 15 0001 'm'"_hex,
     with(connack_properties{.authentication_method = "m"})},
    {"CONNACK, Authentication Data", v5, "20 0B 00 00 08 15 0001 'm' 16 0001 'd'"_hex,
     with(connack_properties{.authentication_method = "m", .authentication_data = "d"})},
    {"CONNACK, User Property", v5, "20 0A 00 00 07 26 0001 'k' 0001 'v'"_hex,
     with(connack_properties{.user_properties = one_user_property})},
    {"CONNACK, properties in another order", v5, "20 0D 00 00 0A 26 0001 'k' 0001 'v' 21 0001"_hex,
     with(connack_properties{.receive_maximum = std::uint16_t{1}, .user_properties = one_user_property}), read_only},

    // PUBLISH
    {"PUBLISH QoS 0", v3, "30 06 0003 'a/b' '!'"_hex, publish{.message = {.topic = "a/b", .payload = "!"}}},
    {"the example of 3.1.1 figure 3.11: topic a/b, packet id 10", v3, "32 07 0003 'a/b' 000A"_hex,
     publish{.message = {.topic = "a/b", .qos = qos::at_least_once}, .packet_id = 10}},
    {"PUBLISH without payload", v3, "31 03 0001 't'"_hex, publish{.message = {.topic = "t", .retain = true}}},
    {"PUBLISH QoS 2, DUP", v3, "3C 06 0001 't' FFFF '!'"_hex,
     publish{.message = {.topic = "t", .payload = "!", .qos = qos::exactly_once}, .dup = true, .packet_id = 65535}},
    {"PUBLISH, all flags", v3, "3B 05 0001 't' 0001"_hex,
     publish{.message = {.topic = "t", .qos = qos::at_least_once, .retain = true}, .dup = true, .packet_id = 1}},
    {"the example of figure 1.1: the string A U+2A6D4", v3, "30 07 0005 'A' F0AA9B94"_hex,
     publish{.message = {.topic = "A\xF0\xAA\x9B\x94"}}},
    {"[v311:MQTT-1.5.3-3] U+FEFF is not removed", v3, "30 05 0003 EFBBBF"_hex,
     publish{.message = {.topic = "\xEF\xBB\xBF"}}},
    {"the first and last code points of each encoded length", v3,
     "30 12 0010 01 7F C280 DFBF E0A080 EFBFBF F48FBFBF"_hex,
     publish{.message = {.topic = "\x01\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF4\x8F\xBF\xBF"}}},
    {"the code points around the surrogates", v3, "30 08 0006 ED9FBF EE8080"_hex,
     publish{.message = {.topic = "\xED\x9F\xBF\xEE\x80\x80"}}},
    {"PUBLISH QoS 0", v5, "30 07 0003 'a/b' 00 '!'"_hex, publish{.message = {.topic = "a/b", .payload = "!"}}},
    {"the example of 5.0 figure 3-9: topic a/b, packet id 10, no properties", v5, "32 08 0003 'a/b' 000A 00"_hex,
     publish{.message = {.topic = "a/b", .qos = qos::at_least_once}, .packet_id = 10}},
    {"PUBLISH, Payload Format Indicator", v5, "30 06 0001 't' 02 01 00"_hex,
     with(message_properties{.payload_format_indicator = payload_format::unspecified})},
    {"PUBLISH, Message Expiry Interval", v5, "30 09 0001 't' 05 02 00000000"_hex,
     with(message_properties{.message_expiry_interval = std::chrono::seconds{0}})},
    {"PUBLISH, Topic Alias", v5, "30 07 0001 't' 03 23 0001"_hex,
     with(message_properties{.topic_alias = std::uint16_t{1}})},
    {"PUBLISH, Topic Alias instead of the topic", v5, "30 07 0000 03 23 FFFF '!'"_hex,
     publish{.message = {.payload = "!", .properties = {.topic_alias = std::uint16_t{65535}}}}},
    {"PUBLISH, Response Topic", v5, "30 08 0001 't' 04 08 0001 'r'"_hex,
     with(message_properties{.response_topic = "r"})},
    {"PUBLISH, Correlation Data", v5, "30 09 0001 't' 05 09 0002 00FF"_hex,
     with(message_properties{.correlation_data = std::string_view("\x00\xFF", 2)})},
    {"PUBLISH, Content Type", v5, "30 08 0001 't' 04 03 0001 'c'"_hex, with(message_properties{.content_type = "c"})},
    {"PUBLISH, Subscription Identifiers", v5, "30 0E 0001 't' 0A 0B 01 0B 8001 0B FFFFFF7F"_hex,
     with(message_properties{.subscription_identifiers = three_identifiers})},
    {"PUBLISH, User Properties keep their order", v5,
     "30 19 0001 't' 15 26 0001 'b' 0001 '2' 26 0001 'a' 0001 '1' 26 0001 'b' 0001 '2'"_hex,
     with(message_properties{.user_properties = three_user_properties})},
    {"PUBLISH, an empty User Property", v5, "30 09 0001 't' 05 26 0000 0000"_hex,
     with(message_properties{.user_properties = empty_user_property})},
    {"PUBLISH, lists mixed with other properties", v5,
     "30 16 0001 't' 12 0B 01 26 0000 0000 0B 8001 23 0001 0B FFFFFF7F"_hex,
     with(message_properties{.topic_alias = std::uint16_t{1},
                             .subscription_identifiers = three_identifiers,
                             .user_properties = empty_user_property}),
     read_only},

    // PUBACK, PUBREC, PUBREL, PUBCOMP
    {"PUBACK", v3, "40 02 0007"_hex, puback{.packet_id = 7}},
    {"PUBREC", v3, "50 02 0007"_hex, pubrec{.packet_id = 7}},
    {"PUBREL", v3, "62 02 0007"_hex, pubrel{.packet_id = 7}},
    {"PUBCOMP", v3, "70 02 FFFF"_hex, pubcomp{.packet_id = 65535}},
    {"PUBACK, shortest", v5, "40 02 0007"_hex, puback{.packet_id = 7}},
    {"PUBREC, shortest", v5, "50 02 0007"_hex, pubrec{.packet_id = 7}},
    {"PUBREL, shortest", v5, "62 02 0007"_hex, pubrel{.packet_id = 7}},
    {"PUBCOMP, shortest", v5, "70 02 0007"_hex, pubcomp{.packet_id = 7}},
    {"PUBACK, explicit success", v5, "40 03 0007 00"_hex, puback{.packet_id = 7}, read_only},
    {"PUBACK, explicit success and no properties", v5, "40 04 0007 00 00"_hex, puback{.packet_id = 7}, read_only},
    {"PUBREC, explicit success and no properties", v5, "50 04 0007 00 00"_hex, pubrec{.packet_id = 7}, read_only},
    {"PUBREL, explicit success", v5, "62 03 0007 00"_hex, pubrel{.packet_id = 7}, read_only},
    {"PUBCOMP, explicit success and no properties", v5, "70 04 0007 00 00"_hex, pubcomp{.packet_id = 7}, read_only},
    {"PUBACK, no matching subscribers", v5, "40 03 0007 10"_hex,
     puback{.packet_id = 7, .reason_code = reason_code::no_matching_subscribers}},
    {"PUBREC, quota exceeded", v5, "50 03 0007 97"_hex,
     pubrec{.packet_id = 7, .reason_code = reason_code::quota_exceeded}},
    {"PUBREC, quota exceeded, explicitly no properties", v5, "50 04 0007 97 00"_hex,
     pubrec{.packet_id = 7, .reason_code = reason_code::quota_exceeded}, read_only},
    {"PUBREL, not found", v5, "62 03 0007 92"_hex,
     pubrel{.packet_id = 7, .reason_code = reason_code::packet_identifier_not_found}},
    {"PUBCOMP, not found", v5, "70 03 0007 92"_hex,
     pubcomp{.packet_id = 7, .reason_code = reason_code::packet_identifier_not_found}},
    {"PUBACK, Reason String", v5, "40 08 0007 00 04 1F 0001 'r'"_hex,
     puback{.packet_id = 7, .properties = {.reason_string = "r"}}},
    {"PUBACK, User Property", v5, "40 0B 0007 00 07 26 0001 'k' 0001 'v'"_hex,
     puback{.packet_id = 7, .properties = {.user_properties = one_user_property}}},
    {"PUBREC, Reason String", v5, "50 08 0007 80 04 1F 0001 'r'"_hex,
     pubrec{.packet_id = 7, .reason_code = reason_code::unspecified_error, .properties = {.reason_string = "r"}}},
    {"PUBREC, User Property", v5, "50 0B 0007 00 07 26 0001 'k' 0001 'v'"_hex,
     pubrec{.packet_id = 7, .properties = {.user_properties = one_user_property}}},
    {"PUBREL, Reason String", v5, "62 07 0007 00 03 1F 0000"_hex,
     pubrel{.packet_id = 7, .properties = {.reason_string = ""}}},
    {"PUBREL, User Property", v5, "62 0B 0007 92 07 26 0001 'k' 0001 'v'"_hex,
     pubrel{.packet_id = 7,
            .reason_code = reason_code::packet_identifier_not_found,
            .properties = {.user_properties = one_user_property}}},
    {"PUBCOMP, Reason String", v5, "70 08 0007 00 04 1F 0001 'r'"_hex,
     pubcomp{.packet_id = 7, .properties = {.reason_string = "r"}}},
    {"PUBCOMP, User Property", v5, "70 0B 0007 00 07 26 0001 'k' 0001 'v'"_hex,
     pubcomp{.packet_id = 7, .properties = {.user_properties = one_user_property}}},

    // SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK
    {"the example of 3.1.1 figure 3.23: a/b with QoS 1, c/d with QoS 2", v3,
     "82 0E 000A 0003 'a/b' 01 0003 'c/d' 02"_hex, subscribe{.packet_id = 10, .subscriptions = two_subscriptions}},
    {"SUBSCRIBE to a filter that begins with $share/, which has no meaning in 3.1.1", v3,
     "82 0F 0001 000A '$share/g/#' 00"_hex, subscribe{.packet_id = 1, .subscriptions = shared_subscription}},
    {"the example of 5.0 figure 3-21: a/b with QoS 1, c/d with QoS 2", v5,
     "82 0F 000A 00 0003 'a/b' 01 0003 'c/d' 02"_hex, subscribe{.packet_id = 10, .subscriptions = two_subscriptions}},
    {"SUBSCRIBE, all options", v5, "82 09 0001 00 0003 'a/#' 2E"_hex,
     subscribe{.packet_id = 1, .subscriptions = all_options_subscription}},
    {"SUBSCRIBE, Retain Handling 1", v5, "82 07 0001 00 0001 '+' 10"_hex,
     subscribe{.packet_id = 1, .subscriptions = if_new_subscription}},
    {"SUBSCRIBE to a shared subscription", v5, "82 10 0001 00 000A '$share/g/#' 00"_hex,
     subscribe{.packet_id = 1, .subscriptions = shared_subscription}},
    {"SUBSCRIBE, Subscription Identifier", v5, "82 0C 0001 05 0B FFFFFF7F 0001 '+' 10"_hex,
     subscribe{
         .packet_id = 1, .subscriptions = if_new_subscription, .properties = {.subscription_identifier = 268'435'455}}},
    {"SUBSCRIBE, User Property", v5, "82 0E 0001 07 26 0001 'k' 0001 'v' 0001 '+' 10"_hex,
     subscribe{
         .packet_id = 1, .subscriptions = if_new_subscription, .properties = {.user_properties = one_user_property}}},
    {"SUBACK, all codes", v3, "90 06 000A 00 01 02 80"_hex, suback{.packet_id = 10, .reason_codes = granted_all}},
    {"SUBACK, all codes of 3.1.1", v5, "90 07 000A 00 00 01 02 80"_hex,
     suback{.packet_id = 10, .reason_codes = granted_all}},
    {"SUBACK, failures", v5, "90 08 000A 00 87 8F 97 9E A2"_hex,
     suback{.packet_id = 10, .reason_codes = subscribe_failures}},
    {"SUBACK, Reason String", v5, "90 08 000A 04 1F 0001 'r' 01"_hex,
     suback{.packet_id = 10, .reason_codes = granted_one, .properties = {.reason_string = "r"}}},
    {"SUBACK, User Property", v5, "90 0B 000A 07 26 0001 'k' 0001 'v' 01"_hex,
     suback{.packet_id = 10, .reason_codes = granted_one, .properties = {.user_properties = one_user_property}}},
    {"the example of 3.1.1 figure 3.30: a/b, c/d", v3, "A2 0C 000A 0003 'a/b' 0003 'c/d'"_hex,
     unsubscribe{.packet_id = 10, .filters = two_filters}},
    {"the example of 5.0 figure 3-30: a/b, c/d", v5, "A2 0D 000A 00 0003 'a/b' 0003 'c/d'"_hex,
     unsubscribe{.packet_id = 10, .filters = two_filters}},
    {"UNSUBSCRIBE, unusual filters", v5, "A2 13 0001 00 0001 '/' 0003 '+/+' 0006 '$SYS/#'"_hex,
     unsubscribe{.packet_id = 1, .filters = unusual_filters}},
    {"UNSUBSCRIBE, User Property", v5, "A2 0D 0001 07 26 0001 'k' 0001 'v' 0001 'a'"_hex,
     unsubscribe{.packet_id = 1, .filters = one_filter, .properties = {.user_properties = one_user_property}}},
    {"UNSUBACK", v3, "B0 02 000A"_hex, unsuback{.packet_id = 10}},
    {"UNSUBACK", v5, "B0 06 000A 00 00 11 87"_hex, unsuback{.packet_id = 10, .reason_codes = unsubscribed}},
    {"UNSUBACK, Reason String", v5, "B0 08 000A 04 1F 0001 'r' 00"_hex,
     unsuback{.packet_id = 10, .reason_codes = success_only, .properties = {.reason_string = "r"}}},
    {"UNSUBACK, User Property", v5, "B0 0B 000A 07 26 0001 'k' 0001 'v' 00"_hex,
     unsuback{.packet_id = 10, .reason_codes = success_only, .properties = {.user_properties = one_user_property}}},

    // PINGREQ, PINGRESP, DISCONNECT, AUTH
    {"PINGREQ", v3, "C0 00"_hex, pingreq{}},
    {"PINGRESP", v3, "D0 00"_hex, pingresp{}},
    {"DISCONNECT", v3, "E0 00"_hex, disconnect{}},
    {"PINGREQ", v5, "C0 00"_hex, pingreq{}},
    {"PINGRESP", v5, "D0 00"_hex, pingresp{}},
    {"DISCONNECT, shortest", v5, "E0 00"_hex, disconnect{}},
    {"DISCONNECT, explicit normal disconnection", v5, "E0 01 00"_hex, disconnect{}, read_only},
    {"DISCONNECT, explicitly no properties", v5, "E0 02 00 00"_hex, disconnect{}, read_only},
    {"DISCONNECT with will message", v5, "E0 01 04"_hex,
     disconnect{.reason_code = reason_code::disconnect_with_will_message}},
    {"DISCONNECT, session taken over, explicitly no properties", v5, "E0 02 8E 00"_hex,
     disconnect{.reason_code = reason_code::session_taken_over}, read_only},
    {"the example of 5.0 figure 3-24: Session Expiry Interval 0", v5, "E0 07 00 05 11 00000000"_hex,
     disconnect{.properties = {.session_expiry_interval = std::chrono::seconds{0}}}},
    {"DISCONNECT, Reason String", v5, "E0 06 8B 04 1F 0001 'r'"_hex,
     disconnect{.reason_code = reason_code::server_shutting_down, .properties = {.reason_string = "r"}}},
    {"DISCONNECT, Server Reference", v5, "E0 06 9C 04 1C 0001 's'"_hex,
     disconnect{.reason_code = reason_code::use_another_server, .properties = {.server_reference = "s"}}},
    {"DISCONNECT, User Property", v5, "E0 09 00 07 26 0001 'k' 0001 'v'"_hex,
     disconnect{.properties = {.user_properties = one_user_property}}},
    {"AUTH, shortest", v5, "F0 00"_hex, auth{}},
    {"AUTH, Authentication Method", v5, "F0 06 19 04 15 0001 'm'"_hex,
     auth{.reason_code = reason_code::re_authenticate, .properties = {.authentication_method = "m"}}},
    {"AUTH, Authentication Data", v5, "F0 0A 18 08 15 0001 'm' 16 0001 00"_hex,
     auth{.reason_code = reason_code::continue_authentication,
          .properties = {.authentication_method = "m", .authentication_data = std::string_view("\0", 1)}}},
    {"AUTH, Reason String", v5, "F0 0A 00 08 15 0001 'm' 1F 0001 'r'"_hex,
     auth{.properties = {.authentication_method = "m", .reason_string = "r"}}},
    {"AUTH, User Property", v5, "F0 0D 18 0B 15 0001 'm' 26 0001 'k' 0001 'v'"_hex,
     auth{.reason_code = reason_code::continue_authentication,
          .properties = {.authentication_method = "m", .user_properties = one_user_property}}},
};

} // namespace vectors
