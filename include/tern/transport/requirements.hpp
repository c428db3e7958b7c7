// Checks that Asio and the settings of the compiler suffice for transports and clients.
#pragma once

#include "tern/detail/compiler.hpp"

#include <asio/version.hpp>

#if ASIO_VERSION < 102200
#error "Tern needs standalone Asio 1.22 or newer."
#endif

// A handler may throw, and every allocation may fail: both pass through the client, which stays consistent.
#if !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#error "Tern's transports and clients need exceptions: compile without -fno-exceptions, or use tern/core.hpp alone."
#endif
