// An in-memory stream of bytes with two ends, to be used in the place of a TCP connection.
//
// The bytes walk through two wires (detail/pipe_wire.hpp); here they meet Asio: handlers, executors,
// cancellation. Nothing completes inside the call that started it.
#pragma once

#include "tern/testing/detail/pipe_wire.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern::testing {

namespace detail {

// The handler together with its results; executor and allocator are still the handler's.
template <class Handler, class Executor, bool HasSize>
struct pipe_completion {
    using executor_type = asio::associated_executor_t<Handler, Executor>;
    using allocator_type = asio::associated_allocator_t<Handler>;

    executor_type get_executor() const noexcept { return asio::get_associated_executor(handler, executor); }
    allocator_type get_allocator() const noexcept { return asio::get_associated_allocator(handler); }
    void operator()() {
        asio::get_associated_cancellation_slot(handler).clear();
        if constexpr (HasSize)
            std::move(handler)(error, size);
        else
            std::move(handler)(error);
    }

    Handler handler;
    Executor executor;
    std::error_code error = {};
    std::size_t size = 0;
};

template <class Handler, class Executor, bool HasSize>
class pipe_operation_of final : public pipe_operation {
public:
    pipe_operation_of(Handler handler, const Executor& executor)
        : completion_{std::move(handler), executor}
        , io_work_(executor)
        , work_(completion_.get_executor()) {}

    void complete(pipe_outcome outcome, std::size_t size) override {
        completion_.error = to_error(outcome);
        completion_.size = size;
        auto completion = std::move(completion_);
        auto io_work = std::move(io_work_);
        auto work = std::move(work_);
        delete this;
        const auto executor = completion.executor;
        asio::post(executor, std::move(completion));
    }

private:
    static std::error_code to_error(pipe_outcome outcome) noexcept {
        switch (outcome) {
        case pipe_outcome::success: break;
        case pipe_outcome::end_of_file: return asio::error::eof;
        case pipe_outcome::aborted: return asio::error::operation_aborted;
        case pipe_outcome::broken: return asio::error::broken_pipe;
        case pipe_outcome::refused: return asio::error::connection_refused;
        case pipe_outcome::not_connected: return asio::error::not_connected;
        case pipe_outcome::already_in_use: return asio::error::already_started;
        }
        return {};
    }

    pipe_completion<Handler, Executor, HasSize> completion_;
    asio::executor_work_guard<Executor> io_work_;
    asio::executor_work_guard<asio::associated_executor_t<Handler, Executor>> work_;
};

// Lets an execution context that ends destroy the handlers that wait, as it does for those of sockets: a
// coroutine that owns a pipe and waits for it could not be freed otherwise.
class pipe_service : public asio::execution_context::service {
public:
    using key_type = pipe_service;
    static inline asio::execution_context::id id;

    explicit pipe_service(asio::execution_context& context) : asio::execution_context::service(context) {}

    template <class Executor>
    static std::shared_ptr<pipe_end> make_end(const Executor& executor) {
        auto end = std::make_shared<pipe_end>();
        adopt(executor, end);
        return end;
    }
    template <class Executor>
    static void adopt(const Executor& executor, const std::shared_ptr<pipe_end>& end) {
        auto& service = asio::use_service<pipe_service>(asio::query(executor, asio::execution::context));
        const std::lock_guard lock(service.mutex_);
        std::erase_if(service.ends_, [](const auto& each) { return each.expired(); });
        service.ends_.push_back(end);
    }

private:
    void shutdown() override {
        for (const auto& each : std::exchange(ends_, {}))
            if (const auto end = each.lock()) end->abandon();
    }

    std::mutex mutex_;
    std::vector<std::weak_ptr<pipe_end>> ends_;
};

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
        , end_(detail::pipe_service::make_end(executor)) {}

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

    /// Completes with `void(std::error_code, std::size_t)`: every host has one address.
    template <class CompletionToken>
    auto async_resolve(std::string_view /*host*/, std::uint16_t /*port*/, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code, std::size_t)>(
            [this](auto handler) {
                begin(make<true>(std::move(handler)), [](const std::shared_ptr<detail::pipe_end>& end) {
                    detail::complete(end->connecting, detail::pipe_outcome::success, 1);
                });
            },
            token);
    }

    /// Connects to the listener; no host needs to be resolved before. Completes with `void(std::error_code)`;
    /// `asio::error::connection_refused` if the listener is closed, or the address is not 0.
    template <class CompletionToken>
    auto async_connect(std::size_t address, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code)>(
            [this, address](auto handler) { connect(address, make<false>(std::move(handler))); }, token);
    }

    /// Completes with `void(std::error_code, std::size_t)`; `asio::error::eof` when the other end has been
    /// closed and all has been read.
    template <class CompletionToken>
    auto async_read_some(asio::mutable_buffer buffer, CompletionToken&& token) {
        return asio::async_initiate<CompletionToken, void(std::error_code, std::size_t)>(
            [this, buffer](auto handler) {
                connect_slot(handler, &detail::pipe_end::cancel_read);
                auto operation = make<true>(std::move(handler));
                operation->read_into = {static_cast<char*>(buffer.data()), buffer.size()};
                if (!end_->in) return detail::complete(operation, detail::pipe_outcome::not_connected);
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
                connect_slot(handler, &detail::pipe_end::cancel_write);
                auto operation = make<true>(std::move(handler));
                const auto end = asio::buffer_sequence_end(buffers);
                for (auto i = asio::buffer_sequence_begin(buffers); i != end; ++i) {
                    const asio::const_buffer part = *i;
                    operation->write_from.emplace_back(static_cast<const char*>(part.data()), part.size());
                }
                if (!end_->out) return detail::complete(operation, detail::pipe_outcome::not_connected);
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
        std::pair<basic_pipe, basic_pipe> ends{
            basic_pipe(executor, detail::pipe_service::make_end(executor)),
            basic_pipe(executor, detail::pipe_service::make_end(executor))};
        ends.first.end_->join(*ends.second.end_, options);
        return ends;
    }

private:
    friend struct detail::pipe_acceptor;

    basic_pipe(const executor_type& executor, std::shared_ptr<detail::pipe_end> end)
        : executor_(executor)
        , end_(std::move(end)) {}

    template <bool HasSize, class Handler>
    detail::pipe_operation_ptr make(Handler handler) {
        return std::make_unique<detail::pipe_operation_of<Handler, Executor, HasSize>>(std::move(handler),
                                                                                       executor_);
    }

    template <class Handler>
    void connect_slot(const Handler& handler, void (detail::pipe_end::*cancel)() const) {
        auto slot = asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected()) {
            slot.assign([end = std::weak_ptr(end_), cancel](asio::cancellation_type_t) {
                if (const auto alive = end.lock()) (*alive.*cancel)();
            });
        }
    }

    template <class Step>
    void begin(detail::pipe_operation_ptr operation, Step step);
    void connect(std::size_t address, detail::pipe_operation_ptr operation);

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
            pipe_service::adopt(self->executor, end);
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

// Names are resolved and connections made in a step of its own, so that close() can come between, as with real
// ones.
template <class Executor>
template <class Step>
void basic_pipe<Executor>::begin(detail::pipe_operation_ptr operation, Step step) {
    if (end_->in || end_->connecting)
        return detail::complete(operation, detail::pipe_outcome::already_in_use);
    end_->connecting = std::move(operation);
    asio::post(executor_, [end = end_, attempt = ++end_->attempt, step = std::move(step)] {
        if (end->connecting && end->attempt == attempt) step(end);
    });
}

template <class Executor>
void basic_pipe<Executor>::connect(std::size_t address, detail::pipe_operation_ptr operation) {
    begin(std::move(operation),
          [address, acceptor = acceptor_, options = options_](const std::shared_ptr<detail::pipe_end>& end) {
              if (address != 0 || !acceptor || !acceptor->open)
                  return detail::complete(end->connecting, detail::pipe_outcome::refused);
              auto other = std::make_shared<detail::pipe_end>();
              end->join(*other, options);
              detail::complete(end->connecting, detail::pipe_outcome::success);
              acceptor->offer(std::move(other));
          });
}

} // namespace tern::testing
