# Compiles clients on transports that lack something, and checks that the compiler says what.
#
#     cmake -DCOMPILER=... -DFLAGS=... -DINCLUDES=... -DSOURCE=... -P incomplete_transport.cmake
include("${CMAKE_CURRENT_LIST_DIR}/refused_code.cmake")

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
