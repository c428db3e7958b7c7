// Checks that the compiler is new enough. The lowest headers include it, so the sentence precedes other errors.
#pragma once

#if (defined(_MSVC_LANG) && _MSVC_LANG < 202002L) || (!defined(_MSVC_LANG) && __cplusplus < 202002L)
#error "Tern needs C++20: compile with -std=c++20 (MSVC: /std:c++20) or a newer standard."
#endif

// Compilers that imitate others define the macros of both, so the imitated ones come last.
#if defined(__apple_build_version__)
#if __clang_major__ < 15
#error "Tern needs Apple Clang 15 (Xcode 15) or newer."
#endif
#elif defined(__clang__)
#if __clang_major__ < 14
#error "Tern needs Clang 14 or newer."
#endif
#elif defined(__GNUC__)
#if __GNUC__ < 11
#error "Tern needs GCC 11 or newer."
#endif
#elif defined(_MSC_VER)
#if _MSC_VER < 1930
#error "Tern needs MSVC 19.30 (Visual Studio 2022) or newer."
#endif
#endif
