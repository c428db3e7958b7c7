// The memory of operations, kept for the next ones: a client that goes on doing what it does allocates nothing.
#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <utility>

namespace tern::detail {

/// For one thread at a time.
class operation_pool {
public:
    operation_pool() = default;
    operation_pool(const operation_pool&) = delete;
    operation_pool& operator=(const operation_pool&) = delete;
    ~operation_pool() { trim(); }

    /// Gives up what is not in use.
    void trim() noexcept {
        for (spare*& first : spare_)
            while (first)
                ::operator delete(std::exchange(first, first->next));
    }

    void* allocate(std::size_t size) {
        const std::size_t grains = grains_of(size);
        if (grains > spare_.size()) return ::operator new(size);
        spare*& first = spare_[grains - 1];
        if (!first) return ::operator new(grains * grain);
        return std::exchange(first, first->next);
    }

    void deallocate(void* p, std::size_t size) noexcept {
        const std::size_t grains = grains_of(size);
        if (grains > spare_.size()) return ::operator delete(p);
        spare*& first = spare_[grains - 1];
        first = ::new (p) spare{first};
    }

private:
    struct spare {
        spare* next;
    };

    static constexpr std::size_t grain = 64;
    static constexpr std::size_t grains_of(std::size_t size) noexcept { return (size + grain - 1) / grain; }

    std::array<spare*, 8> spare_{}; // by their size in grains; what is larger is rare
};

/// Allocates from such memory, to which it has a pointer of any kind.
template <class T, class Pointer>
struct pool_allocator {
    using value_type = T;

    explicit pool_allocator(Pointer m) noexcept : memory(std::move(m)) {}
    template <class U>
    // NOLINTNEXTLINE(google-explicit-constructor)
    pool_allocator(const pool_allocator<U, Pointer>& other) noexcept : memory(other.memory) {}

    T* allocate(std::size_t count) { return static_cast<T*>(memory->allocate(count * sizeof(T))); }
    void deallocate(T* p, std::size_t count) noexcept { memory->deallocate(p, count * sizeof(T)); }

    template <class U>
    friend bool operator==(const pool_allocator& a, const pool_allocator<U, Pointer>& b) noexcept {
        return a.memory == b.memory;
    }

    Pointer memory;
};

} // namespace tern::detail
