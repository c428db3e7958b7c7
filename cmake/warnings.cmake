# tern_warnings: the warnings for Tern's tests, examples and benchmarks. It does not affect users of the library. The
# presets turn warnings into errors (CMAKE_COMPILE_WARNING_AS_ERROR).
add_library(tern_warnings INTERFACE)
if(MSVC)
    target_compile_options(tern_warnings INTERFACE /W4 /permissive- /utf-8 /bigobj)
else()
    target_compile_options(
        tern_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast
    )
    # With sanitizers, GCC warns about its own instrumentation inside the standard library and Asio.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
        target_compile_options(tern_warnings INTERFACE -Wno-maybe-uninitialized -Wno-tsan)
    endif()
endif()
