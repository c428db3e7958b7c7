// A client that follows a script while faults are injected, on the network in memory, with the test broker. A folder of
// the target has `faults_transport.hpp`, which says over which transport.
//
// The client has a context of its own. The points of a run are the moments after each handler of this context.
#pragma once

#include "faults_transport.hpp"
#include "support/heap.hpp"
#include "tern/client/engine.hpp"
#include "tern/testing/broker.hpp"
#include "tern/testing/network.hpp"

#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using faulty_client = tern::basic_client<faulty_transport>;

/// An action at a point of the run.
enum class action { cancel_operations, cancel_client, destroy_client, destroy_context, assign };

/// The faults of a run. A number of 0 means never.
struct faults {
    tern::testing::step step = {}; ///< the kind of the failing operation of the network
    std::size_t operation = 0;     ///< the number of the operation that fails
    bool hangs = false;            ///< the operation never ends instead
    std::size_t timer = 0;         ///< the number of the wait that ends at once
    std::size_t allocation = 0;    ///< the number of the first failing allocation
    std::size_t allocations = 1;   ///< how many allocations fail
    std::size_t point = 0;
    action at_point = {};
    std::size_t throwing = 0; ///< the number of the handler that throws
};

/// The report of a run.
struct report {
    std::array<std::size_t, 5> operations = {}; ///< the number for each `step`
    std::size_t timers = 0;
    std::size_t allocations = 0;
    std::size_t points = 0;
    std::size_t handlers = 0;
    std::size_t unfinished = 0; ///< operations that ended only with the client
    std::string wrong;          ///< the failed expectation; empty without one
};

/// An operation of the script.
struct record {
    std::string_view what;
    bool awaited = true;        ///< the script waits for it before the next stage
    bool must_end_soon = false; ///< it ends whatever fails, even if nothing else happens to the client
    bool refused = false;
    int calls = 0;
    std::error_code error = {};
    asio::cancellation_signal signal = {};
};

class fault_run;

/// The handler of an operation.
template <class... Result>
struct tracked {
    using cancellation_slot_type = asio::cancellation_slot;
    cancellation_slot_type get_cancellation_slot() const noexcept { return of->signal.slot(); }

    void operator()(std::error_code error, Result... result);

    fault_run* in;
    std::shared_ptr<record> of;
    std::function<void(std::error_code, const Result&...)> next;
};

class fault_run {
public:
    fault_run(tern::protocol_version v, const faults& f);
    fault_run(const fault_run&) = delete;
    fault_run& operator=(const fault_run&) = delete;
    ~fault_run();

    /// Options of a client that keeps its session.
    tern::connect_options lasting() const;

    /// Calls `start(client, handler)` to start an operation.
    template <class... Result, class Start>
    void begin(std::string_view what, Start start,
               std::type_identity_t<std::function<void(std::error_code, const Result&...)>> next = nullptr) {
        if (!client) return;
        const auto r = records.emplace_back(std::make_shared<record>());
        r->what = what;
        tracked<Result...> handler{this, r, std::move(next)};
        try {
            const heap::tested section;
            start(*client, std::move(handler));
        } catch (const std::bad_alloc&) {
            r->refused = true;
        }
    }

    void connect(const tern::connect_options& options);
    void publish(int number, tern::qos qos); ///< the number is the payload
    void publish_all(int first);             ///< three messages, one of each QoS
    /// The same with options that bound the time, if there is no connection or no answer.
    void publish_all(int first, const tern::publish_options& options);
    void subscribe(std::string_view filter = "t");
    void unsubscribe();
    void receive(bool acknowledge = false); ///< receives continuously
    void watch();                           ///< waits for events continuously
    void watch_at(tern::event_position& position);
    void watch_in_many_ways(); ///< with several listeners and a log, and waits for the end
    void disconnect();

    /// The script does not wait for the last operation.
    void in_background() { records.back()->awaited = false; }

    /// Lets the broker listen at a host.
    void listen(std::string_view host, tern::testing::broker& broker) { net.listen(host, acceptor_for(broker)); }

    /// Runs until all awaited operations have ended; returns false if that takes too long.
    bool settle();
    bool run_until(const std::function<bool()>& done);
    void poll_some(std::size_t points); ///< runs up to this many points

    /// Ends the run, and records the first failed expectation.
    void finish();
    void on_handler();

    std::vector<std::shared_ptr<record>> records;
    tern::testing::network net;
    std::optional<tern::testing::broker> server{std::in_place, net.get_executor(), tern::testing::broker_options{},
                                                net.clock()};
    std::optional<tern::testing::broker> other; ///< has no state of the first one
    std::optional<asio::io_context> context{std::in_place};
    std::shared_ptr<timer_faults> timers = std::make_shared<timer_faults>();
    std::unique_ptr<faulty_client> client;
    tern::protocol_version version;
    std::array<int, 64> received = {}; ///< how often each number was received
    std::vector<tern::received_message> kept;
    std::array<tern::event_position, 2> positions;
    report seen;

private:
    std::unique_ptr<faulty_client> make_client();
    void poll();
    void act();
    void wrong(std::string_view what) {
        if (seen.wrong.empty()) seen.wrong = what;
    }

    faults faults_;
};

template <class... Result>
void tracked<Result...>::operator()(std::error_code error, Result... result) {
    const heap::untested section;
    ++of->calls;
    of->error = error;
    in->on_handler();
    if (next) next(error, result...);
}

/// A script is a sequence of stages. Each starts when the awaited operations of the one before have ended.
struct script {
    std::string_view name;
    std::vector<std::function<void(fault_run&)>> stages;
    bool has_coroutine = false;
};
const std::vector<script>& scripts();

/// Runs a script with these faults, from the construction to the destruction of the client.
report run(const script& s, tern::protocol_version version, const faults& f);
