// A program with inboxes, requests and responders, in which each allocation fails once: no message of QoS 1 or 2 is
// lost, each operation ends, and the program goes on. It begins an operation again that had no memory.
#include "catch.hpp"
#include "network/faults_link.hpp"
#include "support/heap.hpp"
#include "support/heap_executor.hpp"
#include "tern/client/engine.hpp"
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/requester.hpp"
#include "tern/messaging/responder.hpp"
#include "tern/testing/broker.hpp"

#include <asio.hpp>

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace router_faults_test {

using namespace std::chrono_literals;
using namespace tern;

using faulty_client = basic_client<faulty_link>;
// Posting needs an allocation that may fail. On some systems Asio has it from another function.
struct posting_section : heap::tested {
    posting_section() { heap::touch(); }
};
using client_executor = heap::tested_executor<posting_section, asio::io_context::executor_type>;
using faulty_router = message_router<faulty_client>;
using faulty_inbox = subscription_inbox<>;

// Calls a function of the library. Returns whether it had memory.
template <class F>
bool has_memory_for(F f) {
    const heap::tested section;
    try {
        f();
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

// The end of an operation.
template <class Result>
struct outcome {
    int calls = 0;
    std::error_code error = {};
    std::optional<Result> result = {};
};
template <class Result>
auto handler_of(std::shared_ptr<outcome<Result>> to) {
    return [to = std::move(to)](std::error_code error, auto... result) {
        const heap::untested section;
        ++to->calls;
        to->error = error;
        if constexpr (sizeof...(result) != 0) to->result.emplace(std::move(result)...);
    };
}

class program {
public:
    explicit program(protocol_version v) : version_(v) {
        net_.listen("localhost", server_);
        // With the memory that a test has, nothing of this fails.
        const auto executor = net_.get_executor();
        client_.emplace(
            faulty_link(testing::link(executor, net_), client_executor{executor}, std::make_shared<timer_faults>()));
    }
    program(const program&) = delete;
    program& operator=(const program&) = delete;
    ~program() {
        client_.reset();
        run_for(1s);
    }

    void run();
    std::string first_wrong; // the first failed expectation

private:
    using counts = std::map<int, int>;

    void wrong(std::string_view what) {
        if (first_wrong.empty()) first_wrong = what;
    }
    void run_for(std::chrono::milliseconds time) {
        const auto end = net_.now() + time;
        runs_until([&] { return net_.now() >= end; }, time);
    }
    template <class Done>
    bool runs_until(Done done, std::chrono::milliseconds at_most = 1min) {
        const auto end = net_.now() + at_most;
        for (;;) {
            try {
                return net_.run_until(done, end - net_.now());
            } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): the rest continues
            }
        }
    }
    template <class Done>
    void wait_for(Done done, std::string_view what) {
        if (!runs_until(done)) wrong(what);
    }
    // An operation that is cancelled, or reaches its time limit.
    template <class Result, class Start>
    void end_with_error(std::string_view what, Start start) {
        const auto made = std::make_shared<outcome<Result>>();
        asio::cancellation_signal signal;
        auto handler = asio::bind_cancellation_slot(signal.slot(), handler_of(made));
        if (!has_memory_for([&] { start(std::move(handler)); })) return;
        runs_until([&] { return made->calls != 0; }, 5s);
        if (made->calls == 0) repeat([&] { signal.emit(asio::cancellation_type::total); });
        wait_for([&] { return made->calls != 0; }, what);
        if (!made->error) wrong("an operation succeeds that cannot");
    }
    // Repeats an operation until there is memory for it.
    template <class Result, class Start>
    Result complete(std::string_view what, Start start) {
        for (int attempt = 0; attempt != 4; ++attempt) {
            const auto made = std::make_shared<outcome<Result>>();
            if (has_memory_for([&] { start(handler_of(made)); })) {
                wait_for([&] { return made->calls != 0 || made.use_count() == 1; }, what);
                if (made->calls > 1) wrong("a handler was called twice");
                if (made->calls != 0 && !made->error) return std::move(*made->result);
            } else if (made->calls != 0 || made.use_count() != 1) {
                wrong("an operation that had no memory has a handler");
            }
        }
        wrong(what);
        return Result{};
    }
    void connect() {
        connect_options options{.version = version_, .client_id = "c", .clean_start = false};
        if (version_ == protocol_version::v5) options.properties.session_expiry_interval = 86'400s;
        complete<connect_result>("connect", [&](auto handler) { client_->async_connect(options, handler); });
    }
    faulty_inbox subscribe(const inbox_options& options) {
        return complete<faulty_inbox>("subscribe",
                                      [&](auto handler) { routes_->async_subscribe(options, std::move(handler)); });
    }
    template <class F>
    void repeat(F f) {
        for (int attempt = 0; attempt != 4; ++attempt)
            if (has_memory_for(f)) return;
        wrong("there is no memory");
    }
    void publish(std::string_view topic, int first) {
        for (int n = first; n != first + 4; ++n)
            server_.publish({.topic = topic,
                             .payload = std::to_string(n),
                             .qos = n % 2 == 0 ? qos::at_least_once : qos::exactly_once});
    }
    // Receives the four messages of `publish`.
    void receive_all(faulty_inbox& i, int first) {
        counts got;
        while (got.size() != 4 && first_wrong.empty())
            note(got, first,
                 complete<subscription_message>("receive", [&](auto handler) { i.async_receive(std::move(handler)); }));
    }
    void receive_all_at_once(faulty_inbox& i, int first) {
        counts got;
        while (got.size() != 4 && first_wrong.empty()) {
            std::vector<subscription_message> batch(3);
            const auto count = complete<std::size_t>(
                "receive some", [&](auto handler) { i.async_receive_some(batch, std::move(handler)); });
            for (std::size_t n = 0; n != count; ++n)
                note(got, first, batch[n]);
        }
    }
    // Notes one of four messages. Those of QoS 1 may come again later, after a lost connection.
    void note(counts& got, int first, const subscription_message& m) {
        if (m.payload.empty()) return wrong("an empty message");
        const int number = std::stoi(std::string(m.payload));
        const bool comes_again = m.qos == qos::at_least_once && (number < first || got.contains(number));
        if (comes_again) return;
        if (number < first || number >= first + 4) wrong("a message came that was not sent");
        if (++got[number] != 1) wrong("a message of QoS 2 came twice");
    }
    void receive_by_callback(faulty_inbox& i, int first);
    void ask(std::string_view topic);
    // The inbox is lost with an object that had no memory.
    template <class Handler>
    void start(std::optional<responder<faulty_client>>& r, std::string_view filter, Handler handler) {
        for (int attempt = 0; attempt != 4 && !r; ++attempt) {
            faulty_inbox i = subscribe({.filter = filter});
            if (!i) return; // reported
            has_memory_for([&] { r.emplace(*routes_, std::move(i), handler, responder_options{.concurrency = 1}); });
        }
        if (!r) wrong("no responder is made");
    }
    void serve();
    void use_inboxes();
    void end();

    protocol_version version_;
    testing::network net_;
    testing::broker server_{net_.get_executor(), {}, net_.clock()};
    std::optional<faulty_client> client_;
    std::optional<faulty_router> routes_;
    std::optional<requester<faulty_client>> asks_;
    faulty_inbox one_, all_, kept_;
};

void program::receive_by_callback(faulty_inbox& i, int first) {
    counts got;
    std::vector<subscription_message> kept;
    repeat([&] {
        i.set_callback([&](subscription_message m) {
            const heap::untested section;
            note(got, first, m);
            kept.push_back(std::move(m));
        });
    });
    publish("kept", first);
    wait_for([&] { return got.size() == 4; }, "the callback misses a message");
    if (routes_->counters().held < 4) wrong("a message is acknowledged before the application has done so");
    const heap::tested section;
    for (subscription_message& m : kept)
        m.acknowledge();
    i.set_callback(nullptr);
}

void program::ask(std::string_view topic) {
    for (const std::string_view question : {"one", "two"}) {
        const auto m = complete<subscription_message>("request", [&](auto handler) {
            asks_->async_request(topic, question, {.timeout = 20s}, std::move(handler));
        });
        if (m.payload != "yes" && !response_error(m)) wrong("a wrong response");
    }
}

// No responder with a coroutine: Asio starts coroutines with allocations that must not fail.
void program::serve() {
    std::optional<responder<faulty_client>> yes;
    repeat([&] { asks_.emplace(*routes_); });
    start(yes, "question", [](const subscription_message&) { return std::string_view("yes"); });
    ask("question");
    run_for(1s);
    if (yes->counters().running != 0) wrong("a request is never finished");
    if (asks_->counters().waiting != 0) wrong("a request waits");
    for (const auto timeout : {2s, 20s}) // the latter is cancelled
        end_with_error<subscription_message>("request without response", [&](auto handler) {
            asks_->async_request("unknown", "?", {.timeout = timeout, .qos = qos::at_most_once}, std::move(handler));
        });
    asks_.reset();
}

void program::use_inboxes() {
    one_ = subscribe({.filter = "t/+", .max_qos = qos::exactly_once, .limit = 2});
    all_ = subscribe({.filter = "t/#", .max_qos = qos::exactly_once});
    kept_ = subscribe({.filter = "kept", .max_qos = qos::exactly_once, .acknowledge = acknowledgement_mode::manual});
    publish("t/1", 0);
    receive_all(one_, 0);
    receive_all_at_once(all_, 0);
    receive_by_callback(kept_, 10);
    faulty_inbox twin = subscribe({.filter = "t/+", .max_qos = qos::exactly_once});
    publish("t/1", 20);
    receive_all(twin, 20);
    end_with_error<subscription_message>("receive nothing",
                                         [&](auto handler) { twin.async_receive(std::move(handler)); });
    twin = {};
    receive_all(one_, 20);
    receive_all_at_once(all_, 20);
}

void program::end() {
    for (faulty_inbox* const each : {&one_, &all_, &kept_})
        *each = {};
    run_for(1s);
    if (routes_->counters().inboxes != 0) wrong("an inbox is left");
    if (routes_->counters().held != 0) wrong("a message is never acknowledged");
    routes_.reset();
    run_for(1s);
    if (!server_.violations().empty()) wrong(server_.violations().front().text);
}

void program::run() {
    repeat([&] { routes_.emplace(*client_); });
    connect();
    use_inboxes();
    if (version_ == protocol_version::v5) serve();
    // Another run has the subscriptions again.
    (void)complete<int>("disconnect", [&](auto handler) {
        client_->async_disconnect([handler](std::error_code error) mutable { handler(error, 0); });
    });
    connect();
    run_for(1s);
    publish("t/1", 30);
    receive_all(one_, 30);
    receive_all_at_once(all_, 30);
    receive_by_callback(kept_, 40);
    end();
}

std::string run_program(protocol_version v, std::size_t nth) {
    const heap::untested section;
    std::string wrong;
    const std::size_t before = heap::live_blocks();
    {
        program p(v);
        heap::fail(nth, 1);
        p.run();
        heap::stop_failing();
        wrong = std::exchange(p.first_wrong, {});
    }
    if (heap::live_blocks() != before && wrong.empty()) wrong = "memory is not freed";
    return wrong;
}

TEST_CASE("A router, its inboxes, requests and responders survive the failure of each allocation") {
    const heap::untested section;
    const auto version = GENERATE(protocol_version::v3_1_1, protocol_version::v5);
    std::size_t nth = 1;
    do {
        INFO("allocation " << nth);
        CHECK(run_program(version, nth++) == "");
    } while (heap::failures() != 0);
    CHECK(nth > 100);
}

TEST_CASE("A router for which there is no memory leaves the messages to the client") {
    const heap::untested section;
    testing::network net;
    testing::broker server(net.get_executor(), {}, net.clock());
    net.listen("localhost", server);
    const auto executor = net.get_executor();
    faulty_client client(
        faulty_link(testing::link(executor, net), client_executor{executor}, std::make_shared<timer_faults>()));
    client.async_connect({.client_id = "c"}, asio::detached);
    client.async_subscribe("t", asio::detached);
    net.run_for(1s);
    for (std::size_t nth = 1;; ++nth) {
        heap::fail(nth, 1);
        const bool is_made = has_memory_for([&] { const faulty_router made(client); });
        heap::stop_failing();
        if (is_made) break;
        server.publish({.topic = "t", .payload = "1", .qos = qos::at_least_once});
        net.run_for(1s);
        CHECK(client.try_receive());
    }
}

} // namespace router_faults_test
