// The scripts that the client follows while faults are injected.
#include "faults_run.hpp"

#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>

using namespace std::chrono_literals;
using tern::qos;
using tern::testing::ending;

namespace {

// Connects with all optional parts of CONNECT.
void connect_with_will(fault_run& w) {
    tern::connect_options options = w.lasting();
    options.user_name = "user";
    options.password = "a password that is renewed before each attempt";
    options.will = tern::message_view{.topic = "will", .payload = "a long will, so that it needs memory"};
    if (w.client)
        w.client->set_before_connect(
            [](tern::connect_attempt attempt) { attempt.proceed({.password = "another password"}); });
    w.connect(options);
}

void connect_lasting(fault_run& w) {
    w.connect(w.lasting());
}

// Ends the run, and connects again while the old connection still closes.
void cancel_and_connect(fault_run& w) {
    try {
        const heap::tested section;
        if (w.client) w.client->cancel();
    } catch (const std::bad_alloc&) {
        return; // the turn cannot be scheduled, but the run has ended, or ends with a later call
    }
    connect_with_will(w);
}

void cut(fault_run& w) {
    w.net.end_all(ending::reset);
}

// Replaces the broker by one without sessions.
void lose_session(fault_run& w) {
    w.other.emplace(w.net.get_executor(), tern::testing::broker_options{}, w.net.clock());
    w.net.forget("localhost");
    w.listen("localhost", *w.other);
    cut(w);
}

void start_ping(fault_run& w) {
    w.begin<>("ping", [](auto& c, auto handler) { c.async_ping(std::move(handler)); });
}

void start_drain(fault_run& w, std::chrono::milliseconds timeout) {
    w.begin<>("drain", [=](auto& c, auto handler) { c.async_drain(timeout, std::move(handler)); });
}

// The broker publishes to the client.
void deliver(fault_run& w, int first) {
    const heap::untested section;
    for (int i = 0; i != 3; ++i) {
        const std::string payload = std::to_string(first + i);
        w.server->publish({.topic = "t", .payload = payload, .qos = static_cast<qos>(i)});
    }
}

void wait(fault_run& w, std::chrono::milliseconds time) {
    const auto end = w.net.now() + time;
    w.run_until([&w, end] { return w.net.now() >= end; });
}

void acknowledge_backwards(fault_run& w) {
    const heap::tested section;
    for (; !w.kept.empty(); w.kept.pop_back()) {
        try {
            w.kept.back().acknowledge();
        } catch (const std::bad_alloc&) {
            w.kept.back().acknowledge(); // the second call has no effect
        }
    }
}

asio::awaitable<void> live(faulty_client& client, tern::connect_options options) {
    const heap::tested section;
    using asio::use_awaitable;
    co_await client.async_connect(options, use_awaitable);
    co_await client.async_subscribe({.filter = "t", .max_qos = qos::at_least_once}, use_awaitable);
    co_await client.async_publish({.topic = "t", .payload = "0", .qos = qos::at_least_once}, use_awaitable);
    (void)co_await client.async_receive(use_awaitable);
    co_await client.async_disconnect(use_awaitable);
}

void spawn(fault_run& w) {
    if (!w.context) return;
    w.begin<>("coroutine", [&](auto& c, auto handler) {
        auto slot = handler.get_cancellation_slot();
        auto end = [handler = std::move(handler)](std::exception_ptr e) mutable {
            const heap::untested section;
            handler(e ? make_error_code(std::errc::interrupted) : std::error_code());
        };
        asio::co_spawn(w.context->get_executor(), live(c, w.lasting()),
                       asio::bind_cancellation_slot(slot, std::move(end)));
    });
}

} // namespace

const std::vector<script>& scripts() {
    static const std::vector<script> all{
        {"connect with all, ping",
         {connect_with_will, start_ping, cut, [](fault_run& w) { wait(w, 5s); }, [](fault_run& w) { w.disconnect(); }}},
        {"connect directly after cancel",
         {connect_lasting,
          [](fault_run& w) {
              w.receive();
              cancel_and_connect(w);
              w.receive();
          },
          [](fault_run& w) { w.disconnect(); }}},
        {"publish several at once",
         {connect_lasting,
          [](fault_run& w) {
              w.publish_all(0);
              w.publish_all(3);
          },
          [](fault_run& w) { w.disconnect(); }}},
        {"subscribe, receive, unsubscribe",
         {connect_lasting, [](fault_run& w) { w.subscribe(); },
          [](fault_run& w) {
              w.receive();
              w.publish_all(0);
              w.publish_all(3);
          },
          [](fault_run& w) { w.unsubscribe(); }, [](fault_run& w) { w.disconnect(); }}},
        {"acknowledge by hand, in the wrong order",
         {[](fault_run& w) {
              tern::connect_options options = w.lasting();
              options.acknowledge = tern::acknowledgement_mode::manual;
              w.connect(options);
          },
          [](fault_run& w) { w.subscribe(); },
          [](fault_run& w) {
              w.receive(true);
              deliver(w, 0);
              wait(w, 1s);
          },
          acknowledge_backwards, [](fault_run& w) { wait(w, 1s); }, [](fault_run& w) { w.disconnect(); }}},
        {"a small inbox",
         {[](fault_run& w) {
              tern::connect_options options = w.lasting();
              options.inbox_limit = 1;
              w.connect(options);
          },
          [](fault_run& w) { w.subscribe(); },
          [](fault_run& w) {
              deliver(w, 0);
              deliver(w, 3);
              wait(w, 1s);
          },
          [](fault_run& w) {
              w.receive();
              wait(w, 1s);
          },
          cut, [](fault_run& w) { wait(w, 5s); }}},
        {"publish, then connect", {[](fault_run& w) {
             w.publish_all(0);
             w.publish_all(3);
             connect_with_will(w);
         }}},
        {"time to live",
         {[](fault_run& w) {
              for (int i = 0; i != 4; ++i)
                  w.publish_all(3 * i, {.time_to_live = 100ms});
          },
          [](fault_run& w) {
              connect_lasting(w);
              w.publish_all(0);
          },
          [](fault_run& w) { w.disconnect(); }}},
        {"time limits of operations",
         {[](fault_run& w) {
              for (int i = 0; i != 4; ++i)
                  w.publish_all(3 * i, {.timeout = 100ms});
          },
          [](fault_run& w) {
              connect_lasting(w);
              w.publish_all(0, {.time_to_live = 1s, .timeout = 1s});
          },
          [](fault_run& w) {
              w.publish_all(3, {.timeout = 100ms});
              cut(w);
              w.publish_all(6, {.timeout = 1ms});
          },
          [](fault_run& w) { wait(w, 5s); }, [](fault_run& w) { w.disconnect(); }}},
        {"cut and resume",
         {connect_lasting, [](fault_run& w) { w.subscribe(); },
          [](fault_run& w) {
              w.receive();
              w.publish_all(0);
              w.poll_some(2);
              cut(w);
              w.publish_all(3);
              w.subscribe("other");
          },
          [](fault_run& w) { wait(w, 1s); }}},
        {"lose the session",
         {connect_lasting, [](fault_run& w) { w.subscribe(); },
          [](fault_run& w) {
              w.receive();
              w.publish_all(0);
              w.poll_some(2);
              lose_session(w);
          },
          [](fault_run& w) { w.publish_all(3); }, [](fault_run& w) { wait(w, 1s); }}},
        {"drain",
         {connect_lasting,
          [](fault_run& w) {
              w.publish_all(0);
              start_drain(w, 0ms);
              start_drain(w, 5s);
          },
          [](fault_run& w) {
              w.publish_all(3);
              cut(w);
              start_drain(w, 1ms);
          },
          [](fault_run& w) { w.disconnect(); }}},
        {"follow the connection",
         {[](fault_run& w) {
              w.watch();
              connect_lasting(w);
          },
          cut, [](fault_run& w) { wait(w, 5s); }, [](fault_run& w) { w.disconnect(); }}},
        {"several listeners and a log follow the connection to its end",
         {[](fault_run& w) {
              w.watch_in_many_ways();
              connect_lasting(w);
          },
          cut, [](fault_run& w) { wait(w, 5s); }, [](fault_run& w) { w.watch_in_many_ways(); },
          [](fault_run& w) { w.disconnect(); }}},
        {"no operation waits for events, twice",
         {connect_lasting, cut, [](fault_run& w) { wait(w, 5s); }, [](fault_run& w) { w.disconnect(); },
          connect_lasting, [](fault_run& w) { w.watch(); }, [](fault_run& w) { w.disconnect(); }}},
        {"several endpoints and addresses", {[](fault_run& w) {
             w.net.refuse("several");
             w.net.ignore("several");
             w.listen("several", *w.server);
             const std::array<tern::endpoint, 2> more{{{"several", 1}, {"localhost", 2}}};
             tern::connect_options options = w.lasting();
             options.host = "nowhere";
             options.more_endpoints = more;
             w.publish_all(0);
             w.connect(options);
         }}},
        {"a refused password",
         {[](fault_run& w) {
              w.other.emplace(w.net.get_executor(),
                              tern::testing::broker_options{
                                  .on_connect = [](const tern::connect&) { return tern::reason_code::not_authorized; }},
                              w.net.clock());
              w.listen("strict", *w.other);
              tern::connect_options options = w.lasting();
              options.host = "strict";
              w.receive();
              w.connect(options);
              w.publish_all(0);
          },
          connect_lasting}},
        {"a coroutine", {spawn}, true},
    };
    return all;
}
