// Work that is left out if an allocation fails, in code that is also compiled without exceptions.
#pragma once

#include <new>

namespace tern::detail {

/// Calls the function. Returns false if an allocation has failed in it. Without exceptions that ends the program.
template <class Function>
bool succeeds_in_allocating(Function function) noexcept {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
    try {
        function();
    } catch (const std::bad_alloc&) {
        return false;
    }
#else
    function();
#endif
    return true;
}

} // namespace tern::detail
