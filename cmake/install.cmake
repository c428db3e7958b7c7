# Installs the headers, the licence and the CMake package. The package is in share/tern, where find_package and vcpkg
# expect it. The targets of each dependency have their own export set, so that ternConfig.cmake can omit those whose
# dependency is missing.
include(CMakePackageConfigHelpers)
set(_tern_package_dir "${CMAKE_INSTALL_DATADIR}/tern")

install(DIRECTORY include/tern DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/licenses/tern")
install(TARGETS tern_core EXPORT tern-core)
set(_tern_exports core)
if(TERN_ASIO)
    install(TARGETS tern tern_testing EXPORT tern-asio)
    list(APPEND _tern_exports asio)
endif()
if(TARGET tern_format)
    install(TARGETS tern_format EXPORT tern-format)
    list(APPEND _tern_exports format)
endif()
if(TARGET tern_tls)
    install(TARGETS tern_tls EXPORT tern-tls)
    list(APPEND _tern_exports tls)
endif()
foreach(_tern_export IN LISTS _tern_exports)
    install(EXPORT tern-${_tern_export} NAMESPACE tern:: DESTINATION "${_tern_package_dir}")
endforeach()

# The library of the compiled form is made by the project that uses it.
if(TERN_COMPILED AND TERN_ASIO)
    install(FILES src/tern.cpp src/tern_tls.cpp cmake/compiled.cmake DESTINATION "${_tern_package_dir}")
endif()

# Installs a downloaded Asio in the directory that FindAsio.cmake searches first.
if(TERN_FETCHED_ASIO)
    install(
        DIRECTORY "${TERN_FETCHED_ASIO}/include/" DESTINATION "${_tern_package_dir}/asio"
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.ipp"
    )
    install(FILES "${TERN_FETCHED_ASIO}/LICENSE_1_0.txt" DESTINATION "${_tern_package_dir}/asio")
endif()

configure_package_config_file(
    cmake/ternConfig.cmake.in "${PROJECT_BINARY_DIR}/ternConfig.cmake" INSTALL_DESTINATION "${_tern_package_dir}"
    NO_SET_AND_CHECK_MACRO
)
write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/ternConfigVersion.cmake" COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT
)
install(
    FILES "${PROJECT_BINARY_DIR}/ternConfig.cmake" "${PROJECT_BINARY_DIR}/ternConfigVersion.cmake"
          "${PROJECT_SOURCE_DIR}/cmake/FindAsio.cmake" "${PROJECT_SOURCE_DIR}/cmake/packages.cmake"
    DESTINATION "${_tern_package_dir}"
)
