// The client over TCP on the loopback interface.
#include "peer.hpp"

#include <asio/bind_cancellation_slot.hpp>

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

#if defined(__linux__)
#include <cstring>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>

// Names that only these tests know. The system's resolver cannot be made slow, or to give several addresses, in
// any other way that works everywhere.
namespace {

std::mutex slow_names; // while it is locked, "slow.test" is not resolved
std::atomic<int> slow_lookups = 0;

} // namespace

extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** result) {
    using function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto next = reinterpret_cast<function>(dlsym(RTLD_NEXT, "getaddrinfo"));
    const std::string_view text = name ? name : "";
    if (text == "slow.test") {
        ++slow_lookups;
        const std::lock_guard lock(slow_names);
        return next("127.0.0.1", service, hints, result);
    }
    if (text == "unknown.test") return EAI_NONAME;
    if (text == "several.test") { // nobody listens on the first one
        addrinfo* second = nullptr;
        if (const int error = next("127.0.0.1", service, hints, &second)) return error;
        if (const int error = next("127.0.0.99", service, hints, result)) return error;
        addrinfo* last = *result;
        while (last->ai_next)
            last = last->ai_next;
        last->ai_next = second;
        return 0;
    }
    return next(name, service, hints, result);
}
#endif

namespace {

// A broker whose work does not keep the client's context busy.
struct tcp_world {
    asio::io_context io;
    broker server{io.get_executor()};
    std::uint16_t port = server.listen();
    tern::client client{io};

    connect_options options(std::string_view host = "127.0.0.1") const {
        return {.host = host, .port = port, .client_id = "c"};
    }
};

// A port on which nobody listens.
std::uint16_t closed_port(asio::io_context& io) {
    const asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    return acceptor.local_endpoint().port();
}

TEST_CASE("The client works over TCP, again and again") {
    tcp_world w;
    for (int i = 0; i != 3; ++i)
        works(w.io, w.client, w.options());
    works(w.io, w.client, w.options("localhost"));
    CHECK(w.server.violations().empty());
}

TEST_CASE("TCP_NODELAY is set") {
    tcp_world w;
    REQUIRE(wait(w.io, connects(w.client, w.options())) == std::error_code{});
    asio::ip::tcp::no_delay option;
    w.client.transport().socket().get_option(option);
    CHECK(option.value());
}

TEST_CASE("IPv6") {
    asio::io_context io;
    std::error_code error;
    asio::ip::tcp::acceptor acceptor(io);
    acceptor.open(asio::ip::tcp::v6(), error);
    if (!error) acceptor.bind({asio::ip::address_v6::loopback(), 0}, error);
    if (error) return; // there is none here
    acceptor.listen();
    asio::ip::tcp::socket accepted(io);
    acceptor.async_accept(accepted, [](std::error_code) {});
    tern::client client{io};
    const auto a =
        connects(client, {.host = "::1", .port = acceptor.local_endpoint().port(), .client_id = "c"});
    REQUIRE(run_until(io, [&] { return accepted.is_open(); }));
    const std::string bytes = bytes_of(connack{});
    asio::async_write(accepted, asio::buffer(bytes), [](std::error_code, std::size_t) {});
    CHECK(wait(io, a) == std::error_code{});
}

TEST_CASE("A refused port is an error, and the client can be used again") {
    tcp_world w;
    CHECK(wait(w.io, connects(w.client, {.host = "127.0.0.1", .port = closed_port(w.io)})) ==
          asio::error::connection_refused);
    works(w.io, w.client, w.options());
}

TEST_CASE("A connection that ends in the middle of a packet ends the client's too") {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    tern::client client{io};
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{7}}) {
        asio::ip::tcp::socket accepted(io);
        acceptor.async_accept(accepted, [](std::error_code) {});
        const auto a = connects(
            client, {.host = "127.0.0.1", .port = acceptor.local_endpoint().port(), .client_id = "c"});
        std::array<char, 100> buffer = {};
        REQUIRE(run_until(io, [&] { return accepted.is_open(); }));
        bool read = false;
        accepted.async_read_some(asio::buffer(buffer), [&](std::error_code, std::size_t) { read = true; });
        REQUIRE(run_until(io, [&] { return read; }));
        const std::string answer = bytes_of(connack{}) + "\x30\x7F"; // and the beginning of a PUBLISH
        asio::write(accepted, asio::buffer(answer, bytes));
        accepted.close();
        if (bytes < 5) {
            CHECK(wait(io, a) == asio::error::eof);
        } else {
            CHECK(wait(io, a) == std::error_code{});
            CHECK(wait(io, receives(client)) == asio::error::eof);
        }
        CHECK_FALSE(client.is_connected());
    }
}

TEST_CASE("An unreachable broker is given up in time") {
    asio::io_context io;
    // The queue of this acceptor is full: further connections are neither accepted nor refused.
    asio::ip::tcp::acceptor full(io, asio::ip::tcp::v4());
    full.bind({asio::ip::address_v4::loopback(), 0});
    full.listen(0);
    std::vector<asio::ip::tcp::socket> fill;
    for (int i = 0; i != 4; ++i)
        fill.emplace_back(io).async_connect(full.local_endpoint(), [](std::error_code) {});
    settle(io);
    tern::client client{io};
    const auto a = connects(client, {.host = "127.0.0.1",
                                     .port = full.local_endpoint().port(),
                                     .client_id = "c",
                                     .connect_timeout = 50ms});
    CHECK(wait(io, a) == violation(errc::connect_timeout));
    broker server{io.get_executor()};
    works(io, client, {.host = "127.0.0.1", .port = server.listen(), .client_id = "c"});
}

#if defined(__linux__)

TEST_CASE("A name that cannot be resolved is an error, and the client can be used again") {
    tcp_world w;
    CHECK(wait(w.io, connects(w.client, w.options("unknown.test"))) == asio::error::host_not_found);
    works(w.io, w.client, w.options());
}

TEST_CASE("Each address of a name is tried") {
    tcp_world w;
    works(w.io, w.client, w.options("several.test"));
}

TEST_CASE("A slow name server holds up neither timeout, cancellation, disconnect nor destruction") {
    tcp_world w;
    std::unique_lock slow(slow_names);
    const int lookups = slow_lookups;
    std::optional<tern::client> client(std::in_place, w.io);
    connect_options options = w.options("slow.test");
    const auto is_slow = [&] {
        while (slow_lookups == lookups) {
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
    // Asio has one resolver for all, so the next name has to wait; but the answer to the first is not used.
    const auto again = connects(*client, w.options());
    slow.unlock();
    CHECK(wait(w.io, again) == std::error_code{});
    CHECK(w.server.violations().empty());
}

TEST_CASE("A context can end while a name is resolved") {
    std::unique_lock slow(slow_names);
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
    int completed = 0; // on the strand, where nothing is checked: Catch has one thread only
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
            co_await client->async_subscribe({.filter = "t", .max_qos = qos::exactly_once},
                                             asio::use_awaitable);
            publish_next(publish_next);
            for (int i = 0; i != count; ++i)
                co_await client->async_receive(asio::use_awaitable);
            while (completed != count) // the last message can overtake its last acknowledgement
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
                    basic_client<tern::testing::pipe> client{tern::testing::pipe(executor, server.pipe())};
                    co_await client.async_connect({.client_id = "c"}, asio::use_awaitable);
                    co_await client.async_publish({.topic = "t", .qos = qos::exactly_once},
                                                  asio::use_awaitable);
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
