// The features of MQTT with both versions and each QoS.
#include "interop_client.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string>

namespace {

using namespace interop;
using tern::protocol_version;

void retain(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("state");
    auto publisher = connected(w, version, "publisher");
    publisher.publishes({.topic = topic, .payload = "old", .qos = level, .retain = true});
    publisher.publishes({.topic = topic, .payload = "kept", .qos = level, .retain = true});
    publisher.publishes({.topic = topic, .payload = "not kept", .qos = level});

    auto late = connected(w, version, "late");
    late.subscribes({.filter = topic, .max_qos = qos::exactly_once});
    const auto kept = late.receives();
    CHECK(kept.topic == topic);
    CHECK(kept.payload == "kept");
    CHECK(kept.retain);
    CHECK(kept.qos == level);

    publisher.publishes({.topic = topic, .payload = "new", .qos = level, .retain = true});
    const auto live = late.receives();
    CHECK(live.payload == "new");
    CHECK_FALSE(live.retain);
    CHECK(live.qos == level);
    late.receives_nothing();

    if (version == v5) {
        auto exact = connected(w, version, "exact");
        exact.subscribes({.filter = topic,
                          .max_qos = level,
                          .retain_as_published = true,
                          .retain_handling = tern::retain_handling::do_not_send});
        exact.receives_nothing();
        publisher.publishes({.topic = topic, .payload = "newer", .qos = level, .retain = true});
        CHECK(exact.receives().retain);
    }
}
INTEROP_CASE_ALL(
    retain, "a later subscriber receives the retained message",
    "[v311:MQTT-3.3.1-5] [v311:MQTT-3.3.1-6] [v311:MQTT-3.3.1-8] [v311:MQTT-3.3.1-9] [v311:MQTT-3.3.1-12]",
    "[v5:MQTT-3.3.1-5] [v5:MQTT-3.3.1-8] [v5:MQTT-3.3.1-9] [v5:MQTT-3.3.1-11] [v5:MQTT-3.3.1-12] [v5:MQTT-3.3.1-13]")

void delete_retained(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("state");
    auto early = connected(w, version, "early");
    early.subscribes({.filter = topic, .max_qos = level});
    auto publisher = connected(w, version, "publisher");
    publisher.publishes({.topic = topic, .payload = "x", .qos = level, .retain = true});
    publisher.publishes({.topic = topic, .qos = level, .retain = true});
    CHECK(early.receives().payload == "x");
    const auto deletion = early.receives();
    CHECK(deletion.payload.empty());
    CHECK_FALSE(deletion.retain);

    publisher.pings(); // the broker has processed the message, also at QoS 0
    auto late = connected(w, version, "late");
    late.subscribes({.filter = topic, .max_qos = level});
    late.receives_nothing();
}
INTEROP_CASE_ALL(delete_retained, "an empty message deletes the retained one",
                 "[v311:MQTT-3.3.1-10] [v311:MQTT-3.3.1-11]", "[v5:MQTT-3.3.1-6] [v5:MQTT-3.3.1-7]")

void will_on_cut(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("will");
    constexpr std::string_view payload{"gone\0\xFF", 6};
    auto watcher = connected(w, version, "watcher");
    watcher.subscribes({.filter = topic, .max_qos = qos::exactly_once});

    const std::array about{tern::user_property{"why", "cut"}};
    interop_client victim(w, version, "victim");
    victim.options.will = {.topic = topic, .payload = payload, .qos = level, .retain = true};
    if (version == v5) victim.options.will->properties.user_properties = about;
    victim.connects();
    watcher.receives_nothing();
    victim.cuts();

    const auto will = watcher.receives();
    CHECK(will.payload == payload);
    CHECK(will.qos == level);
    CHECK_FALSE(will.retain);
    if (version == v5) CHECK(will.properties.user_properties == tern::user_properties_view(about));

    auto late = connected(w, version, "late");
    late.subscribes({.filter = topic, .max_qos = qos::exactly_once});
    const auto kept = late.receives();
    CHECK(kept.payload == payload);
    CHECK(kept.retain);

    victim.options.will = {};
    victim.connects();
    victim.cuts();
    w.until_logged({victim.id(), "closed"}, 2);
    watcher.receives_nothing();
}
INTEROP_CASE_ALL(will_on_cut, "the broker publishes the will of a cut connection",
                 "[v311:MQTT-3.1.2-8] [v311:MQTT-3.1.2-10] [v311:MQTT-3.1.2-14] [v311:MQTT-3.1.2-17]",
                 "[v5:MQTT-3.1.2-7] [v5:MQTT-3.1.2-8] [v5:MQTT-3.1.2-10] [v5:MQTT-3.1.2-15]")

void no_will_on_disconnect(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("will");
    auto watcher = connected(w, version, "watcher");
    watcher.subscribes({.filter = topic, .max_qos = level});
    interop_client leaver(w, version, "leaver");
    leaver.options.will = {.topic = topic, .payload = "gone", .qos = level};
    leaver.connects();
    leaver.disconnects();
    w.until_logged({leaver.id(), "disconnected"});
    watcher.receives_nothing();

    if (version == v5) { // the reason code can request the will
        leaver.connects();
        leaver.disconnects({.reason_code = tern::reason_code::disconnect_with_will_message});
        CHECK(watcher.receives().payload == "gone");
    }
}
INTEROP_CASE_ALL(no_will_on_disconnect, "DISCONNECT discards the will",
                 "[v311:MQTT-3.1.2-10] [v311:MQTT-3.14.4-1] [v311:MQTT-3.14.4-3]",
                 "[v5:MQTT-3.1.2-10] [v5:MQTT-3.14.4-2] [v5:MQTT-3.14.4-3]")

void sessions(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("t");
    auto publisher = connected(w, version, "publisher");
    const auto publish = [&](std::string_view payload) {
        publisher.publishes({.topic = topic, .payload = payload, .qos = level});
        publisher.pings();
    };

    interop_client sleeper(w, version, "sleeper");
    sleeper.options.properties = keep_session(version);
    CHECK_FALSE(sleeper.connects().session_present); // discards a session of an earlier run
    sleeper.cuts();
    sleeper.options.clean_start = version == v5; // in 3.1.1 a clean session ends with its connection
    CHECK_FALSE(sleeper.connects().session_present);
    CHECK(sleeper.subscribes({.filter = topic, .max_qos = level}).reason_code == static_cast<tern::reason_code>(level));
    publish("awake");
    CHECK(sleeper.receives().payload == "awake");
    sleeper.disconnects();
    w.until_logged({sleeper.id(), "disconnected"});
    publish("asleep");

    // The same client object resumes its session.
    sleeper.options.clean_start = false;
    CHECK(sleeper.connects().session_present);
    if (level != qos::at_most_once) CHECK(sleeper.receives().payload == "asleep");
    publish("again");
    CHECK(sleeper.receives().payload == "again");
    sleeper.cuts();
    publish("after the cut");

    // A new client object has no session state. In 5.0 it must opt in to a session that the broker has.
    if (version == v5) CHECK(sleeper.connect().error == tern::errc::unexpected_session_present);
    sleeper.options.assume_session = true;
    CHECK(sleeper.connects().session_present);
    // A QoS 0 message is lost, whether the broker has detected the cut or not.
    if (level != qos::at_most_once) CHECK(sleeper.receives().payload == "after the cut");
    sleeper.receives_nothing();
    sleeper.disconnects();

    // A clean start discards the session and its messages.
    sleeper.options.clean_start = true;
    CHECK_FALSE(sleeper.connects().session_present);
    publish("without a subscriber");
    sleeper.receives_nothing();
}
INTEROP_CASE_ALL(
    sessions, "a session outlives its connection, a clean session does not",
    "[v311:MQTT-3.1.2-4] [v311:MQTT-3.1.2-5] [v311:MQTT-3.1.2-6] [v311:MQTT-3.2.2-1] [v311:MQTT-3.2.2-2] "
    "[v311:MQTT-3.2.2-3]",
    "[v5:MQTT-3.1.2-4] [v5:MQTT-3.1.2-5] [v5:MQTT-3.1.2-6] [v5:MQTT-3.1.2-23] [v5:MQTT-3.2.2-2] [v5:MQTT-3.2.2-3]")

void downgrade(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("t");
    auto subscriber = connected(w, version, "subscriber");
    CHECK(subscriber.subscribes({.filter = topic, .max_qos = level}).reason_code ==
          static_cast<tern::reason_code>(level));
    auto publisher = connected(w, version, "publisher");
    for (const qos sent : {qos::at_most_once, qos::at_least_once, qos::exactly_once}) {
        publisher.publishes({.topic = topic, .payload = "x", .qos = sent});
        CHECK(subscriber.receives().qos == std::min(sent, level));
    }
}
INTEROP_CASE_ALL(downgrade, "a message arrives with at most the QoS of the subscription", "[v311:MQTT-3.8.4-6]",
                 "[v5:MQTT-3.8.4-8]")

void wildcards(protocol_version version, qos level) {
    test_environment w;
    auto subscriber = connected(w, version, "subscriber");
    const std::string one = w.unique("+/temperature");
    const std::string all = w.unique("house/#");
    const std::string both = w.unique("yard/+/#");
    const std::array filters{tern::subscription{.filter = one, .max_qos = level},
                             tern::subscription{.filter = all, .max_qos = level},
                             tern::subscription{.filter = both, .max_qos = level}};
    REQUIRE_FALSE(subscriber.subscribe(filters).error);

    auto publisher = connected(w, version, "publisher");
    std::multiset<std::string> expected;
    const auto publish = [&](std::string_view name, bool matches) {
        const std::string topic = w.unique(name);
        publisher.publishes({.topic = topic, .payload = name, .qos = level});
        if (matches) expected.insert(topic);
    };
    publish("kitchen/temperature", true);
    publish("/temperature", true);
    publish("kitchen/oven/temperature", false);
    publish("kitchen/humidity", false);
    publish("temperature", false);
    publish("house", true);
    publish("house/", true);
    publish("house/1/2/3", true);
    publish("houses/1", false);
    publish("yard", false);
    publish("yard/tree", true);
    publish("yard/tree/leaf", true);
    publisher.pings();

    std::multiset<std::string> received;
    while (received.size() != expected.size())
        received.emplace(subscriber.receives().topic);
    CHECK(received == expected);
    subscriber.receives_nothing();
}
INTEROP_CASE_ALL(wildcards, "wildcards match whole levels", "[v311:MQTT-4.7.1-2] [v311:MQTT-4.7.1-3]",
                 "[v5:MQTT-4.7.1-1] [v5:MQTT-4.7.1-2]")

void one_mebibyte(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("t");
    std::string payload(1 << 20, '\0');
    unsigned state = 1;
    for (char& byte : payload)
        byte = static_cast<char>((state = state * 1'664'525U + 1'013'904'223U) >> 24);
    auto client = connected(w, version, "client");
    client.subscribes({.filter = topic, .max_qos = level});
    client.publishes({.topic = topic, .payload = payload, .qos = level});
    const auto received = client.receives();
    CHECK(received.payload.size() == payload.size());
    const bool is_same = received.payload == payload; // keeps Catch2 from printing the payload
    CHECK(is_same);
    CHECK(received.qos == level);
}
INTEROP_CASE_ALL(one_mebibyte, "a payload of 1 MiB arrives", "[2.2.3]", "[2.1.4]")

void empty_payload(protocol_version version, qos level) {
    test_environment w;
    const std::string topic = w.unique("t");
    auto client = connected(w, version, "client");
    client.subscribes({.filter = topic, .max_qos = level});
    client.publishes({.topic = topic, .qos = level});
    const auto received = client.receives();
    CHECK(received.topic == topic);
    CHECK(received.payload.empty());
    CHECK(received.qos == level);
    client.receives_nothing();
}
INTEROP_CASE_ALL(empty_payload, "an empty payload arrives", "[3.3.3]", "[3.3.3]")

} // namespace
