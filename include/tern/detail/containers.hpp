// Containers that own memory on the heap and can be copied: an optional value, an array that grows, and a queue.
//
// They own plain pointers, and have the part of the standard containers that the library needs: each type of
// `std::vector` compiles some sixty functions, and each type of `std::unique_ptr` some forty.
#pragma once

#include "tern/detail/inline.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace tern::detail {

/// An optional value, for rare state: it takes no space while it is absent.
template <class T>
class heap_optional {
public:
    heap_optional() = default;
    heap_optional(heap_optional&& other) noexcept : value_(other.value_) { other.value_ = nullptr; }
    heap_optional& operator=(heap_optional&& other) noexcept {
        T* const taken = other.value_;
        other.value_ = nullptr;
        replace(taken);
        return *this;
    }
    heap_optional(const heap_optional& other) : value_(other ? new T(*other) : nullptr) {}
    heap_optional& operator=(const heap_optional& other) { return *this = heap_optional(other); }
    ~heap_optional() { reset(); }

    explicit operator bool() const noexcept { return value_ != nullptr; }
    T& operator*() noexcept { return *value_; }
    const T& operator*() const noexcept { return *value_; }
    T* operator->() noexcept { return value_; }
    const T* operator->() const noexcept { return value_; }

    /// Replaces the value.
    template <class... Argument>
    T& emplace(Argument&&... arguments) {
        replace(new T{std::forward<Argument>(arguments)...});
        return *value_;
    }
    /// Replaces the value by a new one. False if allocation fails: then there is none.
    bool try_emplace() noexcept {
        replace(new (std::nothrow) T());
        return value_ != nullptr;
    }
    void reset() noexcept {
        if (value_) replace(nullptr);
    }

private:
    TERN_COLD void replace(T* value) noexcept {
        delete value_;
        value_ = value;
    }

    T* value_ = nullptr;
};

/// An array that grows. The places behind the last item hold values, too, so `T` has a default.
template <class T>
class growing_array {
public:
    growing_array() = default;
    explicit growing_array(std::size_t size)
        : items_(new T[size]())
        , size_(static_cast<std::uint32_t>(size))
        , capacity_(size_) {}
    growing_array(growing_array&& other) noexcept { take(other); }
    growing_array& operator=(growing_array&& other) noexcept {
        if (this == &other) return *this;
        delete[] items_;
        take(other);
        return *this;
    }
    growing_array(const growing_array& other) : growing_array() {
        reserve(other.size_);
        for (; size_ != other.size_; ++size_)
            items_[size_] = other.items_[size_];
    }
    growing_array& operator=(const growing_array& other) { return *this = growing_array(other); }
    ~growing_array() { delete[] items_; }

    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    std::size_t capacity() const noexcept { return capacity_; }
    T& operator[](std::size_t index) noexcept { return items_[index]; }
    const T& operator[](std::size_t index) const noexcept { return items_[index]; }
    T& back() noexcept { return items_[size_ - 1]; }
    T* data() noexcept { return items_; }
    const T* data() const noexcept { return items_; }
    T* begin() noexcept { return items_; }
    const T* begin() const noexcept { return items_; }
    T* end() noexcept { return items_ + size_; }
    const T* end() const noexcept { return items_ + size_; }

    /// Makes room: the array grows up to this size without allocating. If allocation fails, nothing has changed.
    void reserve(std::size_t size) {
        if (size > capacity_) [[unlikely]]
            grow(size);
    }
    void resize(std::size_t size) {
        reserve(size);
        while (size_ > size)
            pop_back();
        size_ = static_cast<std::uint32_t>(size);
    }
    T& push_back(T value) {
        reserve(size_ + std::size_t{1});
        return items_[size_++] = std::move(value);
    }
    TERN_COLD void pop_back() noexcept { items_[--size_] = T(); }
    /// Removes one item. The others keep their order.
    TERN_COLD void erase(T* item) noexcept {
        for (; item + 1 != end(); ++item)
            item[0] = std::move(item[1]);
        pop_back();
    }
    template <class Predicate>
    TERN_COLD void erase_if(Predicate is_erased) noexcept {
        std::size_t kept = 0;
        for (T& item : *this) {
            if (is_erased(item)) continue;
            if (&items_[kept] != &item) items_[kept] = std::move(item);
            ++kept;
        }
        while (size_ != kept)
            pop_back();
    }
    /// Removes all items and frees the memory.
    void clear() noexcept {
        delete[] items_;
        items_ = nullptr;
        size_ = capacity_ = 0;
    }
    /// Frees the memory that is not in use. If that takes an allocation which fails, it stays.
    TERN_COLD void shrink_to_fit() noexcept {
        if (size_ == 0) return clear();
        if (T* const fewer = new (std::nothrow) T[size_]()) move_to(fewer, size_);
    }

private:
    void take(growing_array& other) noexcept {
        items_ = other.items_;
        size_ = other.size_;
        capacity_ = other.capacity_;
        other.items_ = nullptr;
        other.size_ = other.capacity_ = 0;
    }
    TERN_COLD TERN_NOINLINE void grow(std::size_t size) {
        const std::size_t capacity = (std::max)(size, capacity_ * std::size_t{2});
        move_to(new T[capacity](), capacity);
    }
    TERN_COLD void move_to(T* items, std::size_t capacity) noexcept {
        for (std::size_t i = 0; i != size_; ++i)
            items[i] = std::move(items_[i]);
        delete[] items_;
        items_ = items;
        capacity_ = static_cast<std::uint32_t>(capacity);
    }

    T* items_ = nullptr;
    std::uint32_t size_ = 0;
    std::uint32_t capacity_ = 0;
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
        growing_array<T> larger(size);
        for (std::size_t i = 0; i != size_; ++i)
            larger[i] = std::move((*this)[i]);
        slots_ = std::move(larger);
        end_ = size_;
    }

    growing_array<T> slots_; // its size is a power of two, or 0
    std::uint32_t end_ = 0;  // the position after the last item, before it is wrapped
    std::uint32_t size_ = 0;
};

} // namespace tern::detail
