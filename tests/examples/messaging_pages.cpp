// Runs the snippets of docs/subscriptions.md and docs/requests.md. readme.py takes each of them out of its page, into
// the file <section>_<number>.inc.
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/online_state.hpp"
#include "tern/messaging/requester.hpp"
#include "tern/messaging/responder.hpp"
#include "tern/messaging/shared_router.hpp"
#include "tern/tern.hpp"
#include "tern/testing/broker.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>

namespace {

using asio::use_awaitable;
using namespace std::chrono_literals;

void require(bool condition) {
    if (!condition) std::abort();
}
void process(std::string_view) {}
std::string add(std::string_view numbers) {
    require(numbers == "1 2");
    return "3";
}

asio::awaitable<void> use_subscriptions(tern::client& client) {
    const auto publish = [&](std::string_view topic, std::string_view payload) {
        require(!client.try_publish({.topic = topic, .payload = payload, .retain = true}));
    };
    publish("home/kitchen/temperature", "21.5");
    publish("home/hall/door", "open");
    publish("jobs", "one");
    {
#include "subscriptions/subscriptions_with_inboxes_1.inc"
        require(m.levels[0] == "kitchen");
#include "subscriptions/acknowledgements_and_full_inboxes_1.inc"
#include "subscriptions/acknowledgements_and_full_inboxes_2.inc"
#include "subscriptions/online_and_offline_1.inc"
#include "subscriptions/subscriptions_with_inboxes_2.inc"
#include "subscriptions/what_the_client_is_subscribed_to_1.inc"
        require(job.payload == "one");
        require(options.will->payload == "offline");
    }
#include "subscriptions/which_inbox_receives_a_message_1.inc"
    require(news.payload == "hello");
}

asio::awaitable<void> use_requests(tern::client& client) {
    tern::message_router router{client};
#include "requests/requests_and_responses_2.inc"
    require(adder.counters().received == 0);
#include "requests/requests_and_responses_1.inc"
    require(response.payload == "3");
}

// It is not run, because it waits for other threads.
[[maybe_unused]] void use_shared_router(const tern::shared_client& shared) {
#include "subscriptions/several_threads_and_no_asio_1.inc"
    require(m.levels.size() == 1);
}

asio::awaitable<void> use_pages(std::uint16_t port) {
    tern::client client{co_await asio::this_coro::executor};
    const tern::connect_options options{.host = "127.0.0.1", .port = port, .client_id = "pages"};
    co_await client.async_connect(options, use_awaitable);
    co_await use_subscriptions(client);
    co_await use_requests(client);
    co_await client.async_disconnect(use_awaitable);
}

} // namespace

int main() {
    try {
        asio::io_context context;
        tern::testing::broker broker(context.get_executor());
        asio::co_spawn(context, use_pages(broker.listen()), [&](const std::exception_ptr& error) {
            context.stop();
            if (error) std::rethrow_exception(error);
        });
        context.run();
        for (const auto& each : broker.violations())
            std::fprintf(stderr, "%s\n", each.text.c_str());
        return broker.violations().empty() ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
