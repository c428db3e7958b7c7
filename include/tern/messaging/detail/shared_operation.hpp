// An operation of a shared client: from the call in any thread, over the strand of the client, to the handler's
// executor.
//
//     new --start, on the strand--> begun --the client's operation has completed--> finished --posted--> delivered
//     new --the client is destroyed--> finished
//
// One block of memory holds the handler from the first to the last state. It is freed before the handler is called.
#pragma once

#include "tern/message.hpp"
#include "tern/messaging/detail/remote_cancellation.hpp"
#include "tern/session/options.hpp"

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>
#include <asio/recycling_allocator.hpp>
#include <asio/system_context.hpp>

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tern::detail {

/// A request of another thread, until the strand starts it. Each function ends the life of the request.
template <class Core>
class shared_request {
public:
    /// Starts it, on the strand. The message is that of its record.
    virtual void start(Core& core, const message_view& message, const publish_options& options) = 0;
    /// Ends it without starting it. May throw if the executor of its handler does.
    virtual void refuse(std::error_code error) = 0;
    /// Frees it. Its handler is not called.
    virtual void discard() noexcept = 0;

    shared_request() = default;
    shared_request(const shared_request&) = delete;
    shared_request& operator=(const shared_request&) = delete;

protected:
    ~shared_request() = default;
};

/// Whether the result of an operation is wanted when its handler is about to be called.
enum class delivery_state : std::uint8_t {
    wanted,
    cancelled, ///< The operation was cancelled while its result was on its way to the handler.
};

/// Whether an executor has a context other than the system's.
template <class Executor>
constexpr bool has_execution_context() {
    if constexpr (asio::can_query_v<Executor, asio::execution::context_t>)
        return !std::is_same_v<
            std::decay_t<decltype(asio::query(std::declval<const Executor&>(), asio::execution::context))>,
            asio::system_context>;
    else
        return false;
}

struct discard_request {
    template <class Request>
    void operator()(Request* r) const noexcept {
        r->discard();
    }
};
/// Owns a request until it is queued.
template <class Request>
using request_ptr = std::unique_ptr<Request, discard_request>;

/// An operation with the handler of a user. `Start` starts it on the strand: `start(core, operation, message,
/// options)`. It begins an operation of the client, or finishes this one. It may have a function
/// `before_handler(result, state)`, which is called just before the handler.
template <class Core, class Handler, class Start, class... Result>
class shared_operation final : public shared_request<Core> {
    using default_executor = typename Core::default_executor;
    using handler_executor = asio::associated_executor_t<Handler, default_executor>;
    using handler_allocator = asio::associated_allocator_t<Handler, asio::recycling_allocator<void>>;
    using cancellation = remote_cancellation<typename Core::executor_type>;

    // An executor without a context of its own, as that of a future, would post to hidden threads of the system. The
    // client's default executor calls such a handler.
    static constexpr bool has_own_threads = has_execution_context<handler_executor>();
    struct nothing {
        explicit nothing(const default_executor&) {}
    };

public:
    static request_ptr<shared_operation> make(Core& core, Handler handler, Start start) {
        auto allocator = allocator_of(handler);
        const auto release = [&allocator](shared_operation* p) { allocator.deallocate(p, 1); };
        std::unique_ptr<shared_operation, decltype(release)> memory(allocator.allocate(1), release);
        auto* const op =
            ::new (static_cast<void*>(memory.get())) shared_operation(std::move(handler), std::move(start), core);
        memory.release();
        request_ptr<shared_operation> owner(op);
        const auto slot = asio::get_associated_cancellation_slot(op->handler_);
        if (slot.is_connected()) op->watch(slot, core);
        return owner;
    }

    void start(Core& core, const message_view& message, const publish_options& options) override {
        if (cancellation_ && cancellation_->is_requested()) return refuse(asio::error::operation_aborted);
        start_(core, *this, message, options);
    }
    void refuse(std::error_code error) override { finish(error, Result()...); }

    /// The handler of an operation of the client. It finishes this one.
    class inner_handler {
    public:
        using cancellation_slot_type = asio::cancellation_slot;

        explicit inner_handler(shared_operation* op) noexcept : op_(op) {}
        inner_handler(inner_handler&& other) noexcept : op_(std::exchange(other.op_, nullptr)) {}
        inner_handler& operator=(inner_handler&&) = delete;
        ~inner_handler() {
            // If an exception has left `begin`, that function finishes the operation.
            if (op_ && op_->phase_ == phase::begun) op_->discard();
        }

        cancellation_slot_type get_cancellation_slot() const noexcept { return op_->cancellation_slot(); }
        void operator()(std::error_code error, Result... result) {
            std::exchange(op_, nullptr)->finish(error, std::move(result)...);
        }

    private:
        shared_operation* op_;
    };

    /// Begins an operation of the client: calls `initiate` with its handler.
    template <class Initiate>
    void begin(Initiate initiate) {
        phase_ = phase::beginning;
        try {
            initiate(inner_handler(this));
        } catch (const std::bad_alloc&) {
            return refuse(std::make_error_code(std::errc::not_enough_memory));
        }
        phase_ = phase::begun; // the client completes no operation in the call that starts it
    }
    /// Completes: the handler is called on its own executor.
    void finish(std::error_code error, Result... result) {
        result_ = {error, std::move(result)...};
        if constexpr (has_own_threads)
            asio::post(work_.get_executor(), delivery(this));
        else
            asio::post(default_executor_, delivery(this));
    }
    asio::cancellation_slot cancellation_slot() noexcept {
        return cancellation_ ? cancellation_->slot() : asio::cancellation_slot();
    }
    void discard() noexcept override {
        if (cancellation_) asio::get_associated_cancellation_slot(handler_).clear();
        [[maybe_unused]] const Handler handler(std::move(handler_));
        free(this, handler);
    }

private:
    enum class phase : std::uint8_t {
        beginning, ///< The strand starts it.
        begun,     ///< The client has it.
    };

    // The function that the handler's executor calls.
    class delivery {
    public:
        using allocator_type = handler_allocator;

        explicit delivery(shared_operation* op) noexcept : op_(op) {}
        delivery(delivery&& other) noexcept : op_(std::exchange(other.op_, nullptr)) {}
        delivery& operator=(delivery&&) = delete;
        ~delivery() {
            if (op_) op_->discard();
        }

        allocator_type get_allocator() const noexcept {
            return asio::get_associated_allocator(op_->handler_, asio::recycling_allocator<void>());
        }
        void operator()() { std::exchange(op_, nullptr)->deliver(); }

    private:
        shared_operation* op_;
    };

    static auto allocator_of(const Handler& handler) noexcept {
        return typename std::allocator_traits<handler_allocator>::template rebind_alloc<shared_operation>(
            asio::get_associated_allocator(handler, asio::recycling_allocator<void>()));
    }

    shared_operation(Handler&& handler, Start&& start, Core& core)
        : handler_(std::move(handler))
        , start_(std::move(start))
        , default_executor_(core.get_default_executor())
        , work_(asio::get_associated_executor(handler_, core.get_default_executor())) {}
    ~shared_operation() = default;

    template <class Slot>
    void watch(Slot slot, Core& core) {
        cancellation_ = std::make_shared<cancellation>(core.get_executor());
        slot.assign(typename cancellation::request{cancellation_});
    }

    // On the handler's executor, as the signals of its cancellation slot are.
    void deliver() {
        if (cancellation_) {
            asio::get_associated_cancellation_slot(handler_).clear();
        }
        prepare_result();
        Handler handler(std::move(handler_));
        std::tuple<std::error_code, Result...> result(std::move(result_));
        const auto work = std::move(work_);
        free(this, handler);
        if constexpr (has_own_threads)
            std::apply(std::move(handler), std::move(result));
        else
            asio::dispatch(work.get_executor(), [h = std::move(handler), r = std::move(result)]() mutable {
                std::apply(std::move(h), std::move(r));
            });
    }

    // If there is no memory to give a result back, the handler gets it although it was cancelled.
    void prepare_result() {
        using enum delivery_state;
        const bool is_cancelled = cancellation_ && cancellation_->is_requested();
        if constexpr (requires { start_.before_handler(result_, wanted); }) {
            try {
                start_.before_handler(result_, is_cancelled ? cancelled : wanted);
            } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): see above
            }
        }
    }

    // The handler has been moved out of it.
    static void free(shared_operation* op, const Handler& handler) noexcept {
        auto allocator = allocator_of(handler);
        op->~shared_operation();
        allocator.deallocate(op, 1);
    }

    Handler handler_;
    Start start_;
    [[no_unique_address]] std::conditional_t<has_own_threads, nothing, default_executor> default_executor_;
    asio::executor_work_guard<handler_executor> work_;
    std::shared_ptr<cancellation> cancellation_; // null if the handler has no cancellation slot
    std::tuple<std::error_code, Result...> result_;
    phase phase_ = phase::beginning;
};

} // namespace tern::detail
