// Cuts while the client subscribes and receives.
#include "catch.hpp"
#include "cuts.hpp"

namespace cuts {
namespace {

using client = tern::connect_options;
using broker_says = tern::connack_properties;

template <unsigned Maximum>
void receive_maximum(client& o, broker_says&) {
    o.properties.receive_maximum = Maximum;
}

} // namespace

TEST_CASE("subscriptions survive, wherever the connection is cut") {
    run("subscribing",
        {
            {.name = "subscribe", .steps = {subscribe(1)}},
            {.name = "two filters in one packet", .steps = {subscribe(1, "i", "i/+"), message(1)}},
            {.name = "subscribe and unsubscribe", .steps = {subscribe(1), unsubscribe(), message(1)}},
            {.name = "subscribe and unsubscribe at once",
             .steps = {subscribe(1), +unsubscribe(), +subscribe(2, "k"), +unsubscribe("k"), +subscribe(2, "k")}},
            {.name = "another QoS for the same filter", .steps = {subscribe(0), message(1), subscribe(2), message(2)}},
            {.name = "a refused filter", .steps = {subscribe(1, "no/x"), subscribe(1, "i", "no/y"), message(1)}},
            {.name = "a subscription is cancelled", .steps = {subscribe(2), +cancel, publish(1)}},
            {.name = "a subscription with another QoS is cancelled",
             .steps = {subscribe(2), subscribe(1), +cancel, publish(1)}},
            {.name = "an unsubscription is cancelled", .steps = {subscribe(2), unsubscribe(), +cancel, publish(1)}},
            {.name = "a renewal of one filter at a time",
             .steps = {subscribe(2), subscribe(1, "i/+"), subscribe(0, "k"), forget, unsubscribe("k"), message(2)},
             .change = [](client& o, broker_says&) { o.max_renewal_filters = 1; }},
            {.name = "unsubscribe from an unknown filter", .steps = {unsubscribe("i", "j"), subscribe(0)}},
            {.name = "subscribe without a connection",
             .steps = {drop, subscribe(1), +publish(1), +subscribe(2, "k"), +unsubscribe("k"), message(1)}},
            {.name = "a session without resubscribing",
             .steps = {subscribe(1), message(1), publish(1)},
             .change = [](client& o, broker_says&) { o.resubscribe = false; }},
            {.name = "retained messages for a new subscription",
             .steps = {message(1).retained(), message(2).to("k").retained(), subscribe(2), subscribe(1, "k")}},
            {.name = "subscription identifiers",
             .steps = {subscribe(1).as(7, "i"), subscribe(2).as(300, "i/+"), message(1), message(2).to("i/a")},
             .on = versions::v5},
            {.name = "a subscription changes during a resubscribe",
             .steps = {subscribe(1), subscribe(1, "k"), forget, +unsubscribe("k"), +subscribe(2), message(2)}},
        },
        50'000);
}

TEST_CASE("messages to the client are delivered, wherever the connection is cut") {
    run("receiving",
        {
            {.name = "a message of QoS 0", .steps = {subscribe(2), message(0)}},
            {.name = "a message of QoS 1", .steps = {subscribe(2), message(1)}},
            {.name = "a message of QoS 2", .steps = {subscribe(2), message(2)}},
            {.name = "three of QoS 1", .steps = {subscribe(2), message(1), +message(1), +message(1)}},
            {.name = "three of QoS 2", .steps = {subscribe(2), message(2), +message(2), +message(2)}},
            {.name = "all QoS in turn",
             .steps = {subscribe(2), message(2), message(1), message(0), message(1), message(2)}},
            {.name = "all QoS at once",
             .steps = {subscribe(2), message(1), +message(2), +message(0), +message(2), +message(1)}},
            {.name = "both directions",
             .steps = {subscribe(2), message(2), +publish(2), +message(1), +publish(1), message(2), +publish(2)}},
            {.name = "the client's own messages", .steps = {subscribe(2, "o"), publish(2), +publish(0), publish(2)}},
        },
        48'000);
}

TEST_CASE("messages are acknowledged, wherever the connection is cut") {
    run("acknowledging",
        {
            {.name = "acknowledged later",
             .steps = {subscribe(2), hold, message(1), +message(2), publish(1), release, message(2), release}},
            {.name = "acknowledged in another order",
             .steps = {subscribe(2), hold, message(2), +message(1), +message(2), release_last, release_last,
                       release_last}},
            {.name = "acknowledged on the next connection",
             .steps = {subscribe(2), hold, message(1), +message(2), drop, wait(5s), release, message(2)}},
            {.name = "acknowledged without a connection",
             .steps = {subscribe(2), hold, message(2), +message(1), drop, release, message(1), +message(2)}},
            {.name = "acknowledged after the session was lost",
             .steps = {subscribe(2), hold, message(2), +message(1), forget, wait(5s), message(2), +release}},
            {.name = "the client's Receive Maximum of one",
             .steps = {subscribe(2), message(2), +message(1), +message(2)},
             .on = versions::v5,
             .change = &receive_maximum<1>},
            {.name = "the client's Receive Maximum of two, held",
             .steps = {subscribe(2), hold, message(2), +message(1), +message(2), release_last, release, release},
             .on = versions::v5,
             .change = &receive_maximum<2>},
            {.name = "the client's Receive Maximum of three",
             .steps = {subscribe(2), message(2), +message(2), +message(1), +message(2), +message(1)},
             .on = versions::v5,
             .change = &receive_maximum<3>},
            {.name = "the inbox pauses",
             .steps = {subscribe(2), pause, message(1), +message(2), publish(1), +publish(2), read, message(1)}},
            {.name = "the inbox pauses for a long time",
             .steps = {subscribe(1), publish(1), +pause, message(1), wait(50s), wait(50s), read, message(1)},
             .change = [](client& o, broker_says&) { o.keep_alive = 20s; }},
        },
        55'000);
}

} // namespace cuts
