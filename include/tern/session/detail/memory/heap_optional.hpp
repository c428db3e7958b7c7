// An optional value on the heap that can be copied: for rare state, which takes no space while it is absent.
#pragma once

#include <memory>
#include <utility>

namespace tern::detail {

template <class T>
class heap_optional {
public:
    heap_optional() = default;
    heap_optional(heap_optional&&) noexcept = default;
    heap_optional& operator=(heap_optional&&) noexcept = default;
    heap_optional(const heap_optional& other) : value_(other ? std::make_unique<T>(*other) : nullptr) {}
    heap_optional& operator=(const heap_optional& other) { return *this = heap_optional(other); }
    ~heap_optional() = default;

    explicit operator bool() const noexcept { return value_ != nullptr; }
    T& operator*() noexcept { return *value_; }
    const T& operator*() const noexcept { return *value_; }
    T* operator->() noexcept { return value_.get(); }
    const T* operator->() const noexcept { return value_.get(); }

    /// Replaces the value.
    template <class... Argument>
    T& emplace(Argument&&... arguments) {
        value_ = std::make_unique<T>(std::forward<Argument>(arguments)...);
        return *value_;
    }
    void reset() noexcept { value_.reset(); }

private:
    std::unique_ptr<T> value_;
};

} // namespace tern::detail
