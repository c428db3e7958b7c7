// A value on the heap, or none: for what is seldom there, so that it takes no room meanwhile. Can be copied.
#pragma once

#include <memory>
#include <utility>

namespace tern::detail {

template <class T>
class box {
public:
    box() = default;
    box(box&&) noexcept = default;
    box& operator=(box&&) noexcept = default;
    box(const box& other) : value_(other ? std::make_unique<T>(*other) : nullptr) {}
    box& operator=(const box& other) { return *this = box(other); }
    ~box() = default;

    explicit operator bool() const noexcept { return value_ != nullptr; }
    T& operator*() noexcept { return *value_; }
    const T& operator*() const noexcept { return *value_; }
    T* operator->() noexcept { return value_.get(); }
    const T* operator->() const noexcept { return value_.get(); }

    /// Makes the value anew.
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
