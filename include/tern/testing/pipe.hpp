// An in-memory stream of bytes with two ends, to be used in the place of a TCP connection.
//
// The bytes walk through two wires (detail/pipe_wire.hpp); here they meet Asio: handlers, executors,
// cancellation. Nothing completes inside the call that started it.
#pragma once

#include "tern/endpoint.hpp"
#include "tern/testing/detail/pipe_wire.hpp"
#include "tern/testing/detail/waiting.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

namespace tern::testing {

namespace detail {

struct pipe_acceptor;

} // namespace detail

template <class Executor>
class basic_pipe;

/// One end of an in-memory connection: a Transport of Tern, and a stream of Asio.
using pipe = basic_pipe<asio::any_io_executor>;

/// Where pipes connect to. A copy is another handle to the same listener.
class pipe_listener {
public:
    /// Calls `accept` on the executor with the other end of every pipe that connects.
    pipe_listener(asio::any_io_executor executor, std::function<void(pipe)> accept,
                  pipe_options options = {});

    /// The same listener, for pipes that treat the bytes differently.
    pipe_listener with(const pipe_options& options) const {
        pipe_listener other = *this;
        other.options_ = options;
        return other;
    }

    /// From now on connections are refused. Those that exist go on.
    void close();

private:
    template <class>
    friend class basic_pipe;
    std::shared_ptr<detail::pipe_acceptor> acceptor_;
    pipe_options options_;
};

/// One end of an in-memory connection, with the interface of a Transport. For tests and demos.
///
/// At most one read and one write may be outstanding. A pipe is not thread-safe, as a socket is not; its two
/// ends may be used from different threads.
///
///     tern::testing::broker broker{io.get_executor()};
///     tern::client client{tern::testing::pipe{io.get_executor(), broker.pipe()}};
template <class Executor = asio::any_io_executor>
class basic_pipe {
public:
    using executor_type = Executor;

    template <class Executor1>
    struct rebind_executor {
        using other = basic_pipe<Executor1>;
    };

    /// A pipe that is not connected and that connects to `listener`.
    basic_pipe(const executor_type& executor, pipe_listener listener)
        : executor_(executor)
        , acceptor_(std::move(listener.acceptor_))
        , options_(listener.options_)
        , end_(make_end(executor)) {}

    basic_pipe(basic_pipe&& other) = default;
    basic_pipe& operator=(basic_pipe&& other) noexcept {
        if (this != &other) {
            close();
            executor_ = other.executor_;
            acceptor_ = std::move(other.acceptor_);
            options_ = other.options_;
            end_ = std::move(other.end_);
        }
        return *this;
    }
    ~basic_pipe() { close(); }

    executor_type get_executor() const noexcept { return executor_; }

    /// Connects to the listener, whatever the endpoint. Completes with `void(std::error_code)`;
    /// `asio::error::connection_refused` if the listener is closed.
    template <class CompletionToken>
    auto async_open(const endpoint& /*where*/, const open_timeouts& /*timeouts*/, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code)>(
            [this](auto handler) { connect(detail::make_waiting<false>(std::move(handler), executor_)); },
            token);
    }

    connection_phase opening_phase() const noexcept { return connection_phase::connecting; }

    /// Completes with `void(std::error_code, std::size_t)`; `asio::error::eof` when the other end has been
    /// closed and all has been read.
    template <class CompletionToken>
    auto async_read_some(asio::mutable_buffer buffer, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code, std::size_t)>(
            [this, buffer](auto handler) {
                detail::connect_slot(handler, end_, [](const auto& end) { end.cancel_read(); });
                auto operation = detail::make_waiting<true>(std::move(handler), executor_);
                operation->read_into = {static_cast<char*>(buffer.data()), buffer.size()};
                if (!end_->in) return detail::complete(operation, asio::error::not_connected);
                end_->in->read(std::move(operation));
            },
            token);
    }

    /// Completes with `void(std::error_code, std::size_t)`; `asio::error::broken_pipe` when the other end is
    /// closed.
    template <class ConstBufferSequence, class CompletionToken>
    auto async_write_some(const ConstBufferSequence& buffers, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code, std::size_t)>(
            [this, &buffers](auto handler) {
                detail::connect_slot(handler, end_, [](const auto& end) { end.cancel_write(); });
                auto operation = detail::make_waiting<true>(std::move(handler), executor_);
                const auto end = asio::buffer_sequence_end(buffers);
                for (auto i = asio::buffer_sequence_begin(buffers); i != end; ++i) {
                    const asio::const_buffer part = *i;
                    operation->write_from.emplace_back(static_cast<const char*>(part.data()), part.size());
                }
                if (!end_->out) return detail::complete(operation, asio::error::not_connected);
                end_->out->write(std::move(operation));
            },
            token);
    }

    /// Says that nothing more will be written: the other end reads the rest, then `asio::error::eof`.
    void shutdown_send() noexcept {
        if (end_ && end_->out) end_->out->close_writer();
    }

    /// Ends the connection. What is outstanding completes with `asio::error::operation_aborted`; the other
    /// end reads the rest, then `asio::error::eof`. The pipe can connect again.
    void close() noexcept {
        if (end_) end_->close();
    }

    /// Two pipes that are connected to each other.
    static std::pair<basic_pipe, basic_pipe> pair(const executor_type& executor,
                                                  const pipe_options& options = {}) {
        std::pair<basic_pipe, basic_pipe> ends{basic_pipe(executor, make_end(executor)),
                                               basic_pipe(executor, make_end(executor))};
        ends.first.end_->join(*ends.second.end_, options);
        return ends;
    }

private:
    friend struct detail::pipe_acceptor;

    basic_pipe(const executor_type& executor, std::shared_ptr<detail::pipe_end> end)
        : executor_(executor)
        , end_(std::move(end)) {}

    static std::shared_ptr<detail::pipe_end> make_end(const executor_type& executor) {
        auto end = std::make_shared<detail::pipe_end>();
        detail::waiting_service::adopt(executor, end);
        return end;
    }

    void connect(detail::waiting_ptr operation);

    executor_type executor_;
    std::shared_ptr<detail::pipe_acceptor> acceptor_;
    pipe_options options_;
    std::shared_ptr<detail::pipe_end> end_;
};

namespace detail {

struct pipe_acceptor : std::enable_shared_from_this<pipe_acceptor> {
    pipe_acceptor(asio::any_io_executor on, std::function<void(pipe)> call)
        : executor(std::move(on))
        , accept(std::move(call)) {}

    // May be called on any thread; the function is called on the listener's executor.
    void offer(std::shared_ptr<pipe_end> end) {
        asio::post(executor, [self = shared_from_this(), end = std::move(end)] {
            if (!self->open) return;
            waiting_service::adopt(self->executor, end);
            self->accept(pipe(self->executor, end));
        });
    }

    asio::any_io_executor executor;
    std::function<void(pipe)> accept;
    std::atomic<bool> open = true;
};

} // namespace detail

inline pipe_listener::pipe_listener(asio::any_io_executor executor, std::function<void(pipe)> accept,
                                    pipe_options options)
    : acceptor_(std::make_shared<detail::pipe_acceptor>(std::move(executor), std::move(accept)))
    , options_(options) {}

inline void pipe_listener::close() {
    acceptor_->open = false;
}

// Connecting takes a turn, so that close() can come between, as with real ones.
template <class Executor>
void basic_pipe<Executor>::connect(detail::waiting_ptr operation) {
    if (end_->in || end_->connecting) return detail::complete(operation, asio::error::already_started);
    end_->connecting = std::move(operation);
    asio::post(executor_, [end = end_, attempt = ++end_->attempt, acceptor = acceptor_, options = options_] {
        if (!end->connecting || end->attempt != attempt) return;
        if (!acceptor || !acceptor->open)
            return detail::complete(end->connecting, asio::error::connection_refused);
        auto other = std::make_shared<detail::pipe_end>();
        end->join(*other, options);
        detail::complete(end->connecting, {});
        acceptor->offer(std::move(other));
    });
}

} // namespace tern::testing
