// A separate file, because a compiler that sees both ends of an allocation warns about new with free().
#include "support/heap.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace {

struct counters {
    std::size_t allocations = 0;
    std::size_t live_blocks = 0;
    std::size_t live_bytes = 0;
    std::size_t peak_bytes = 0;
    std::size_t fail_from = 0; // 0: no allocation fails
    std::size_t fail_count = 0;
    std::size_t attempts = 0;
    std::size_t failures = 0;
    bool can_fail = true; // true outside of sections and in `tested` ones
};

thread_local counters here;

// The size of a block precedes it.
constexpr std::size_t header = alignof(std::max_align_t);

bool fails() noexcept {
    if (here.fail_from == 0 || !here.can_fail) return false;
    if (++here.attempts < here.fail_from || here.attempts - here.fail_from >= here.fail_count) return false;
    ++here.failures;
    return true;
}

void* allocate(std::size_t size) noexcept {
    if (fails()) return nullptr;
    void* const block = std::malloc(header + size);
    if (!block) std::abort();
    *static_cast<std::size_t*>(block) = size;
    ++here.allocations;
    ++here.live_blocks;
    here.live_bytes += size;
    here.peak_bytes = std::max(here.peak_bytes, here.live_bytes);
    return static_cast<char*>(block) + header;
}

void release(void* p) noexcept {
    if (!p) return;
    void* const block = static_cast<char*>(p) - header;
    --here.live_blocks;
    here.live_bytes -= *static_cast<std::size_t*>(block);
    std::free(block);
}

} // namespace

std::size_t heap::allocations() noexcept {
    return here.allocations;
}
std::size_t heap::live_blocks() noexcept {
    return here.live_blocks;
}
std::size_t heap::live_bytes() noexcept {
    return here.live_bytes;
}
std::size_t heap::peak_bytes() noexcept {
    return here.peak_bytes;
}
void heap::reset_peak() noexcept {
    here.peak_bytes = here.live_bytes;
}

void heap::fail(std::size_t nth, std::size_t count) noexcept {
    here.fail_from = nth;
    here.fail_count = count;
    here.attempts = here.failures = 0;
}
void heap::stop_failing() noexcept {
    here.fail_from = 0;
}
std::size_t heap::attempts() noexcept {
    return here.attempts;
}
std::size_t heap::failures() noexcept {
    return here.failures;
}
void heap::touch() {
    operator delete(operator new(1));
}

heap::section::section(part p) noexcept : could_fail_before_(here.can_fail) {
    here.can_fail = p == part::tested;
}
heap::section::~section() {
    here.can_fail = could_fail_before_;
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
// The array operators of a sanitizer do not call the operators above.
void* operator new[](std::size_t size) {
    return operator new(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size);
}
void operator delete[](void* p) noexcept {
    release(p);
}
void operator delete[](void* p, std::size_t) noexcept {
    release(p);
}
void operator delete[](void* p, const std::nothrow_t&) noexcept {
    release(p);
}
