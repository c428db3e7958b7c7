// What a session or a client does with many items at once, without a sink: the cost of each item should not depend on
// their number.
// With `--only <case> --count <items>` it runs one case, whose instructions Callgrind counts.
#include "support/bench.hpp"
#include "tern/client/client.hpp"
#include "tern/client/engine.hpp"
#include "tern/codec/packet.hpp"
#include "tern/session/session.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/network.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using tern::op_id;

// The numbers from 1 to `count`, in a random order.
std::vector<std::uint64_t> shuffled(std::size_t count) {
    std::vector<std::uint64_t> numbers(count);
    for (std::size_t i = 0; i != count; ++i)
        numbers[i] = i + 1;
    std::shuffle(numbers.begin(), numbers.end(), std::minstd_rand(1));
    return numbers;
}

// A session that is connected to a broker which acknowledges nothing.
class run {
public:
    explicit run(std::size_t items) : items_(items), order_(shuffled(items)) {
        tern::connect_options options{
            .client_id = "bench", .clean_start = false, .keep_alive = std::chrono::seconds{0}};
        options.properties.session_expiry_interval = std::chrono::seconds{3'600};
        options.ack_timeout = std::chrono::milliseconds{0};
        options.queue.messages = items;
        expect(session_.connect(options, now_));
        open(false);
    }

    // QoS 2 messages that are not released, in the order of these steps.
    void lose() {
        receive_all();
        measure([&] { disconnect(); });
    }
    void repeat() {
        receive_all();
        resume();
        measure([&] { receive_all(); });
    }
    void release() {
        receive_all();
        resume();
        measure([&] {
            for (const std::uint64_t i : order_)
                session_.release(tokens_[i - 1]);
        });
    }
    void pubrel() {
        receive_all();
        resume();
        std::string bytes;
        for (const std::uint64_t id : order_)
            put(bytes, tern::pubrel{static_cast<tern::packet_id>(id)});
        measure([&] { read(bytes); });
    }

    void cancel_queued() {
        disconnect();
        for (const std::uint64_t op : order_)
            expect(session_.publish({.topic = "a", .qos = tern::qos::at_least_once}, op_id{op}, now_));
        cancel_all();
    }
    void cancel_requests() {
        disconnect();
        const tern::subscription s{.filter = "a"};
        for (const std::uint64_t op : order_)
            expect(session_.subscribe(std::span(&s, 1), {}, op_id{op}, now_));
        cancel_all();
    }
    void cancel_drains() {
        expect(session_.publish({.topic = "a", .qos = tern::qos::at_least_once}, op_id::none, now_));
        for (const std::uint64_t op : order_)
            expect(session_.drain(op_id{op}, tern::time_point::max(), now_));
        cancel_all();
    }

    double nanoseconds_per_item() const { return region_.seconds() * 1e9 / static_cast<double>(items_); }

private:
    static void expect(tern::errc error) {
        if (error != tern::errc::none) bench::fail("a request was refused");
    }
    template <class F>
    void measure(F f) {
        region_.begin();
        f();
        region_.end();
    }
    template <class Packet>
    static void put(std::string& to, const Packet& packet) {
        const std::size_t before = to.size();
        to.resize(before + *tern::encoded_size(packet, tern::protocol_version::v5));
        (void)tern::encode(packet, tern::protocol_version::v5, std::span(to).subspan(before));
    }
    void read(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto room = session_.prepare_read();
            const std::size_t count = bytes.copy(room.data(), room.size());
            session_.commit_read(count, now_);
            bytes.remove_prefix(count);
            poll();
        }
    }
    void poll() {
        while (const auto e = session_.poll_event())
            if (const auto* const m = std::get_if<tern::received>(&*e)) tokens_.push_back(m->token);
        while (!session_.pending_write().empty())
            session_.commit_write(session_.pending_write().front().size(), now_);
    }
    void open(bool session_present) {
        session_.on_prepared(now_);
        session_.on_opened(now_);
        poll();
        std::string bytes;
        put(bytes, tern::connack{.session_present = session_present});
        read(bytes);
    }
    void disconnect() {
        session_.on_disconnected(std::make_error_code(std::errc::connection_reset), now_);
        poll();
    }
    void resume() {
        disconnect();
        now_ += std::chrono::hours(1);
        session_.on_deadline(now_);
        open(true);
    }
    void receive_all() {
        std::string bytes;
        for (std::size_t id = 1; id <= items_; ++id)
            put(bytes, tern::publish{.message = {.topic = "a", .qos = tern::qos::exactly_once},
                                     .packet_id = static_cast<tern::packet_id>(id)});
        read(bytes);
    }
    void cancel_all() {
        measure([&] {
            for (std::uint64_t op = 1; op <= items_; ++op) // they were made in a random order
                (void)session_.cancel(op_id{op}, now_);
        });
    }

    std::size_t items_;
    std::vector<std::uint64_t> order_;
    tern::session session_;
    tern::time_point now_{std::chrono::hours(1)};
    std::vector<tern::message_token> tokens_;
    bench::region region_;
};

// A client with receive operations that wait.
class client_run {
public:
    explicit client_run(std::size_t items) : items_(items), order_(shuffled(items)), signals_(items) {
        net_.listen("localhost", broker_);
        bool connected = false;
        const tern::connect_options options{.client_id = "bench", .keep_alive = std::chrono::seconds{0}};
        client_.async_connect(options, [&](std::error_code error, const auto&) { connected = !error; });
        run_until([&] { return connected; });
    }

    void cancel_receives_first() {
        receive_all();
        std::sort(order_.begin(), order_.end());
        cancel_all();
    }
    void cancel_receives_last() {
        receive_all();
        std::sort(order_.rbegin(), order_.rend());
        cancel_all();
    }
    void cancel_receives_random() {
        receive_all();
        cancel_all();
    }
    double nanoseconds_per_item() const { return region_.seconds() * 1e9 / static_cast<double>(items_); }

private:
    template <class Condition>
    void run_until(Condition condition) {
        if (!net_.run_until(condition, std::chrono::minutes(1))) bench::fail("the client does not proceed");
    }
    void receive_all() {
        for (asio::cancellation_signal& signal : signals_)
            client_.async_receive(asio::bind_cancellation_slot(signal.slot(), [&](std::error_code error, const auto&) {
                if (error != asio::error::operation_aborted) bench::fail("a receive operation was not cancelled");
                ++cancelled_;
            }));
    }
    void cancel_all() {
        region_.begin();
        for (const std::uint64_t i : order_)
            signals_[i - 1].emit(asio::cancellation_type::total);
        run_until([&] { return cancelled_ == items_; });
        region_.end();
    }

    std::size_t items_;
    std::vector<std::uint64_t> order_;
    std::vector<asio::cancellation_signal> signals_;
    std::size_t cancelled_ = 0;
    tern::testing::network net_;
    tern::testing::broker broker_{net_.get_executor(), {}, net_.clock()};
    tern::basic_client<tern::testing::link> client_{tern::testing::link{net_}};
    bench::region region_;
};

// The time of one item of a case with many.
template <class Run, void (Run::*Case)()>
double nanoseconds(std::size_t items) {
    Run r(items);
    (r.*Case)();
    return r.nanoseconds_per_item();
}

constexpr struct {
    const char* name;
    double (*nanoseconds)(std::size_t items);
} cases[] = {
    {"lose", &nanoseconds<run, &run::lose>},
    {"repeat", &nanoseconds<run, &run::repeat>},
    {"release", &nanoseconds<run, &run::release>},
    {"pubrel", &nanoseconds<run, &run::pubrel>},
    {"cancel_queued", &nanoseconds<run, &run::cancel_queued>},
    {"cancel_requests", &nanoseconds<run, &run::cancel_requests>},
    {"cancel_drains", &nanoseconds<run, &run::cancel_drains>},
    {"cancel_receives_first", &nanoseconds<client_run, &client_run::cancel_receives_first>},
    {"cancel_receives_last", &nanoseconds<client_run, &client_run::cancel_receives_last>},
    {"cancel_receives_random", &nanoseconds<client_run, &client_run::cancel_receives_random>},
};

} // namespace

int main(int argc, char** argv) {
    std::string_view only;
    std::size_t count = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::string_view(argv[i]) == "--only") only = argv[i + 1];
        if (std::string_view(argv[i]) == "--count") count = std::strtoul(argv[i + 1], nullptr, 10);
    }
    bool found = false;
    for (const auto& each : cases) {
        if (!only.empty() && only != each.name) continue;
        found = true;
        for (const std::size_t items : {100U, 1'000U, 10'000U, 65'000U}) {
            if (count != 0 && items != 100) continue;
            const std::size_t n = count != 0 ? count : items;
            std::printf("{\"%s\":%zu,\"ns\":%.1f}\n", each.name, n, each.nanoseconds(n));
        }
    }
    return found ? EXIT_SUCCESS : EXIT_FAILURE;
}
