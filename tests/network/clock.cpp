// The virtual clock and its timers.
#include "network_test.hpp"
#include "tern/testing/virtual_clock.hpp"

#include <type_traits>

namespace {

static_assert(std::is_nothrow_move_assignable_v<virtual_timer>);

TEST_CASE("A virtual clock stands still until the test advances it") {
    asio::io_context io;
    virtual_clock clock;
    const auto start = clock.now();
    virtual_timer timer(io.get_executor(), clock);
    outcome late;
    timer.expires_after(1h);
    timer.async_wait(*late);
    CHECK(clock.next() == start + 1h);
    io.poll();
    CHECK_FALSE(late.done);
    clock.advance(1h - 1ns);
    io.poll();
    CHECK_FALSE(late.done);
    clock.advance(1ns);
    CHECK_FALSE(late.done); // its handler is posted
    CHECK(clock.now() == start + 1h);
    CHECK_FALSE(clock.next());
    io.poll();
    CHECK(late.done);
    CHECK_FALSE(late.error);

    clock.advance_to(start);
    CHECK(clock.now() == start + 1h);
    outcome past;
    timer.expires_at(start);
    timer.async_wait(*past);
    CHECK_FALSE(past.done);
    io.restart();
    io.run();
    CHECK(past.done);
}

TEST_CASE("Timers complete in the order of their deadlines, and with equal deadlines in the order of their waits") {
    asio::io_context io;
    virtual_clock clock;
    std::string order;
    std::vector<virtual_timer> timers;
    for (const auto& [name, after] : {std::pair('c', 3s), {'a', 1s}, {'d', 3s}, {'b', 2s}}) {
        auto& timer = timers.emplace_back(io.get_executor(), clock);
        timer.expires_after(after);
        timer.async_wait([&order, letter = name](std::error_code error) {
            CHECK_FALSE(error);
            order += letter;
        });
    }
    clock.advance(1min);
    io.run();
    CHECK(order == "abcd");
}

TEST_CASE("A wait for a virtual timer ends when the timer is cancelled, set, replaced or destroyed") {
    asio::io_context io;
    virtual_clock clock;
    std::optional<virtual_timer> timer(std::in_place, io.get_executor(), clock);
    timer->expires_after(1s);
    outcome first;
    outcome second;
    timer->async_wait(*first);
    timer->async_wait(*second);
    SECTION("cancelled") {
        timer->cancel();
    }
    SECTION("set") {
        timer->expires_after(1h);
    }
    SECTION("replaced") {
        *timer = virtual_timer(io.get_executor(), clock);
    }
    SECTION("destroyed") {
        timer.reset();
    }
    clock.advance(1h);
    io.run();
    CHECK(first.error == asio::error::operation_aborted);
    CHECK(second.error == asio::error::operation_aborted);
}

TEST_CASE("A single wait for a virtual timer can be cancelled, and a moved timer continues") {
    asio::io_context io;
    virtual_clock clock;
    virtual_timer timer(io.get_executor(), clock);
    timer.expires_after(1s);
    outcome cancelled;
    outcome other;
    asio::cancellation_signal signal;
    timer.async_wait(asio::bind_cancellation_slot(signal.slot(), *cancelled));
    timer.async_wait(*other);
    const virtual_timer moved = std::move(timer);
    signal.emit(asio::cancellation_type::terminal);
    io.poll();
    CHECK(cancelled.error == asio::error::operation_aborted);
    CHECK_FALSE(other.done);
    clock.advance(1s);
    io.restart();
    io.run();
    CHECK(other.done);
    CHECK_FALSE(other.error);
}

TEST_CASE("A context can be destroyed while its handlers wait for virtual timers") {
    virtual_clock clock;
    const auto alive = std::make_shared<int>(0);
    asio::io_context other;
    outcome remains;
    virtual_timer others(other.get_executor(), clock);
    others.expires_after(1s);
    others.async_wait(*remains);
    {
        asio::io_context io;
        auto owned = std::make_shared<virtual_timer>(io.get_executor(), clock);
        owned->expires_after(1s);
        owned->async_wait([owned, alive](std::error_code) { FAIL("called"); });
        asio::co_spawn(
            io,
            [](virtual_clock c, std::shared_ptr<int>) -> asio::awaitable<void> {
                virtual_timer timer(co_await asio::this_coro::executor, c);
                timer.expires_after(std::chrono::hours(1));
                co_await timer.async_wait(asio::use_awaitable);
            }(clock, alive),
            asio::detached);
        io.poll();
        CHECK(alive.use_count() > 1);
    }
    CHECK(alive.use_count() == 1);
    clock.advance(1h);
    other.run();
    CHECK(remains.done);
}

} // namespace
