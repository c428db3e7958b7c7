# Defines tern::compiled: Tern, with the engine behind its clients compiled once. The library is made of one source file,
# by the project that uses it, with the settings of that project. This file is also installed, beside that source file.
#
# tern_define_compiled(<directory of tern.cpp>)
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
    if(TERN_COMPILED_WITH_ASIO)
        target_compile_definitions(tern_compiled PUBLIC ASIO_SEPARATE_COMPILATION)
    else()
        target_compile_definitions(tern_compiled PRIVATE TERN_WITHOUT_ASIO_SOURCE)
    endif()
endfunction()
