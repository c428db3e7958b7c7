#include "tern/core.hpp"

int main() {
    return tern::matches("house/+/light", "house/kitchen/light") ? 0 : 1;
}
