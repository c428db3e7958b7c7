// Counts the C and C++ allocations of a program that preloads it:
//
//     LD_PRELOAD=libcount_allocations.so bench_limit ...
//
// It forwards to glibc's internal names, because dlsym() would allocate.
#include <atomic>
#include <cerrno>
#include <cstddef>

namespace {

std::atomic<unsigned long long> allocations;

void count() {
    allocations.fetch_add(1, std::memory_order_relaxed);
}

} // namespace

extern "C" {

void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

unsigned long long bench_allocations() {
    return allocations.load(std::memory_order_relaxed);
}

void* malloc(std::size_t size) {
    count();
    return __libc_malloc(size);
}

void* calloc(std::size_t number, std::size_t size) {
    count();
    return __libc_calloc(number, size);
}

void* realloc(void* block, std::size_t size) {
    count();
    return __libc_realloc(block, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
    count();
    if (alignment % sizeof(void*) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
    void* const result = __libc_memalign(alignment, size);
    if (result == nullptr) return ENOMEM;
    *block = result;
    return 0;
}
}
