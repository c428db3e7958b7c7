# Defines tern::compiled: Tern, with the engine behind its clients compiled once, and tern::compiled_tls, which adds
# the schemes with TLS to any_client. Each library is made of one source file, by the project that uses it, with the
# settings of that project. This file is also installed, beside these source files.
#
# tern_define_compiled(<directory of tern.cpp>)
# tern_define_compiled_tls(<directory of tern_tls.cpp>)   after tern::tls is defined
option(TERN_COMPILED_WITH_ASIO
       "tern::compiled has the source of Asio too (OFF: another library of the program has it, or Asio stays header-only)"
       ON
)
mark_as_advanced(TERN_COMPILED_WITH_ASIO)

function(tern_define_compiled directory)
    if(TARGET tern_compiled)
        return()
    endif()
    add_library(tern_compiled STATIC EXCLUDE_FROM_ALL "${directory}/tern.cpp")
    add_library(tern::compiled ALIAS tern_compiled)
    target_link_libraries(tern_compiled PUBLIC tern::tern)
    target_compile_features(tern_compiled PUBLIC cxx_std_20)
    target_compile_definitions(tern_compiled PUBLIC TERN_SEPARATE_COMPILATION)
    # Asio 1.22 asks a macro of the standard library, which a file that includes Asio first does not have yet. All files
    # of a program must allocate in the same way.
    target_compile_definitions(tern_compiled PUBLIC "$<$<PLATFORM_ID:Linux>:ASIO_HAS_STD_ALIGNED_ALLOC>")
    if(TERN_COMPILED_WITH_ASIO)
        target_compile_definitions(tern_compiled PUBLIC ASIO_SEPARATE_COMPILATION)
        target_link_libraries(tern_compiled PUBLIC "$<$<PLATFORM_ID:Windows>:bcrypt>") # for Asio's pipes
    else()
        target_compile_definitions(tern_compiled PRIVATE TERN_WITHOUT_ASIO_SOURCE)
    endif()
endfunction()

function(tern_define_compiled_tls directory)
    if(TARGET tern_compiled_tls)
        return()
    endif()
    add_library(tern_compiled_tls STATIC EXCLUDE_FROM_ALL "${directory}/tern_tls.cpp")
    add_library(tern::compiled_tls ALIAS tern_compiled_tls)
    target_link_libraries(tern_compiled_tls PUBLIC tern::compiled tern::tls)
endfunction()
