# The dependencies of Tern, its examples and its tests. A call of a tern_need_ macro searches the system for the
# dependency. If it is not installed, the macro downloads a release that is pinned by its hash. All targets are global,
# because a project that adds Tern as a subdirectory links them, too.
include(FetchContent)
list(APPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_LIST_DIR}")

# SYSTEM suppresses warnings in downloaded headers. CMake 3.24 does not support it here.
set(_tern_system)
if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.25)
    set(_tern_system SYSTEM)
endif()

FetchContent_Declare(
    Asio ${_tern_system}
    URL https://github.com/chriskohlhoff/asio/archive/refs/tags/asio-1-30-2.tar.gz
    URL_HASH SHA256=755bd7f85a4b269c67ae0ea254907c078d408cce8e1a352ad2ed664d233780e8
    DOWNLOAD_EXTRACT_TIMESTAMP TRUE
    SOURCE_SUBDIR asio/include # has no CMakeLists.txt, so nothing is built
    FIND_PACKAGE_ARGS 1.22 MODULE GLOBAL
)
FetchContent_Declare(
    fmt ${_tern_system}
    URL https://github.com/fmtlib/fmt/archive/refs/tags/10.2.1.tar.gz
    URL_HASH SHA256=1250e4cc58bf06ee631567523f48848dc4596133e163f02615c97f78bab6c811
    DOWNLOAD_EXTRACT_TIMESTAMP TRUE
    FIND_PACKAGE_ARGS 9 CONFIG GLOBAL
)
FetchContent_Declare(
    Catch2 ${_tern_system}
    URL https://github.com/catchorg/Catch2/archive/refs/tags/v3.7.1.tar.gz
    URL_HASH SHA256=c991b247a1a0d7bb9c39aa35faf0fe9e19764213f28ffba3109388e62ee0269c
    DOWNLOAD_EXTRACT_TIMESTAMP TRUE
    FIND_PACKAGE_ARGS CONFIG GLOBAL
)
FetchContent_Declare(
    CLI11 ${_tern_system}
    URL https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.4.2.tar.gz
    URL_HASH SHA256=f2d893a65c3b1324c50d4e682c0cdc021dd0477ae2c048544f39eed6654b699a
    DOWNLOAD_EXTRACT_TIMESTAMP TRUE
    FIND_PACKAGE_ARGS CONFIG GLOBAL
)

# Defines Asio::asio, and TERN_FETCHED_ASIO (the include directory) if Asio is downloaded.
macro(tern_need_asio)
    if(NOT TARGET Asio::asio)
        FetchContent_MakeAvailable(Asio)
    endif()
    if(NOT TARGET Asio::asio)
        set(TERN_FETCHED_ASIO "${asio_SOURCE_DIR}/asio/include")
        add_library(Asio::asio INTERFACE IMPORTED GLOBAL)
        target_include_directories(Asio::asio INTERFACE "${TERN_FETCHED_ASIO}")
    endif()
endmacro()

# Defines fmt::fmt. A downloaded fmt is installed together with Tern.
macro(tern_need_fmt)
    if(NOT TARGET fmt::fmt)
        set(FMT_INSTALL ${TERN_INSTALL})
        FetchContent_MakeAvailable(fmt)
    endif()
endmacro()

# Defines Catch2::Catch2, version 2.13 or 3, and catch_discover_tests().
macro(tern_need_catch2)
    if(NOT TARGET Catch2::Catch2)
        FetchContent_MakeAvailable(Catch2)
        if(DEFINED catch2_SOURCE_DIR)
            list(APPEND CMAKE_MODULE_PATH "${catch2_SOURCE_DIR}/extras")
        endif()
    endif()
    include(Catch)
endmacro()

# Defines CLI11::CLI11.
macro(tern_need_cli11)
    if(NOT TARGET CLI11::CLI11)
        FetchContent_MakeAvailable(CLI11)
    endif()
endmacro()

# Defines OpenSSL::SSL and OpenSSL::Crypto, if TERN_TLS is ON or OpenSSL is installed. A library for security must get
# its updates from the system, so it is never downloaded.
macro(tern_find_openssl)
    if(NOT TARGET OpenSSL::SSL)
        if(TERN_TLS STREQUAL AUTO)
            find_package(OpenSSL 1.1.1 QUIET)
        else()
            find_package(OpenSSL 1.1.1 REQUIRED)
        endif()
        if(TARGET OpenSSL::SSL)
            set_target_properties(OpenSSL::SSL OpenSSL::Crypto PROPERTIES IMPORTED_GLOBAL TRUE)
        endif()
    endif()
endmacro()
