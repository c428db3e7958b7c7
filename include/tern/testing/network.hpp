// A network inside the process, on virtual time. It tests programs with hours of silence, bad lines and
// servers that do not answer, within milliseconds and reproducibly.
#pragma once

#include "tern/testing/detail/link_flow.hpp"
#include "tern/testing/detail/network_state.hpp"
#include "tern/testing/link.hpp"
#include "tern/testing/network_options.hpp"
#include "tern/testing/virtual_clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/error.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::testing {

/// A network inside the process, with its own clock, which advances only when no handler is ready.
///
/// Clients use the transport `link`. A `broker`, a `scripted_peer` or any function listens. The test scripts
/// the faults. Everything runs on one thread, and all random numbers come from one seed: the same program
/// with the same seed behaves the same.
///
///     tern::testing::network net;
///     tern::testing::broker broker{net.get_executor(), {}, net.clock()};
///     net.refuse("broker.test");         // its first address refuses
///     net.listen("broker.test", broker); // the second one accepts
///     net.next({.to_client = {.latency = 200ms, .cut = cut{.after = 100}}}); // the first connection is bad
///
///     tern::basic_client<tern::testing::link> client{tern::testing::link{net}};
///     ... // start the client
///     REQUIRE(net.run_until([&] { return client.is_connected(); }, 30s));
class network {
public:
    using duration = virtual_clock::duration;
    using time_point = virtual_clock::time_point;

    /// Creates a network with its own `asio::io_context`. It must outlive everything that uses it.
    explicit network(std::uint64_t seed = 1)
        : own_(std::in_place)
        , context_(*own_)
        , state_(std::make_shared<detail::network_state>(context_.get_executor(), seed)) {}

    /// Creates a network on an existing context. It does not wait for sockets and system timers of the context.
    explicit network(asio::io_context& context, std::uint64_t seed = 1)
        : context_(context)
        , state_(std::make_shared<detail::network_state>(context_.get_executor(), seed)) {}

    network(const network&) = delete;
    network& operator=(const network&) = delete;

    asio::io_context& context() noexcept { return context_; }
    asio::io_context::executor_type get_executor() noexcept { return context_.get_executor(); }
    const virtual_clock& clock() const noexcept { return state_->clock; }
    time_point now() const noexcept { return state_->clock.now(); }

    /// A random number from 0 to `limit` - 1; any number if `limit` is 0.
    std::uint64_t random(std::uint64_t limit = 0) { return state_->random->below(limit); }

    // ---- hosts

    /// Adds an address to a host, at which `server` listens: an object with a member `acceptor()`, such
    /// as `broker` and `scripted_peer`, or a function `void(link)`, which is copied.
    ///
    /// A host is a name, "broker.test", with any port, or a name with a port, "broker.test:1883".
    template <class Server>
    void listen(std::string_view host, Server&& server) {
        if constexpr (requires { server.acceptor(); })
            listen(host, server.acceptor());
        else
            add(host).accept = [state = std::weak_ptr(state_),
                                accept = std::forward<Server>(server)](std::shared_ptr<detail::link_end> end) mutable {
                if (const auto alive = state.lock()) accept(link(alive->executor, std::move(end)));
            };
    }

    /// Adds an address to a host, which refuses connections.
    void refuse(std::string_view host, std::error_code error = asio::error::connection_refused) {
        add(host).refusal = error;
    }

    /// Adds an address to a host, which never answers.
    void ignore(std::string_view host) { add(host); }

    /// Removes all addresses of a host: it no longer resolves, and an address resolved earlier refuses connections.
    void forget(std::string_view host) {
        const auto found = state_->hosts.find(host);
        if (found == state_->hosts.end()) return;
        for (const auto& each : found->second)
            *each = {.refusal = asio::error::connection_refused};
        state_->hosts.erase(found);
    }

    // ---- conditions and faults

    /// Sets the options of further connections that `next` does not cover. Existing connections do not change.
    void usual(const link_options& options) { state_->usual = options; }

    /// Sets the options of the next connection to a server. A further call sets those of the one after it.
    void next(const link_options& options) { state_->scripted.push_back(options); }

    /// Sets the time that resolving a name takes.
    void resolve_time(duration time) { state_->resolve_time = time; }

    /// Makes the n-th of these client operations (1 is the next one) fail with the error. The connection
    /// is otherwise unaffected.
    void fail(step kind, std::size_t nth, std::error_code error) { state_->plan(kind, nth, {.error = error}); }

    /// Makes the n-th of these client operations (1 is the next one) hang until the link is closed.
    void hang(step kind, std::size_t nth) { state_->plan(kind, nth, {.hangs = true}); }

    /// The number of these operations that clients have started.
    std::size_t count(step kind) const noexcept { return state_->count(kind); }

    /// Ends all connections at once. Bytes in transit are lost.
    void end_all(ending how) { state_->finish_all(how); }

    // ---- running

    /// Runs ready handlers, and advances the clock when none is ready, until `done()` is true. Returns false if
    /// it is not true after `at_most`, or if handlers keep following each other while no time passes.
    template <class Predicate>
    bool run_until(Predicate done, duration at_most = std::chrono::seconds(30)) {
        const time_point end = now() + at_most;
        while (run_ready_until(done)) {
            const std::optional<time_point> next = clock().next();
            if (!next || *next > end) {
                state_->clock.advance_to(end);
                return false;
            }
            state_->clock.advance_to(*next);
        }
        return static_cast<bool>(done());
    }

    /// Advances the clock by this time, and runs the handlers that become ready meanwhile.
    void run_for(duration time) {
        run_until([] { return false; }, time);
    }

    /// Runs ready handlers without advancing the clock.
    void run_ready() { run_for(duration(0)); }

private:
    template <class>
    friend class basic_link;

    // Whether the run can continue.
    template <class Predicate>
    bool run_ready_until(Predicate& done) {
        constexpr int too_many = 3'000'000;
        context_.restart();
        for (int handlers = 0; handlers != too_many; ++handlers) {
            if (static_cast<bool>(done())) return false;
            if (context_.poll_one() == 0) return true;
        }
        return false;
    }

    detail::network_address& add(std::string_view host) {
        auto& all = state_->hosts[std::string(host)];
        return *all.emplace_back(std::make_shared<detail::network_address>());
    }

    std::optional<asio::io_context> own_;
    asio::io_context& context_;
    std::shared_ptr<detail::network_state> state_;
};

template <class Executor>
basic_link<Executor>::basic_link(network& net) : basic_link(net.get_executor(), net) {}

template <class Executor>
basic_link<Executor>::basic_link(const executor_type& executor, network& net)
    : basic_link(executor, std::make_shared<detail::link_end>(net.state_)) {}

} // namespace tern::testing
