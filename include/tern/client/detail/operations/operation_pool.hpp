// The memory of operations. The pool stores a freed block for the next operation of its size. A client in a steady
// state thus allocates nothing.
#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <utility>

namespace tern::detail {

/// Only one thread may use a pool at a time.
class operation_pool {
public:
    operation_pool() = default;
    operation_pool(const operation_pool&) = delete;
    operation_pool& operator=(const operation_pool&) = delete;
    ~operation_pool() { trim(); }

    /// Frees the blocks that are not in use.
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

    std::array<spare*, 8> spare_{}; // indexed by size in grains; larger operations are rare
};

/// Allocates from a pool.
template <class T>
struct pool_allocator {
    using value_type = T;

    explicit pool_allocator(operation_pool* p) noexcept : pool(p) {}
    template <class U>
    // NOLINTNEXTLINE(google-explicit-constructor)
    pool_allocator(const pool_allocator<U>& other) noexcept : pool(other.pool) {}

    T* allocate(std::size_t count) { return static_cast<T*>(pool->allocate(count * sizeof(T))); }
    void deallocate(T* p, std::size_t count) noexcept { pool->deallocate(p, count * sizeof(T)); }

    template <class U>
    friend bool operator==(const pool_allocator& a, const pool_allocator<U>& b) noexcept {
        return a.pool == b.pool;
    }

    operation_pool* pool;
};

/// A block of a pool. The destructor returns it to the pool unless it was released.
class pool_block {
public:
    pool_block(operation_pool& pool, std::size_t size) : pool_(pool), memory_(pool.allocate(size)), size_(size) {}
    pool_block(const pool_block&) = delete;
    pool_block& operator=(const pool_block&) = delete;
    ~pool_block() {
        if (memory_) pool_.deallocate(memory_, size_);
    }

    void* get() const noexcept { return memory_; }
    void release() noexcept { memory_ = nullptr; }

private:
    operation_pool& pool_;
    void* memory_;
    std::size_t size_;
};

} // namespace tern::detail
