// Shared by the tests of the client: a client on a link that counts its operations, with the test broker at
// the other end.
#pragma once

#include "catch.hpp"
#include "tern/client/client.hpp"
#include "tern/codec/packet.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/network.hpp"
#include "tern/testing/run_until.hpp"

#include <asio.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace tern;
using tern::testing::broker;
using tern::testing::broker_options;
using tern::testing::run_until;

inline constexpr auto v3_1_1 = protocol_version::v3_1_1;
inline constexpr auto v5 = protocol_version::v5;

// ---- a transport that counts

// It uses the system's clock, not that of its network.
struct probe_state {
    int opens = 0;
    int reads = 0;
    int writes = 0;
    int closes = 0;
    bool opening_hangs = false;  // an open operation waits until `close`
    int delay_reads = 0;         // reads start this many turns of the executor later
    open_timeouts timeouts = {}; // those of the last open operation
    std::function<void(std::error_code)> hanging = {};
};

template <class Executor = asio::any_io_executor>
class basic_probe {
public:
    using executor_type = Executor;
    template <class Other>
    struct rebind_executor {
        using other = basic_probe<Other>;
    };

    basic_probe(const Executor& executor, tern::testing::network& net,
                std::shared_ptr<probe_state> state = std::make_shared<probe_state>())
        : link_(executor, net)
        , state_(std::move(state)) {}

    executor_type get_executor() const noexcept { return link_.get_executor(); }

    template <class Handler>
    void async_open(const endpoint& where, const open_timeouts& timeouts, Handler handler) {
        ++state_->opens;
        state_->timeouts = timeouts;
        if (state_->opening_hangs)
            state_->hanging = std::move(handler);
        else
            link_.async_open(where, timeouts, std::move(handler));
    }
    connection_phase opening_phase() const noexcept { return link_.opening_phase(); }
    template <class Handler>
    void async_read_some(asio::mutable_buffer buffer, Handler handler) {
        ++state_->reads;
        if (state_->delay_reads == 0) return link_.async_read_some(buffer, std::move(handler));
        // Bytes that arrive meanwhile wait in the link, where `close` discards them, as in a socket.
        later(get_executor(), state_->delay_reads,
              [this, buffer, handler]() mutable { link_.async_read_some(buffer, std::move(handler)); });
    }
    template <class Buffers, class Handler>
    void async_write_some(const Buffers& buffers, Handler handler) {
        ++state_->writes;
        link_.async_write_some(buffers, std::move(handler));
    }
    void shutdown_send() noexcept { link_.shutdown_send(); }
    void close() noexcept {
        ++state_->closes;
        if (state_->hanging)
            asio::post(get_executor(), [handler = std::exchange(state_->hanging, nullptr)] {
                handler(asio::error::operation_aborted);
            });
        link_.close();
    }

private:
    template <class Function>
    static void later(const Executor& executor, int turns, Function function) {
        asio::post(executor, [=]() mutable { turns == 0 ? function() : later(executor, turns - 1, function); });
    }

    tern::testing::basic_link<Executor> link_;
    std::shared_ptr<probe_state> state_;
};

using probe = basic_probe<>;
using test_client = basic_client<probe>;
extern template std::shared_ptr<detail::engine_base<asio::any_io_executor>>
    detail::make_engine_on<probe, asio::any_io_executor>(probe); // engines.cpp

// ---- completions

// The arguments that a handler receives. Copies share them.
template <class... Result>
class answer {
public:
    auto handler() const {
        return [state = state_](std::error_code error, Result... result) {
            ++state->calls;
            state->error = error;
            state->result = std::tuple<Result...>(std::move(result)...);
        };
    }
    bool called() const { return state_->calls != 0; }
    int calls() const { return state_->calls; }
    std::error_code error() const {
        REQUIRE(state_->calls == 1);
        return state_->error;
    }
    auto& result() const {
        REQUIRE(state_->calls == 1);
        return std::get<0>(state_->result);
    }

private:
    struct state {
        int calls = 0;
        std::error_code error;
        std::tuple<Result...> result;
    };
    std::shared_ptr<state> state_ = std::make_shared<state>();
};

// An operation with its cancellation signal.
template <class... Result>
struct cancellable {
    auto handler() { return asio::bind_cancellation_slot(signal->slot(), result.handler()); }
    void cancel() { signal->emit(asio::cancellation_type::total); }

    std::shared_ptr<asio::cancellation_signal> signal = std::make_shared<asio::cancellation_signal>();
    answer<Result...> result;
};

// The same options for a client that does not reconnect.
inline connect_options once(connect_options options) {
    options.reconnect.enabled = false;
    return options;
}

// Each of these functions starts an operation and returns its future outcome.
template <class Client>
answer<connect_result> connects_as(Client& client, const connect_options& options = {.client_id = "c"}) {
    answer<connect_result> a;
    client.async_connect(options, a.handler());
    CHECK_FALSE(a.called());
    return a;
}
// Connects without reconnecting: most tests need one connection only.
template <class Client>
answer<connect_result> connects(Client& client, const connect_options& options = {.client_id = "c"}) {
    return connects_as(client, once(options));
}
template <class Client>
answer<acknowledgement> publishes(Client& client, const message_view& message, const publish_options& options = {}) {
    answer<acknowledgement> a;
    client.async_publish(message, options, a.handler());
    CHECK_FALSE(a.called());
    return a;
}
template <class Client>
answer<acknowledgement> subscribes(Client& client, const subscription& one) {
    answer<acknowledgement> a;
    client.async_subscribe(one, a.handler());
    CHECK_FALSE(a.called());
    return a;
}
template <class Client>
answer<acknowledgement> unsubscribes(Client& client, std::string_view filter) {
    answer<acknowledgement> a;
    client.async_unsubscribe(filter, a.handler());
    CHECK_FALSE(a.called());
    return a;
}
template <class Client>
answer<received_message> receives(Client& client) {
    answer<received_message> a;
    client.async_receive(a.handler());
    CHECK_FALSE(a.called());
    return a;
}
template <class Client>
answer<> pings(Client& client) {
    answer<> a;
    client.async_ping(a.handler());
    CHECK_FALSE(a.called());
    return a;
}
template <class Client>
answer<> drains(Client& client, std::chrono::milliseconds timeout = 0ms) {
    answer<> a;
    client.async_drain(timeout, a.handler());
    CHECK_FALSE(a.called());
    return a;
}
template <class Client>
answer<connection_event> awaits_event(Client& client) {
    answer<connection_event> a;
    client.async_next_event(a.handler());
    CHECK_FALSE(a.called());
    return a;
}
template <class Client>
answer<> disconnects(Client& client, const disconnect& packet = {}) {
    answer<> a;
    client.async_disconnect(packet, a.handler());
    CHECK_FALSE(a.called());
    return a;
}

template <class... Result>
std::error_code wait(asio::io_context& io, const answer<Result...>& a) {
    REQUIRE(run_until(io, [&] { return a.called(); }));
    return a.error();
}

// Runs all handlers that are ready.
inline void settle(asio::io_context& io) {
    io.restart();
    while (io.poll() != 0) {
    }
}

// Runs a coroutine to its end, and rethrows its exception.
template <class Coroutine>
void run(asio::io_context& io, Coroutine coroutine) {
    bool ended = false;
    std::exception_ptr thrown;
    asio::co_spawn(io, std::move(coroutine), [&](std::exception_ptr e) {
        ended = true;
        thrown = e;
    });
    REQUIRE(run_until(io, [&] { return ended; }));
    if (thrown) std::rethrow_exception(thrown);
}

// Checks that the client works: it connects, and receives the messages that it publishes.
template <class Client>
void works(asio::io_context& io, Client& client, connect_options options = {.client_id = "works"}) {
    CHECK(wait(io, connects(client, options)) == std::error_code{});
    CHECK(wait(io, subscribes(client, {.filter = "works"})) == std::error_code{});
    CHECK(wait(io, publishes(client, {.topic = "works", .payload = "yes", .qos = qos::exactly_once})) ==
          std::error_code{});
    const auto m = receives(client);
    CHECK(wait(io, m) == std::error_code{});
    CHECK(m.result().payload == "yes");
    CHECK(wait(io, disconnects(client)) == std::error_code{});
    CHECK_FALSE(client.is_connected());
}

// ---- fixture with the test broker

struct broker_fixture {
    explicit broker_fixture(broker_options options = {}) : server(io.get_executor(), std::move(options)) {
        net.listen("localhost", server);
    }

    void connect(const connect_options& options = {.client_id = "c"}) {
        REQUIRE(wait(io, connects(client, options)) == std::error_code{});
    }
    void subscribe(std::string_view filter, qos max_qos = qos::exactly_once) {
        REQUIRE(wait(io, subscribes(client, {.filter = filter, .max_qos = max_qos})) == std::error_code{});
    }

    asio::io_context io;
    tern::testing::network net{io};
    broker server;
    std::shared_ptr<probe_state> counts = std::make_shared<probe_state>();
    test_client client{probe(io.get_executor(), net, counts)};
};
