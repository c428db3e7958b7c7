# The toolchain of the presets with Clang: clang++-19, which the project is checked with, or else clang++.
find_program(TERN_CLANG NAMES clang++-19 clang++ REQUIRED)
set(CMAKE_CXX_COMPILER "${TERN_CLANG}")
