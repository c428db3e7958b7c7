// The completion tokens that a function of the client accepts, and what the compiler says about others: the signature
// that does not fit, or a sentence about Boost.Asio.
#pragma once

#include <asio/async_result.hpp>

#include <string_view>
#include <type_traits>

#if !defined(ASIO_HAS_CONCEPTS)
#error "Tern needs the concepts of Asio: compile without ASIO_DISABLE_CONCEPTS."
#endif

namespace tern::detail {

// A text of the compiler that contains the name of `T`.
template <class T>
consteval std::string_view text_with_name() noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
    return __FUNCSIG__;
#else
    return __PRETTY_FUNCTION__;
#endif
}

/// Whether a type is declared in the namespace boost::asio. Boost need not be there. A lambda expression in a function
/// with parameters of Boost is not.
template <class T>
consteval bool is_of_boost_asio() noexcept {
    std::string_view name = text_with_name<T>();
    name.remove_prefix(text_with_name<void>().find("void"));
    for (const std::string_view keyword : {std::string_view("class "), std::string_view("struct ")})
        if (name.starts_with(keyword)) name.remove_prefix(keyword.size()); // Visual C++
    return name.starts_with("boost::asio::");
}

/// Refuses the executors, contexts and completion tokens of Boost.Asio.
template <class T>
struct standalone {
    static_assert(!is_of_boost_asio<T>(),
                  "Tern uses standalone Asio: include <asio.hpp>, and replace boost::asio by asio "
                  "in executors, contexts and completion tokens.");
    static constexpr bool value = true;
};

/// A completion token for a signature.
template <class Token, class Signature>
concept token_for = standalone<std::remove_cvref_t<Token>>::value && asio::completion_token_for<Token, Signature>;

} // namespace tern::detail
