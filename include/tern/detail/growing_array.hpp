// An array on the heap that grows. It has the part of `std::vector` that the library needs: each type of that compiles
// some sixty functions.
#pragma once

#include "tern/detail/inline.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace tern::detail {

/// The places behind the last item hold values, too, so `T` has a default.
template <class T>
class growing_array {
public:
    growing_array() = default;
    explicit growing_array(std::size_t size) { resize(size); }
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
    void pop_back() noexcept { items_[--size_] = T(); }
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
        const std::size_t capacity = std::max(size, capacity_ * std::size_t{2});
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

} // namespace tern::detail
