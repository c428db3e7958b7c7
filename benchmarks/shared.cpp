// Runs Tern's shared client against the sink: several threads publish with `try_publish`, and one runs the context.
//
// A thread that finds the queue full lets the others run. The measured region ends when the last message is written.
#include "support/bench.hpp"
#include "tern/messaging/shared_client.hpp"

#include <asio/io_context.hpp>
#include <asio/use_future.hpp>

#include <cstddef>
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

} // namespace

int main(int argc, char** argv) {
    const bench::options o = bench::parse(argc, argv);
    if (!o.publishes() || o.variant != "threads") bench::unsupported(o);
    asio::io_context io{1};
    tern::shared_client client{io};
    auto work = asio::make_work_guard(io);
    std::thread runner([&] { io.run(); });
    client
        .async_connect({.host = "127.0.0.1",
                        .port = o.port,
                        .version = o.v5() ? tern::protocol_version::v5 : tern::protocol_version::v3_1_1,
                        .client_id = "bench",
                        .max_in_flight = static_cast<std::uint16_t>(o.window)},
                       asio::use_future)
        .get();
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
