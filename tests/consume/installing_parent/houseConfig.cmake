include(CMakeFindDependencyMacro)
find_dependency(tern)
include("${CMAKE_CURRENT_LIST_DIR}/house.cmake")
