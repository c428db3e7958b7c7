// Checks at link time that a file and Tern's compiled library were built with the same settings.
//
// Settings that change a layout or an inline function must be the same in all files of a program. The name of a
// variable contains them. The library defines this variable, and each file refers to it. If a linker reports that
// `tern::library_built_with::tern_0_1_0_asio_102201_...` is undefined, that name shows the settings of the file.
// `nm -C` on the library shows the settings of the library.
#pragma once

#include "tern/detail/version.hpp"

#include <asio/detail/config.hpp>
#include <asio/version.hpp>

#include <cstddef> // defines the macros of the standard library

#if defined(ASIO_SEPARATE_COMPILATION)
#define TERN_SETTING_ASIO_SOURCE _asio_compiled
#else
#define TERN_SETTING_ASIO_SOURCE _asio_header_only
#endif
#if defined(ASIO_ENABLE_HANDLER_TRACKING)
#define TERN_SETTING_HANDLER_TRACKING _handler_tracking
#else
#define TERN_SETTING_HANDLER_TRACKING
#endif
// A checking standard library may also turn it on.
#if defined(ASIO_ENABLE_BUFFER_DEBUGGING)
#define TERN_SETTING_BUFFER_DEBUGGING _buffer_debugging
#else
#define TERN_SETTING_BUFFER_DEBUGGING
#endif
#if defined(ASIO_NO_DEPRECATED)
#define TERN_SETTING_DEPRECATED _no_deprecated
#else
#define TERN_SETTING_DEPRECATED
#endif
#if defined(ASIO_NO_TS_EXECUTORS)
#define TERN_SETTING_TS_EXECUTORS _no_ts_executors
#else
#define TERN_SETTING_TS_EXECUTORS
#endif
#if defined(ASIO_HAS_THREADS)
#define TERN_SETTING_THREADS
#else
#define TERN_SETTING_THREADS _no_threads
#endif
#if defined(ASIO_HAS_IOCP)
#define TERN_SETTING_REACTOR _iocp
#elif defined(ASIO_HAS_IO_URING) && defined(ASIO_HAS_IO_URING_AS_DEFAULT)
#define TERN_SETTING_REACTOR _io_uring
#elif defined(ASIO_HAS_EPOLL)
#define TERN_SETTING_REACTOR _epoll
#elif defined(ASIO_HAS_KQUEUE)
#define TERN_SETTING_REACTOR _kqueue
#elif defined(ASIO_HAS_DEV_POLL)
#define TERN_SETTING_REACTOR _dev_poll
#else
#define TERN_SETTING_REACTOR _select
#endif
#if defined(ASIO_HAS_EPOLL) && !defined(ASIO_HAS_TIMERFD)
#define TERN_SETTING_TIMERFD _no_timerfd
#else
#define TERN_SETTING_TIMERFD
#endif

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define TERN_SETTING_EXCEPTIONS
#else
#define TERN_SETTING_EXCEPTIONS _no_exceptions
#endif
#if defined(__cpp_rtti) || defined(_CPPRTTI)
#define TERN_SETTING_RTTI
#else
#define TERN_SETTING_RTTI _no_rtti
#endif

// The checks of the standard library that change layouts.
#if defined(_GLIBCXX_DEBUG)
#define TERN_SETTING_CONTAINERS _glibcxx_debug
#elif defined(_LIBCPP_ABI_BOUNDED_ITERATORS)
#define TERN_SETTING_CONTAINERS _libcpp_bounded_iterators
#elif defined(_ITERATOR_DEBUG_LEVEL) && _ITERATOR_DEBUG_LEVEL > 0
#define TERN_SETTING_CONTAINERS _iterator_debugging
#else
#define TERN_SETTING_CONTAINERS
#endif
#if defined(_GLIBCXX_USE_CXX11_ABI) && !_GLIBCXX_USE_CXX11_ABI
#define TERN_SETTING_STRINGS _old_strings
#else
#define TERN_SETTING_STRINGS
#endif

#define TERN_JOIN_SETTINGS_NOW(major, minor, patch, asio, b, c, d, e, f, g, h, i, j, k, l, m)                          \
    tern_##major##_##minor##_##patch##_asio_##asio##b##c##d##e##f##g##h##i##j##k##l##m
#define TERN_JOIN_SETTINGS(...) TERN_JOIN_SETTINGS_NOW(__VA_ARGS__)
#define TERN_BUILD_SETTINGS                                                                                            \
    TERN_JOIN_SETTINGS(TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH, ASIO_VERSION,                       \
                       TERN_SETTING_ASIO_SOURCE, TERN_SETTING_REACTOR, TERN_SETTING_TIMERFD, TERN_SETTING_THREADS,     \
                       TERN_SETTING_HANDLER_TRACKING, TERN_SETTING_BUFFER_DEBUGGING, TERN_SETTING_DEPRECATED,          \
                       TERN_SETTING_TS_EXECUTORS, TERN_SETTING_EXCEPTIONS, TERN_SETTING_RTTI, TERN_SETTING_CONTAINERS, \
                       TERN_SETTING_STRINGS)

namespace tern::library_built_with {

extern const char TERN_BUILD_SETTINGS;

} // namespace tern::library_built_with

#if defined(__GNUC__)
namespace tern::detail {

// NOLINTNEXTLINE(misc-definitions-in-headers): each file needs its own
[[gnu::used]] static const char* const build_settings_of_this_file = &library_built_with::TERN_BUILD_SETTINGS;

} // namespace tern::detail
#endif
