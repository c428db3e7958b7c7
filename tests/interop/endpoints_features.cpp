// The checks of the features of MQTT at each endpoint.
#include "endpoint_client.hpp"
#include "endpoints.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace interop {
namespace {

using tern::protocol_version;
using tern::qos;

void require_payload(const tern::received_message& m, std::string_view expected, const std::string& what) {
    if (m.payload != expected) fail_check(what + ": the payload is \"" + std::string(m.payload.substr(0, 20)) + "\"");
}

std::string under(const endpoint_client& c, const std::string& what, qos level) {
    return c.topic() + "/" + what + std::to_string(static_cast<int>(level));
}

} // namespace

void check_retained(running_endpoint& endpoint, protocol_version version) {
    endpoint_client publisher(endpoint, version);
    publisher.connect();
    for (const qos level : endpoint.levels) {
        const std::string topic = under(publisher, "state", level);
        publisher.publish({.topic = topic, .payload = "old", .qos = level, .retain = true});
        publisher.publish({.topic = topic, .payload = "kept", .qos = level, .retain = true});
        publisher.ping(); // the broker has processed the message, also with QoS 0

        endpoint_client late(endpoint, version);
        late.connect();
        late.subscribe({.filter = topic, .max_qos = level});
        const auto kept = late.next_message("retained message of " + name_of(level));
        require_payload(kept, "kept", "the retained message of " + name_of(level));
        if (!kept.retain) fail_check("a retained message of " + name_of(level) + " without RETAIN");
        late.disconnect();

        publisher.publish({.topic = topic, .qos = level, .retain = true});
        publisher.ping();
        endpoint_client after(endpoint, version);
        after.connect();
        after.subscribe({.filter = topic, .max_qos = level});
        publisher.publish({.topic = topic, .payload = "live", .qos = level});
        auto live = after.next_message("message of " + name_of(level));
        if (endpoint.deletion == deletion_of_retained::leaves_an_empty_message && live.payload.empty())
            live = after.next_message("message of " + name_of(level));
        require_payload(live, "live", "after the retained message of " + name_of(level) + " was deleted");
        if (live.retain) fail_check("a live message of " + name_of(level) + " with RETAIN");
        after.disconnect();
    }
}

void check_will(running_endpoint& endpoint, protocol_version version) {
    endpoint_client watcher(endpoint, version);
    watcher.connect();
    for (const qos level : endpoint.levels) {
        const std::string topic = under(watcher, "will", level);
        watcher.subscribe({.filter = topic, .max_qos = level});
        endpoint_client victim(endpoint, version);
        victim.connect({.will = tern::message_view{.topic = topic, .payload = "gone", .qos = level}});
        victim.vanish();
        const auto will = watcher.next_message("will of " + name_of(level));
        require_payload(will, "gone", "the will of " + name_of(level));
        if (will.qos != level) fail_check("the will has " + name_of(will.qos) + " instead of " + name_of(level));
    }
}

void check_session(running_endpoint& endpoint, protocol_version version) {
    endpoint_client sleeper(endpoint, version);
    sleeper.connect();
    sleeper.disconnect();
    endpoint_client publisher(endpoint, version);
    publisher.connect();
    std::vector<std::string> expected;
    for (const qos level : endpoint.levels)
        for (int i = 0; level != qos::at_most_once && i != 20; ++i) {
            expected.push_back(name_of(level) + ", number " + std::to_string(i));
            publisher.publish({.topic = sleeper.topic(), .payload = expected.back(), .qos = level});
        }
    require_success(sleeper.try_connect(), "the second CONNACK");
    for (const std::string& each : expected)
        require_payload(sleeper.next_message(each), each, each);
    sleeper.disconnect();
}

// With up to 100 messages on their way, because brokers limit the messages that wait for a client.
void check_order(running_endpoint& endpoint, protocol_version version) {
    constexpr std::size_t count = 5'000;
    constexpr std::size_t most_on_their_way = 100;
    endpoint_client c(endpoint, version);
    c.connect();
    const other_client other(c.context(), endpoint.port_of_other_client);
    for (const qos level : endpoint.levels) {
        std::size_t sent = 0;
        std::size_t received = 0;
        std::string failure;
        c.client().set_message_callback([&](const tern::received& m) {
            if (m.payload != std::to_string(received++) && failure.empty())
                failure =
                    name_of(level) + ": " + std::string(m.payload) + " instead of " + std::to_string(received - 1);
        });
        while (received != count && failure.empty()) {
            for (; sent != std::min(count, received + most_on_their_way); ++sent)
                c.client().async_publish({.topic = c.topic(), .payload = std::to_string(sent), .qos = level},
                                         [&failure](std::error_code error, const auto&) {
                                             if (error) failure = error.message();
                                         });
            const std::size_t before = received;
            c.until("message " + std::to_string(before) + " of " + name_of(level),
                    [&] { return received != before || !failure.empty(); });
        }
        c.ping();
        c.client().set_message_callback({});
        if (!failure.empty()) fail_check(failure);
    }
    c.disconnect();
}

void check_subscriptions(running_endpoint& endpoint, protocol_version version) {
    constexpr std::size_t count = 200;
    endpoint_client c(endpoint, version);
    c.connect();
    std::vector<std::string> topics;
    for (std::size_t i = 0; i != count; ++i)
        topics.push_back(c.topic() + "/" + std::to_string(i));
    std::vector<tern::subscription> all;
    for (std::size_t i = 0; i != count; ++i)
        all.push_back({.filter = topics[i], .max_qos = endpoint.levels[i % endpoint.levels.size()]});
    c.subscribe(std::span<const tern::subscription>(all));
    for (std::size_t i = 0; i != count; ++i) {
        c.publish({.topic = topics[i], .payload = topics[i], .qos = all[i].max_qos});
        const auto m = c.next_message("message of subscription " + std::to_string(i));
        require_payload(m, m.topic, topics[i]);
        if (m.topic != topics[i]) fail_check("another message than that of subscription " + std::to_string(i));
    }
    c.disconnect();
}

void check_refusal(running_endpoint& endpoint, protocol_version version) {
    endpoint_client c(endpoint, version);
    const std::error_code error = c.try_connect({.user_name = endpoint.refused_user, .password = "wrong"});
    if (!error) fail_check("a wrong password was accepted");
    if (error.category() != tern::refusal_category()) fail_check("not a refusal: " + error.message());
}

} // namespace interop
