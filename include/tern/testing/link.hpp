// A transport in memory that connects over a `network`; see network.hpp.
#pragma once

#include "tern/endpoint.hpp"
#include "tern/testing/detail/link_end.hpp"
#include "tern/testing/detail/link_flow.hpp"
#include "tern/testing/detail/network_state.hpp"
#include "tern/testing/detail/waiting.hpp"
#include "tern/testing/network_options.hpp"
#include "tern/testing/virtual_clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace tern::testing {

class network;

/// One end of a connection of a `network`: a Transport of Tern that uses the network's clock, and a
/// stream of Asio.
///
/// At most one read and one write may be outstanding. The network must outlive the link.
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

    /// Creates the client's end, on the executor of the network or on another one of the same thread.
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

    /// Connects to a host of the network. Tries its addresses in turn. Addresses that accepted a connection on which
    /// nothing was read come last. Completes with `void(std::error_code)`.
    template <class CompletionToken>
    auto async_open(const endpoint& where, const open_timeouts& timeouts, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code)>(
            [this, host = std::string(where.host), port = where.port, timeouts](auto handler) {
                detail::connect_slot(handler, end_, [](auto& end) { end.cancel_opening(); });
                end_->open(detail::make_waiting<false>(std::move(handler), executor_), executor_, host, port, timeouts);
            },
            token);
    }

    connection_phase opening_phase() const noexcept { return end_->opening_phase(); }

    /// Completes with `void(std::error_code, std::size_t)`.
    template <class CompletionToken>
    auto async_read_some(asio::mutable_buffer buffer, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code, std::size_t)>(
            [this, buffer](auto handler) {
                detail::connect_slot(handler, end_, [](auto& end) { end.cancel_read(); });
                auto operation = detail::make_waiting<true>(std::move(handler), executor_);
                operation->read_into = {static_cast<char*>(buffer.data()), buffer.size()};
                if (transfers(operation, step::read, end_->hanging_read)) end_->in().read(std::move(operation));
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
                if (transfers(operation, step::write, end_->hanging_write)) end_->out().write(std::move(operation));
            },
            token);
    }

    /// Ends the output of this end. The other end reads the rest, then `asio::error::eof`.
    void shutdown_send() noexcept {
        if (end_ && end_->connection) end_->out().close_writer(false);
    }

    /// Ends the connection. Outstanding operations complete with `asio::error::operation_aborted`. The other
    /// end reads the rest, then `asio::error::eof`. The link can connect again.
    void close() noexcept {
        if (end_) end_->close();
    }

    /// Ends the connection for both ends, as soon as all bytes that this end has written have arrived.
    /// This does not close the link.
    void end(ending how) {
        if (end_ && end_->connection) end_->out().end_after(how);
    }

    /// The current time of the network.
    std::chrono::steady_clock::time_point now() const noexcept { return end_->net->clock.now(); }
    auto make_timer() { return basic_virtual_timer<Executor>(executor_, end_->net->clock); }
    /// A seed for the client's random numbers, drawn from those of the network.
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

    // Returns whether the operation goes to the connection. Otherwise it already has its outcome.
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

    executor_type executor_;
    std::shared_ptr<detail::link_end> end_;
};

using link = basic_link<>;

} // namespace tern::testing
