// Excludes other threads from the engine of a client while one uses it.
//
// The thread that is inside may enter again: a turn is inside while it calls handlers, and handlers make requests. A
// request of another thread waits for the end of the turn, and the turn that it posts waits for the end of the request.
#pragma once

#include "tern/detail/inline.hpp"

#include <atomic>
#include <mutex>

namespace tern::detail {

class exclusive_use {
public:
    exclusive_use() = default;
    exclusive_use(const exclusive_use&) = delete;
    exclusive_use& operator=(const exclusive_use&) = delete;
    ~exclusive_use() = default;

    /// Returns whether the calling thread is inside.
    bool is_inside() const noexcept { return user_.load(std::memory_order_relaxed) == this_thread(); }

    /// Enters, unless the thread is inside, and leaves at the end of its own life.
    class [[nodiscard]] scope {
    public:
        TERN_INLINE explicit scope(exclusive_use& use) : entered_(use.is_inside() ? nullptr : &use) {
            if (entered_) entered_->enter();
        }
        scope(const scope&) = delete;
        scope& operator=(const scope&) = delete;
        TERN_INLINE ~scope() {
            if (entered_) entered_->leave();
        }

    private:
        exclusive_use* entered_;
    };

private:
    // Returns an address that is different in each thread, in the cheapest way.
    static const void* this_thread() noexcept {
#if defined(__GNUC__) && defined(__x86_64__)
        return __builtin_thread_pointer();
#else
        static thread_local char mark = 0;
        return &mark;
#endif
    }

    TERN_NOINLINE void enter() {
        mutex_.lock();
        user_.store(this_thread(), std::memory_order_relaxed);
    }
    TERN_NOINLINE void leave() noexcept {
        user_.store(nullptr, std::memory_order_relaxed);
        mutex_.unlock();
    }

    std::mutex mutex_;
    std::atomic<const void*> user_ = nullptr; // other threads may read it, and find that it is not theirs
};

} // namespace tern::detail
