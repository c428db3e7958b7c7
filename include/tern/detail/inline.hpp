// TERN_INLINE forces the code that every packet executes into one function, so that its values stay in
// registers. TERN_NOINLINE keeps rare branches out of it. A measurement justifies each use. Both
// are empty in unoptimised builds, where inlining would only add code.
#pragma once

#if defined(_MSC_VER)
#define TERN_INLINE __forceinline
#define TERN_NOINLINE __declspec(noinline)
#elif defined(__OPTIMIZE__)
#define TERN_INLINE [[gnu::always_inline]]
#define TERN_NOINLINE [[gnu::noinline]]
#else
#define TERN_INLINE
#define TERN_NOINLINE
#endif
