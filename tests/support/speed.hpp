// Whether programs run about ten times slower than usual. The longest tests do only a part of their runs then.
#pragma once

namespace speed {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(TERN_TESTS_EMULATED)
inline constexpr bool is_slow = true;
#elif defined(__has_feature)
inline constexpr bool is_slow = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool is_slow = false;
#endif

} // namespace speed
