// A network inside the process, on virtual time: programs are tested with hours of silence, bad lines and
// servers that do not answer, in no time, and the same way each time.
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

/// A network inside the process, with a clock of its own that moves only when there is nothing else to do.
///
/// Clients are on it by the transport `link`; a `broker`, a `scripted_peer` or any function listens. What
/// goes wrong is scripted. Everything happens on one thread, and all chance comes from one seed: the same
/// program with the same seed does the same.
///
///     tern::testing::network net;
///     tern::testing::broker broker{net.get_executor(), {}, net.clock()};
///     net.refuse("broker.test");         // its first address does not work
///     net.listen("broker.test", broker); // the second one does
///     net.next({.to_client = {.latency = 200ms, .cut = cut{.after = 100}}}); // the first connection is bad
///
///     tern::basic_client<tern::testing::link> client{tern::testing::link{net}};
///     ... // start the client
///     REQUIRE(net.run_until([&] { return client.is_connected(); }, 30s));
class network {
public:
    using duration = virtual_clock::duration;
    using time_point = virtual_clock::time_point;

    /// A network with an `asio::io_context` of its own, to be destroyed after all that uses it.
    explicit network(std::uint64_t seed = 1)
        : own_(std::in_place)
        , context_(*own_)
        , state_(std::make_shared<detail::network_state>(context_.get_executor(), seed)) {}

    /// A network on a context of yours. Sockets and timers of the system that are on it are not waited for.
    explicit network(asio::io_context& context, std::uint64_t seed = 1)
        : context_(context)
        , state_(std::make_shared<detail::network_state>(context_.get_executor(), seed)) {}

    network(const network&) = delete;
    network& operator=(const network&) = delete;

    asio::io_context& context() noexcept { return context_; }
    asio::io_context::executor_type get_executor() noexcept { return context_.get_executor(); }
    const virtual_clock& clock() const noexcept { return state_->clock; }
    time_point now() const noexcept { return state_->clock.now(); }

    /// A number from 0 to `limit` - 1; any number if it is 0.
    std::uint64_t random(std::uint64_t limit = 0) { return state_->random->below(limit); }

    // ---- hosts

    /// Gives a host one more address, at which `server` listens: something with a member `acceptor()`, such
    /// as `broker` and `scripted_peer`, or a function `void(link)`, which is kept.
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

    /// Gives a host one more address, which refuses connections.
    void refuse(std::string_view host, std::error_code error = asio::error::connection_refused) {
        add(host).refusal = error;
    }

    /// Gives a host one more address, which never answers.
    void ignore(std::string_view host) { add(host); }

    /// Takes all its addresses from a host: it is not found any more, and they refuse who still knows them.
    void forget(std::string_view host) {
        const auto found = state_->hosts.find(host);
        if (found == state_->hosts.end()) return;
        for (const auto& each : found->second)
            *each = {.refusal = asio::error::connection_refused};
        state_->hosts.erase(found);
    }

    // ---- how things go

    /// How connections are from now on, unless `next` says something else. Those that exist stay as they are.
    void usual(const link_options& options) { state_->usual = options; }

    /// How the next connection to a server is going to be; said again, the one after it.
    void next(const link_options& options) { state_->scripted.push_back(options); }

    /// How long it takes to resolve a name.
    void resolve_time(duration time) { state_->resolve_time = time; }

    /// The n-th of these operations of clients, 1 is the next one, fails with the error. Nothing else happens
    /// to the connection.
    void fail(step kind, std::size_t nth, std::error_code error) { state_->plan(kind, nth, {.error = error}); }

    /// The n-th of these operations of clients, 1 is the next one, ends only when the link is closed.
    void hang(step kind, std::size_t nth) { state_->plan(kind, nth, {.hangs = true}); }

    /// How many of these operations clients have begun.
    std::size_t count(step kind) const noexcept { return state_->count(kind); }

    /// Ends all connections, now; what is under way is lost.
    void end_all(ending how) { state_->finish_all(how); }

    // ---- running

    /// Runs what is ready, and lets time pass when nothing is, until `done()` is true. Returns false if it is
    /// not after `at_most`, or when handlers follow each other for ever without any time passing.
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

    /// Lets so much time pass, and runs what becomes ready meanwhile.
    void run_for(duration time) {
        run_until([] { return false; }, time);
    }

    /// Runs what is ready, without any time passing.
    void run_ready() { run_for(duration(0)); }

private:
    template <class>
    friend class basic_link;

    // Whether it makes sense to go on.
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
