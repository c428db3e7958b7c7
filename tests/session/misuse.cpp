// Invalid requests are refused with the right error and change nothing: the session behaves afterwards as a copy that
// was made before.
#include "dialog.hpp"

#include <chrono>
#include <climits>

using tern::errc;
using tern::reason_code;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

namespace {

// Makes requests of all kinds and returns the resulting bytes and events.
std::string go_on(dialog d) {
    d.publish(message("a", "x", 1), 11);
    d.publish(message("a", "x", 2), 12);
    d.subscribe({{.filter = "a"}}, 13);
    d.unsubscribe({"a"}, 14);
    d.ping(15);
    std::string wire = d.written();
    wire += std::to_string((d.session.next_deadline() - d.now).count());
    d.broker(tern::pubrec{2}, publish_of("m", 1, 1));
    d.release(0);
    wire += d.written();
    d.disconnect();
    wire += d.written();
    d.closes();
    d.events({got(message("m", "x", 1)), unknown(15), unknown(11), unknown(13), unknown(14), unknown(12), over()});
    return wire;
}

} // namespace

DIALOG("invalid requests are refused [v311:MQTT-1.5.3-1, v311:MQTT-3.3.1-4, v311:MQTT-3.3.2-1, v311:MQTT-3.3.2-2, "
       "v311:MQTT-3.8.3-1, v311:MQTT-3.8.3-3, v311:MQTT-3.10.3-1, v311:MQTT-3.10.3-2, v311:MQTT-4.7.1-1, "
       "v311:MQTT-4.7.1-2, v311:MQTT-4.7.1-3, v311:MQTT-4.7.3-1, v311:MQTT-4.7.3-2, v311:MQTT-4.7.3-3, "
       "v5:MQTT-1.5.4-1, v5:MQTT-1.5.4-2, v5:MQTT-3.3.1-4, v5:MQTT-3.3.2-1, v5:MQTT-3.3.2-2, v5:MQTT-3.3.2-13, "
       "v5:MQTT-3.3.2-14, v5:MQTT-3.3.4-6, v5:MQTT-3.8.3-1, v5:MQTT-3.8.3-2, v5:MQTT-3.8.3-4, v5:MQTT-3.10.3-1, "
       "v5:MQTT-3.10.3-2, v5:MQTT-4.7.1-1, v5:MQTT-4.7.1-2, v5:MQTT-4.7.3-1, v5:MQTT-4.7.3-2, v5:MQTT-4.7.3-3, "
       "v5:MQTT-4.8.2-1, v5:MQTT-4.8.2-2]") {
    d.open();
    const std::string long_topic(65'536, 'a');
    const std::string longest(65'535, 'a');
    const std::string before = go_on(d);
    const auto refused = [&](errc error, errc expected) { CHECK(error == expected); };
    const auto bad_publish = [&](const tern::message_view& m, errc v5, errc v3) {
        refused(d.try_publish(m, 99), d.v5() ? v5 : v3);
    };
    for (const unsigned qos : {0U, 1U, 2U}) {
        const auto bad_topic = [&](std::string_view topic, errc error) {
            bad_publish(message(topic, "x", qos), error, error);
        };
        bad_topic("", errc::empty_topic);
        bad_topic("a/+", errc::invalid_topic_name);
        bad_topic("#", errc::invalid_topic_name);
        bad_topic("a\xff", errc::malformed_utf8);
        bad_topic("\xed\xa0\x80", errc::malformed_utf8);
        bad_topic("a\0b"sv, errc::null_character);
        bad_topic(long_topic, errc::string_too_long);
        tern::message_view m = message("a", "\xff", qos);
        m.properties.payload_format_indicator = tern::payload_format::utf8;
        bad_publish(m, errc::payload_format_invalid, errc::requires_v5);
        m = message("a", "x", qos);
        m.properties.response_topic = "a/#";
        bad_publish(m, errc::invalid_response_topic, errc::invalid_response_topic);
        m.properties.response_topic = "\xff";
        bad_publish(m, errc::malformed_utf8, errc::malformed_utf8);
        m.properties.response_topic = "a";
        if (!d.v5()) bad_publish(m, {}, errc::requires_v5);
        m = message("a", "x", qos);
        const std::uint32_t identifier = 1;
        m.properties.subscription_identifiers = std::span(&identifier, 1);
        bad_publish(m, errc::property_not_allowed, errc::property_not_allowed);
        m = message("a", "x", qos);
        const tern::user_property user{"a\xff", "b"}; // [MQTT-1.5.7-1]
        m.properties.user_properties = std::span(&user, 1);
        bad_publish(m, errc::malformed_utf8, errc::malformed_utf8);
    }
    bad_publish(message("a", "x", 3), errc::invalid_qos, errc::invalid_qos);
    bad_publish(message("a", "x", 7), errc::invalid_qos, errc::invalid_qos);

    const auto bad_filter = [&](std::string_view filter, errc error) {
        refused(d.try_subscribe({{.filter = "ok"}, {.filter = filter}}, {}, 99), error);
        refused(d.try_unsubscribe({"ok", filter}, {}, 99), error);
    };
    bad_filter("", errc::empty_topic);
    bad_filter("a/#/b", errc::invalid_topic_filter);
    bad_filter("a+", errc::invalid_topic_filter);
    bad_filter("#a", errc::invalid_topic_filter);
    if (d.v5()) // 3.1.1 has no shared subscriptions
        for (const std::string_view filter : {"$share/a", "$share//a", "$share/+/a"})
            bad_filter(filter, errc::invalid_topic_filter);
    bad_filter("a\xff", errc::malformed_utf8);
    bad_filter("a\0"sv, errc::null_character);
    bad_filter(long_topic, errc::string_too_long);
    refused(d.try_subscribe({}, {}, 99), errc::empty_subscription_list);
    refused(d.try_unsubscribe({}, {}, 99), errc::empty_subscription_list);
    refused(d.try_subscribe({{.filter = "a", .max_qos = tern::qos{3}}}, {}, 99), errc::invalid_subscription_qos);
    refused(d.try_subscribe({{.filter = "a", .retain_handling = tern::retain_handling{3}}}, {}, 99),
            errc::invalid_retain_handling);
    const errc only_v5 = d.v5() ? errc::no_local_on_shared_subscription : errc::requires_v5;
    refused(d.try_subscribe({{.filter = "$share/g/a", .no_local = true}}, {}, 99), only_v5);
    for (const std::uint32_t identifier : {0U, 268'435'456U}) {
        const errc error = d.try_subscribe({{.filter = "a"}}, {.subscription_identifier = identifier}, 99);
        CHECK(error != errc::none);
    }
    if (!d.v5()) {
        refused(d.try_subscribe({{.filter = "a", .no_local = true}}, {}, 99), errc::requires_v5);
        refused(d.try_subscribe({{.filter = "a"}}, {.subscription_identifier = 1}, 99), errc::requires_v5);
    }
    refused(d.try_connect(), errc::already_connected);

    d.sends();
    d.events({});
    d.stays();
    CHECK(go_on(d) == before);
    // The maximum length is accepted.
    d.publish(message(longest, "", 1), 1);
    d.subscribe({{.filter = longest}}, 2);
    d.stays();
}

DIALOG("invalid connect options are refused [v311:MQTT-3.1.2-14, v311:MQTT-3.1.3-4, v311:MQTT-3.1.3-10, "
       "v311:MQTT-3.1.3-11, v5:MQTT-3.1.2-12, v5:MQTT-3.1.3-4, v5:MQTT-3.1.3-11, "
       "v5:MQTT-3.1.3-12]") {
    d.open();
    d.lost({}); // the session now has state
    d.events({over(errc::closed_by_peer)});
    const auto refused = [&](auto change, errc expected) {
        dialog one(d);
        change(one.options);
        const errc error = one.try_connect();
        if (expected == errc::none)
            CHECK(error != errc::none);
        else
            CHECK(error == expected);
        CHECK(one.session.is_idle());
        CHECK(one.session.next_deadline() == tern::time_point::max());
        one.sends();
        one.options = d.options;
        one.open();
    };
    using options = tern::connect_options;
    refused([](options& o) { o.client_id = "\xff"; }, errc::malformed_utf8);
    refused([](options& o) { o.user_name = "\xff"; }, errc::malformed_utf8);
    refused([](options& o) { o.user_name = "a\0"sv; }, errc::null_character);
    refused([](options& o) { o.keep_alive = -1s; }, errc::invalid_keep_alive);
    refused([](options& o) { o.keep_alive = 65'536s; }, errc::invalid_keep_alive);
    refused([](options& o) { o.connect_timeout = -1ms; }, errc::invalid_connect_timeout);
    refused([](options& o) { o.ack_timeout = -1ms; }, errc::invalid_ack_timeout);
    refused([](options& o) { o.max_in_flight = 0; }, errc::invalid_max_in_flight);
    refused([](options& o) { o.connect_timeout = std::chrono::milliseconds::max(); }, errc::invalid_connect_timeout);
    refused([](options& o) { o.tls_timeout = -1ms; }, errc::invalid_tls_timeout);
    refused([](options& o) { o.upgrade_timeout = -1ms; }, errc::invalid_upgrade_timeout);
    refused([](options& o) { o.ack_timeout = std::chrono::milliseconds::max(); }, errc::invalid_ack_timeout);
    refused([](options& o) { o.host = ""; }, errc::empty_host);
    refused([](options& o) { o.host = "broker test"; }, errc::invalid_host);
    refused([](options& o) { o.host = "broker.test\n"; }, errc::invalid_host);
    refused([](options& o) { o.host = "broker.test\0"sv; }, errc::invalid_host);
    refused([](options& o) { o.host = "[::1]"; }, errc::host_in_brackets);
    refused([](options& o) { o.host = "[::1]:1883"; }, errc::host_in_brackets);
    refused([](options& o) { o.host = "mqtt://broker.test"; }, errc::host_is_url);
    refused([](options& o) { o.host = "broker.test/mqtt"; }, errc::host_is_url);
    refused([](options& o) { o.host = "broker.test:1883"; }, errc::host_with_port);
    refused([](options& o) { o.host = "127.0.0.1:1883"; }, errc::host_with_port);
    const tern::endpoint further[] = {
        {.host = "::1"}, {.host = "fe80::1%eth0"}, {.host = "br\xC3\xB6ker"}, {.host = "a:1"}};
    refused([&](options& o) { o.more_endpoints = further; }, errc::host_with_port);
    refused(
        [](options& o) {
            o.host = "";
            o.scheme = "unix";
        },
        errc::empty_path);
    const tern::endpoint sockets[] = {{.host = "", .path = "@name", .scheme = "mqtt+unix"},
                                      {.host = "", .path = "/run/m", .scheme = "ws"}};
    refused([&](options& o) { o.more_endpoints = sockets; }, errc::empty_host);
    refused([](options& o) { o.version = tern::protocol_version{3}; }, errc::unsupported_protocol_version);
    refused([](options& o) { o.will = message(""); }, errc::empty_will_topic);
    refused([](options& o) { o.will = message("a/+"); }, errc::invalid_topic_name);
    refused([](options& o) { o.will = message("\xff"); }, errc::malformed_utf8);
    refused([](options& o) { o.will = message("a", "x", 3); }, errc::invalid_will_flags);
    refused([](options& o) { o.authentication_timeout = -1ms; }, errc::invalid_authentication_timeout);
    refused([](options& o) { o.properties.receive_maximum = 0; }, errc::none);
    refused([](options& o) { o.properties.maximum_packet_size = 0; }, errc::none);
    if (!d.v5()) {
        refused([](options& o) { o.properties.session_expiry_interval = 1s; }, errc::requires_v5);
        refused([](options& o) { o.client_id = "", o.clean_start = false; }, errc::empty_client_id);
        refused([](options& o) { o.password = "x"; }, errc::password_without_user_name);
    }
    const std::string too_long(65'536, 'x');
    refused([&](options& o) { o.user_name = "u", o.password = too_long; }, errc::string_too_long);
    refused([&](options& o) { o.will = message("a", too_long); }, errc::string_too_long);
    if (d.writes_bytes()) return;           // 300 kB byte by byte
    const std::string longest(65'535, 'x'); // the maximum length of a string [MQTT-4.7.3-3]
    d.options.user_name = d.options.password = d.options.client_id = longest;
    d.options.will = message(longest, longest);
    d.open();
}

DIALOG("an op id above the range is refused, and op id none is reported by no event") {
    const tern::op_id too_large{UINT64_MAX};
    d.resumable();
    d.open();
    const auto requests = [&] {
        const std::string_view filter = "a";
        CHECK(d.session.publish(message("a"), too_large, d.now) == errc::invalid_argument);
        CHECK(d.session.publish(message("a", "x", 1), too_large, d.now) == errc::invalid_argument);
        CHECK(d.session.publish(message("a", "x", 2), {.time_to_live = 1s}, too_large, d.now) ==
              errc::invalid_argument);
        CHECK(d.session.subscribe(std::span(&filter_s, 1), {}, too_large, d.now) == errc::invalid_argument);
        CHECK(d.session.unsubscribe(std::span(&filter, 1), {}, too_large, d.now) == errc::invalid_argument);
        CHECK(d.session.ping(too_large, d.now) == errc::invalid_argument);
        CHECK(d.session.drain(too_large, d.now, d.now) == errc::invalid_argument);
        CHECK_FALSE(d.session.cancel(too_large, d.now));
    };
    requests();
    d.sends();
    d.subscribe({filter_s}, UINT_MAX);
    (void)d.written();
    d.broker(tern::suback{1, one_success});
    d.events({done(UINT_MAX)});
    d.lost();
    requests();
    d.drain(0);
    d.drain(0, 0s);
    d.events({});
    d.reopen({}, {}); // the broker has lost the session: the session subscribes again by itself
    d.sends(tern::subscribe{2, std::span(&filter_s, 1)});
    requests(); // the largest id does not stand for the renewal
    d.broker(tern::suback{2, one_success});
    d.events({});
    d.stays();
}
