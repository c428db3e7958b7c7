// Uses the core as a program would that has no exceptions, no run-time type information and no Asio.
#if defined(__GNUC__)
#pragma GCC poison asio
#endif

#include "tern/core.hpp"

int main() {
    return tern::matches("house/+/light", "house/kitchen/light") ? 0 : 1;
}
