// An optional value on the heap that can be copied: for rare state, which takes no space while it is absent.
#pragma once

#include <new>
#include <utility>

namespace tern::detail {

/// It owns a plain pointer, because each type of `std::unique_ptr` compiles some forty functions.
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
    ~heap_optional() { delete value_; }

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
    void reset() noexcept { replace(nullptr); }

private:
    void replace(T* value) noexcept {
        delete value_;
        value_ = value;
    }

    T* value_ = nullptr;
};

} // namespace tern::detail
