// The pipe as a transport.
#include "tern/testing/pipe.hpp"

#include "raw_client.hpp"
#include "tern/transport/concept.hpp"

#include <thread>

namespace tern::broker_tests {
namespace {

using testing::basic_pipe;
using testing::pipe_listener;
using tern_pipe = testing::pipe;

static_assert(transport<tern_pipe>);
static_assert(transport<basic_pipe<asio::io_context::executor_type>>);
static_assert(std::is_same_v<tern_pipe::rebind_executor<asio::io_context::executor_type>::other,
                             basic_pipe<asio::io_context::executor_type>>);
static_assert(std::is_nothrow_move_assignable_v<tern_pipe>);

struct outcome {
    bool done = false;
    std::error_code error = {};
    std::size_t size = 0;

    auto operator*() {
        return [this](std::error_code e, std::size_t n = 0) {
            CHECK_FALSE(done);
            done = true;
            error = e;
            size = n;
        };
    }
};

TEST_CASE("A pipe carries bytes both ways, and nothing completes at once") {
    asio::io_context io;
    auto [a, b] = tern_pipe::pair(io.get_executor());
    std::array<char, 8> buffer{};
    outcome written;
    outcome read;
    const std::array<asio::const_buffer, 3> parts{asio::buffer("he", 2), asio::const_buffer(),
                                                  asio::buffer("llo", 3)};
    a.async_write_some(parts, *written);
    b.async_read_some(asio::buffer(buffer), *read);
    CHECK_FALSE(written.done);
    CHECK_FALSE(read.done);
    io.run();
    CHECK(written.size == 5);
    CHECK(read.size == 5);
    CHECK(std::string_view(buffer.data(), read.size) == "hello");
    outcome back;
    a.async_read_some(asio::buffer(buffer), *back);
    b.async_write_some(asio::buffer("x", 1), [](std::error_code, std::size_t) {});
    io.restart();
    io.run();
    CHECK(back.size == 1);
}

TEST_CASE("A full pipe makes its writer wait") {
    asio::io_context io;
    tern_pipe accepted = tern_pipe::pair(io.get_executor()).first;
    pipe_listener listener(io.get_executor(), [&](tern_pipe stream) { accepted = std::move(stream); });
    tern_pipe client(io.get_executor(), listener.with({.capacity = 4, .maximum_read = 3}));
    outcome connected;
    client.async_open({}, {}, *connected);
    CHECK_FALSE(connected.done);
    io.run();
    CHECK_FALSE(connected.error);

    outcome first;
    outcome second;
    client.async_write_some(asio::buffer("abcdef", 6), *first);
    io.restart();
    io.poll();
    CHECK(first.size == 4);
    client.async_write_some(asio::buffer("ef", 2), *second);
    io.poll();
    CHECK_FALSE(second.done);
    std::array<char, 8> buffer{};
    outcome read;
    accepted.async_read_some(asio::buffer(buffer), *read);
    io.restart();
    io.poll();
    CHECK(read.size == 3);
    CHECK(second.size == 2);
}

TEST_CASE("After close() the other end reads the rest, then the end") {
    asio::io_context io;
    auto [a, b] = tern_pipe::pair(io.get_executor());
    outcome written;
    a.async_write_some(asio::buffer("rest", 4), *written);
    a.close();
    a.close();
    std::array<char, 8> buffer{};
    outcome rest;
    b.async_read_some(asio::buffer(buffer), *rest);
    io.run();
    CHECK(rest.size == 4);
    outcome end;
    b.async_read_some(asio::buffer(buffer), *end);
    outcome broken;
    b.async_write_some(asio::buffer("x", 1), *broken);
    outcome unconnected;
    a.async_read_some(asio::buffer(buffer), *unconnected);
    io.restart();
    io.run();
    CHECK(end.error == asio::error::eof);
    CHECK(broken.error == asio::error::broken_pipe);
    CHECK(unconnected.error == asio::error::not_connected);
}

TEST_CASE("close() aborts what is outstanding, and the pipe can connect again") {
    asio::io_context io;
    int accepted = 0;
    std::vector<tern_pipe> others;
    pipe_listener listener(io.get_executor(), [&](tern_pipe stream) {
        ++accepted;
        others.push_back(std::move(stream));
    });
    tern_pipe client(io.get_executor(), listener);
    outcome connecting;
    client.async_open({}, {}, *connecting);
    client.close();
    io.run();
    CHECK(connecting.error == asio::error::operation_aborted);
    CHECK(accepted == 0);

    for (int i = 1; i != 3; ++i) {
        outcome connected;
        client.async_open({}, {}, *connected);
        io.restart();
        io.run();
        CHECK_FALSE(connected.error);
        CHECK(accepted == i);
        std::array<char, 8> buffer{};
        outcome reading;
        client.async_read_some(asio::buffer(buffer), *reading);
        client.close();
        CHECK_FALSE(reading.done);
        io.restart();
        io.run();
        CHECK(reading.error == asio::error::operation_aborted);
    }
    listener.close();
    outcome refused;
    client.async_open({}, {}, *refused);
    io.restart();
    io.run();
    CHECK(refused.error == asio::error::connection_refused);
}

TEST_CASE("A handler runs on its own executor") {
    asio::io_context io;
    asio::io_context own;
    auto [a, b] = tern_pipe::pair(io.get_executor());
    outcome read;
    std::array<char, 8> buffer{};
    b.async_read_some(asio::buffer(buffer), asio::bind_executor(own, *read));
    a.async_write_some(asio::buffer("x", 1), [](std::error_code, std::size_t) {});
    io.run();
    CHECK_FALSE(read.done);
    own.run();
    CHECK(read.done);
}

TEST_CASE("A handler can be cancelled alone") {
    asio::io_context io;
    auto [a, b] = tern_pipe::pair(io.get_executor());
    std::array<char, 8> buffer{};
    asio::cancellation_signal signal;
    outcome cancelled;
    b.async_read_some(asio::buffer(buffer), asio::bind_cancellation_slot(signal.slot(), *cancelled));
    signal.emit(asio::cancellation_type::terminal);
    io.run();
    CHECK(cancelled.error == asio::error::operation_aborted);
    outcome read;
    b.async_read_some(asio::buffer(buffer), *read);
    a.async_write_some(asio::buffer("x", 1), [](std::error_code, std::size_t) {});
    io.restart();
    io.run();
    CHECK(read.size == 1);
}

TEST_CASE("A pipe connects to its listener, whatever the endpoint") {
    asio::io_context io;
    int accepted = 0;
    pipe_listener listener(io.get_executor(), [&](const tern_pipe&) { ++accepted; });
    tern_pipe client(io.get_executor(), listener);
    outcome opened;
    client.async_open({.host = "host", .port = 1}, {}, *opened);
    CHECK_FALSE(opened.done);
    outcome too_many;
    client.async_open({}, {}, *too_many);
    io.run();
    CHECK_FALSE(opened.error);
    CHECK(too_many.error == asio::error::already_started);
    CHECK(accepted == 1);
}

asio::awaitable<void> echo(tern_pipe stream) {
    std::array<char, 8> buffer{};
    for (;;) {
        const auto size = co_await stream.async_read_some(asio::buffer(buffer), asio::use_awaitable);
        co_await asio::async_write(stream, asio::buffer(buffer, size), asio::use_awaitable);
    }
}

TEST_CASE("A coroutine that waits for its own pipe is freed with the io_context") {
    asio::io_context io;
    auto ends = tern_pipe::pair(io.get_executor());
    asio::co_spawn(io, echo(std::move(ends.first)), asio::detached);
    asio::co_spawn(io, echo(std::move(ends.second)), asio::detached);
    io.poll();
}

TEST_CASE("The ends of a pipe may live on different threads") {
    asio::io_context io;
    asio::io_context other;
    pipe_listener listener(other.get_executor(), [&](tern_pipe stream) {
        asio::co_spawn(other, echo(std::move(stream)), [](const std::exception_ptr&) {});
    });
    std::thread thread([&, work = asio::make_work_guard(other)] { other.run(); });
    const std::string sent(200'000, 'x');
    std::string received(sent.size(), '\0');
    {
        tern_pipe client(io.get_executor(), listener.with({.capacity = 1000}));
        outcome connected;
        client.async_open({}, {}, *connected);
        io.run();
        outcome read;
        asio::async_write(client, asio::buffer(sent), [](std::error_code, std::size_t) {});
        asio::async_read(client, asio::buffer(received), *read);
        CHECK(run_until(io, [&] { return read.done; }));
        CHECK_FALSE(read.error);
    }
    other.stop();
    thread.join();
    CHECK(received == sent);
}

} // namespace
} // namespace tern::broker_tests
