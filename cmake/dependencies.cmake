# The dependencies of Tern, its examples and its tests. A call of a tern_need_ macro searches the system for the
# dependency. If it is not installed, the macro downloads a release that is pinned by its hash. All targets are global,
# because a project that adds Tern as a subdirectory links them, too.
include(FetchContent)
include("${CMAKE_CURRENT_LIST_DIR}/packages.cmake")
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
)
FetchContent_Declare(
    fmt ${_tern_system}
    URL https://github.com/fmtlib/fmt/archive/refs/tags/10.2.1.tar.gz
    URL_HASH SHA256=1250e4cc58bf06ee631567523f48848dc4596133e163f02615c97f78bab6c811
    DOWNLOAD_EXTRACT_TIMESTAMP TRUE
)
FetchContent_Declare(
    Catch2 ${_tern_system}
    URL https://github.com/catchorg/Catch2/archive/refs/tags/v3.7.1.tar.gz
    URL_HASH SHA256=c991b247a1a0d7bb9c39aa35faf0fe9e19764213f28ffba3109388e62ee0269c
    DOWNLOAD_EXTRACT_TIMESTAMP TRUE
)
FetchContent_Declare(
    CLI11 ${_tern_system}
    URL https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.4.2.tar.gz
    URL_HASH SHA256=f2d893a65c3b1324c50d4e682c0cdc021dd0477ae2c048544f39eed6654b699a
    DOWNLOAD_EXTRACT_TIMESTAMP TRUE
)

# Says what to install before a download that may fail, or instead of one that is forbidden.
function(tern_announce_download name)
    tern_packages(how ${name})
    string(TOLOWER "${name}" lower)
    string(TOUPPER "${name}" upper)
    if(FETCHCONTENT_FULLY_DISCONNECTED AND NOT FETCHCONTENT_SOURCE_DIR_${upper}
       AND NOT EXISTS "${FETCHCONTENT_BASE_DIR}/${lower}-src"
    )
        message(FATAL_ERROR "${name} is not installed, and FETCHCONTENT_FULLY_DISCONNECTED forbids a download. ${how}")
    endif()
    message(STATUS "${name} is not installed: downloading it. If that fails: ${how}")
endfunction()

# tern_need(<name> <target> <argument of find_package>...): defines the target of a dependency.
macro(tern_need name target)
    if(NOT TARGET ${target} AND NOT FETCHCONTENT_TRY_FIND_PACKAGE_MODE STREQUAL "NEVER")
        find_package(${name} ${ARGN} QUIET GLOBAL)
    endif()
    if(NOT TARGET ${target})
        tern_announce_download(${name})
        FetchContent_MakeAvailable(${name})
    endif()
endmacro()

# Defines Asio::asio, and TERN_FETCHED_ASIO (its directory) if Asio is downloaded.
macro(tern_need_asio)
    tern_need(Asio Asio::asio 1.22 MODULE)
    if(NOT TARGET Asio::asio)
        set(TERN_FETCHED_ASIO "${asio_SOURCE_DIR}/asio")
        add_library(Asio::asio INTERFACE IMPORTED GLOBAL)
        target_include_directories(Asio::asio INTERFACE "${TERN_FETCHED_ASIO}/include")
    endif()
endmacro()

# Defines fmt::fmt, unless TERN_FORMAT is AUTO and fmt is not installed. A downloaded fmt is installed together with
# Tern. A cross build uses no library of the host, unless it is told to.
macro(tern_find_fmt)
    if(NOT TERN_FORMAT STREQUAL "AUTO")
        set(FMT_INSTALL ${TERN_INSTALL})
        tern_need(fmt fmt::fmt 9 CONFIG)
    elseif(NOT TARGET fmt::fmt AND NOT CMAKE_CROSSCOMPILING)
        find_package(fmt 9 CONFIG QUIET GLOBAL)
    endif()
    if(NOT TARGET fmt::fmt)
        message(STATUS "tern::format is left out: fmt 9 or newer is not installed")
    endif()
endmacro()

# Defines OpenSSL::SSL and OpenSSL::Crypto, unless TERN_TLS is AUTO and OpenSSL is not installed. A library for security
# must get its updates from the system, so it is never downloaded.
macro(tern_find_openssl)
    if(NOT TARGET OpenSSL::SSL AND NOT (TERN_TLS STREQUAL "AUTO" AND CMAKE_CROSSCOMPILING))
        find_package(OpenSSL 1.1.1 QUIET)
        if(TARGET OpenSSL::SSL)
            set_target_properties(OpenSSL::SSL OpenSSL::Crypto PROPERTIES IMPORTED_GLOBAL TRUE)
        elseif(NOT TERN_TLS STREQUAL "AUTO")
            tern_packages(_tern_how OpenSSL)
            message(FATAL_ERROR "TERN_TLS needs OpenSSL 1.1.1 or newer. ${_tern_how}")
        endif()
    endif()
    if(NOT TARGET OpenSSL::SSL)
        message(STATUS "tern::tls is left out: OpenSSL 1.1.1 or newer is not installed")
    endif()
endmacro()

# Defines Catch2::Catch2, version 2.13 or 3, and catch_discover_tests().
macro(tern_need_catch2)
    tern_need(Catch2 Catch2::Catch2 CONFIG)
    if(DEFINED catch2_SOURCE_DIR)
        list(APPEND CMAKE_MODULE_PATH "${catch2_SOURCE_DIR}/extras")
    endif()
    include(Catch)
endmacro()

# Defines CLI11::CLI11.
macro(tern_need_cli11)
    tern_need(CLI11 CLI11::CLI11 CONFIG)
endmacro()
