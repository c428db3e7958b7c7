// The link as a transport, and its network.
#include "tern/testing/link.hpp"

#include "network_test.hpp"
#include "tern/transport/time.hpp"

#include <type_traits>

namespace {

using io_executor = asio::io_context::executor_type;
static_assert(tern::timed_transport<tern_link>);
static_assert(tern::timed_transport<basic_link<io_executor>>);
static_assert(std::is_same_v<tern_link::rebind_executor<io_executor>::other, basic_link<io_executor>>);
static_assert(std::is_same_v<tern::detail::timer_of<tern_link>, virtual_timer>);
static_assert(std::is_nothrow_move_assignable_v<tern_link>);

using tern::connection_phase;

TEST_CASE("A link carries bytes both ways, and no operation completes at once") {
    link_fixture w;
    w.connected();
    sink server(w.server());
    sink client(w.client);
    CHECK_FALSE(w.write("hello"));
    CHECK_FALSE(w.answer("good bye"));
    w.net.run_ready();
    CHECK(server.text == "hello");
    CHECK(client.text == "good bye");
    CHECK_FALSE(client.error);
}

TEST_CASE("A link gathers the buffers of a write, and no operation completes inside the call that starts it") {
    link_fixture w;
    w.connected();
    const std::array<asio::const_buffer, 3> parts{asio::buffer("he", 2), asio::const_buffer(), asio::buffer("llo", 3)};
    std::array<char, 8> buffer{};
    outcome written;
    outcome read;
    w.client.async_write_some(parts, *written);
    w.server().async_read_some(asio::buffer(buffer), *read);
    CHECK_FALSE(written.done);
    CHECK_FALSE(read.done);
    w.net.run_ready();
    CHECK(written.size == 5);
    CHECK(read.size == 5);
    CHECK(std::string_view(buffer.data(), read.size) == "hello");
}

TEST_CASE("A full link makes its writer wait") {
    link_fixture w;
    w.net.next({.to_server = {.capacity = 4}});
    w.connected();
    outcome first;
    outcome second;
    w.client.async_write_some(asio::buffer("abcdef", 6), *first);
    w.net.run_ready();
    CHECK(first.size == 4);
    w.client.async_write_some(asio::buffer("ef", 2), *second);
    w.net.run_ready();
    CHECK_FALSE(second.done);
    std::array<char, 3> buffer{};
    outcome read;
    w.server().async_read_some(asio::buffer(buffer), *read);
    w.net.run_ready();
    CHECK(read.size == 3);
    CHECK(second.size == 2);
}

TEST_CASE("close() aborts outstanding operations, and the link can connect again") {
    link_fixture w;
    outcome opening;
    w.client.async_open({.host = "host"}, {}, *opening);
    w.client.close();
    w.net.run_ready();
    CHECK(opening.error == asio::error::operation_aborted);
    CHECK(w.accepted.empty());
    for (std::size_t i = 1; i != 3; ++i) {
        REQUIRE_FALSE(w.open());
        CHECK(w.accepted.size() == i);
        outcome too_many;
        w.client.async_open({.host = "host"}, {}, *too_many);
        std::array<char, 8> buffer{};
        outcome reading;
        w.client.async_read_some(asio::buffer(buffer), *reading);
        w.client.close();
        CHECK_FALSE(reading.done);
        w.net.run_ready();
        CHECK(reading.error == asio::error::operation_aborted);
        CHECK(too_many.error == asio::error::already_started);
    }
}

TEST_CASE("The handler of a link's operation runs on its own executor") {
    link_fixture w;
    w.connected();
    asio::io_context own;
    outcome read;
    std::array<char, 8> buffer{};
    w.client.async_read_some(asio::buffer(buffer), asio::bind_executor(own, *read));
    CHECK_FALSE(w.answer("x"));
    w.net.run_ready();
    CHECK_FALSE(read.done);
    own.run();
    CHECK(read.done);
}

TEST_CASE("A link carries bytes also when the test runs the context without the network") {
    asio::io_context io;
    network net(io);
    std::vector<tern_link> accepted;
    net.listen("host", [&](tern_link stream) { accepted.push_back(std::move(stream)); });
    tern_link client(net);
    outcome opened;
    client.async_open({.host = "host"}, {.resolve = 1s, .connect = 1s}, *opened);
    io.run();
    REQUIRE_FALSE(opened.error);
    REQUIRE(accepted.size() == 1);
    std::array<char, 8> buffer{};
    outcome read;
    accepted[0].async_read_some(asio::buffer(buffer), *read);
    client.async_write_some(asio::buffer("x", 1), [](std::error_code, std::size_t) {});
    io.restart();
    io.run();
    CHECK(read.size == 1);
}

TEST_CASE("close() and shutdown_send() end a link as they end a socket") {
    link_fixture w;
    w.connected();
    std::optional<sink> server(std::in_place, w.server());
    std::optional<sink> client(std::in_place, w.client);
    CHECK_FALSE(w.write("rest"));
    w.client.shutdown_send();
    CHECK(w.write("more") == asio::error::broken_pipe);
    w.net.run_ready();
    CHECK(server->text == "rest");
    CHECK(server->error == asio::error::eof);
    CHECK_FALSE(w.answer("last words"));
    w.net.run_ready();
    CHECK(client->text == "last words");
    w.client.close();
    w.client.close();
    w.net.run_ready();
    CHECK(client->error == asio::error::operation_aborted);
    CHECK(w.answer("x") == asio::error::broken_pipe);
    outcome unconnected;
    w.client.async_write_some(asio::buffer("x", 1), *unconnected);
    w.net.run_ready();
    CHECK(unconnected.error == asio::error::not_connected);

    REQUIRE_FALSE(w.open());
    client.emplace(w.client);
    w.accepted.back().reset();
    w.net.run_ready();
    CHECK(client->error == asio::error::eof);
}

TEST_CASE("Resolving a name takes the configured time, with or without a port") {
    link_fixture w;
    w.net.refuse("host:1884");
    w.net.resolve_time(70ms);
    const auto start = w.net.now();
    CHECK_FALSE(w.open());
    CHECK(w.net.now() == start + 70ms);
    CHECK(w.client.opening_phase() == connection_phase::connecting);
    w.client.close();
    CHECK(w.open("stranger") == asio::error::host_not_found);
    CHECK(w.client.opening_phase() == connection_phase::resolving);
    outcome ported;
    w.client.async_open({.host = "host", .port = 1884}, {}, *ported);
    REQUIRE(w.net.run_until([&] { return ported.done; }));
    CHECK(ported.error == asio::error::connection_refused);

    outcome closed;
    w.client.async_open({.host = "host"}, {}, *closed);
    w.client.close();
    w.net.run_ready();
    CHECK(closed.error == asio::error::operation_aborted);
    w.net.run_for(1s);
}

TEST_CASE("An address of a host can refuse or never answer") {
    link_fixture w;
    w.net.refuse("bad");
    w.net.refuse("bad", asio::error::network_unreachable);
    w.net.ignore("bad");
    outcome never;
    w.client.async_open({.host = "bad"}, {}, *never);
    CHECK_FALSE(w.net.run_until([&] { return never.done; }, 1h));
    CHECK(w.net.count(step::connect) == 3);
    CHECK(w.client.opening_phase() == connection_phase::connecting);
    w.client.close();
    w.net.run_ready();
    CHECK(never.error == asio::error::operation_aborted);

    w.net.listen("bad", [&](tern_link s) { w.accepted.push_back(std::make_unique<tern_link>(std::move(s))); });
    CHECK(w.open("bad", {.connect = 1s}) == std::error_code{});
    CHECK(w.accepted.size() == 1);

    w.client.close();
    w.net.forget("bad");
    CHECK(w.open("bad") == asio::error::host_not_found);
}

TEST_CASE("A host can be forgotten while a link connects to it") {
    link_fixture w;
    w.net.usual({.to_server = {.latency = 1s}});
    outcome opened;
    w.client.async_open({.host = "host"}, {}, *opened);
    w.net.run_for(500ms);
    w.net.forget("host");
    REQUIRE(w.net.run_until([&] { return opened.done; }));
    CHECK(opened.error == asio::error::connection_refused);
    CHECK(w.accepted.empty());
}

TEST_CASE("A link tries the addresses of a host in turn, and its error is that of the last one") {
    link_fixture w;
    w.net.refuse("host.test", asio::error::network_unreachable);
    w.net.refuse("host.test");
    CHECK(w.open("host.test") == asio::error::connection_refused);
    CHECK(w.net.count(step::resolve) == 1);
    CHECK(w.net.count(step::connect) == 2);
    w.net.ignore("host.test");
    const auto start = w.net.now();
    CHECK(w.open("host.test", {.connect = 3s}) == tern::violation(tern::errc::connect_timeout));
    CHECK(w.net.now() == start + 3s);
    CHECK(w.net.count(step::connect) == 5); // starting with the first address
}

TEST_CASE("A link applies the time limits of open") {
    link_fixture w;
    const tern::open_timeouts limits{.resolve = 2s, .connect = 3s};
    const auto start = w.net.now();
    SECTION("to resolving") {
        const bool hangs = GENERATE(false, true);
        hangs ? w.net.hang(step::resolve, 1) : w.net.resolve_time(2001ms);
        CHECK(w.open("host", limits) == tern::violation(tern::errc::resolve_timeout));
        CHECK(w.net.now() == start + 2s);
        CHECK(w.client.opening_phase() == connection_phase::resolving);
        w.net.run_for(1s); // the answer arrives too late
        CHECK(w.accepted.empty());
    }
    SECTION("to connecting, for each address") {
        w.net.ignore("host");
        w.net.hang(step::connect, 1);
        w.net.resolve_time(1s);
        CHECK(w.open("host", limits) == tern::violation(tern::errc::connect_timeout));
        CHECK(w.net.now() == start + 1s + 3s + 3s);
        CHECK(w.client.opening_phase() == connection_phase::connecting);
    }
    SECTION("until the link is connected") {
        w.net.resolve_time(1999ms);
        w.net.usual({.to_server = {.latency = 2999ms}});
        CHECK(w.open("host", limits) == std::error_code{});
        CHECK_FALSE(w.net.clock().next()); // no timer is pending while the link is connected
    }
    SECTION("only if they are set") {
        w.net.resolve_time(1h);
        w.net.usual({.to_server = {.latency = 1h}});
        outcome opened;
        w.client.async_open({.host = "host"}, {}, *opened);
        REQUIRE(w.net.run_until([&] { return opened.done; }, 3h));
        CHECK_FALSE(opened.error);
    }
    w.net.resolve_time(0s);
    w.net.usual({});
    w.connected();
}

TEST_CASE("An address on which nothing was read is tried last") {
    network net;
    tern_link client{net};
    std::string order;
    std::vector<tern_link> accepted;
    for (const char name : {'a', 'b', 'c'})
        net.listen("host", [&, name](tern_link stream) {
            order += name;
            accepted.push_back(std::move(stream));
        });
    const auto opens = [&](std::string_view expected) {
        order.clear();
        client.close();
        outcome opened;
        client.async_open({.host = "host"}, {}, *opened);
        REQUIRE(net.run_until([&] { return opened.done; }));
        CHECK_FALSE(opened.error);
        net.run_ready();
        CHECK(order == expected);
    };
    opens("a");
    opens("b");
    opens("c");
    opens("a"); // the least recently tried address
    outcome read;
    std::array<char, 8> buffer{};
    client.async_read_some(asio::buffer(buffer), *read);
    accepted.back().async_write_some(asio::buffer("x", 1), [](std::error_code, std::size_t) {});
    REQUIRE(net.run_until([&] { return read.done; }));
    opens("a"); // this address has answered
    opens("b");
}

TEST_CASE("Bytes and connections have latency, and time passes only when no handler is ready") {
    link_fixture w;
    w.net.usual({.to_server = {.latency = 30ms}, .to_client = {.latency = 50ms}});
    const auto start = w.net.now();
    w.connected();
    CHECK(w.net.now() == start + 80ms);
    sink server(w.server());
    sink client(w.client);
    REQUIRE_FALSE(w.write("ping"));
    CHECK(w.net.now() == start + 80ms);
    w.net.run_for(29ms);
    CHECK(server.text.empty());
    w.net.run_for(1ms);
    CHECK(server.text == "ping");
    REQUIRE_FALSE(w.answer("pong"));
    w.server().close();
    CHECK(w.net.run_until([&] { return !client.text.empty(); }));
    CHECK(w.net.now() == start + 160ms);
    w.net.run_ready();
    CHECK(client.error == asio::error::eof);

    CHECK_FALSE(w.net.run_until([] { return false; }, 1h));
    CHECK(w.net.now() == start + 160ms + 1h);
}

TEST_CASE("Bytes are cut into pieces") {
    link_fixture w(GENERATE(1U, 2U, 3U));
    const std::string text(3000, 'x');
    const auto how = GENERATE(pieces::whole, pieces::single_bytes, pieces::random);
    w.net.next({.to_server = {.pieces = how}, .to_client = {.jitter = 10ms, .pieces = how, .capacity = 99}});
    w.connected();
    sink server(w.server());
    sink client(w.client);
    CHECK_FALSE(w.write(text));
    CHECK_FALSE(w.answer(text));
    REQUIRE(w.net.run_until([&] { return client.text.size() == text.size(); }));
    CHECK(server.text == text);
    CHECK(server.sizes.size() == (how == pieces::whole ? 3 : how == pieces::single_bytes ? 3000 : server.sizes.size()));
    if (how == pieces::random) {
        CHECK(server.sizes.size() > 3000 / 128);
        CHECK(server.sizes.size() < 1000);
    }
}

TEST_CASE("A connection is cut after a byte") {
    link_fixture w;
    const auto how = GENERATE(ending::close, ending::reset, ending::stall);
    const std::size_t after = GENERATE(0U, 1U, 4U, 5U);
    const auto latency = GENERATE(0ms, 10ms);
    link_options options{.to_server = {.latency = latency}, .to_client = {.latency = latency}};
    const bool to_server = GENERATE(true, false);
    (to_server ? options.to_server : options.to_client).cut = cut{after, how};
    w.net.next(options);
    w.connected();
    sink server(w.server());
    sink client(w.client);
    const sink& reader = to_server ? server : client;
    tern_link& writer = to_server ? w.client : w.server();
    outcome written;
    asio::async_write(writer, asio::buffer("hello", 5), *written);
    w.net.run_for(1s);
    CHECK(written.done);
    CHECK(reader.text == std::string_view("hello", after));
    const std::error_code end = how == ending::close   ? asio::error::eof
                                : how == ending::reset ? asio::error::connection_reset
                                                       : std::error_code();
    CHECK(server.error == end);
    CHECK(client.error == end);
    outcome again;
    writer.async_write_some(asio::buffer("more", 4), *again);
    outcome against;
    (to_server ? w.server() : w.client).async_write_some(asio::buffer("back", 4), *against);
    w.net.run_for(1s);
    if (how == ending::stall) {
        CHECK_FALSE(again.error);
        CHECK((to_server ? client : server).text.empty());
        w.client.close(); // the close does not reach the server
        w.net.run_for(1h);
        CHECK_FALSE(server.error);
        CHECK(client.error == asio::error::operation_aborted);
    } else {
        const std::error_code broken = how == ending::close ? asio::error::broken_pipe : asio::error::connection_reset;
        CHECK(again.error == broken);
        CHECK(against.error == broken);
    }
    w.connected(); // the next connection has the usual options
    CHECK_FALSE(w.write("hello"));
}

TEST_CASE("A stalled connection accepts bytes until it is full") {
    link_fixture w;
    w.net.next({.to_server = {.capacity = 10}});
    w.connected();
    sink server(w.server());
    w.net.end_all(ending::stall);
    outcome written;
    asio::async_write(w.client, asio::buffer("more than ten"), *written);
    CHECK_FALSE(w.net.run_until([&] { return written.done; }, 1h));
    CHECK(server.text.empty());
    SECTION("close") {
        w.client.close();
        w.net.run_ready();
        CHECK(written.error == asio::error::operation_aborted);
        CHECK_FALSE(server.error);
    }
    SECTION("end") {
        w.net.end_all(ending::reset);
        w.net.run_ready();
        CHECK(written.error == asio::error::connection_reset);
        CHECK(server.error == asio::error::connection_reset);
    }
}

TEST_CASE("The n-th operation fails or hangs") {
    link_fixture w;
    const std::error_code error = asio::error::timed_out;
    const auto kind = GENERATE(step::resolve, step::connect, step::read, step::write, step::any);
    const std::size_t nth = GENERATE(1U, 2U, 3U);
    const bool hangs = GENERATE(false, true);
    hangs ? w.net.hang(kind, nth) : w.net.fail(kind, nth, error);
    std::vector<std::error_code> errors; // the errors of operations of this kind
    int stuck = 0;
    std::size_t connects = 0;
    for (int round = 0; round != 3; ++round) {
        const auto run = [&](step which, auto start) {
            outcome ended;
            start(ended);
            w.net.run_for(1s);
            if (!ended.done) {
                ++stuck;
                w.client.close();
                w.net.run_ready();
                CHECK(ended.error == asio::error::operation_aborted);
            }
            CHECK(ended.done);
            const bool opens = which == step::connect; // an open operation counts as resolving, too
            if (kind == step::any && opens && w.net.count(step::connect) > connects) errors.emplace_back();
            connects = w.net.count(step::connect);
            if (kind == step::any || which == kind || (opens && kind == step::resolve)) errors.push_back(ended.error);
            return !ended.error;
        };
        std::array<char, 10> buffer;
        if (!run(step::connect, [&](outcome& o) { w.client.async_open({.host = "host"}, {}, *o); })) continue;
        run(step::write, [&](outcome& o) { w.client.async_write_some(asio::buffer("x", 1), *o); });
        w.server().shutdown_send();
        run(step::read, [&](outcome& o) { w.client.async_read_some(asio::buffer(buffer), *o); });
        w.client.close();
    }
    CHECK(stuck == (hangs ? 1 : 0));
    REQUIRE(errors.size() >= nth);
    CHECK(errors[nth - 1] == (hangs ? std::error_code(asio::error::operation_aborted) : error));
    CHECK(w.net.count(kind) >= nth);
    CHECK(w.net.count(step::any) ==
          w.net.count(step::resolve) + w.net.count(step::connect) + w.net.count(step::read) + w.net.count(step::write));
}

TEST_CASE("Each operation of a link can be cancelled individually") {
    link_fixture w;
    w.net.usual({.to_server = {.latency = 1s, .capacity = 1}});
    w.net.resolve_time(1s);
    std::array<char, 10> buffer;
    asio::cancellation_signal signal;
    const auto cancels = [&](auto start) {
        outcome ended;
        start(asio::bind_cancellation_slot(signal.slot(), *ended));
        w.net.run_for(1ms);
        CHECK_FALSE(ended.done);
        signal.emit(asio::cancellation_type::terminal);
        w.net.run_for(1ms);
        CHECK(ended.error == asio::error::operation_aborted);
    };
    cancels([&](auto token) { w.client.async_open({.host = "host"}, {}, token); });
    w.net.resolve_time(0s);
    cancels([&](auto token) { w.client.async_open({.host = "host"}, {}, token); });
    CHECK(w.client.opening_phase() == connection_phase::connecting);
    REQUIRE_FALSE(w.open());
    cancels([&](auto token) { w.client.async_read_some(asio::buffer(buffer), token); });
    CHECK_FALSE(w.write("x"));
    cancels([&](auto token) { w.client.async_write_some(asio::buffer("y", 1), token); });
    w.net.hang(step::read, 1);
    cancels([&](auto token) { w.client.async_read_some(asio::buffer(buffer), token); });
    sink client(w.client);
    CHECK_FALSE(w.answer("still works"));
    w.net.run_ready();
    CHECK(client.text == "still works");
}

TEST_CASE("Either end can end the connection after its written bytes") {
    link_fixture w;
    w.net.usual({.to_client = {.latency = 10ms}});
    w.connected();
    sink server(w.server());
    sink client(w.client);
    CHECK_FALSE(w.answer("last words"));
    w.server().end(ending::reset);
    CHECK_FALSE(w.answer("too late"));
    CHECK_FALSE(w.write("not yet known"));
    w.net.run_for(1s);
    CHECK(client.text == "last words");
    CHECK(client.error == asio::error::connection_reset);
    CHECK(server.text == "not yet known");
    CHECK(server.error == asio::error::connection_reset);
}

// A conversation with random sizes, times and ends.
std::string chance(std::uint64_t seed) {
    link_fixture w(seed);
    w.net.usual({.to_server = {.jitter = 5ms, .pieces = pieces::random},
                 .to_client = {.jitter = 7ms, .pieces = pieces::random}});
    std::string log;
    for (int i = 0; i != 3; ++i) {
        w.connected();
        sink server(w.server());
        sink client(w.client);
        w.write(std::string(500, 'a'));
        w.answer(std::string(400, 'b'));
        const auto end = std::chrono::milliseconds(w.net.random(20));
        w.net.run_for(end);
        w.net.end_all(ending::reset);
        w.net.run_ready();
        for (const std::size_t size : server.sizes)
            log += std::to_string(size) + ' ';
        log +=
            std::to_string(client.text.size()) + " at " + std::to_string(w.net.now().time_since_epoch().count()) + '\n';
    }
    return log;
}

TEST_CASE("The same seed produces the same run") {
    CHECK(chance(1) == chance(1));
    CHECK(chance(2) == chance(2));
    CHECK(chance(1) != chance(2));
}

TEST_CASE("Handlers that follow each other endlessly do not block the test") {
    network net;
    struct loop {
        asio::io_context::executor_type executor;
        void operator()() const { asio::post(executor, *this); }
    };
    asio::post(net.context(), loop{net.get_executor()});
    int asked = 0;
    CHECK_FALSE(net.run_until([&] { return ++asked < 0; }));
}

TEST_CASE("A network can be destroyed with all operations outstanding") {
    const auto alive = std::make_shared<int>(0);
    {
        link_fixture w;
        w.net.usual({.to_server = {.latency = 1s}});
        w.net.resolve_time(1s);
        const bool opens = GENERATE(true, false);
        if (!opens) w.connected();
        asio::co_spawn(
            w.net.context(),
            [](tern_link stream, bool first, std::shared_ptr<int>) -> asio::awaitable<void> {
                std::array<char, 8> buffer{};
                if (first) co_await stream.async_open({.host = "host"}, {}, asio::use_awaitable);
                co_await stream.async_write_some(asio::buffer("x", 1), asio::use_awaitable);
                co_await stream.async_read_some(asio::buffer(buffer), asio::use_awaitable);
                FAIL("read");
            }(std::move(w.client), opens, alive),
            asio::detached);
        w.net.run_for(GENERATE(0ms, 10ms, 1500ms, 2000ms));
        w.client = tern_link(w.net);
    }
    CHECK(alive.use_count() == 1);
}

TEST_CASE("A link works on another executor") {
    network net;
    std::vector<tern_link> accepted;
    net.listen("host", [&](tern_link stream) { accepted.push_back(std::move(stream)); });
    const auto strand = asio::make_strand(net.get_executor());
    basic_link<asio::strand<io_executor>> client(strand, net);
    bool connected = false;
    client.async_open({.host = "host"}, {}, [&](std::error_code error) {
        CHECK(strand.running_in_this_thread());
        connected = !error;
    });
    CHECK(net.run_until([&] { return connected; }));
    auto timer = client.make_timer();
    timer.expires_at(client.now() + 5s);
    outcome waited;
    timer.async_wait(*waited);
    CHECK(net.run_until([&] { return waited.done; }));
}

} // namespace
