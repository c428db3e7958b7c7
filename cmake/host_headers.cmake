# Offers the header-only libraries of the host to a cross build: Asio, fmt, Catch2 and CLI11. The preset includes this
# file after project(). The compiler must not see the other headers of the host, so the libraries are linked into a
# directory of their own.
find_path(TERN_HOST_HEADERS asio.hpp PATHS /usr/include NO_CMAKE_FIND_ROOT_PATH REQUIRED)
mark_as_advanced(TERN_HOST_HEADERS)
set(_tern_headers "${CMAKE_BINARY_DIR}/host_headers")
file(MAKE_DIRECTORY "${_tern_headers}")
foreach(_tern_header IN ITEMS asio asio.hpp fmt catch2 CLI)
    if(EXISTS "${TERN_HOST_HEADERS}/${_tern_header}")
        file(CREATE_LINK "${TERN_HOST_HEADERS}/${_tern_header}" "${_tern_headers}/${_tern_header}" SYMBOLIC)
    endif()
endforeach()

foreach(_tern_library IN ITEMS Asio::asio fmt::fmt Catch2::Catch2 CLI11::CLI11)
    if(NOT TARGET ${_tern_library})
        add_library(${_tern_library} INTERFACE IMPORTED GLOBAL)
        target_include_directories(${_tern_library} INTERFACE "${_tern_headers}")
    endif()
endforeach()
target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY)
list(APPEND CMAKE_MODULE_PATH /usr/lib/cmake/Catch2) # catch_discover_tests()
unset(_tern_headers)
