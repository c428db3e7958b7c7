// CONNECT and CONNACK.
#include "dialog.hpp"

using tern::connack;
using tern::errc;
using tern::reason_code;

DIALOG("a connection without requests [v311:MQTT-3.1.0-1, v311:MQTT-3.1.2-1, v311:MQTT-3.1.2-3, v5:MQTT-3.1.0-1, "
       "v5:MQTT-3.1.2-1, v5:MQTT-3.1.2-3]") {
    d.options.keep_alive = 60s;
    REQUIRE(d.try_connect() == errc::none);
    d.sends(); // the transport is not open yet
    d.connects();
    using namespace std::string_view_literals;
    if (d.v5())
        d.sends_bytes("\x10\x0e\0\4MQTT\5\2\0\x3c\0\0\1c"sv);
    else
        d.sends_bytes("\x10\x0d\0\4MQTT\4\2\0\x3c\0\1c"sv);
    CHECK(!d.session.is_connected());
    d.broker(connack{});
    d.events({"connected"});
    d.stays();
    d.sends(); // one CONNECT [MQTT-3.1.0-2]
    d.disconnect();
    d.sends_bytes("\xe0\0"sv); // [MQTT-3.14.1-1]
    d.closes();
    d.events({over()});
}

DIALOG("CONNECT with every combination of will, user name and password [v311:MQTT-3.1.2-9, v311:MQTT-3.1.2-11, "
       "v311:MQTT-3.1.2-13, v311:MQTT-3.1.2-14, v311:MQTT-3.1.2-15, v311:MQTT-3.1.2-18, v311:MQTT-3.1.2-19, "
       "v311:MQTT-3.1.2-20, v311:MQTT-3.1.2-21, v311:MQTT-3.1.2-22, v311:MQTT-3.1.3-1, v311:MQTT-3.1.3-3, "
       "v5:MQTT-3.1.2-9, v5:MQTT-3.1.2-11, v5:MQTT-3.1.2-12, v5:MQTT-3.1.2-13, v5:MQTT-3.1.2-16, v5:MQTT-3.1.2-17, "
       "v5:MQTT-3.1.2-18, v5:MQTT-3.1.2-19, v5:MQTT-3.1.3-1, v5:MQTT-3.1.3-3]") {
    for (unsigned bits = 0; bits != 128; ++bits) {
        const bool will = bits & 1;
        const unsigned will_qos = bits >> 1 & 3;
        const bool will_retain = bits & 8;
        const bool user = bits & 16;
        const bool pass = bits & 32;
        const bool clean = bits & 64;
        if (will_qos == 3 || (!will && (will_qos != 0 || will_retain))) continue;
        INFO("combination " << bits);

        dialog one(d);
        const tern::message_view last{
            "w/t", will_retain ? "" : "bye", tern::qos{static_cast<std::uint8_t>(will_qos)}, will_retain, {}};
        one.options.clean_start = clean;
        one.options.keep_alive = 258s;
        if (will) one.options.will = last;
        if (user) one.options.user_name = bits & 1 ? "" : "me";
        using namespace std::string_view_literals;
        if (pass) one.options.password = bits & 1 ? "" : "p\0w"sv;
        if (!one.v5() && pass && !user) {
            CHECK(one.try_connect() == errc::password_without_user_name);
            CHECK(one.session.is_idle());
            continue;
        }

        std::string body{"\0\4MQTT"sv};
        body += one.v5() ? '\5' : '\4';
        const unsigned flags = (clean ? 2U : 0U) | (will ? 4U : 0U) | will_qos << 3 | (will_retain ? 32U : 0U) |
                               (pass ? 64U : 0U) | (user ? 128U : 0U);
        body += static_cast<char>(flags);
        body += "\1\2"sv;
        if (one.v5()) body += '\0';
        body += "\0\1c"sv;
        if (will) {
            if (one.v5()) body += '\0';
            body += "\0\3w/t"sv;
            body += will_retain ? "\0\0"sv : "\0\3bye"sv;
        }
        if (user) body += bits & 1 ? "\0\0"sv : "\0\2me"sv;
        if (pass) body += bits & 1 ? "\0\0"sv : "\0\3p\0w"sv;
        REQUIRE(one.try_connect() == errc::none);
        one.connects();
        one.sends_bytes(std::string{'\x10', static_cast<char>(body.size())} + body);
        one.broker(connack{});
        one.events({"connected"});
    }
}

DIALOG("the broker assigns an identifier to a client without one [v311:MQTT-3.1.3-7, v311:MQTT-3.1.3-8, "
       "v5:MQTT-3.1.3-7, v5:MQTT-3.2.2-16]") {
    d.options.client_id = "";
    dialog kept(d);
    kept.options.clean_start = false;
    if (!d.v5()) {
        CHECK(kept.try_connect() == errc::empty_client_id);
        d.open();
        return;
    }
    connack answer;
    answer.properties.assigned_client_identifier = "you";
    dialog resumed(d);
    resumed.options.properties.session_expiry_interval = std::chrono::seconds{100};
    resumed.open(answer);
    resumed.lost({});
    resumed.events({over(errc::closed_by_peer)});
    resumed.options.client_id = "you"; // [MQTT-3.1.3-2]
    resumed.options.clean_start = false;
    resumed.open({.session_present = true});
    d.open(answer);
    // The session belongs to the assigned identifier.
    kept = d;
    kept.options.clean_start = false;
    kept.lost();
    kept.events({over(std::make_error_code(std::errc::connection_reset))});
    kept.options.client_id = "me";
    kept.start();
    kept.broker(connack{.session_present = true});
    kept.fails(errc::unexpected_session_present);
}

DIALOG("CONNACK refuses with each code [v311:MQTT-3.1.2-2, v311:MQTT-3.1.3-8, v311:MQTT-3.1.3-9, "
       "v311:MQTT-3.2.2-5, v5:MQTT-3.1.2-2, v5:MQTT-3.1.3-8, v5:MQTT-3.2.2-7, v5:MQTT-3.2.2-8]") {
    for (unsigned code = 1; code != 256; ++code) {
        INFO("code " << code);
        dialog one(d);
        one.start();
        using namespace std::string_view_literals;
        std::string packet{one.v5() ? "\x20\3\0\0\0"sv : "\x20\2\0\0"sv};
        packet[3] = static_cast<char>(code);
        one.broker_bytes(packet);
        reason_code meaning{static_cast<std::uint8_t>(code)};
        bool valid = tern::is_valid(meaning, tern::packet_type::connack, one.version);
        if (!one.v5()) {
            valid = code <= 5;
            if (valid) meaning = *tern::from_return_code(static_cast<std::uint8_t>(code));
        }
        if (valid) {
            one.sends();
            one.events({"connected: " + text(error_of(meaning))});
            one.closes(); // without the broker
            one.events({over(meaning)});
        } else {
            one.fails(errc::invalid_reason_code);
        }
    }
}

DIALOG("a server that supports only the other version refuses in its own format [v311:MQTT-3.1.2-2, "
       "v5:MQTT-3.1.2-2]") {
    using namespace std::string_view_literals;
    const auto refused = [&](std::string packet, unsigned code, reason_code meaning) {
        INFO("code " << code);
        dialog one(d);
        one.start();
        packet[3] = static_cast<char>(code);
        one.broker_bytes(packet);
        one.sends();
        one.events({"connected: " + text(error_of(meaning))});
        one.closes();
        one.events({over(meaning)});
    };
    if (d.v5()) {
        for (std::uint8_t code = 1; code <= 5; ++code)
            refused(std::string("\x20\2\0\0"sv), code, *tern::from_return_code(code));
    } else {
        for (const unsigned code : {0x80U, 0x84U, 0x86U, 0x87U, 0x8AU, 0x9FU})
            refused(std::string("\x20\3\0\0\0"sv), code, reason_code{static_cast<std::uint8_t>(code)});
    }
}

DIALOG("a 3.1.1 CONNACK that accepts a 5.0 CONNECT is an error") {
    if (!d.v5()) return;
    d.start();
    using namespace std::string_view_literals;
    d.broker_bytes("\x20\2\0\0"sv);
    d.sends(); // the broker could not parse a DISCONNECT
    d.closes();
    d.events({over(errc::unexpected_protocol_version)});
}

DIALOG("CONNACK with reserved bits is an error [v5:MQTT-3.2.2-1]") {
    for (unsigned flags = 2; flags != 256; ++flags) {
        dialog one(d);
        one.start();
        using namespace std::string_view_literals;
        std::string packet{one.v5() ? "\x20\3\0\0\0"sv : "\x20\2\0\0"sv};
        packet[2] = static_cast<char>(flags);
        one.broker_bytes(packet);
        one.fails(errc::invalid_connack_flags);
    }
}

DIALOG("session present after a clean start is an error [v311:MQTT-3.2.2-1, v5:MQTT-3.2.2-2]") {
    d.start();
    d.broker(connack{.session_present = true});
    d.fails(errc::session_present_after_clean_start);
}

DIALOG("session present without a session of the client is an error in 5.0 [v5:MQTT-3.2.2-3, v5:MQTT-3.2.2-4]") {
    d.options.clean_start = false;
    dialog assuming(d);
    assuming.options.assume_session = true;
    assuming.open({.session_present = true});

    if (!d.v5()) return d.open({.session_present = true}); // 3.1.1 has no such rule
    d.start();
    d.broker(connack{.session_present = true});
    d.fails(errc::unexpected_session_present);
}

DIALOG("session present on a refusal is an error [v311:MQTT-3.2.2-4, v5:MQTT-3.2.2-6]") {
    d.start();
    using namespace std::string_view_literals;
    d.broker_bytes(d.v5() ? "\x20\3\1\x87\0"sv : "\x20\2\1\5"sv);
    d.fails(errc::session_present_on_refusal);
}

DIALOG("any first packet but CONNACK is an error [v311:MQTT-3.1.4-1, v311:MQTT-3.2.0-1, v5:MQTT-3.1.4-1, "
       "v5:MQTT-3.2.0-1, v5:MQTT-3.14.0-1, v5:MQTT-4.12.0-6]") {
    const auto first = [&](const auto& packet, errc error = errc::unexpected_packet) {
        dialog one(d);
        one.start();
        one.broker(packet);
        one.fails(error);
    };
    const tern::subscription filter{.filter = "a"};
    const std::string_view name = "a";
    const reason_code granted{};
    tern::filter_ack<tern::packet_type::unsuback> unsuback{1};
    if (d.v5()) unsuback.reason_codes = std::span(&granted, 1);
    first(tern::connect{.version = d.version, .client_id = "c"});
    first(publish_of("a", 0, 0));
    first(publish_of("a", 1, 1));
    first(publish_of("a", 2, 1));
    first(tern::puback{1});
    first(tern::pubrec{1});
    first(tern::pubrel{1});
    first(tern::pubcomp{1});
    first(tern::subscribe{1, std::span(&filter, 1)});
    first(tern::suback{1, std::span(&granted, 1)});
    first(tern::unsubscribe{1, std::span(&name, 1)});
    first(unsuback);
    first(tern::pingreq{});
    first(tern::pingresp{});
    first(tern::disconnect{});
    if (d.v5()) first(tern::auth{}, errc::unexpected_authentication);
}

DIALOG("the answer of a server of another protocol is named") {
    const auto answer = [&](std::string_view bytes, errc error) {
        dialog one(d);
        one.start();
        one.broker_bytes(bytes);
        one.fails(error);
    };
    answer("HTTP/1.1 400 Bad Request\r\n", errc::http_answer);
    answer("SSH-2.0-OpenSSH_9.2\r\n", errc::ssh_answer);
    answer({"\x15\x03\x01\x00\x02\x02\x46", 7}, errc::tls_answer);
    answer({"\x16\x03\x03\x00\x2A", 5}, errc::tls_answer);
    answer("HTTQ", errc::invalid_flags);
}

DIALOG("every invalid first byte is an error, before and after CONNACK [v311:MQTT-2.2.2-1, v311:MQTT-2.2.2-2, "
       "v5:MQTT-2.1.3-1, v5:MQTT-3.15.1-1]") {
    dialog opened(d);
    opened.open();
    d.start();
    for (unsigned first = 0; first != 256; ++first) {
        const auto byte = static_cast<std::uint8_t>(first);
        const errc error = tern::check_first_byte(byte);
        if (error == errc::none) continue;
        INFO("first byte " << first);
        for (const dialog& before : {d, opened}) {
            dialog one(before);
            one.broker_bytes(std::string{static_cast<char>(byte), '\2', '\0', '\1'});
            one.fails(error);
        }
    }
}

DIALOG("client packets and a second CONNACK are errors [v311:MQTT-4.8.0-1, v5:MQTT-3.2.0-2]") {
    d.open();
    const auto next = [&](const auto& packet, errc error = errc::unexpected_packet) {
        dialog one(d);
        one.broker(packet);
        one.fails(error);
    };
    const tern::subscription filter{.filter = "a"};
    const std::string_view name = "a";
    next(connack{});
    next(tern::connect{.version = d.version, .client_id = "c"});
    next(tern::subscribe{1, std::span(&filter, 1)});
    next(tern::unsubscribe{1, std::span(&name, 1)});
    next(tern::pingreq{});
    if (!d.v5()) {
        next(tern::disconnect{}); // in 3.1.1 only clients send DISCONNECT
        using namespace std::string_view_literals;
        d.broker_bytes("\xf0\0"sv);
        d.fails(errc::invalid_packet_type);
    } else {
        next(tern::auth{}, errc::unexpected_authentication);
        next(tern::auth{reason_code::re_authenticate, {.authentication_method = "m"}}, errc::unexpected_authentication);
    }
}

DIALOG("an authentication method only in CONNACK is an error [v5:MQTT-4.12.0-6]") {
    if (!d.v5()) return;
    d.start();
    connack answer;
    answer.properties.authentication_method = "m";
    d.broker(answer);
    d.fails(errc::unexpected_authentication);
}

DIALOG("CONNACK with invalid property values is an error [v5:MQTT-4.9.0-1]") {
    if (!d.v5()) return;
    using namespace std::string_view_literals;
    const std::string_view properties[] = {
        "\x21\0\0"sv,     // Receive Maximum 0
        "\x27\0\0\0\0"sv, // Maximum Packet Size 0
        "\x24\2"sv,       // Maximum QoS 2
        "\x25\2"sv,       // Retain Available 2
        "\x28\2"sv,       // Wildcard Subscription Available 2
        "\x29\2"sv,       // Subscription Identifiers Available 2
        "\x2a\2"sv,       // Shared Subscription Available 2
    };
    for (const std::string_view property : properties) {
        dialog one(d);
        one.start();
        std::string packet = "\x20";
        packet += static_cast<char>(3 + property.size());
        packet += "\0\0"sv;
        packet += static_cast<char>(property.size());
        packet += property;
        one.broker_bytes(packet);
        one.fails(errc::invalid_property_value);
    }
}

DIALOG("a missing CONNACK times out [v311:MQTT-3.1.4-4, v5:MQTT-3.1.4-5]") {
    d.options.connack_timeout = 10s;
    dialog patient(d);
    patient.options.connack_timeout = 0s;
    patient.start();
    patient.pass(std::chrono::hours(1000));
    patient.broker(connack{});
    patient.events({"connected"});

    CHECK(d.try_connect() == errc::none);
    d.pass(6s);
    d.connects();
    d.pass(9s);
    d.broker_bytes("\x20"); // an incomplete CONNACK does not count
    d.pass(1s - 1ms);
    CHECK(!d.wants_close());
    d.pass(1ms);
    // CONNECT has not been written.
    d.closes();
    d.events({over(errc::connack_timeout)});
}

DIALOG("the broker closes the connection without CONNACK [v311:MQTT-3.1.4-1, v311:MQTT-3.2.2-6, v5:MQTT-3.1.4-1]") {
    d.start();
    d.lost({});
    d.events({over(errc::closed_by_peer)});
    d.open(); // the session can be used again
}

DIALOG("a transport that cannot be opened ends the connect") {
    CHECK(d.try_connect() == errc::none);
    d.lost(std::make_error_code(std::errc::connection_refused));
    d.events({over(std::make_error_code(std::errc::connection_refused))});
    d.open();
}

DIALOG("nothing is sent before CONNACK [v311:MQTT-3.1.0-1, v5:MQTT-3.1.0-1]") {
    unsigned op = 0;
    const auto waits = [&] {
        d.publish(message("a"), ++op);
        if (op != 1) {
            d.subscribe({{.filter = "a"}}, ++op);
            d.unsubscribe({"a"}, ++op);
        } else {
            CHECK(d.try_subscribe({{.filter = "a"}}) == errc::not_connected);
            CHECK(d.try_unsubscribe({"a"}) == errc::not_connected);
        }
        CHECK(d.session.ping({}, d.now) == errc::not_connected);
        d.sends();
        d.events({});
    };
    waits();
    CHECK(d.try_connect() == errc::none);
    CHECK(d.try_connect() == errc::already_connected);
    waits();
    d.connects();
    CHECK(d.written()[0] == 0x10);
    waits();
    CHECK(d.try_connect() == errc::already_connected);
    d.broker(connack{});
    d.events({"connected"});
    CHECK(d.try_connect() == errc::already_connected);
    d.stays();
    const tern::subscription s{.filter = "a"};
    const std::string_view u = "a";
    d.sends(tern::subscribe{1, std::span(&s, 1)}, tern::unsubscribe{2, std::span(&u, 1)},
            tern::subscribe{3, std::span(&s, 1)}, tern::unsubscribe{4, std::span(&u, 1)}, publish_of("a", 0, 0),
            publish_of("a", 0, 0), publish_of("a", 0, 0));
    d.events({done(1), done(2), done(5)});
}

DIALOG("disconnect before CONNECT closes the transport") {
    dialog unconnected(d);
    CHECK(unconnected.try_connect() == errc::none);
    unconnected.disconnect();
    unconnected.sends();
    unconnected.closes();
    unconnected.events({over()});
}

DIALOG("Response Information that the client has not requested is ignored [v5:MQTT-3.1.2-28]") {
    if (!d.v5()) return;
    for (const bool asks : {false, true}) {
        dialog one(d);
        if (asks) one.options.properties.request_response_information = true;
        one.start();
        connack answer;
        answer.properties.response_information = "r";
        const std::string bytes = one.encoded(answer);
        bytes.copy(one.session.prepare_read().data(), bytes.size());
        one.session.commit_read(bytes.size(), one.now);
        while (const auto e = one.session.poll_event())
            if (const auto* c = std::get_if<tern::connected>(&*e))
                CHECK(c->packet.properties.response_information.has_value() == asks);
        CHECK(one.session.is_connected());
    }
}

DIALOG("requests that were made before CONNACK get other identifiers in a session that an earlier process began "
       "[v5:MQTT-2.2.1-3]") {
    d.options.clean_start = false;
    d.options.assume_session = true;
    d.start();
    d.subscribe({filter_s}, 1);
    d.unsubscribe({"u"}, 2);
    d.publish(message("a", "x", 1), 3);
    dialog none(d);
    d.broker(connack{.session_present = true});
    const std::string bytes = d.written();
    const auto subscribe = tern::decode<tern::subscribe>(tern::next_frame(bytes)->frame, d.version);
    REQUIRE(subscribe);
    const tern::packet_id id = subscribe->packet_id;
    CHECK(id > 9); // with this seed
    const std::string_view u = "u";
    const auto after = [&](unsigned n) { return static_cast<tern::packet_id>((id + n - 1) % 65'535 + 1); };
    CHECK(bytes == d.encoded(tern::subscribe{id, std::span(&filter_s, 1)}) +
                       d.encoded(tern::unsubscribe{after(1), std::span(&u, 1)}) +
                       d.encoded(publish_of("a", 1, after(2))));
    d.broker(tern::suback{id, std::span(one_success, 1)}, tern::puback{after(2)});
    d.events({"connected, session present", done(1), done(3)});
    none.broker(connack{});
    none.sends(tern::subscribe{1, std::span(&filter_s, 1)}, tern::unsubscribe{2, std::span(&u, 1)},
               publish_of("a", 1, 3));
}

DIALOG("requests without a connection are not judged by the limits of the last one [§3.2.2.3.11, §3.2.2.3.6]") {
    if (!d.v5()) return;
    d.resumable();
    connack answer;
    answer.properties.wildcard_subscription_available = false;
    answer.properties.maximum_packet_size = 20;
    answer.properties.maximum_qos = tern::qos::at_most_once;
    d.open(answer);
    CHECK(d.try_subscribe({{.filter = "#"}}) == errc::wildcard_subscriptions_not_supported);
    d.lost();
    const tern::subscription all{.filter = "#"};
    const std::string large(30, 'x');
    d.subscribe({all}, 1);
    d.publish(message("a", large, 1), 2);
    d.reopen();
    d.sends(tern::subscribe{1, std::span(&all, 1)}, tern::publish{message("a", large, 1), false, 2});
}
