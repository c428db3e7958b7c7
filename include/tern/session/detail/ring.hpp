// A queue in one block of memory that grows by doubling and is reused.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace tern::detail {

template <class T>
class ring {
public:
    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }

    T& operator[](std::size_t index) noexcept { return slots_[(head_ + index) & (slots_.size() - 1)]; }
    const T& operator[](std::size_t index) const noexcept {
        return slots_[(head_ + index) & (slots_.size() - 1)];
    }
    T& front() noexcept { return (*this)[0]; }
    const T& front() const noexcept { return (*this)[0]; }
    T& back() noexcept { return (*this)[size_ - 1]; }

    /// Makes room, so that so many can be added without memory.
    void reserve(std::size_t count) {
        while (slots_.size() - size_ < count)
            grow();
    }

    void push_back(T value) {
        if (size_ == slots_.size()) grow();
        ++size_;
        back() = std::move(value);
    }

    void push_front(T value) {
        if (size_ == slots_.size()) grow();
        head_ = (head_ - 1) & (slots_.size() - 1);
        ++size_;
        front() = std::move(value);
    }

    T pop_front() noexcept {
        T value = std::move(front());
        head_ = (head_ + 1) & (slots_.size() - 1);
        --size_;
        return value;
    }

    T pop_back() noexcept { return std::move((*this)[--size_]); }

    void clear() noexcept {
        slots_.clear();
        head_ = size_ = 0;
    }

private:
    void grow() {
        std::vector<T> larger(slots_.empty() ? 4 : slots_.size() * 2);
        for (std::size_t i = 0; i != size_; ++i)
            larger[i] = std::move((*this)[i]);
        slots_.swap(larger);
        head_ = 0;
    }

    std::vector<T> slots_; // a power of two, or none
    std::size_t head_ = 0;
    std::size_t size_ = 0;
};

} // namespace tern::detail
