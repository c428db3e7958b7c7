# An overlay port that builds the checkout it lies in:
#   vcpkg install tern --overlay-ports=<checkout>/cmake/vcpkg
# The test consume/install runs this very file with stand-ins for the functions of vcpkg.
cmake_path(SET SOURCE_PATH NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../..")

set(VCPKG_BUILD_TYPE release) # there are only headers

vcpkg_check_features(OUT_FEATURE_OPTIONS features FEATURES format TERN_FORMAT compiled TERN_COMPILED)
vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS -DTERN_TESTS=OFF -DTERN_EXAMPLES=OFF -DTERN_BENCHMARKS=OFF ${features}
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup()

vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
