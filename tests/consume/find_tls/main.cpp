// A program that uses TLS.
#include "tern/tern.hpp"
#include "tern/transport/tls_context.hpp"

#include <cstdio>
#include <system_error>

int main() {
    std::error_code error;
    const tern::tls_context context;
    const bool is_loaded = context.load(error) != nullptr;
    std::puts(is_loaded ? "the system's authorities are loaded" : error.message().c_str());
    return 0;
}
