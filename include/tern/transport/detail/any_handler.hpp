// A completion handler of any type behind one type, for transports that are chosen at run time. Asio has such a class
// only since 1.23.
//
// The node with the handler lies in the memory of the handler's allocator, and is freed before the handler is called.
// The handler is called on its own executor, if that differs from the transport's. A cancellation slot is passed on.
#pragma once

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>

#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tern::detail {

template <class... Argument>
class any_handler {
public:
    using cancellation_slot_type = asio::cancellation_slot;

    /// The operation completes on this executor of the transport.
    template <class Handler, class Executor>
    any_handler(Handler handler, const Executor& executor)
        : slot_(asio::get_associated_cancellation_slot(handler))
        , node_(make_node<Handler, Executor>(std::move(handler), executor)) {}
    any_handler(any_handler&& other) noexcept : slot_(other.slot_), node_(std::exchange(other.node_, nullptr)) {}
    any_handler& operator=(any_handler&&) = delete;
    ~any_handler() {
        if (node_) node_->free(*node_);
    }

    cancellation_slot_type get_cancellation_slot() const noexcept { return slot_; }

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
        using allocator_type =
            typename std::allocator_traits<asio::associated_allocator_t<Handler>>::template rebind_alloc<typed_node>;

        typed_node(Handler&& h, const Executor& executor) : node{&complete_node, &free_node}, handler(std::move(h)) {
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
            self.~typed_node();
            allocator_type(asio::get_associated_allocator(handler)).deallocate(&self, 1);
        }

        Handler handler;
        guard_type guard = {}; // set if the handler's executor differs from the transport's; counts as its work
    };

    template <class Handler, class Executor>
    static node* make_node(Handler&& handler, const Executor& executor) {
        using type = typed_node<Handler, Executor>;
        typename type::allocator_type allocator(asio::get_associated_allocator(handler));
        const auto free = [&allocator](type* memory) { allocator.deallocate(memory, 1); };
        std::unique_ptr<type, decltype(free)> memory(allocator.allocate(1), free);
        ::new (static_cast<void*>(memory.get())) type(std::move(handler), executor);
        return memory.release();
    }

    asio::cancellation_slot slot_;
    node* node_; // null once it is called, or moved from
};

} // namespace tern::detail
