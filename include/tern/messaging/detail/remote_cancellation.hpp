// Cancels an operation on the strand of its client, when its handler's cancellation slot is signalled in any thread.
#pragma once

#include <asio/cancellation_signal.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/post.hpp>

#include <atomic>
#include <memory>
#include <utility>

namespace tern::detail {

/// The two ends of a cancellation: the handler's side requests it, and the strand emits a signal of its own.
template <class Executor>
class remote_cancellation {
public:
    explicit remote_cancellation(const Executor& strand) : strand_(strand) {}

    /// Whether the handler's side has requested it.
    bool is_requested() const noexcept { return requested_.load(std::memory_order_acquire); }
    /// The slot of the operation on the strand.
    asio::cancellation_slot slot() noexcept { return signal_.slot(); }

    /// The function for the handler's cancellation slot.
    struct request {
        std::shared_ptr<remote_cancellation> self;

        void operator()(asio::cancellation_type type) const {
            if (type == asio::cancellation_type::none) return;
            self->requested_.store(true, std::memory_order_release);
            asio::post(self->strand_, [target = self, type] { target->signal_.emit(type); });
        }
    };

private:
    std::atomic<bool> requested_ = false;
    asio::cancellation_signal signal_;
    Executor strand_;
};

} // namespace tern::detail
