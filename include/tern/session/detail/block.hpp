// An array on the heap that can be copied. Its size is at hand: asking a vector for its own costs a subtraction and a
// division, each time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tern::detail {

/// It owns a plain pointer, because each type of `std::unique_ptr` compiles some forty functions.
template <class T>
class block {
public:
    block() = default;
    explicit block(std::size_t size) : items_(new T[size]()), size_(static_cast<std::uint32_t>(size)) {}
    block(block&& other) noexcept
        : items_(std::exchange(other.items_, nullptr))
        , size_(std::exchange(other.size_, 0)) {}
    block& operator=(block&& other) noexcept {
        if (this == &other) return *this;
        delete[] items_;
        items_ = std::exchange(other.items_, nullptr);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }
    block(const block& other) : block() {
        if (other.size_ == 0) return;
        *this = block(other.size_);
        for (std::size_t i = 0; i != size_; ++i)
            items_[i] = other.items_[i];
    }
    block& operator=(const block& other) { return *this = block(other); }
    ~block() { delete[] items_; }

    bool empty() const noexcept { return size_ == 0; }
    std::uint32_t size() const noexcept { return size_; }
    T& operator[](std::size_t index) noexcept { return items_[index]; }
    const T& operator[](std::size_t index) const noexcept { return items_[index]; }
    T* begin() noexcept { return items_; }
    T* end() noexcept { return items_ + size_; }

private:
    T* items_ = nullptr;
    std::uint32_t size_ = 0;
};

} // namespace tern::detail
