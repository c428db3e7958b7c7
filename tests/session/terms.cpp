// The terms of a connection, and what the broker says beside its answers.
#include "dialog.hpp"

#include <array>
#include <optional>

using tern::connack;
using tern::connection_terms;
using tern::errc;
using tern::qos;
using tern::reason_code;
using tern::user_property;

namespace {

namespace terms_test {

constexpr std::array properties{user_property{"k", "v"}, user_property{"k", "w"}};

connack answer_with_everything() {
    connack answer;
    answer.properties = {.session_expiry_interval = 30s,
                         .receive_maximum = 7,
                         .maximum_qos = qos::at_least_once,
                         .retain_available = false,
                         .maximum_packet_size = 1000,
                         .assigned_client_identifier = "yours",
                         .topic_alias_maximum = 9,
                         .reason_string = "welcome",
                         .wildcard_subscription_available = false,
                         .subscription_identifier_available = false,
                         .shared_subscription_available = false,
                         .server_keep_alive = 40s,
                         .response_information = "r/",
                         .server_reference = "b.example",
                         .user_properties = properties};
    return answer;
}

} // namespace terms_test

} // namespace

DIALOG("without properties in CONNACK the defaults of the standard are the terms of a connection "
       "[v5:MQTT-3.2.2-21, v5:MQTT-3.2.2-9]") {
    d.options.keep_alive = 50s;
    if (d.v5()) d.options.properties.session_expiry_interval = 100s;
    d.open();
    const connection_terms terms(d.session.terms());
    CHECK(terms.version == d.version);
    CHECK_FALSE(terms.session_present);
    CHECK(terms.receive_maximum == 65'535);
    CHECK(terms.maximum_qos == qos::exactly_once);
    CHECK(terms.retain_available);
    CHECK(terms.maximum_packet_size == tern::packet_size_max);
    CHECK(terms.topic_alias_maximum == 0);
    CHECK(terms.wildcard_subscription_available);
    CHECK(terms.subscription_identifier_available == d.v5());
    CHECK(terms.shared_subscription_available == d.v5());
    CHECK(terms.keep_alive == 50s);
    CHECK(terms.session_expiry_interval == (d.v5() ? 100s : 0s));
    CHECK(terms.client_id == "c");
    CHECK_FALSE(terms.assigned_client_identifier);
    CHECK_FALSE(terms.response_information);
    CHECK_FALSE(terms.server_reference);
    CHECK_FALSE(terms.reason_string);
    CHECK(terms.user_properties.empty());
}

DIALOG("the properties of CONNACK are the terms of a connection [v5:MQTT-3.2.2-21, v5:MQTT-3.2.2-16]") {
    if (!d.v5()) return;
    d.options.client_id = "";
    d.options.properties.request_response_information = true;
    d.options.properties.session_expiry_interval = 100s;
    d.open(terms_test::answer_with_everything());
    const connection_terms terms(d.session.terms());
    CHECK(terms.receive_maximum == 7);
    CHECK(terms.maximum_qos == qos::at_least_once);
    CHECK_FALSE(terms.retain_available);
    CHECK(terms.maximum_packet_size == 1000);
    CHECK(terms.topic_alias_maximum == 9);
    CHECK_FALSE(terms.wildcard_subscription_available);
    CHECK_FALSE(terms.subscription_identifier_available);
    CHECK_FALSE(terms.shared_subscription_available);
    CHECK(terms.keep_alive == 40s);
    CHECK(terms.session_expiry_interval == 30s);
    CHECK(terms.client_id == "yours");
    CHECK(terms.assigned_client_identifier == "yours");
    CHECK(terms.response_information == "r/");
    CHECK(terms.server_reference == "b.example");
    CHECK(terms.reason_string == "welcome");
    CHECK(terms.user_properties == tern::user_properties_view(terms_test::properties));
}

DIALOG("Response Information that the client has not requested is no term of a connection [v5:MQTT-3.1.2-28]") {
    if (!d.v5()) return;
    d.open(connack{.properties = {.response_information = "r/"}});
    CHECK_FALSE(d.session.terms().response_information);
}

DIALOG("the terms are those of the newest connection, and stay until the next run connects") {
    d.resumable();
    if (d.v5()) d.options.properties.session_expiry_interval = 100s;
    d.start();
    CHECK(d.session.terms().client_id == "c"); // before CONNACK: what the client asks for
    CHECK(d.session.terms().session_expiry_interval == (d.v5() ? 100s : tern::session_never_expires));
    connack first;
    if (d.v5()) first.properties = {.receive_maximum = 7, .server_keep_alive = 40s};
    d.broker(first);
    d.events({"connected"});
    CHECK(d.session.terms().receive_maximum == (d.v5() ? 7 : 65'535));
    CHECK_FALSE(d.session.terms().session_present);
    d.lost();
    CHECK(d.session.terms().receive_maximum == (d.v5() ? 7 : 65'535)); // of the last connection
    d.reopen();
    CHECK(d.session.terms().session_present);
    CHECK(d.session.terms().receive_maximum == 65'535);
    CHECK(d.session.terms().keep_alive == 60s);
    d.stop();
    d.closes();
    d.events({over()});
    CHECK(d.session.terms().session_present);
    CHECK(d.try_connect() == errc::none);
    CHECK_FALSE(d.session.terms().session_present);
}

DIALOG("a CONNACK that refuses leaves the terms of the connection before") {
    d.resumable();
    d.open();
    d.lost();
    d.awaits_attempt();
    d.attempt();
    d.broker(connack{.reason_code = reason_code::server_unavailable});
    d.events({"connected: " + text(error_of(reason_code::server_unavailable))});
    CHECK(d.session.terms().receive_maximum == 65'535);
    CHECK(d.session.terms().client_id == "c");
}

DIALOG("a CONNACK that should assign an identifier and does not is reported once, and the client goes on "
       "[v5:MQTT-3.1.3-7, v5:MQTT-3.2.2-16]") {
    if (!d.v5()) return;
    d.options.client_id = "";
    d.options.reconnect.enabled = true;
    d.start();
    d.broker(connack{});
    d.events({"connected", "no client id: " + text(error_of(errc::missing_assigned_client_id))});
    d.publish(message("a", "x", 1), 1);
    d.sends(publish_of("a", 1, 1));
    d.broker(tern::puback{1});
    d.events({done(1)});
    CHECK(d.session.terms().client_id.empty());
    d.lost();
    d.reopen(connack{}); // without an identifier again, and not reported again
    connack late;
    late.properties.assigned_client_identifier = "yours";
    d.lost();
    d.reopen(late);
    CHECK(d.session.terms().client_id == "yours");
}

DIALOG("the reason and the user properties of DISCONNECT, or of a CONNACK that refuses, are in the event "
       "[v5:MQTT-3.14.2-3]") {
    if (!d.v5()) return;
    const auto reports = [](dialog& one) {
        bool reported = false;
        while (const auto e = one.session.poll_event()) {
            const auto* const change = std::get_if<tern::connection_event_view>(&*e);
            if (!change || change->change != tern::connection_change::disconnected) continue;
            const tern::connection_event owned(*change);
            CHECK(owned.reason_string == "full");
            CHECK(owned.server_reference == "b.example");
            CHECK(owned.user_properties == tern::user_properties_view(terms_test::properties));
            reported = true;
        }
        CHECK(reported);
    };
    dialog refused(d);
    refused.start();
    connack refusal{.reason_code = reason_code::use_another_server};
    refusal.properties.reason_string = "full";
    refusal.properties.server_reference = "b.example";
    refusal.properties.user_properties = terms_test::properties;
    refused.broker(refusal);
    refused.events_so_far();
    refused.session.on_disconnected({}, refused.now);
    reports(refused);

    d.open();
    tern::disconnect bye{.reason_code = reason_code::use_another_server};
    bye.properties.reason_string = "full";
    bye.properties.server_reference = "b.example";
    bye.properties.user_properties = terms_test::properties;
    d.broker(bye);
    d.events_so_far();
    d.session.on_disconnected({}, d.now);
    reports(d);
}

DIALOG("the reason and the user properties of each acknowledgement are in the result "
       "[§3.4.2.2, §3.5.2.2, §3.7.2.2, §3.9.2.1, §3.11.2.1]") {
    if (!d.v5()) return;
    d.open();
    const tern::ack_properties said{.reason_string = "so", .user_properties = terms_test::properties};
    std::optional<tern::acknowledgement> result;
    const auto answers = [&](const auto& packet, reason_code code) {
        const std::string bytes = d.encoded(packet);
        const auto room = d.session.prepare_read();
        d.session.commit_read(bytes.copy(room.data(), room.size()), d.now);
        bool reported = false;
        while (const auto e = d.session.poll_event()) {
            const auto* const end = std::get_if<tern::completed>(&*e);
            if (!end) continue;
            const tern::acknowledgement owned(end->answer);
            CHECK(owned.reason_code == code);
            CHECK(owned.properties.reason_string == "so");
            CHECK(owned.properties.user_properties == tern::user_properties_view(terms_test::properties));
            reported = true;
        }
        CHECK(reported);
    };
    d.publish(message("a", "x", 1), 1);
    answers(tern::puback{1, reason_code::no_matching_subscribers, said}, reason_code::no_matching_subscribers);
    d.publish(message("a", "x", 1), 1);
    answers(tern::puback{2, reason_code::quota_exceeded, said}, reason_code::quota_exceeded);
    d.publish(message("a", "x", 2), 1);
    answers(tern::pubrec{3, reason_code::topic_name_invalid, said}, reason_code::topic_name_invalid);
    d.publish(message("a", "x", 2), 1);
    d.broker(tern::pubrec{4});
    d.events({});
    answers(tern::pubcomp{4, reason_code::success, said}, reason_code::success);
    const std::array granted{reason_code::granted_qos_1};
    d.subscribe({filter_s}, 1);
    answers(tern::suback{5, granted, said}, reason_code::granted_qos_1);
    d.unsubscribe({"s"}, 1);
    answers(tern::unsuback{6, one_success, said}, reason_code::success);
}
