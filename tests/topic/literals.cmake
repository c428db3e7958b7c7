# Compiles valid and invalid topic literals, and checks the output of the compiler.
#
#     cmake -DCOMPILER=... -DMSVC=... -DFLAGS=... -DINCLUDE=... -DWORK=... -P literals.cmake
if(MSVC)
    set(options /nologo /std:c++20 /utf-8 /EHsc /Zs)
else()
    set(options -std=c++20 -fsyntax-only)
endif()
separate_arguments(flags NATIVE_COMMAND "${FLAGS}")

# compile(<expression> [<text in the compiler's output>]): without a text, the expression must compile.
function(compile expression)
    set(file "${WORK}/literal.cpp")
    file(WRITE "${file}" "#include <tern/topic.hpp>\nusing namespace tern::literals;\nauto topic = ${expression};\n")
    execute_process(
        COMMAND "${COMPILER}" ${flags} ${options} "-I${INCLUDE}" "${file}"
        RESULT_VARIABLE exit
        OUTPUT_VARIABLE output
        ERROR_VARIABLE output
    )
    if(ARGC EQUAL 1)
        if(NOT exit EQUAL 0)
            message(SEND_ERROR "${expression} must compile:\n${output}")
        endif()
    elseif(exit EQUAL 0)
        message(SEND_ERROR "${expression} must not compile")
    elseif(NOT output MATCHES "${ARGV1}")
        message(SEND_ERROR "${expression}: the compiler's output must contain \"${ARGV1}\", but it is:\n${output}")
    endif()
endfunction()

compile([["a/b"_topic]])
compile([["a/+/#"_filter]])
compile([["$share/group/a/#"_filter]])
compile([[""_topic]] this_topic_is_empty)
compile([[""_filter]] this_topic_is_empty)
compile([["a+"_topic]] this_topic_name_contains_a_wildcard)
compile([["a/#"_topic]] this_topic_name_contains_a_wildcard)
compile([["a/#/b"_filter]] this_topic_filter_has_a_misplaced_wildcard)
compile([["a+"_filter]] this_topic_filter_has_a_misplaced_wildcard)
compile([["$share/group"_filter]] bad_share_name)
compile([["a\0b"_topic]] this_topic_is_not_valid_utf8)
compile([["a/\xED\xA0\x80"_filter]] this_topic_is_not_valid_utf8)
