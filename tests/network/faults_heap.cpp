#include "faults_heap.hpp"

#include <cstdlib>
#include <new>

namespace {

std::size_t blocks_in_use = 0;
std::size_t counted = 0;
std::size_t failed = 0;
std::size_t fail_from = 0; // 0: none
std::size_t fail_count = 0;
bool in_tested = false;

void* allocate(std::size_t size) noexcept {
    if (in_tested && fail_from != 0 && ++counted >= fail_from && counted - fail_from < fail_count) {
        ++failed;
        return nullptr;
    }
    void* const p = std::malloc(size != 0 ? size : 1);
    if (!p) std::abort();
    ++blocks_in_use;
    return p;
}

void release(void* p) noexcept {
    if (p) --blocks_in_use;
    std::free(p);
}

} // namespace

std::size_t heap::live() noexcept {
    return blocks_in_use;
}
void heap::fail(std::size_t nth, std::size_t count) noexcept {
    fail_from = nth;
    fail_count = count;
    counted = failed = 0;
}
void heap::fail_no_more() noexcept {
    fail_from = 0;
}
std::size_t heap::allocations() noexcept {
    return counted;
}
std::size_t heap::failures() noexcept {
    return failed;
}
void heap::touch() {
    operator delete(operator new(1));
}
heap::section::section(bool tested) noexcept : before_(in_tested) {
    in_tested = tested;
}
heap::section::~section() {
    in_tested = before_;
}

void* operator new(std::size_t size) {
    if (void* const p = allocate(size)) return p;
    throw std::bad_alloc{};
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size);
}
void operator delete(void* p) noexcept {
    release(p);
}
void operator delete(void* p, const std::nothrow_t&) noexcept {
    release(p);
}
void operator delete(void* p, std::size_t) noexcept {
    release(p);
}
// Without sanitizers the following would call the above by themselves.
void* operator new[](std::size_t size) {
    return operator new(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size);
}
void operator delete[](void* p) noexcept {
    release(p);
}
void operator delete[](void* p, const std::nothrow_t&) noexcept {
    release(p);
}
void operator delete[](void* p, std::size_t) noexcept {
    release(p);
}
