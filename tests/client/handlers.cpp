// Handlers: their executors, their allocators, their cancellation and their exceptions.
#include "scripted_broker.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>

#include <stdexcept>

namespace {

// Calls `f` with the name of each operation and a function that starts it. Some depend on the operations before them.
template <class F>
void each_operation(F f) {
    f("connect", [](auto& client, auto handler) { client.async_connect({.client_id = "c"}, std::move(handler)); });
    f("subscribe", [](auto& client, auto handler) {
        client.async_subscribe({.filter = "t", .max_qos = qos::exactly_once}, std::move(handler));
    });
    f("publish 0", [](auto& client, auto handler) { client.async_publish({.topic = "t"}, std::move(handler)); });
    f("publish 1", [](auto& client, auto handler) {
        client.async_publish({.topic = "t", .qos = qos::at_least_once}, std::move(handler));
    });
    f("publish 2", [](auto& client, auto handler) {
        client.async_publish({.topic = "t", .qos = qos::exactly_once}, std::move(handler));
    });
    f("receive", [](auto& client, auto handler) { client.async_receive(std::move(handler)); });
    f("ping", [](auto& client, auto handler) { client.async_ping(std::move(handler)); });
    f("unsubscribe", [](auto& client, auto handler) { client.async_unsubscribe("t", std::move(handler)); });
    f("disconnect", [](auto& client, auto handler) { client.async_disconnect(std::move(handler)); });
}

// ---- executors

TEST_CASE("A handler runs on its own executor, which has outstanding work until then") {
    broker_fixture w;
    each_operation([&](std::string_view name, auto start) {
        INFO(name);
        asio::io_context other;
        std::optional<std::error_code> error;
        start(w.client, asio::bind_executor(other, [&](std::error_code e, const auto&...) {
                  CHECK(other.get_executor().running_in_this_thread());
                  CHECK_FALSE(w.io.get_executor().running_in_this_thread());
                  error = e;
              }));
        other.poll();
        CHECK_FALSE(other.stopped()); // the pending operation counts as work
        settle(w.io);
        CHECK_FALSE(error);
        CHECK(other.poll() == 1);
        CHECK(error == std::error_code{});
        CHECK(other.stopped());
    });
    CHECK(w.server.violations().empty());
}

TEST_CASE("A handler runs on its strand") {
    broker_fixture w;
    auto strand = asio::make_strand(w.io);
    each_operation([&](std::string_view name, auto start) {
        INFO(name);
        std::optional<std::error_code> error;
        start(w.client, asio::bind_executor(strand, [&](std::error_code e, const auto&...) {
                  CHECK(strand.running_in_this_thread());
                  error = e;
              }));
        CHECK(run_until(w.io, [&] { return error.has_value(); }));
        CHECK(error == std::error_code{});
    });
}

TEST_CASE("A pending operation counts as work for the client's executor, whatever executor its handler has") {
    asio::io_context io;
    asio::io_context other;
    tern::testing::network net{other};
    test_client client{probe(io.get_executor(), net)};
    bool called = false;
    client.async_ping(asio::bind_executor(other, [&](std::error_code error) {
        CHECK(error == errc::not_connected);
        called = true;
    }));
    CHECK(io.run() == 1);
    CHECK(run_until(other, [&] { return called; }));
}

// ---- allocators

struct memory_count {
    int allocations = 0;
    int live = 0;
};

template <class T>
struct counting_allocator {
    using value_type = T;

    explicit counting_allocator(memory_count& c) noexcept : count(&c) {}
    template <class U>
    counting_allocator(const counting_allocator<U>& other) noexcept : count(other.count) {} // NOLINT

    T* allocate(std::size_t n) {
        ++count->allocations;
        ++count->live;
        return std::allocator<T>().allocate(n);
    }
    void deallocate(T* p, std::size_t n) noexcept {
        --count->live;
        std::allocator<T>().deallocate(p, n);
    }
    template <class U>
    bool operator==(const counting_allocator<U>& other) const noexcept {
        return count == other.count;
    }

    memory_count* count;
};

struct counting_handler {
    using allocator_type = counting_allocator<char>;
    allocator_type get_allocator() const noexcept { return allocator_type(*memory); }

    template <class... Result>
    void operator()(std::error_code error, const Result&...) const {
        CHECK(memory->allocations != 0);
        CHECK(memory->live == 0); // so that a chain of operations uses the same memory again
        *result = error;
    }

    memory_count* memory;
    std::optional<std::error_code>* result;
};

TEST_CASE("An operation uses its handler's allocator and frees everything before it calls the handler") {
    broker_fixture w;
    const auto check = [&](std::error_code expected_of_others, std::error_code expected_of_connect) {
        each_operation([&](std::string_view name, auto start) {
            INFO(name);
            memory_count memory;
            std::optional<std::error_code> error;
            start(w.client, counting_handler{&memory, &error});
            CHECK(memory.live == 1);
            CHECK(run_until(w.io, [&] { return error.has_value(); }));
            if (name == "connect")
                CHECK(error == expected_of_connect);
            else if (name == "disconnect")
                CHECK(error == std::error_code{});
            else
                CHECK(error == expected_of_others);
            CHECK(memory.live == 0);
            if (expected_of_connect) settle(w.io);
        });
    };
    SECTION("success") {
        check({}, {});
    }
    SECTION("failure") {
        w.net.forget("localhost");
        w.net.refuse("localhost");
        check(misuse(errc::not_connected), asio::error::connection_refused);
    }
}

TEST_CASE("The memory of an operation is freed when the client is destroyed") {
    memory_count memory;
    std::optional<std::error_code> error;
    scripted_broker_fixture w;
    {
        test_client client{probe(w.io.get_executor(), w.net)};
        w.server.connected(client);
        client.async_ping(counting_handler{&memory, &error});
        settle(w.io);
        CHECK(memory.live == 1);
    }
    settle(w.io);
    CHECK(error == asio::error::operation_aborted);
    CHECK(memory.live == 0);
}

// ---- cancellation

// Starts an operation on a client whose broker never answers, cancels it, and checks its outcome.
template <class Start, class Cancel>
void check_cancelled(asio::io_context& io, test_client& client, Start start, Cancel when) {
    const auto type =
        GENERATE(asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total);
    asio::cancellation_signal signal;
    int calls = 0;
    std::error_code error;
    start(client, asio::bind_cancellation_slot(signal.slot(), [&](std::error_code e, const auto&...) {
              ++calls;
              error = e;
          }));
    when();
    signal.emit(type);
    signal.emit(type);
    CHECK(calls == 0);
    settle(io);
    CHECK(calls == 1);
    CHECK(error == asio::error::operation_aborted);
    CHECK_FALSE(signal.slot().has_handler());
    signal.emit(type);
    settle(io);
    CHECK(calls == 1);
}

TEST_CASE("A pending operation is cancelled, and the client continues") {
    const bool at_once = GENERATE(false, true);
    each_operation([&](std::string_view name, auto start) {
        INFO(name << (at_once ? " in the turn of its start" : " later"));
        if (name == "publish 0" && !at_once) return; // it completes before the cancellation
        if (name == "disconnect" && !at_once) return;
        scripted_broker_fixture w;
        if (name != "connect") w.server.connected(w.client);
        check_cancelled(w.io, w.client, start, [&] {
            if (!at_once) settle(w.io);
        });
        if (name == "disconnect") {
            w.server.expect<disconnect>(); // cancellation does not revoke the request
            CHECK(w.server.sees_end());
        } else if (name == "connect") {
            if (!at_once) CHECK(w.server.sees_end());
            w.server.connected(w.client);
        } else {
            CHECK(w.client.is_connected());
        }
    });
}

TEST_CASE("A handler without an operation is not cancelled") {
    broker_fixture w;
    each_operation([&](std::string_view name, auto start) {
        INFO(name);
        asio::cancellation_signal signal;
        int calls = 0;
        signal.emit(asio::cancellation_type::all); // no operation has started
        start(w.client, asio::bind_cancellation_slot(signal.slot(), [&](std::error_code e, const auto&...) {
                  ++calls;
                  CHECK(e == std::error_code{});
                  CHECK_FALSE(signal.slot().has_handler());
              }));
        CHECK(signal.slot().has_handler());
        CHECK(run_until(w.io, [&] { return calls != 0; }));
        signal.emit(asio::cancellation_type::all);
        settle(w.io);
        CHECK(calls == 1);
    });
}

TEST_CASE("The late acknowledgement of a cancelled operation completes no other operation") {
    scripted_broker_fixture w;
    w.server.connected(w.client);
    cancellable<acknowledgement> first;
    w.client.async_publish({.topic = "1", .qos = qos::at_least_once}, first.handler());
    cancellable<acknowledgement> second;
    w.client.async_subscribe({.filter = "2"}, second.handler());
    settle(w.io); // cancellation would revoke unsent requests
    first.cancel();
    second.cancel();
    const auto third = publishes(w.client, {.topic = "3", .qos = qos::exactly_once});
    const auto fourth = subscribes(w.client, {.filter = "4"});
    CHECK(wait(w.io, first.result) == asio::error::operation_aborted);
    CHECK(wait(w.io, second.result) == asio::error::operation_aborted);

    const auto id1 = w.server.expect<publish>().packet_id;
    const auto id2 = w.server.expect<tern::subscribe>().packet_id;
    const auto id3 = w.server.expect<publish>().packet_id;
    const auto id4 = w.server.expect<tern::subscribe>().packet_id;
    const std::array granted{reason_code::granted_qos_0};
    w.server.send(puback{.packet_id = id1}, suback{.packet_id = id2, .reason_codes = granted});
    settle(w.io);
    CHECK_FALSE(third.called());
    CHECK_FALSE(fourth.called());

    // Their packet identifiers and slots are free again.
    const auto fifth = publishes(w.client, {.topic = "5", .qos = qos::at_least_once});
    w.server.send(
        puback{.packet_id = w.server.expect<publish>().packet_id, .reason_code = reason_code::no_matching_subscribers});
    CHECK(wait(w.io, fifth) == std::error_code{});
    CHECK(fifth.result().reason_code == reason_code::no_matching_subscribers);

    w.server.send(suback{.packet_id = id4, .reason_codes = granted}, pubrec{.packet_id = id3});
    w.server.expect<pubrel>();
    w.server.send(pubcomp{.packet_id = id3});
    CHECK(wait(w.io, third) == std::error_code{});
    CHECK(wait(w.io, fourth) == std::error_code{});
}

TEST_CASE("A cancelled receive takes no message") {
    scripted_broker_fixture w;
    w.server.connected(w.client);
    cancellable<received_message> first;
    w.client.async_receive(first.handler());
    const auto second = receives(w.client);
    cancellable<received_message> third;
    w.client.async_receive(third.handler());
    const auto fourth = receives(w.client);
    first.cancel();
    third.cancel();
    w.server.send(publish{.message = {.topic = "t", .payload = "1"}},
                  publish{.message = {.topic = "t", .payload = "2"}});
    CHECK(wait(w.io, second) == std::error_code{});
    CHECK(wait(w.io, fourth) == std::error_code{});
    CHECK(second.result().payload == "1");
    CHECK(fourth.result().payload == "2");
    CHECK(first.result.error() == asio::error::operation_aborted);
    CHECK(third.result.error() == asio::error::operation_aborted);

    // A stored message stays stored.
    w.server.send(publish{.message = {.topic = "t", .payload = "3"}});
    settle(w.io);
    cancellable<received_message> fifth;
    w.client.async_receive(fifth.handler());
    fifth.cancel();
    CHECK(wait(w.io, fifth.result) == asio::error::operation_aborted);
    const auto stored = w.client.try_receive();
    REQUIRE(stored);
    CHECK(stored->payload == "3");
}

TEST_CASE("The handler of a cancelled connect can connect again") {
    scripted_broker_fixture w;
    w.counts->opening_hangs = GENERATE(false, true);
    asio::cancellation_signal signal;
    answer<connect_result> again;
    w.client.async_connect({.client_id = "c"},
                           asio::bind_cancellation_slot(signal.slot(), [&](std::error_code error, connect_result) {
                               CHECK(error == asio::error::operation_aborted);
                               w.client.async_connect({.client_id = "d"}, again.handler());
                           }));
    settle(w.io);
    w.counts->opening_hangs = false;
    if (w.counts->opens == 1 && !w.counts->hanging) w.server.expect<tern::connect>();
    signal.emit(asio::cancellation_type::terminal);
    CHECK(w.server.expect<tern::connect>().client_id == "d");
    w.server.send(connack{});
    CHECK(wait(w.io, again) == std::error_code{});
}

// ---- exceptions

TEST_CASE("The exception of a handler leaves run, and no other completion is lost") {
    broker_fixture w;
    each_operation([&](std::string_view name, auto start) {
        INFO(name);
        bool thrown = false;
        int others = 0;
        if (name != "connect")
            w.client.async_publish({.topic = "before"}, [&](std::error_code, const auto&) { ++others; });
        start(w.client, [&](std::error_code error, const auto&...) {
            CHECK(error == std::error_code{});
            throw std::runtime_error("thrown by a handler");
        });
        if (name != "disconnect" && name != "connect")
            w.client.async_publish({.topic = "after"}, [&](std::error_code error, const auto&) {
                CHECK(error == std::error_code{});
                ++others;
            });
        while (!thrown) {
            try {
                w.io.run_one();
            } catch (const std::runtime_error&) {
                thrown = true;
            }
        }
        const int expected = name == "connect" ? 0 : name == "disconnect" ? 1 : 2;
        CHECK(run_until(w.io, [&] { return others == expected; }));
    });
    while (w.client.try_receive()) {
    }
    works(w.io, w.client);
    CHECK(w.server.violations().empty());
}

TEST_CASE("Handlers that throw one after the other are all called, on an executor that propagates exceptions") {
    broker_fixture w;
    w.connect();
    const auto strand = asio::make_strand(w.io);
    int calls = 0;
    int caught = 0;
    for (int i = 0; i != 5; ++i)
        w.client.async_publish({.topic = "t"}, asio::bind_executor(strand, [&](std::error_code, const auto&) {
                                   ++calls;
                                   throw std::runtime_error("thrown by a handler");
                               }));
    while (calls != 5) {
        try {
            w.io.run_one();
        } catch (const std::exception&) { // Asio may combine several exceptions
            ++caught;
        }
    }
    CHECK(caught >= 1);
    CHECK(wait(w.io, disconnects(w.client)) == std::error_code{});
    works(w.io, w.client, {.client_id = "other"});
}

} // namespace
