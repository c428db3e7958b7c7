// A completion handler of any type behind one type, for transports that are chosen at run time. Asio has such a class
// only since 1.23.
//
// The node with the handler lies in the memory of the handler's allocator, or in reused memory if it has none, and is
// freed before the handler is called. The operation lies in reused memory. The handler is called on its own executor,
// if that differs from the transport's. A cancellation slot is passed on.
#pragma once

#include "tern/detail/reusable_allocation.hpp"

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>

#include <memory>
#include <new>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tern::detail {

/// The memory of operations that follow each other.
struct any_memory {
    reusable_allocation node;
    reusable_allocation operation;
};

template <class... Argument>
class any_handler {
public:
    using cancellation_slot_type = asio::cancellation_slot;
    using allocator_type = reusable_allocation::allocator<void>;

    /// The operation completes on this executor of the transport.
    template <class Handler, class Executor>
    any_handler(Handler handler, const Executor& executor, std::shared_ptr<any_memory> memory)
        : slot_(asio::get_associated_cancellation_slot(handler))
        , memory_(std::move(memory))
        , node_(make_node<Handler, Executor>(std::move(handler), executor)) {}
    any_handler(any_handler&& other) noexcept
        : slot_(other.slot_)
        , memory_(std::move(other.memory_))
        , node_(std::exchange(other.node_, nullptr)) {}
    any_handler& operator=(any_handler&&) = delete;
    ~any_handler() {
        if (node_) node_->free(*node_);
    }

    cancellation_slot_type get_cancellation_slot() const noexcept { return slot_; }
    allocator_type get_allocator() const noexcept {
        return allocator_type(std::shared_ptr<reusable_allocation>(memory_, &memory_->operation));
    }

    void operator()(Argument... arguments) {
        node& called = *std::exchange(node_, nullptr);
        called.complete(called, arguments...);
    }

private:
    struct node {
        void (*complete)(node&, Argument...);
        void (*free)(node&) noexcept;
    };

    // A handler with its arguments, to be called on another executor.
    template <class Handler>
    struct completion {
        using allocator_type = asio::associated_allocator_t<Handler>;
        allocator_type get_allocator() const noexcept { return asio::get_associated_allocator(handler); }

        Handler handler;
        std::tuple<Argument...> arguments;

        void operator()() { std::apply(std::move(handler), arguments); }
    };

    template <class Handler, class Executor>
    struct typed_node : node {
        using executor_type = asio::associated_executor_t<Handler, Executor>;
        using guard_type = std::optional<asio::executor_work_guard<executor_type>>;
        using own_allocator = asio::associated_allocator_t<Handler>;
        static constexpr bool has_allocator = !std::is_same_v<own_allocator, std::allocator<void>>;
        using allocator_type = typename std::allocator_traits<std::conditional_t<
            has_allocator, own_allocator, reusable_allocation::allocator<void>>>::template rebind_alloc<typed_node>;

        typed_node(Handler&& h, const Executor& executor, std::shared_ptr<any_memory> m)
            : node{&complete_node, &free_node}
            , handler(std::move(h))
            , memory(std::move(m)) {
            const executor_type own = asio::get_associated_executor(handler, executor);
            if constexpr (std::is_same_v<executor_type, Executor>)
                if (own == executor) return;
            guard.emplace(own);
        }

        static void complete_node(node& base, Argument... arguments) {
            auto& self = static_cast<typed_node&>(base);
            Handler handler(std::move(self.handler));
            const guard_type guard(std::move(self.guard));
            destroy(self, handler);
            if (!guard) return std::move(handler)(arguments...);
            asio::dispatch(guard->get_executor(), completion<Handler>{std::move(handler), {arguments...}});
        }
        static void free_node(node& base) noexcept {
            auto& self = static_cast<typed_node&>(base);
            const Handler handler(std::move(self.handler)); // the memory may belong to it
            destroy(self, handler);
        }
        static void destroy(typed_node& self, const Handler& handler) noexcept {
            allocator_type allocator = allocator_for(handler, self.memory);
            self.~typed_node();
            allocator.deallocate(&self, 1);
        }
        static allocator_type allocator_for([[maybe_unused]] const Handler& handler,
                                            [[maybe_unused]] const std::shared_ptr<any_memory>& memory) noexcept {
            if constexpr (has_allocator)
                return allocator_type(asio::get_associated_allocator(handler));
            else
                return allocator_type(std::shared_ptr<reusable_allocation>(memory, &memory->node));
        }

        Handler handler;
        std::shared_ptr<any_memory> memory;
        guard_type guard = {}; // set if the handler's executor differs from the transport's; counts as its work
    };

    template <class Handler, class Executor>
    node* make_node(Handler handler, const Executor& executor) {
        using type = typed_node<Handler, Executor>;
        typename type::allocator_type allocator = type::allocator_for(handler, memory_);
        const auto free = [&allocator](type* memory) { allocator.deallocate(memory, 1); };
        std::unique_ptr<type, decltype(free)> memory(allocator.allocate(1), free);
        ::new (static_cast<void*>(memory.get())) type(std::move(handler), executor, memory_);
        return memory.release();
    }

    asio::cancellation_slot slot_;
    std::shared_ptr<any_memory> memory_;
    node* node_; // null once it is called, or moved from
};

} // namespace tern::detail
