// A separate file: a compiler that sees both ends of an allocation warns about new with free().
#include "memory.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

using namespace topic_tests;

void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    if (allocations++ == fail_at) return nullptr;
    void* const block = std::malloc(size != 0 ? size : 1);
    if (block != nullptr) ++blocks_in_use;
    return block;
}

void* operator new(std::size_t size) {
    if (void* const block = ::operator new(size, std::nothrow)) return block;
    throw std::bad_alloc{};
}

void operator delete(void* block) noexcept {
    if (block != nullptr) --blocks_in_use;
    std::free(block);
}

void operator delete(void* block, std::size_t) noexcept {
    ::operator delete(block);
}
