// Counts the allocations of OpenSSL, which are not those of the client.
#include "support/bench.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <openssl/crypto.h>

namespace {

std::atomic<unsigned long long> allocations;

void* allocate(std::size_t size, const char*, int) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return std::malloc(size);
}

void* reallocate(void* block, std::size_t size, const char*, int) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return std::realloc(block, size);
}

void release(void* block, const char*, int) {
    std::free(block);
}

// OpenSSL accepts the functions only before its first allocation.
const bool is_set = [] {
    if (CRYPTO_set_mem_functions(&allocate, &reallocate, &release) != 1) bench::fail("CRYPTO_set_mem_functions");
    return true;
}();

} // namespace

extern "C" unsigned long long bench_openssl_allocations() {
    return is_set ? allocations.load(std::memory_order_relaxed) : 0;
}
