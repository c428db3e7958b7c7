// Runs Tern's shared client against the sink. Variants:
//
// - `threads`: several threads publish with `try_publish`, and one runs the context. A thread that finds the queue full
//   lets the others run. The measured region ends when the last message is written.
// - `one_thread`: the same thread publishes a window of messages, and runs the context until they are written, as
//   `try_publish` of the plain client's program does. So the instructions of the two can be compared.
#include "support/bench.hpp"
#include "tern/messaging/shared_client.hpp"

#include <asio/io_context.hpp>
#include <asio/use_future.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

void publish(tern::shared_client client, const tern::message_view& message, std::size_t count) {
    for (std::size_t i = 0; i != count;) {
        const std::error_code error = client.try_publish(message);
        if (!error)
            ++i;
        else if (error == tern::errc::queue_full)
            std::this_thread::yield();
        else
            bench::fail("publish: " + error.message());
    }
}

void publish_from_threads(tern::shared_client& client, const bench::options& o, std::size_t count) {
    const std::string payload(o.size, 'x');
    const tern::message_view message{
        .topic = bench::publish_topic, .payload = payload, .qos = static_cast<tern::qos>(o.qos())};
    std::vector<std::thread> producers;
    for (std::size_t i = 0; i != bench::producers; ++i)
        producers.emplace_back([&, share = bench::share_of(count, i)] { publish(client, message, share); });
    for (std::thread& one : producers)
        one.join();
    client.async_drain(std::chrono::milliseconds{0}, asio::use_future).get();
}

tern::connect_options connect_options_of(const bench::options& o) {
    return {.host = "127.0.0.1",
            .port = o.port,
            .version = o.v5() ? tern::protocol_version::v5 : tern::protocol_version::v3_1_1,
            .client_id = "bench",
            .max_in_flight = static_cast<std::uint16_t>(o.window)};
}

void run_threads(const bench::options& o) {
    asio::io_context io{1};
    tern::shared_client client{io};
    auto work = asio::make_work_guard(io);
    std::thread runner([&] { io.run(); });
    client.async_connect(connect_options_of(o), asio::use_future).get();
    publish_from_threads(client, o, o.warm_up());
    bench::region region;
    region.begin();
    publish_from_threads(client, o, o.count);
    region.end();
    bench::print("shared", o, region);
    client.cancel();
    work.reset();
    io.stop();
    runner.join();
}

// Runs the context until an operation has completed.
template <class Start>
void complete(asio::io_context& io, Start start) {
    bool done = false;
    start([&done](std::error_code error, const auto&...) {
        if (error) bench::fail(error.message());
        done = true;
    });
    while (!done)
        io.run_one();
}

void publish_windows(asio::io_context& io, tern::shared_client& client, const bench::options& o, std::size_t count) {
    const std::string payload(o.size, 'x');
    const tern::message_view message{
        .topic = bench::publish_topic, .payload = payload, .qos = static_cast<tern::qos>(o.qos())};
    for (std::size_t i = 0; i != count;) {
        for (const std::size_t end = std::min(count, i + o.window); i != end; ++i)
            if (const std::error_code error = client.try_publish(message)) bench::fail("publish: " + error.message());
        complete(io, [&](auto handler) { client.async_drain(std::chrono::milliseconds{0}, handler); });
    }
}

void run_one_thread(const bench::options& o) {
    asio::io_context io{1};
    tern::shared_client client{io};
    complete(io, [&](auto handler) { client.async_connect(connect_options_of(o), handler); });
    publish_windows(io, client, o, o.warm_up());
    bench::region region;
    region.begin();
    publish_windows(io, client, o, o.count);
    region.end();
    bench::print("shared", o, region);
    client.cancel();
}

} // namespace

int main(int argc, char** argv) {
    const bench::options o = bench::parse(argc, argv);
    if (!o.publishes()) bench::unsupported(o);
    if (o.variant == "threads")
        run_threads(o);
    else if (o.variant == "one_thread")
        run_one_thread(o);
    else
        bench::unsupported(o);
}
