// One end of a connection of the network in memory, and how a client opens it: the link resolves the host, then tries
// its addresses in turn. Both phases take time on the network's clock, and end when their time limit expires.
//
//     closed --open--> resolving --> connecting to an address --> connected
//     connecting --an error, or the time limit--> connecting to the next address; after the last one: closed
//     each of these --close--> closed
#pragma once

#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/testing/detail/clock_state.hpp"
#include "tern/testing/detail/link_flow.hpp"
#include "tern/testing/detail/network_state.hpp"
#include "tern/testing/detail/waiting.hpp"
#include "tern/testing/network_options.hpp"
#include "tern/testing/virtual_clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/error.hpp>
#include <asio/execution_context.hpp>
#include <asio/post.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::testing::detail {

class link_end final : public waiting_place, public std::enable_shared_from_this<link_end> {
public:
    explicit link_end(std::shared_ptr<network_state> n) : net(std::move(n)) {}
    link_end(const link_end&) = delete;
    link_end& operator=(const link_end&) = delete;
    ~link_end() override { close(); }

    std::shared_ptr<network_state> net;
    std::shared_ptr<link_connection> connection;
    bool is_server = false;
    waiting_ptr hanging_read; // waits until the link is closed
    waiting_ptr hanging_write;

    link_flow& in() const { return is_server ? connection->to_server : connection->to_client; }
    link_flow& out() const { return is_server ? connection->to_client : connection->to_server; }
    connection_phase opening_phase() const noexcept { return phase_; }

    void open(waiting_ptr operation, asio::any_io_executor executor, const std::string& host, std::uint16_t port,
              const open_timeouts& timeouts) {
        if (connection || opening_) return complete(operation, asio::error::already_started);
        opening_ = std::move(operation);
        executor_ = std::move(executor);
        timeouts_ = timeouts;
        last_error_ = {};
        phase_ = connection_phase::resolving;
        begin(step::resolve, net->resolve_time, timeouts_.resolve, errc::resolve_timeout,
              [host, port](link_end& end) { end.resolve(host, port); });
    }

    void cancel_opening() { finish(asio::error::operation_aborted); }
    void cancel_read() {
        auto operation = connection ? in().take_reader() : nullptr;
        complete(operation, asio::error::operation_aborted);
        complete(hanging_read, asio::error::operation_aborted);
    }
    void cancel_write() {
        auto operation = connection ? out().take_writer() : nullptr;
        complete(operation, asio::error::operation_aborted);
        complete(hanging_write, asio::error::operation_aborted);
    }
    void close() {
        cancel_opening();
        cancel_read();
        cancel_write();
        if (const auto ended = std::move(connection)) {
            connection = nullptr;
            if (ended->to_client.has_been_read()) silent_.clear();
            (is_server ? ended->to_server : ended->to_client).close_reader();
            (is_server ? ended->to_client : ended->to_server).close_writer(true);
        }
    }
    void abandon(asio::execution_context&) override {
        const std::array abandoned{std::move(opening_), std::move(hanging_read), std::move(hanging_write),
                                   connection ? in().take_reader() : nullptr,
                                   connection ? out().take_writer() : nullptr};
    }

private:
    using address_ptr = std::shared_ptr<network_address>;
    using action = std::function<void(link_end&)>;

    void resolve(const std::string& host, std::uint16_t port) {
        addresses_ = net->find(host, port);
        for (const address_ptr& each : silent_) {
            const auto found = std::find(addresses_.begin(), addresses_.end(), each);
            if (found != addresses_.end()) std::rotate(found, found + 1, addresses_.end());
        }
        next_ = 0;
        connect_to_next();
    }

    void connect_to_next() {
        if (next_ == addresses_.size()) return finish(last_error_ ? last_error_ : asio::error::host_not_found);
        const address_ptr address = addresses_[next_++];
        phase_ = connection_phase::connecting;
        const link_options options = address->accept ? net->next_options() : net->usual;
        begin(step::connect, options.to_server.latency + options.to_client.latency, timeouts_.connect,
              errc::connect_timeout, [address, options](link_end& end) {
                  if (address->accept) return end.join(address, options);
                  if (address->refusal) end.fail(address->refusal);
              });
    }

    // Performs the step after a delay, unless the time limit expires first.
    void begin(step kind, std::chrono::nanoseconds delay, std::chrono::milliseconds limit, errc late, action take) {
        ++step_;
        cancel_limit();
        if (limit.count() > 0) limit_ = later(limit, [late](link_end& end) { end.fail(tern::violation(late)); });
        const verdict v = net->judge(kind);
        if (v.hangs) return;
        if (v.error) take = [error = v.error](link_end& end) { end.fail(error); };
        if (delay.count() > 0)
            later(delay, std::move(take));
        else
            asio::post(executor_, in_this_step(std::move(take)));
    }

    clock_state::key later(std::chrono::nanoseconds delay, action take) {
        return state_of(net->clock)->call_at(net->clock.now() + delay, in_this_step(std::move(take)));
    }

    std::function<void()> in_this_step(action take) {
        return [weak = weak_from_this(), which = step_, take = std::move(take)] {
            const auto end = weak.lock();
            if (end && end->opening_ && end->step_ == which) take(*end);
        };
    }

    void fail(std::error_code error) {
        if (phase_ == connection_phase::resolving) return finish(error);
        last_error_ = error;
        connect_to_next();
    }

    void finish(std::error_code error) {
        ++step_;
        cancel_limit();
        addresses_.clear();
        complete(opening_, error);
    }

    void cancel_limit() {
        if (limit_) state_of(net->clock)->cancel(*limit_);
        limit_.reset();
    }

    void join(const address_ptr& address, const link_options& options) {
        connection = std::make_shared<link_connection>(state_of(net->clock), net->random, options);
        net->add(connection);
        std::erase(silent_, address);
        silent_.push_back(address);
        auto other = std::make_shared<link_end>(net);
        other->connection = connection;
        other->is_server = true;
        finish({});
        asio::post(net->executor, [address, other] {
            if (address->accept) address->accept(other);
        });
        connection->begin();
    }

    waiting_ptr opening_;
    asio::any_io_executor executor_; // the executor of the open operation
    open_timeouts timeouts_;
    connection_phase phase_ = connection_phase::resolving;
    unsigned step_ = 0; // counts the steps of all open operations
    std::optional<clock_state::key> limit_;
    network_state::addresses addresses_;
    std::size_t next_ = 0; // the index of the next address
    std::error_code last_error_;
    network_state::addresses silent_; // they accepted connections on which nothing was read
};

} // namespace tern::testing::detail
