// TERN_INLINE forces the code that every packet executes into one function, so that its values stay in registers.
// TERN_NOINLINE keeps rare branches out of it. TERN_COLD makes code small that runs once per connection; it also
// compiles faster. A measurement justifies each use. All are empty in unoptimised builds, where inlining would only add
// code.
#pragma once

#include "tern/detail/compiler.hpp"

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
