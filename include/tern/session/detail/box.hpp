// A value on the heap, or none: for what is seldom there, so that it takes no room meanwhile. Can be copied.
#pragma once

#include <utility>

namespace tern::detail {

/// It owns a plain pointer, because each type of `std::unique_ptr` compiles some forty functions.
template <class T>
class box {
public:
    box() = default;
    box(box&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
    box& operator=(box&& other) noexcept {
        if (this != &other) replace(std::exchange(other.value_, nullptr));
        return *this;
    }
    box(const box& other) : value_(other ? new T(*other) : nullptr) {}
    box& operator=(const box& other) { return *this = box(other); }
    ~box() { delete value_; }

    explicit operator bool() const noexcept { return value_ != nullptr; }
    T& operator*() noexcept { return *value_; }
    const T& operator*() const noexcept { return *value_; }
    T* operator->() noexcept { return value_; }
    const T* operator->() const noexcept { return value_; }

    /// Makes the value anew.
    template <class... Argument>
    T& emplace(Argument&&... arguments) {
        replace(new T(std::forward<Argument>(arguments)...));
        return *value_;
    }
    void reset() noexcept { replace(nullptr); }

private:
    void replace(T* value) noexcept {
        delete value_;
        value_ = value;
    }

    T* value_ = nullptr;
};

} // namespace tern::detail
