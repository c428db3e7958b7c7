# Compiles clients on transports that lack something, and checks that the compiler says what.
#
#     cmake -DCOMPILER=... -DFLAGS=... -DINCLUDES=... -DSOURCE=... -P incomplete_transport.cmake
separate_arguments(flags NATIVE_COMMAND "${FLAGS}")
list(TRANSFORM INCLUDES PREPEND -I)

# compile([<macro> <text in the compiler's output>]): without a text, the file must compile.
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
            message(SEND_ERROR "a complete transport must compile:\n${output}")
        endif()
    elseif(exit EQUAL 0)
        message(SEND_ERROR "${ARGV0} must not compile")
    else()
        string(FIND "${output}" "${ARGV1}" found)
        if(found EQUAL -1)
            message(SEND_ERROR "${ARGV0}: the compiler's output must contain \"${ARGV1}\", but it is:\n${output}")
        endif()
    endif()
endfunction()

compile()
compile(WITHOUT_EXECUTOR_TYPE "A transport has a type executor_type.")
compile(WITHOUT_MOVING "A transport can be moved.")
compile(WITHOUT_GET_EXECUTOR "A transport has a function executor_type get_executor().")
compile(WITHOUT_OPEN "A transport has a function async_open(endpoint, open_timeouts, token).")
compile(WITHOUT_PHASE "A transport has a function connection_phase opening_phase() const noexcept.")
compile(WITHOUT_READ "A transport has a function async_read_some(buffer, token).")
compile(WITHOUT_WRITE "A transport has a function async_write_some(buffers, token).")
compile(WITHOUT_SHUTDOWN "A transport has a function void shutdown_send() noexcept.")
compile(WITH_THROWING_CLOSE "A transport has a function void close() noexcept.")
compile(WITHOUT_READ_AT_ONCE "A transport with async_wait_read also has")
compile(WITH_WRONG_WRITE_AT_ONCE "The function write_some(buffers, std::error_code&) of a transport is noexcept")
