// Topic aliases of outgoing messages: the application's for each QoS, and the client's own.
#include "dialog.hpp"
#include "tern/codec/any_packet.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

using tern::connack;
using tern::errc;
using tern::publish;
using tern::reason_code;

namespace {

namespace aliases_test {

tern::message_view with_alias(std::string_view topic, std::uint16_t alias, unsigned qos = 0) {
    tern::message_view m = message(topic, "x", qos);
    m.properties.topic_alias = alias;
    return m;
}

connack answer_with(std::uint16_t aliases) {
    return {.properties = {.topic_alias_maximum = aliases}};
}

// The broker's side: resolves the aliases of a connection.
class reader {
public:
    explicit reader(std::uint16_t maximum) : maximum_(maximum) {}

    /// Reads whole packets. A packet that is not whole is the last one of its connection.
    void read(std::string_view bytes) {
        while (const auto found = tern::next_frame(bytes)) {
            if (!found->complete) return;
            bytes.remove_prefix(found->size);
            if (found->frame.type() != tern::packet_type::publish) continue;
            const auto p = tern::decode<publish>(found->frame, tern::protocol_version::v5);
            REQUIRE(p);
            std::string topic(p->message.topic);
            if (const auto alias = p->message.properties.topic_alias) {
                REQUIRE(*alias != 0);
                REQUIRE(*alias <= maximum_);
                if (topic.empty())
                    topic = topics_[*alias];
                else
                    topics_[*alias] = topic;
                used = std::max(used, *alias);
            }
            REQUIRE(!topic.empty());
            messages.push_back(topic + "=" + std::string(p->message.payload));
        }
    }

    std::vector<std::string> messages;
    std::uint16_t used = 0; // the largest number

private:
    std::uint16_t maximum_;
    std::map<std::uint16_t, std::string> topics_;
};

// The bytes of messages to these topics, and without aliases.
struct traffic {
    std::size_t bytes = 0;
    std::size_t without = 0;
};
traffic send_all(dialog& d, const std::vector<std::string>& topics, reader& broker) {
    traffic t;
    std::vector<std::string> expected;
    for (const std::string& topic : topics) {
        const std::string payload = std::to_string(expected.size());
        d.publish(message(topic, payload));
        const std::string bytes = d.written();
        broker.read(bytes);
        t.bytes += bytes.size();
        t.without += d.encoded(publish{message(topic, payload)}).size();
        expected.push_back(topic + "=" + payload);
    }
    CHECK(broker.messages == expected);
    return t;
}

std::vector<std::string> topics_named(std::size_t count) {
    std::vector<std::string> topics;
    for (std::size_t i = 0; i != count; ++i)
        topics.push_back("home/room " + std::to_string(i) + "/temperature");
    return topics;
}

} // namespace aliases_test

using aliases_test::answer_with;
using aliases_test::with_alias;

} // namespace

DIALOG("the application's alias is used at each QoS, and a message that is sent again has its topic "
       "[v5:MQTT-3.3.2-7, v5:MQTT-3.3.2-9]") {
    if (!d.v5()) return;
    d.resumable();
    d.open(answer_with(3));
    d.publish(with_alias("a", 1, 1), 1);
    d.publish(with_alias("", 1, 1), 2);
    d.publish(with_alias("a", 1, 2), 3);
    d.publish(with_alias("", 1));
    d.publish(with_alias("b", 3, 2), 4);
    d.sends(publish{with_alias("a", 1, 1), false, 1}, publish{with_alias("", 1, 1), false, 2},
            publish{with_alias("", 1, 2), false, 3}, publish{with_alias("", 1)},
            publish{with_alias("b", 3, 2), false, 4});
    d.lost();
    d.reopen({.session_present = true, .properties = {.topic_alias_maximum = 1}});
    d.sends(publish_of("a", 1, 1, true), publish_of("a", 1, 2, true), publish_of("a", 2, 3, true),
            publish_of("b", 2, 4, true));
    d.publish(with_alias("", 1, 1), 5); // sets the alias on this connection
    d.publish(with_alias("", 1, 1), 6);
    d.sends(publish{with_alias("a", 1, 1), false, 5}, publish{with_alias("", 1, 1), false, 6});
    CHECK(d.try_publish(with_alias("", 3)) == errc::invalid_topic_alias);
}

DIALOG("the client assigns an alias to a topic that comes again, within the broker's maximum "
       "[v5:MQTT-3.2.2-17, v5:MQTT-3.2.2-18, v5:MQTT-3.3.2-8, v5:MQTT-3.3.2-9]") {
    d.options.automatic_topic_aliases = 10;
    if (!d.v5()) { // it has no aliases
        d.open();
        for (int i = 0; i != 3; ++i)
            d.publish(message("long topic"));
        return d.sends(publish_of("long topic", 0, 0), publish_of("long topic", 0, 0), publish_of("long topic", 0, 0));
    }
    dialog none(d);
    none.open();
    for (int i = 0; i != 3; ++i)
        none.publish(message("long topic"));
    none.sends(publish_of("long topic", 0, 0), publish_of("long topic", 0, 0), publish_of("long topic", 0, 0));

    d.open(answer_with(2));
    for (unsigned qos = 0; qos != 3; ++qos)
        d.publish(message("long topic", "x", qos), 1 + qos);
    d.sends(publish_of("long topic", 0, 0), publish{with_alias("long topic", 1, 1), false, 1},
            publish{with_alias("", 1, 2), false, 2});
    d.publish(message("a"));
    d.publish(message("a"));
    d.publish(message("a")); // the alias would not be shorter
    d.sends(publish_of("a", 0, 0), publish_of("a", 0, 0), publish_of("a", 0, 0));
    CHECK(d.try_publish(with_alias("t", 1)) == errc::invalid_topic_alias); // it is the client's
    for (int i = 0; i != 100; ++i)
        for (const char* topic : {"topic 1", "topic 2", "topic 3"})
            d.publish(message(topic));
    aliases_test::reader broker(2);
    broker.read(d.written());
    CHECK(broker.used == 2);
}

DIALOG("a message that waits gets its alias when it is sent, in the order of the bytes") {
    if (!d.v5()) return;
    d.options.automatic_topic_aliases = 10;
    d.options.max_in_flight = 1;
    d.open(answer_with(10));
    for (unsigned op = 1; op != 5; ++op)
        d.publish(message("long topic", "x", 1), op);
    d.publish(message("long topic"));
    d.publish(message("long topic"));
    d.sends(publish_of("long topic", 1, 1), publish{with_alias("long topic", 1)}, publish{with_alias("", 1)});
    d.broker(tern::puback{1});
    d.sends(publish{with_alias("", 1, 1), false, 2});
    d.lost();
    d.events({done(1), unknown(2), done(3, connection_reset), done(4, connection_reset), over(connection_reset)});
}

DIALOG("after a refusal of the message that set an alias, the next message sets it again") {
    if (!d.v5()) return;
    d.options.automatic_topic_aliases = 10;
    d.open(answer_with(10));
    for (unsigned op = 1; op != 4; ++op)
        d.publish(message("long topic", "x", 1), op);
    d.sends(publish_of("long topic", 1, 1), publish{with_alias("long topic", 1, 1), false, 2},
            publish{with_alias("", 1, 1), false, 3});
    d.broker(tern::puback{1}, tern::puback{3, reason_code::quota_exceeded}); // this one did not set it
    d.publish(message("long topic"));
    d.sends(publish{with_alias("", 1)});
    d.broker(tern::puback{2, reason_code::not_authorized});
    d.events({done(1), done(3, reason_code::quota_exceeded), done(2, reason_code::not_authorized)});
    d.publish(message("long topic", "x", 2), 4);
    d.publish(message("long topic"));
    d.sends(publish{with_alias("long topic", 1, 2), false, 4}, publish{with_alias("", 1)});
    d.broker(tern::pubrec{4, reason_code::quota_exceeded});
    d.events({done(4, reason_code::quota_exceeded)});
    d.publish(message("long topic"));
    d.sends(publish{with_alias("long topic", 1)});
}

DIALOG(
    "a message that with an alias would exceed the broker's Maximum Packet Size is sent without [v5:MQTT-3.2.2-15]") {
    if (!d.v5()) return;
    d.options.automatic_topic_aliases = 10;
    const auto size = static_cast<std::uint32_t>(d.encoded(publish_of("long topic", 0, 0)).size());
    d.open({.properties = {.maximum_packet_size = size, .topic_alias_maximum = 10}});
    for (int i = 0; i != 3; ++i)
        d.publish(message("long topic"));
    d.sends(publish_of("long topic", 0, 0), publish_of("long topic", 0, 0), publish_of("long topic", 0, 0));
}

DIALOG("with more topics than aliases, topics of the same frequency do not displace each other") {
    if (!d.v5() || d.writes_bytes()) return;
    d.options.automatic_topic_aliases = 10;
    d.open(answer_with(10));
    std::vector<std::string> topics;
    for (int i = 0; i != 40; ++i)
        for (const std::string& topic : aliases_test::topics_named(20))
            topics.push_back(topic);
    aliases_test::reader broker(10);
    const auto [bytes, without] = aliases_test::send_all(d, topics, broker);
    CHECK(bytes < without - without / 4); // half of the topics have aliases
}

DIALOG("aliases save bytes with 50 topics and 50 aliases, and with many topics of which few are frequent") {
    if (!d.v5() || d.writes_bytes()) return;
    std::mt19937 random(1);
    d.options.automatic_topic_aliases = 65'535;
    dialog few(d);
    few.open(answer_with(50));
    std::vector<std::string> uniform;
    for (int i = 0; i != 10'000; ++i)
        uniform.push_back(aliases_test::topics_named(50)[random() % 50]);
    aliases_test::reader all(50);
    const auto [few_bytes, few_without] = aliases_test::send_all(few, uniform, all);
    CHECK(few_bytes < few_without / 2);

    d.open(answer_with(10));
    const auto names = aliases_test::topics_named(1'000);
    std::vector<double> weights;
    for (std::size_t i = 0; i != names.size(); ++i)
        weights.push_back(1.0 / static_cast<double>(i + 1));
    std::discrete_distribution<std::size_t> skewed(weights.begin(), weights.end());
    std::vector<std::string> topics;
    for (int i = 0; i != 10'000; ++i)
        topics.push_back(names[skewed(random)]);
    aliases_test::reader broker(10);
    const auto [bytes, without] = aliases_test::send_all(d, topics, broker);
    CHECK(bytes < without - without / 5);
}

DIALOG("aliases never cost more than their first setting, whatever the topics are") {
    if (!d.v5() || d.writes_bytes()) return;
    for (const std::size_t count : {1U, 2U, 9U, 30U, 1'000U}) {
        for (unsigned seed = 0; seed != 4; ++seed) {
            std::mt19937 random(seed);
            dialog one(d);
            one.options.automatic_topic_aliases = 8;
            one.open(answer_with(8));
            const auto names = aliases_test::topics_named(count);
            std::vector<std::string> topics;
            for (int i = 0; i != 2'000; ++i) // the favourites change
                topics.push_back(names[(random() % count + static_cast<unsigned>(i) / 100 * 7) % count]);
            aliases_test::reader broker(8);
            const auto [bytes, without] = aliases_test::send_all(one, topics, broker);
            INFO(count << " topics, seed " << seed);
            CHECK(bytes <= without + 8 * 3U);
        }
    }
}

DIALOG("wherever a connection is cut, the broker sees each topic once its connection is aliased again "
       "[v5:MQTT-3.3.2-7, v5:MQTT-4.4.0-1]") {
    if (!d.v5() || d.writes_bytes()) return;
    d.resumable();
    d.options.automatic_topic_aliases = 2;
    d.open(answer_with(3));
    std::vector<std::string> expected;
    const auto send = [&](const std::string& topic, unsigned qos, std::uint16_t alias) {
        const std::string payload = std::to_string(expected.size());
        tern::message_view m = message(topic, payload, qos);
        if (alias != 0) m.properties.topic_alias = alias;
        d.publish(m);
        expected.push_back(topic + "=" + payload);
    };
    for (int i = 0; i != 4; ++i) {
        for (unsigned qos = 0; qos != 3; ++qos) {
            send("topic one", qos, 0);
            send("topic two", qos, 0);
            send("topic " + std::to_string(i), qos, 3);
            send("other topic " + std::to_string(i), qos, 0);
        }
    }
    std::size_t total = 0;
    for (const std::string_view part : d.session.pending_write())
        total += part.size();
    for (std::size_t cut = 0; cut <= total; ++cut) {
        dialog one(d);
        aliases_test::reader first(3);
        first.read(one.written(cut));
        one.lost();
        one.events_so_far();
        one.reopen(
            {.session_present = true, .properties = {.topic_alias_maximum = static_cast<std::uint16_t>(cut % 4)}});
        aliases_test::reader second(static_cast<std::uint16_t>(cut % 4));
        second.read(one.written());
        // QoS 0 messages that were written are not sent again, the others in their order, and nothing is lost.
        std::vector<std::string> seen = first.messages;
        for (const std::string& m : second.messages)
            if (std::find(seen.begin(), seen.end(), m) == seen.end()) seen.push_back(m);
        std::sort(seen.begin(), seen.end());
        std::vector<std::string> all = expected;
        std::sort(all.begin(), all.end());
        REQUIRE(seen == all);
    }
}
