# Preprocesses headers as if the compiler, Asio or the settings did not suffice, and checks that a sentence says so.
#
#     cmake -DCOMPILER=... -DFLAGS=... -DINCLUDES=... -DWORK=... -P requirements.cmake
separate_arguments(flags NATIVE_COMMAND "${FLAGS}")
list(TRANSFORM INCLUDES PREPEND -I)
set(file "${WORK}/requirements.cpp")

# preprocess(<header> [<text in the compiler's output> <option>...]): without a text, there is no error.
function(preprocess header)
    file(WRITE "${file}" "#include <tern/${header}>\n")
    list(SUBLIST ARGN 1 -1 options)
    execute_process(
        COMMAND "${COMPILER}" ${flags} -std=c++20 -E -DASIO_STANDALONE ${options} ${INCLUDES} "${file}"
        RESULT_VARIABLE exit
        OUTPUT_QUIET
        ERROR_VARIABLE output
    )
    if(ARGC EQUAL 1)
        if(NOT exit EQUAL 0)
            message(SEND_ERROR "${header} must be accepted:\n${output}")
        endif()
    elseif(exit EQUAL 0)
        message(SEND_ERROR "${header} with ${options} must be refused")
    else()
        string(FIND "${output}" "${ARGV1}" found)
        if(found EQUAL -1)
            message(SEND_ERROR "${header} with ${options}: the output must contain \"${ARGV1}\", but it is:\n${output}")
        endif()
    endif()
endfunction()

# The headers that programs include, and the lowest ones.
foreach(header IN ITEMS core.hpp tern.hpp topic.hpp errc.hpp types.hpp fwd.hpp endpoint.hpp session/time.hpp)
    preprocess(${header})
    preprocess(${header} "Tern needs C++20" -std=c++17)
endforeach()

set(compiler config.hpp)
set(not_clang -U__clang__ -U__apple_build_version__)
preprocess(${compiler} "Tern needs Clang 14 or newer" -U__apple_build_version__ -D__clang__ -U__clang_major__
           -D__clang_major__=13)
preprocess(${compiler} "Tern needs Apple Clang 15" -D__apple_build_version__=1 -D__clang__ -U__clang_major__
           -D__clang_major__=14)
preprocess(${compiler} "Tern needs GCC 11 or newer" ${not_clang} -U__GNUC__ -D__GNUC__=10)
preprocess(${compiler} "Tern needs MSVC 19.30" ${not_clang} -U__GNUC__ -D_MSC_VER=1929)

file(WRITE "${WORK}/old/asio/version.hpp" "#define ASIO_VERSION 102100\n")
foreach(header IN ITEMS tern.hpp transport/tcp.hpp testing/broker.hpp)
    preprocess(${header} "Tern needs standalone Asio 1.22 or newer" "-I${WORK}/old")
    preprocess(${header} "Tern's transports and clients need exceptions" -fno-exceptions)
endforeach()
