// Shared by the tests of the clients for several threads: contexts and a broker in threads of their own.
//
// Catch2 is used in the main thread alone. Futures carry an error code, because ThreadSanitizer does not see how
// libstdc++ passes exceptions between threads.
#pragma once

#include "catch.hpp"
#include "tern/messaging/shared_client.hpp"
#include "tern/testing/broker.hpp"

#include <asio.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace messaging_test {

using namespace std::chrono_literals;
using namespace tern;

const auto use_code = asio::use_future([](std::error_code error, const auto&...) { return error; });
/// A future of the error and the result.
template <class Result>
auto use_result() {
    return asio::use_future([](std::error_code error, Result result) {
        return std::pair(error, std::make_shared<Result>(std::move(result)));
    });
}

/// Runs a context in several threads.
class running_context {
public:
    explicit running_context(std::size_t threads = 1) {
        for (std::size_t i = 0; i != threads; ++i)
            threads_.emplace_back([this] { io.run(); });
    }
    running_context(const running_context&) = delete;
    running_context& operator=(const running_context&) = delete;
    ~running_context() { stop(); }
    void stop() {
        io.stop();
        join();
    }
    /// Ends when nothing is left to do.
    void finish() {
        work_.reset();
        join();
    }

    asio::io_context io;

private:
    void join() {
        for (std::thread& one : threads_)
            if (one.joinable()) one.join();
    }

    asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io);
    std::vector<std::thread> threads_;
};

/// Stops contexts whose threads use the other one, before either is destroyed.
inline void stop(running_context& a, running_context& b) {
    a.stop();
    b.stop();
}

/// A broker over TCP in a thread of its own.
class threaded_broker {
public:
    explicit threaded_broker(const testing::broker_options& options = {})
        : server_(context_.io.get_executor(), options) {
        std::promise<std::uint16_t> listening;
        asio::post(context_.io, [&] { listening.set_value(server_.listen()); });
        port_ = listening.get_future().get();
    }
    threaded_broker(const threaded_broker&) = delete;
    threaded_broker& operator=(const threaded_broker&) = delete;
    ~threaded_broker() { context_.stop(); }

    std::uint16_t port() const { return port_; }
    void drop(std::string id) {
        asio::post(context_.io, [this, id = std::move(id)] { server_.drop(id); });
    }
    std::size_t violations() {
        std::promise<std::size_t> count;
        asio::post(context_.io, [&] { count.set_value(server_.violations().size()); });
        return count.get_future().get();
    }

private:
    running_context context_;
    testing::broker server_;
    std::uint16_t port_ = 0;
};

template <class T>
T value_of(std::future<T> future) {
    REQUIRE(future.wait_for(30s) == std::future_status::ready);
    return future.get();
}
inline std::error_code result_of(std::future<std::error_code> future) {
    return value_of(std::move(future));
}
inline void succeeds(std::future<std::error_code> future) {
    CHECK(result_of(std::move(future)) == std::error_code{});
}

inline connect_options options_for(std::uint16_t port, std::string_view id = "c") {
    connect_options options{.host = "127.0.0.1", .port = port, .client_id = id};
    options.reconnect.first_delay = 1ms;
    options.reconnect.longest_delay = 10ms;
    return options;
}
/// Options for a broker that never answers, so that messages wait in the queue.
inline connect_options options_for_nothing(std::uint16_t closed_port) {
    connect_options options = options_for(closed_port);
    options.reconnect.retry_first = true;
    return options;
}
/// A port that refuses connections while this lives.
class closed_port {
public:
    closed_port() : socket_(io_, {asio::ip::address_v4::loopback(), 0}) {}
    std::uint16_t number() const { return socket_.local_endpoint().port(); }

private:
    asio::io_context io_;
    asio::ip::tcp::socket socket_; // bound, and not listening
};

} // namespace messaging_test
