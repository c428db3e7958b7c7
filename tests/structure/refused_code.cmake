# compile([<macro> <text>...]): compiles SOURCE with the macro. Without a macro it must compile, with one the compiler
# must refuse it with one of the texts.
#
# A script that includes this gets -DCOMPILER=... -DFLAGS=... -DINCLUDES=... -DSOURCE=...
separate_arguments(flags NATIVE_COMMAND "${FLAGS}")
list(TRANSFORM INCLUDES PREPEND -I)

function(compile)
    set(macro)
    if(ARGC GREATER 0)
        set(macro -D${ARGV0})
    endif()
    execute_process(
        COMMAND "${COMPILER}" ${flags} -std=c++20 -fsyntax-only -DASIO_STANDALONE ${macro} ${INCLUDES} "${SOURCE}"
        RESULT_VARIABLE exit
        OUTPUT_VARIABLE output
        ERROR_VARIABLE output
    )
    if(ARGC EQUAL 0)
        if(NOT exit EQUAL 0)
            message(SEND_ERROR "without a macro it must compile:\n${output}")
        endif()
        return()
    elseif(exit EQUAL 0)
        message(SEND_ERROR "${ARGV0} must not compile")
        return()
    endif()
    set(texts ${ARGN})
    list(REMOVE_AT texts 0)
    foreach(text IN LISTS texts)
        string(FIND "${output}" "${text}" found)
        if(NOT found EQUAL -1)
            return()
        endif()
    endforeach()
    message(SEND_ERROR "${ARGV0}: the compiler's output must contain one of \"${texts}\", but it is:\n${output}")
endfunction()
