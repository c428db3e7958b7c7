// A fuzz target: a function that runs the tested code with any input, and calls `fail` if an invariant is broken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

/// The entry of libFuzzer. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzz {

/// Inputs to begin with, of the linked target.
std::vector<std::string> seeds();

[[noreturn]] inline void fail(const char* invariant) {
    std::fprintf(stderr, "broken: %s\n", invariant);
    std::abort();
}

inline void check(bool holds, const char* invariant) {
    if (!holds) fail(invariant);
}

} // namespace fuzz
