# The toolchain of the preset mingw: MinGW-w64 with POSIX threads, as Debian has it, and Wine to run the programs.
# Programs are linked statically, because Wine does not find the compiler's libraries.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
find_program(TERN_MINGW NAMES x86_64-w64-mingw32-g++-posix x86_64-w64-mingw32-g++ REQUIRED)
set(CMAKE_CXX_COMPILER "${TERN_MINGW}")
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
# Asio asks the user for the version of Windows. GCC 12 warns by mistake if it inlines one of the two functions that
# allocate and free the frames of Asio's coroutines, but not the other, and if it moves an empty std::optional.
set(CMAKE_CXX_FLAGS_INIT "-D_WIN32_WINNT=0x0A00 -Wno-mismatched-new-delete -Wno-maybe-uninitialized")
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
# TERN_MINGW_OPENSSL may name a directory with an OpenSSL for Windows.
set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32 $ENV{TERN_MINGW_OPENSSL})
set(OPENSSL_ROOT_DIR "$ENV{TERN_MINGW_OPENSSL}")
set(OPENSSL_USE_STATIC_LIBS ON)
if(DEFINED ENV{TERN_MINGW_OPENSSL})
    set(TERN_TLS ON CACHE STRING "Provide tern::tls" FORCE) # also in a directory that had none
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR
    env WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml= "WINEPREFIX=${CMAKE_BINARY_DIR}/wine" wine
)
