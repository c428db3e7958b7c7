# The toolchain of the preset "clang": the Clang that the project is checked with, or else the newest default one.
find_program(TERN_CLANG NAMES clang++-19 clang++ REQUIRED)
set(CMAKE_CXX_COMPILER "${TERN_CLANG}")
