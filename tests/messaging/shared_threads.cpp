// A shared client under load from several threads: order, lost connections, and everything at once.
#include "messaging_test.hpp"

#include <map>

namespace shared_threads_test {

using namespace messaging_test;

// Starts a function in several threads, and joins them.
template <class F>
void run_in_threads(std::size_t count, F f) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i != count; ++i)
        threads.emplace_back([&f, i] { f(i); });
    for (std::thread& one : threads)
        one.join();
}

std::string numbered(std::size_t producer, std::size_t number) {
    return std::to_string(producer) + " " + std::to_string(number);
}

// Publishes messages, and lets other threads run while the queue is full. Returns the first other error.
std::error_code publish_numbered(shared_client client, std::size_t producer, std::size_t count, qos level) {
    for (std::size_t i = 0; i != count;) {
        const std::string text = numbered(producer, i);
        const std::error_code error = client.try_publish({.topic = "t", .payload = text, .qos = level});
        if (!error)
            ++i;
        else if (error == errc::queue_full)
            std::this_thread::yield();
        else
            return error;
    }
    return {};
}

struct collected {
    std::map<std::size_t, std::size_t> next; // of each producer
    std::size_t out_of_order = 0;
    std::size_t count = 0;

    void add(std::string_view payload) {
        const std::string text(payload);
        const std::size_t space = text.find(' ');
        const std::size_t producer = std::stoul(text.substr(0, space));
        const std::size_t number = std::stoul(text.substr(space));
        if (number != next[producer]++) ++out_of_order;
        ++count;
    }
};

TEST_CASE("The messages of each thread arrive in their order") {
    constexpr std::size_t producers = 4, messages = 5'000;
    threaded_broker server;
    running_context context(2);
    shared_client subscriber(context.io);
    succeeds(subscriber.async_connect(options_for(server.port(), "subscriber"), use_code));
    succeeds(subscriber.async_subscribe({.filter = "t", .max_qos = qos::exactly_once}, use_code));
    const qos level = GENERATE(qos::at_most_once, qos::at_least_once);
    collected all;
    std::promise<void> complete;
    subscriber.set_message_callback([&](const tern::received& m) {
        all.add(m.payload);
        if (all.count == producers * messages) complete.set_value();
    });
    shared_client client(context.io);
    connect_options options = options_for(server.port());
    options.queue.messages = 1'000;
    succeeds(client.async_connect(options, use_code));
    std::array<std::error_code, producers> errors;
    run_in_threads(producers, [&](std::size_t i) { errors[i] = publish_numbered(client, i, messages, level); });
    for (const std::error_code& error : errors)
        CHECK(error == std::error_code{});
    value_of(complete.get_future());
    succeeds(subscriber.async_call([](auto& c) { c.set_message_callback(nullptr); }, use_code));
    CHECK(all.out_of_order == 0);
    CHECK(value_of(client.async_counters(use_result<counters>())).second->messages_dropped == 0);
}

TEST_CASE("Messages that are published while connections are lost arrive") {
    constexpr std::size_t producers = 4, messages = 500;
    threaded_broker server;
    running_context context(2);
    shared_client subscriber(context.io);
    succeeds(subscriber.async_connect(options_for(server.port(), "subscriber"), use_code));
    succeeds(subscriber.async_subscribe({.filter = "t", .max_qos = qos::exactly_once}, use_code));
    std::mutex mutex;
    std::map<std::string, int, std::less<>> arrived;
    subscriber.set_message_callback([&](const tern::received& m) {
        const std::lock_guard lock(mutex);
        ++arrived[std::string(m.payload)];
    });
    shared_client client(context.io);
    connect_options options = options_for(server.port());
    options.clean_start = false;
    options.properties.session_expiry_interval = 60s;
    succeeds(client.async_connect(options, use_code));
    std::array<std::size_t, producers> failed{};
    run_in_threads(producers, [&](std::size_t p) {
        for (std::size_t i = 0; i != messages; ++i) {
            if (i % 100 == 50) server.drop("c");
            const std::string text = numbered(p, i);
            if (client.async_publish({.topic = "t", .payload = text, .qos = qos::at_least_once}, use_code).get())
                ++failed[p];
        }
    });
    for (const std::size_t count : failed)
        CHECK(count == 0);
    succeeds(subscriber.async_ping(use_code)); // the broker has forwarded all messages before
    succeeds(subscriber.async_call([](auto& c) { c.set_message_callback(nullptr); }, use_code));
    CHECK(arrived.size() == producers * messages);
    CHECK(value_of(client.async_counters(use_result<counters>())).second->connections > 1);
}

TEST_CASE("A client whose receive operations end in other threads is destroyed on its strand") {
    running_context context(3);
    for (int round = 0; round != 300; ++round) {
        shared_client client(context.io);
        std::vector<std::future<std::error_code>> pending;
        pending.push_back(client.async_connect({.host = "localhost", .port = 1}, use_code));
        for (int i = 0; i != 20; ++i)
            pending.push_back(client.async_receive(use_code));
        client.cancel();
        client = shared_client(context.io);
        for (auto& one : pending)
            CHECK(result_of(std::move(one)));
    }
}

TEST_CASE("Eight threads publish, subscribe, receive, reconnect and destroy handles at the same time") {
    threaded_broker server;
    running_context context(3);
    std::atomic<int> incomplete = 0; // the errors depend on what the other threads do at the same time
    for (int round = 0; round != 5; ++round) {
        std::vector<std::optional<shared_client>> handles(8, shared_client(context.io));
        run_in_threads(handles.size(), [&](std::size_t index) {
            shared_client client = *handles[index];
            handles[index].reset();
            std::vector<std::future<std::error_code>> pending;
            std::vector<received_message> batch(4);
            for (int i = 0; i != 30; ++i) {
                switch ((static_cast<std::size_t>(i) + index) % 8) {
                case 0: pending.push_back(client.async_connect(options_for(server.port()), use_code)); break;
                case 1: pending.push_back(client.async_subscribe({.filter = "t"}, use_code)); break;
                case 2: (void)client.try_publish({.topic = "t", .payload = "1"}); break;
                case 3: pending.push_back(client.async_receive(use_code)); break;
                case 4:
                    pending.push_back(client.async_publish({.topic = "t", .qos = qos::exactly_once}, use_code));
                    break;
                case 5: server.drop("c"); break;
                case 6: pending.push_back(client.async_unsubscribe("t", use_code)); break;
                case 7:
                    if (i > 20) client.cancel();
                    break;
                }
            }
            client = shared_client(context.io); // releases the one that is shared
            for (auto& one : pending)
                if (one.wait_for(30s) != std::future_status::ready) ++incomplete;
        });
    }
    CHECK(incomplete == 0);
    CHECK(server.violations() == 0);
}

} // namespace shared_threads_test
