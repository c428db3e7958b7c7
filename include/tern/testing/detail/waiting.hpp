// A pending asynchronous operation with its type-erased handler.
//
// A handler is always posted, never called directly, with its own executor, allocator and cancellation slot.
#pragma once

#include "tern/transport/requirements.hpp"

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::testing::detail {

class waiting {
public:
    virtual ~waiting() = default;
    // Frees the operation, then posts its handler.
    virtual void complete(std::error_code error, std::size_t size) = 0;

    std::span<char> read_into;
    std::vector<std::string_view> write_from;
};

using waiting_ptr = std::unique_ptr<waiting>;

inline void complete(waiting_ptr& operation, std::error_code error, std::size_t size = 0) {
    if (operation) operation.release()->complete(error, size);
}

// The handler together with its results. It has the executor and the allocator of the handler.
template <class Handler, class Executor, bool HasSize>
struct completion {
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
class waiting_of final : public waiting {
public:
    waiting_of(Handler handler, const Executor& executor)
        : completion_{std::move(handler), executor}
        , io_work_(executor)
        , work_(completion_.get_executor()) {}

    void complete(std::error_code error, std::size_t size) override {
        completion_.error = error;
        completion_.size = size;
        auto done = std::move(completion_);
        auto io_work = std::move(io_work_);
        auto work = std::move(work_);
        delete this;
        const auto executor = done.executor;
        asio::post(executor, std::move(done));
    }

private:
    completion<Handler, Executor, HasSize> completion_;
    asio::executor_work_guard<Executor> io_work_;
    asio::executor_work_guard<asio::associated_executor_t<Handler, Executor>> work_;
};

// Serves the signatures `void(std::error_code)` and `void(std::error_code, std::size_t)`.
template <bool HasSize, class Handler, class Executor>
waiting_ptr make_waiting(Handler handler, const Executor& executor) {
    return std::make_unique<waiting_of<Handler, Executor, HasSize>>(std::move(handler), executor);
}

// Calls `cancel` on the object of `alive`, if it still exists, when the handler's cancellation slot is signalled.
template <class Handler, class Alive, class Cancel>
void connect_slot(const Handler& handler, const std::shared_ptr<Alive>& alive, Cancel cancel) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (!slot.is_connected()) return;
    slot.assign([weak = std::weak_ptr(alive), cancel](asio::cancellation_type_t) {
        if (const auto strong = weak.lock()) cancel(*strong);
    });
}

// An object that holds pending operations.
class waiting_place {
public:
    virtual ~waiting_place() = default;
    // Destroys the pending operations of this context without completing them.
    virtual void abandon(asio::execution_context& context) = 0;
};

// Lets an execution context destroy pending handlers when it shuts down, as it does with those of sockets.
// Otherwise a coroutine that owns a link and waits for it would leak.
class waiting_service : public asio::execution_context::service {
public:
    using key_type = waiting_service;
    static inline asio::execution_context::id id;

    explicit waiting_service(asio::execution_context& context) : asio::execution_context::service(context) {}

    template <class Executor>
    static asio::execution_context& context_of(const Executor& executor) {
        return asio::query(executor, asio::execution::context);
    }
    template <class Executor>
    static void adopt(const Executor& executor, const std::shared_ptr<waiting_place>& place) {
        auto& service = asio::use_service<waiting_service>(context_of(executor));
        const std::lock_guard lock(service.mutex_);
        const auto needless = [&](const auto& each) {
            return each.expired() || (!each.owner_before(place) && !place.owner_before(each));
        };
        std::erase_if(service.places_, needless);
        service.places_.push_back(place);
    }

private:
    void shutdown() override {
        for (const auto& each : std::exchange(places_, {}))
            if (const auto place = each.lock()) place->abandon(context());
    }

    std::mutex mutex_;
    std::vector<std::weak_ptr<waiting_place>> places_;
};

} // namespace tern::testing::detail
