// A shared client: what its functions do, on which executors handlers run, cancellation, and the bounded queue.
#include "messaging_test.hpp"

#include <asio/experimental/awaitable_operators.hpp>
#if __has_include(<asio/deferred.hpp>)
#include <asio/deferred.hpp>
#else
#include <asio/experimental/deferred.hpp>
#endif

namespace shared_client_test {

using namespace messaging_test;

TEST_CASE("All operations of a shared client complete with futures of another thread") {
    threaded_broker server;
    running_context context(2);
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(server.port()), use_code));
    const std::array<subscription, 2> list{{{.filter = "a/#"}, {.filter = "b"}}};
    succeeds(client.async_subscribe(list, use_code));
    succeeds(client.async_subscribe({.filter = "t", .max_qos = qos::exactly_once}, use_code));
    for (const qos q : {qos::at_most_once, qos::at_least_once, qos::exactly_once}) {
        succeeds(client.async_publish({.topic = "t", .payload = "1", .qos = q}, use_code));
        const auto [error, message] = value_of(client.async_receive(use_result<received_message>()));
        CHECK(error == std::error_code{});
        CHECK(message->topic == "t");
        CHECK(message->qos == q);
    }
    std::vector<received_message> batch(10);
    CHECK(client.try_publish({.topic = "b", .payload = "2"}) == std::error_code{});
    const auto [error, count] = value_of(client.async_receive_some(batch, use_result<std::size_t>()));
    CHECK(*count == 1);
    CHECK(batch[0].payload == "2");
    succeeds(client.async_ping(use_code));
    succeeds(client.async_drain(10s, use_code));
    const auto [none, connected] =
        value_of(client.async_call([](auto& c) { return c.is_connected(); }, use_result<bool>()));
    CHECK(*connected);
    CHECK(value_of(client.async_counters(use_result<counters>())).second->messages_sent == 4);
    succeeds(client.async_unsubscribe("t", use_code));
    const std::array<std::string_view, 2> filters{"a/#", "b"};
    succeeds(client.async_unsubscribe(filters, use_code));
    const auto event = value_of(client.async_next_event(use_result<connection_event>()));
    CHECK(event.second->change == connection_change::connecting);
    succeeds(client.async_disconnect(use_code));
    CHECK(result_of(client.async_ping(use_code)) == errc::not_connected);
    CHECK(server.violations() == 0);
}

TEST_CASE("A shared client copies what is passed by view when an operation is started") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    // The context is busy, so that all operations start after the arguments are gone.
    std::promise<void> go;
    asio::post(context.io, [&] { go.get_future().wait(); });
    std::vector<std::future<std::error_code>> pending;
    const auto lasting = [](std::string_view text) { return std::make_unique<std::string>(text); };
    {
        const auto host = lasting("127.0.0.1 is a long text");
        const auto filter = lasting("a topic filter that is too long for a small string");
        const auto payload = lasting(std::string(100'000, 'x'));
        const auto property = lasting("a user property");
        const std::array users{user_property{*property, *property}};
        connect_options options = options_for(server.port());
        options.host = std::string_view(*host).substr(0, 9);
        options.will = message_view{.topic = *filter, .payload = *property};
        pending.push_back(client.async_connect(options, use_code));
        const std::array<subscription, 2> list{{{.filter = *filter}, {.filter = *property}}};
        pending.push_back(client.async_subscribe(list, {.properties = {.user_properties = users}}, use_code));
        pending.push_back(client.async_publish({.topic = *filter, .payload = *payload}, use_code));
        pending.push_back(client.async_publish(
            {.topic = *filter, .payload = "1", .properties = {.user_properties = users}}, use_code));
        CHECK(client.try_publish({.topic = *filter, .payload = *payload}) == std::error_code{});
        CHECK(client.try_publish({.topic = *filter, .properties = {.content_type = *property}}) == std::error_code{});
        pending.push_back(client.async_unsubscribe(*property, use_code));
    }
    go.set_value();
    for (auto& one : pending)
        succeeds(std::move(one));
    std::vector<received_message> messages;
    for (int i = 0; i != 4; ++i)
        messages.push_back(std::move(*value_of(client.async_receive(use_result<received_message>())).second));
    CHECK(messages[0].payload.size() == 100'000);
    CHECK(messages[1].properties.user_properties.front().value == "a user property");
    CHECK(messages[2].payload.size() == 100'000);
    CHECK(messages[3].properties.content_type == "a user property");
    CHECK(server.violations() == 0);
}

#if __has_include(<asio/deferred.hpp>)
using asio::deferred;
#else
using asio::experimental::deferred;
#endif

TEST_CASE("A lazily started operation of a shared client starts when it is called") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    const auto start = [&] { // the strings exist only here
        const std::string host = "127.0.0.1";
        connect_options options = options_for(server.port());
        options.host = host;
        return client.async_connect(owned_connect_options(options), deferred);
    };
    auto connect = start();
    auto subscribe = client.async_subscribe(subscription_list{{.filter = "t"}}, deferred);
    auto publish = client.async_publish(message({.topic = "t", .payload = "1"}), deferred);
    succeeds(std::move(connect)(use_code));
    succeeds(std::move(subscribe)(use_code));
    succeeds(std::move(publish)(use_code));
}

template <class Client>
concept calls_with_unfit_handler =
    requires(Client& client) { client.async_call([](auto&) { return 1; }, [](const char*) {}); };
static_assert(!calls_with_unfit_handler<shared_client>, "a constraint refuses it");

TEST_CASE("The short forms of a shared client publish and subscribe") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    const std::vector<std::byte> bytes(3, std::byte{0xFF});
    succeeds(client.async_connect(options_for(server.port()), use_code));
    succeeds(client.async_subscribe("a", use_code));
    succeeds(client.async_subscribe("b", qos::exactly_once, use_code));
    succeeds(client.async_publish("a", bytes, use_code));
    succeeds(client.async_publish("b", "text", qos::exactly_once, use_code));
    CHECK(client.try_publish("b", bytes, qos::at_least_once) == std::error_code{});
    CHECK(value_of(client.async_receive(use_result<received_message>())).second->payload == "\xFF\xFF\xFF");
    CHECK(value_of(client.async_receive(use_result<received_message>())).second->qos == qos::exactly_once);
    CHECK(value_of(client.async_receive(use_result<received_message>())).second->payload_bytes().size() == 3);
}

TEST_CASE("Several listeners of a shared client see every event, and the end of the run") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    std::mutex mutex;
    std::vector<std::string> lines;
    client.set_log(log_level::debug, [&](log_level, std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    });
    event_position a, b;
    auto first_of_a = client.async_next_event(a, use_result<connection_event>());
    succeeds(client.async_connect(options_for(server.port()), use_code));
    auto stopped = client.async_wait_stopped(use_code);
    CHECK(value_of(std::move(first_of_a)).second->change == connection_change::connecting);
    CHECK(value_of(client.async_next_event(b, use_result<connection_event>())).second->change ==
          connection_change::connecting);
    CHECK(value_of(client.async_next_event(a, use_result<connection_event>())).second->change ==
          connection_change::connected);
    succeeds(client.async_disconnect(use_code));
    succeeds(std::move(stopped));
    succeeds(client.async_call([](auto& c) { c.set_log(log_level::error, nullptr); }, use_code));
    CHECK(lines.size() >= 2);
}

TEST_CASE("A time limit ends an operation of a shared client that waits for a connection") {
    const closed_port closed;
    running_context context;
    shared_client client(context.io);
    auto connect = client.async_connect(options_for_nothing(closed.number()), use_code);
    const std::error_code error =
        result_of(client.async_publish({.topic = "t"}, publish_options{.timeout = 10ms}, use_code));
    CHECK(error == misuse(errc::operation_timeout));
    CHECK(result_of(client.async_subscribe({.filter = "t"}, subscribe_options{.timeout = 10ms}, use_code)) ==
          errc::operation_timeout);
    client.cancel();
    result_of(std::move(connect));
}

TEST_CASE("Handlers of a shared client run on their associated executors, and without one on the client's") {
    threaded_broker server;
    running_context context;
    running_context other;
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(server.port()), use_code));
    std::promise<bool> here;
    client.async_publish({.topic = "t"}, [&](std::error_code, const acknowledgement&) {
        here.set_value(context.io.get_executor().running_in_this_thread());
    });
    CHECK(value_of(here.get_future()));
    std::promise<bool> there;
    client.async_publish({.topic = "t"}, asio::bind_executor(other.io, [&](std::error_code, const acknowledgement&) {
                             there.set_value(other.io.get_executor().running_in_this_thread());
                         }));
    CHECK(value_of(there.get_future()));
    stop(context, other);
}

TEST_CASE("A handler of a shared client may wait for another operation of the same client") {
    threaded_broker server;
    running_context context(2);
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(server.port()), use_code));
    std::promise<std::error_code> outer;
    client.async_ping([&](std::error_code) {
        outer.set_value(client.async_publish({.topic = "t", .qos = qos::at_least_once}, use_code).get());
    });
    succeeds(outer.get_future());
}

asio::awaitable<void> echo(shared_client client, std::uint16_t port, int rounds) {
    co_await client.async_connect(options_for(port, "echo"), asio::use_awaitable);
    co_await client.async_subscribe({.filter = "t"}, asio::use_awaitable);
    for (int i = 0; i != rounds; ++i) {
        const std::string text = std::to_string(i);
        co_await client.async_publish({.topic = "t", .payload = text}, asio::use_awaitable);
        const received_message m = co_await client.async_receive(asio::use_awaitable);
        if (m.payload != text) throw std::runtime_error("another message");
    }
}

TEST_CASE("A shared client can be awaited in coroutines of other contexts") {
    threaded_broker server;
    running_context context;
    running_context other;
    const auto done = asio::co_spawn(other.io, echo(shared_client(context.io), server.port(), 20), asio::use_future);
    REQUIRE(done.wait_for(30s) == std::future_status::ready);
    stop(context, other);
}

TEST_CASE("The last handle of a shared client can be destroyed in a handler") {
    threaded_broker server;
    running_context context(2);
    for (int round = 0; round != 50; ++round) {
        auto client = std::make_unique<shared_client>(context.io);
        auto connect = client->async_connect(options_for(server.port()), use_code);
        auto event = client->async_next_event(use_code);
        if (round % 2 == 0) succeeds(std::move(connect));
        auto received = client->async_receive(use_code);
        std::promise<void> destroyed;
        client->async_call([](auto&) {},
                           [&](std::error_code) {
                               client.reset();
                               destroyed.set_value();
                           });
        value_of(destroyed.get_future());
        CHECK(result_of(std::move(received)) == asio::error::operation_aborted);
        result_of(std::move(event));
        if (round % 2 != 0) result_of(std::move(connect));
    }
}

TEST_CASE("The last handle of a shared client can be destroyed in its message callback") {
    threaded_broker server;
    running_context context;
    auto client = std::make_unique<shared_client>(context.io);
    succeeds(client->async_connect(options_for(server.port()), use_code));
    succeeds(client->async_subscribe({.filter = "t"}, use_code));
    auto received = client->async_receive(use_code);
    std::promise<void> destroyed;
    client->set_message_callback([&](const tern::received&) {
        client.reset();
        destroyed.set_value();
    });
    auto event = client->async_next_event(use_code);
    succeeds(std::move(event));
    shared_client publisher(context.io); // while it publishes, the callback destroys the other one
    succeeds(publisher.async_connect(options_for(server.port(), "publisher"), use_code));
    CHECK(publisher.try_publish({.topic = "t"}) == std::error_code{});
    value_of(destroyed.get_future());
    result_of(std::move(received));
}

TEST_CASE("Operations of a shared client are dropped without a leak when the context is destroyed first") {
    threaded_broker server;
    auto context = std::make_unique<running_context>();
    std::future<std::error_code> received;
    {
        shared_client client(context->io);
        succeeds(client.async_connect(options_for(server.port()), use_code));
        received = client.async_receive(use_code);
        context->io.stop();
        client.async_ping([](std::error_code) {});
        CHECK(client.try_publish({.topic = "t"}) == std::error_code{});
    }
    context.reset();
    CHECK(received.wait_for(0s) == std::future_status::ready); // with an exception: broken_promise
}

// ---- cancellation

TEST_CASE("Messages of receive operations that were cancelled together keep their order") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(server.port()), use_code));
    succeeds(client.async_subscribe({.filter = "t"}, use_code));
    asio::io_context own; // of the handlers; it runs at the end
    std::array<asio::cancellation_signal, 3> signals;
    int aborted = 0;
    std::string received;
    const auto receive = [&](asio::cancellation_slot slot) {
        const auto handler = [&](std::error_code error, const received_message& m) {
            aborted += error == asio::error::operation_aborted;
            received += m.payload;
        };
        client.async_receive(asio::bind_cancellation_slot(slot, asio::bind_executor(own, handler)));
    };
    for (asio::cancellation_signal& each : signals)
        receive(each.slot());
    for (const char* payload : {"0", "1", "2", "3"})
        succeeds(client.async_publish("t", payload, use_code));
    succeeds(client.async_ping(use_code)); // three messages are on their way to the handlers
    for (asio::cancellation_signal& each : signals)
        each.emit(asio::cancellation_type::total);
    own.run();
    CHECK(aborted == 3);
    for (int i = 0; i != 4; ++i)
        receive({});
    own.restart();
    own.run();
    CHECK(received == "0123");
}

TEST_CASE("A cancellation slot cancels an operation of a shared client from its handler's executor") {
    threaded_broker server;
    running_context context;
    running_context other;
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(server.port()), use_code));
    asio::cancellation_signal first, second;
    std::promise<std::error_code> received, batch_received;
    std::vector<received_message> batch(2);
    asio::post(other.io, [&] {
        client.async_receive(asio::bind_executor(
            other.io, asio::bind_cancellation_slot(first.slot(), [&](std::error_code error, const received_message&) {
                received.set_value(error);
            })));
        client.async_receive_some(
            batch, asio::bind_executor(
                       other.io, asio::bind_cancellation_slot(second.slot(), [&](std::error_code error, std::size_t) {
                           batch_received.set_value(error);
                       })));
        first.emit(asio::cancellation_type::terminal);
    });
    CHECK(result_of(received.get_future()) == asio::error::operation_aborted);
    asio::post(other.io, [&] { second.emit(asio::cancellation_type::total); });
    CHECK(result_of(batch_received.get_future()) == asio::error::operation_aborted);
    succeeds(client.async_ping(use_code));
    stop(context, other);
}

// Receives until a message says "end". A timer interrupts most operations.
asio::awaitable<int> receive_with_interruptions(shared_client client) {
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (int count = 0;;) {
        timer.expires_after(50us);
        const auto result =
            co_await (client.async_receive(asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
        if (result.index() == 1) continue;
        if (std::get<0>(result).payload == "end") co_return count;
        if (std::get<0>(result).payload != std::to_string(count++)) throw std::runtime_error("a message is lost");
    }
}

TEST_CASE("async_receive of a shared client || timer loses no message") {
    constexpr int messages = 300;
    threaded_broker server;
    running_context context;
    running_context other;
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(server.port()), use_code));
    succeeds(client.async_subscribe({.filter = "t"}, use_code));
    auto count = asio::co_spawn(other.io, receive_with_interruptions(client), asio::use_future);
    for (int i = 0; i != messages; ++i) {
        const std::string text = std::to_string(i);
        CHECK(client.try_publish({.topic = "t", .payload = text, .qos = qos::at_least_once}) == std::error_code{});
        if (i % 10 == 0) succeeds(client.async_drain(0s, use_code));
    }
    CHECK(client.try_publish({.topic = "t", .payload = "end", .qos = qos::at_least_once}) == std::error_code{});
    CHECK(value_of(std::move(count)) == messages);
    stop(context, other);
}

TEST_CASE("cancel of a shared client ends all operations that were started before") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(server.port()), use_code));
    auto received = client.async_receive(use_code);
    auto event = client.async_next_event(use_code);
    client.cancel();
    auto next = client.async_connect(options_for(server.port()), use_code);
    CHECK(result_of(std::move(received)) == asio::error::operation_aborted);
    result_of(std::move(event));
    succeeds(std::move(next));
}

// ---- the queue

TEST_CASE("Messages that wait in a shared client and in its client are bounded together, and refused at once") {
    const closed_port closed;
    running_context context;
    shared_client client(context.io);
    connect_options options = options_for_nothing(closed.number());
    options.queue.messages = 10;
    SECTION("refuse") {}
    SECTION("wait") {
        options.queue.when_full = full_queue_action::wait;
    }
    auto connect = client.async_connect(options, use_code);
    succeeds(client.async_call([](auto&) {}, use_code)); // the options apply
    std::vector<std::future<std::error_code>> pending;
    for (int i = 0; i != 5; ++i) {
        CHECK(client.try_publish({.topic = "t", .payload = "1"}) == std::error_code{});
        pending.push_back(client.async_publish({.topic = "t", .payload = "1"}, use_code));
        if (i == 2) succeeds(client.async_call([](auto&) {}, use_code)); // some are in the client
    }
    CHECK(client.try_publish({.topic = "t", .payload = "1"}) == errc::queue_full);
    CHECK(client.try_publish({.topic = "t", .properties = {.content_type = "x"}}) == errc::queue_full);
    auto beyond = client.async_publish({.topic = "t", .payload = "1"}, use_code);
    CHECK(value_of(client.async_counters(use_result<counters>())).second->queued ==
          (options.queue.when_full == full_queue_action::wait ? 11U : 10U));
    client.cancel();
    for (auto& one : pending)
        CHECK(result_of(std::move(one)) == asio::error::operation_aborted);
    const std::error_code error = result_of(std::move(beyond));
    if (options.queue.when_full == full_queue_action::wait)
        CHECK(error == asio::error::operation_aborted);
    else
        CHECK(error == errc::queue_full);
    result_of(std::move(connect));
}

TEST_CASE("The bytes of a shared client's queue are bounded") {
    running_context context;
    shared_client client(context.io); // the defaults apply
    const std::string megabyte(std::size_t{1} << 20U, 'x');
    int accepted = 0;
    std::error_code error;
    for (; accepted != 100; ++accepted) {
        error = client.try_publish({.topic = "t", .payload = megabyte});
        if (error) break;
    }
    CHECK(error == errc::queue_full);
    CHECK(accepted == 63); // 64 MiB, and each message has a header
}

TEST_CASE("A shared client refuses an invalid message in the call") {
    running_context context;
    shared_client client(context.io);
    CHECK(client.try_publish({.topic = "a/+"}) == errc::invalid_topic_name);
    CHECK(client.try_publish({.topic = ""}) == errc::empty_topic);
    CHECK(client.try_publish({.topic = "t", .qos = static_cast<qos>(3)}) == errc::invalid_qos);
    CHECK(result_of(client.async_publish({.topic = "a/+"}, use_code)) == errc::invalid_topic_name);
}

TEST_CASE("A message that the client itself refuses is reported and counted") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    succeeds(client.async_connect(options_for(server.port()), use_code));
    succeeds(client.async_disconnect(use_code));
    std::promise<std::pair<std::error_code, std::string>> refused;
    client.set_refusal_callback([&](std::error_code error, const message_view& m) {
        client.set_refusal_callback(nullptr);
        refused.set_value({error, std::string(m.topic)});
    });
    CHECK(client.try_publish({.topic = "lost"}) == std::error_code{});
    CHECK(value_of(refused.get_future()) == std::pair(misuse(errc::not_connected), std::string("lost")));
    CHECK(client.try_publish({.topic = "t", .properties = {.content_type = "x"}}) == std::error_code{});
    CHECK(value_of(client.async_counters(use_result<counters>())).second->messages_dropped == 2);
}

TEST_CASE("A shared client stores messages up to its limit and delivers all of them later") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    connect_options options = options_for(server.port());
    options.inbox_limit = 10;
    succeeds(client.async_connect(options, use_code));
    succeeds(client.async_subscribe({.filter = "t", .max_qos = qos::at_least_once}, use_code));
    shared_client publisher(context.io);
    succeeds(publisher.async_connect(options_for(server.port(), "publisher"), use_code));
    for (int i = 0; i != 100; ++i) {
        const std::string text = std::to_string(i);
        CHECK(publisher.try_publish({.topic = "t", .payload = text, .qos = qos::at_least_once}) == std::error_code{});
    }
    succeeds(publisher.async_drain(10s, use_code));
    for (int i = 0; i != 100; ++i)
        CHECK(value_of(client.async_receive(use_result<received_message>())).second->payload == std::to_string(i));
}

TEST_CASE("Any thread may acknowledge a message of a shared client") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    connect_options options = options_for(server.port());
    options.acknowledge = acknowledgement_mode::manual;
    options.properties.receive_maximum = 2;
    succeeds(client.async_connect(options, use_code));
    succeeds(client.async_subscribe({.filter = "t", .max_qos = qos::at_least_once}, use_code));
    for (int i = 0; i != 20; ++i) // more follow only after acknowledgements
        CHECK(client.try_publish({.topic = "t", .qos = qos::at_least_once}) == std::error_code{});
    for (int i = 0; i != 20; ++i)
        value_of(client.async_receive(use_result<received_message>())).second->acknowledge();
    succeeds(client.async_ping(use_code));
}

TEST_CASE("A message callback of a shared client may keep and acknowledge messages") {
    threaded_broker server;
    running_context context;
    shared_client client(context.io);
    connect_options options = options_for(server.port());
    options.acknowledge = acknowledgement_mode::manual;
    options.properties.receive_maximum = 2;
    std::promise<std::string> last;
    client.set_message_callback([&](const tern::received& m) {
        client.acknowledge(m.token);
        received_message kept = client.keep(m);
        if (kept.payload == "19") last.set_value(std::string(kept.topic));
    });
    succeeds(client.async_connect(options, use_code));
    succeeds(client.async_subscribe({.filter = "t", .max_qos = qos::at_least_once}, use_code));
    for (int i = 0; i != 20; ++i) {
        const std::string text = std::to_string(i);
        CHECK(client.try_publish({.topic = "t", .payload = text, .qos = qos::at_least_once}) == std::error_code{});
    }
    CHECK(value_of(last.get_future()) == "t");
}

} // namespace shared_client_test
