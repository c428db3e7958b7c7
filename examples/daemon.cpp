// A daemon: publishes a measurement every 100 ms until SIGINT or SIGTERM. Then it delivers what waits, within a time
// limit, and ends. It does so in every state: before the first connection, while it connects, and between connections.
// A second signal ends it at once.
//
//     daemon [host [port [seconds]]]     seconds: the time limit, 5 by default
//
// Exit code 0: the broker has acknowledged every measurement. 1: the client has stopped, or could not start. 2: some
// measurements were not acknowledged.
#include "tern/tern.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>

namespace {

using asio::use_awaitable;
using namespace std::chrono_literals;

// Handlers use its members. It therefore lives until `asio::io_context::run` has returned.
class power_meter {
public:
    explicit power_meter(asio::io_context& context)
        : client_(context)
        , signals_(context, SIGINT, SIGTERM)
        , timer_(context) {}

    asio::awaitable<void> run(tern::connect_options options, std::chrono::seconds limit) {
        using namespace asio::experimental::awaitable_operators;
        options.disconnect_timeout = limit;
        client_.async_connect(options, [](std::error_code, const tern::connect_result&) {}); // watch() reports it
        asio::co_spawn(client_.get_executor(), measure(), rethrow);

        stopped_ = (co_await (signals_.async_wait(use_awaitable) || watch())).index() == 1;
        print("ending", {});
        timer_.cancel();
        signals_.async_wait([this](std::error_code error, int) {
            if (!error) client_.cancel(); // a second signal
        });
        std::error_code ignored;
        co_await client_.async_drain(limit, asio::redirect_error(use_awaitable, ignored));
        co_await client_.async_disconnect(asio::redirect_error(use_awaitable, ignored));
        signals_.cancel();
    }

    // After the run.
    int exit_code() const {
        std::fprintf(stderr, "%zu of %zu measurements acknowledged\n", acknowledged_, measured_);
        return stopped_ ? 1 : acknowledged_ == measured_ ? 0 : 2;
    }

    static void rethrow(const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);
    }

private:
    // Publishes without awaiting the acknowledgement. Measurements are queued while there is no connection.
    asio::awaitable<void> measure() {
        for (std::error_code cancelled; !cancelled;) {
            const std::string value = std::to_string(++measured_);
            client_.async_publish({.topic = "house/power", .payload = value, .qos = tern::qos::at_least_once},
                                  [this](std::error_code error, const tern::acknowledgement&) {
                                      if (error) return print("a measurement is lost", error);
                                      ++acknowledged_;
                                  });
            timer_.expires_after(100ms);
            co_await timer_.async_wait(asio::redirect_error(use_awaitable, cancelled));
        }
    }

    // Prints what happens to the connection, and completes when the client has stopped.
    asio::awaitable<void> watch() {
        for (;;) {
            const tern::connection_event event = co_await client_.async_next_event(use_awaitable);
            if (event.change == tern::connection_change::connecting) print("connecting", {});
            if (event.change == tern::connection_change::connected) print("connected", {});
            if (event.change == tern::connection_change::disconnected) print("no connection", event.error);
            if (event.change == tern::connection_change::stopped) co_return print("stopped", event.error);
        }
    }

    static void print(const char* what, std::error_code why) {
        std::fprintf(stderr, "%s%s%s\n", what, why ? ": " : "", why ? why.message().c_str() : "");
        std::fflush(stderr); // Windows may hold it back
    }

    tern::client client_;
    asio::signal_set signals_;
    asio::steady_timer timer_;
    std::size_t measured_ = 0;
    std::size_t acknowledged_ = 0;
    bool stopped_ = false;
};

} // namespace

int main(int argc, char** argv) {
    try {
        asio::io_context context;
        power_meter meter(context);
        const int port = argc > 2 ? std::atoi(argv[2]) : 1883;
        const std::chrono::seconds limit{argc > 3 ? std::atoi(argv[3]) : 5};
        tern::connect_options options{.host = argc > 1 ? argv[1] : "localhost"};
        options.port = static_cast<std::uint16_t>(port);
        options.client_id = "power-meter";
        options.reconnect.retry_first = true; // the broker may start later than the daemon
        options.queue.messages = 20;          // what is measured in two seconds; further measurements are refused
        asio::co_spawn(context, meter.run(options, limit), power_meter::rethrow);
        context.run();
        return meter.exit_code();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
