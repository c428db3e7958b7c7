# An overlay port that builds the checkout that contains it:
#   vcpkg install tern --overlay-ports=<checkout>/cmake/vcpkg
# The test consume/install runs this file with replacements for vcpkg's functions.
cmake_path(SET SOURCE_PATH NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../..")

set(VCPKG_BUILD_TYPE release) # headers need no debug build

vcpkg_check_features(OUT_FEATURE_OPTIONS features FEATURES format TERN_FORMAT compiled TERN_COMPILED tls TERN_TLS)
vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS -DTERN_TESTS=OFF -DTERN_EXAMPLES=OFF -DTERN_BENCHMARKS=OFF ${features}
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup()

vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
