// Excludes other threads from the engine of a client while one uses it.
//
// The thread that is inside may enter again: a turn is inside while it calls handlers, and handlers make requests. A
// request of another thread waits for the end of the turn, and the turn that it posts waits for the end of the request.
#pragma once

#include "tern/detail/inline.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

namespace tern::detail {

class exclusive_use {
public:
    exclusive_use() = default;
    exclusive_use(const exclusive_use&) = delete;
    exclusive_use& operator=(const exclusive_use&) = delete;
    ~exclusive_use() = default;

    /// Returns an address that is different in each thread, in the cheapest way.
    TERN_INLINE static const void* this_thread() noexcept {
#if defined(__GNUC__) && defined(__x86_64__) && !defined(_WIN32)
        return __builtin_thread_pointer();
#else
        static thread_local char mark = 0;
        return &mark;
#endif
    }

    /// Enters, unless the thread is inside, and leaves at the end of its own life.
    class [[nodiscard]] scope {
    public:
        /// Enters nothing, because the thread is inside.
        scope() noexcept : entered_(nullptr) {}
        TERN_INLINE explicit scope(exclusive_use& use) noexcept : entered_(use.is_inside() ? nullptr : &use) {
            if (entered_) entered_->enter();
        }
        scope(scope&& other) noexcept : entered_(std::exchange(other.entered_, nullptr)) {}
        scope& operator=(scope&&) = delete;
        TERN_INLINE ~scope() {
            if (entered_) entered_->leave();
        }

    private:
        exclusive_use* entered_;
    };

private:
    enum class use : std::uint32_t {
        none,    ///< No thread is inside.
        alone,   ///< A thread is inside, and none waits.
        awaited, ///< A thread is inside, and others may wait.
    };

    bool is_inside() const noexcept { return user_.load(std::memory_order_relaxed) == this_thread(); }

    TERN_INLINE void enter() noexcept {
        use expected = use::none;
        if (!use_.compare_exchange_strong(expected, use::alone, std::memory_order_acquire)) [[unlikely]]
            wait();
        user_.store(this_thread(), std::memory_order_relaxed);
    }
    TERN_INLINE void leave() noexcept {
        user_.store(nullptr, std::memory_order_relaxed);
        if (use_.exchange(use::none, std::memory_order_release) == use::awaited) [[unlikely]]
            wake();
    }

    TERN_NOINLINE void wait() noexcept {
        for (unsigned attempt = 0; use_.exchange(use::awaited, std::memory_order_acquire) != use::none; ++attempt)
            wait_for_change(attempt);
    }
    TERN_NOINLINE void wake() noexcept { use_.notify_one(); }

#if defined(__GLIBCXX__) && !defined(_GLIBCXX_HAVE_PLATFORM_WAIT)
    // Without a futex, as with MinGW-w64, `wait` of libstdc++ compares the value before it locks its mutex, and
    // `notify_one` does not lock it: a notification in between is lost. The thread therefore looks repeatedly.
    static void wait_for_change(unsigned attempt) noexcept {
        constexpr unsigned attempts_without_delay = 1'000;
        if (attempt < attempts_without_delay)
            std::this_thread::yield();
        else
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
#else
    void wait_for_change(unsigned) noexcept { use_.wait(use::awaited, std::memory_order_relaxed); }
#endif

    std::atomic<const void*> user_ = nullptr; // other threads may read it, and find that it is not theirs
    std::atomic<use> use_ = use::none;
};

} // namespace tern::detail
