// Cuts while the client publishes.
#include "catch.hpp"
#include "cuts.hpp"

namespace cuts {
namespace {

using client = tern::connect_options;
using broker_says = tern::connack_properties;

} // namespace

TEST_CASE("the client's messages arrive, wherever the connection is cut") {
    run("publishing",
        {
            {.name = "QoS 0", .steps = {publish(0)}},
            {.name = "QoS 1", .steps = {publish(1)}},
            {.name = "QoS 2", .steps = {publish(2)}},
            {.name = "three of QoS 0", .steps = {publish(0), +publish(0), publish(0)}},
            {.name = "three of QoS 1", .steps = {publish(1), +publish(1), publish(1)}},
            {.name = "three of QoS 2", .steps = {publish(2), +publish(2), publish(2)}},
            {.name = "all QoS in a row", .steps = {publish(0), publish(1), publish(2), publish(1), publish(0)}},
            {.name = "all QoS at once", .steps = {publish(2), +publish(1), +publish(0), +publish(2), +publish(1)}},
            {.name = "a packet of two length bytes", .steps = {publish(2).of_size(130)}},
            {.name = "a message is cancelled",
             .steps = {publish(1), +publish(1), +cancel, publish(2), cancel, publish(2)}},
            {.name = "a QoS 2 message is cancelled while it is written, then a break",
             .steps = {publish(2), +cancel, +drop, publish(1), wait(5s), publish(2)}},
            {.name = "a QoS 2 message is cancelled while it is written, then a lost session",
             .steps = {publish(2), +cancel, +forget, publish(1), wait(5s), publish(2)}},
            {.name = "a QoS 2 message is cancelled after a break",
             .steps = {publish(2), +publish(2), +drop, +cancel, publish(1), wait(5s), publish(2)}},
            {.name = "a QoS 2 message is cancelled after a lost session",
             .steps = {publish(2), +publish(2), +forget, +cancel, publish(1), wait(5s), publish(2)}},
            {.name = "a message beyond the window is cancelled",
             .steps = {publish(2), +publish(1), +publish(2), +cancel, +publish(1)},
             .change = [](client& o, broker_says&) { o.max_in_flight = 1; }},
            {.name = "retained messages", .steps = {publish(1).retained(), publish(2).to("p").retained()}},
            {.name = "refused messages",
             .steps = {publish(1).to("no/a"), +publish(2).to("no/b"), +publish(2), publish(2).to("no/c")},
             .on = versions::v5},
            {.name = "topic aliases",
             .steps = {publish(0).as(1, "o"), publish(1).as(1, "o"), +publish(0).as(1, "o"), publish(0).as(2, "p"),
                       +publish(2).as(2, "o"), +publish(0).as(2, "o")},
             .on = versions::v5,
             .change = [](client&, broker_says& b) { b.topic_alias_maximum = 2; }},
            {.name = "QoS 2 published again when the session is lost",
             .steps = {publish(2), +publish(2), publish(1), publish(2)},
             .change = [](client& o, broker_says&) { o.republish_qos_2 = true; }},
        },
        63'000);
}

TEST_CASE("the window holds, wherever the connection is cut") {
    run("window",
        {
            {.name = "a window of one",
             .steps = {publish(1), +publish(2), +publish(1), +publish(0)},
             .change = [](client& o, broker_says&) { o.max_in_flight = 1; }},
            {.name = "a window of two",
             .steps = {publish(2), +publish(2), +publish(1), +publish(2), +publish(0), +publish(1)},
             .change = [](client& o, broker_says&) { o.max_in_flight = 2; }},
            {.name = "a window of three",
             .steps = {publish(2), +publish(1), +publish(2), +publish(1), +publish(2), +publish(1)},
             .change = [](client& o, broker_says&) { o.max_in_flight = 3; }},
            {.name = "the broker's Receive Maximum of one",
             .steps = {publish(2), +publish(1), +publish(2)},
             .on = versions::v5,
             .change = [](client&, broker_says& b) { b.receive_maximum = 1; }},
            {.name = "the broker's Receive Maximum of two",
             .steps = {publish(2), +publish(2), +publish(2), +publish(1)},
             .on = versions::v5,
             .change = [](client&, broker_says& b) { b.receive_maximum = 2; }},
            {.name = "the broker's Receive Maximum of three",
             .steps = {publish(1), +publish(2), +publish(1), +publish(2), +publish(2)},
             .on = versions::v5,
             .change = [](client&, broker_says& b) { b.receive_maximum = 3; }},
            {.name = "a Receive Maximum that gets smaller",
             .steps = {publish(2), +publish(1), +publish(2), +publish(2), drop, wait(5s), publish(1), +publish(2)},
             .on = versions::v5,
             .narrows = true},
            {.name = "packets beyond the window",
             .steps = {publish(2), +publish(2), +subscribe(1), +ping, +publish(0), +message(1), message(1)},
             .change = [](client& o, broker_says&) { o.max_in_flight = 1; }},
            {.name = "both windows of one",
             .steps = {subscribe(2), publish(2), +message(2), +publish(1), +message(1), publish(2), +message(2)},
             .on = versions::v5,
             .change =
                 [](client& o, broker_says& b) {
                     o.properties.receive_maximum = 1;
                     b.receive_maximum = 1;
                 }},
            {.name = "a full queue drops the oldest QoS 0",
             .steps = {drop, publish(0), publish(0), publish(1), publish(0), publish(2)},
             .change =
                 [](client& o, broker_says&) {
                     o.queue = {.messages = 2, .when_full = tern::full_queue_action::drop_oldest_qos_0};
                     o.max_in_flight = 1;
                 }},
        },
        48'000);
}

} // namespace cuts
