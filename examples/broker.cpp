// A broker to try programs with: the one of tern::testing, until SIGINT or SIGTERM. It reports what clients do wrong.
//
//     broker [port]
#include "tern/testing/broker.hpp"

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <system_error>

int main(int argc, char** argv) {
    try {
        asio::io_context context;
        tern::testing::broker broker{context.get_executor()};
        const int port = argc > 1 ? std::atoi(argv[1]) : 1883;
        std::printf("listening on 127.0.0.1:%d\n", broker.listen(static_cast<std::uint16_t>(port)));
        std::fflush(stdout);

        asio::signal_set signals(context, SIGINT, SIGTERM);
        signals.async_wait([&](std::error_code, int) { broker.close(); });
        context.run();
        for (const tern::testing::violation& each : broker.violations())
            std::fprintf(stderr, "%s: %s\n", each.client_id.c_str(), each.text.c_str());
        return broker.violations().empty() ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
