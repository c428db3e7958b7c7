// A value, or the rule that was broken. Constexpr, trivial if the value's type is, and without exceptions.
#pragma once

#include "tern/error.hpp"

#include <type_traits>

namespace tern {

/// The result of a decoder or a check: a `T`, or an `errc` that says why there is none.
template <class T>
class [[nodiscard]] result {
public:
    /// A default-constructed value. `value_{}` is avoided: GCC fills a large packet with zeros first.
    constexpr result() {
        if constexpr (std::is_trivially_default_constructible_v<T>) value_ = T{};
    }
    constexpr result(const T& value) : value_(value) {}         // NOLINT(google-explicit-constructor)
    constexpr result(errc error) : result() { error_ = error; } // NOLINT(google-explicit-constructor)

    constexpr bool has_value() const noexcept { return error_ == errc::none; }
    constexpr explicit operator bool() const noexcept { return has_value(); }

    /// `errc::none` if there is a value.
    constexpr errc error() const noexcept { return error_; }

    /// The value; a default-constructed one if there is none.
    constexpr const T& value() const noexcept { return value_; }
    constexpr T& value() noexcept { return value_; }
    constexpr T& operator*() noexcept { return value_; }
    constexpr T* operator->() noexcept { return &value_; }
    constexpr const T& operator*() const noexcept { return value_; }
    constexpr const T* operator->() const noexcept { return &value_; }

private:
    T value_;
    errc error_ = errc::none;
};

} // namespace tern
