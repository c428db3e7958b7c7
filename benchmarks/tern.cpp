// Runs Tern against the sink. Publishing has the variants `callback` (the default), `coroutine` and `try_publish`.
// Receiving has `message_callback` (the default), `batch` and `receive`. The build decides over which transport.
//
// Two modes measure how the cost grows: in `queued` a client publishes all messages at QoS 1 before it is connected,
// and in `clients` many clients on one io_context take turns publishing at QoS 0.
#include "tern/tern.hpp"

#include "support/bench.hpp"
#include "support/client.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace {

using asio::use_awaitable;
using tern::acknowledgement;
using tern::connect_result;

void expect(const std::error_code& error, const char* what) {
    if (error) bench::fail(std::string(what) + ": " + error.message());
}

struct benchmark_run {
    explicit benchmark_run(const bench::options& options) : o(options) {
        connect.host = "127.0.0.1";
        connect.port = o.port;
        connect.version = o.v5() ? tern::protocol_version::v5 : tern::protocol_version::v3_1_1;
        connect.client_id = "bench";
        connect.max_in_flight = static_cast<std::uint16_t>(o.window);
        connect.queue.messages = std::size_t{4} << 20U;
        connect.queue.bytes = std::size_t{4} << 30U;
        message.qos = static_cast<tern::qos>(o.qos());
        message.topic = bench::publish_topic;
        message.payload = payload;
    }
    benchmark_run(const benchmark_run&) = delete;
    benchmark_run& operator=(const benchmark_run&) = delete;
    ~benchmark_run() = default;

    void open(bench::client& c) {
        bench::prepare(c, o);
        bool open = false;
        c.async_connect(connect, [&](std::error_code error, const connect_result&) {
            expect(error, "connect");
            open = true;
        });
        run_until([&] { return open; });
    }
    void subscribe(const std::string& filter, tern::qos qos) {
        client.async_subscribe({.filter = filter, .max_qos = qos},
                               [](std::error_code error, const acknowledgement&) { expect(error, "subscribe"); });
    }
    template <class Done>
    void run_until(Done done) {
        while (!done())
            if (io.run_one() == 0) bench::fail("the io_context has no work left");
    }

    // Counts a message. The measured region begins after the warm-up.
    void count() {
        ++counted;
        if (counted == warm_up) region.begin();
        if (counted == total) end();
    }
    // Not inlined, because a handler would save registers for it with each message.
    TERN_NOINLINE void end() {
        region.end();
        io.stop();
    }

    const bench::options o;
    const std::size_t warm_up = o.warm_up();
    const std::size_t total = warm_up + o.count;
    const std::string payload = std::string(o.size, 'x');
    tern::connect_options connect;
    tern::message_view message;
    bench::region region;
    std::size_t counted = 0;
    std::size_t started = 0;
    asio::io_context io{1};
    bench::client client{io};
};

// ---- publishing

struct next_publish {
    benchmark_run* w;
    bench::client* client;

    void operator()(const std::error_code& error, const acknowledgement&) const {
        expect(error, "publish");
        w->count();
        start();
    }
    void start() const {
        if (w->started == w->total) return;
        ++w->started;
        client->async_publish(w->message, *this);
    }
};

asio::awaitable<void> publish_repeatedly(benchmark_run& w) {
    while (w.started != w.total) {
        ++w.started;
        co_await w.client.async_publish(w.message, use_awaitable);
        w.count();
    }
}

// Publishes a window of messages, then waits until all are acknowledged.
struct next_batch {
    benchmark_run* w;

    void operator()(const std::error_code& error) const {
        expect(error, "drain");
        for (; w->counted != w->started;)
            w->count();
        start();
    }
    void start() const {
        const std::size_t end = std::min(w->total, w->started + w->o.window);
        for (; w->started != end; ++w->started)
            expect(w->client.try_publish(w->message), "publish");
        if (w->counted != end) w->client.async_drain(std::chrono::milliseconds{0}, *this);
    }
};

void publish(benchmark_run& w) {
    w.open(w.client);
    if (w.o.variant.empty() || w.o.variant == "callback") {
        for (std::size_t i = 0; i != w.o.window; ++i)
            next_publish{&w, &w.client}.start();
    } else if (w.o.variant == "coroutine") {
        for (std::size_t i = 0; i != w.o.window; ++i)
            asio::co_spawn(w.io, publish_repeatedly(w), asio::detached);
    } else if (w.o.variant == "try_publish") {
        next_batch{&w}.start();
    } else {
        bench::unsupported(w.o);
    }
    w.io.run();
}

void publish_queued(benchmark_run& w) {
    w.message.qos = tern::qos::at_least_once;
    w.client.async_connect(w.connect, [](std::error_code error, const connect_result&) { expect(error, "connect"); });
    w.region.begin();
    std::size_t done = 0;
    for (std::size_t i = 0; i != w.o.count; ++i)
        w.client.async_publish(w.message, [&](const std::error_code& error, const acknowledgement&) {
            expect(error, "publish");
            ++done;
        });
    w.run_until([&] { return done == w.o.count; });
    w.region.end();
}

void publish_from_many(benchmark_run& w) {
    bench::raise_file_limit();
    std::deque<bench::client> clients;
    for (std::size_t i = 0; i != w.o.clients; ++i)
        w.open(clients.emplace_back(w.io));
    for (bench::client& c : clients)
        next_publish{&w, &c}.start();
    w.io.run();
}

// ---- receiving

asio::awaitable<void> receive_repeatedly(benchmark_run& w) {
    for (;;) {
        const tern::received_message m = co_await w.client.async_receive(use_awaitable);
        if (m.payload.size() != w.o.size) bench::fail("a message has the wrong size");
        w.count();
    }
}

asio::awaitable<void> receive_batches(benchmark_run& w) {
    std::vector<tern::received_message> batch(256);
    for (;;) {
        const std::size_t count = co_await w.client.async_receive_some(batch, use_awaitable);
        for (std::size_t i = 0; i != count; ++i) {
            if (batch[i].payload.size() != w.o.size) bench::fail("a message has the wrong size");
            w.count();
        }
    }
}

void receive(benchmark_run& w) {
    w.open(w.client);
    if (w.o.variant.empty() || w.o.variant == "message_callback")
        w.client.set_message_callback([&w](const tern::received& m) {
            if (m.payload.size() != w.o.size) bench::fail("a message has the wrong size");
            w.count();
        });
    else if (w.o.variant == "receive")
        asio::co_spawn(w.io, receive_repeatedly(w), asio::detached);
    else if (w.o.variant == "batch")
        asio::co_spawn(w.io, receive_batches(w), asio::detached);
    else
        bench::unsupported(w.o);
    w.subscribe(w.o.flood_filter(), w.message.qos);
    w.io.run();
}

void round_trips(benchmark_run& w, bench::latencies& times) {
    using clock = bench::latencies::clock;
    w.open(w.client);
    w.message.topic = bench::echo_topic;
    clock::time_point sent;
    const auto send = [&] {
        sent = clock::now();
        w.client.async_publish(w.message,
                               [](const std::error_code& error, const acknowledgement&) { expect(error, "publish"); });
    };
    bool subscribed = false;
    w.client.async_subscribe({.filter = bench::echo_filter}, [&](std::error_code error, const acknowledgement&) {
        expect(error, "subscribe");
        subscribed = true;
    });
    w.run_until([&] { return subscribed; });
    w.client.set_message_callback([&](const tern::received&) {
        if (w.counted >= w.warm_up) times.add(clock::now() - sent);
        w.count();
        if (w.counted != w.total) send();
    });
    send();
    w.io.run();
}

// ---- connections

void connect_and_disconnect(benchmark_run& w, bench::client& c) {
    w.open(c);
    bool closed = false;
    c.async_disconnect([&](std::error_code error) {
        expect(error, "disconnect");
        closed = true;
    });
    w.run_until([&] { return closed; });
}

// Each time with another client. The variant `resume` uses the same one, which resumes its TLS session.
void connect_repeatedly(benchmark_run& w) {
    if (w.o.variant == "resume") connect_and_disconnect(w, w.client);
    w.region.begin();
    for (std::size_t i = 0; i != w.o.count; ++i) {
        if (w.o.variant == "resume") {
            connect_and_disconnect(w, w.client);
        } else {
            bench::client c{w.io};
            connect_and_disconnect(w, c);
        }
    }
    w.region.end();
#ifdef TERN_BENCHMARKS_TLS
    if (w.o.variant == "resume" && !w.client.transport().is_resumed()) bench::fail("the session was not resumed");
#endif
}

void connect_idle_clients(benchmark_run& w) {
    bench::raise_file_limit();
    w.open(w.client); // allocates the memory that all clients share
    w.region.begin();
    const std::size_t before = bench::resident_bytes();
    std::deque<bench::client> clients;
    std::size_t connected = 0;
    w.run_until([&] {
        while (clients.size() != w.o.clients && clients.size() - connected < bench::connecting_at_once) {
            bench::client& c = clients.emplace_back(w.io);
            bench::prepare(c, w.o);
            c.async_connect(w.connect, [&](std::error_code error, const connect_result&) {
                expect(error, "connect");
                ++connected;
            });
        }
        return connected == w.o.clients;
    });
    w.region.end();
    w.io.poll();
    bench::print_idle("tern", w.o, w.region, before, bench::resident_bytes());
    std::fflush(stdout);
    std::_Exit(0); // without disconnecting ten thousand clients
}

} // namespace

int main(int argc, char** argv) {
    const bench::options o = bench::parse(argc, argv);
    benchmark_run w{o};
    if (o.mode == "rtt") {
        bench::latencies times(o.count);
        round_trips(w, times);
        bench::print_rtt("tern", o, w.region, times);
        return 0;
    }
    if (o.publishes())
        publish(w);
    else if (o.subscribes())
        receive(w);
    else if (o.mode == "queued")
        publish_queued(w);
    else if (o.mode == "clients")
        publish_from_many(w);
    else if (o.mode == "conn")
        connect_repeatedly(w);
    else
        connect_idle_clients(w);
    bench::print("tern", o, w.region);
}
