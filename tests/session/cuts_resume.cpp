// Cuts after timeouts and after earlier cuts.
#include "catch.hpp"
#include "cuts.hpp"

namespace cuts {
namespace {

using client = tern::connect_options;
using broker_says = tern::connack_properties;

} // namespace

TEST_CASE("timeouts work, wherever the connection is cut") {
    run("time",
        {
            {.name = "keep alive",
             .steps = {wait(25s), publish(1), wait(25s)},
             .change = [](client& o, broker_says&) { o.keep_alive = 10s; }},
            {.name = "keep alive with QoS 0 only",
             .steps = {wait(6s), publish(0), wait(6s), publish(0), wait(6s)},
             .change = [](client& o, broker_says&) { o.keep_alive = 10s; }},
            {.name = "keep alive disabled",
             .steps = {publish(1), wait(1h), publish(2), +publish(0)},
             .change = [](client& o, broker_says&) { o.keep_alive = 0s; }},
            {.name = "no timers at all",
             .steps = {publish(1), wait(1h), publish(2), +publish(0)},
             .change =
                 [](client& o, broker_says&) {
                     o.keep_alive = 0s;
                     o.ack_timeout = 0s;
                 }},
            {.name = "the broker's keep alive",
             .steps = {wait(12s), publish(1), wait(4s)},
             .on = versions::v5,
             .change = [](client&, broker_says& b) { b.server_keep_alive = std::chrono::seconds{5}; }},
            {.name = "the user's pings", .steps = {ping, +ping, publish(1), +ping}},
            {.name = "late acknowledgements are not resent",
             .steps = {publish(1), +publish(2), wait(30s), publish(1)},
             .change = [](client& o, broker_says&) { o.on_ack_timeout = tern::ack_timeout_action::wait; }},
            {.name = "a time to live",
             .steps = {publish(1), drop, publish(1).for_time(1ms), +publish(2).for_time(1min), +publish(0)}},
        },
        25'000);
}

TEST_CASE("a session resumes, wherever the connection is cut a second time") {
    run("resuming",
        {
            {.name = "a break while nothing is in flight", .steps = {publish(1), drop, wait(3s), publish(2)}},
            {.name = "a break with three of QoS 1 in flight", .steps = {publish(1), +publish(1), +publish(1), +drop}},
            {.name = "a break with three of QoS 2 in flight",
             .steps = {publish(2), +publish(2), +publish(2), +drop, wait(5s), publish(2)}},
            {.name = "messages without a connection",
             .steps = {publish(2), drop, publish(1), publish(2), publish(0), publish(1)}},
            {.name = "messages without a connection, a window of two",
             .steps = {publish(2), drop, publish(1), publish(2), publish(2), publish(1)},
             .change = [](client& o, broker_says&) { o.max_in_flight = 2; }},
            {.name = "messages for a disconnected client",
             .steps = {subscribe(2), drop, message(1), message(2), message(0), message(1), message(2)}},
            {.name = "the broker disconnects",
             .steps = {subscribe(2), publish(2), +message(2), +publish(1), +kick, publish(0), wait(5s), message(1)}},
            {.name = "two breaks",
             .steps = {publish(2), drop, publish(2), +publish(1), wait(5s), drop, publish(2), wait(5s)}},
            {.name = "a lost session while nothing is in flight",
             .steps = {subscribe(2), publish(2), forget, wait(3s), message(2), publish(1)}},
            {.name = "a lost session with messages in flight",
             .steps = {subscribe(2), publish(2), +publish(1), +forget, publish(2), wait(5s), message(2)}},
            {.name = "a lost session and many subscriptions",
             .steps = {subscribe(2), subscribe(1, "i/+"), subscribe(0, "k"), forget, wait(5s), message(2)}},
            {.name = "a break, then a lost session",
             .steps = {subscribe(2), publish(2), +message(2), drop, publish(2), wait(5s), forget, publish(1)}},
        },
        92'000);
}

} // namespace cuts
