// Compiles and runs the snippets of docs/cookbook.md. readme.py takes each of them out of the page, into the file
// <section>_<number>.inc. The client runs on an in-memory network, with a broker that checks each packet.
#include "tern/tern.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/network.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>

namespace {

using namespace std::chrono_literals;
using asio::use_awaitable;

using cook = tern::basic_client<tern::testing::link>;

void require_that(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "failed: %s\n", what);
    std::exit(1);
}
#define REQUIRE(...) require_that((__VA_ARGS__) ? true : false, #__VA_ARGS__)

// The last packets of the client.
struct seen {
    std::optional<std::uint16_t> alias;
    std::size_t topic_size = 0;
    tern::reason_code disconnect = tern::reason_code::success;
    tern::reason_code puback = tern::reason_code::success;
    std::optional<std::chrono::seconds> will_delay;
    std::optional<std::chrono::seconds> expiry_at_the_end;
};
seen last;

void note(const tern::any_packet& packet) {
    if (const auto* p = std::get_if<tern::publish>(&packet)) {
        last.alias = p->message.properties.topic_alias;
        last.topic_size = p->message.topic.size();
    } else if (const auto* begin = std::get_if<tern::connect>(&packet)) {
        last.will_delay = begin->will_delay_interval;
    } else if (const auto* end = std::get_if<tern::disconnect>(&packet)) {
        last.disconnect = end->reason_code;
        last.expiry_at_the_end = end->properties.session_expiry_interval;
    } else if (const auto* answer = std::get_if<tern::puback>(&packet)) {
        last.puback = answer->reason_code;
    }
}

asio::awaitable<void> leaving(cook& client) {
    {
#include "cookbook/a_will_with_properties_and_a_delay_1.inc"
    }
    REQUIRE(last.will_delay == 30s);
    {
#include "cookbook/the_terms_of_a_connection_1.inc"
        REQUIRE(terms.topic_alias_maximum == 30);
    }
    {
#include "cookbook/reasons_and_user_properties_in_answers_1.inc"
        REQUIRE(!error);
    }
#include "cookbook/disconnecting_with_the_will_1.inc"
    REQUIRE(last.disconnect == tern::reason_code::disconnect_with_will_message);
    {
#include "cookbook/a_will_with_properties_and_a_delay_1.inc"
    }
#include "cookbook/another_session_expiry_at_the_end_1.inc"
    REQUIRE(last.expiry_at_the_end == 24h);
    {
#include "cookbook/without_reasons_1.inc"
    }
    co_await client.async_disconnect(use_awaitable);
    {
#include "cookbook/a_topic_for_answers_1.inc"
        REQUIRE(answers == "answers/asker/1");
    }
    co_await client.async_disconnect(use_awaitable);
}

asio::awaitable<void> subscribing(cook& client) {
    co_await client.async_connect({.host = "broker.example", .client_id = "reader"}, use_awaitable);
    {
#include "cookbook/a_payload_that_is_text_1.inc"
        REQUIRE(error == tern::errc::payload_format_invalid);
    }
#include "cookbook/a_shared_subscription_1.inc"
#include "cookbook/not_my_own_messages_1.inc"
#include "cookbook/retained_messages_only_if_the_subscription_is_new_1.inc"
#include "cookbook/the_retain_flag_as_published_1.inc"
    co_await client.async_publish("chat/room", "to the others", use_awaitable);
    co_await client.async_publish({.topic = "bridge/1", .payload = "kept", .retain = true}, use_awaitable);
    const tern::received_message will = co_await client.async_receive(use_awaitable);
    REQUIRE(will.payload == "gone");
    const tern::received_message bridged = co_await client.async_receive(use_awaitable); // its own chat is left out
    REQUIRE(bridged.topic == "bridge/1");
    REQUIRE(bridged.retain);
    co_await client.async_disconnect(use_awaitable);
}

asio::awaitable<void> aliases(cook& client) {
    {
#include "cookbook/topic_aliases_1.inc"
    }
    REQUIRE(last.alias == 1);
    REQUIRE(last.topic_size == 0);
#include "cookbook/topic_aliases_2.inc"
    co_await client.async_ping(use_awaitable); // the broker has received the message
    REQUIRE(last.alias == 21);
    REQUIRE(last.topic_size == 0);
    co_await client.async_disconnect(use_awaitable);
}

asio::awaitable<void> refusing(cook& client) {
    co_await client.async_connect(
        {.host = "broker.example", .client_id = "judge", .acknowledge = tern::acknowledgement_mode::manual},
        use_awaitable);
    co_await client.async_subscribe("uploads", use_awaitable);
    const std::string large(20'000, 'x');
    for (const std::string_view payload : {std::string_view("small"), std::string_view(large)}) {
        co_await client.async_publish("uploads", payload, tern::qos::at_least_once, use_awaitable);
#include "cookbook/refusing_a_message_1.inc"
        co_await client.async_ping(use_awaitable);
        const bool is_refused = payload.size() == large.size();
        REQUIRE((last.puback == tern::reason_code::quota_exceeded) == is_refused);
    }
    co_await client.async_disconnect(use_awaitable);
}

asio::awaitable<void> cooking(cook& client) {
    co_await leaving(client);
    co_await subscribing(client);
    co_await aliases(client);
    co_await refusing(client);
}

} // namespace

int main() {
    tern::testing::network net;
    tern::testing::broker_options options;
    options.limits.topic_alias_maximum = 30;
    options.on_packet = [](tern::packet_direction direction, std::string_view, const tern::any_packet& packet) {
        if (direction == tern::packet_direction::received) note(packet);
    };
    tern::testing::broker broker{net.get_executor(), options, net.clock()};
    net.listen("broker.example", broker);
    cook client{tern::testing::link{net}};
    bool done = false;
    asio::co_spawn(net.context(), cooking(client), [&](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);
        done = true;
    });
    REQUIRE(net.run_until([&] { return done; }));
    for (const tern::testing::violation& each : broker.violations())
        std::fprintf(stderr, "%s: %s\n", each.statement.c_str(), each.text.c_str());
    REQUIRE(broker.violations().empty());
}
