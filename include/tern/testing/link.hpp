// A transport in memory, as it is made by a `network`; see network.hpp.
#pragma once

#include "tern/testing/detail/link_flow.hpp"
#include "tern/testing/detail/network_state.hpp"
#include "tern/testing/detail/waiting.hpp"
#include "tern/testing/network_options.hpp"
#include "tern/testing/virtual_clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::testing {

class network;

/// One end of a connection of a `network`: a Transport of Tern that lives by the network's clock, and a
/// stream of Asio.
///
/// At most one read and one write may be outstanding. It must be destroyed before the network.
///
///     tern::testing::network net;
///     tern::testing::broker broker{net.get_executor(), {}, net.clock()};
///     net.listen("localhost", broker);
///     tern::basic_client<tern::testing::link> client{tern::testing::link{net}};
template <class Executor = asio::any_io_executor>
class basic_link {
public:
    using executor_type = Executor;

    template <class Other>
    struct rebind_executor {
        using other = basic_link<Other>;
    };

    /// The end of a client, on the executor of the network; or on another one of the same thread.
    explicit basic_link(network& net);
    basic_link(const executor_type& executor, network& net);

    basic_link(basic_link&&) = default;
    basic_link& operator=(basic_link&& other) noexcept {
        if (this != &other) {
            close();
            executor_ = other.executor_;
            end_ = std::move(other.end_);
        }
        return *this;
    }
    ~basic_link() { close(); }

    executor_type get_executor() const noexcept { return executor_; }

    /// Completes with `void(std::error_code, std::size_t)`: how many addresses the host has in the network.
    template <class CompletionToken>
    auto async_resolve(std::string_view host, std::uint16_t port, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code, std::size_t)>(
            [this, name = std::string(host), port](auto handler) {
                detail::connect_slot(handler, end_, [](auto& end) { end.cancel_opening(); });
                resolve(detail::make_waiting<true>(std::move(handler), executor_), name, port);
            },
            token);
    }

    /// Completes with `void(std::error_code)`.
    template <class CompletionToken>
    auto async_connect(std::size_t address, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code)>(
            [this, address](auto handler) {
                detail::connect_slot(handler, end_, [](auto& end) { end.cancel_opening(); });
                connect(detail::make_waiting<false>(std::move(handler), executor_), address);
            },
            token);
    }

    /// Completes with `void(std::error_code, std::size_t)`.
    template <class CompletionToken>
    auto async_read_some(asio::mutable_buffer buffer, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code, std::size_t)>(
            [this, buffer](auto handler) {
                detail::connect_slot(handler, end_, [](auto& end) { end.cancel_read(); });
                auto operation = detail::make_waiting<true>(std::move(handler), executor_);
                operation->read_into = {static_cast<char*>(buffer.data()), buffer.size()};
                if (transfers(operation, step::read, end_->hanging_read))
                    end_->in().read(std::move(operation));
            },
            token);
    }

    /// Completes with `void(std::error_code, std::size_t)`.
    template <class ConstBufferSequence, class CompletionToken>
    auto async_write_some(const ConstBufferSequence& buffers, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code, std::size_t)>(
            [this, &buffers](auto handler) {
                detail::connect_slot(handler, end_, [](auto& end) { end.cancel_write(); });
                auto operation = detail::make_waiting<true>(std::move(handler), executor_);
                const auto last = asio::buffer_sequence_end(buffers);
                for (auto i = asio::buffer_sequence_begin(buffers); i != last; ++i) {
                    const asio::const_buffer part = *i;
                    operation->write_from.emplace_back(static_cast<const char*>(part.data()), part.size());
                }
                if (transfers(operation, step::write, end_->hanging_write))
                    end_->out().write(std::move(operation));
            },
            token);
    }

    /// Says that nothing more will be written: the other end reads the rest, then `asio::error::eof`.
    void shutdown_send() noexcept {
        if (end_ && end_->connection) end_->out().close_writer(false);
    }

    /// Ends the connection. What is outstanding completes with `asio::error::operation_aborted`; the other
    /// end reads the rest, then `asio::error::eof`. The link can connect again.
    void close() noexcept {
        if (end_) end_->close();
    }

    /// Ends the connection for both ends, as soon as what this end has written has arrived at the other one.
    /// The link is not closed by that.
    void end(ending how) {
        if (end_ && end_->connection) end_->out().end_behind(how);
    }

    /// The time of the network.
    std::chrono::steady_clock::time_point now() const noexcept { return end_->net->clock.now(); }
    auto make_timer() { return basic_virtual_timer<Executor>(executor_, end_->net->clock); }
    /// What a client begins its own chance with, taken from that of the network.
    std::uint64_t seed() { return end_->net->random->below(0); }

private:
    friend class network;
    template <class>
    friend class basic_link;

    basic_link(const executor_type& executor, std::shared_ptr<detail::link_end> end)
        : executor_(executor)
        , end_(std::move(end)) {
        detail::waiting_service::adopt(executor, end_);
    }

    // Whether the operation is for the connection; if not, it has been dealt with.
    bool transfers(detail::waiting_ptr& operation, step kind, detail::waiting_ptr& hanging) {
        if (!end_->connection || hanging) {
            detail::complete(operation, hanging ? asio::error::already_started : asio::error::not_connected);
            return false;
        }
        if (end_->is_server) return true;
        const detail::verdict verdict = end_->net->judge(kind);
        if (verdict.hangs)
            hanging = std::move(operation);
        else if (verdict.error)
            detail::complete(operation, verdict.error);
        return !verdict.hangs && !verdict.error;
    }

    // Takes the step after some time, unless it is cancelled before.
    template <class Step>
    void later(detail::waiting_ptr operation, step kind, std::chrono::nanoseconds delay, Step take) {
        if (end_->connection || end_->opening)
            return detail::complete(operation, asio::error::already_started);
        const detail::verdict verdict = end_->net->judge(kind);
        end_->opening = std::move(operation);
        std::function<void()> action = [weak = std::weak_ptr(end_), attempt = ++end_->attempt, verdict,
                                        take] {
            const auto end = weak.lock();
            if (!end || !end->opening || end->attempt != attempt || verdict.hangs) return;
            if (verdict.error)
                detail::complete(end->opening, verdict.error);
            else
                take(end);
        };
        if (delay.count() > 0)
            state_of(end_->net->clock)->call_at(now() + delay, std::move(action));
        else
            asio::post(executor_, std::move(action));
    }

    void resolve(detail::waiting_ptr operation, const std::string& host, std::uint16_t port) {
        end_->addresses.clear();
        later(std::move(operation), step::resolve, end_->net->resolve_time,
              [host, port](const std::shared_ptr<detail::link_end>& end) {
                  end->addresses = end->net->find(host, port);
                  const bool found = !end->addresses.empty();
                  detail::complete(end->opening, found ? std::error_code() : asio::error::host_not_found,
                                   end->addresses.size());
              });
    }

    void connect(detail::waiting_ptr operation, std::size_t address) {
        if (address >= end_->addresses.size())
            return detail::complete(operation, asio::error::invalid_argument);
        const auto leads_to = end_->addresses[address];
        const link_options options = leads_to->accept ? end_->net->next_options() : end_->net->usual;
        later(std::move(operation), step::connect, options.to_server.latency + options.to_client.latency,
              [leads_to, options](const std::shared_ptr<detail::link_end>& end) {
                  if (leads_to->accept) return join(end, leads_to, options);
                  if (leads_to->refusal) detail::complete(end->opening, leads_to->refusal);
              });
    }

    static void join(const std::shared_ptr<detail::link_end>& end,
                     const std::shared_ptr<detail::network_address>& address, const link_options& options) {
        detail::network_state& net = *end->net;
        end->connection = std::make_shared<detail::link_connection>(state_of(net.clock), net.random, options);
        net.add(end->connection);
        auto other = std::make_shared<detail::link_end>(end->net);
        other->connection = end->connection;
        other->is_server = true;
        detail::complete(end->opening, {});
        asio::post(net.executor, [address, other] {
            if (address->accept) address->accept(other);
        });
        end->connection->begin();
    }

    executor_type executor_;
    std::shared_ptr<detail::link_end> end_;
};

using link = basic_link<>;

} // namespace tern::testing
