// Cuts at the beginning and at the end of a session.
#include "catch.hpp"
#include "cuts.hpp"

namespace cuts {
namespace {

using client = tern::connect_options;
using broker_says = tern::connack_properties;

} // namespace

TEST_CASE("a session begins correctly, wherever the connection is cut") {
    run("connecting",
        {
            {.name = "a connection without requests", .steps = {}},
            {.name = "a will and credentials",
             .steps = {publish(1), publish(2)},
             .change =
                 [](client& o, broker_says&) {
                     o.will = tern::message_view{.topic = "w", .payload = "gone", .retain = true};
                     o.user_name = "u";
                     o.password = "p";
                 }},
            {.name = "a will that waits",
             .steps = {subscribe(1), message(1), publish(2)},
             .on = versions::v5,
             .change =
                 [](client& o, broker_says&) {
                     o.will = tern::message_view{.topic = "w", .payload = "gone", .qos = tern::qos::exactly_once};
                     o.will_delay_interval = std::chrono::seconds{5};
                 }},
            {.name = "no client identifier, a session that ends with the connection",
             .steps = {subscribe(2), +publish(1), message(2), publish(2)},
             .change =
                 [](client& o, broker_says&) {
                     o.client_id = {};
                     o.clean_start = true;
                     o.properties.session_expiry_interval.reset();
                 }},
            {.name = "an assigned client identifier",
             .steps = {subscribe(2), +publish(1), message(2), publish(2)},
             .on = versions::v5,
             .change =
                 [](client& o, broker_says&) {
                     o.client_id = {};
                     o.clean_start = true;
                 }},
            {.name = "a clean start and a resumable session",
             .steps = {publish(2), +publish(1), subscribe(1), message(1), message(2)},
             .on = versions::v5,
             .change = [](client& o, broker_says&) { o.clean_start = true; }},
            {.name = "a clean session",
             .steps = {publish(2), +publish(1), subscribe(2), message(1), message(2)},
             .on = versions::v3_1_1,
             .change = [](client& o, broker_says&) { o.clean_start = true; }},
            {.name = "a first connect that is not retried",
             .steps = {publish(1), +publish(2)},
             .change = [](client& o, broker_says&) { o.reconnect.retry_first = false; }},
            {.name = "two endpoints",
             .steps = {publish(2), message(1)},
             .change =
                 [](client& o, broker_says&) {
                     static constexpr tern::endpoint second{.host = "second"};
                     o.more_endpoints = std::span(&second, 1);
                 }},
            {.name = "limits of the broker",
             .steps = {publish(1), +publish(1), +publish(0), publish(1).retained(), subscribe(1), message(1)},
             .on = versions::v5,
             .change =
                 [](client&, broker_says& b) {
                     b.receive_maximum = 2;
                     b.maximum_qos = tern::qos::at_least_once;
                     b.maximum_packet_size = 200;
                     b.topic_alias_maximum = 1;
                     b.session_expiry_interval = std::chrono::seconds{600};
                 }},
            {.name = "limits of the client",
             .steps = {subscribe(2), message(2), +message(1), +message(0), publish(1)},
             .on = versions::v5,
             .change =
                 [](client& o, broker_says&) {
                     o.properties.receive_maximum = 1;
                     o.properties.maximum_packet_size = 100;
                     o.properties.request_problem_information = false;
                 }},
            {.name = "messages before the first connect",
             .steps = {publish(1), +publish(2), +publish(0), connect, publish(2)},
             .offline = true},
        },
        40'000);
}

TEST_CASE("enhanced authentication is correct, wherever the connection is cut [§4.12]") {
    const auto method = [](client& o, broker_says&) { o.properties.authentication_method = "M"; };
    run("authentication",
        {
            {.name = "an authentication",
             .steps = {subscribe(2), publish(2), +publish(1), message(2), message(1)},
             .on = versions::v5,
             .change = method},
            {.name = "an authentication before a clean start",
             .steps = {publish(2), subscribe(1), message(1)},
             .on = versions::v5,
             .change =
                 [](client& o, broker_says&) {
                     o.properties.authentication_method = "M";
                     o.clean_start = true;
                 }},
            {.name = "re-authentication",
             .steps = {reauthenticate, publish(2), reauthenticate, disconnect, connect, reauthenticate},
             .on = versions::v5,
             .change = method},
            {.name = "re-authentication among messages in both directions",
             .steps = {subscribe(2), publish(2), +reauthenticate, +publish(1), message(2), +message(1)},
             .on = versions::v5,
             .change = method},
            {.name = "DISCONNECT during re-authentication",
             .steps = {publish(1), +reauthenticate, +disconnect, connect, publish(2)},
             .on = versions::v5,
             .change = method},
        },
        35'000);
}

TEST_CASE("a session ends correctly, wherever the connection is cut") {
    run("ending",
        {
            {.name = "connect and disconnect", .steps = {disconnect}},
            {.name = "DISCONNECT after all operations", .steps = {publish(1), publish(2), disconnect}},
            {.name = "DISCONNECT after unfinished operations",
             .steps = {publish(0), +publish(1), +publish(2), +disconnect}},
            {.name = "DISCONNECT after a received message",
             .steps = {subscribe(2), message(2), +message(1), +disconnect}},
            {.name = "drain, then disconnect",
             .steps = {publish(2), +publish(1), +publish(2), +drain(30s), wait(100ms), disconnect}},
            {.name = "a drain without time", .steps = {publish(2), +publish(1), +drain(0ms), publish(1)}},
            {.name = "disconnect and connect again",
             .steps = {subscribe(2), publish(2), disconnect, message(2), message(1), connect, publish(1)}},
            {.name = "disconnect during operations and connect again",
             .steps = {publish(2), +publish(1), +disconnect, connect, publish(2), publish(1)}},
            {.name = "disconnect and connect with a clean start",
             .steps = {subscribe(2), message(2), publish(2), +disconnect, connect, subscribe(1), message(2)},
             .change = [](client& o, broker_says&) { o.clean_start = true; }},
            {.name = "disconnect without a connection",
             .steps = {publish(2), drop, publish(1), disconnect, connect, publish(2)}},
        },
        45'000);
}

} // namespace cuts
