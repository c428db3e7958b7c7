// An array on the heap that can be copied. Its size is at hand: asking a vector for its own costs a subtraction and a
// division, each time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace tern::detail {

template <class T>
class block {
public:
    block() = default;
    explicit block(std::size_t size)
        : items_(std::make_unique<T[]>(size))
        , size_(static_cast<std::uint32_t>(size)) {}
    block(block&& other) noexcept : items_(std::move(other.items_)), size_(std::exchange(other.size_, 0)) {}
    block& operator=(block&& other) noexcept {
        block taken(std::move(other));
        items_.swap(taken.items_);
        std::swap(size_, taken.size_);
        return *this;
    }
    block(const block& other) : block() {
        if (other.size_ != 0) *this = block(other.size_);
        std::copy_n(other.items_.get(), size_, items_.get());
    }
    block& operator=(const block& other) { return *this = block(other); }
    ~block() = default;

    bool empty() const noexcept { return size_ == 0; }
    std::uint32_t size() const noexcept { return size_; }
    T& operator[](std::size_t index) noexcept { return items_[index]; }
    const T& operator[](std::size_t index) const noexcept { return items_[index]; }
    T* begin() noexcept { return items_.get(); }
    T* end() noexcept { return items_.get() + size_; }

private:
    std::unique_ptr<T[]> items_;
    std::uint32_t size_ = 0;
};

} // namespace tern::detail
