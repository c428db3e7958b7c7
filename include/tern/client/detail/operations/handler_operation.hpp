// An operation with the handler of a user.
//
// The compiler instantiates all of this for each handler, so it uses few templates. This header determines the code
// size of each callback in a program.
#pragma once

#include "tern/client/detail/operations/operation.hpp"

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>
#if __has_include(<asio/associated_immediate_executor.hpp>)
#include <asio/associated_immediate_executor.hpp>
#include <asio/bind_executor.hpp>
#endif

#include <memory>
#include <new>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern::detail {

/// The function object that a cancellation slot calls. All operations of an engine share one type.
template <class Engine>
struct canceller {
    Engine* engine;
    operation* op;

    void operator()(asio::cancellation_type type) const {
        const auto inside = engine->enter();
        if (type != asio::cancellation_type::none) engine->cancel(op);
    }
};

/// An operation whose handler runs on the client's executor, unless the handler has another one.
template <class Handler, class Executor, class... Result>
class handler_operation final : public operation_of<Result...> {
    using client_allocator = pool_allocator<void>;
    using handler_allocator = asio::associated_allocator_t<Handler, client_allocator>;
    using handler_executor = asio::associated_executor_t<Handler, Executor>;

    // Most handlers are plain functions without an allocator, a cancellation slot or an executor of their own.
    static constexpr bool is_cancellable = !requires {
        typename asio::associated_cancellation_slot<
            Handler, asio::cancellation_slot>::asio_associated_cancellation_slot_is_unspecialised;
    };
    static constexpr bool uses_client_executor =
        requires { typename asio::associated_executor<Handler, Executor>::asio_associated_executor_is_unspecialised; };

public:
#if __has_include(<asio/associated_immediate_executor.hpp>)
    /// Whether the handler has an executor of its own for an operation that completes in its initiation.
    static constexpr bool has_immediate_executor = !requires {
        typename asio::associated_immediate_executor<Handler,
                                                     Executor>::asio_associated_immediate_executor_is_unspecialised;
    };

    /// Frees an operation that has completed in its initiation, then calls its handler on the immediate executor, and
    /// from there on the handler's own executor, if it has one.
    static void deliver_at_once(operation* base, const Executor& executor) {
        auto* const op = static_cast<handler_operation*>(base);
        clear_slot(op->handler_);
        const auto immediate = asio::get_associated_immediate_executor(op->handler_, executor);
        [[maybe_unused]] const handler_executor own = asio::get_associated_executor(op->handler_, executor);
        [[maybe_unused]] const executor_guard guard(std::move(op->executor_guard_)); // until the handler is dispatched
        completion ended{std::move(op->handler_), op->error, op->take_result()};
        free(op, ended.handler);
        if constexpr (uses_client_executor)
            asio::dispatch(immediate, std::move(ended));
        else
            asio::dispatch(immediate, asio::bind_executor(own, std::move(ended)));
    }
#else
    static constexpr bool has_immediate_executor = false;
#endif

    /// Makes an operation. A signal to the handler's cancellation slot calls `engine.cancel`.
    template <class Engine>
    static operation_ptr<operation_of<Result...>> make(Handler handler, Engine& engine) {
        operation_pool& pool = engine.pool();
        handler_operation* made = nullptr;
        if constexpr (uses_client_pool()) {
            pool_block block(pool, sizeof(handler_operation));
            made = ::new (block.get()) handler_operation(std::move(handler), engine, pool);
            block.release();
        } else {
            made = make_with_allocator(std::move(handler), engine, pool);
        }
        operation_ptr<operation_of<Result...>> op(made);
        if constexpr (is_cancellable) {
            auto slot = asio::get_associated_cancellation_slot(made->handler_);
            if (slot.is_connected()) slot.assign(canceller<Engine>{&engine, made});
        }
        return op;
    }

private:
    using result_type = typename operation_of<Result...>::result_type;
    struct no_guard {};
    using executor_guard =
        std::conditional_t<uses_client_executor, no_guard, std::optional<asio::executor_work_guard<handler_executor>>>;

    // The function object for another executor: the handler and its arguments.
    struct completion {
        using allocator_type = asio::associated_allocator_t<Handler>;
        allocator_type get_allocator() const noexcept { return asio::get_associated_allocator(handler); }

        Handler handler;
        std::error_code error;
        result_type result;

        void operator()() { call(handler, error, result); }
    };

    template <class Engine>
    handler_operation(Handler&& handler, [[maybe_unused]] Engine& engine, operation_pool& pool)
        : handler_(std::move(handler))
        , pool_(pool) {
        handler_operation::finish = &handler_operation::finish_operation;
        if constexpr (!uses_client_executor) {
            const Executor executor = engine.get_executor();
            [[maybe_unused]] const handler_executor own = asio::get_associated_executor(handler_, executor);
            if constexpr (std::is_same_v<handler_executor, Executor>)
                if (own == executor) return;
            executor_guard_.emplace(own);
        }
    }
    ~handler_operation() = default;

    static constexpr bool uses_client_pool() noexcept {
        return std::is_same_v<handler_allocator, client_allocator> && has_usual_alignment<handler_operation>;
    }
    template <class Engine>
    static handler_operation* make_with_allocator(Handler&& handler, Engine& engine, operation_pool& pool) {
        auto allocator = allocator_of(handler, pool);
        const auto free = [&allocator](handler_operation* p) { allocator.deallocate(p, 1); };
        std::unique_ptr<handler_operation, decltype(free)> memory(allocator.allocate(1), free);
        ::new (static_cast<void*>(memory.get())) handler_operation(std::move(handler), engine, pool);
        return memory.release();
    }
    static auto allocator_of(const Handler& handler, operation_pool& pool) {
        return typename std::allocator_traits<handler_allocator>::template rebind_alloc<handler_operation>(
            asio::get_associated_allocator(handler, client_allocator(&pool)));
    }

    static void finish_operation(operation* base, finish_action action) {
        auto* const op = static_cast<handler_operation*>(base);
        clear_slot(op->handler_);
        Handler handler(std::move(op->handler_));
        const std::error_code error = op->error;
        result_type result(op->take_result());
        [[maybe_unused]] const executor_guard guard(std::move(op->executor_guard_));
        free(op, handler);
        if (action == finish_action::drop_handler) return;
        if constexpr (!uses_client_executor)
            if (guard)
                return asio::dispatch(guard->get_executor(), completion{std::move(handler), error, std::move(result)});
        call(handler, error, result);
    }

    static void clear_slot([[maybe_unused]] const Handler& handler) noexcept {
        if constexpr (is_cancellable) {
            auto slot = asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) slot.clear();
        }
    }
    // The handler has been moved out of the operation.
    static void free(handler_operation* op, [[maybe_unused]] const Handler& handler) noexcept {
        operation_pool& pool = op->pool_;
        op->~handler_operation();
        if constexpr (uses_client_pool())
            pool.deallocate(op, sizeof(handler_operation));
        else
            allocator_of(handler, pool).deallocate(op, 1);
    }

    static void call(Handler& handler, std::error_code error, no_result) { std::move(handler)(error); }
    template <class Value>
    static void call(Handler& handler, std::error_code error, Value& result) {
        std::move(handler)(error, std::move(result));
    }

    Handler handler_;
    operation_pool& pool_;
    [[no_unique_address]] executor_guard executor_guard_; // set if it differs from the client's; counts as its work
};

} // namespace tern::detail
