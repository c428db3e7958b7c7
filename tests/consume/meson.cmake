# Builds and runs the consumer of Meson: cmake -DMESON= -DTERN_SOURCE_DIR= -DDIRECTORY= -DCOMPILER= -P meson.cmake
cmake_minimum_required(VERSION 3.24)
file(REMOVE_RECURSE "${DIRECTORY}")
file(COPY "${CMAKE_CURRENT_LIST_DIR}/meson/meson.build" "${CMAKE_CURRENT_LIST_DIR}/main.cpp" DESTINATION "${DIRECTORY}")
file(MAKE_DIRECTORY "${DIRECTORY}/subprojects")
file(CREATE_LINK "${TERN_SOURCE_DIR}" "${DIRECTORY}/subprojects/tern" SYMBOLIC)
set(ENV{CXX} "${COMPILER}")
execute_process(
    COMMAND "${MESON}" setup build COMMAND_ERROR_IS_FATAL ANY WORKING_DIRECTORY "${DIRECTORY}" COMMAND_ECHO STDOUT
)
execute_process(COMMAND "${MESON}" compile -C build COMMAND_ERROR_IS_FATAL ANY WORKING_DIRECTORY "${DIRECTORY}")
execute_process(COMMAND "${DIRECTORY}/build/consumer" COMMAND_ERROR_IS_FATAL ANY)
