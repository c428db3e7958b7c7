// A pending asynchronous operation: the handler of a user, type-erased, with room for its result.
#pragma once

#include "tern/client/detail/operations/operation_pool.hpp"

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tern {
struct received_message;
}

namespace tern::detail {

/// Where an operation is until its handler is called.
enum class location : std::uint8_t {
    none,       ///< it is new: the engine has not added it yet
    slot,       ///< in the slot `operation::slot`: the session knows it by an id
    connect,    ///< it waits for the first connection
    disconnect, ///< it waits for the end of the connection
    receive,    ///< it waits for a message
    next_event, ///< it waits for a connection event
    done,       ///< it has ended, and its handler waits to be called
};

/// What the engine knows of every operation. It lies in a list, or in a slot of the engine.
struct operation {
    operation* next = nullptr;
    void (*finish)(operation*, bool deliver) = nullptr; // instead of virtual functions: it frees the memory
    std::error_code error;
    std::uint32_t slot = 0; // if that is where it is
    location where = location::none;
    bool takes_acknowledgement = false; // its result is an `acknowledgement`
    bool is_batch = false;              // it waits for several messages
    bool has_result = false;

    /// Frees the operation, then calls the handler on its executor. To be called on the client's.
    void deliver() { finish(this, true); }
    /// Frees the operation and its handler, which is never called.
    void destroy() { finish(this, false); }

protected:
    operation() = default;
    ~operation() = default;
};

// Where the messages go of an operation that counts them.
template <class... Result>
struct batch_target {};
template <>
struct batch_target<std::size_t> {
    std::span<received_message> target;
};

/// Has room for a result. Most operations end well and there is nothing to say, so it is made only when it is used.
template <class... Result>
class operation_of : public operation, public batch_target<Result...> {
public:
    /// The result, or the first of its values.
    auto& result() {
        if (!has_result) {
            ::new (static_cast<void*>(&result_)) std::tuple<Result...>();
            has_result = true;
        }
        return std::get<0>(result_);
    }

protected:
    operation_of() noexcept {} // NOLINT(modernize-use-equals-default): the result is not made
    ~operation_of() {
        if (has_result) std::destroy_at(&result_);
    }

    std::tuple<Result...> take_result() { return has_result ? std::move(result_) : std::tuple<Result...>(); }

private:
    union {
        std::tuple<Result...> result_;
    };
};

/// Owns an operation until the engine takes it.
struct destroy_operation {
    void operator()(operation* op) const noexcept { op->destroy(); }
};
template <class Operation>
using operation_ptr = std::unique_ptr<Operation, destroy_operation>;

/// The client's executor is what its handlers run on, unless they have another one.
template <class Handler, class Executor, class... Result>
class operation_for final : public operation_of<Result...> {
public:
    /// When the handler's cancellation slot is asked to, `engine.cancel` is called.
    template <class Engine>
    static operation_ptr<operation_of<Result...>> make(Handler handler, Engine& engine) {
        auto allocator = allocator_for(handler, engine.pool());
        // Frees the memory if the handler cannot be moved into it.
        const auto free = [&allocator](operation_for* p) {
            std::allocator_traits<decltype(allocator)>::deallocate(allocator, p, 1);
        };
        std::unique_ptr<operation_for, decltype(free)> room(
            std::allocator_traits<decltype(allocator)>::allocate(allocator, 1), free);
        ::new (static_cast<void*>(room.get())) operation_for(std::move(handler), engine);
        operation_ptr<operation_of<Result...>> op(room.release());
        auto slot = asio::get_associated_cancellation_slot(static_cast<operation_for&>(*op).handler_);
        if (slot.is_connected()) {
            operation* const base = op.get();
            slot.assign([&engine, base](asio::cancellation_type) { engine.cancel(base); });
        }
        return op;
    }

private:
    using handler_executor = asio::associated_executor_t<Handler, Executor>;

    // Most handlers have no executor of their own.
    static constexpr bool is_at_home = requires {
        typename asio::associated_executor<Handler, Executor>::asio_associated_executor_is_unspecialised;
    };
    struct nowhere {};
    using other_place = std::conditional_t<is_at_home, nowhere, asio::executor_work_guard<handler_executor>>;

    // What is dispatched: the handler and its arguments.
    struct completion {
        using allocator_type = asio::associated_allocator_t<Handler>;
        allocator_type get_allocator() const noexcept { return asio::get_associated_allocator(handler); }

        Handler handler;
        std::error_code error;
        std::tuple<Result...> result;

        void operator()() {
            std::apply([this](Result&... values) { std::move(handler)(error, std::move(values)...); },
                       result);
        }
    };

    template <class Engine>
    operation_for(Handler&& handler, Engine& engine) : handler_(std::move(handler))
                                                     , memory_(engine.pool()) {
        this->finish = &operation_for::finish_op;
        if constexpr (!is_at_home) {
            const Executor executor = engine.get_executor();
            const handler_executor own = asio::get_associated_executor(handler_, executor);
            if constexpr (std::is_same_v<handler_executor, Executor>)
                if (own == executor) return;
            elsewhere_.emplace(own);
        }
    }
    ~operation_for() = default;

    static auto allocator_for(const Handler& handler, operation_pool& memory) {
        using own = pool_allocator<void, operation_pool*>;
        using allocator = asio::associated_allocator_t<Handler, own>;
        return typename std::allocator_traits<allocator>::template rebind_alloc<operation_for>(
            asio::get_associated_allocator(handler, own(&memory)));
    }

    static void finish_op(operation* base, bool deliver) {
        auto* const op = static_cast<operation_for*>(base);
        auto slot = asio::get_associated_cancellation_slot(op->handler_);
        if (slot.is_connected()) slot.clear();
        completion done{std::move(op->handler_), op->error, op->take_result()};
        const std::optional<other_place> elsewhere = std::move(op->elsewhere_);
        auto allocator = allocator_for(done.handler, op->memory_);
        op->~operation_for();
        std::allocator_traits<decltype(allocator)>::deallocate(allocator, op, 1);
        if (!deliver) return;
        if constexpr (!is_at_home)
            if (elsewhere) return asio::dispatch(elsewhere->get_executor(), std::move(done));
        done();
    }

    Handler handler_;
    operation_pool& memory_;
    std::optional<other_place> elsewhere_; // there is work to do, too
};

/// Operations in the order of their coming.
class operation_list {
public:
    bool empty() const noexcept { return first_ == nullptr; }
    operation* front() const noexcept { return first_; }

    void push_back(operation* op) noexcept {
        op->next = nullptr;
        *last_ = op;
        last_ = &op->next;
    }

    operation* pop_front() noexcept {
        operation* const op = first_;
        first_ = op->next;
        if (!first_) last_ = &first_;
        return op;
    }

    void remove(operation* op) noexcept {
        operation** link = &first_;
        while (*link != op)
            link = &(*link)->next;
        *link = op->next;
        if (last_ == &op->next) last_ = link;
    }

    operation_list() = default;
    operation_list(const operation_list&) = delete;
    operation_list& operator=(const operation_list&) = delete;
    ~operation_list() = default;

private:
    operation* first_ = nullptr;
    operation** last_ = &first_;
};

} // namespace tern::detail
