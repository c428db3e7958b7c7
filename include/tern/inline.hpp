// What every packet passes becomes one function, whose values stay in registers; what is rare is kept out of it.
// Compilers do not know which is which.
#pragma once

#if defined(_MSC_VER)
#define TERN_INLINE __forceinline
#define TERN_NOINLINE __declspec(noinline)
#else
#define TERN_INLINE [[gnu::always_inline]]
#define TERN_NOINLINE [[gnu::noinline]]
#endif
