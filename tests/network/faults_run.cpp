#include "faults_run.hpp"

#include "support/heap_executor.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>

using namespace std::chrono_literals;
using tern::testing::step;

namespace {

// The exception of a throwing handler.
struct thrown : std::exception {};

constexpr std::size_t too_many_points = 20'000;

// Asio's timers have a thread on Windows, which frees blocks of the thread that has started it.
#if defined(_WIN32)
constexpr std::size_t most_freed_by_timers = 2;
#else
constexpr std::size_t most_freed_by_timers = 0;
#endif

} // namespace

fault_run::fault_run(tern::protocol_version v, const faults& f) : version(v), faults_(f) {
    records.reserve(64);
    timers->nth = f.timer;
    listen("localhost", *server);
    if (f.operation != 0) {
        if (f.hangs)
            net.hang(f.step, f.operation);
        else
            net.fail(f.step, f.operation, asio::error::connection_aborted);
    }
    client = make_client();
}

fault_run::~fault_run() {
    const heap::untested section;
    kept.clear();
    client.reset();
}

std::unique_ptr<faulty_client> fault_run::make_client() {
    const heap::untested section;
    using tested_executor = heap::tested_executor<heap::tested, asio::io_context::executor_type>;
    const auto executor = context->get_executor();
    faulty_link link(tern::testing::link(executor, net), tested_executor{executor}, timers);
    faulty_transport transport(std::move(link));
    return std::make_unique<faulty_client>(std::move(transport));
}

tern::connect_options fault_run::lasting() const {
    tern::connect_options options{.version = version, .client_id = "c", .clean_start = false};
    if (version == tern::protocol_version::v5) options.properties.session_expiry_interval = 86'400s;
    return options;
}

void fault_run::connect(const tern::connect_options& options) {
    begin<tern::connect_result>("connect",
                                [&](auto& c, auto handler) { c.async_connect(options, std::move(handler)); });
}
void fault_run::publish(int number, tern::qos qos) {
    const std::string payload = std::to_string(number);
    begin<tern::acknowledgement>("publish", [&](auto& c, auto handler) {
        c.async_publish({.topic = "t", .payload = payload, .qos = qos}, std::move(handler));
    });
}
void fault_run::publish_all(int first) {
    for (int i = 0; i != 3; ++i)
        publish(first + i, static_cast<tern::qos>(i));
}
void fault_run::publish_all(int first, const tern::publish_options& options) {
    for (int i = 0; i != 3; ++i) {
        const std::string payload = std::to_string(first + i);
        const tern::message_view m{.topic = "t", .payload = payload, .qos = static_cast<tern::qos>(i)};
        begin<tern::acknowledgement>("publish",
                                     [&](auto& c, auto handler) { c.async_publish(m, options, std::move(handler)); });
        if (!records.empty()) records.back()->must_end_soon = true;
    }
}
void fault_run::subscribe(std::string_view filter) {
    begin<tern::acknowledgement>("subscribe", [&](auto& c, auto handler) {
        c.async_subscribe({.filter = filter, .max_qos = tern::qos::exactly_once}, std::move(handler));
    });
}
void fault_run::unsubscribe() {
    begin<tern::acknowledgement>("unsubscribe",
                                 [&](auto& c, auto handler) { c.async_unsubscribe("t", std::move(handler)); });
}
void fault_run::receive(bool acknowledge) {
    begin<tern::received_message>(
        "receive", [&](auto& c, auto handler) { c.async_receive(std::move(handler)); },
        [this, acknowledge](std::error_code error, const tern::received_message& m) {
            if (error) return;
            ++received[std::stoul(std::string(m.payload))];
            if (acknowledge) kept.push_back(m);
            receive(acknowledge);
        });
    in_background();
}
void fault_run::watch() {
    begin<tern::connection_event>(
        "next event", [&](auto& c, auto handler) { c.async_next_event(std::move(handler)); },
        [this](std::error_code error, const tern::connection_event& e) {
            if (!error && e.change != tern::connection_change::stopped) watch();
        });
    in_background();
}
void fault_run::watch_at(tern::event_position& position) {
    begin<tern::connection_event>(
        "next event at a position", [&](auto& c, auto handler) { c.async_next_event(position, std::move(handler)); },
        [this, &position](std::error_code error, const tern::connection_event& e) {
            if (!error && e.change != tern::connection_change::stopped) watch_at(position);
        });
    in_background();
}
void fault_run::watch_in_many_ways() {
    for (tern::event_position& each : positions)
        watch_at(each);
    watch();
    begin<>("wait stopped", [&](auto& c, auto handler) { c.async_wait_stopped(std::move(handler)); });
    in_background();
    if (!client) return;
    try {
        const heap::tested section;
        client->set_log(tern::log_level::debug, [this](tern::log_level, std::string_view line) {
            const heap::untested untested_section;
            if (line.empty() || line.find('\n') != std::string_view::npos) wrong("a line of the log is not one line");
        });
    } catch (const std::bad_alloc&) {
        if (faults_.allocation == 0) wrong("bad_alloc without a cause");
    }
}
void fault_run::disconnect() {
    begin<>("disconnect", [&](auto& c, auto handler) { c.async_disconnect(std::move(handler)); });
}

void fault_run::on_handler() {
    if (++seen.handlers == faults_.throwing) throw thrown{};
}

// Runs the ready handlers of the client.
void fault_run::poll() {
    while (context) {
        context->restart();
        if (seen.points == too_many_points) {
            wrong("the client spins");
            return;
        }
        if (context->poll_one() == 0) return;
        if (++seen.points == faults_.point) act();
    }
}

void fault_run::act() {
    if (!client) return;
    const heap::tested section;
    switch (faults_.at_point) {
    case action::cancel_operations:
        for (std::size_t i = 0; i != records.size(); ++i)
            records[i]->signal.emit(asio::cancellation_type::total);
        break;
    case action::cancel_client: client->cancel(); break;
    case action::destroy_client: client.reset(); break;
    case action::destroy_context: // destroys a handler that owns the client
        asio::post(*context, [owned = std::move(client)] {});
        context.reset();
        break;
    case action::assign: *client = std::move(*make_client()); break;
    }
}

bool fault_run::run_until(const std::function<bool()>& done) {
    const auto end = net.now() + 10min;
    while (seen.wrong.empty()) {
        try {
            return net.run_until(
                [&] {
                    poll();
                    return !seen.wrong.empty() || done();
                },
                end - net.now());
        } catch (const std::bad_alloc&) {
            if (faults_.allocation == 0) wrong("bad_alloc without a cause");
        } catch (const thrown&) {
            if (faults_.throwing == 0) wrong("a handler threw without being asked");
        }
    }
    return false;
}

void fault_run::poll_some(std::size_t points) {
    const std::size_t end = seen.points + points;
    run_until([this, end] { return seen.points >= end; });
}

bool fault_run::settle() {
    const auto has_ended = [this] {
        return std::ranges::all_of(
            records, [](const auto& r) { return !r->awaited || r->refused || r->calls != 0 || r.use_count() == 1; });
    };
    if (run_until(has_ended)) return true;
    if (std::ranges::any_of(records, [](const auto& r) {
            return r->must_end_soon && !r->refused && r->calls == 0 && r.use_count() != 1;
        }))
        wrong("an operation outlives its time");
    // Messages wait without a limit while no operation connects the client.
    const bool may_stay_offline = std::ranges::any_of(records, [](const auto& r) { return r->refused; }) ||
                                  (faults_.point != 0 && faults_.at_point == action::assign);
    if (may_stay_offline) return false;
    for (const auto& r : records)
        if (r->awaited && !r->refused && r->calls == 0 && r.use_count() != 1) ++seen.unfinished;
    return false;
}

void fault_run::finish() {
    heap::stop_failing();
    if (!client && context) { // the run has destroyed the client
        const auto end = net.now() + 1s;
        run_until([&] { return net.now() >= end; });
    }
    if (client && seen.wrong.empty()) {
        {
            const heap::tested section;
            client->cancel();
        }
        for (const auto& r : records)
            r->awaited = true;
        if (!settle()) wrong("an operation survives cancel()");
        // The client still works after the faults.
        tern::connect_options options{.version = version, .client_id = "again"};
        options.reconnect.retry_first = true;
        net.forget("localhost");
        listen("localhost", *server);
        client->set_before_connect(nullptr);
        connect(options);
        publish(60, tern::qos::exactly_once);
        if (!settle() && seen.wrong.empty()) wrong("it does not work any more");
        for (std::size_t i = records.size() - 2; i != records.size(); ++i)
            if (records[i]->error && faults_.throwing == 0) wrong("it does not connect any more");
        client.reset();
        const auto end = net.now() + 1s;
        run_until([&] { return net.now() >= end; });
    }
    for (const auto& r : records) {
        if (r->calls > 1) wrong("a handler was called twice");
        if (r->refused && r->calls != 0) wrong("a handler was called though its operation was refused");
        const bool may_be_destroyed = !context || faults_.allocation != 0;
        if (!r->refused && r->calls == 0 && !may_be_destroyed) wrong("a handler was not called");
        if (r.use_count() != 1) wrong("a handler was not destroyed");
    }
    for (const auto* const each : {&server, &other})
        if (*each && !(*each)->violations().empty()) wrong((*each)->violations().front().text);
}

report run(const script& s, tern::protocol_version version, const faults& f) {
    const heap::untested section;
    report seen;
    const std::size_t before = heap::live_blocks();
    {
        fault_run w(version, f);
        heap::fail(f.allocation == 0 ? ~std::size_t{0} : f.allocation, f.allocations);
        for (const auto& stage : s.stages) {
            stage(w);
            w.settle();
        }
        w.seen.allocations = heap::attempts();
        w.seen.timers = w.timers->waits;
        const std::size_t points = w.seen.points, handlers = w.seen.handlers;
        for (std::size_t i = 0; i != w.seen.operations.size(); ++i)
            w.seen.operations[i] = w.net.count(static_cast<step>(i));
        w.finish();
        seen = std::move(w.seen);
        w.seen = {};
        seen.points = points;
        seen.handlers = handlers;
    }
    const std::size_t left = heap::live_blocks() - before;
    if (left > most_freed_by_timers && seen.wrong.empty()) {
        seen.wrong = "memory was not freed: ";
        seen.wrong += std::to_string(left);
    }
    return seen;
}
