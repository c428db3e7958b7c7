// A queue in one block of memory that grows by doubling and is reused.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/session/detail/block.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tern::detail {

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

    /// Makes room, so that so many can be added without memory.
    TERN_INLINE void reserve(std::size_t count) {
        if (slots_.size() - size_ < count) [[unlikely]]
            grow(count);
    }

    /// Adds one that the caller fills in.
    TERN_INLINE T& next() {
        reserve(1);
        return next_reserved();
    }
    /// The same, where there is room.
    TERN_INLINE T& next_reserved() noexcept {
        ++size_;
        return slots_[wrapped(end_++)];
    }
    void push_back(const T& value) { next() = value; }
    void push_back(T&& value) { next() = std::move(value); }

    void push_front(T value) {
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

    /// Gives up the memory, too.
    void clear() noexcept { *this = ring(); }

private:
    TERN_INLINE std::size_t wrapped(std::size_t position) const noexcept {
        return position & (slots_.size() - 1);
    }

    TERN_NOINLINE void grow(std::size_t count) {
        std::size_t size = slots_.empty() ? 1 : slots_.size();
        while (size < size_ + count)
            size *= 2;
        block<T> larger(size);
        for (std::size_t i = 0; i != size_; ++i)
            larger[i] = std::move((*this)[i]);
        slots_ = std::move(larger);
        end_ = size_;
    }

    block<T> slots_;        // a power of two, or none
    std::uint32_t end_ = 0; // the position behind the last, to be wrapped
    std::uint32_t size_ = 0;
};

} // namespace tern::detail
