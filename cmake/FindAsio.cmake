# Finds standalone Asio and defines the target Asio::asio and Asio_VERSION.
#
# It uses a target or package asio::asio (vcpkg, Conan) if there is one. Otherwise it searches for the headers, because
# Asio's own build and most distributions provide no CMake package. Set Asio_INCLUDE_DIR if they are in an unusual
# directory. This file is also installed beside ternConfig.cmake.
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
find_package_handle_standard_args(
    Asio
    REQUIRED_VARS Asio_INCLUDE_DIR
    VERSION_VAR Asio_VERSION
    REASON_FAILURE_MESSAGE "Install Asio >= 1.22 (standalone, header-only) or set Asio_INCLUDE_DIR."
)

if(Asio_FOUND AND NOT TARGET Asio::asio)
    add_library(Asio::asio INTERFACE IMPORTED)
    if(TARGET asio::asio)
        target_link_libraries(Asio::asio INTERFACE asio::asio)
    else()
        target_include_directories(Asio::asio INTERFACE "${Asio_INCLUDE_DIR}")
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
