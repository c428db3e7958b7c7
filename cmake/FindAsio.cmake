# Finds standalone Asio and defines the target Asio::asio and Asio_VERSION.
#
# It uses a target or package asio::asio (vcpkg, Conan) if there is one. Otherwise it searches for the headers, because
# Asio's own build and most distributions provide no CMake package. Set Asio_INCLUDE_DIR if they are in an unusual
# directory. This file is also installed beside ternConfig.cmake.
include("${CMAKE_CURRENT_LIST_DIR}/packages.cmake")
if(NOT TARGET asio::asio)
    find_package(asio CONFIG QUIET)
endif()

if(TARGET asio::asio)
    get_target_property(_asio_include_dirs asio::asio INTERFACE_INCLUDE_DIRECTORIES)
    find_path(Asio_INCLUDE_DIR NAMES asio/version.hpp HINTS ${_asio_include_dirs})
    unset(_asio_include_dirs)
else()
    # An install of Tern that has downloaded Asio contains its headers.
    find_path(Asio_INCLUDE_DIR NAMES asio/version.hpp HINTS "${CMAKE_CURRENT_LIST_DIR}/asio")
    # Asio is the same for all systems, so that of the host serves a cross build, too.
    if(CMAKE_CROSSCOMPILING)
        find_path(
            Asio_INCLUDE_DIR NAMES asio/version.hpp PATHS /usr/include /usr/local/include /opt/homebrew/include
            NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH
        )
    endif()
endif()
mark_as_advanced(Asio_INCLUDE_DIR)

if(Asio_INCLUDE_DIR)
    file(STRINGS "${Asio_INCLUDE_DIR}/asio/version.hpp" _asio_version REGEX "#define ASIO_VERSION ")
    string(REGEX MATCH "[0-9]+" _asio_version "${_asio_version}")
    math(EXPR _asio_major "${_asio_version} / 100000")
    math(EXPR _asio_minor "${_asio_version} / 100 % 1000")
    math(EXPR _asio_patch "${_asio_version} % 100")
    set(Asio_VERSION "${_asio_major}.${_asio_minor}.${_asio_patch}")
endif()

include(FindPackageHandleStandardArgs)
tern_packages(_asio_how Asio)
find_package_handle_standard_args(
    Asio
    REQUIRED_VARS Asio_INCLUDE_DIR
    VERSION_VAR Asio_VERSION
    REASON_FAILURE_MESSAGE
        "Tern needs standalone Asio 1.22 or newer. ${_asio_how} Or set Asio_INCLUDE_DIR to the directory of asio.hpp."
)

# A cross compiler must not see the other headers of the host, so Asio's are copied into a directory of their own.
set(_asio_headers "${Asio_INCLUDE_DIR}")
if(Asio_FOUND AND CMAKE_CROSSCOMPILING AND NOT TARGET asio::asio
   AND NOT Asio_INCLUDE_DIR IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES
)
    set(_asio_headers "${CMAKE_BINARY_DIR}/asio-headers")
    file(COPY "${Asio_INCLUDE_DIR}/asio" "${Asio_INCLUDE_DIR}/asio.hpp" DESTINATION "${_asio_headers}")
endif()

if(Asio_FOUND AND NOT TARGET Asio::asio)
    add_library(Asio::asio INTERFACE IMPORTED)
    if(TARGET asio::asio)
        target_link_libraries(Asio::asio INTERFACE asio::asio)
    else()
        target_include_directories(Asio::asio INTERFACE "${_asio_headers}")
    endif()
    # Asio before 1.24 searches Clang's coroutines only in <experimental/coroutine>. Users may define these two macros,
    # so defining them where Asio would do so itself is harmless.
    if(Asio_VERSION VERSION_LESS 1.24)
        set(_asio_new_clang
            "$<AND:$<CXX_COMPILER_ID:Clang,AppleClang>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,14>>"
        )
        target_compile_definitions(
            Asio::asio INTERFACE "$<${_asio_new_clang}:ASIO_HAS_CO_AWAIT;ASIO_HAS_STD_COROUTINE>"
        )
    endif()
endif()
