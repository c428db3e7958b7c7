// Uses the core without exceptions, run-time type information and Asio.
#if defined(__GNUC__)
#pragma GCC poison asio
#endif

#include "tern/core.hpp"

int main() {
    return tern::matches("house/+/light", "house/kitchen/light") ? 0 : 1;
}
