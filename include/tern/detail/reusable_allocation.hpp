// Memory for one operation at a time.
#pragma once

#include "tern/detail/compiler.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace tern::detail {

/// The memory of an asynchronous operation, reused for the next operation of its kind. It has exactly the size that
/// this operation needs. The blocks that Asio recycles come from any other operation, and may be much larger.
///
/// It serves one operation at a time, which may end in any thread. It does not reuse the memory of the completion.
class reusable_allocation {
public:
    template <class T>
    struct allocator;

    reusable_allocation() = default;
    reusable_allocation(const reusable_allocation&) = delete;
    reusable_allocation& operator=(const reusable_allocation&) = delete;
    ~reusable_allocation() { ::operator delete(memory_); }

    void* allocate(std::size_t size) {
        if (in_use_) return ::operator new(size);
        if (size > size_) {
            ::operator delete(std::exchange(memory_, nullptr));
            size_ = 0;
            memory_ = ::operator new(size);
            size_ = static_cast<std::uint32_t>(size);
        }
        in_use_ = true;
        return memory_;
    }
    void deallocate(void* p) noexcept {
        if (p == memory_)
            in_use_ = false;
        else
            ::operator delete(p);
    }

private:
    void* memory_ = nullptr;
    std::uint32_t size_ = 0;
    bool in_use_ = false;
};

/// An allocator that keeps the owner of the memory alive.
template <class T>
struct reusable_allocation::allocator {
    using value_type = T;

    explicit allocator(std::shared_ptr<reusable_allocation> m) noexcept : memory(std::move(m)) {}
    template <class U>
    // NOLINTNEXTLINE(google-explicit-constructor)
    allocator(const allocator<U>& other) noexcept : memory(other.memory) {}

    // The block is not aligned for all types.
    static constexpr bool is_reusable() noexcept { return alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__; }

    T* allocate(std::size_t count) {
        if constexpr (is_reusable())
            return static_cast<T*>(memory->allocate(count * sizeof(T)));
        else
            return std::allocator<T>().allocate(count);
    }
    void deallocate(T* p, std::size_t count) noexcept {
        if constexpr (is_reusable())
            memory->deallocate(p);
        else
            std::allocator<T>().deallocate(p, count);
    }

    template <class U>
    friend bool operator==(const allocator& a, const allocator<U>& b) noexcept {
        return a.memory == b.memory;
    }

    std::shared_ptr<reusable_allocation> memory;
};

} // namespace tern::detail
