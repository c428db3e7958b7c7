// The version of Tern, for the preprocessor and for the compiler, and the oldest compilers that it supports.
#pragma once

#include "tern/detail/compiler.hpp"
#include "tern/detail/version.hpp"

namespace tern {

/// The version as one comparable number: major * 10000 + minor * 100 + patch.
inline constexpr int version = TERN_VERSION_MAJOR * 10000 + TERN_VERSION_MINOR * 100 + TERN_VERSION_PATCH;

} // namespace tern
