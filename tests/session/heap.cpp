#include "heap.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

std::size_t allocations_made = 0;
std::size_t bytes_in_use = 0;
std::size_t most_in_use = 0;
std::size_t allocations_left = SIZE_MAX;

// Each block is preceded by its size.
constexpr std::size_t header = alignof(std::max_align_t);

void release(void* p) noexcept {
    if (!p) return;
    char* const block = static_cast<char*>(p) - header;
    bytes_in_use -= *reinterpret_cast<std::size_t*>(block);
    std::free(block);
}

} // namespace

std::size_t heap::allocations() noexcept {
    return allocations_made;
}
std::size_t heap::live() noexcept {
    return bytes_in_use;
}
std::size_t heap::peak() noexcept {
    return most_in_use;
}
void heap::forget_peak() noexcept {
    most_in_use = bytes_in_use;
}

void heap::allow(std::size_t count) noexcept {
    allocations_left = count;
}
void heap::refill() noexcept {
    allocations_left = SIZE_MAX;
}

void* operator new(std::size_t size) {
    if (allocations_left == 0) throw std::bad_alloc();
    --allocations_left;
    char* const block = static_cast<char*>(std::malloc(header + size));
    if (!block) std::abort();
    *reinterpret_cast<std::size_t*>(block) = size;
    ++allocations_made;
    bytes_in_use += size;
    most_in_use = std::max(most_in_use, bytes_in_use);
    return block + header;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return operator new(size);
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
// Sanitizers replace these, too. Otherwise their defaults would call the functions above.
void* operator new[](std::size_t size) {
    return operator new(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return operator new(size);
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
