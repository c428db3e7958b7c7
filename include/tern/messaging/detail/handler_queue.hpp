// Operations of a router: each waits in a list of its owner, then in the list of those that have ended. From there the
// router's pump calls their handlers, on the client's executor.
//
//     waiting --ended, cancelled--> ended --the pump--> handler called
//
// Moving between the lists allocates nothing.
#pragma once

#include "tern/messaging/subscription_message.hpp"

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern::detail {

class waiting_handler;

/// The owner of waiting operations.
class handler_owner {
public:
    handler_owner() = default;
    handler_owner(const handler_owner&) = delete;
    handler_owner& operator=(const handler_owner&) = delete;

    /// The handler's cancellation slot was signalled. If this throws `std::bad_alloc`, nothing is cancelled.
    virtual void cancel(waiting_handler& op) = 0;

protected:
    ~handler_owner() = default;
};

/// An operation without its result.
class waiting_handler {
public:
    waiting_handler* next = nullptr;
    waiting_handler* previous = nullptr;
    handler_owner* owner = nullptr; // null: it has ended
    bool is_batch = false;          // it waits for several messages
    std::uint64_t number = 0;       // by which its owner knows it
    std::error_code error;

    waiting_handler() = default;
    waiting_handler(const waiting_handler&) = delete;
    waiting_handler& operator=(const waiting_handler&) = delete;

    /// Frees the operation, then calls the handler on its executor.
    virtual void finish() = 0;
    /// Frees the operation and its handler.
    virtual void drop() noexcept = 0;

protected:
    ~waiting_handler() = default;
};

/// What an operation keeps while it waits.
template <class Result>
struct waiting_arguments {};
/// The result is the number of messages that this span receives.
template <>
struct waiting_arguments<std::size_t> {
    std::span<subscription_message> target;
};

/// An operation with its result.
template <class Result>
class waiting_for : public waiting_handler, public waiting_arguments<Result> {
public:
    Result result{};

protected:
    ~waiting_for() = default;
};

/// Frees an operation that was not started.
struct drop_waiting {
    void operator()(waiting_handler* op) const noexcept { op->drop(); }
};
template <class Result>
using waiting_ptr = std::unique_ptr<waiting_for<Result>, drop_waiting>;

/// A list of operations.
class handler_list {
public:
    handler_list() = default;
    handler_list(const handler_list&) = delete;
    handler_list& operator=(const handler_list&) = delete;
    ~handler_list() = default;

    bool empty() const noexcept { return !first_; }
    waiting_handler* front() const noexcept { return first_; }
    void push_back(waiting_handler& op) noexcept {
        op.next = nullptr;
        op.previous = last_;
        (last_ ? last_->next : first_) = &op;
        last_ = &op;
    }
    void remove(waiting_handler& op) noexcept {
        (op.previous ? op.previous->next : first_) = op.next;
        (op.next ? op.next->previous : last_) = op.previous;
    }
    waiting_handler* pop_front() noexcept {
        waiting_handler* const op = first_;
        if (op) remove(*op);
        return op;
    }

private:
    waiting_handler* first_ = nullptr;
    waiting_handler* last_ = nullptr;
};

/// An operation with its handler. The executor has work as long as it waits.
template <class Handler, class Executor, class Result>
class handler_holder final : public waiting_for<Result> {
    using handler_executor = asio::associated_executor_t<Handler, Executor>;
    using allocator =
        typename std::allocator_traits<asio::associated_allocator_t<Handler>>::template rebind_alloc<handler_holder>;

public:
    static waiting_ptr<Result> make(Handler&& handler, const Executor& executor) {
        allocator memory(asio::get_associated_allocator(handler));
        handler_holder* const op = memory.allocate(1);
        try {
            ::new (static_cast<void*>(op)) handler_holder(std::move(handler), executor);
        } catch (...) {
            memory.deallocate(op, 1);
            throw;
        }
        waiting_ptr<Result> made(op);
        auto slot = asio::get_associated_cancellation_slot(op->handler_);
        if (slot.is_connected())
            slot.assign([op](asio::cancellation_type type) {
                if (type != asio::cancellation_type::none && op->owner) op->owner->cancel(*op);
            });
        return made;
    }

    void finish() override {
        clear_slot();
        Handler handler(std::move(handler_));
        const std::error_code ended_with = this->error;
        Result taken(std::move(this->result));
        const auto work = std::move(work_);
        const auto client_work = std::move(client_work_);
        free(handler);
        if constexpr (std::is_same_v<handler_executor, Executor>) // the pump runs on the client's, and needs no memory
            if (work.get_executor() == client_work.get_executor())
                return std::move(handler)(ended_with, std::move(taken));
        asio::dispatch(work.get_executor(), completion{std::move(handler), ended_with, std::move(taken)});
    }
    void drop() noexcept override {
        clear_slot();
        const Handler handler(std::move(handler_)); // destroyed after the operation: it may own what owns that
        free(handler);
    }

private:
    // The handler and its arguments.
    struct completion {
        using allocator_type = asio::associated_allocator_t<Handler>;
        allocator_type get_allocator() const noexcept { return asio::get_associated_allocator(handler); }
        void operator()() { std::move(handler)(error, std::move(result)); }

        Handler handler;
        std::error_code error;
        Result result;
    };

    handler_holder(Handler&& handler, const Executor& executor)
        : handler_(std::move(handler))
        , work_(asio::get_associated_executor(handler_, executor))
        , client_work_(executor) {}
    ~handler_holder() = default;

    void clear_slot() noexcept {
        auto slot = asio::get_associated_cancellation_slot(handler_);
        if (slot.is_connected()) slot.clear();
    }
    // The handler has been moved out of it.
    void free(const Handler& handler) noexcept {
        allocator memory(asio::get_associated_allocator(handler));
        this->~handler_holder();
        memory.deallocate(this, 1);
    }

    Handler handler_;
    asio::executor_work_guard<handler_executor> work_;
    asio::executor_work_guard<Executor> client_work_;
};

/// Starts an operation: `begin(operation, arguments...)`, where the operation is a `waiting_ptr<Result>`.
template <class Executor, class Result, class Begin>
struct router_initiation {
    using executor_type = Executor;
    executor_type get_executor() const noexcept { return executor; }

    template <class Handler, class... Argument>
    void operator()(Handler&& handler, Argument&&... arguments) const {
        using holder = handler_holder<std::decay_t<Handler>, Executor, Result>;
        begin(holder::make(std::decay_t<Handler>(std::forward<Handler>(handler)), executor),
              std::forward<Argument>(arguments)...);
    }

    Executor executor;
    Begin begin;
};

} // namespace tern::detail
