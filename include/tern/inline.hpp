// What every packet passes becomes one function, whose values stay in registers; what is rare is kept out of it.
// Compilers do not know which is which. Where nothing is optimised there are no registers to keep anything in, and
// inlining would only make more code. What is cold, such as all that happens once per connection, is made small: it also
// compiles faster.
#pragma once

#if defined(_MSC_VER)
#define TERN_INLINE __forceinline
#define TERN_NOINLINE __declspec(noinline)
#define TERN_COLD
#elif defined(__OPTIMIZE__)
#define TERN_INLINE [[gnu::always_inline]]
#define TERN_NOINLINE [[gnu::noinline]]
#define TERN_COLD [[gnu::cold]]
#else
#define TERN_INLINE
#define TERN_NOINLINE
#define TERN_COLD
#endif
