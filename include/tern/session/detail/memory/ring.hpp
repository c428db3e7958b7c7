// Arrays on the heap that can be copied, and a queue in one.
#pragma once

#include "tern/detail/inline.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tern::detail {

/// An array of fixed size. It stores its size, because computing that of a vector takes a subtraction and a division.
/// It owns a plain pointer, because each type of `std::unique_ptr` compiles some forty functions.
template <class T>
class heap_array {
public:
    heap_array() = default;
    explicit heap_array(std::size_t size) : items_(new T[size]()), size_(static_cast<std::uint32_t>(size)) {}
    heap_array(heap_array&& other) noexcept : items_(other.items_), size_(other.size_) {
        other.items_ = nullptr;
        other.size_ = 0;
    }
    heap_array& operator=(heap_array&& other) noexcept {
        T* const taken = other.items_;
        const std::uint32_t size = other.size_;
        other.items_ = nullptr;
        other.size_ = 0;
        delete[] items_;
        items_ = taken;
        size_ = size;
        return *this;
    }
    heap_array(const heap_array& other) : heap_array() {
        if (other.size_ == 0) return;
        *this = heap_array(other.size_);
        for (std::size_t i = 0; i != size_; ++i)
            items_[i] = other.items_[i];
    }
    heap_array& operator=(const heap_array& other) { return *this = heap_array(other); }
    ~heap_array() { delete[] items_; }

    bool empty() const noexcept { return size_ == 0; }
    std::uint32_t size() const noexcept { return size_; }
    T& operator[](std::size_t index) noexcept { return items_[index]; }
    const T& operator[](std::size_t index) const noexcept { return items_[index]; }
    T* begin() noexcept { return items_; }
    const T* begin() const noexcept { return items_; }
    T* end() noexcept { return items_ + size_; }

private:
    T* items_ = nullptr;
    std::uint32_t size_ = 0;
};

/// A queue in one array, which grows by doubling and is reused.
template <class T>
class ring {
public:
    ring() = default;
    ring(ring&& other) noexcept
        : slots_(std::move(other.slots_))
        , end_(other.end_)
        , size_(std::exchange(other.size_, 0)) {}
    ring& operator=(ring&& other) noexcept {
        slots_ = std::move(other.slots_);
        end_ = other.end_;
        size_ = std::exchange(other.size_, 0);
        return *this;
    }
    ring(const ring&) = default;
    ring& operator=(const ring&) = default;
    ~ring() = default;

    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }

    TERN_INLINE T& operator[](std::size_t index) noexcept { return slots_[wrapped(end_ - size_ + index)]; }
    const T& operator[](std::size_t index) const noexcept { return slots_[wrapped(end_ - size_ + index)]; }
    T& front() noexcept { return (*this)[0]; }
    const T& front() const noexcept { return (*this)[0]; }
    TERN_INLINE T& back() noexcept { return (*this)[size_ - 1]; }

    /// Makes room: the next `count` items are added without allocating.
    TERN_INLINE void reserve(std::size_t count) {
        if (slots_.size() - size_ < count) [[unlikely]]
            grow(count);
    }

    /// Adds an item that the caller fills in.
    TERN_INLINE T& next() {
        reserve(1);
        return next_reserved();
    }
    /// The same. There must be room.
    TERN_INLINE T& next_reserved() noexcept {
        ++size_;
        return slots_[wrapped(end_++)];
    }
    void push_back(const T& value) { next() = value; }
    void push_back(T&& value) { next() = std::move(value); }

    TERN_COLD void push_front(T value) {
        reserve(1);
        ++size_;
        front() = std::move(value);
    }

    T pop_front() noexcept {
        T value = std::move(front());
        drop_front();
        return value;
    }
    void drop_front() noexcept { --size_; }

    T pop_back() noexcept {
        --size_;
        return std::move(slots_[wrapped(--end_)]);
    }

    /// Removes all items and frees the memory.
    void clear() noexcept { *this = ring(); }

private:
    TERN_INLINE std::size_t wrapped(std::size_t position) const noexcept { return position & (slots_.size() - 1); }

    TERN_COLD TERN_NOINLINE void grow(std::size_t count) {
        std::size_t size = slots_.empty() ? 1 : slots_.size();
        while (size < size_ + count)
            size *= 2;
        heap_array<T> larger(size);
        for (std::size_t i = 0; i != size_; ++i)
            larger[i] = std::move((*this)[i]);
        slots_ = std::move(larger);
        end_ = size_;
    }

    heap_array<T> slots_;   // its size is a power of two, or 0
    std::uint32_t end_ = 0; // the position after the last item, before it is wrapped
    std::uint32_t size_ = 0;
};

} // namespace tern::detail
