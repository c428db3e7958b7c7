// The client over TCP on the loopback interface.
#include "tern/transport/tcp.hpp"

#include "scripted_broker.hpp"
#include "tern/client/engine.hpp"
#include "test_names.hpp"

#include <asio/bind_cancellation_slot.hpp>

#include <future>
#include <mutex>
#include <set>
#include <thread>

#if defined(__linux__)
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

// A broker on a context of its own, so that its work does not keep the client's context busy.
struct tcp_fixture {
    asio::io_context io;
    broker server{io.get_executor()};
    std::uint16_t port = server.listen();
    tern::client client{io};

    connect_options options(std::string_view host = "127.0.0.1") const {
        return {.host = host, .port = port, .client_id = "c"};
    }
};

// A port without a listener.
std::uint16_t closed_port(asio::io_context& io) {
    const asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    return acceptor.local_endpoint().port();
}

TEST_CASE("The client works over TCP repeatedly") {
    tcp_fixture w;
    for (int i = 0; i != 3; ++i)
        works(w.io, w.client, w.options());
    works(w.io, w.client, w.options("localhost"));
    CHECK(w.server.violations().empty());
}

TEST_CASE("Large messages arrive complete and in order among small ones") {
    tcp_fixture w;
    tern::client other{w.io};
    REQUIRE(wait(w.io, connects(w.client, w.options())) == std::error_code{});
    connect_options options = w.options();
    options.client_id = "other";
    REQUIRE(wait(w.io, connects(other, options)) == std::error_code{});
    REQUIRE(wait(w.io, subscribes(w.client, {.filter = "there/#"})) == std::error_code{});
    REQUIRE(wait(w.io, subscribes(other, {.filter = "back/#"})) == std::error_code{});

    // One client sends the messages of the other back from its callback.
    w.client.set_message_callback([&](const received& m) {
        const std::string topic = "back/" + std::string(m.topic);
        REQUIRE(w.client.try_publish({topic, m.payload, m.qos}) == std::error_code{});
    });
    std::vector<std::string> sent, got;
    other.set_message_callback([&](const received& m) { got.emplace_back(m.payload); });
    const std::size_t sizes[] = {1, 3'000'000, 2, 65'536, 0, 1'000'000, 1'000'001, 65'535};
    for (const qos level : {qos::at_most_once, qos::at_least_once, qos::exactly_once}) {
        sent.clear();
        got.clear();
        for (const std::size_t size : sizes) {
            sent.emplace_back(size, static_cast<char>('a' + sent.size()));
            REQUIRE(other.try_publish({"there/x", sent.back(), level}) == std::error_code{});
        }
        REQUIRE(run_until(w.io, [&] { return got.size() == sent.size(); }));
        CHECK(got == sent);
    }
    CHECK(w.server.violations().empty());
}

// A socket on which the test is the broker, and the client is connected.
struct raw_tcp_fixture {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    asio::ip::tcp::socket broker{io};
    tern::client client{io};

    explicit raw_tcp_fixture(std::chrono::milliseconds ack_timeout = 20s) {
        acceptor.async_accept(broker, [](std::error_code) {});
        const auto a = connects(client, once({.host = "127.0.0.1",
                                              .port = acceptor.local_endpoint().port(),
                                              .client_id = "c",
                                              .ack_timeout = ack_timeout}));
        REQUIRE(run_until(io, [&] { return broker.is_open(); }));
        broker.set_option(asio::ip::tcp::no_delay{true}); // the last packets leave before the socket closes
        say(connack{});
        REQUIRE(wait(io, a) == std::error_code{});
    }
    template <packet Packet>
    void say(const Packet& p) {
        asio::write(broker, asio::buffer(bytes_of(p)));
    }
};

// Publishes the next message when the last one is written.
struct next_publish {
    tern::client* client;
    const std::string* payload;
    int* left;

    void operator()(const std::error_code&, const acknowledgement&) const {
        if ((*left)-- > 0) client->async_publish({.topic = "t", .payload = *payload}, *this);
    }
};

// The number of bytes that reach the broker while one handler of the context runs.
std::size_t written_in_one_turn(raw_tcp_fixture& w, const std::function<void()>& what_begins_it) {
    w.io.poll();
    const std::size_t before = w.broker.available();
    what_begins_it();
    w.io.run_one();
    return w.broker.available() - before;
}
constexpr std::size_t size_of_publish = 6; // with a topic of one byte and no payload

TEST_CASE("A published message is written, and at QoS 0 complete, in one turn") {
    raw_tcp_fixture w;
    bool complete = false;
    CHECK(written_in_one_turn(w, [&] {
              w.client.async_publish({"t"}, [&](std::error_code error, const acknowledgement&) {
                  CHECK(!error);
                  complete = true;
              });
              CHECK_FALSE(complete);
          }) == size_of_publish);
    CHECK(complete);
}

TEST_CASE("A message that a message callback publishes is written in the turn that has read the received one") {
    raw_tcp_fixture w;
    w.client.set_message_callback([&](const received&) { CHECK(w.client.try_publish({"t"}) == std::error_code{}); });
    CHECK(written_in_one_turn(w, [&] { w.say(publish{.message = {"q"}}); }) == size_of_publish);
}

// The number of messages that a client with a constant backlog writes while other handlers of its context wait.
int most_in_a_row(const std::string& payload) {
    raw_tcp_fixture w;
    std::thread reader([&] {
        std::string buffer(1'000'000, '\0');
        std::error_code error;
        while (!error)
            w.broker.read_some(asio::buffer(buffer), error);
    });
    int left = 5'000, most = 0, last = left;
    std::function<void()> tick = [&] { // runs in each turn of the context
        most = std::max(most, last - left);
        last = left;
        if (left > 0) asio::post(w.io, tick);
    };
    asio::post(w.io, tick);
    next_publish{&w.client, &payload, &left}({}, {});
    CHECK(run_until(w.io, [&] { return left <= 0; }, 50s)); // Wine takes a millisecond for each turn if it is busy
    const int most_while_connected = most;
    w.client.cancel();
    settle(w.io);
    reader.join();
    return most_while_connected;
}

TEST_CASE("A client with a constant backlog does not starve the other handlers of its context") {
    const int small = most_in_a_row("x");
    CHECK(small > 0);
    CHECK(small <= 2);
    const int large = most_in_a_row(std::string(65'536, 'x'));
    CHECK(large > 0);
    CHECK(large < 20); // about 1 MiB
}

TEST_CASE("The acknowledgement timeout starts when a large message is written, however long the turn is") {
    raw_tcp_fixture w(500ms);
    const std::string payload(100'000, 'x');
    bool published = false;
    std::error_code ended;
    asio::post(w.io, [&] {
        REQUIRE(w.client.try_publish({.topic = "t"}) == std::error_code{}); // the turn starts here
        const auto end = std::chrono::steady_clock::now() + 600ms;
        while (std::chrono::steady_clock::now() < end)
            std::this_thread::yield();
        w.client.async_publish({.topic = "t", .payload = payload, .qos = qos::at_least_once},
                               [&](std::error_code error, const acknowledgement&) {
                                   published = true;
                                   ended = error;
                               });
    });
    std::string input(200'000, '\0');
    std::size_t size = 0;
    while (size < payload.size()) {
        w.broker.async_read_some(asio::buffer(&input[size], input.size() - size),
                                 [&](std::error_code, std::size_t count) { size += count; });
        const std::size_t had = size;
        REQUIRE(run_until(w.io, [&] { return size != had; }));
    }
    w.say(puback{1});
    REQUIRE(run_until(w.io, [&] { return published; }));
    CHECK(ended == std::error_code{});
}

TEST_CASE("A reset connection is reported as reset, also if writing a large message detects it") {
    raw_tcp_fixture w;
    w.broker.set_option(asio::socket_base::linger(true, 0));
    w.broker.close();
    const std::string payload(100'000, 'x');
    REQUIRE(w.client.try_publish({.topic = "t", .payload = payload}) == std::error_code{});
    CHECK(wait(w.io, receives(w.client)) == asio::error::connection_reset);
}

TEST_CASE("The client reads the last packets of a broker that closes TCP, though it cannot acknowledge its message") {
    raw_tcp_fixture w;
    w.client.set_message_callback([&](const received&) {
        w.say(disconnect{.reason_code = reason_code::session_taken_over});
        w.broker.set_option(asio::socket_base::linger(true, 0));
        w.broker.close();
    });
    w.say(publish{.message = {.topic = "t", .qos = qos::at_least_once}, .packet_id = 1});
    CHECK(wait(w.io, receives(w.client)) == reason_code::session_taken_over);
}

// A system may discard what it has received when the reset arrives, as Windows itself does: see docs/tcp.md.
TEST_CASE("The client hears the reason that a broker gives in front of a reset") {
    raw_tcp_fixture w;
    w.broker.set_option(asio::socket_base::linger(true, 0));
    const auto received = receives(w.client);
    w.io.run_for(10ms); // it waits for bytes
    w.say(disconnect{.reason_code = reason_code::server_shutting_down});
    w.broker.close();
    CHECK(wait(w.io, received) == reason_code::server_shutting_down);
}

TEST_CASE("The client hears the refusal that a broker sends in front of a reset") {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    asio::ip::tcp::socket broker(io);
    tern::client client(io);
    acceptor.async_accept(broker, [](std::error_code) {});
    const auto connected =
        connects(client, once({.host = "127.0.0.1", .port = acceptor.local_endpoint().port(), .client_id = "c"}));
    REQUIRE(run_until(io, [&] { return broker.is_open() && broker.available() != 0; }));
    std::array<char, 256> request{};
    broker.read_some(asio::buffer(request));
    asio::write(broker, asio::buffer(bytes_of(connack{.reason_code = reason_code::not_authorized})));
    broker.set_option(asio::socket_base::linger(true, 0));
    broker.close();
    CHECK(wait(io, connected) == reason_code::not_authorized);
}

TEST_CASE("The client leaves no work when a message callback has ended it") {
    raw_tcp_fixture w;
    std::optional<tern::client> client(std::move(w.client));
    client->set_message_callback([&](const received&) { client.reset(); });
    w.say(publish{.message = {.topic = "t"}});
    w.io.run_for(5s);
    CHECK_FALSE(client);
    CHECK(w.io.stopped()); // no other work is left
}

TEST_CASE("TCP_NODELAY is set") {
    tcp_fixture w;
    REQUIRE(wait(w.io, connects(w.client, w.options())) == std::error_code{});
    asio::ip::tcp::no_delay option;
    w.client.transport().socket().get_option(option);
    CHECK(option.value());
}

TEST_CASE("Socket options outlive a lost connection") {
    tcp_fixture w;
    w.client.transport().set_options({.no_delay = false, .local_address = asio::ip::make_address("127.0.0.7")});
    connect_options options = w.options();
    options.reconnect.first_delay = 1ms;
    REQUIRE(wait(w.io, connects_as(w.client, options)) == std::error_code{});
    w.server.drop("c");
    REQUIRE(run_until(w.io, [&] { return w.client.counters().connections == 2; }));
    asio::ip::tcp::no_delay option;
    w.client.transport().socket().get_option(option);
    CHECK_FALSE(option.value());
    CHECK(w.client.transport().socket().local_endpoint().address() == asio::ip::make_address("127.0.0.7"));
}

TEST_CASE("The client connects over IPv6") {
    asio::io_context io;
    std::error_code error;
    asio::ip::tcp::acceptor acceptor(io);
    acceptor.open(asio::ip::tcp::v6(), error);
    if (!error) acceptor.bind({asio::ip::address_v6::loopback(), 0}, error);
    if (error) return; // this machine has no IPv6
    acceptor.listen();
    asio::ip::tcp::socket accepted(io);
    acceptor.async_accept(accepted, [](std::error_code) {});
    tern::client client{io};
    const auto a = connects(client, {.host = "::1", .port = acceptor.local_endpoint().port(), .client_id = "c"});
    REQUIRE(run_until(io, [&] { return accepted.is_open(); }));
    const std::string bytes = bytes_of(connack{});
    asio::async_write(accepted, asio::buffer(bytes), [](std::error_code, std::size_t) {});
    CHECK(wait(io, a) == std::error_code{});
}

TEST_CASE("A refused port is an error, and the client can be used again") {
    tcp_fixture w;
    CHECK(wait(w.io, connects(w.client, {.host = "127.0.0.1", .port = closed_port(w.io)})) ==
          asio::error::connection_refused);
    works(w.io, w.client, w.options());
}

TEST_CASE("A connection that ends within a packet completes pending operations with an error") {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    tern::client client{io};
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{7}}) {
        asio::ip::tcp::socket accepted(io);
        acceptor.async_accept(accepted, [](std::error_code) {});
        const auto a =
            connects(client, {.host = "127.0.0.1", .port = acceptor.local_endpoint().port(), .client_id = "c"});
        std::array<char, 100> buffer = {};
        REQUIRE(run_until(io, [&] { return accepted.is_open(); }));
        bool read = false;
        accepted.async_read_some(asio::buffer(buffer), [&](std::error_code, std::size_t) { read = true; });
        REQUIRE(run_until(io, [&] { return read; }));
        const std::string answer = bytes_of(connack{}) + "\x30\x7F"; // and the first bytes of a PUBLISH
        asio::write(accepted, asio::buffer(answer, bytes));
        accepted.close();
        if (bytes < 5) {
            CHECK(wait(io, a) == violation(errc::closed_before_connack));
        } else {
            CHECK(wait(io, a) == std::error_code{});
            CHECK(wait(io, receives(client)) == asio::error::eof);
        }
        CHECK_FALSE(client.is_connected());
    }
}

TEST_CASE("Connecting to an unreachable broker times out") {
    asio::io_context io;
    // The queue of this acceptor is full: the system neither accepts nor refuses further connections.
    asio::ip::tcp::acceptor full(io, asio::ip::tcp::v4());
    full.bind({asio::ip::address_v4::loopback(), 0});
    full.listen(0);
    std::vector<asio::ip::tcp::socket> fill;
    for (int i = 0; i != 4; ++i)
        fill.emplace_back(io).async_connect(full.local_endpoint(), [](std::error_code) {});
    settle(io);
    tern::client client{io};
    const auto a = connects(
        client, {.host = "127.0.0.1", .port = full.local_endpoint().port(), .client_id = "c", .connect_timeout = 50ms});
    CHECK(wait(io, a) == violation(errc::connect_timeout));
    broker server{io.get_executor()};
    works(io, client, {.host = "127.0.0.1", .port = server.listen(), .client_id = "c"});
}

#if defined(__linux__)

TEST_CASE("The clients of a process, and those of processes that have forked, have different seeds") {
    std::set<std::uint64_t> seeds;
    for (int i = 0; i != 1'000; ++i)
        seeds.insert(detail::random_seed());
    CHECK(seeds.size() == 1'000);
    int ends[2] = {};
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    const std::uint64_t own = detail::random_seed();
    if (child == 0) ::_exit(::write(ends[1], &own, sizeof own) == sizeof own ? 0 : 1);
    std::uint64_t of_child = own;
    CHECK(::read(ends[0], &of_child, sizeof of_child) == sizeof of_child);
    CHECK(of_child != own);
    ::waitpid(child, nullptr, 0);
    ::close(ends[0]);
    ::close(ends[1]);
}

// UBSan needs descriptors itself, to look at objects.
#if !defined(__has_feature)
#define __has_feature(name) 0
#endif
#if !__has_feature(undefined_behavior_sanitizer)
TEST_CASE("A client without a descriptor for its socket retries, and its context does not throw") {
    tcp_fixture w;
    works(w.io, w.client, w.options()); // the context has its own descriptors
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit none{3, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    connect_options options = w.options();
    options.reconnect = {.retry_first = true, .first_delay = 1ms, .longest_delay = 1ms};
    const auto a = connects_as(w.client, options);
    std::vector<std::error_code> errors;
    while (errors.size() != 3) {
        const auto event = awaits_event(w.client);
        CHECK_NOTHROW(run_until(w.io, [&] { return event.called(); }));
        if (event.result().change == connection_change::disconnected && event.result().error)
            errors.push_back(event.result().error);
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(errors == std::vector<std::error_code>(3, asio::error::no_descriptors));
    CHECK(wait(w.io, a) == std::error_code{});
}
#endif

TEST_CASE("A name that cannot be resolved is an error, and the client can be used again") {
    tcp_fixture w;
    CHECK(wait(w.io, connects(w.client, w.options("unknown.test"))) == asio::error::host_not_found);
    works(w.io, w.client, w.options());
}

TEST_CASE("Each address of a name is tried") {
    tcp_fixture w;
    works(w.io, w.client, w.options("several.test"));
}

TEST_CASE("A slow name server delays neither timeout, cancellation, disconnect nor destruction") {
    tcp_fixture w;
    std::unique_lock slow(test_names::slow);
    const int lookups = test_names::slow_lookups;
    std::optional<tern::client> client(std::in_place, w.io);
    connect_options options = w.options("slow.test");
    const auto is_slow = [&] {
        while (test_names::slow_lookups == lookups) {
            settle(w.io);
            std::this_thread::yield();
        }
    };
    SECTION("timeout") {
        options.resolve_timeout = 20ms;
        CHECK(wait(w.io, connects(*client, options)) == violation(errc::resolve_timeout));
    }
    SECTION("cancellation") {
        asio::cancellation_signal signal;
        answer<connect_result> a;
        client->async_connect(options, asio::bind_cancellation_slot(signal.slot(), a.handler()));
        is_slow();
        signal.emit(asio::cancellation_type::terminal);
        CHECK(wait(w.io, a) == asio::error::operation_aborted);
    }
    SECTION("disconnect") {
        const auto a = connects(*client, options);
        is_slow();
        CHECK(wait(w.io, disconnects(*client)) == std::error_code{});
        CHECK(a.error() == errc::disconnected);
    }
    SECTION("destruction") {
        const auto a = connects(*client, options);
        is_slow();
        client.reset();
        CHECK(wait(w.io, a) == asio::error::operation_aborted);
        client.emplace(w.io);
    }
    // The answer to the first look-up is discarded.
    const auto again = connects(*client, w.options());
    slow.unlock();
    CHECK(wait(w.io, again) == std::error_code{});
    CHECK(w.server.violations().empty());
}

TEST_CASE("A context can be destroyed while a name is resolved") {
    std::unique_lock slow(test_names::slow);
    const auto alive = std::make_shared<int>(0);
    {
        asio::io_context io;
        auto client = std::make_shared<tern::client>(io);
        client->async_connect({.host = "slow.test", .client_id = "c"},
                              [client, alive](std::error_code, const auto&) { FAIL("called"); });
        client.reset();
        io.poll();
        slow.unlock();
    }
    CHECK(alive.use_count() == 1);
}

#endif

// ---- threads

TEST_CASE("A client on a strand works with several threads") {
    constexpr int count = 200;
    asio::thread_pool pool(4);
    const asio::any_io_executor strand = asio::make_strand(pool.get_executor());
    const asio::any_io_executor broker_strand = asio::make_strand(pool.get_executor());

    std::promise<std::uint16_t> listening;
    std::unique_ptr<broker> server;
    asio::post(broker_strand, [&] {
        server = std::make_unique<broker>(broker_strand);
        listening.set_value(server->listen());
    });
    const connect_options options{
        .host = "127.0.0.1", .port = listening.get_future().get(), .client_id = "c", .inbox_limit = 7};

    auto client = std::make_unique<tern::client>(strand);
    std::promise<std::error_code> ended;
    int completed = 0; // counted on the strand without checks, because Catch supports one thread only
    int failed = 0;
    std::size_t broken_rules = 0;
    const auto publishing = [&, published = 0](auto& again) mutable -> void {
        if (published++ == count) return;
        client->async_publish({.topic = "t", .qos = static_cast<qos>(published % 3)},
                              [&](std::error_code error, const auto&) {
                                  ++completed;
                                  if (error) ++failed;
                                  asio::post(pool, [&] { asio::post(strand, [&] { again(again); }); });
                              });
    };
    auto publish_next = publishing;
    asio::co_spawn(
        strand,
        [&]() -> asio::awaitable<void> {
            co_await client->async_connect(options, asio::use_awaitable);
            co_await client->async_subscribe({.filter = "t", .max_qos = qos::exactly_once}, asio::use_awaitable);
            publish_next(publish_next);
            for (int i = 0; i != count; ++i)
                co_await client->async_receive(asio::use_awaitable);
            while (completed != count) // the last message may arrive before the last acknowledgement
                co_await asio::post(strand, asio::use_awaitable);
            co_await client->async_disconnect(asio::use_awaitable);
        },
        [&](std::exception_ptr e) {
            try {
                if (e) std::rethrow_exception(e);
                ended.set_value({});
            } catch (const std::system_error& error) {
                ended.set_value(error.code());
            }
        });
    auto result = ended.get_future();
    const auto status = result.wait_for(20s);
    REQUIRE(status == std::future_status::ready);
    CHECK(result.get() == std::error_code{});

    std::promise<void> over;
    asio::post(strand, [&] {
        client.reset();
        asio::post(broker_strand, [&] {
            broken_rules = server->violations().size();
            server.reset();
            over.set_value();
        });
    });
    over.get_future().wait();
    pool.join();
    CHECK(failed == 0);
    CHECK(broken_rules == 0);
}

TEST_CASE("Clients of one context may live in different threads") {
    asio::thread_pool pool(4);
    std::vector<std::future<void>> ends;
    for (int i = 0; i != 8; ++i) {
        const asio::any_io_executor strand = asio::make_strand(pool.get_executor());
        ends.push_back(asio::co_spawn(
            strand,
            []() -> asio::awaitable<void> {
                const auto executor = co_await asio::this_coro::executor;
                broker server{executor};
                for (int round = 0; round != 5; ++round) {
                    tern::client client{executor};
                    co_await client.async_connect({.host = "127.0.0.1", .port = server.listen(), .client_id = "c"},
                                                  asio::use_awaitable);
                    co_await client.async_publish({.topic = "t", .qos = qos::exactly_once}, asio::use_awaitable);
                }
            },
            asio::use_future));
    }
    for (auto& each : ends) {
        REQUIRE(each.wait_for(20s) == std::future_status::ready);
        CHECK_NOTHROW(each.get());
    }
    pool.join();
}

} // namespace
