# tern_warnings: the warnings for Tern's tests, examples and benchmarks. It does not affect users of the library. The
# presets turn warnings into errors (CMAKE_COMPILE_WARNING_AS_ERROR).
add_library(tern_warnings INTERFACE)
if(MSVC)
    target_compile_options(tern_warnings INTERFACE /W4 /permissive- /utf-8 /bigobj)
else()
    target_compile_options(
        tern_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast -Wnon-virtual-dtor
    )
    # A cast that does nothing here may be needed where other types have another size, so only 64-bit Linux is checked.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        target_compile_options(tern_warnings INTERFACE -Wcast-align=strict)
        if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
            target_compile_options(tern_warnings INTERFACE -Wuseless-cast)
        endif()
    endif()
    # With sanitizers, GCC warns about its own instrumentation inside the standard library and Asio.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
        target_compile_options(tern_warnings INTERFACE -Wno-maybe-uninitialized -Wno-tsan)
    endif()
endif()
