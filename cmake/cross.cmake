# The toolchain of `./dev test cross`: TERN_CROSS names an architecture as Debian does. Debian's cross compiler builds
# the tests, with the header-only libraries of the host, and QEMU runs them.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TERN_CROSS)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_PROJECT_INCLUDE "${CMAKE_CURRENT_LIST_DIR}/host_headers.cmake")

if(TERN_CROSS STREQUAL "armhf")
    set(CMAKE_SYSTEM_PROCESSOR arm)
    set(TERN_CROSS_TRIPLET arm-linux-gnueabihf)
    set(CMAKE_CXX_FLAGS_INIT -Wno-psabi) # notes that GCC 7 changed how parameters are passed
elseif(TERN_CROSS STREQUAL "arm64")
    set(CMAKE_SYSTEM_PROCESSOR aarch64)
    set(TERN_CROSS_TRIPLET aarch64-linux-gnu)
elseif(TERN_CROSS STREQUAL "s390x")
    set(CMAKE_SYSTEM_PROCESSOR s390x)
    set(TERN_CROSS_TRIPLET s390x-linux-gnu)
elseif(TERN_CROSS STREQUAL "i386")
    set(CMAKE_SYSTEM_PROCESSOR i386)
    set(TERN_CROSS_TRIPLET i686-linux-gnu)
else()
    message(FATAL_ERROR "TERN_CROSS is '${TERN_CROSS}', but must be armhf, arm64, s390x or i386")
endif()

set(CMAKE_CXX_COMPILER ${TERN_CROSS_TRIPLET}-g++)
set(_tern_libraries /usr/${TERN_CROSS_TRIPLET})

# Most kernels for x86-64 run programs for i386.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${CMAKE_SYSTEM_PROCESSOR} -L ${_tern_libraries})
if(TERN_CROSS STREQUAL "i386")
    set(_tern_loader ${_tern_libraries}/lib/ld-linux.so.2)
    execute_process(COMMAND ${_tern_loader} --version RESULT_VARIABLE _tern_refused OUTPUT_QUIET ERROR_QUIET)
    if(_tern_refused EQUAL 0)
        set(CMAKE_CROSSCOMPILING_EMULATOR ${_tern_loader} --library-path ${_tern_libraries}/lib)
    endif()
endif()
