// Bytes on the wire with and without the client's own topic aliases: 10,000 messages to 50 topics, on the test broker
// with 50 aliases, and with a port also a skewed choice of 1,000 topics, on the broker at that port of this machine.
// Fails if aliases take more bytes.
#include "tern/client/client.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/network.hpp"
#include "tern/transport/tcp.hpp"

#include <asio/io_context.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

constexpr int messages = 10'000;

std::vector<std::string> topics_named(std::size_t count) {
    std::vector<std::string> topics;
    for (std::size_t i = 0; i != count; ++i)
        topics.push_back("building/7/floor/3/room/" + std::to_string(i) + "/temperature");
    return topics;
}

// The topic of each message: all are equally frequent, or the n-th as frequent as 1/n.
std::vector<std::size_t> uniform(std::size_t topics) {
    std::minstd_rand random(1);
    std::vector<std::size_t> chosen;
    for (int i = 0; i != messages; ++i)
        chosen.push_back(random() % topics);
    return chosen;
}
std::vector<std::size_t> skewed(std::size_t topics) {
    std::minstd_rand random(1);
    std::vector<double> weights;
    for (std::size_t i = 0; i != topics; ++i)
        weights.push_back(1.0 / static_cast<double>(i + 1));
    std::discrete_distribution<std::size_t> choice(weights.begin(), weights.end());
    std::vector<std::size_t> chosen;
    for (int i = 0; i != messages; ++i)
        chosen.push_back(choice(random));
    return chosen;
}

void check(std::error_code error) {
    if (!error) return;
    std::fprintf(stderr, "aliases: %s\n", error.message().c_str());
    std::exit(1);
}

// The bytes that a client sends for these messages. `run` runs it until it has stopped.
template <class Client, class Run>
std::uint64_t bytes_sent(Client client, tern::connect_options options, const std::vector<std::string>& topics,
                         const std::vector<std::size_t>& chosen, Run run) {
    std::error_code outcome;
    client.async_connect(options, [&](std::error_code error, const tern::connect_result&) {
        check(error);
        for (const std::size_t topic : chosen)
            check(client.try_publish(topics[topic], "21.5", tern::qos::at_least_once));
        client.async_drain(std::chrono::minutes(1), [&](std::error_code drained) {
            check(drained);
            client.async_disconnect([&](std::error_code ended) { outcome = ended; });
        });
    });
    run();
    check(outcome);
    return client.counters().bytes_sent;
}

bool compare(const char* what, std::uint64_t with, std::uint64_t without) {
    std::printf("%s: %llu bytes with aliases, %llu without (%.0f%%)\n", what, static_cast<unsigned long long>(with),
                static_cast<unsigned long long>(without),
                100.0 * static_cast<double>(with) / static_cast<double>(without));
    return with <= without;
}

std::uint64_t on_test_broker(std::uint16_t aliases) {
    tern::testing::network net;
    tern::testing::broker_options limits;
    limits.limits.topic_alias_maximum = 50;
    tern::testing::broker broker{net.get_executor(), limits, net.clock()};
    net.listen("localhost", broker);
    tern::basic_client<tern::testing::link> client{tern::testing::link{net}};
    const tern::connect_options options{.client_id = "aliases", .automatic_topic_aliases = aliases};
    const std::uint64_t bytes = bytes_sent(std::move(client), options, topics_named(50), uniform(50),
                                           [&] { net.run_for(std::chrono::minutes(2)); });
    if (!broker.violations().empty()) check(tern::violation(broker.violations().front().error));
    return bytes;
}

std::uint64_t on_port(std::uint16_t port, std::uint16_t aliases) {
    asio::io_context io;
    const tern::connect_options options{
        .host = "127.0.0.1", .port = port, .client_id = "aliases", .automatic_topic_aliases = aliases};
    return bytes_sent(tern::client{io}, options, topics_named(1'000), skewed(1'000), [&] { io.run(); });
}

} // namespace

int main(int argc, char** argv) {
    bool is_good = compare("50 topics, 50 aliases, test broker", on_test_broker(50), on_test_broker(0));
    if (argc == 2) {
        const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
        is_good &= compare("1,000 topics, skewed, Mosquitto's aliases", on_port(port, 65'535), on_port(port, 0));
    }
    return is_good ? 0 : 1;
}
